// SPDX-License-Identifier: GPL-2.0-only
//! Fields of a map value that the kernel handles itself (`btf_parse_fields @ 6.18`).

use skep_program::btf::{Kind, Type};

use super::{MAX_RESOLVE_DEPTH, ProgBtf, is_struct};
use crate::map::{Field, Record, field};

/// `BTF_FIELDS_MAX`
const MAX_FIELDS: usize = 11;

/// Fields that map values may have (`map_check_btf`).
const MAP_FIELDS: u32 = field::SPIN_LOCK
    | field::RES_SPIN_LOCK
    | field::TIMER
    | field::KPTR
    | field::LIST_HEAD
    | field::RB_ROOT
    | field::REFCOUNT
    | field::WORKQUEUE
    | field::UPTR
    | field::TASK_WORK;

/// Name of a structure that is a field, its kind, bytes, alignment, and whether a structure has one at most.
const BY_NAME: [(&str, u32, u32, u32, bool); 10] = [
    ("bpf_spin_lock", field::SPIN_LOCK, 4, 4, true),
    ("bpf_res_spin_lock", field::RES_SPIN_LOCK, 4, 4, true),
    ("bpf_timer", field::TIMER, 16, 8, true),
    ("bpf_wq", field::WORKQUEUE, 16, 8, true),
    ("bpf_task_work", field::TASK_WORK, 8, 8, true),
    ("bpf_list_head", field::LIST_HEAD, 16, 8, false),
    ("bpf_list_node", field::LIST_NODE, 24, 8, false),
    ("bpf_rb_root", field::RB_ROOT, 16, 8, false),
    ("bpf_rb_node", field::RB_NODE, 32, 8, false),
    ("bpf_refcount", field::REFCOUNT, 4, 4, false),
];

/// The types are not such that the kernel knows what to do; a map is created all the same, without fields.
struct Refused;

/// What was found, in the order of the members.
struct Fields<'a> {
    btf: &'a ProgBtf,
    found: Vec<Field>,
}

/// A member of a structure, or a variable of a data section.
struct Place<'a> {
    /// The type that tags are on: the structure, or the variable.
    tagged: u32,
    /// Number of the member; −1 for a variable.
    component: i32,
    ty: Option<Type<'a>>,
    off: u32,
    /// Bytes of a variable; 0 for a member.
    size: u32,
}

impl ProgBtf {
    /// The special fields of a value of a map of this type and size; none where the kernel refuses its types.
    pub(crate) fn parse_map_fields(&self, type_id: u32, value_size: u32) -> Record {
        let mut fields = Fields { btf: self, found: Vec::new() };
        let found = self.btf.skip_modifiers(type_id).ok_or(Refused).and_then(|value| fields.find(value));
        match found.and_then(|()| check(&fields.found, value_size)) {
            Ok(()) => {
                fields.found.sort_by_key(|field| field.offset);
                Record { fields: fields.found }
            }
            Err(Refused) => Record::default(),
        }
    }
}

/// The second half of `btf_parse_fields`: fields in their order, none over another, and those that need a lock with
/// one. (The types of kernel pointers are in the kernel's BTF: they are taken for good.)
fn check(fields: &[Field], value_size: u32) -> Result<(), Refused> {
    let mut next = 0;
    for field in fields {
        let end = field.offset.wrapping_add(field.size);
        if end > value_size || field.offset < next {
            return Err(Refused);
        }
        next = end;
    }
    let has = |mask: u32| fields.iter().any(|field| field.ty & mask != 0);
    let both_locks = has(field::SPIN_LOCK) && has(field::RES_SPIN_LOCK);
    let lacks_lock = has(field::LIST_HEAD | field::RB_ROOT) && !has(field::SPIN_LOCK | field::RES_SPIN_LOCK);
    let lacks_refcount = !has(field::REFCOUNT) && has(field::LIST_NODE) && has(field::RB_NODE);
    if both_locks || lacks_lock || lacks_refcount { Err(Refused) } else { Ok(()) }
}

impl<'a> Fields<'a> {
    /// `btf_find_field`
    fn find(&mut self, value: Type<'a>) -> Result<(), Refused> {
        match value.kind() {
            Kind::Struct => self.find_in_struct(value, 0, 0),
            Kind::Datasec => self.find_in_datasec(value),
            _ => Err(Refused),
        }
    }

