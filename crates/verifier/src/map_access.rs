// SPDX-License-Identifier: GPL-2.0-only
//! Access to map values (`check_map_access`, `check_map_kptr_access`, `bpf_map_direct_read @ 6.18`).

use skep_uapi::MapType;
use skep_uapi::flags::map_create;

use crate::env::Env;
use crate::map::field;
use crate::mem::{Access, AccessSrc};
use crate::reg::MapRef;
use crate::stop::{EACCES, EINVAL, Res, verbose};

/// `btf_field_type_name`.
fn field_name(kind: u32) -> &'static str {
    match kind {
        field::SPIN_LOCK => "bpf_spin_lock",
        field::RES_SPIN_LOCK => "bpf_res_spin_lock",
        field::TIMER => "bpf_timer",
        field::WORKQUEUE => "bpf_wq",
        field::KPTR_UNREF | field::KPTR_REF => "kptr",
        field::KPTR_PERCPU => "percpu_kptr",
        field::UPTR => "uptr",
        field::LIST_HEAD => "bpf_list_head",
        field::LIST_NODE => "bpf_list_node",
        field::RB_ROOT => "bpf_rb_root",
        field::RB_NODE => "bpf_rb_node",
        field::REFCOUNT => "bpf_refcount",
        field::TASK_WORK => "bpf_task_work",
        _ => "unknown",
    }
}

impl Env<'_> {
    /// `check_map_access_type`: what the map's flags allow programs (`bpf_map_flags_to_cap`).
    pub(crate) fn check_map_access_type(&mut self, regno: u32, off: i32, size: i32, t: Access) -> Res {
        let reg = *self.reg(regno);
        let Some(map) = self.reg_map(&reg) else { return Err(EINVAL) };
        let (forbids, value_size) = (
            match t {
                Access::Write => map_create::BPF_F_RDONLY_PROG,
                Access::Read => map_create::BPF_F_WRONLY_PROG,
            },
            map.value_size,
        );
        if map.map_flags & forbids == 0 {
            return Ok(());
        }
        let what = if t == Access::Write { "write into" } else { "read from" };
        verbose!(self, "{what} map forbidden, value_size={value_size} off={off} size={size}\n");
        Err(EACCES)
    }

    /// `check_map_access`: within the value, and not at a field that is the kernel's.
    pub(crate) fn check_map_access(
        &mut self,
        regno: u32,
        off: i32,
        size: i32,
        zero_size_allowed: bool,
        src: AccessSrc,
    ) -> Res {
        let reg = *self.reg(regno);
        let Some(map_ref) = reg.map() else { return Err(EINVAL) };
        let value_size = self.map(map_ref).value_size;
        self.check_mem_region_access(regno, off, size, value_size, zero_size_allowed)?;
        for i in 0..self.map(map_ref).record.fields.len() {
            let field = self.map(map_ref).record.fields[i];
            let start = u64::from(field.offset);
            let from = (reg.val.smin as u64).wrapping_add(i64::from(off) as u64);
            let to = reg.val.umax.wrapping_add(i64::from(off) as u64).wrapping_add(size as u64);
            if from >= start + u64::from(field.size) || start >= to {
                continue;
            }
            let name = field_name(field.ty);
            if field.ty & (field::KPTR | field::UPTR) == 0 {
                verbose!(self, "{name} cannot be accessed directly by load/store\n");
                return Err(EACCES);
            }
            let at = (i64::from(off) as u64).wrapping_add(reg.val.var_off.value);
            if src != AccessSrc::Direct {
                verbose!(self, "{name} cannot be accessed indirectly by helper\n");
            } else if !reg.is_const_offset() {
                verbose!(self, "{name} access cannot have variable offset\n");
            } else if start != at {
                verbose!(self, "{name} access misaligned expected={start} off={at}\n");
            } else if size != 8 {
                verbose!(self, "{name} access size must be BPF_DW\n");
            } else {
                continue;
            }
            return Err(EACCES);
        }
        Ok(())
    }

    /// `bpf_map_is_rdonly`: nobody can change the map's values any more.
    pub(crate) fn map_is_rdonly(&self, map: MapRef) -> bool {
        let map = self.map(map);
        map.map_flags & map_create::BPF_F_RDONLY_PROG != 0 && map.frozen
    }

    /// Whether the map has one value that instructions may address (`map_direct_value_addr`).
    pub(crate) fn has_direct_value(&self, map: MapRef) -> bool {
        matches!(self.map(map).map_type, MapType::ARRAY | MapType::ARENA)
    }

    /// `bpf_map_direct_read`: what is in the value of a map that cannot change.
    pub(crate) fn map_direct_read(&self, map: MapRef, off: i32, size: i32, is_ldsx: bool) -> Res<u64> {
        let map = self.map(map);
        // `array_map_direct_value_addr`.
        if map.max_entries != 1 || off < 0 || off as u32 >= map.value_size {
            return Err(EINVAL);
        }
        let value = map.spec.entries.iter().find(|(key, _)| key.iter().all(|&b| b == 0)).map(|(_, v)| v);
        let mut bytes = [0; 8];
        for (i, byte) in bytes.iter_mut().enumerate().take(size as usize) {
            *byte = value.and_then(|v| v.get(off as usize + i)).copied().unwrap_or(0);
        }
        let word = u64::from_le_bytes(bytes);
        let shift = 64 - size as u32 * 8;
        Ok(if is_ldsx { ((word << shift) as i64 >> shift) as u64 } else { word })
    }
}
