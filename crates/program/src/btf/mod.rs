// SPDX-License-Identifier: MIT OR Apache-2.0
//! BTF, the type information of BPF programs (`include/uapi/linux/btf.h`).
//!
//! [`Btf`] keeps the type section as the bytes it was read from, with an index over it: what nobody edits comes
//! out byte for byte as it went in, and the few fix-ups that a loader makes are edits in place.
//!
//! Guarantees: [`Btf::parse`] checks every length, so no accessor panics on any input; ids and names that lead
//! nowhere are `None`; walks along types end after [`MAX_DEPTH`] steps, whatever cycles the types make.

mod edit;
mod error;
mod ext;
mod kind;
mod types;

pub use error::BtfError;
pub use ext::{BtfExt, ExtSection, ExtTable};
pub use kind::Kind;
pub use types::{Array, EnumValue, Linkage, Member, Param, Type, VarSecinfo};

/// Steps along modifiers, typedefs and arrays before a walk is given up (libbpf's `MAX_RESOLVE_DEPTH`).
pub const MAX_DEPTH: usize = 32;

/// Longest string taken, in bytes: a hostile file can name many things by one long string.
pub const MAX_STRING: usize = 4096;

/// Most types taken (`BTF_MAX_TYPE`).
const MAX_TYPES: usize = 0x000f_ffff;

const MAGIC: u16 = 0xeb9f;
/// Bytes of `struct btf_header`.
const HEADER: usize = 24;
/// Bytes of `struct btf_type`.
const TYPE: usize = 12;

/// Parsed BTF of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Btf {
    types: Vec<u8>,
    /// Where in `types` the type of id `i + 1` starts.
    offsets: Vec<u32>,
    strings: Vec<u8>,
}

/// The little-endian 32-bit word at an offset; the caller has checked the length.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

impl Default for Btf {
    fn default() -> Self {
        Btf { types: Vec::new(), offsets: Vec::new(), strings: vec![0] }
    }
}

impl Btf {
    /// Reads raw BTF: header, types, strings.
    ///
    /// # Errors
    /// [`BtfError`] for a foreign byte order, lengths that do not fit, or a kind that Linux 6.18 does not know.
    pub fn parse(bytes: &[u8]) -> Result<Btf, BtfError> {
        let magic = bytes.get(..2).ok_or(BtfError::Truncated { what: "header", at: 0 })?;
        match u16::from_le_bytes([magic[0], magic[1]]) {
            MAGIC => {}
            m if m.swap_bytes() == MAGIC => return Err(BtfError::BigEndian),
            m => return Err(BtfError::Magic(m)),
        }
        if bytes.len() < HEADER {
            return Err(BtfError::Truncated { what: "header", at: bytes.len() });
        }
        if bytes[2] != 1 {
            return Err(BtfError::Version(bytes[2]));
        }
        let section = |what, offset: u32, len: u32| {
            let start = word(bytes, 4) as usize + offset as usize;
            start
                .checked_add(len as usize)
                .and_then(|end| bytes.get(start..end))
                .ok_or(BtfError::Truncated { what, at: start })
        };
        let types = section("types", word(bytes, 8), word(bytes, 12))?;
        let strings = section("strings", word(bytes, 16), word(bytes, 20))?;
        if strings.first().is_some_and(|&b| b != 0) || strings.last().is_some_and(|&b| b != 0) {
            return Err(BtfError::Strings);
        }
        Ok(Btf { offsets: index(types)?, types: types.to_vec(), strings: strings.to_vec() })
    }

