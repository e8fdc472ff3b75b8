// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be wrong with BTF.

/// BTF that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Not the magic number.
    #[error("starts with {0:#06x} instead of 0xeb9f")]
    Magic(u16),
    /// The other byte order.
    #[error("is big-endian; little-endian is needed")]
    BigEndian,
    /// A version other than 1.
    #[error("is of version {0}; only version 1 is known")]
    Version(u8),
    /// A part lies outside.
    #[error("{what} at {at:#x} is cut short")]
    Truncated {
        /// What is cut short.
        what: &'static str,
        /// Where it starts, in bytes.
        at: usize,
    },
    /// A type is cut short.
    #[error("type {id} at {at:#x} of the type section is cut short")]
    TruncatedType {
        /// Id of the type.
        id: u32,
        /// Where it starts in the type section, in bytes.
        at: usize,
    },
    /// A kind that Linux 6.18 does not know.
    #[error("type {id} is of unknown kind {kind}")]
    Kind {
        /// Id of the type.
        id: u32,
        /// Number of its kind.
        kind: u8,
    },
    /// The string section does not start and end with a zero byte.
    #[error("the string section does not start and end with a zero byte")]
    Strings,
    /// More types than the kernel takes.
    #[error("has more than {0} types")]
    TooManyTypes(usize),
    /// A table of `.BTF.ext` with records of an impossible size.
    #[error("{table}: records of {size} bytes; at least {least} are needed, in whole words")]
    RecordSize {
        /// `func_info`, `line_info` or `core_relo`.
        table: &'static str,
        /// Bytes of a record as the file says.
        size: u32,
        /// Bytes that the uapi structure has.
        least: u32,
    },
}
