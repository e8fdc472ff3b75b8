// SPDX-License-Identifier: MIT OR Apache-2.0
//! One type: `struct btf_type` and what follows it.

use super::{Btf, Kind, TYPE, word};

/// A type of a [`Btf`].
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    pub(super) btf: &'a Btf,
    /// Id of the type, from 1.
    pub id: u32,
    pub(super) bytes: &'a [u8],
}

/// `struct btf_array`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array {
    /// Type of the elements.
    pub elem: u32,
    /// Type of the index.
    pub index: u32,
    /// Number of elements.
    pub nelems: u32,
}

/// `struct btf_member` of a structure or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Name; empty for anonymous members.
    pub name: &'a str,
    /// Type id.
    pub ty: u32,
    /// Offset in bits.
    pub bit_offset: u32,
    /// Bits of a bit field, 0 for none.
    pub bit_size: u8,
}

/// `struct btf_param` of a function prototype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// Name; empty where there is none.
    pub name: &'a str,
    /// Type id; 0 marks `...`.
    pub ty: u32,
}

/// `struct btf_enum` or `struct btf_enum64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnumValue<'a> {
    /// Name.
    pub name: &'a str,
    /// Value, sign-extended where the enumeration is signed.
    pub value: u64,
}

/// `struct btf_var_secinfo`: a variable of a data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VarSecinfo {
    /// Id of the variable (or function, in `.ksyms`).
    pub ty: u32,
    /// Offset in the section in bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Linkage of variables (`BTF_VAR_*`) and functions (`BTF_FUNC_*`), which share their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// Private to its compilation unit.
    Static = 0,
    /// Defined here, visible outside.
    Global = 1,
    /// Defined elsewhere.
    Extern = 2,
}

impl Linkage {
    fn from_number(number: u32) -> Option<Linkage> {
        [Linkage::Static, Linkage::Global, Linkage::Extern].into_iter().find(|&l| l as u32 == number)
    }
}

impl<'a> Type<'a> {
    fn info(&self) -> u32 {
        word(self.bytes, 4)
    }

    /// Offset of the name in the string section, 0 for none.
    #[must_use]
    pub fn name_off(&self) -> u32 {
        word(self.bytes, 0)
    }

    /// Name; empty where there is none.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.btf.string(self.name_off()).unwrap_or("")
    }

    /// Kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        // The index was built with known kinds only.
        Kind::from_number(((self.info() >> 24) & 0x1f) as u8).unwrap_or(Kind::Fwd)
    }

    /// Number of members, values, parameters or variables; of a function its linkage.
    #[must_use]
    pub fn vlen(&self) -> usize {
        (self.info() & 0xffff) as usize
    }

    /// `kind_flag`: bit fields of a structure, sign of an enumeration, `union` of a forward declaration.
    #[must_use]
    pub fn kind_flag(&self) -> bool {
        self.info() >> 31 != 0
    }

    /// Bytes of types that have a size, else the id of the type behind this one.
    #[must_use]
    pub fn size_or_type(&self) -> u32 {
        word(self.bytes, 8)
    }

    fn extra(&self, size: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes[TYPE..].chunks_exact(size)
    }

    /// `BTF_INT_*`: encoding bits (1 signed, 2 char, 4 bool), offset and size in bits; `None` for other kinds.
    #[must_use]
    pub fn int_encoding(&self) -> Option<(u8, u8, u8)> {
        let data = word(self.bytes, TYPE);
        (self.kind() == Kind::Int).then_some(((data >> 24 & 15) as u8, (data >> 16) as u8, data as u8))
    }

    /// The array; `None` for other kinds.
    #[must_use]
    pub fn array(&self) -> Option<Array> {
        (self.kind() == Kind::Array).then(|| Array {
            elem: word(self.bytes, TYPE),
            index: word(self.bytes, TYPE + 4),
            nelems: word(self.bytes, TYPE + 8),
        })
    }

    /// Members of a structure or union; nothing for other kinds.
    pub fn members(&self) -> impl DoubleEndedIterator<Item = Member<'a>> + use<'a> {
        let bytes = match self.kind() {
            Kind::Struct | Kind::Union => &self.bytes[TYPE..],
            _ => &[],
        };
        let (btf, flag) = (self.btf, self.kind_flag());
        bytes.chunks_exact(12).map(move |m| {
            let offset = word(m, 8);
            Member {
                name: btf.string(word(m, 0)).unwrap_or(""),
                ty: word(m, 4),
                bit_offset: if flag { offset & 0x00ff_ffff } else { offset },
                bit_size: if flag { (offset >> 24) as u8 } else { 0 },
            }
        })
    }

    /// Parameters of a function prototype; nothing for other kinds.
    pub fn params(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let btf = self.btf;
        let wanted = self.kind() == Kind::FuncProto;
        self.extra(8)
            .filter(move |_| wanted)
            .map(move |p| Param { name: btf.string(word(p, 0)).unwrap_or(""), ty: word(p, 4) })
    }

    /// Values of an enumeration; nothing for other kinds.
    pub fn enum_values(&self) -> impl Iterator<Item = EnumValue<'a>> + use<'a> {
        let (btf, signed, kind) = (self.btf, self.kind_flag(), self.kind());
        let bytes = match kind {
            Kind::Enum | Kind::Enum64 => &self.bytes[TYPE..],
            _ => &[],
        };
        bytes.chunks_exact(if kind == Kind::Enum64 { 12 } else { 8 }).map(move |e| {
            let low = word(e, 4);
            let value = match kind {
                Kind::Enum64 => u64::from(low) | u64::from(word(e, 8)) << 32,
                _ if signed => i64::from(low as i32) as u64,
                _ => u64::from(low),
            };
            EnumValue { name: btf.string(word(e, 0)).unwrap_or(""), value }
        })
    }

    /// Variables of a data section; nothing for other kinds.
    pub fn variables(&self) -> impl Iterator<Item = VarSecinfo> + use<'a> {
        let wanted = self.kind() == Kind::Datasec;
        self.extra(12).filter(move |_| wanted).map(|v| VarSecinfo {
            ty: word(v, 0),
            offset: word(v, 4),
            size: word(v, 8),
        })
    }

    /// Linkage of a variable or function; `None` for other kinds and unknown numbers.
    #[must_use]
    pub fn linkage(&self) -> Option<Linkage> {
        match self.kind() {
            Kind::Var => Linkage::from_number(word(self.bytes, TYPE)),
            Kind::Func => Linkage::from_number(self.info() & 0xffff),
            _ => None,
        }
    }

    /// Component that a declaration tag belongs to, −1 for the whole; `None` for other kinds.
    #[must_use]
    pub fn component(&self) -> Option<i32> {
        (self.kind() == Kind::DeclTag).then(|| word(self.bytes, TYPE) as i32)
    }
}
