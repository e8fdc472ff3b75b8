// SPDX-License-Identifier: GPL-2.0-only
//! 64-bit immediates that name maps, functions and variables (`resolve_pseudo_ldimm64 @ 6.18`).

use skep_isa::{Insn, TABLE, class, opcode};
use skep_uapi::limits::MAX_USED_MAPS;
use skep_uapi::{Errno, MapType, ProgType};

use crate::env::Env;
use crate::map::{Map, field};
use crate::reg::MapRef;
use crate::reg_type::PTR_TO_FUNC;
use crate::stop::{E2BIG, EBADF, EBUSY, EFAULT, EINVAL, ENOTSUPP, EPERM, ERANGE, Res, Stop, verbose};

/// Bits of the mode (`BPF_MODE`).
const MODE: u8 = 0xe0;
/// Bits of the size (`BPF_SIZE`), and the values for 1 and 2 bytes.
const SIZE: u8 = 0x18;
const BYTE: u8 = 0x10;
const HALF: u8 = 0x08;
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_BTF_ID: u8 = 3;
const PSEUDO_FUNC: u8 = 4;
const PSEUDO_MAP_IDX: u8 = 5;
const PSEUDO_MAP_IDX_VALUE: u8 = 6;
/// `BPF_MAX_VAR_OFF`
const MAX_VAR_OFF: u32 = 1 << 29;
/// `PAGE_SIZE`
const PAGE_SIZE: u64 = 4096;
/// Descriptors that a process has open from the start, none of them a map.
const STDIO: std::ops::RangeInclusive<i32> = 0..=2;
/// Index that is out of reach in the memory behind `fd_array`.
const FD_ARRAY_MAX: usize = 1 << 20;

/// `bpf_opcode_in_insntable`: opcodes that any instruction has.
static KNOWN: [bool; 256] = {
    let mut known = [false; 256];
    let mut row = 0;
    while row < TABLE.len() {
        known[TABLE[row].code as usize] = true;
        row += 1;
    }
    known
};

/// What an instruction names.
enum Named {
    /// A map of the program, by index.
    Map(usize),
    /// A descriptor that is no map, and the error for that.
    NoMap(i32, Stop),
}

fn is_tracing_prog_type(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::KPROBE
            | ProgType::TRACEPOINT
            | ProgType::PERF_EVENT
            | ProgType::RAW_TRACEPOINT
            | ProgType::RAW_TRACEPOINT_WRITABLE
    )
}

/// Map types that a program may use that may sleep.
fn takes_sleepable(map_type: MapType) -> bool {
    use MapType as M;
    matches!(
        map_type,
        M::HASH
            | M::LRU_HASH
            | M::ARRAY
            | M::PERCPU_HASH
            | M::PERCPU_ARRAY
            | M::LRU_PERCPU_HASH
            | M::ARRAY_OF_MAPS
            | M::HASH_OF_MAPS
            | M::RINGBUF
            | M::USER_RINGBUF
            | M::INODE_STORAGE
            | M::SK_STORAGE
            | M::TASK_STORAGE
            | M::CGRP_STORAGE
            | M::QUEUE
            | M::STACK
            | M::ARENA
    )
}

impl<'p> Env<'p> {
    /// `check_pseudo_btf_id`: a variable or function of the kernel, or of a module, whose BTF is a descriptor in
    /// the second slot.
    fn check_pseudo_btf_id(&mut self, at: usize) -> Res {
        let named = self.program.btf_refs.iter().any(|symbol| symbol.insn == at);
        if self.insns[at + 1].imm != 0 && !named {
            verbose!(self, "invalid module BTF object FD specified.\n");
            return Err(EINVAL);
        }
        self.unsupported("kernel variables (ksyms)")
    }

