// SPDX-License-Identifier: GPL-2.0-only
//! Whatever the instructions, the program type, the capabilities, the release and the log are, a verification ends in
//! an outcome: it does not panic, and it walks no more instructions than the kernel does. The log keeps to its buffer,
//! and how much of it is asked for changes no verdict.
//!
//! Each test looks at the first [`WALKED`] instructions of a verification only, so that programs with long loops do
//! not take all the time.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use skep_isa::{CallKind, Imm64, ImmField, Insn, OffField, Op, RegField, TABLE};
use skep_program::{Case, MapSpec, Program};
use skep_uapi::limits::BPF_COMPLEXITY_LIMIT_INSNS;
use skep_uapi::{AttachType, Errno, MapType, ProgType};
use skep_verifier::{Caps, Observer, Options, Outcome, Profile, Verdict, Visit, verify_with};

/// Instructions after which a verification is left alone.
const WALKED: usize = 10_000;

/// Bugs of a kernel's verifier that are also its answers to odd programs: Linux 6.18.44 has them for a count of
/// `bpf_loop` that is a pointer, for branches that are never taken, and for functions that no path reaches.
const KNOWN_BUGS: [&str; 3] = [
    "verifier bug: backtracking misuse",
    "verifier bug: REG INVARIANTS VIOLATION",
    "verifier bug: No program to jit at insn",
];

/// Programs that kernels were asked about, as they are before they are edited.
static RECORDED: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let text = include_str!("../../../tests/recorded/6.18/programs.jsonl");
    Case::parse_all(text).expect("a case file")
});

/// Leaves a verification that goes on for too long.
struct Limit(usize);

