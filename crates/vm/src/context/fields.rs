// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context structure in guest memory, read and written by the names of its fields (`skep_uapi::context`).

use std::sync::Arc;

use skep_uapi::Errno;
use skep_uapi::context::{Field, Layout};

use crate::memory::{Area, GuestMemory, ObjectKind, Perm};

/// A structure in guest memory.
pub(crate) struct Fields {
    area: Area,
    layout: &'static Layout,
}

impl Fields {
    /// A zeroed structure. Takes over `area` where it has the right size.
    pub(super) fn new(
        area: Option<Area>,
        memory: &Arc<GuestMemory>,
        layout: &'static Layout,
    ) -> Result<Fields, Errno> {
        let area = match area.filter(|a| a.len() == layout.size) {
            Some(area) => {
                area.zero(0, area.len());
                area
            }
            None => memory.alloc(layout.size, Perm::ReadWrite, Some(ObjectKind::Context))?,
        };
        Ok(Fields { area, layout })
    }

    fn field(&self, name: &str) -> &'static Field {
        self.layout.field(name).expect("the layout has the field: names are written next to their layout")
    }

    /// Guest address of the structure.
    pub(crate) fn addr(&self) -> u64 {
        u64::from(self.area.addr())
    }

    /// Writes a field, or the first element of an array, cut to its size.
    pub(crate) fn set(&self, name: &str, value: u64) {
        self.set_element(name, 0, value);
    }

    /// Writes an element of an array, cut to its size.
    pub(crate) fn set_element(&self, name: &str, index: u32, value: u64) {
        let field = self.field(name);
        assert!(index < field.count, "{name} has {} elements", field.count);
        let bytes = value.to_le_bytes();
        self.area.write(field.offset + index * field.size, &bytes[..field.size as usize]);
    }

    /// Reads a field, or the first element of an array.
    pub(crate) fn get(&self, name: &str) -> u64 {
        let field = self.field(name);
        let mut bytes = [0; 8];
        self.area.read(field.offset, &mut bytes[..field.size as usize]);
        u64::from_le_bytes(bytes)
    }

    /// Copies whole fields from `bytes`, a prefix of the structure.
    pub(super) fn copy_in(&self, names: &[&str], bytes: &[u8]) {
        for name in names {
            let range = range(self.field(name));
            if let Some(part) = bytes.get(range.start..range.end.min(bytes.len())) {
                self.area.write(range.start as u32, part);
            }
        }
    }

    /// A copy of the structure with all but these fields 0.
    pub(super) fn copy_out(&self, names: &[&str]) -> Vec<u8> {
        let all = self.to_vec();
        let mut out = vec![0; all.len()];
        for name in names {
            let range = range(self.field(name));
            out[range.clone()].copy_from_slice(&all[range]);
        }
        out
    }

    /// A copy of the structure.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.area.to_vec(0, self.area.len())
    }

    /// Gives the area back for the next run.
    pub(super) fn into_area(self) -> Area {
        self.area
    }
}

fn range(field: &Field) -> std::ops::Range<usize> {
    let start = field.offset as usize;
    start..start + (field.size * field.count) as usize
}

/// A field of a structure that is given as bytes; what is beyond their end is 0.
pub(super) fn get(layout: &Layout, bytes: &[u8], name: &str) -> u64 {
    let field = layout.field(name).expect("the layout has the field: names are written next to their layout");
    let mut value = [0; 8];
    for (i, byte) in value.iter_mut().enumerate().take(field.size as usize) {
        *byte = bytes.get(field.offset as usize + i).copied().unwrap_or(0);
    }
    u64::from_le_bytes(value)
}

/// The first non-zero byte outside of these fields, by the name of the field that it belongs to.
pub(super) fn first_nonzero_outside(layout: &Layout, bytes: &[u8], names: &[&str]) -> Option<&'static str> {
    bytes.iter().enumerate().filter(|(_, b)| **b != 0).find_map(|(offset, _)| {
        match layout.field_at(offset as u32) {
            Some(field) if names.contains(&field.name) => None,
            Some(field) => Some(field.name),
            None => Some("padding"),
        }
    })
}