    /// `btf_find_struct_field`
    fn find_in_struct(&mut self, ty: Type<'a>, base: u32, level: usize) -> Result<(), Refused> {
        let mut seen = 0;
        for (at, member) in ty.members().enumerate() {
            if !member.bit_offset.is_multiple_of(8) {
                return Err(Refused);
            }
            let place = Place {
                tagged: ty.id,
                component: at as i32,
                ty: self.btf.btf.get(member.ty),
                off: member.bit_offset / 8,
                size: 0,
            };
            self.find_one(&place, base, &mut seen, level)?;
        }
        Ok(())
    }

    /// `btf_find_datasec_var`
    fn find_in_datasec(&mut self, section: Type<'a>) -> Result<(), Refused> {
        let mut seen = 0;
        for info in section.variables() {
            let var = self.btf.btf.get(info.ty).ok_or(Refused)?;
            let place = Place {
                tagged: var.id,
                component: -1,
                ty: self.btf.btf.get(var.size_or_type()),
                off: info.offset,
                size: info.size,
            };
            self.find_one(&place, 0, &mut seen, 0)?;
        }
        Ok(())
    }

    /// `btf_find_field_one`. `base` is where the structure that the place is in starts.
    fn find_one(
        &mut self,
        place: &Place<'a>,
        base: u32,
        seen: &mut u32,
        level: usize,
    ) -> Result<(), Refused> {
        let mut ty = place.ty;
        let mut nelems = 1_u32;
        let mut depth = 0;
        while let Some(array) = ty.and_then(|ty| ty.array()) {
            if depth == MAX_RESOLVE_DEPTH - 1 {
                return Err(Refused);
            }
            nelems = nelems.wrapping_mul(array.nelems);
            ty = self.btf.btf.get(array.elem);
            depth += 1;
        }
        let Some(ty) = ty.filter(|_| nelems != 0) else { return Ok(()) };
        let wrong_size = |size: u32| place.size != 0 && place.size != size.wrapping_mul(nelems);
        let known = BY_NAME.iter().find(|(name, kind, ..)| kind & MAP_FIELDS != 0 && *name == ty.name());
        if known.is_none() && ty.kind() == Kind::Struct {
            let size = ty.size_or_type();
            if wrong_size(size) {
                return Ok(());
            }
            return self.find_nested(ty, base.wrapping_add(place.off), nelems, level);
        }
        if let Some(&(_, kind, _, _, true)) = known {
            if *seen & kind != 0 {
                return Err(Refused);
            }
            *seen |= kind;
        }
        let (size, align) = known.map_or((8, 8), |&(_, _, size, align, _)| (size, align));
        if wrong_size(size) || !place.off.is_multiple_of(align) {
            return Ok(());
        }
        let kind = match known {
            None => self.kptr(ty)?,
            Some(_) if ty.kind() != Kind::Struct || ty.size_or_type() != size => None,
            Some(&(_, kind, ..)) => {
                if kind & (field::LIST_HEAD | field::RB_ROOT) != 0 {
                    self.check_graph_root(place, kind)?;
                }
                Some(kind)
            }
        };
        let Some(kind) = kind else { return Ok(()) };
        let first = self.found.len();
        if first >= MAX_FIELDS {
            return Err(Refused);
        }
        self.found.push(Field { ty: kind, offset: base.wrapping_add(place.off), size });
        self.repeat(first, nelems, size)
    }

    /// `btf_find_nested_struct`
    fn find_nested(&mut self, ty: Type<'a>, off: u32, nelems: u32, level: usize) -> Result<(), Refused> {
        let level = level + 1;
        if level >= MAX_RESOLVE_DEPTH {
            return Err(Refused);
        }
        let first = self.found.len();
        self.find_in_struct(ty, off, level)?;
        self.repeat(first, nelems, ty.size_or_type())
    }

    /// `btf_repeat_fields`: the fields from `first` on, for all elements of an array.
    fn repeat(&mut self, first: usize, nelems: u32, elem_size: u32) -> Result<(), Refused> {
        const MAY_REPEAT: u32 = field::KPTR | field::UPTR | field::LIST_HEAD | field::RB_ROOT;
        let once = self.found.len() - first;
        if nelems <= 1 || once == 0 {
            return Ok(());
        }
        let allowed = self.found[first..].iter().all(|field| field.ty & MAY_REPEAT != 0);
        if !allowed || once.saturating_mul(nelems as usize) > MAX_FIELDS - first {
            return Err(Refused);
        }
        for elem in 1..nelems {
            for at in first..first + once {
                let field = self.found[at];
                let offset = field.offset.wrapping_add(elem.wrapping_mul(elem_size));
                self.found.push(Field { offset, ..field });
            }
        }
        Ok(())
    }