impl Observer for Limit {
    fn visit(&mut self, _: &Visit<'_>) -> ControlFlow<()> {
        self.0 += 1;
        if self.0 > WALKED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The outcome, or `None` for a verification that was left.
fn outcome(program: &Program, options: &Options) -> Option<Outcome> {
    let mut limit = Limit(0);
    let outcome = verify_with(program, options, &mut limit);
    (limit.0 <= WALKED).then_some(outcome)
}

/// Everything that holds of any verification.
fn check(program: &Program, options: &Options) -> Result<(), TestCaseError> {
    let Some(Outcome::Answer { verdict, log, log_true_size, stats }) = outcome(program, options) else {
        return Ok(());
    };
    prop_assert!(stats.insn_processed as usize <= BPF_COMPLEXITY_LIMIT_INSNS + 1);
    prop_assert!(options.log_level != 0 || log.is_empty(), "level 0 logs {log:?}");
    let is_known = |line: &str| KNOWN_BUGS.iter().any(|bug| line.starts_with(bug));
    let mut bugs = log.lines().filter(|line| line.starts_with("verifier bug") && !is_known(line));
    prop_assert_eq!(bugs.next(), None, "{}", log);
    if let Some(size) = options.log_size {
        let room = usize::try_from(size).expect("64 bits").saturating_sub(1);
        prop_assert!(log.len() <= room, "{} bytes in a buffer of {size}", log.len());
        let too_long = size > 0 && log_true_size > size;
        prop_assert!(!too_long || verdict == Verdict::Reject(Errno::ENOSPC), "{verdict:?}");
    }
    let silent = Options { log_level: 0, log_size: None, ..options.clone() };
    let about_the_log = matches!(verdict, Verdict::Reject(Errno::ENOSPC | Errno::EINVAL));
    match outcome(program, &silent) {
        Some(Outcome::Answer { verdict: silent, .. }) => prop_assert!(about_the_log || verdict == silent),
        // Nothing is left or unsupported for want of a log.
        other => prop_assert!(about_the_log, "{other:?}"),
    }
    Ok(())
}

/// Mostly options that lead to a walk; now and then such as the kernel refuses.
fn options() -> impl Strategy<Value = Options> {
    let level = prop_oneof![12 => select(vec![1, 2, 3, 6, 7, 9, 10, 15]), 1 => 0..16_u32, 1 => any::<u32>()];
    let size =
        prop_oneof![9 => Just(None), 2 => (0..2000_u32).prop_map(Some), 1 => any::<u32>().prop_map(Some)];
    let caps = prop_oneof![8 => Just(Caps::FULL), 1 => Just(Caps::CAPBPF), 1 => Just(Caps::NONE)];
    (select(Profile::NAMES.to_vec()), caps, level, size, 1..256_u32, any::<bool>()).prop_map(
        |(release, caps, log_level, log_size, cpus, kprobe_override)| {
            let profile = Profile::from_name(release).expect("a known release");
            Options { profile, caps, log_level, log_size, cpus, kprobe_override }
        },
    )
}

/// Mostly a type that loads, with an attach type that suits it; else any two numbers.
fn kind() -> impl Strategy<Value = (ProgType, AttachType)> {
    let no_attach = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24];
    let loads = no_attach.map(|prog_type| (ProgType(prog_type), AttachType(0)));
    let attached = [
        (ProgType::XDP, AttachType::XDP),
        (ProgType::CGROUP_SKB, AttachType::CGROUP_INET_EGRESS),
        (ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_BIND),
        (ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_SENDMSG),
        (ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_GETSOCKOPT),
        (ProgType::SK_LOOKUP, AttachType::SK_LOOKUP),
        (ProgType::SYSCALL, AttachType(0)),
        (ProgType::NETFILTER, AttachType::NETFILTER),
    ];
    let prog_type = prop_oneof![3 => 0..34_u32, 1 => any::<u32>()].prop_map(ProgType);
    let attach_type = prop_oneof![2 => Just(0), 7 => 0..60_u32, 1 => any::<u32>()].prop_map(AttachType);
    prop_oneof![9 => select([&loads[..], &attached].concat()), 1 => (prog_type, attach_type)]
}

fn map() -> impl Strategy<Value = MapSpec> {
    let size = || prop_oneof![2 => Just(4), 2 => Just(8), 2 => 0..64_u32, 1 => any::<u32>()];
    let max_entries = prop_oneof![3 => 0..8_u32, 1 => Just(4096), 1 => any::<u32>()];
    let flags = prop_oneof![3 => Just(0), 1 => (0..20_u32).prop_map(|bit| 1 << bit), 1 => any::<u32>()];
    let spec = (0..36_u32, size(), size(), max_entries, flags).prop_map(
        |(map_type, key_size, value_size, max_entries, flags)| MapSpec {
            name: "m".into(),
            map_type: MapType(map_type),
            key_size,
            value_size,
            max_entries,
            flags,
            ..MapSpec::default()
        },
    );
    (spec.clone(), prop::option::of(spec))
        .prop_map(|(map, inner)| MapSpec { inner: inner.map(Box::new), ..map })
}

/// A map of the usual types, beside those of any.
fn maps() -> impl Strategy<Value = Vec<MapSpec>> {
    let usual = |map_type, key_size, value_size, max_entries| MapSpec {
        name: "usual".into(),
        map_type,
        key_size,
        value_size,
        max_entries,
        ..MapSpec::default()
    };
    let usual = vec![
        usual(MapType::ARRAY, 4, 8, 1),
        usual(MapType::HASH, 8, 16, 4),
        usual(MapType::RINGBUF, 0, 0, 4096),
        usual(MapType::PROG_ARRAY, 4, 4, 2),
    ];
    prop::collection::vec(map(), 0..4).prop_map(move |any| [usual.clone(), any].concat())
}

/// Whether more than the kernel's own checks of one path follow from the operation, in most programs.
fn is_plain(op: Op) -> bool {
    let leaves = matches!(op, Op::Ja | Op::Ja32 | Op::Exit | Op::AddrSpaceCast);
    let calls = matches!(op, Op::Call(CallKind::Kfunc | CallKind::Helper));
    !(leaves || calls || matches!(op, Op::LdImm64(Imm64::BtfId | Imm64::Func) | Op::LdAbs(_) | Op::LdInd(_)))
}

/// A legal encoding of a random row, mostly a plain one. Jumps find their targets in [`land`].
fn insn() -> impl Strategy<Value = Vec<Insn>> {
    let plain: Vec<usize> = (0..TABLE.len()).filter(|&row| is_plain(TABLE[row].op)).collect();
    let row = prop_oneof![30 => select(plain), 1 => 0..TABLE.len()];
    let value = prop_oneof![
        6 => 0..64_i32,
        3 => -600_i32..600,
        2 => select(vec![-1, 0xff, 0xffff, i32::MIN, i32::MAX]),
        1 => any::<i32>(),
    ];
    let off = prop_oneof![4 => 0..20_i16, 1 => -20_i16..0, 4 => select(vec![-8_i16, -16]), 1 => any::<i16>()];
    (row, 0..11_u8, 0..11_u8, off, value, 0..220_i32).prop_map(|(row, dst, src, off, imm, helper)| {
        let row = &TABLE[row];
        let mut insn = row.template();
        match row.dst {
            RegField::Read => insn.dst = dst,
            RegField::Write | RegField::ReadWrite => insn.dst = dst % 10,
            RegField::Zero | RegField::Is(_) => {}
        }
        match row.src {
            RegField::Read => insn.src = src,
            RegField::Write | RegField::ReadWrite => insn.src = src % 10,
            RegField::Zero | RegField::Is(_) => {}
        }
        if matches!(row.off, OffField::Mem | OffField::Jump | OffField::BtfFd) {
            insn.off = off;
        }
        // Two thirds of all accesses are to the stack or the context.
        let base = [10, 6, if row.dst == RegField::Read { insn.dst } else { insn.src }][usize::from(dst) % 3];
        match row.op {
            Op::Ldx(_) | Op::Ldsx(_) | Op::LoadAcquire(_) => insn.src = base,
            Op::St(_) | Op::Stx(_) | Op::Atomic(..) | Op::StoreRelease(_) => insn.dst = base,
            _ => {}
        }
        match row.imm {
            ImmField::Zero | ImmField::Is(_) => {}
            ImmField::Helper => insn.imm = helper,
            ImmField::Jump | ImmField::Func => insn.imm = i32::from(off),
            _ => insn.imm = imm,
        }
        let Op::LdImm64(kind) = row.op else { return vec![insn] };
        let mut second = Insn::default();
        if kind.is_map() {
            insn.imm = imm.rem_euclid(5);
        } else {
            second.imm = imm % 2;
        }
        vec![insn, second]
    })
}

/// Initializes registers and some of the stack, so that what follows gets further. `r6` is the context.
fn defined() -> Vec<Insn> {
    let zero = |reg| Insn::new(0xb7, reg, 0, 0, 0);
    let context = Insn::new(0xbf, 6, 1, 0, 0);
    let slot = |at: i16| Insn::new(0x7a, 10, 0, at, 0);
    [vec![context], [0, 2, 3, 4, 5, 7, 8, 9].map(zero).to_vec(), vec![slot(-8), slot(-16)]].concat()
}

/// A call of a helper with arguments that it may take: a map, the stack, the context, what the last one returned,
/// small numbers, a function. What a call clears is initialized again.
fn call() -> impl Strategy<Value = Vec<Insn>> {
    let argument = || (0..6_u8, -8_i32..72);
    // The helpers of maps, `bpf_loop` and others with functions, and any.
    let helper = prop_oneof![
        2 => select(vec![1, 2, 3, 12, 51, 87, 88, 89, 93, 94]),
        2 => select(vec![130, 131, 132, 133, 164, 171, 180, 181, 195, 197, 198, 201, 209]),
        2 => 0..220_i32,
    ];
    (0..5_i32, helper, prop::array::uniform5(argument())).prop_map(|(map, helper, arguments)| {
        let mut insns = Vec::new();
        for (reg, (kind, number)) in (1..).zip(arguments) {
            let kind = match (helper, reg) {
                (1..=3 | 87..=89 | 130 | 131 | 164, 1) => 0,
                (1..=3 | 87..=89 | 130, 2 | 3) => 1,
                (164 | 181, 2) => 4,
                _ => kind,
            };
            match kind {
                0 => insns.extend([Insn::new(0x18, reg, 5, 0, map), Insn::default()]),
                1 => insns.extend([Insn::new(0xbf, reg, 10, 0, 0), Insn::new(0x07, reg, 0, 0, -16)]),
                2 => insns.push(Insn::new(0xbf, reg, 6, 0, 0)),
                3 => insns.push(Insn::new(0xbf, reg, 0, 0, 0)),
                4 => insns.extend([Insn::new(0x18, reg, 4, 0, number), Insn::default()]),
                _ => insns.push(Insn::new(0xb7, reg, 0, 0, number)),
            }
        }
        insns.push(Insn::new(0x85, 0, 0, 0, helper));
        insns.extend((1..6).map(|reg| Insn::new(0xb7, reg, 0, 0, 0)));
        insns
    })
}

/// A program of functions, of which the first calls all others at its end. Jumps go to an instruction of their
/// function, calls and addresses of functions to the start of one.
fn land(functions: &[Vec<Vec<Insn>>]) -> Vec<Insn> {
    let mut insns = Vec::new();
    let mut starts = Vec::new();
    let mut calls = 0..0;
    for parts in functions {
        starts.push(insns.len());
        insns.extend(defined());
        insns.extend(parts.concat());
        if starts.len() == 1 {
            calls = insns.len()..insns.len() + functions.len() - 1;
            insns.extend(calls.clone().map(|_| Insn::new(0x85, 0, 1, 0, 0)));
        }
        insns.extend([Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)]);
    }
    let ends = starts.iter().skip(1).copied().chain([insns.len()]);
    let mut landed = insns.clone();
    for (&start, end) in starts.iter().zip(ends) {
        let mut within = Vec::new();
        let mut at = start;
        while at < end {
            within.push(at);
            at += skep_isa::slots(insns[at]);
        }
        for &at in &within {
            let Ok(decoded) = skep_isa::decode(&insns, at) else { continue };
            let Some(distance) = decoded.target() else { continue };
            let function = matches!(decoded.op(), Op::Call(_) | Op::LdImm64(_));
            let targets = if function { &starts } else { &within };
            let from = within.iter().position(|&i| i == at).expect("it is one of them") as i64;
            let target = targets[(from + distance).rem_euclid(targets.len() as i64) as usize];
            let distance = target as i64 - at as i64 - 1;
            match decoded.row.off {
                OffField::Jump => landed[at].off = distance as i16,
                _ => landed[at].imm = distance as i32,
            }
        }
    }
    for (at, start) in calls.zip(starts.into_iter().skip(1)) {
        landed[at].imm = (start - at - 1) as i32;
    }
    landed
}

