// SPDX-License-Identifier: MIT OR Apache-2.0
//! Instructions to text, in three styles.
//!
//! Guarantees:
//! * [`Style::Kernel`] is, character by character, what `print_bpf_insn` of the kernel's `kernel/bpf/disasm.c`
//!   writes (@ 6.18), so that a verifier's log can be printed with it;
//! * [`Style::Llvm`] is what `llvm-objdump -d --mcpu=v4` writes, and [`Style::Mnemonic`] what GNU as, rbpf and
//!   ubpf read, both with a spelling of our own where theirs loses operands (see the modules of the styles);
//! * [`print_insn`] does not allocate, and prints anything: an illegal encoding becomes what the kernel prints
//!   for it, or in the other styles an `.insn` directive;
//! * [`disassemble`] prints a source that assembles back to the same instruction bytes, maps and program
//!   properties, whatever the style and whatever the bytes.

mod directives;
mod listing;
mod llvm;
mod mnemonic;
mod operator;

use std::fmt::{self, Write};

use skep_isa::{Imm64, Insn};
use skep_program::{Spell, imm64, print_kernel_text};

pub use listing::{DisasmOptions, Targets, disassemble, disassemble_object};

/// A way to write instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Style {
    /// The verifier's log and `bpftool prog dump xlated`: `(7b) *(u64 *)(r10 -8) = r1`.
    #[default]
    Kernel,
    /// llvm-objdump and clang's assembler: `*(u64 *)(r10 - 0x8) = r1`.
    Llvm,
    /// GNU as with its normal dialect, rbpf, ubpf: `stxdw [r10-8], r1`.
    Mnemonic,
}

impl Style {
    /// All styles.
    pub const ALL: [Style; 3] = [Style::Kernel, Style::Llvm, Style::Mnemonic];

    /// The name on the command line: `kernel`, `llvm` or `mnemonic`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Style::Kernel => "kernel",
            Style::Llvm => "llvm",
            Style::Mnemonic => "mnemonic",
        }
    }
}

impl std::str::FromStr for Style {
    type Err = UnknownStyle;

    fn from_str(name: &str) -> Result<Self, UnknownStyle> {
        Style::ALL.into_iter().find(|s| s.name() == name).ok_or(UnknownStyle)
    }
}

/// A name that is no [`Style`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownStyle;

impl fmt::Display for UnknownStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such style; there are kernel, llvm and mnemonic")
    }
}

impl std::error::Error for UnknownStyle {}

/// Names for what instructions refer to. Without names, numbers are printed; `()` has none.
pub trait Names {
    /// The label or function at a slot, for jumps, local calls and function addresses.
    fn target(&self, _slot: usize) -> Option<&str> {
        None
    }

    /// A map by its index in `fd_array`.
    fn map(&self, _index: usize) -> Option<&str> {
        None
    }

    /// The kernel function or variable that the instruction at a slot refers to by BTF id.
    fn kernel_symbol(&self, _at: usize) -> Option<&str> {
        None
    }

    /// Whether pseudo values of `ld_imm64` are spelled out (`map[idx:0]`, `subprog[+2]`), as a source needs,
    /// or printed as the number that they are or stand for, as the kernel's log does.
    fn spell_pseudo(&self) -> bool {
        false
    }
}

impl Names for () {}

/// Prints the instruction at slot `at`, without line break. It takes [`skep_isa::slots`] slots; nothing is
/// printed for an `at` outside of the program.
///
/// # Errors
/// What `out` returns.
pub fn print_insn(
    out: &mut dyn Write,
    style: Style,
    insns: &[Insn],
    at: usize,
    names: &dyn Names,
) -> fmt::Result {
    let Some(&insn) = insns.get(at) else { return Ok(()) };
    let site = &mut Site { out, at, names };
    let print = match style {
        Style::Kernel => {
            return print_kernel_text(site, insn, insns.get(at + 1).copied().unwrap_or_default());
        }
        Style::Llvm => llvm::print,
        Style::Mnemonic => mnemonic::print,
    };
    match skep_isa::decode(insns, at) {
        Ok(decoded) => print(site, &decoded),
        Err(_) => print_raw(site, insn),
    }
}

