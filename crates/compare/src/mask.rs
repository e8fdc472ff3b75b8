// SPDX-License-Identifier: MIT OR Apache-2.0
//! What two boots of one kernel, or two builds of one release, print differently in a verifier log: taken out, so
//! that logs can be compared line by line.
//!
//! Masked are, each only where the kernel prints it:
//! * the address that `ld_imm64` of a map, of a value in a map, or of a kernel variable shows as its immediate
//!   (`print_bpf_insn`): `(18) r1 = 0xffff888104376148` becomes `(18) r1 = ADDR`. Which instructions these are is
//!   known from the program, so that the constants of other `ld_imm64`, and the bounds of scalars, stay as they
//!   are. The verifier prints addresses nowhere else;
//! * the time in `verification time 40 usec`, which becomes `verification time N usec`;
//! * for comparing, not in records: the BTF id of a called kernel function, `call bpf_cast_to_kern_ctx#ID`, which every
//!   build numbers anew; and the `0x0` in place of an address, which those see who may not see addresses: 6.18
//!   shows them some where maps are referred to by index;
//! * blanks at the ends of lines, which are not significant.
//!
//! Where the masked text was longer or shorter, the blanks up to the state behind it are what the kernel would have
//! printed (`vlog_alignment @ 6.18`), since addresses of User-Mode Linux are shorter than others.

use std::borrow::Cow;

use skep_isa::Insn;
use skep_kernel_load::Request;
use skep_program::{BtfRefKind, Program};

/// What addresses become.
const ADDRESS: &str = "ADDR";
/// What BTF ids become.
const ID: &str = "ID";

/// Characters of an address of the kernel's half: `0xffff888104376148`.
const ADDRESS_LEN: usize = 18;

pub(crate) const VERIFICATION_TIME: &str = "verification time ";

/// Opcode of `call`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`.
const PSEUDO_KFUNC_CALL: u8 = 2;
/// Pseudo source registers of `ld_imm64` whose immediate is an address (`is_ptr` in `print_bpf_insn @ 6.18`):
/// all but constants (0) and `BPF_PSEUDO_FUNC` (4).
const PSEUDO_ADDRESSES: [u8; 5] = [1, 2, 3, 5, 6];

/// What an instruction shows that belongs to one boot or build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    Nothing,
    Address,
    BtfId,
}

/// Masks logs of one program.
#[derive(Clone, Debug)]
pub struct Mask {
    /// By instruction; `None` where the program is not known.
    insns: Option<Vec<Shows>>,
}

impl Mask {
    /// For logs about this program.
    #[must_use]
    pub fn of(program: &Program) -> Mask {
        let shows = |insn: &Insn| match *insn {
            _ if insn.is_ld_imm64() && PSEUDO_ADDRESSES.contains(&insn.src) => Shows::Address,
            Insn { code: CALL, src: PSEUDO_KFUNC_CALL, .. } => Shows::BtfId,
            _ => Shows::Nothing,
        };
        let mut insns: Vec<Shows> = program.insns.iter().map(shows).collect();
        // A loader fills these in.
        for reference in &program.btf_refs {
            if let Some(insn) = insns.get_mut(reference.insn) {
                *insn = match reference.kind {
                    BtfRefKind::Kfunc => Shows::BtfId,
                    BtfRefKind::Ksym => Shows::Address,
                };
            }
        }
        Mask { insns: Some(insns) }
    }

    /// For logs about the program of a request.
    #[must_use]
    pub fn of_request(request: &Request) -> Mask {
        request.object.program(&request.program).map_or_else(Mask::unknown, Mask::of)
    }

    /// For logs about a program that is not at hand: an immediate counts as an address where the register state
    /// behind it is a pointer, or where it lies in the kernel's half of the address space and nothing is behind it.
    #[must_use]
    pub fn unknown() -> Mask {
        Mask { insns: None }
    }

