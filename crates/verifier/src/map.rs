// SPDX-License-Identifier: GPL-2.0-only
//! What the verifier asks of a map (`struct bpf_map`): sizes, special fields of its values, constant contents.

use skep_program::MapSpec;
use skep_program::load::kernel_name;
use skep_uapi::MapType;
use skep_uapi::flags::map_create;

use crate::btf::ProgBtf;
use crate::reg::MapRef;

/// `enum btf_field_type`, as a bit mask.
pub(crate) mod field {
    pub(crate) const SPIN_LOCK: u32 = 1 << 0;
    pub(crate) const TIMER: u32 = 1 << 1;
    pub(crate) const KPTR_UNREF: u32 = 1 << 2;
    pub(crate) const KPTR_REF: u32 = 1 << 3;
    pub(crate) const KPTR_PERCPU: u32 = 1 << 4;
    pub(crate) const KPTR: u32 = KPTR_UNREF | KPTR_REF | KPTR_PERCPU;
    pub(crate) const LIST_HEAD: u32 = 1 << 5;
    pub(crate) const LIST_NODE: u32 = 1 << 6;
    pub(crate) const RB_ROOT: u32 = 1 << 7;
    pub(crate) const RB_NODE: u32 = 1 << 8;
    pub(crate) const REFCOUNT: u32 = 1 << 9;
    pub(crate) const WORKQUEUE: u32 = 1 << 10;
    pub(crate) const UPTR: u32 = 1 << 11;
    pub(crate) const RES_SPIN_LOCK: u32 = 1 << 12;
    pub(crate) const TASK_WORK: u32 = 1 << 13;
}

/// A field of a map value that the kernel handles itself (`struct btf_field`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// One of [`field`].
    pub ty: u32,
    pub offset: u32,
    pub size: u32,
}

/// The special fields of a value (`struct btf_record`), by ascending offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub fields: Vec<Field>,
}

impl Record {
    /// `btf_record_has_field`: any of these kinds.
    pub(crate) fn has(&self, mask: u32) -> bool {
        self.fields.iter().any(|f| f.ty & mask != 0)
    }

    /// `btf_record_find`: the field of one of these kinds that starts at an offset.
    pub(crate) fn find(&self, offset: u32, mask: u32) -> Option<Field> {
        self.fields.iter().copied().find(|f| f.offset == offset && f.ty & mask != 0)
    }

    /// Offset of the field of a kind that occurs at most once (`spin_lock_off`, `timer_off`, …).
    pub(crate) fn offset_of(&self, kind: u32) -> Option<u32> {
        self.fields.iter().find(|f| f.ty == kind).map(|f| f.offset)
    }
}

/// A map, or the template that the inner maps of a map follow (`inner_map_meta`).
#[derive(Debug)]
pub(crate) struct Map<'p> {
    pub spec: &'p MapSpec,
    pub map_type: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    /// Name as the kernel keeps it, at most 15 bytes.
    pub name: String,
    /// Special fields of the value; empty where there are none.
    pub record: Record,
    /// `inner_map_meta`.
    pub inner: Option<MapRef>,
    /// No write by system call, and no write by programs either where `BPF_F_RDONLY_PROG` is set.
    pub frozen: bool,
    /// Created with types (`map->btf`).
    pub has_btf: bool,
    /// Position in the program's maps; of a template that of the map that it is in.
    pub index: usize,
    /// A template.
    pub is_inner: bool,
}

impl<'p> Map<'p> {
    /// The map that `BPF_MAP_CREATE` makes: flags of the descriptor go, and some types set flags of their own.
    /// Types are those of the program where the map has none of its own.
    pub(crate) fn new(spec: &'p MapSpec, index: usize, program_btf: Option<&ProgBtf>) -> Map<'p> {
        let mut map_flags =
            spec.flags & !(map_create::BPF_F_RDONLY | map_create::BPF_F_WRONLY | map_create::BPF_F_TOKEN_FD);
        if matches!(spec.map_type, MapType::DEVMAP | MapType::DEVMAP_HASH) {
            map_flags |= map_create::BPF_F_RDONLY_PROG;
        }
        Map {
            spec,
            map_type: spec.map_type,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            map_flags,
            name: kernel_name(&spec.name),
            record: record_of(spec, program_btf),
            inner: None,
            frozen: spec.frozen,
            has_btf: spec.btf_key != 0 || spec.btf_value != 0,
            index,
            is_inner: false,
        }
    }

    /// `bpf_map_meta_alloc`: the template of a map's inner maps, without a name.
    pub(crate) fn new_inner(outer: &Map<'p>, program_btf: Option<&ProgBtf>) -> Option<Map<'p>> {
        let is_outer = matches!(outer.map_type, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
        let spec = outer.spec.inner.as_deref().filter(|_| is_outer)?;
        let inner = Map::new(spec, outer.index, program_btf);
        Some(Map { name: String::new(), frozen: false, is_inner: true, ..inner })
    }
}

/// Special fields of the values of a map, from the BTF that it is created with.
fn record_of(spec: &MapSpec, program_btf: Option<&ProgBtf>) -> Record {
    if spec.btf_value == 0 {
        return Record::default();
    }
    let own = spec.btf.as_deref().and_then(ProgBtf::new);
    let btf = if spec.btf.is_some() { own.as_ref() } else { program_btf };
    btf.map_or_else(Record::default, |btf| btf.parse_map_fields(spec.btf_value, spec.value_size))
}
