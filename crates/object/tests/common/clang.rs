// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compilers that are here, and our own C sources.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Every clang on the path that knows BPF: `clang` and `clang-NN`.
pub fn all() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_clang = |name: &str| {
        name == "clang"
            || name
                .strip_prefix("clang-")
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut found: Vec<PathBuf> = std::env::split_paths(&path)
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(is_clang))
        .collect();
    found.sort_by_key(|p| p.file_name().map(ToOwned::to_owned));
    found.dedup_by_key(|p| p.file_name().map(ToOwned::to_owned));
    found
}

/// Directory of our own C sources.
fn sources() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/objects"))
}

/// Builds one of our own sources.
pub fn compile(clang: &Path, source: &str, flags: &[&str], out: &Path) {
    let run = Command::new(clang)
        .args(["-target", "bpf", "-O2", "-g", "-Wall", "-Werror"])
        .args(flags)
        .arg("-c")
        .arg(sources().join(source))
        .arg("-o")
        .arg(out)
        .output()
        .expect("clang runs");
    assert!(run.status.success(), "{source}: {}", String::from_utf8_lossy(&run.stderr));
}
