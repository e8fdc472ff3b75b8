// SPDX-License-Identifier: MIT OR Apache-2.0
//! The source tree of a build: looked at before anything is done, unpacked where it is an archive, never written to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{BuildError, tools};

/// Files that make a folder a kernel's source tree, with all that is used here.
const MARKS: [&str; 7] = [
    "Makefile",
    "Kconfig",
    "arch/um/Kconfig",
    "kernel/bpf/Makefile",
    "kernel/trace/Kconfig",
    "lib/Kconfig.debug",
    "scripts/kconfig",
];

/// What a build in the tree itself leaves, by which the kernel's makefile refuses to build outside of it
/// (`outputmakefile`).
const TRACES: [&str; 4] =
    [".config", "include/config", "arch/um/include/generated", "arch/x86/include/generated"];

/// Sources that no build for User-Mode Linux reads: most of an archive. What Kconfig reads is not among them.
const UNREAD: [&str; 14] = [
    "*/Documentation/*.rst",
    "*/Documentation/*.yaml",
    "*/arch/*.dts",
    "*/arch/*.dtsi",
    "*/drivers/gpu/*.[ch]",
    "*/drivers/infiniband/*.[ch]",
    "*/drivers/media/*/*/*.[ch]",
    "*/drivers/net/ethernet/*.[ch]",
    "*/drivers/net/wireless/*.[ch]",
    "*/drivers/scsi/*.[ch]",
    "*/drivers/staging/*.[ch]",
    "*/sound/*.[ch]",
    "*/tools/perf/*",
    "*/tools/testing/*",
];

/// Checks that a folder is a kernel's source tree that can be built outside of it.
pub(super) fn check(tree: &Path) -> Result<(), BuildError> {
    if let Some(mark) = MARKS.into_iter().find(|mark| !tree.join(mark).exists()) {
        return Err(BuildError::NotATree { path: tree.to_owned(), lacks: mark });
    }
    if TRACES.into_iter().any(|trace| tree.join(trace).exists()) {
        return Err(BuildError::NotClean { path: tree.to_owned() });
    }
    Ok(())
}

/// The version in the tree's makefile: `6.12.117`, `6.19.0-rc1`.
pub(super) fn version(makefile: &str) -> Option<String> {
    let value = |name: &str| {
        let line =
            makefile.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))?;
        Some(line.trim().to_owned())
    };
    let (major, minor) = (value("VERSION")?, value("PATCHLEVEL")?);
    let sub = value("SUBLEVEL").filter(|sub| !sub.is_empty()).unwrap_or_else(|| "0".to_owned());
    Some(format!("{major}.{minor}.{sub}{}", value("EXTRAVERSION").unwrap_or_default()))
}

/// Unpacks an archive of a tree into a new folder, without what no build reads.
pub(super) fn unpack(archive: &Path, folder: &Path, directories: &std::ffi::OsStr) -> Result<(), BuildError> {
    let mut missing = tools::missing_commands(&tools::TAR, directories);
    if archive.extension().is_some_and(|extension| extension == "xz") {
        missing.extend(tools::missing_commands(&tools::XZ, directories));
    }
    if !missing.is_empty() {
        return Err(BuildError::missing(&missing));
    }
    fs::create_dir_all(folder).map_err(|error| BuildError::io("make the folder", folder, error))?;
    let mut command = Command::new("tar");
    command.arg("-xf").arg(archive).arg("-C").arg(folder).args(["--strip-components=1", "--wildcards"]);
    command.args(UNREAD.map(|pattern| format!("--exclude={pattern}")));
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(|error| BuildError::io("unpack", archive, error))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    if message.contains("No space left on device") {
        return Err(BuildError::NoSpace { path: folder.to_owned() });
    }
    let message = message.lines().next().unwrap_or("no message").to_owned();
    Err(BuildError::Archive { path: archive.to_owned(), message })
}

/// The absolute path of the tree, as makefiles take it.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    let absolute = fs::canonicalize(path).map_err(|error| BuildError::io("read", path, error))?;
    match absolute.to_str() {
        Some(text) if !text.contains([' ', ':', '#', '$', '%', '\'', '"', '\n']) => Ok(absolute),
        _ => Err(BuildError::Path { path: absolute }),
    }
}

/// Copies the sources of `kernel/bpf`, for those who want to see which lines were reached.
pub(super) fn copy_sources(tree: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(tree.join("kernel/bpf"))? {
        let path = entry?.path();
        if let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|e| e == "c" || e == "h"))
        {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version() {
        let text = "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =\nNAME = X\n";
        assert_eq!(version(text).as_deref(), Some("6.12.117"));
        let text = "VERSION = 6\nPATCHLEVEL = 19\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n";
        assert_eq!(version(text).as_deref(), Some("6.19.0-rc1"));
        assert_eq!(version("all:\n\techo VERSION = 6\n"), None);
    }

    #[test]
    fn says_what_is_no_tree_and_what_is_not_clean() {
        let tree = std::env::temp_dir().join(format!("skep-tree-{}", std::process::id()));
        fs::create_dir_all(tree.join("scripts/kconfig")).unwrap();
        assert!(matches!(check(&tree), Err(BuildError::NotATree { lacks: "Makefile", .. })));
        for file in &MARKS[..MARKS.len() - 1] {
            let file = tree.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        assert!(check(&tree).is_ok());
        fs::create_dir_all(tree.join("include/config")).unwrap();
        assert!(matches!(check(&tree), Err(BuildError::NotClean { .. })));
        fs::remove_dir_all(&tree).unwrap();
    }
}
