// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fields of a value that programs own and copies leave alone (`struct btf_record`): locks, timers and the
//! like, found by their type names in the BTF of the value.

use skep_program::btf::{Btf, Kind};

/// Types of such fields, as the kernel names them.
const TYPES: &[&str] = &[
    "bpf_spin_lock",
    "bpf_res_spin_lock",
    "bpf_timer",
    "bpf_wq",
    "bpf_list_head",
    "bpf_list_node",
    "bpf_rb_root",
    "bpf_rb_node",
    "bpf_refcount",
    "bpf_task_work",
];
const SPIN_LOCK: &str = "bpf_spin_lock";
/// Bytes of a `bpf_spin_lock`.
const SPIN_LOCK_SIZE: u32 = 4;
/// Structures inside of structures that are looked into.
const MAX_DEPTH: usize = 8;
/// Members that are looked at, in all: more than any compiler writes. Structures of structures may have more
/// members than anyone can count.
const MAX_MEMBERS: usize = 1 << 16;

/// Where the fields are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Offset and size, by offset.
    ranges: Vec<(u32, u32)>,
    spin_lock: Option<u32>,
}

impl Fields {
    /// The fields of a value type; none where the BTF does not tell.
    pub(super) fn find(btf: &[u8], value_type: u32, value_size: u32) -> Fields {
        let mut fields = Fields::default();
        if value_type != 0
            && let Ok(btf) = Btf::parse(btf)
        {
            fields.collect(&btf, value_type, 0, 0, &mut { MAX_MEMBERS });
        }
        fields.ranges.retain(|&(offset, size)| offset.saturating_add(size) <= value_size);
        fields.ranges.sort_unstable();
        let holds = |range: &(u32, u32), offset| range.0 == offset && range.1 >= SPIN_LOCK_SIZE;
        fields.spin_lock = fields.spin_lock.filter(|&offset| fields.ranges.iter().any(|r| holds(r, offset)));
        fields
    }

    fn collect(&mut self, btf: &Btf, id: u32, base: u32, depth: usize, left: &mut usize) {
        let Some(structure) = btf.skip_modifiers(id).filter(|t| t.kind() == Kind::Struct) else { return };
        if TYPES.contains(&structure.name()) {
            if structure.name() == SPIN_LOCK {
                self.spin_lock.get_or_insert(base);
            }
            self.ranges.push((base, structure.size_or_type()));
            return;
        }
        if depth < MAX_DEPTH {
            for member in structure.members() {
                let Some(rest) = left.checked_sub(1) else { return };
                *left = rest;
                self.collect(btf, member.ty, base.saturating_add(member.bit_offset / 8), depth + 1, left);
            }
        }
    }

    /// There are none.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Offset of the `bpf_spin_lock`.
    pub(super) fn spin_lock(&self) -> Option<u32> {
        self.spin_lock
    }

    /// The parts of a value of `size` bytes that are no such fields: offset and length.
    pub(super) fn plain(&self, size: u32) -> impl Iterator<Item = (u32, u32)> {
        let ends = self.ranges.iter().map(|&(offset, len)| offset + len);
        let starts = std::iter::once(0).chain(ends);
        let stops = self.ranges.iter().map(|&(offset, _)| offset).chain(std::iter::once(size));
        starts.zip(stops).filter(|(start, stop)| start < stop).map(|(start, stop)| (start, stop - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_parts_leave_fields_out() {
        let fields = Fields { ranges: vec![(0, 4), (8, 16)], spin_lock: Some(0) };
        assert_eq!(fields.plain(32).collect::<Vec<_>>(), [(4, 4), (24, 8)]);
        assert_eq!(fields.plain(24).collect::<Vec<_>>(), [(4, 4)]);
        assert_eq!(Fields::default().plain(7).collect::<Vec<_>>(), [(0, 7)]);
    }

    #[test]
    fn structures_without_end_are_given_up() {
        let mut btf = Btf::default();
        let mut id = btf.add_type(Kind::Struct, "leaf", 0, 0, &[]);
        for _ in 0..MAX_DEPTH {
            let members: Vec<u32> = [0, id, 0].repeat(1000);
            id = btf.add_type(Kind::Struct, "", 1000, 0, &members);
        }
        assert_eq!(Fields::find(&btf.to_bytes(), id, 8), Fields::default());
    }

    #[test]
    fn a_lock_without_room_is_none() {
        let mut btf = Btf::default();
        let lock = btf.add_type(Kind::Struct, SPIN_LOCK, 0, 0, &[]);
        let value = btf.add_type(Kind::Struct, "value", 1, 4096, &[0, lock, 4096 * 8]);
        assert_eq!(Fields::find(&btf.to_bytes(), value, 4096).spin_lock(), None);
    }
}
