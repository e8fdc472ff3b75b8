// SPDX-License-Identifier: MIT OR Apache-2.0
//! rbpf, interpreter and JIT.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId};
use skep_program::Object;

/// Memory below 4 GiB: a context of XDP and the packet behind it.
struct Low {
    at: *mut u8,
    len: usize,
}

/// Bytes of the context.
const CTX: usize = 64;

impl Low {
    fn new(packet: &[u8]) -> Option<Low> {
        let len = CTX + packet.len();
        let (prot, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return None;
        }
        let mut low = Low { at: at.cast(), len };
        let data = low.at as u32 + CTX as u32;
        let (ctx, room) = low.parts();
        room.copy_from_slice(packet);
        ctx[0..4].copy_from_slice(&data.to_le_bytes());
        ctx[4..8].copy_from_slice(&(data + packet.len() as u32).to_le_bytes());
        Some(low)
    }

    fn parts(&mut self) -> (&mut [u8], &mut [u8]) {
        // SAFETY: the mapping is as long, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }.split_at_mut(CTX)
    }
}

impl Drop for Low {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this.
        unsafe { libc::munmap(self.at.cast(), self.len) };
    }
}

pub fn bench(group: &mut BenchmarkGroup<'_, WallTime>, object: &Object, packet: &[u8], expected: u64) {
    let Some(mut low) = Low::new(packet) else { return eprintln!("SKIP: rbpf: no memory below 4 GiB") };
    let bytes = object.programs[0].bytes();
    let mut vm = match rbpf::EbpfVmMbuff::new(Some(&bytes)) {
        Ok(vm) => vm,
        Err(e) => return eprintln!("SKIP: rbpf: {e}"),
    };
    // `bpf_get_numa_node_id`.
    vm.register_helper(42, |_, _, _, _, _| 0).expect("rbpf takes helpers");
    let (ctx, packet) = low.parts();
    match vm.execute_program(packet, ctx) {
        Ok(r0) => assert_eq!(r0, expected, "rbpf disagrees"),
        Err(e) => return eprintln!("SKIP: rbpf: {e}"),
    }
    let id = BenchmarkId::from_parameter;
    group.bench_function(id("rbpf"), |b| b.iter(|| vm.execute_program(black_box(packet), ctx)));
    if let Err(e) = vm.jit_compile() {
        return eprintln!("SKIP: rbpf's JIT: {e}");
    }
    // SAFETY: the workloads stay in their packet.
    group.bench_function(id("rbpf-jit"), |b| b.iter(|| unsafe { vm.execute_program_jit(packet, ctx) }));
}