    fn check_map_prog_compatibility(&mut self, map: &Map<'_>) -> Res {
        let prog_type = self.prog_type;
        let tracing = is_tracing_prog_type(prog_type);
        if tracing && map.record.has(field::LIST_HEAD | field::RB_ROOT) {
            verbose!(self, "tracing progs cannot use bpf_{{list_head,rb_root}} yet\n");
            return Err(EINVAL);
        }
        if map.record.has(field::SPIN_LOCK | field::RES_SPIN_LOCK) {
            if prog_type == ProgType::SOCKET_FILTER {
                verbose!(self, "socket filter progs cannot use bpf_spin_lock yet\n");
                return Err(EINVAL);
            }
            if tracing {
                verbose!(self, "tracing progs cannot use bpf_spin_lock yet\n");
                return Err(EINVAL);
            }
            if self.sleepable && self.profile().limits_sleepable_maps() {
                verbose!(self, "sleepable progs cannot use bpf_spin_lock yet\n");
                return Err(EINVAL);
            }
        }
        if tracing && map.record.has(field::TIMER) {
            verbose!(self, "tracing progs cannot use bpf_timer yet\n");
            return Err(EINVAL);
        }
        if tracing && map.record.has(field::WORKQUEUE) {
            verbose!(self, "tracing progs cannot use bpf_wq yet\n");
            return Err(EINVAL);
        }
        if map.map_type == MapType::STRUCT_OPS {
            verbose!(self, "bpf_struct_ops map cannot be used in prog\n");
            return Err(EINVAL);
        }
        let limited = self.profile().limits_sleepable_maps();
        let later = matches!(map.map_type, MapType::QUEUE | MapType::STACK | MapType::CGRP_STORAGE);
        if self.sleepable && limited && (later || !takes_sleepable(map.map_type)) {
            verbose!(self, "Sleepable programs can only use array, hash, and ringbuf maps\n");
            return Err(EINVAL);
        }
        if self.sleepable && !takes_sleepable(map.map_type) {
            verbose!(self, "Sleepable programs can only use array, hash, ringbuf and local storage maps\n");
            return Err(EINVAL);
        }
        let has_another = self.used_maps.iter().any(|&used| self.map(used).map_type == map.map_type);
        if matches!(map.map_type, MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE) && has_another {
            verbose!(self, "only one cgroup storage of each type is allowed\n");
            return Err(EBUSY);
        }
        if map.map_type == MapType::ARENA {
            if has_another {
                verbose!(self, "Only one arena per program\n");
                return Err(EBUSY);
            }
            if !self.allow_ptr_leaks || !self.bpf_capable {
                verbose!(self, "CAP_BPF and CAP_PERFMON are required to use arena\n");
                return Err(EPERM);
            }
            if map.spec.map_extra == 0 {
                verbose!(self, "arena's user address must be set via map_extra or mmap()\n");
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    /// `__add_used_map`: position of a map among those that the program uses.
    fn add_used_map(&mut self, index: usize) -> Res<usize> {
        let program = self.program;
        if let Some(known) = self.used_maps.iter().position(|&used| self.map(used).index == index) {
            return Ok(known);
        }
        if self.used_maps.len() >= MAX_USED_MAPS {
            verbose!(self, "The total number of maps per program has reached the limit of {MAX_USED_MAPS}\n");
            return Err(E2BIG);
        }
        let Some(spec) = program.maps.get(index) else { return Err(EFAULT) };
        let map = Map::new(spec, index, self.btf.as_ref());
        self.check_map_prog_compatibility(&map)?;
        let used = MapRef::new(self.maps.len());
        self.maps.push(map);
        self.used_maps.push(used);
        Ok(self.used_maps.len() - 1)
    }

    /// The map that an instruction names: by index into `fd_array`, which holds the maps of the program and is
    /// followed by bad descriptors, or by a descriptor that nobody knows.
    fn named_map(&mut self, insn: &Insn) -> Res<Named> {
        if !matches!(insn.src, PSEUDO_MAP_IDX | PSEUDO_MAP_IDX_VALUE) {
            let errno = if STDIO.contains(&insn.imm) { EINVAL } else { EBADF };
            return Ok(Named::NoMap(insn.imm, errno));
        }
        if self.program.maps.is_empty() {
            verbose!(self, "fd_idx without fd_array is invalid\n");
            return Err(Stop::Errno(Errno::EPROTO));
        }
        match usize::try_from(insn.imm) {
            Ok(index) if index < self.program.maps.len() => Ok(Named::Map(index)),
            Ok(index) if index < FD_ARRAY_MAX => Ok(Named::NoMap(-1, EBADF)),
            _ => Err(EFAULT),
        }
    }

    /// A `ld_imm64` that names something.
    fn resolve_ldimm64(&mut self, at: usize) -> Res {
        let (insn, second) = (self.insns[at], self.insns[at + 1].imm);
        match insn.src {
            PSEUDO_BTF_ID => return self.check_pseudo_btf_id(at),
            PSEUDO_FUNC => {
                self.aux[at].ptr_type = PTR_TO_FUNC;
                return Ok(());
            }
            PSEUDO_MAP_VALUE | PSEUDO_MAP_IDX_VALUE => {}
            PSEUDO_MAP_FD | PSEUDO_MAP_IDX if second == 0 => {}
            _ => {
                verbose!(self, "unrecognized bpf_ld_imm64 insn\n");
                return Err(EINVAL);
            }
        }
        let index = match self.named_map(&insn)? {
            Named::Map(index) => index,
            Named::NoMap(fd, stop) => {
                verbose!(self, "fd {fd} is not pointing to valid bpf_map\n");
                return Err(stop);
            }
        };
        let used = self.add_used_map(index)?;
        self.aux[at].map_index = used;
        if matches!(insn.src, PSEUDO_MAP_VALUE | PSEUDO_MAP_IDX_VALUE) {
            self.resolve_map_value(used, second as u32)?;
            self.aux[at].map_off = second as u32;
        }
        Ok(())
    }

    /// `map_direct_value_addr`: whether the map has one value at a fixed place, and this offset is in it.
    fn resolve_map_value(&mut self, used: usize, off: u32) -> Res {
        if off >= MAX_VAR_OFF {
            verbose!(self, "direct value offset of {off} is not allowed\n");
            return Err(EINVAL);
        }
        let map = self.map(self.used_maps[used]);
        let value_size = map.value_size;
        let stop = match map.map_type {
            MapType::ARRAY if map.max_entries != 1 => ENOTSUPP,
            MapType::ARRAY if off >= value_size => EINVAL,
            MapType::ARENA if u64::from(off) > u64::from(map.max_entries) * PAGE_SIZE => ERANGE,
            MapType::ARRAY | MapType::ARENA => return Ok(()),
            _ => {
                verbose!(self, "no direct value access support for this map type\n");
                return Err(EINVAL);
            }
        };
        verbose!(self, "invalid access to map value pointer, value_size={value_size} off={off}\n");
        Err(stop)
    }

    /// Whether the kernel is as young as the opcode.
    fn has_opcode(&self, insn: &Insn) -> bool {
        let is = |class: u8, op: u8| insn.class() == class && insn.code & 0xf0 == op & 0xf0;
        if is(class::ALU64, opcode::END) {
            return self.profile().has_cpu_v4();
        }
        // Only these atomic operations have 1 or 2 bytes.
        let is_narrow = insn.class() == class::STX
            && insn.code & MODE == opcode::ATOMIC
            && matches!(insn.code & SIZE, BYTE | HALF);
        if is_narrow {
            return self.profile().has_load_acquire();
        }
        insn.code != opcode::JCOND || self.profile().has_may_goto()
    }

    /// Also the first look at the other instructions: fields that loads do not use, and opcodes that there are not.
    pub(crate) fn resolve_pseudo_ldimm64(&mut self) -> Res {
        let mut at = 0;
        while at < self.insns.len() {
            let insn = self.insns[at];
            if insn.class() == class::LDX
                && !(insn.imm == 0
                    && (insn.code & MODE == opcode::MEM
                        || (insn.code & MODE == opcode::MEMSX && self.profile().has_cpu_v4())))
            {
                verbose!(self, "BPF_LDX uses reserved fields\n");
                return Err(EINVAL);
            }
            if insn.is_ld_imm64() {
                let is_second =
                    |next: &Insn| next.code == 0 && next.dst == 0 && next.src == 0 && next.off == 0;
                if !self.insns.get(at + 1).is_some_and(is_second) {
                    verbose!(self, "invalid bpf_ld_imm64 insn\n");
                    return Err(EINVAL);
                }
                if insn.src != 0 {
                    self.resolve_ldimm64(at)?;
                }
                at += 2;
                continue;
            }
            if !KNOWN[insn.code as usize] || !self.has_opcode(&insn) {
                verbose!(self, "unknown opcode {:02x}\n", insn.code);
                return Err(EINVAL);
            }
            at += 1;
        }
        self.add_inner_maps();
        Ok(())
    }

    /// The templates of inner maps follow the maps.
    fn add_inner_maps(&mut self) {
        for outer in 0..self.maps.len() {
            let Some(inner) = Map::new_inner(&self.maps[outer], self.btf.as_ref()) else { continue };
            self.maps[outer].inner = Some(MapRef::new(self.maps.len()));
            self.maps.push(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KNOWN;

    #[test]
    fn opcodes() {
        for code in [0x18, 0x20, 0x50, 0xe5, 0xdb, 0xd3, 0x06, 0x85, 0x95, 0x87, 0xd7] {
            assert!(KNOWN[code], "{code:#x}");
        }
        for code in [0x00, 0x38, 0x86, 0x96, 0x8d, 0x0d, 0xdf, 0x99, 0x8f, 0xff] {
            assert!(!KNOWN[code], "{code:#x}");
        }
    }
}
