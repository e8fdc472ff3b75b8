// SPDX-License-Identifier: GPL-2.0-only
//! What is guaranteed of [`Scalar`]: no number is lost. If `x` is in one set and `y` in another, then `x <op> y` is in
//! what the operation makes of both. The same of comparisons is in `branch`.
//!
//! Sets are built around a member, so they are never contradictory. Ranges that are a few numbers wide are exhausted
//! where signs and halves meet; random ones come from proptest. The concrete side is plain wrapping arithmetic,
//! written here.

mod branch;

use proptest::prelude::*;

use super::Scalar;
use crate::tnum::Tnum;

type OnSets = fn(&mut Scalar, &Scalar);
type Binary = (&'static str, OnSets, fn(u64, u64) -> u64);
type Shift = (&'static str, OnSets, fn(u64, u32) -> u64, OnSets, fn(u32, u32) -> u32);

/// Name, on sets, on numbers of 64 bits. The low halves of the results are those of the low halves.
const BINARY: [Binary; 6] = [
    ("add", Scalar::add, u64::wrapping_add),
    ("sub", Scalar::sub, u64::wrapping_sub),
    ("mul", Scalar::mul, u64::wrapping_mul),
    ("and", Scalar::and, |x, y| x & y),
    ("or", Scalar::or, |x, y| x | y),
    ("xor", Scalar::xor, |x, y| x ^ y),
];

/// Name, on sets and on numbers of 64 bits, then of 32.
const SHIFTS: [Shift; 3] = [
    ("lsh", Scalar::lsh, |x, by| x << by, Scalar::lsh_32, |x, by| x << by),
    ("rsh", Scalar::rsh, |x, by| x >> by, Scalar::rsh_32, |x, by| x >> by),
    ("arsh", Scalar::arsh, |x, by| (x as i64 >> by) as u64, Scalar::arsh_32, |x, by| (x as i32 >> by) as u32),
];

/// Where signs change and halves carry.
const PIVOTS: [u64; 6] = [0, 1 << 31, 1 << 32, 1 << 63, (1 << 63) | (1 << 31), u64::MAX << 31];

fn has(set: &Scalar, x: u64) -> bool {
    x & !set.var_off.mask == set.var_off.value
        && (set.umin..=set.umax).contains(&x)
        && (set.smin..=set.smax).contains(&(x as i64))
        && (set.u32_min..=set.u32_max).contains(&(x as u32))
        && (set.s32_min..=set.s32_max).contains(&(x as i32))
}

/// The result of `what` on the numbers `of` is in the set.
#[track_caller]
fn assert_has(set: &Scalar, result: u64, what: &str, of: (u64, u64)) {
    assert!(has(set, result), "{what} of {of:#x?} loses {result:#x}: {set:#x?}");
}

/// `set` after `op`, made consistent.
fn after(set: &Scalar, op: impl FnOnce(&mut Scalar)) -> Scalar {
    let mut set = *set;
    op(&mut set);
    set.sync();
    set
}

/// Each binary operation, of 64 and of 32 bits, on members of both sets.
#[track_caller]
fn check_binary(a: &Scalar, b: &Scalar, xs: &[u64], ys: &[u64]) {
    for (name, on_sets, on_numbers) in BINARY {
        let wide = after(a, |set| on_sets(set, b));
        let half = after(a, |set| {
            on_sets(set, b);
            set.zext_32_to_64();
        });
        for &x in xs {
            for &y in ys {
                let want = on_numbers(x, y);
                assert_has(&wide, want, name, (x, y));
                assert_has(&half, want & 0xffff_ffff, name, (x, y));
            }
        }
    }
}

/// Each shift, of 64 and of 32 bits, of members of the set.
fn check_shifts(a: &Scalar, xs: &[u64], by: u32) {
    for (name, wide, on_wide, half, on_half) in SHIFTS {
        let whole = after(a, |set| wide(set, &Scalar::constant(by.into())));
        let low = after(a, |set| {
            half(set, &Scalar::constant((by % 32).into()));
            set.zext_32_to_64();
        });
        for &x in xs {
            assert_has(&whole, on_wide(x, by), name, (x, by.into()));
            assert_has(&low, on_half(x as u32, by % 32).into(), name, (x, by.into()));
        }
    }
}

/// Sets of up to five numbers about each pivot, each stated as range of one kind, and their numbers.
fn windows() -> Vec<(Scalar, Vec<u64>)> {
    let mut sets = Vec::new();
    for pivot in PIVOTS {
        for first in -3i64..2 {
            for last in first..2 {
                let numbers: Vec<u64> = (first..=last).map(|d| pivot.wrapping_add(d as u64)).collect();
                let (min, max) = (numbers[0], numbers[numbers.len() - 1]);
                let any = Scalar::UNKNOWN;
                let stated = [
                    Scalar { umin: min, umax: max, ..any },
                    Scalar { smin: min as i64, smax: max as i64, ..any },
                    Scalar { u32_min: min as u32, u32_max: max as u32, ..any },
                    Scalar { s32_min: min as i32, s32_max: max as i32, ..any },
                ];
                // A range that wraps around in its kind states something else.
                for mut set in stated.into_iter().filter(|set| numbers.iter().all(|&x| has(set, x))) {
                    set.sync();
                    sets.push((set, numbers.clone()));
                }
            }
        }
    }
    sets
}

fn number() -> impl Strategy<Value = u64> {
    let near_pivot = (prop::sample::select(&PIVOTS[..]), -4i64..5);
    prop_oneof![
        any::<u64>(),
        any::<u32>().prop_map(u64::from),
        any::<i32>().prop_map(|x| i64::from(x) as u64),
        near_pivot.prop_map(|(pivot, d)| pivot.wrapping_add(d as u64)),
    ]
}

/// A set that holds `x`: some bits known, each bound some way off or none, and not yet made consistent.
fn around(x: u64, bits: [u64; 2], off: [(u64, u32); 8]) -> Scalar {
    let mask = [0, bits[0], bits[0] & bits[1], bits[0] | bits[1], u64::MAX, u64::MAX][(bits[1] % 6) as usize];
    let off = off.map(|(off, shift)| if shift > 64 { u64::MAX } else { off.checked_shr(shift).unwrap_or(0) });
    let low = off.map(|off| off.min(u32::MAX.into()) as u32);
    let (x32, s32) = (x as u32, x as i32);
    Scalar {
        var_off: Tnum { value: x & !mask, mask },
        umin: x.saturating_sub(off[0]),
        umax: x.saturating_add(off[1]),
        smin: (x as i64).saturating_sub_unsigned(off[2]),
        smax: (x as i64).saturating_add_unsigned(off[3]),
        u32_min: x32.saturating_sub(low[4]),
        u32_max: x32.saturating_add(low[5]),
        s32_min: s32.saturating_sub_unsigned(low[6]),
        s32_max: s32.saturating_add_unsigned(low[7]),
    }
}

fn set_of(number: impl Strategy<Value = u64>) -> impl Strategy<Value = (u64, Scalar)> {
    let offsets = prop::array::uniform8((any::<u64>(), 0u32..90));
    (number, any::<[u64; 2]>(), offsets).prop_map(|(x, bits, off)| (x, around(x, bits, off)))
}

/// A number and a consistent set that holds it.
fn member() -> impl Strategy<Value = (u64, Scalar)> {
    set_of(number()).prop_map(|(x, set)| (x, after(&set, |_| {})))
}

/// Two of them, whose numbers are often close or share a half.
fn members() -> impl Strategy<Value = [(u64, Scalar); 2]> {
    (member(), 0u32..5, -2i64..3, number()).prop_flat_map(|(first, kin, d, other)| {
        let x = first.0;
        let y = match kin {
            0 => x.wrapping_add(d as u64),
            1 => x & 0xffff_ffff | other & !0xffff_ffff,
            2 => 1 << (other % 64),
            _ => other,
        };
        set_of(Just(y)).prop_map(move |(y, set)| [first, (y, after(&set, |_| {}))])
    })
}

#[test]
fn narrow_ranges_lose_no_result() {
    let sets = windows();
    for (a, xs) in &sets {
        for (b, ys) in sets.iter().step_by(3) {
            check_binary(a, b, xs, ys);
        }
    }
}

#[test]
fn shifts_to_the_edge_lose_no_result() {
    for by in 0..64 {
        for bit in 0..64 {
            for max in [(1 << bit) - 1, 1 << bit, (1 << bit) + 1] {
                let set = after(&Scalar { umax: max, ..Scalar::UNKNOWN }, |_| {});
                check_shifts(&set, &[0, max / 2, max - u64::from(max > 0), max], by);
            }
        }
    }
}

#[test]
fn one_number_is_found_from_any_bounds_of_it() {
    for pivot in PIVOTS {
        for x in (-3i64..4).map(|d| pivot.wrapping_add(d as u64)) {
            let any = Scalar::UNKNOWN;
            for set in [
                Scalar { umin: x, umax: x, ..any },
                Scalar { smin: x as i64, smax: x as i64, ..any },
                Scalar { var_off: Tnum::constant(x), ..any },
            ] {
                assert_eq!(after(&set, |_| {}), Scalar::constant(x), "{x:#x}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn sync_loses_nothing((x, stated) in set_of(number())) {
        prop_assert!(has(&stated, x), "the test's own set");
        let synced = after(&stated, |_| {});
        assert_has(&synced, x, "sync", (x, 0));
        assert_has(&after(&synced, |_| {}), x, "second sync", (x, 0));
    }

    #[test]
    fn binary_operations_lose_no_result([(x, a), (y, b)] in members()) {
        check_binary(&a, &b, &[x], &[y]);
    }

    #[test]
    fn shifts_lose_no_result((x, a) in member(), by in 0u32..64) {
        check_shifts(&a, &[x], by);
    }

    #[test]
    fn negation_and_extension_lose_no_result((x, a) in member()) {
        assert_has(&after(&a, Scalar::neg), x.wrapping_neg(), "neg", (x, 0));
        let neg_32 = after(&a, |set| {
            set.neg();
            set.zext_32_to_64();
        });
        assert_has(&neg_32, (x as u32).wrapping_neg().into(), "neg32", (x, 0));
        assert_has(&after(&a, Scalar::zext_32_to_64), x & 0xffff_ffff, "zext", (x, 0));
        let bytes = [(1, u64::from(x as u8), i64::from(x as i8)), (2, (x as u16).into(), i64::from(x as i16))];
        for (size, zero, sign) in bytes.into_iter().chain([(4, (x as u32).into(), i64::from(x as i32))]) {
            assert_has(&after(&a, |set| set.coerce_to_size(size)), zero, "coerce", (x, size.into()));
            let mut extended = a;
            extended.coerce_to_size_sx(size);
            assert_has(&extended, sign as u64, "coerce_sx before sync", (x, size.into()));
            assert_has(&after(&extended, |_| {}), sign as u64, "coerce_sx", (x, size.into()));
            if size < 4 {
                let low = after(&a, |set| {
                    set.coerce_subreg_to_size_sx(size);
                    set.zext_32_to_64();
                });
                assert_has(&low, u64::from(sign as u32), "coerce_subreg_sx", (x, size.into()));
            }
        }
    }

    #[test]
    fn byte_swaps_lose_no_result((x, a) in member()) {
        let swapped = [(2, u64::from((x as u16).swap_bytes())), (4, (x as u32).swap_bytes().into())];
        for (size, want) in swapped.into_iter().chain([(8, x.swap_bytes())]) {
            assert_has(&after(&a, |set| set.swap_bytes(size, true)), want, "swap", (x, size.into()));
            let kept = x << (64 - size * 8) >> (64 - size * 8);
            assert_has(&after(&a, |set| set.swap_bytes(size, false)), kept, "no swap", (x, size.into()));
        }
    }

    #[test]
    fn marks_lose_nothing((x, a) in member()) {
        for mark in [Scalar::unbound, Scalar::unbound_32, Scalar::unbound_64] {
            assert_has(&after(&a, mark), x, "mark", (x, 0));
        }
        assert_has(&after(&a, |set| set.know_32(x as u32)), x, "know_32", (x, 0));
        prop_assert!(a.const_value(false).is_none_or(|known| known == x));
        prop_assert!(a.const_value(true).is_none_or(|known| known == x & 0xffff_ffff));
    }
}
