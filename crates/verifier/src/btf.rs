// SPDX-License-Identifier: GPL-2.0-only
//! BTF of the program as the verifier asks it (`kernel/bpf/btf.c @ 6.18`).
//!
//! It was loaded before, so it is taken for one that the kernel accepts: ids lead to types, and chains of them end.

mod ctx_type;
mod fields;
mod func_args;

use std::sync::Arc;

use skep_program::btf::{Btf, Kind, Type};

/// `MAX_RESOLVE_DEPTH`
const MAX_RESOLVE_DEPTH: usize = 32;

/// BTF that the program or a map carries. Copies share it.
#[derive(Clone, Debug)]
pub(crate) struct ProgBtf {
    pub btf: Arc<Btf>,
    /// Bytes of its string section.
    strings: u32,
}

impl ProgBtf {
    /// Reads raw BTF; `None` for what is none.
    pub(crate) fn new(bytes: &[u8]) -> Option<ProgBtf> {
        let btf = Btf::parse(bytes).ok()?;
        let strings = u32::from_le_bytes(*bytes.get(20..)?.first_chunk()?);
        Some(ProgBtf { btf: Arc::new(btf), strings })
    }

    /// Whether there is a string at an offset, be it readable or not (`btf_name_by_offset`).
    pub(crate) fn has_string(&self, offset: u32) -> bool {
        offset < self.strings
    }

    /// Name of a type; empty where it has none.
    pub(crate) fn name(&self, id: u32) -> &str {
        self.btf.get(id).map_or("", |ty| ty.name())
    }

    /// `btf_find_next_decl_tag`: the first tag of a type, or of one of its members or arguments, behind the id
    /// `after`, whose text starts like this.
    pub(crate) fn find_next_decl_tag(&self, ty: u32, component: i32, key: &str, after: u32) -> Option<u32> {
        (after.saturating_add(1)..=self.btf.last_id()).find(|&id| {
            self.btf.get(id).is_some_and(|tag| {
                tag.kind() == Kind::DeclTag
                    && tag.size_or_type() == ty
                    && tag.component() == Some(component)
                    && tag.name().starts_with(key)
            })
        })
    }

    /// `btf_resolve_size`: bytes of a value of a type; `None` where the kernel says `EINVAL`.
    pub(crate) fn resolve_size(&self, ty: Option<Type<'_>>) -> Option<u32> {
        let mut ty = ty?;
        let mut nelems = 1_u32;
        for _ in 0..MAX_RESOLVE_DEPTH {
            let size = match ty.kind() {
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => {
                    ty.size_or_type()
                }
                Kind::Ptr => 8,
                kind if kind.is_modifier_or_typedef() => {
                    ty = self.btf.get(ty.size_or_type())?;
                    continue;
                }
                Kind::Array => {
                    let array = ty.array()?;
                    nelems = nelems.checked_mul(array.nelems)?;
                    ty = self.btf.get(array.elem)?;
                    continue;
                }
                _ => return None,
            };
            return nelems.checked_mul(size);
        }
        None
    }
}

/// `btf_type_str`; `None` is `void`.
pub(crate) fn kind_str(ty: Option<Type<'_>>) -> String {
    ty.map_or_else(|| "UNKNOWN".to_owned(), |ty| ty.kind().name().to_ascii_uppercase())
}

/// `btf_type_is_int`
pub(crate) fn is_int(ty: Option<Type<'_>>) -> bool {
    ty.is_some_and(|ty| ty.kind() == Kind::Int)
}

/// `btf_type_is_small_int`: an integer that a register holds.
pub(crate) fn is_small_int(ty: Option<Type<'_>>) -> bool {
    ty.is_some_and(|ty| ty.kind() == Kind::Int && ty.size_or_type() <= 8)
}

/// `btf_is_any_enum`
pub(crate) fn is_any_enum(ty: Option<Type<'_>>) -> bool {
    ty.is_some_and(|ty| matches!(ty.kind(), Kind::Enum | Kind::Enum64))
}

/// `btf_type_is_primitive`: an integer of whole bytes, a power of two of them, or an enumeration.
pub(crate) fn is_primitive(ty: Option<Type<'_>>) -> bool {
    let is_regular = |ty: Type<'_>| {
        ty.int_encoding().is_some_and(|(_, offset, bits)| {
            let bytes = bits.div_ceil(8);
            bits.is_multiple_of(8) && offset == 0 && bytes <= 16 && bytes.is_power_of_two()
        })
    };
    is_any_enum(ty) || ty.is_some_and(is_regular)
}

/// `btf_type_is_struct`: a structure or union.
pub(crate) fn is_struct_or_union(ty: Option<Type<'_>>) -> bool {
    ty.is_some_and(|ty| matches!(ty.kind(), Kind::Struct | Kind::Union))
}

/// `__btf_type_is_struct`
pub(crate) fn is_struct(ty: Option<Type<'_>>) -> bool {
    ty.is_some_and(|ty| ty.kind() == Kind::Struct)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF of these types, each as its words, and these strings.
    pub(super) fn raw(types: &[&[u32]], strings: &str) -> Vec<u8> {
        let words = types.iter().flat_map(|words| words.iter());
        let types: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        let (len, strings_len) = (types.len() as u32, strings.len() as u32);
        let mut out = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, len, len, strings_len] {
            out.extend(word.to_le_bytes());
        }
        out.extend(types);
        out.extend(strings.as_bytes());
        out
    }

    #[test]
    fn sizes_and_strings() {
        let int = [1, 1 << 24, 4, 32];
        let array = [0, 3 << 24, 0, 1, 1, 5];
        let constant = [0, 10 << 24, 2];
        let pointer = [0, 2 << 24, 0];
        let btf = ProgBtf::new(&raw(&[&int, &array, &constant, &pointer], "\0int\0")).expect("BTF");
        let size = |id| btf.resolve_size(btf.btf.get(id));
        assert_eq!(
            [size(0), size(1), size(2), size(3), size(4)],
            [None, Some(4), Some(20), Some(20), Some(8)]
        );
        assert!(btf.has_string(4) && !btf.has_string(5));
        assert_eq!(kind_str(btf.btf.get(0)), "UNKNOWN");
        assert_eq!(kind_str(btf.btf.get(1)), "INT");
        assert!(is_primitive(btf.btf.get(1)) && !is_primitive(btf.btf.get(4)));
    }
}
