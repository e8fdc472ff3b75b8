// SPDX-License-Identifier: GPL-2.0-only
//! `enum bpf_reg_type`: what a register holds, with the flags of `enum bpf_type_flag`.

use std::ops::BitOr;

use skep_uapi::helper::{PTR_MAYBE_NULL, TypeFlags};

/// Bits of the base type (`BPF_BASE_TYPE_BITS`); the flags are above them.
const BASE_BITS: u32 = 8;

/// A base type and its flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RegType(u32);

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        $($(#[$doc])* pub const $name: RegType = RegType($number);)*

        impl std::fmt::Debug for RegType {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let name = match self.base() {
                    $($name => stringify!($name),)*
                    _ => "?",
                };
                write!(f, "{name}|{:#x}", self.flags())
            }
        }
    };
}

types! {
    /// Nothing was written.
    NOT_INIT = 0;
    /// A number.
    SCALAR_VALUE = 1;
    /// The context.
    PTR_TO_CTX = 2;
    /// A `struct bpf_map`.
    CONST_PTR_TO_MAP = 3;
    /// The value of a map element.
    PTR_TO_MAP_VALUE = 4;
    /// The key of a map element.
    PTR_TO_MAP_KEY = 5;
    /// The frame pointer plus an offset.
    PTR_TO_STACK = 6;
    /// `skb->data - meta_len`.
    PTR_TO_PACKET_META = 7;
    /// `skb->data`.
    PTR_TO_PACKET = 8;
    /// `skb->data + headlen`.
    PTR_TO_PACKET_END = 9;
    /// A `bpf_flow_keys`.
    PTR_TO_FLOW_KEYS = 10;
    /// A `bpf_sock`.
    PTR_TO_SOCKET = 11;
    /// A `sock_common`.
    PTR_TO_SOCK_COMMON = 12;
    /// A `tcp_sock`.
    PTR_TO_TCP_SOCK = 13;
    /// The buffer of a writable raw tracepoint.
    PTR_TO_TP_BUFFER = 14;
    /// An `xdp_sock`.
    PTR_TO_XDP_SOCK = 15;
    /// A structure known by BTF.
    PTR_TO_BTF_ID = 16;
    /// Memory of known size.
    PTR_TO_MEM = 17;
    /// An arena.
    PTR_TO_ARENA = 18;
    /// A buffer whose size the attachment checks.
    PTR_TO_BUF = 19;
    /// A function of the program.
    PTR_TO_FUNC = 20;
    /// A constant `bpf_dynptr`.
    CONST_PTR_TO_DYNPTR = 21;
}

impl RegType {
    /// The type without flags (`base_type`).
    #[must_use]
    pub const fn base(self) -> RegType {
        RegType(self.0 & ((1 << BASE_BITS) - 1))
    }

    /// The flags (`type_flag`), as [`skep_uapi::helper`] numbers them.
    #[must_use]
    pub const fn flags(self) -> TypeFlags {
        self.0 >> BASE_BITS
    }

    /// Whether any of the flags is set.
    #[must_use]
    pub const fn has(self, flags: TypeFlags) -> bool {
        self.flags() & flags != 0
    }

    /// With these flags too.
    #[must_use]
    pub const fn with(self, flags: TypeFlags) -> RegType {
        RegType(self.0 | flags << BASE_BITS)
    }

    /// Without these flags.
    #[must_use]
    pub const fn without(self, flags: TypeFlags) -> RegType {
        RegType(self.0 & !(flags << BASE_BITS))
    }

    /// `type_may_be_null`.
    #[must_use]
    pub const fn may_be_null(self) -> bool {
        self.has(PTR_MAYBE_NULL)
    }

    /// `type_is_pkt_pointer`: a pointer into the packet or its metadata.
    #[must_use]
    pub fn is_pkt_pointer(self) -> bool {
        matches!(self.base(), PTR_TO_PACKET | PTR_TO_PACKET_META)
    }

    /// `type_is_sk_pointer`.
    #[must_use]
    pub fn is_sk_pointer(self) -> bool {
        matches!(self, PTR_TO_SOCKET | PTR_TO_SOCK_COMMON | PTR_TO_TCP_SOCK | PTR_TO_XDP_SOCK)
    }
}

impl BitOr<TypeFlags> for RegType {
    type Output = RegType;

    fn bitor(self, flags: TypeFlags) -> RegType {
        self.with(flags)
    }
}