/// One change of a program.
#[derive(Clone, Debug)]
enum Edit {
    Byte(Index, u8),
    Field(Index, u8, i32),
    Remove(Index),
    Insert(Index, Vec<Insn>),
    Repeat(Index, Index),
    Swap(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let number = prop_oneof![4 => -80_i32..80, 1 => select(vec![i32::MIN, i32::MAX, -1]), 1 => any::<i32>()];
    prop_oneof![
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        4 => (at(), 0..4_u8, number).prop_map(|(at, field, number)| Edit::Field(at, field, number)),
        2 => at().prop_map(Edit::Remove),
        3 => (at(), insn()).prop_map(|(at, insns)| Edit::Insert(at, insns)),
        1 => (at(), call()).prop_map(|(at, insns)| Edit::Insert(at, insns)),
        1 => (at(), at()).prop_map(|(from, to)| Edit::Repeat(from, to)),
        1 => (at(), at()).prop_map(|(a, b)| Edit::Swap(a, b)),
    ]
}

fn apply(edit: &Edit, insns: &mut Vec<Insn>) {
    if insns.is_empty() {
        return;
    }
    let len = insns.len();
    match edit {
        Edit::Byte(at, byte) => {
            let at = at.index(len * Insn::SIZE);
            let mut bytes = insns[at / Insn::SIZE].to_bytes();
            bytes[at % Insn::SIZE] = *byte;
            insns[at / Insn::SIZE] = Insn::from_bytes(bytes);
        }
        Edit::Field(at, field, number) => {
            let insn = &mut insns[at.index(len)];
            match field {
                0 => insn.dst = number.rem_euclid(11) as u8,
                1 => insn.src = number.rem_euclid(11) as u8,
                2 => insn.off = *number as i16,
                _ => insn.imm = *number,
            }
        }
        Edit::Remove(at) => drop(insns.remove(at.index(len))),
        Edit::Insert(at, new) => {
            let at = at.index(len);
            insns.splice(at..at, new.iter().copied());
        }
        Edit::Repeat(from, to) => insns.insert(to.index(len), insns[from.index(len)]),
        Edit::Swap(a, b) => insns.swap(a.index(len), b.index(len)),
    }
}

fn program(insns: Vec<Insn>, maps: Vec<MapSpec>, (prog_type, attach): (ProgType, AttachType)) -> Program {
    Program {
        name: "any".into(),
        prog_type,
        expected_attach_type: attach,
        license: "GPL".into(),
        insns,
        maps: Arc::new(maps),
        ..Program::default()
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn any_bytes_end_in_an_outcome(
        bytes in prop::collection::vec(any::<[u8; 8]>(), 0..24),
        maps in maps(),
        kind in kind(),
        flags in prop_oneof![2 => Just(0), 1 => any::<u32>()],
        options in options(),
    ) {
        let insns = bytes.into_iter().map(Insn::from_bytes).collect();
        check(&Program { prog_flags: flags, ..program(insns, maps, kind) }, &options)?;
    }

    #[test]
    fn any_legal_instructions_end_in_an_outcome(
        functions in prop::collection::vec(
            prop::collection::vec(prop_oneof![4 => insn().boxed(), 1 => call().boxed()], 0..16),
            1..4,
        ),
        maps in maps(),
        kind in kind(),
        options in options(),
    ) {
        check(&program(land(&functions), maps, kind), &options)?;
    }

    #[test]
    fn edited_programs_end_in_an_outcome(
        which in any::<Index>(),
        edits in prop::collection::vec(edit(), 1..6),
        kind in prop::option::weighted(0.3, kind()),
        options in options(),
    ) {
        let mut program = which.get(&RECORDED).program.clone();
        edits.iter().for_each(|edit| apply(edit, &mut program.insns));
        if let Some(kind) = kind {
            (program.prog_type, program.expected_attach_type) = kind;
        }
        check(&program, &options)?;
    }
}

/// A loop without end is walked to the kernel's limit, and no further.
#[test]
fn the_limit_of_instructions_is_the_kernels() {
    // r0 = 0; r0 += 1; goto -2
    let insns = vec![Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x07, 0, 0, 0, 1), Insn::new(0x05, 0, 0, -2, 0)];
    let program = program(insns, Vec::new(), (ProgType::SOCKET_FILTER, AttachType(0)));
    let Outcome::Answer { verdict, stats, .. } = skep_verifier::verify(&program, &Options::default()) else {
        panic!("nothing in it is unsupported");
    };
    assert_eq!(verdict, Verdict::Reject(Errno::E2BIG));
    assert_eq!(stats.insn_processed as usize, BPF_COMPLEXITY_LIMIT_INSNS + 1);
}