    /// `btf_find_kptr`: the kind of a pointer that is kept in a map, by the tag on what it points to.
    fn kptr(&self, ty: Type<'a>) -> Result<Option<u32>, Refused> {
        let btf = &self.btf.btf;
        let pointer = if ty.kind() == Kind::Volatile { btf.get(ty.size_or_type()) } else { Some(ty) };
        let target = pointer
            .filter(|ty| ty.kind() == Kind::Ptr)
            .and_then(|ty| btf.get(ty.size_or_type()))
            .filter(|ty| ty.kind() == Kind::TypeTag && !ty.kind_flag());
        let Some(tag) = target else { return Ok(None) };
        if btf.get(tag.size_or_type()).is_some_and(|ty| ty.kind() == Kind::TypeTag) {
            return Err(Refused);
        }
        let kind = match tag.name() {
            "kptr_untrusted" => field::KPTR_UNREF,
            "kptr" => field::KPTR_REF,
            "percpu_kptr" => field::KPTR_PERCPU,
            "uptr" => field::UPTR,
            _ => return Err(Refused),
        };
        if is_struct(btf.skip_modifiers(tag.size_or_type())) { Ok(Some(kind)) } else { Err(Refused) }
    }

    /// `btf_find_graph_root`, `btf_parse_graph_root`: the tag says which structures are in the list or tree, and
    /// which of their members links them.
    fn check_graph_root(&self, place: &Place<'a>, kind: u32) -> Result<(), Refused> {
        const KEY: &str = "contains:";
        let node = if kind == field::LIST_HEAD { "bpf_list_node" } else { "bpf_rb_node" };
        let find = |after| self.btf.find_next_decl_tag(place.tagged, place.component, KEY, after);
        let tag = find(0).ok_or(Refused)?;
        if find(tag).is_some() {
            return Err(Refused);
        }
        let text = self.btf.name(tag).strip_prefix(KEY).ok_or(Refused)?;
        let (holder, link) = text.split_once(':').filter(|(_, link)| !link.is_empty()).ok_or(Refused)?;
        let holder = self.btf.btf.find(Kind::Struct, holder).ok_or(Refused)?;
        let mut links = holder.members().filter(|member| member.name == link);
        let (Some(member), None) = (links.next(), links.next()) else { return Err(Refused) };
        let ty = self.btf.btf.get(member.ty).filter(|ty| ty.kind() == Kind::Struct).ok_or(Refused)?;
        // Nodes are aligned to 8 bytes.
        let fits = ty.name() == node && member.bit_offset.is_multiple_of(64);
        if fits { Ok(()) } else { Err(Refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::raw;
    use super::*;

    #[test]
    fn lock_and_array_of_pointers() {
        // struct foo; struct value { struct bpf_spin_lock lock; struct foo __kptr *p[2]; }
        let types: [&[u32]; 8] = [
            &[1, 1 << 24, 4, 32],
            &[5, 4 << 24 | 1, 4, 0, 1, 0],
            &[19, 4 << 24, 0],
            &[23, 18 << 24, 3],
            &[0, 2 << 24, 4],
            &[0, 3 << 24, 0, 5, 1, 2],
            &[0, 4 << 24 | 2, 24, 0, 2, 0, 0, 6, 64],
            &[0, 3 << 24, 0, 7, 1, 2],
        ];
        let btf = ProgBtf::new(&raw(&types, "\0int\0bpf_spin_lock\0foo\0kptr\0")).expect("BTF");
        let record = btf.parse_map_fields(7, 24);
        let offsets: Vec<(u32, u32)> = record.fields.iter().map(|field| (field.ty, field.offset)).collect();
        assert_eq!(offsets, [(field::SPIN_LOCK, 0), (field::KPTR_REF, 8), (field::KPTR_REF, 16)]);
        // Too small a value, and an array of values with locks.
        assert_eq!(btf.parse_map_fields(7, 16), Record::default());
        assert_eq!(btf.parse_map_fields(8, 48), Record::default());
    }
}
