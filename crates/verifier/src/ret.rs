// SPDX-License-Identifier: GPL-2.0-only
//! What a program may return, by program and attach type (`check_return_code @ 6.18`).

use skep_uapi::{AttachType, ProgType};

use crate::env::Env;
use crate::reg::Reg;
use crate::reg_arg::RegArg;
use crate::reg_type::SCALAR_VALUE;
use crate::state::RetvalRange;
use crate::stop::{EACCES, EINVAL, ENOTSUPP, Res, verbose};
use crate::tnum::Tnum;

/// `NF_ACCEPT`, the highest verdict of a netfilter program.
const NF_ACCEPT: i32 = 1;
/// `SK_PASS`, the highest verdict of a socket lookup program.
const SK_PASS: i32 = 1;

/// What is asked of the result of the main function.
enum Wanted {
    /// Nothing.
    Anything,
    /// A number in the range.
    In(RetvalRange),
}

fn any_or(range: Option<(i32, i32)>) -> Wanted {
    range.map_or(Wanted::Anything, |(min, max)| Wanted::In(RetvalRange::new(min, max)))
}

/// The range of a program of this type, attached like this.
fn wanted(profile: crate::profile::Profile, prog_type: ProgType, attach: AttachType) -> Res<Wanted> {
    use AttachType as A;
    Ok(any_or(match prog_type {
        ProgType::CGROUP_SOCK_ADDR => Some(match attach {
            A::CGROUP_UDP4_RECVMSG
            | A::CGROUP_UDP6_RECVMSG
            | A::CGROUP_UNIX_RECVMSG
            | A::CGROUP_INET4_GETPEERNAME
            | A::CGROUP_INET6_GETPEERNAME
            | A::CGROUP_UNIX_GETPEERNAME
            | A::CGROUP_INET4_GETSOCKNAME
            | A::CGROUP_INET6_GETSOCKNAME
            | A::CGROUP_UNIX_GETSOCKNAME => (1, 1),
            A::CGROUP_INET4_BIND | A::CGROUP_INET6_BIND => (0, 3),
            _ => (0, 1),
        }),
        ProgType::CGROUP_SKB if attach == A::CGROUP_INET_EGRESS => Some((0, 3)),
        ProgType::CGROUP_SKB
        | ProgType::CGROUP_SOCK
        | ProgType::SOCK_OPS
        | ProgType::CGROUP_DEVICE
        | ProgType::CGROUP_SYSCTL
        | ProgType::CGROUP_SOCKOPT => Some((0, 1)),
        ProgType::TRACING => match attach {
            A::TRACE_FENTRY | A::TRACE_FEXIT => Some((0, 0)),
            A::TRACE_RAW_TP | A::MODIFY_RETURN => None,
            A::TRACE_ITER => Some((0, 1)),
            _ => return Err(ENOTSUPP),
        },
        ProgType::KPROBE => {
            let is_session = attach == A::TRACE_KPROBE_SESSION
                || (attach == A::TRACE_UPROBE_SESSION && profile.checks_uprobe_sessions());
            is_session.then_some((0, 1))
        }
        ProgType::SK_LOOKUP => Some((0, SK_PASS)),
        ProgType::NETFILTER => Some((0, NF_ACCEPT)),
        _ => None,
    }))
}

/// Known bits as messages had them before 6.8.
fn bits(bits: Tnum) -> String {
    format!("({:#x}; {:#x})", bits.value, bits.mask)
}

impl Env<'_> {
    /// `check_return_code`: what the register that a program, or a function verified on its own, returns in may
    /// hold.
    pub(crate) fn check_return_code(&mut self, regno: u32, reg_name: &str) -> Res {
        let frame = &self.cur.frames[0];
        let is_subprog = frame.subprogno != 0;
        let (in_async_callback, in_exception_callback) =
            (frame.in_async_callback_fn, frame.in_exception_callback_fn);
        let callback_range = frame.callback_ret_range;
        if (!is_subprog || in_exception_callback)
            && matches!(self.prog_type, ProgType::LSM | ProgType::STRUCT_OPS)
        {
            return self.unsupported("kernel BTF");
        }
        self.check_reg_arg(regno, RegArg::Src)?;
        if self.is_pointer_value(regno) {
            verbose!(self, "R{regno} leaks addr as return value\n");
            return Err(EACCES);
        }
        let reg = *self.reg(regno);
        if in_async_callback {
            return self.enforce_retval(&reg, regno, callback_range, "At async callback return", reg_name);
        }
        if is_subprog && !in_exception_callback {
            if reg.ty != SCALAR_VALUE {
                let ty = self.reg_type_str(reg.ty);
                verbose!(self, "At subprogram exit the register R{regno} is not a scalar value ({ty})\n");
                return Err(EINVAL);
            }
            return Ok(());
        }
        if let Wanted::In(range) = wanted(self.profile(), self.prog_type, self.expected_attach_type)? {
            self.enforce_retval(&reg, regno, range, "At program exit", reg_name)?;
            let egress = self.prog_type == ProgType::CGROUP_SKB
                && self.expected_attach_type == AttachType::CGROUP_INET_EGRESS;
            if egress && Tnum::range(2, 3).contains(reg.val.var_off) {
                self.enforce_expected_attach_type = true;
            }
        }
        Ok(())
    }

    fn enforce_retval(
        &mut self,
        reg: &Reg,
        regno: u32,
        range: RetvalRange,
        exit_ctx: &str,
        reg_name: &str,
    ) -> Res {
        if reg.ty != SCALAR_VALUE {
            let ty = self.reg_type_str(reg.ty);
            verbose!(self, "{exit_ctx} the register R{regno} is not a known value ({ty})\n");
            return Err(EINVAL);
        }
        self.mark_chain_precision(regno)?;
        if !range.covers(&reg.val, false) {
            self.verbose_invalid_scalar(reg, range, exit_ctx, reg_name);
            return Err(EINVAL);
        }
        Ok(())
    }

    /// `verbose_invalid_scalar`: which numbers a register may hold, and which it should.
    pub(crate) fn verbose_invalid_scalar(
        &mut self,
        reg: &Reg,
        range: RetvalRange,
        context: &str,
        reg_name: &str,
    ) {
        if !self.profile().returns_ranges() {
            let has = if reg.val.var_off.is_unknown() {
                "unknown scalar value".to_owned()
            } else {
                format!("value {}", bits(reg.val.var_off))
            };
            let wanted = bits(Tnum::range(range.min as u64, range.max as u64));
            verbose!(self, "{context} the register {reg_name} has {has} should have been in {wanted}\n");
            return;
        }
        verbose!(self, "{context} the register {reg_name} has");
        if reg.val.smin > i64::MIN {
            verbose!(self, " smin={}", reg.val.smin);
        }
        if reg.val.smax < i64::MAX {
            verbose!(self, " smax={}", reg.val.smax);
        }
        if reg.val.smin == i64::MIN && reg.val.smax == i64::MAX {
            verbose!(self, " unknown scalar value");
        }
        verbose!(self, " should have been in [{}, {}]\n", range.min, range.max);
    }
}