    /// The raw form that `BPF_BTF_LOAD` takes: header, types, strings, with nothing between them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.types.len() + self.strings.len());
        out.extend(MAGIC.to_le_bytes());
        out.extend([1, 0]);
        for field in [HEADER, 0, self.types.len(), self.types.len(), self.strings.len()] {
            out.extend((field as u32).to_le_bytes());
        }
        out.extend(&self.types);
        out.extend(&self.strings);
        out
    }

    /// Highest type id, which is the number of types without `void`.
    #[must_use]
    pub fn last_id(&self) -> u32 {
        self.offsets.len() as u32
    }

    /// The type of an id; `None` for `void` (0) and ids past the end.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<Type<'_>> {
        let start = *self.offsets.get((id as usize).checked_sub(1)?)? as usize;
        let end = self.offsets.get(id as usize).map_or(self.types.len(), |&o| o as usize);
        Some(Type { btf: self, id, bytes: &self.types[start..end] })
    }

    /// All types in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = Type<'_>> {
        (1..=self.last_id()).filter_map(|id| self.get(id))
    }

    /// The string at an offset; `None` out of range, not UTF-8, or longer than [`MAX_STRING`].
    #[must_use]
    pub fn string(&self, offset: u32) -> Option<&str> {
        let rest = self.strings.get(offset as usize..)?;
        let rest = &rest[..rest.len().min(MAX_STRING + 1)];
        let end = rest.iter().position(|&b| b == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }

    /// The first type of a kind with a name.
    #[must_use]
    pub fn find(&self, kind: Kind, name: &str) -> Option<Type<'_>> {
        self.iter().find(|t| t.kind() == kind && t.name() == name)
    }

    /// Follows modifiers and typedefs to the type behind them; `None` for `void` and cycles.
    #[must_use]
    pub fn skip_modifiers(&self, mut id: u32) -> Option<Type<'_>> {
        for _ in 0..MAX_DEPTH {
            let t = self.get(id)?;
            if !t.kind().is_modifier_or_typedef() {
                return Some(t);
            }
            id = t.size_or_type();
        }
        None
    }

    /// Bytes of a value of the type, as libbpf's `btf__resolve_size`; `None` where it has no size.
    #[must_use]
    pub fn size_of(&self, mut id: u32) -> Option<u32> {
        let mut count = 1_u32;
        for _ in 0..MAX_DEPTH {
            let t = self.get(id)?;
            match t.kind() {
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Datasec
                | Kind::Float => {
                    return count.checked_mul(t.size_or_type());
                }
                Kind::Ptr => return count.checked_mul(8),
                Kind::Array => {
                    let array = t.array()?;
                    count = count.checked_mul(array.nelems)?;
                    id = array.elem;
                }
                Kind::Typedef
                | Kind::Volatile
                | Kind::Const
                | Kind::Restrict
                | Kind::Var
                | Kind::DeclTag
                | Kind::TypeTag => id = t.size_or_type(),
                Kind::Fwd | Kind::Func | Kind::FuncProto => return None,
            }
        }
        None
    }

    /// Alignment in bytes of a value of a scalar, pointer or array type, as libbpf's `btf__align_of`; `None` for
    /// other types.
    #[must_use]
    pub fn align_of(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            let t = self.skip_modifiers(id)?;
            match t.kind() {
                Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Float => {
                    return Some(t.size_or_type().clamp(1, 8));
                }
                Kind::Ptr => return Some(8),
                _ => id = t.array()?.elem,
            }
        }
        None
    }
}

/// Finds where each type starts, checking that each is whole.
fn index(types: &[u8]) -> Result<Vec<u32>, BtfError> {
    let mut offsets = Vec::new();
    let mut at = 0;
    while at < types.len() {
        let id = offsets.len() as u32 + 1;
        let truncated = BtfError::TruncatedType { id, at };
        if types.len() - at < TYPE {
            return Err(truncated);
        }
        if offsets.len() == MAX_TYPES {
            return Err(BtfError::TooManyTypes(MAX_TYPES));
        }
        let info = word(types, at + 4);
        let number = ((info >> 24) & 0x1f) as u8;
        let kind = Kind::from_number(number).ok_or(BtfError::Kind { id, kind: number })?;
        let size = TYPE + kind.extra_bytes((info & 0xffff) as usize);
        if types.len() - at < size {
            return Err(truncated);
        }
        offsets.push(at as u32);
        at += size;
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests;
