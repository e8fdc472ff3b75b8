// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw instructions: little-endian bytes, or the same in hex.

use skep_isa::Insn;

/// Bytes that are not a row of instructions.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RawError {
    /// Length is not a multiple of 8.
    #[error("{0} bytes are not whole instructions of 8 bytes; {rest} bytes are left over", rest = .0 % 8)]
    PartialInsn(usize),
    /// Not hex.
    #[error("not hex: {0}")]
    Hex(#[from] hex::FromHexError),
}

/// Reads instructions from their bytes.
///
/// # Errors
/// [`RawError::PartialInsn`] where bytes are left over.
pub fn insns_from_bytes(bytes: &[u8]) -> Result<Vec<Insn>, RawError> {
    let (whole, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(RawError::PartialInsn(bytes.len()));
    }
    Ok(whole.iter().map(|b| Insn::from_bytes(*b)).collect())
}

/// Reads instructions from hex; blanks are skipped.
///
/// # Errors
/// [`RawError`] for anything that is not hex of whole instructions.
pub fn insns_from_hex(text: &str) -> Result<Vec<Insn>, RawError> {
    let digits: String = text.split_whitespace().collect();
    insns_from_bytes(&hex::decode(digits)?)
}

/// The bytes of instructions.
#[must_use]
pub fn insns_to_bytes(insns: &[Insn]) -> Vec<u8> {
    insns.iter().flat_map(|i| i.to_bytes()).collect()
}

/// Instructions as serde sees them: their bytes.
pub(crate) mod as_bytes {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use skep_isa::Insn;

    pub fn serialize<S: Serializer>(insns: &[Insn], to: S) -> Result<S::Ok, S::Error> {
        super::insns_to_bytes(insns).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Insn>, D::Error> {
        super::insns_from_bytes(&Vec::deserialize(from)?).map_err(D::Error::custom)
    }
}