    /// A line as it is compared.
    #[must_use]
    pub fn line<'l>(&self, line: &'l str) -> Cow<'l, str> {
        self.mask(line, true)
    }

    /// A log as it is compared.
    #[must_use]
    pub fn log(&self, log: &str) -> String {
        self.lines(log, true)
    }

    /// A log as it is recorded: what is the build's and not the boot's stays.
    #[must_use]
    pub fn recorded(&self, log: &str) -> String {
        self.lines(log, false)
    }

    fn lines(&self, log: &str, compared: bool) -> String {
        let mut masked = String::with_capacity(log.len());
        for line in log.split_inclusive('\n') {
            masked.push_str(&self.mask(line, compared));
            if line.ends_with('\n') {
                masked.push('\n');
            }
        }
        masked
    }

    fn mask<'l>(&self, line: &'l str, compared: bool) -> Cow<'l, str> {
        let line = line.trim_end();
        if line.starts_with(VERIFICATION_TIME) && line.ends_with(" usec") {
            return format!("{VERIFICATION_TIME}N usec").into();
        }
        // Lines of source can hold anything.
        if line.starts_with(';') {
            return line.into();
        }
        // A line shows one instruction at most.
        let Some(open) = line.find(") ").and_then(|close| line[..close].rfind('(')) else {
            return line.into();
        };
        let (head, tail) = line.split_at(open);
        if let Some(tail) = tail.strip_prefix("(18) r") {
            let start = open + 6 + tail.bytes().take_while(u8::is_ascii_digit).count();
            let Some(value) = line[start..].strip_prefix(" = ") else { return line.into() };
            let end = value.find(' ').unwrap_or(value.len());
            let (value, rest) = value.split_at(end);
            if self.is_address(head, value, rest) && (compared || value != "0x0") {
                return replaced(&line[..start + 3], ADDRESS, ADDRESS_LEN, value.len(), rest);
            }
        } else if compared && tail.starts_with("(85) call ") {
            let Some(hash) = line.rfind('#') else { return line.into() };
            let digits = line[hash + 1..].bytes().take_while(u8::is_ascii_digit).count();
            let (id, rest) = line[hash + 1..].split_at(digits);
            if digits != 0 && self.shows(head) == Some(Shows::BtfId) {
                return replaced(&line[..=hash], ID, ID.len(), id.len(), rest);
            }
        }
        line.into()
    }

    /// What the instruction shows whose number is in front of it: `12: `, `mark_precise: … before 12: `, or, with
    /// the registers that are live there, `12: 01........ `.
    fn shows(&self, head: &str) -> Option<Shows> {
        let insns = self.insns.as_ref()?;
        let head = head.trim_end();
        let head = head.strip_suffix(':').or_else(|| head.rsplit_once(": ").map(|(head, _)| head))?;
        let number = &head[head.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1)..];
        insns.get(number.parse::<usize>().ok()?).copied()
    }

    fn is_address(&self, head: &str, value: &str, rest: &str) -> bool {
        if !value.starts_with("0x") {
            return false;
        }
        if self.insns.is_some() {
            return self.shows(head) == Some(Shows::Address);
        }
        match rest.split_once('=').map(|(_, state)| state) {
            Some(state) => {
                let constant = |c: char| c.is_ascii_digit() || matches!(c, '-' | 'P' | 's' | 'i');
                !state.starts_with(constant) && !state.starts_with("func")
            }
            None => value.len() == ADDRESS_LEN && value.starts_with("0xff"),
        }
    }
}

