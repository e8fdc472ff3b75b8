// SPDX-License-Identifier: GPL-2.0-only
//! Ranges of registers that contradict themselves (`reg_bounds_sanity_check @ 6.18`).

use crate::env::Env;
use crate::scalar::Scalar;
use crate::stop::{EFAULT, Res, verbose};

/// What is wrong with the descriptions of a number, if they cannot all be true.
fn violation(val: &Scalar) -> Option<&'static str> {
    if val.umin > val.umax || val.smin > val.smax || val.u32_min > val.u32_max || val.s32_min > val.s32_max {
        return Some("range bounds violation");
    }
    if val.var_off.is_const() {
        let value = val.var_off.value;
        if (val.umin, val.umax) != (value, value) || (val.smin, val.smax) != (value as i64, value as i64) {
            return Some("const tnum out of sync with range bounds");
        }
    }
    if let Some(low) = val.const_value(true) {
        let low = low as u32;
        if (val.u32_min, val.u32_max) != (low, low) || (val.s32_min, val.s32_max) != (low as i32, low as i32)
        {
            return Some("const subreg tnum out of sync with range bounds");
        }
    }
    None
}

impl Env<'_> {
    /// `reg_bounds_sanity_check`: says so in the log where a register's ranges contradict themselves, and forgets
    /// them, or refuses the program if it was loaded with `BPF_F_TEST_REG_INVARIANTS`.
    pub(crate) fn reg_bounds_sanity_check(&mut self, frame: usize, regno: u32, ctx: &str) -> Res {
        let val = self.cur.frames[frame].regs[regno as usize].val;
        let Some(sane) = self.scalar_sanity_check(&val, ctx)? else { return Ok(()) };
        self.cur.frames[frame].regs[regno as usize].val = sane;
        Ok(())
    }

    /// As [`Env::reg_bounds_sanity_check`], for a number that is in no register; gives what to replace it with.
    pub(crate) fn scalar_sanity_check(&mut self, val: &Scalar, ctx: &str) -> Res<Option<Scalar>> {
        let Some(msg) = violation(val).filter(|_| self.profile().checks_contradictions()) else {
            return Ok(None);
        };
        let bug = if self.profile().contradictions_are_bugs() { "verifier bug: " } else { "" };
        verbose!(
            self,
            "{bug}REG INVARIANTS VIOLATION ({ctx}): {msg} u64=[{:#x}, {:#x}] s64=[{:#x}, {:#x}] u32=[{:#x}, {:#x}] \
             s32=[{:#x}, {:#x}] var_off=({:#x}, {:#x})\n",
            val.umin,
            val.umax,
            val.smin,
            val.smax,
            val.u32_min,
            val.u32_max,
            val.s32_min,
            val.s32_max,
            val.var_off.value,
            val.var_off.mask
        );
        if self.test_reg_invariants {
            return Err(EFAULT);
        }
        let mut sane = *val;
        sane.unbound();
        Ok(Some(sane))
    }
}
