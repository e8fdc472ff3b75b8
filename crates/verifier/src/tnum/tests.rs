// SPDX-License-Identifier: GPL-2.0-only
//! What is guaranteed of [`Tnum`]: the result of each operation on sets holds each result on their members, and is
//! the least such tnum where the operation is exact (all but multiplication).
//!
//! Exhausted over all tnums of 5 bits, at the low end and, where signs or carries matter, at the high end of the word;
//! random tnums of 64 bits cover the rest. Members are enumerated from value and mask, and the concrete side is plain
//! wrapping arithmetic.

use proptest::prelude::*;

use super::Tnum;

const BITS: u32 = 5;

type Binary = (&'static str, bool, fn(Tnum, Tnum) -> Tnum, fn(u64, u64) -> u64);

/// Name, whether the result is the least possible, on sets, on numbers.
const BINARY: [Binary; 6] = [
    ("add", true, Tnum::add, u64::wrapping_add),
    ("sub", true, Tnum::sub, u64::wrapping_sub),
    ("mul", false, Tnum::mul, u64::wrapping_mul),
    ("and", true, Tnum::and, |x, y| x & y),
    ("or", true, Tnum::or, |x, y| x | y),
    ("xor", true, Tnum::xor, |x, y| x ^ y),
];

/// A tnum of few bits, and its numbers in ascending order.
struct Set {
    tnum: Tnum,
    numbers: Vec<u64>,
}

/// All tnums of 5 bits, `shift` bits up.
fn small(shift: u32) -> Vec<Set> {
    let mut sets = Vec::new();
    for mask in 0..1u64 << BITS {
        for value in (0..1u64 << BITS).filter(|value| value & mask == 0) {
            let numbers = (0..1u64 << BITS).filter(|x| x & !mask == value).map(|x| x << shift).collect();
            sets.push(Set { tnum: Tnum { value: value << shift, mask: mask << shift }, numbers });
        }
    }
    sets
}

/// The least tnum that holds all the numbers: a bit is known where all agree.
fn least(numbers: impl IntoIterator<Item = u64>) -> Tnum {
    let (all, some) = numbers.into_iter().fold((u64::MAX, 0), |(all, some), x| (all & x, some | x));
    Tnum { value: all, mask: all ^ some }
}

fn has(set: Tnum, x: u64) -> bool {
    x & !set.mask == set.value
}

/// A number, and a tnum that holds it.
fn member() -> impl Strategy<Value = (u64, Tnum)> {
    let mask = prop_oneof![any::<u64>(), (any::<u64>(), any::<u64>()).prop_map(|(a, b)| a & b)];
    (any::<u64>(), mask).prop_map(|(x, mask)| (x, Tnum { value: x & !mask, mask }))
}

#[test]
fn binary_operations_hold_all_results() {
    let sets = small(0);
    for (name, exact, on_sets, on_numbers) in BINARY {
        for a in &sets {
            for b in &sets {
                let got = on_sets(a.tnum, b.tnum);
                let results =
                    a.numbers.iter().flat_map(|&x| b.numbers.iter().map(move |&y| on_numbers(x, y)));
                let want = least(results);
                assert_eq!(got.value & got.mask, 0, "{name} {} {}", a.tnum, b.tnum);
                assert!(has(got, want.value) && want.mask & !got.mask == 0, "{name} {} {}", a.tnum, b.tnum);
                assert!(!exact || got == want, "{name} {} {}: {got}, not {want}", a.tnum, b.tnum);
            }
        }
    }
}

#[test]
fn shifts_and_negation_are_exact() {
    for at in [0, 30, 59] {
        for Set { tnum, numbers } in small(at) {
            let each = |op: &dyn Fn(u64) -> u64| least(numbers.iter().map(|&x| op(x)));
            assert_eq!(tnum.neg(), each(&|x| 0u64.wrapping_sub(x)));
            for by in 0..64u8 {
                assert_eq!(tnum.lshift(by), each(&|x| x << by), "{tnum} << {by}");
                assert_eq!(tnum.rshift(by), each(&|x| x >> by), "{tnum} >> {by}");
                assert_eq!(tnum.arshift(by), each(&|x| (x as i64 >> by) as u64), "{tnum} s>> {by}");
            }
        }
    }
    for Set { tnum, numbers } in small(27) {
        for by in 0..32u8 {
            let want = least(numbers.iter().map(|&x| u64::from((x as u32 as i32 >> by) as u32)));
            assert_eq!(tnum.arshift32(by), want, "{tnum} s>> {by}, 32 bits");
        }
    }
}

#[test]
fn relations_are_those_of_the_sets() {
    let sets = small(0);
    for a in &sets {
        for b in &sets {
            let (shared, all) = (a.numbers.iter().filter(|x| b.numbers.contains(x)), &a.numbers);
            let shared: Vec<u64> = shared.copied().collect();
            assert_eq!(a.tnum.contains(b.tnum), shared.len() == b.numbers.len(), "{} {}", a.tnum, b.tnum);
            assert_eq!(a.tnum.overlaps(b.tnum), !shared.is_empty(), "{} {}", a.tnum, b.tnum);
            if !shared.is_empty() {
                assert_eq!(a.tnum.intersect(b.tnum), least(shared), "{} {}", a.tnum, b.tnum);
            }
            let both = least(all.iter().chain(&b.numbers).copied());
            assert_eq!(a.tnum.union(b.tnum), both, "{} {}", a.tnum, b.tnum);
        }
        for size in [0, 1, 2, 4, 8, 16, 32, 64] {
            let aligned = a.numbers.iter().all(|x| size == 0 || x % size == 0);
            assert_eq!(a.tnum.is_aligned(size), aligned, "{} {size}", a.tnum);
        }
        for x in 0..1 << BITS {
            assert_eq!(a.tnum.equals_const(x), a.numbers == [x]);
        }
        assert_eq!(a.tnum.is_const(), a.numbers.len() == 1);
        assert!(!a.tnum.is_unknown() && Tnum::UNKNOWN.contains(a.tnum));
    }
}

#[test]
fn next_after_is_the_next_member() {
    for at in [0, 30, 59] {
        for Set { tnum, numbers } in small(at) {
            let greatest = numbers[numbers.len() - 1];
            for step in 0..1u64 << BITS {
                for after in [(step << at).wrapping_sub(1), step << at, (step << at) + 1] {
                    let want = numbers.iter().copied().find(|&x| x > after).unwrap_or(greatest);
                    assert_eq!(tnum.next_after(after), want, "{tnum} after {after:#x}");
                }
            }
        }
    }
}

#[test]
fn range_is_the_least_tnum_of_it() {
    for min in 0..64 {
        for max in min..64 {
            assert_eq!(Tnum::range(min, max), least(min..=max), "{min}..={max}");
            assert_eq!(Tnum::range(!max, !min), least(!max..=!min), "{:#x}..={:#x}", !max, !min);
        }
    }
    assert!(Tnum::range(0, u64::MAX).is_unknown());
    assert!(Tnum::range((1 << 63) - 1, 1 << 63).is_unknown());
}

#[test]
fn printed_as_the_kernel_prints() {
    let printed = |value, mask| Tnum { value, mask }.to_string();
    assert_eq!(printed(65535, 0), "65535");
    assert_eq!(printed(65536, 0), "0x10000");
    assert_eq!(printed(4, 3), "(0x4; 0x3)");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wide_operations_hold_the_result((x, a) in member(), (y, b) in member()) {
        for (name, _, on_sets, on_numbers) in BINARY {
            prop_assert!(has(on_sets(a, b), on_numbers(x, y)), "{} of {:#x} and {:#x}", name, x, y);
        }
        prop_assert!(has(a.neg(), x.wrapping_neg()));
        prop_assert!(has(a.union(b), x) && has(a.union(b), y));
        // The same number in both, which then agree.
        let again = Tnum { value: x & !b.mask, mask: b.mask };
        prop_assert!(a.overlaps(again));
        prop_assert_eq!(a.intersect(again), Tnum { value: x & !(a.mask & b.mask), mask: a.mask & b.mask });
    }

    #[test]
    fn halves_and_bytes_move_with_the_number((x, a) in member(), (y, b) in member()) {
        let (high, low) = (x >> 32 << 32, x & 0xffff_ffff);
        prop_assert!(has(a.subreg(), low) && has(a.clear_subreg(), high));
        prop_assert_eq!(a.subreg().mask >> 32, 0);
        prop_assert_eq!(a.clear_subreg().mask, a.mask >> 32 << 32);
        prop_assert!(has(a.with_subreg(b), high | y & 0xffff_ffff));
        prop_assert_eq!(a.with_subreg(b).mask, a.mask >> 32 << 32 | b.mask & 0xffff_ffff);
        prop_assert!(has(a.const_subreg(y as u32), high | u64::from(y as u32)));
        prop_assert!(a.const_subreg(y as u32).subreg_is_const());
        prop_assert_eq!(a.subreg_is_const(), a.mask as u32 == 0);
        let bytes = x.to_le_bytes();
        for size in [1usize, 2, 4, 8] {
            let mut kept = [0; 8];
            kept[..size].copy_from_slice(&bytes[..size]);
            let cast = a.cast(size as u32);
            prop_assert!(has(cast, u64::from_le_bytes(kept)));
            kept[..size].reverse();
            let swapped = a.swap_bytes(size as u32);
            prop_assert!(has(swapped, u64::from_le_bytes(kept)));
            prop_assert_eq!(swapped.mask.count_ones(), cast.mask.count_ones());
        }
    }

    #[test]
    fn range_holds_what_lies_between(mut ends in any::<[u64; 3]>(), near in 0u32..64) {
        ends[1] = ends[0] ^ (ends[1] >> near);
        ends[2] = ends[0] ^ (ends[2] >> near);
        ends.sort_unstable();
        prop_assert!(has(Tnum::range(ends[0], ends[2]), ends[1]));
    }

    #[test]
    fn nothing_lies_before_next_after((x, a) in member(), after in any::<u64>(), near in 0u32..64) {
        let after = x ^ (after >> near);
        let next = a.next_after(after);
        prop_assert!(has(a, next));
        prop_assert!(x <= after || next > after && next <= x, "{} after {:#x} is {:#x}, not {:#x}", a, after, next, x);
    }
}
