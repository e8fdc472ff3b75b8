// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a kernel build needs of this system. All that is missing is found in one go, with the packages that have it.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A command or header, and the Debian package that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// What is looked for: `flex`, `gelf.h`.
    pub name: &'static str,
    /// What `apt-get install` takes.
    pub package: &'static str,
}

const fn tool(name: &'static str, package: &'static str) -> Tool {
    Tool { name, package }
}

/// Commands without which no kernel is built.
const COMMANDS: [Tool; 9] = [
    tool("make", "make"),
    tool("gcc", "gcc"),
    tool("ld", "binutils"),
    tool("strip", "binutils"),
    tool("flex", "flex"),
    tool("bison", "bison"),
    tool("bc", "bc"),
    tool("gzip", "gzip"),
    // User-Mode Linux links by a script that asks for it by name.
    tool("bash", "bash"),
];

/// User-Mode Linux is a program of the C library.
const HEADERS: [Tool; 1] = [tool("stdio.h", "libc6-dev")];

/// What makes a kernel's types (BTF): pahole, and what `resolve_btfids`, a part of the kernel build, is made of.
const BTF_COMMANDS: [Tool; 1] = [tool("pahole", "dwarves")];
const BTF_HEADERS: [Tool; 2] = [tool("gelf.h", "libelf-dev"), tool("zlib.h", "zlib1g-dev")];

/// What archives need.
pub(super) const TAR: [Tool; 1] = [tool("tar", "tar")];
pub(super) const XZ: [Tool; 1] = [tool("xz", "xz-utils")];

/// Names of packages, each once, in the order of the tools.
pub(super) fn packages(tools: &[Tool]) -> Vec<&'static str> {
    let mut packages: Vec<&'static str> = Vec::new();
    for tool in tools {
        if !packages.contains(&tool.package) {
            packages.push(tool.package);
        }
    }
    packages
}

/// The executable file that a command is, in directories such as those of `PATH`.
pub(super) fn find(command: &str, directories: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(directories).map(|directory| directory.join(command)).find(|file| {
        file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}

/// Those of the commands that are not in the directories.
pub(super) fn missing_commands(tools: &[Tool], directories: &OsStr) -> Vec<Tool> {
    tools.iter().copied().filter(|tool| find(tool.name, directories).is_none()).collect()
}

/// Those of the headers that the compiler does not find.
fn missing_headers(tools: &[Tool], gcc: &Path) -> Vec<Tool> {
    tools.iter().copied().filter(|tool| !compiles(gcc, &format!("#include <{}>\n", tool.name))).collect()
}

/// Whether gcc takes a file of this text. That it cannot be started is not a header's fault.
fn compiles(gcc: &Path, text: &str) -> bool {
    let child = Command::new(gcc)
        .args(["-fsyntax-only", "-xc", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return true };
    // The pipe is closed here, or gcc would wait for more.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(text.as_bytes()));
    child.wait().is_ok_and(|status| status.success()) && matches!(written, Some(Ok(())))
}

/// What is missing here of what every build needs.
pub(super) fn missing(directories: &OsStr) -> Vec<Tool> {
    let mut missing = missing_commands(&COMMANDS, directories);
    if let Some(gcc) = find("gcc", directories) {
        missing.extend(missing_headers(&HEADERS, &gcc));
    }
    missing
}

/// What is missing here of what types need.
pub(super) fn missing_for_btf(directories: &OsStr) -> Vec<Tool> {
    let mut missing = missing_commands(&BTF_COMMANDS, directories);
    if let Some(gcc) = find("gcc", directories) {
        missing.extend(missing_headers(&BTF_HEADERS, &gcc));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_executables_only() {
        let directory = std::env::temp_dir().join(format!("skep-tools-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("flex")).unwrap();
        for (name, mode) in [("make", 0o755), ("gcc", 0o644)] {
            std::fs::write(directory.join(name), "").unwrap();
            std::fs::set_permissions(directory.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let missing = missing_commands(&COMMANDS, directory.as_os_str());
        std::fs::remove_dir_all(&directory).unwrap();
        let names: Vec<_> = missing.iter().map(|tool| tool.name).collect();
        assert_eq!(names, ["gcc", "ld", "strip", "flex", "bison", "bc", "gzip", "bash"]);
        assert_eq!(packages(&missing), ["gcc", "binutils", "flex", "bison", "bc", "gzip", "bash"]);
    }

    #[test]
    fn all_of_them_are_missing_in_no_directory() {
        assert_eq!(missing(OsStr::new("/nonexistent")), COMMANDS);
        assert_eq!(missing_for_btf(OsStr::new("/nonexistent")), BTF_COMMANDS);
    }
}
