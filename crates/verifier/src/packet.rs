// SPDX-License-Identifier: GPL-2.0-only
//! Access to the packet (`check_packet_access`, `may_access_direct_pkt_data @ 6.18`).

use skep_uapi::ProgType;

use crate::env::Env;
use crate::mem::Access;
use crate::stop::{EACCES, EINVAL, Res, verbose};

impl Env<'_> {
    /// `may_access_direct_pkt_data`: whether programs of this type may; where a helper does it, whether it is one
    /// for that.
    pub(crate) fn may_access_direct_pkt_data(&mut self, helper_pkt_access: Option<bool>, t: Access) -> bool {
        match self.prog_type {
            ProgType::LWT_IN
            | ProgType::LWT_OUT
            | ProgType::LWT_SEG6LOCAL
            | ProgType::SK_REUSEPORT
            | ProgType::FLOW_DISSECTOR
            | ProgType::CGROUP_SKB
                if t == Access::Write =>
            {
                false
            }
            ProgType::LWT_IN
            | ProgType::LWT_OUT
            | ProgType::LWT_SEG6LOCAL
            | ProgType::SK_REUSEPORT
            | ProgType::FLOW_DISSECTOR
            | ProgType::CGROUP_SKB
            | ProgType::SCHED_CLS
            | ProgType::SCHED_ACT
            | ProgType::XDP
            | ProgType::LWT_XMIT
            | ProgType::SK_SKB
            | ProgType::SK_MSG => {
                self.seen_direct_write |= helper_pkt_access.is_none();
                helper_pkt_access.unwrap_or(true)
            }
            ProgType::CGROUP_SOCKOPT => {
                self.seen_direct_write |= t == Access::Write;
                true
            }
            _ => false,
        }
    }

    /// `check_packet_access`.
    pub(crate) fn check_packet_access(
        &mut self,
        regno: u32,
        off: i32,
        size: i32,
        zero_size_allowed: bool,
    ) -> Res {
        let reg = *self.reg(regno);
        if reg.val.smin < 0 {
            verbose!(
                self,
                "R{regno} min value is negative, either use unsigned index or do a if (index >=0) check.\n"
            );
            return Err(EACCES);
        }
        let result = if reg.range() < 0 {
            Err(EINVAL)
        } else {
            self.check_access(regno, off, size, reg.range() as u32, zero_size_allowed)
        };
        if result.is_err() {
            verbose!(self, "R{regno} offset is outside of the packet\n");
            return result;
        }
        let end = (i64::from(off) as u64).wrapping_add(reg.val.umax).wrapping_add(i64::from(size) as u64);
        self.max_pkt_offset = self.max_pkt_offset.max(end.wrapping_sub(1) as u32);
        Ok(())
    }
}
