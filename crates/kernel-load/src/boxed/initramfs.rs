// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first files of a virtual machine: an executable as `/init`, the shared libraries that it needs, and kernel
//! modules, packed as the kernel unpacks them (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! Guarantees: what is packed starts without any other file. Libraries all lie in [`LIBRARIES`], wherever the host
//! keeps them, so the guest must be started with `LD_LIBRARY_PATH` naming that directory; modules are
//! `/modules/NN-name.ko`, and sorting by name gives the order in which they load.
//!
//! The archive is not compressed: unpacking is the emulated processor's work, and inflating takes it longer than
//! copying (0.8 s for the 28 MB of a build with debug information, under TCG). For the same reason, what follows the
//! last loaded byte of a file is left out: that is debug information, four fifths of such a build.

mod cpio;
mod libraries;

use std::io;
use std::path::{Path, PathBuf};

use cpio::Archive;
use libraries::{Elf, Search};

/// Where the guest finds its libraries.
pub(super) const LIBRARIES: &str = "/lib";
/// Where it finds its modules.
pub(super) const MODULES: &str = "/modules";

/// Why a guest's first files cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A file that must be packed cannot be read.
    #[error("`{0}` cannot be read for the virtual machine: {1}; it must be readable for this user")]
    Unreadable(PathBuf, #[source] io::Error),
    /// The first process is no executable of the guest's machine.
    #[error(
        "`{0}` cannot be the first process of a virtual machine: {1}; run a skep that is built for x86-64 Linux"
    )]
    NotExecutable(PathBuf, String),
    /// A library is nowhere.
    #[error(
        "the library `{name}`, which `{by}` needs, is nowhere that the dynamic loader would look; \
         name its directory in LD_LIBRARY_PATH, or run a statically linked skep"
    )]
    NoLibrary {
        /// The library.
        name: String,
        /// Who needs it.
        by: PathBuf,
    },
}

/// Packs an executable with all that it needs, and modules (name and contents) in the order in which they load.
///
/// # Errors
/// [`InitramfsError`] names the file that is in the way.
pub(super) fn pack(init: &Path, modules: &[(String, Vec<u8>)]) -> Result<Vec<u8>, InitramfsError> {
    let program = Elf::read(init)?;
    let mut archive = Archive::default();
    for directory in ["/proc", "/sys", "/dev", "/tmp"] {
        archive.directory(directory);
    }
    // Where the kernel sends the first process's standard output, before that has mounted anything.
    archive.character_device("/dev/console", (5, 1));
    archive.executable("/init", program.loaded());
    if let Some(loader) = program.loader() {
        archive.executable(loader, Elf::read(Path::new(loader))?.loaded());
        let search = Search::of_this_system();
        for (name, library) in search.all_needed_by(&program)? {
            archive.executable(&format!("{LIBRARIES}/{name}"), library.loaded());
        }
    }
    archive.directory(MODULES);
    for (number, (name, bytes)) in modules.iter().enumerate() {
        archive.file(&format!("{MODULES}/{number:02}-{name}.ko"), bytes);
    }
    Ok(archive.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names in an archive, in order, with the length of their data.
    fn list(mut archive: &[u8]) -> Vec<(String, usize)> {
        let mut names = Vec::new();
        loop {
            let field = |n: usize| {
                let hex = std::str::from_utf8(&archive[6 + 8 * n..14 + 8 * n]).expect("text");
                usize::from_str_radix(hex, 16).expect("hex")
            };
            let (data, name) = (field(6), field(11));
            let text = String::from_utf8(archive[110..110 + name - 1].to_vec()).expect("text");
            if text == "TRAILER!!!" {
                return names;
            }
            names.push((text, data));
            archive = &archive[(110 + name).next_multiple_of(4) + data.next_multiple_of(4)..];
        }
    }

    #[test]
    fn packs_this_executable_with_its_libraries() {
        let me = std::env::current_exe().expect("this test");
        let modules =
            [("virtio".to_owned(), b"one".to_vec()), ("virtio_console".to_owned(), b"three".to_vec())];
        let archive = pack(&me, &modules).expect("packs");
        let names = list(&archive);
        let has = |name: &str| names.iter().any(|(n, _)| n == name);
        assert!(has("init") && has("proc") && has("dev/console"));
        assert!(names.contains(&("modules/00-virtio.ko".to_owned(), 3)));
        assert!(names.contains(&("modules/01-virtio_console.ko".to_owned(), 5)));
        let libraries = names.iter().filter(|(n, _)| n.starts_with("lib/")).count();
        assert!(libraries > 0 || cfg!(target_feature = "crt-static"), "{names:?}");
        let mut once: Vec<&String> = names.iter().map(|(n, _)| n).collect();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len(), "{names:?}");
    }

    #[test]
    fn says_what_cannot_be_packed() {
        let folder = tempfile::tempdir().expect("a directory");
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").expect("written");
        let error = pack(&script, &[]).expect_err("no ELF").to_string();
        assert!(error.contains("cannot be the first process") && error.contains("no ELF file"), "{error}");
        let error = pack(&folder.path().join("none"), &[]).expect_err("no file").to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
