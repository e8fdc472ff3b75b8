// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flag bits of bpf(2) commands and helpers, under their uapi names.

/// Declares groups of flags; each group knows the names of its bits.
macro_rules! flags {
    ($($(#[$doc:meta])* mod $module:ident: $type:ty { $($name:ident = $value:expr;)* })*) => {$(
        $(#[$doc])*
        pub mod $module {
            $(#[doc = concat!("`", stringify!($name), "`")] pub const $name: $type = $value;)*

            /// Every flag of the group with its name.
            pub const ALL: &[(&str, $type)] = &[$((stringify!($name), $name)),*];

            /// Finds a flag by name, in any case, with or without `BPF_` or `BPF_F_` before it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<$type> {
                let upper = name.to_ascii_uppercase();
                ALL.iter().find_map(|&(known, bit)| {
                    let short = known.strip_prefix("BPF_").unwrap_or(known);
                    let shorter = short.strip_prefix("F_").unwrap_or(short);
                    (upper == known || upper == short || upper == shorter).then_some(bit)
                })
            }
        }
    )*};
}

flags! {
    /// `map_flags` of `BPF_MAP_CREATE`.
    mod map_create: u32 {
        BPF_F_NO_PREALLOC = 1 << 0;
        BPF_F_NO_COMMON_LRU = 1 << 1;
        BPF_F_NUMA_NODE = 1 << 2;
        BPF_F_RDONLY = 1 << 3;
        BPF_F_WRONLY = 1 << 4;
        BPF_F_STACK_BUILD_ID = 1 << 5;
        BPF_F_ZERO_SEED = 1 << 6;
        BPF_F_RDONLY_PROG = 1 << 7;
        BPF_F_WRONLY_PROG = 1 << 8;
        BPF_F_CLONE = 1 << 9;
        BPF_F_MMAPABLE = 1 << 10;
        BPF_F_PRESERVE_ELEMS = 1 << 11;
        BPF_F_INNER_MAP = 1 << 12;
        BPF_F_LINK = 1 << 13;
        BPF_F_PATH_FD = 1 << 14;
        BPF_F_VTYPE_BTF_OBJ_FD = 1 << 15;
        BPF_F_TOKEN_FD = 1 << 16;
        BPF_F_SEGV_ON_FAULT = 1 << 17;
        BPF_F_NO_USER_CONV = 1 << 18;
    }
    /// `flags` of `BPF_MAP_UPDATE_ELEM` and of the helpers that update.
    mod map_update: u64 {
        BPF_ANY = 0;
        BPF_NOEXIST = 1;
        BPF_EXIST = 2;
        BPF_F_LOCK = 4;
    }
    /// `prog_flags` of `BPF_PROG_LOAD`.
    mod prog_load: u32 {
        BPF_F_STRICT_ALIGNMENT = 1 << 0;
        BPF_F_ANY_ALIGNMENT = 1 << 1;
        BPF_F_TEST_RND_HI32 = 1 << 2;
        BPF_F_TEST_STATE_FREQ = 1 << 3;
        BPF_F_SLEEPABLE = 1 << 4;
        BPF_F_XDP_HAS_FRAGS = 1 << 5;
        BPF_F_XDP_DEV_BOUND_ONLY = 1 << 6;
        BPF_F_TEST_REG_INVARIANTS = 1 << 7;
    }
}
