// SPDX-License-Identifier: GPL-2.0-only
//! What is guaranteed of comparisons: where `x <cond> y` holds, `x` and `y` stay in the sets that the branch leaves, and
//! no outcome is foretold that is not theirs; of 64 and of 32 bits, of two registers and of one with itself.

use proptest::prelude::*;

use super::{Scalar, has, members, number, windows};
use crate::scalar::{Sides, branch_taken, cond, flip, invert};

const CONDS: [u8; 12] = [
    cond::JEQ,
    cond::JNE,
    cond::JSET,
    cond::JNSET,
    cond::JGT,
    cond::JGE,
    cond::JLT,
    cond::JLE,
    cond::JSGT,
    cond::JSGE,
    cond::JSLT,
    cond::JSLE,
];

/// `x <opcode> y`, of the whole or of the low halves.
fn compare(opcode: u8, x: u64, y: u64, is_jmp32: bool) -> bool {
    let (x, y, s, t) = if is_jmp32 {
        (x & 0xffff_ffff, y & 0xffff_ffff, i64::from(x as i32), i64::from(y as i32))
    } else {
        (x, y, x as i64, y as i64)
    };
    match opcode {
        cond::JEQ => x == y,
        cond::JNE => x != y,
        cond::JSET => x & y != 0,
        cond::JNSET => x & y == 0,
        cond::JGT => x > y,
        cond::JGE => x >= y,
        cond::JLT => x < y,
        cond::JLE => x <= y,
        cond::JSGT => s > t,
        cond::JSGE => s >= t,
        cond::JSLT => s < t,
        cond::JSLE => s <= t,
        other => unreachable!("{other:#x} is no condition"),
    }
}

/// Each condition, of 64 and of 32 bits: what is foretold, and what the branch that is taken leaves.
#[track_caller]
fn check_conds(a: &Scalar, b: &Scalar, same: bool, pairs: &[(u64, u64)]) {
    for opcode in CONDS {
        for is_jmp32 in [false, true] {
            let foretold = if opcode == cond::JNSET { None } else { branch_taken(a, b, opcode, is_jmp32) };
            let [taken, not_taken] = [opcode, invert(opcode)].map(|opcode| {
                let mut sides = Sides::new(*a, *b, same);
                sides.refine(opcode, is_jmp32);
                sides
            });
            for &(x, y) in pairs {
                let holds = compare(opcode, x, y, is_jmp32);
                let what = if is_jmp32 { "jmp32" } else { "jmp" };
                let told = foretold.is_none_or(|told| told == holds);
                assert!(told, "{what} {opcode:#x} of {x:#x} and {y:#x}: {a:#x?} {b:#x?}");
                let sides = if holds { &taken } else { &not_taken };
                assert!(
                    has(sides.first(), x),
                    "{what} {opcode:#x} loses {x:#x}, beside {y:#x}: {a:#x?} {b:#x?}"
                );
                assert!(
                    has(sides.second(), y),
                    "{what} {opcode:#x} loses {y:#x}, beside {x:#x}: {a:#x?} {b:#x?}"
                );
            }
        }
    }
}

#[test]
fn narrow_ranges_lose_no_branch() {
    let sets = windows();
    for (i, (a, xs)) in sets.iter().enumerate() {
        let itself: Vec<_> = xs.iter().map(|&x| (x, x)).collect();
        check_conds(a, a, true, &itself);
        for (b, ys) in sets.iter().skip(i % 3).step_by(3) {
            let pairs: Vec<_> = xs.iter().flat_map(|&x| ys.iter().map(move |&y| (x, y))).collect();
            check_conds(a, b, false, &pairs);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn branches_lose_no_member([(x, a), (y, b)] in members()) {
        check_conds(&a, &b, false, &[(x, y)]);
        check_conds(&a, &Scalar::constant(y), false, &[(x, y)]);
        check_conds(&Scalar::constant(x), &b, false, &[(x, y)]);
        check_conds(&a, &a, true, &[(x, x)]);
    }

    #[test]
    fn flipped_and_inverted_conditions_mean_so(x in number(), y in number(), is_jmp32 in any::<bool>()) {
        for opcode in CONDS {
            let holds = compare(opcode, x, y, is_jmp32);
            prop_assert_eq!(compare(flip(opcode), y, x, is_jmp32), holds);
            prop_assert_eq!(compare(invert(opcode), x, y, is_jmp32), !holds);
        }
    }
}
