// SPDX-License-Identifier: MIT OR Apache-2.0
//! The workloads in C, compiled at -O2 by the compiler of the machine and loaded as a library.

use std::ffi::CString;
use std::hint::black_box;
use std::process::Command;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId};

type Workload = unsafe extern "C" fn(*mut u8, *mut u8) -> u64;

/// The library, where it could be built.
pub struct Library(Option<*mut libc::c_void>);

impl Library {
    pub fn build() -> Library {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/workloads/native.c");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let library = dir.path().join("native.so");
        let built = Command::new("cc")
            .args(["-O2", "-fno-strict-aliasing", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source)
            .status();
        if !built.is_ok_and(|status| status.success()) {
            eprintln!("SKIP: native: no C compiler `cc`");
            return Library(None);
        }
        let path = CString::new(library.as_os_str().as_encoded_bytes()).expect("a path without NUL");
        // SAFETY: a library of plain functions, without initialisers.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        Library((!handle.is_null()).then_some(handle))
    }

    pub fn bench(&self, group: &mut BenchmarkGroup<'_, WallTime>, name: &str, packet: &[u8], expected: u64) {
        let Some(handle) = self.0 else { return };
        let symbol = CString::new(name).expect("a name without NUL");
        // SAFETY: the handle is that of a library which is never closed.
        let function = unsafe { libc::dlsym(handle, symbol.as_ptr()) };
        if function.is_null() {
            return;
        }
        // SAFETY: all functions of the library that have the name of a workload have this type.
        let function: Workload = unsafe { std::mem::transmute(function) };
        let mut packet = packet.to_vec();
        let range = packet.as_mut_ptr_range();
        // SAFETY: the function stays in the packet.
        let run = || unsafe { function(black_box(range.start), black_box(range.end)) };
        assert_eq!(run(), expected, "{name}: native disagrees");
        group.bench_function(BenchmarkId::from_parameter("native"), |b| b.iter(run));
    }
}