/// Prints one slot as the directive that assembles to anything.
fn print_raw(out: &mut dyn Write, insn: Insn) -> fmt::Result {
    let Insn { code, dst, src, off, imm } = insn;
    write!(out, ".insn {code:#04x}, {dst}, {src}, {off}, {imm}")
}

/// Where an instruction is printed to, and what is known around it.
struct Site<'a, 'n> {
    out: &'a mut dyn Write,
    at: usize,
    names: &'n dyn Names,
}

impl Write for Site<'_, '_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.out.write_str(s)
    }
}

impl Spell for Site<'_, '_> {
    fn target(&mut self, before: &str, distance: i64) -> fmt::Result {
        self.print_target(before, distance)
    }

    fn pseudo(&mut self, kind: Imm64, insn: Insn, high: i32) -> fmt::Result {
        if self.names.spell_pseudo() {
            return self.print_pseudo(kind, insn, high);
        }
        write!(self.out, "{:#x}", imm64(insn.imm, high))
    }

    fn kfunc(&mut self, insn: Insn) -> fmt::Result {
        let name = self.names.kernel_symbol(self.at).unwrap_or("kernel-function");
        write!(self.out, "{name}#{}", insn.imm)?;
        if insn.off != 0 && self.names.spell_pseudo() {
            write!(self.out, ", btf {}", insn.off)
        } else {
            Ok(())
        }
    }
}

impl<'n> Site<'_, 'n> {
    /// The name of the slot that is `distance` slots behind the next one.
    fn target_name(&self, distance: i64) -> Option<&'n str> {
        let slot = i64::try_from(self.at).ok()?.checked_add(1)?.checked_add(distance)?;
        self.names.target(usize::try_from(slot).ok()?)
    }

    /// A jump target: its name, or the distance after `before`.
    fn print_target(&mut self, before: &str, distance: i64) -> fmt::Result {
        match self.target_name(distance) {
            Some(name) => self.out.write_str(name),
            None => write!(self.out, "{before}{distance:+}"),
        }
    }

    /// The operand of a `ld_imm64` that names something: `map[counts]`, `map[idx:0][0]+8`, `map[fd:5]`,
    /// `subprog[+2]`, `btf[id:7]`. The forms with numbers are bpftool's, extended to what it does not print.
    fn print_pseudo(&mut self, kind: Imm64, insn: Insn, high: i32) -> fmt::Result {
        let low = insn.imm;
        match kind {
            Imm64::Const => write!(self.out, "{:#x}", imm64(low, high)),
            Imm64::MapFd => write!(self.out, "map[fd:{low}]"),
            Imm64::MapValue => write!(self.out, "map[fd:{low}][0]+{}", high as u32),
            Imm64::MapIdx => self.print_map(low),
            Imm64::MapIdxValue => {
                self.print_map(low)?;
                write!(self.out, "[0]+{}", high as u32)
            }
            Imm64::Func => {
                self.out.write_str("subprog[")?;
                self.print_target("", i64::from(low))?;
                self.out.write_str("]")
            }
            Imm64::BtfId => match (self.names.kernel_symbol(self.at), low, high) {
                // The id is filled in at load.
                (Some(name), 0, 0) => write!(self.out, "ksym {name}"),
                (_, id, 0) => write!(self.out, "btf[id:{id}]"),
                (_, id, fd) => write!(self.out, "btf[id:{id}][fd:{fd}]"),
            },
        }
    }

    /// A call of a kernel function, by its name where there is one: `call bpf_rcu_read_lock#71230`.
    fn print_kfunc(&mut self, insn: Insn) -> fmt::Result {
        let Insn { off, imm, .. } = insn;
        let name = self.names.kernel_symbol(self.at).unwrap_or("kernel-function");
        write!(self.out, "call {name}#{imm}")?;
        if off == 0 { Ok(()) } else { write!(self.out, ", btf {off}") }
    }

    fn print_map(&mut self, index: i32) -> fmt::Result {
        match usize::try_from(index).ok().and_then(|i| self.names.map(i)) {
            Some(name) => write!(self.out, "map[{name}]"),
            None => write!(self.out, "map[idx:{index}]"),
        }
    }
}