/// The line with `mask` in place of a text of `old` characters, aligned as if that had had `usual` ones.
fn replaced<'l>(head: &str, mask: &str, usual: usize, old: usize, rest: &str) -> Cow<'l, str> {
    let state = rest.trim_start();
    if old == usual || !state.starts_with(';') {
        return format!("{head}{mask}{rest}").into();
    }
    // The line as long as it was printed, with its line feed.
    let printed = head.len() + usual + 1;
    let column = (printed + 4).max(40).next_multiple_of(8);
    format!("{head}{mask}{:1$}{state}", "", column - printed - 1).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ld_imm64` of map 0, a call of a kernel function, `ld_imm64` of a constant.
    fn mask() -> Mask {
        let wide = |src, imm| [Insn::new(0x18, 1, src, 0, imm), Insn::default()];
        let insns = [&wide(5, 0)[..], &[Insn::new(CALL, 0, 2, 0, 63552)], &wide(0, -1)].concat();
        Mask::of(&Program { insns, ..Program::default() })
    }

    fn masked(line: &str) -> String {
        mask().line(line).into_owned()
    }

    #[test]
    fn addresses_are_masked_where_the_program_has_them() {
        for (line, expected) in [
            (
                "0: (18) r1 = 0xffff888104376148       ; R1=map_ptr(ks=4,vs=8)",
                "0: (18) r1 = ADDR       ; R1=map_ptr(ks=4,vs=8)",
            ),
            (
                "0: (18) r1 = 0xff3e50d3836a1400       ; frame1: R1_w=map_ptr(ks=4,vs=8)",
                "0: (18) r1 = ADDR       ; frame1: R1_w=map_ptr(ks=4,vs=8)",
            ),
            ("      0: .1........ (18) r1 = 0xffff888104376148", "      0: .1........ (18) r1 = ADDR"),
            (
                "mark_precise: frame0: regs=r1 stack= before 0: (18) r1 = 0xffff888104376148",
                "mark_precise: frame0: regs=r1 stack= before 0: (18) r1 = ADDR",
            ),
            ("regs=2 stack=0 before 0: (18) r1 = 0x60a79400", "regs=2 stack=0 before 0: (18) r1 = ADDR"),
            (
                "0: (18) r1 = 0x0                      ; R1=map_ptr(ks=4,vs=8)",
                "0: (18) r1 = ADDR       ; R1=map_ptr(ks=4,vs=8)",
            ),
            // Constants, and an instruction that the program does not have.
            (
                "3: (18) r1 = 0xffffffffffffffff       ; R1=-1",
                "3: (18) r1 = 0xffffffffffffffff       ; R1=-1",
            ),
            ("3: (18) r1 = 0x8a779400", "3: (18) r1 = 0x8a779400"),
            ("; x = (18) r1 = 0xffff888104376148", "; x = (18) r1 = 0xffff888104376148"),
            ("4: R1=scalar(smin=0xffffffff80000000,smax=5)", "4: R1=scalar(smin=0xffffffff80000000,smax=5)"),
            ("9: (18) r1 = 0xffff888104376148", "9: (18) r1 = 0xffff888104376148"),
        ] {
            assert_eq!(masked(line), expected);
        }
    }

    #[test]
    fn the_state_stands_where_it_would_behind_a_long_address() {
        // As Linux 6.12 prints them, booted as User-Mode Linux and on the host.
        let short = "0: (18) r1 = 0x60a79400               ; R1_w=map_ptr(ks=4,vs=8)";
        let long = "0: (18) r1 = 0xffff888104376148       ; R1_w=map_ptr(ks=4,vs=8)";
        assert_eq!(masked(short), masked(long));
        let id = |digits: &str, blanks: usize| {
            masked(&format!("2: (85) call bpf_task_from_pid#{digits}{:blanks$}; R0=scalar()", ""))
        };
        // 35 and 37 characters, with the line feed: the next columns are 40 and 48.
        assert_eq!(id("123", 4), id("12345", 10));
        assert_eq!(id("12345", 10), "2: (85) call bpf_task_from_pid#ID     ; R0=scalar()");
    }

    #[test]
    fn times_ids_and_end_blanks_are_masked() {
        assert_eq!(masked("verification time 1086592 usec"), "verification time N usec");
        assert_eq!(masked("stack depth 184+0"), "stack depth 184+0");
        assert_eq!(masked("2: (85) call bpf_x#63552"), "2: (85) call bpf_x#ID");
        assert_eq!(masked("7: (85) call bpf_map_lookup_elem#1"), "7: (85) call bpf_map_lookup_elem#1");
        assert_eq!(masked("frame 0 insn 5 +written -8 "), "frame 0 insn 5 +written -8");
        let log = "2: (85) call bpf_x#63552\n0: (18) r1 = 0xffff888104376148\nverification time 3 usec\nend";
        assert_eq!(
            mask().log(log),
            "2: (85) call bpf_x#ID\n0: (18) r1 = ADDR\nverification time N usec\nend"
        );
        let recorded = mask().recorded(log);
        assert!(recorded.starts_with("2: (85) call bpf_x#63552\n0: (18) r1 = ADDR\n"), "{recorded}");
        assert_eq!(mask().log(&recorded), mask().log(log));
        assert_eq!(mask().recorded(&recorded), recorded);
        assert_eq!(mask().recorded("0: (18) r1 = 0x0"), "0: (18) r1 = 0x0");
    }

    #[test]
    fn symbols_that_a_loader_fills_in_are_known() {
        let reference = |insn, kind| skep_program::BtfRef { insn, kind, name: String::new(), weak: false };
        let insns = vec![Insn::new(0x18, 1, 0, 0, 0), Insn::default(), Insn::new(CALL, 0, 0, 0, 0)];
        let btf_refs = vec![reference(0, BtfRefKind::Ksym), reference(2, BtfRefKind::Kfunc)];
        let mask = Mask::of(&Program { insns, btf_refs, ..Program::default() });
        assert_eq!(mask.line("0: (18) r1 = 0xffffffff82a0f2c0"), "0: (18) r1 = ADDR");
        assert_eq!(mask.line("2: (85) call bpf_x#7"), "2: (85) call bpf_x#ID");
    }

    #[test]
    fn without_a_program_the_state_tells() {
        let mask = Mask::unknown();
        for (line, is_masked) in [
            ("0: (18) r1 = 0x60a79400               ; R1_w=map_value(ks=4,vs=8)", true),
            ("0: (18) r1 = 0xffff888104376148", true),
            ("0: (18) r1 = 0xffff888104376148       ; R1=0xffff888104376148", false),
            ("0: (18) r1 = 0xffffffffffffff00       ; R1_w=-256", false),
            ("0: (18) r1 = 0x6                      ; R1=func()", false),
            ("0: (18) r1 = 0x60a79400", false),
        ] {
            assert_eq!(mask.line(line).contains(ADDRESS), is_masked, "{line}");
        }
    }
}
