// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers of the uapi with their names: open sets, because a program may carry a number that this release of
//! the kernel does not know, and the kernel's answer to that is part of what skep reproduces.

/// Declares a number of the uapi as a transparent newtype with its known values as constants.
macro_rules! numbers {
    (
        $(#[$doc:meta])* $type:ident prefix $prefix:literal;
        $($(#[$vdoc:meta])* $name:ident = $value:literal $word:literal;)*
    ) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $type(pub u32);

        impl $type {
            $(
                #[doc = concat!("`", $prefix, stringify!($name), "`")]
                $(#[$vdoc])*
                pub const $name: $type = $type($value);
            )*

            /// Every known value, in numeric order.
            pub const ALL: &'static [$type] = &[$($type($value)),*];

            /// What the kernel's names start with.
            pub const PREFIX: &'static str = $prefix;

            /// The kernel's name in lower case without its prefix; `None` for an unknown number.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($word),)*
                    _ => None,
                }
            }

            /// Finds a value by its name, in any case, with or without the kernel's prefix, or by its number.
            #[must_use]
            pub fn from_name(name: &str) -> Option<$type> {
                if let Ok(n) = name.parse() {
                    return Some($type(n));
                }
                let head = name.get(..$prefix.len()).unwrap_or("");
                let bare = if head.eq_ignore_ascii_case($prefix) { &name[$prefix.len()..] } else { name };
                $(
                    if bare.eq_ignore_ascii_case($word) {
                        return Some($type($value));
                    }
                )*
                None
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => self.0.fmt(f),
                }
            }
        }

        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    };
}

pub(crate) use numbers;
