// SPDX-License-Identifier: MIT OR Apache-2.0
//! The helpers: one row for each, with what the kernel's verifier asks about it (`struct bpf_func_proto`) and
//! who may call it (the `*_func_proto` functions). A helper that means something else to another program type,
//! as `bpf_perf_event_output` or `bpf_sk_storage_get` do, has one prototype for each meaning.
//!
//! The rows hold what Linux 6.18 says; prototypes and callers from the source of 6.12, brought up to date by
//! asking a running 6.18 (`tests/helpers.rs`, which still does).

mod callers;
mod map;
mod skb;
mod sock;
mod trace;
mod types;

use crate::{AttachType, HelperId, ProgType};
pub use callers::{Attach, ProgTypes};
pub use types::*;

/// A release of Linux: major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release(pub u16, pub u16);

/// The release that the table speaks of where it is not asked for another.
pub const LATEST: Release = Release(6, 18);

/// What a program must have been loaded with to call a helper, besides what its type asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cap {
    /// Nothing.
    None,
    /// `CAP_BPF`.
    Bpf,
    /// `CAP_PERFMON`, and `CAP_BPF`.
    Perfmon,
}

/// Whether a helper may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MightSleep {
    /// Never.
    No,
    /// In programs that may sleep; others may call it too, and then it does not.
    WhereAllowed,
    /// So that only programs that may sleep may call it.
    Yes,
}

/// `struct bpf_func_proto`, and the programs that it is for.
#[derive(Clone, Copy, Debug)]
pub struct Proto {
    /// Result.
    pub ret: RetType,
    /// Arguments `r1` to `r5`; [`Arg::DontCare`] from the first that there is not.
    pub args: [ArgType; 5],
    /// Only for programs under a licence compatible with the GPL.
    pub gpl_only: bool,
    /// Packet memory will do where memory is asked for.
    pub pkt_access: bool,
    /// Whether it may sleep.
    pub might_sleep: MightSleep,
    /// Keeps the registers that it has no use for (`bpf_fastcall`).
    pub allow_fastcall: bool,
    /// `bpf_func_proto::allowed`: only for programs attached to certain functions of the kernel.
    pub by_target: bool,
    /// Where its callers attach.
    pub attach: Attach,
    /// Its callers need not have the capability that others need.
    exempt: bool,
    callers: ProgTypes,
    later: Option<(Release, ProgTypes)>,
}

impl Proto {
    /// Whether programs of this type, attached like this, may call it in Linux 6.18.
    #[must_use]
    pub fn allows(&self, prog_type: ProgType, attach_type: AttachType) -> bool {
        self.allows_in(LATEST, prog_type, attach_type)
    }

    /// As [`Proto::allows`], in a release from 6.12 on; what earlier ones lacked is known by helper only
    /// ([`Helper::since`]).
    #[must_use]
    pub fn allows_in(&self, release: Release, prog_type: ProgType, attach_type: AttachType) -> bool {
        let later = self.later.is_some_and(|(since, types)| release >= since && types.contains(prog_type));
        (self.callers.contains(prog_type) || later) && self.attach.allows(attach_type)
    }

    /// Number of arguments.
    #[must_use]
    pub fn arity(&self) -> usize {
        self.args.iter().take_while(|arg| arg.base != Arg::DontCare).count()
    }

    const fn gpl_only(self) -> Proto {
        Proto { gpl_only: true, ..self }
    }

    const fn pkt_access(self) -> Proto {
        Proto { pkt_access: true, ..self }
    }

    const fn might_sleep(self) -> Proto {
        Proto { might_sleep: MightSleep::Yes, ..self }
    }

    const fn might_sleep_where_allowed(self) -> Proto {
        Proto { might_sleep: MightSleep::WhereAllowed, ..self }
    }

    const fn fastcall(self) -> Proto {
        Proto { allow_fastcall: true, ..self }
    }

    const fn by_target(self) -> Proto {
        Proto { by_target: true, ..self }
    }

    const fn exempt(self) -> Proto {
        Proto { exempt: true, ..self }
    }

    const fn by<const N: usize>(self, types: [ProgTypes; N]) -> Proto {
        Proto { callers: ProgTypes::union(types), ..self }
    }

    const fn by_except<const N: usize, const M: usize>(
        self,
        types: [ProgTypes; N],
        but: [ProgTypes; M],
    ) -> Proto {
        Proto { callers: ProgTypes::union(types).minus(ProgTypes::union(but)), ..self }
    }

    const fn later<const N: usize>(self, since: Release, types: [ProgTypes; N]) -> Proto {
        Proto { later: Some((since, ProgTypes::union(types))), ..self }
    }

    const fn later_except<const N: usize, const M: usize>(
        self,
        since: Release,
        types: [ProgTypes; N],
        but: [ProgTypes; M],
    ) -> Proto {
        Proto { later: Some((since, ProgTypes::union(types).minus(ProgTypes::union(but)))), ..self }
    }

    const fn at(self, attach: &'static [AttachType]) -> Proto {
        Proto { attach: Attach::At(attach), ..self }
    }

    const fn not_at(self, attach: &'static [AttachType]) -> Proto {
        Proto { attach: Attach::NotAt(attach), ..self }
    }
}

const fn proto<const N: usize>(ret: RetType, given: [ArgType; N]) -> Proto {
    let mut args = [DONTCARE; 5];
    let mut i = 0;
    while i < N {
        args[i] = given[i];
        i += 1;
    }
    Proto {
        ret,
        args,
        gpl_only: false,
        pkt_access: false,
        might_sleep: MightSleep::No,
        allow_fastcall: false,
        by_target: false,
        attach: Attach::Any,
        exempt: false,
        callers: ProgTypes::union([]),
        later: None,
    }
}

