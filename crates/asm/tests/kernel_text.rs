// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel style, line by line. Legal instructions and their text are from verifier logs of Linux 6.18; what
//! a log never shows follows from `kernel/bpf/disasm.c`.

use skep_asm::disasm::{Names, Style, print_insn};
use skep_program::insns_from_hex;

fn text(hex: &str, names: &dyn Names) -> String {
    let insns = insns_from_hex(hex).unwrap_or_else(|e| panic!("{hex}: {e}"));
    let mut out = String::new();
    print_insn(&mut out, Style::Kernel, &insns, 0, names).expect("a String takes all");
    out
}

#[test]
fn as_in_logs() {
    let lines = [
        ("b701000005000000", "(b7) r1 = 5"),
        ("7b0af8ff00000000", "(7b) *(u64 *)(r10 -8) = r0"),
        ("7910000000000000", "(79) r0 = *(u64 *)(r1 +0)"),
        ("5501ffff00000000", "(55) if r1 != 0x0 goto pc-1"),
        ("c601010005000000", "(c6) if w1 s< 0x5 goto pc+1"),
        ("db1af8ff01000000", "(db) r1 = atomic64_fetch_add((u64 *)(r10 -8), r1)"),
        ("c31afcfff1000000", "(c3) r0 = atomic_cmpxchg((u32 *)(r10 -4), r0, r1)"),
        ("c31afcffe1000000", "(c3) r1 = atomic_xchg((u32 *)(r10 -4), r1)"),
        ("db21000000000000", "(db) lock *(u64 *)(r1 +0) += r2"),
        ("db21f8ff00010000", "(db) r1 = load_acquire((u64 *)(r2 -8))"),
        ("d31af8ff10010000", "(d3) store_release((u8 *)(r10 -8), r1)"),
        ("18010000000000000000000000000000", "(18) r1 = 0x0"),
        ("18010000ffffffff0000000001000000", "(18) r1 = 0x1ffffffff"),
        ("8500000001000000", "(85) call bpf_map_lookup_elem#1"),
        ("8500000090d00300", "(85) call unknown#250000"),
        ("8510000008000000", "(85) call pc+8"),
        ("85100000ffffffff", "(85) call pc-1"),
        ("8520000001000000", "(85) call kernel-function#1"),
        ("e500010000000000", "(e5) may_goto pc+1"),
        ("06000000fdffffff", "(06) gotol pc-3"),
        ("bf00080000000000", "(bf) r0 = (s8)r0"),
        ("bf26010001000000", "(bf) r6 = addr_space_cast(r2, 0, 1)"),
        ("3c10010000000000", "(3c) w0 s/= w1"),
        ("34000100feffffff", "(34) w0 s/= -2"),
        ("d700000020000000", "(d7) r0 = bswap32 r0"),
        ("dc00000010000000", "(dc) r0 = be16 r0"),
        ("9500000000000000", "(95) exit"),
        ("30000000fcffffff", "(30) r0 = *(u8 *)skb[-4]"),
        ("4070000004000000", "(40) r0 = *(u32 *)skb[r7 + 4]"),
    ];
    for (hex, expected) in lines {
        assert_eq!(text(hex, &()), expected, "{hex}");
    }
}

/// The kernel prints before it checks, and so does this.
#[test]
fn illegal_ones() {
    let lines = [
        ("db21000002000000", "BUG_db"),
        ("8321000000000000", "BUG_83"),
        ("8221000000000000", "BUG_st_82"),
        ("c221000000000000", "(c2) nospec"),
        ("c121000000000000", "BUG_ldx_c1"),
        ("6021000000000000", "BUG_ld_60"),
        ("0f21050007000000", "(0f) r1 += r2"),
        ("bf21ffff00000000", "(bf) r1 = &(void __percpu *)(r2)"),
        ("d400000011000000", "(d4) r0 = le17 r0"),
        ("e510010000000000", "(e5) if r0 (null) 0x0 goto pc+1"),
    ];
    for (hex, expected) in lines {
        assert_eq!(text(hex, &()), expected, "{hex}");
    }
}

struct Symbols;

impl Names for Symbols {
    fn target(&self, slot: usize) -> Option<&str> {
        (slot == 3).then_some("out")
    }

    fn map(&self, index: usize) -> Option<&str> {
        (index == 0).then_some("counts")
    }

    fn kernel_symbol(&self, _at: usize) -> Option<&str> {
        Some("bpf_rcu_read_lock")
    }

    fn spell_pseudo(&self) -> bool {
        true
    }
}

#[test]
fn with_names() {
    let lines = [
        ("0500020000000000", "(05) goto out"),
        ("0500010000000000", "(05) goto pc+1"),
        ("8510000002000000", "(85) call out"),
        ("852000002a000000", "(85) call bpf_rcu_read_lock#42"),
        ("18510000000000000000000000000000", "(18) r1 = map[counts]"),
        ("18610000000000000000000008000000", "(18) r1 = map[counts][0]+8"),
        ("18510000010000000000000000000000", "(18) r1 = map[idx:1]"),
        ("18110000050000000000000000000000", "(18) r1 = map[fd:5]"),
        ("18410000020000000000000000000000", "(18) r1 = subprog[out]"),
        ("18410000040000000000000000000000", "(18) r1 = subprog[+4]"),
    ];
    for (hex, expected) in lines {
        assert_eq!(text(hex, &Symbols), expected, "{hex}");
    }
}