/// A helper.
#[derive(Clone, Copy, Debug)]
pub struct Helper {
    /// Number in a call instruction.
    pub id: HelperId,
    /// Name in C and in the kernel's log, `bpf_` included.
    pub name: &'static str,
    /// Release that first had it; no test looks at kernels that old.
    pub since: Release,
    cap: Cap,
    /// The packet may have moved afterwards: pointers into it are void (`bpf_helper_changes_pkt_data`).
    pub changes_packet: bool,
    /// Prototypes; for a program, the first that allows it.
    pub protos: &'static [Proto],
}

impl Helper {
    /// The prototype for programs of this type and attach type in Linux 6.18; `None` where the kernel says
    /// `program of this type cannot use helper`.
    #[must_use]
    pub fn proto(&self, prog_type: ProgType, attach_type: AttachType) -> Option<&'static Proto> {
        self.proto_in(LATEST, prog_type, attach_type)
    }

    /// As [`Helper::proto`], in a release from 6.1 on; of those before 6.12, [`Proto::allows_in`] knows as much as of
    /// that one.
    #[must_use]
    pub fn proto_in(
        &self,
        release: Release,
        prog_type: ProgType,
        attach_type: AttachType,
    ) -> Option<&'static Proto> {
        self.protos.iter().find(|proto| proto.allows_in(release, prog_type, attach_type))
    }

    /// Capability that programs with this prototype need in Linux 6.18; without it the kernel says that their
    /// type cannot use the helper.
    #[must_use]
    pub const fn cap(&self, proto: &Proto) -> Cap {
        if proto.exempt { Cap::None } else { self.cap }
    }
}

/// Declares helpers: number, name, release, capability, whether the packet changes, prototypes.
macro_rules! rows {
    (@changes) => { false };
    (@changes changes_packet) => { true };
    ($($id:literal $name:ident, $major:literal, $minor:literal, $cap:expr $(, $changes:ident)? => [$($proto:expr,)*];)*) => {
        /// Rows of this theme, by number.
        pub(super) static HELPERS: &[Helper] = &[$(Helper {
            id: HelperId($id),
            name: concat!("bpf_", stringify!($name)),
            since: Release($major, $minor),
            cap: $cap,
            changes_packet: rows!(@changes $($changes)?),
            protos: &[$($proto),*],
        }),*];
    };
}

use rows;

/// Every helper, in no particular order.
pub fn helpers() -> impl Iterator<Item = &'static Helper> {
    [map::HELPERS, skb::HELPERS, sock::HELPERS, trace::HELPERS].into_iter().flatten()
}

/// The rows by number; 0 is no helper.
static BY_ID: [Option<&'static Helper>; HelperId::ALL.len()] = {
    let themes = [map::HELPERS, skb::HELPERS, sock::HELPERS, trace::HELPERS];
    let mut table = [None; HelperId::ALL.len()];
    let mut theme = 0;
    while theme < themes.len() {
        let mut row = 0;
        while row < themes[theme].len() {
            let helper = &themes[theme][row];
            table[helper.id.0 as usize] = Some(helper);
            row += 1;
        }
        theme += 1;
    }
    table
};

/// The helper with this number.
#[must_use]
pub fn helper(id: HelperId) -> Option<&'static Helper> {
    *BY_ID.get(id.0 as usize)?
}

/// The helper with this name, with or without `bpf_`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Helper> {
    let bare = name.strip_prefix("bpf_").unwrap_or(name);
    helpers().find(|helper| helper.name.strip_prefix("bpf_") == Some(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_row_under_its_name() {
        assert_eq!(helpers().count(), HelperId::ALL.len() - 1);
        for &id in HelperId::ALL.iter().filter(|id| **id != HelperId::UNSPEC) {
            let row = helper(id).unwrap_or_else(|| panic!("{id} has no row"));
            assert_eq!(row.id, id);
            assert_eq!(Some(row.name.trim_start_matches("bpf_")), id.name());
            assert_eq!(by_name(row.name).map(|h| h.id), Some(id));
            assert!(!row.protos.is_empty(), "{} has no prototype", row.name);
        }
        assert!(helper(HelperId(0)).is_none());
        assert!(helper(HelperId(u32::MAX)).is_none());
    }

    #[test]
    fn prototypes_are_of_the_kernels_form() {
        for row in helpers() {
            for proto in row.protos {
                let arity = proto.arity();
                assert!(proto.args[arity..].iter().all(|a| a.base == Arg::DontCare), "{}: gap", row.name);
                for (i, arg) in proto.args.iter().enumerate() {
                    let sizes = matches!(arg.base, Arg::ConstSize | Arg::ConstSizeOrZero);
                    assert!(
                        !sizes || i > 0 && proto.args[i - 1].base == Arg::PtrToMem,
                        "{}: r{}",
                        row.name,
                        i + 1
                    );
                    assert_eq!(arg.size != 0, arg.flags & MEM_FIXED_SIZE != 0, "{}: r{}", row.name, i + 1);
                }
            }
        }
    }

    #[test]
    fn rows_answer_for_the_callers_program() {
        let row = helper(HelperId::SK_STORAGE_GET).expect("a known helper");
        let second = |t| row.proto(t, AttachType(0)).map(|p| p.args[1].base);
        assert_eq!(second(ProgType::CGROUP_SOCK), Some(Arg::PtrToCtx));
        assert_eq!(second(ProgType::SCHED_CLS), Some(Arg::PtrToBtfIdSockCommon));
        assert_eq!(second(ProgType::XDP), None);
        let bind = by_name("bpf_bind").expect("a known helper");
        assert!(bind.proto(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_CONNECT).is_some());
        assert!(bind.proto(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_BIND).is_none());
    }
}
