// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a build: the options that are asked for, and what is told to Kconfig beyond the tree's own
//! files so that they can be had.
//!
//! Kconfig looks for its files in the build directory before it looks in the tree (`zconf_fopen`), so changed
//! copies there serve, and the tree stays as it is.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::BuildError;
use super::make::assignment;

/// What is asked for.
const OPTIONS: &str = include_str!("uml.config");

/// What is asked for in addition where coverage is to be counted.
const COVERAGE: &str = "CONFIG_DEBUG_FS=y\nCONFIG_GCOV_KERNEL=y\n";

/// Without these the kernel is of no use in a box.
const INDISPENSABLE: [&str; 6] = ["BPF_SYSCALL", "CGROUP_BPF", "HOSTFS", "NET", "PROC_FS", "TMPFS"];

/// The architecture's file for Kconfig.
const UM_KCONFIG: &str = "arch/um/Kconfig";

/// Dependencies on probes, which are not to be had, of what does well without: a file, a line, and what suffices.
const RELAXED: [(&str, &str, &str); 2] = [
    (
        "kernel/trace/Kconfig",
        "depends on (KPROBE_EVENTS || UPROBE_EVENTS) && PERF_EVENTS",
        "depends on PERF_EVENTS",
    ),
    (
        "lib/Kconfig.debug",
        "depends on HAVE_FUNCTION_ERROR_INJECTION && KPROBES",
        "depends on HAVE_FUNCTION_ERROR_INJECTION",
    ),
];

/// Headers that single objects take in.
const HEADERS: [(&str, &str); 5] = [
    ("events.h", include_str!("events.h")),
    ("gcov.h", include_str!("gcov.h")),
    ("memory.h", include_str!("memory.h")),
    ("verifier.h", include_str!("verifier.h")),
    ("x86_jit.h", include_str!("x86_jit.h")),
];

/// Where a build directory has them, and the options.
const FOLDER: &str = "skep";

/// What User-Mode Linux gets beyond what the tree gives it: it runs on x86-64, and can do what x86-64 can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extras {
    /// x86-64's BPF JIT.
    pub(super) jit: bool,
    /// Perf events, tracepoints and functions that may be made to fail, without probes.
    pub(super) events: bool,
    /// Help for the verifier.
    pub(super) verifier: bool,
}

impl Extras {
    pub(super) const ALL: Extras = Extras { jit: true, events: true, verifier: true };
    pub(super) const NONE: Extras = Extras { jit: false, events: false, verifier: false };
}

/// The options as a file for `KCONFIG_ALLCONFIG`.
pub(super) fn fragment(coverage: bool, btf: bool) -> String {
    // Debug information is made for the types only, and costs a third of the time.
    let mut text: String = OPTIONS
        .lines()
        .filter(|line| btf || !line.contains("DEBUG_INFO"))
        .flat_map(|line| [line, "\n"])
        .collect();
    if coverage {
        text.push_str(COVERAGE);
    }
    text
}

/// Those of the indispensable options that a configuration lacks.
pub(super) fn lacking(config: &str) -> Vec<&'static str> {
    INDISPENSABLE.into_iter().filter(|option| !has(config, option)).collect()
}

/// Whether a configuration has an option built in.
pub(super) fn has(config: &str, option: &str) -> bool {
    config.lines().any(|line| line.strip_prefix("CONFIG_").and_then(|l| l.strip_prefix(option)) == Some("=y"))
}

/// Writes what a build directory has before anything is made there: the changed copies for Kconfig, the headers, and
/// the options, whose path is the answer.
pub(super) fn prepare(
    tree: &Path,
    output: &Path,
    extras: Extras,
    options: &str,
) -> Result<PathBuf, BuildError> {
    let mut kconfig = read(&tree.join(UM_KCONFIG))?;
    kconfig.push_str(&selections(extras));
    write(&output.join(UM_KCONFIG), &kconfig)?;
    for (file, line, suffices) in RELAXED {
        let text = read(&tree.join(file))?;
        let text = if extras.events { text.replace(line, suffices) } else { text };
        write(&output.join(file), &text)?;
    }
    let folder = output.join(FOLDER);
    for (name, text) in HEADERS {
        write(&folder.join(name), text)?;
    }
    let file = folder.join("uml.config");
    write(&file, options)?;
    Ok(file)
}

/// A second definition of the architecture's symbol, which Kconfig adds to the first.
fn selections(extras: Extras) -> String {
    // The verifier asks for aligned accesses where an architecture does not say that it needs none.
    let mut text = String::from("\nconfig UML\n\tselect HAVE_EFFICIENT_UNALIGNED_ACCESS\n");
    if extras.jit {
        text.push_str("\tselect HAVE_EBPF_JIT\n\tselect ARCH_WANT_DEFAULT_BPF_JIT\n");
    }
    if extras.events {
        text.push_str("\tselect HAVE_PERF_EVENTS\n\tselect HAVE_FUNCTION_ERROR_INJECTION\n");
        // Else there is no bpf_probe_read().
        text.push_str("\tselect ARCH_HAS_NON_OVERLAPPING_ADDRESS_SPACE\n");
    }
    text
}

/// Flags for the one `core.o` that is meant.
const CORE_FLAGS: &str = "SKEP_CORE_FLAGS";

/// Variables of makefiles that go with these extras, and with coverage. Make expands what is in parentheses.
pub(super) fn variables(output: &Path, extras: Extras, coverage: bool) -> Vec<OsString> {
    let mut variables = Vec::new();
    let mut include = |variable: &str, flags: &str, header: &str| {
        let header = output.join(FOLDER).join(header);
        variables.push(assignment(variable, format!("{flags}-include {}", header.display())));
    };
    if extras.jit {
        // An object that is there in every tree, and has no flags of its own.
        include("CFLAGS_tnum.o", "", "x86_jit.h");
    }
    if extras.events {
        include("CFLAGS_bpf_trace.o", "-I$(srctree)/kernel/trace ", "events.h");
    }
    if extras.verifier {
        include("CFLAGS_verifier.o", "", "verifier.h");
        // With the flags of its own, instead of which these are taken.
        include(CORE_FLAGS, "-Wno-override-init $(cflags-nogcse-yy) ", "memory.h");
    }
    if coverage {
        include("CFLAGS_gcc_base.o", "-Wno-missing-prototypes -Wno-missing-declarations ", "gcov.h");
    }
    if extras.verifier {
        // Many an object is called so. That of kernel/sched loses flags that keep frame pointers, as all of the kernel
        // does.
        variables.push(format!("CFLAGS_core.o=$(if $(filter kernel/bpf,$(obj)),$({CORE_FLAGS}))").into());
    }
    if extras.events {
        // The header of x86 is found on User-Mode Linux too, where its registers have other names; what it would
        // define has defaults.
        variables.push("KCPPFLAGS=-D_ASM_X86_PERF_EVENT_H".into());
    }
    if coverage {
        variables.push("GCOV_PROFILE=$(if $(filter kernel/bpf,$(obj)),y)".into());
    }
    variables
}

fn read(path: &Path) -> Result<String, BuildError> {
    fs::read_to_string(path).map_err(|error| BuildError::io("read", path, error))
}

fn write(path: &Path, text: &str) -> Result<(), BuildError> {
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    parent.and_then(|()| fs::write(path, text)).map_err(|error| BuildError::io("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_asked_for_once() {
        let text = fragment(true, true);
        let mut names = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) = line.split_once('=').expect("NAME=value");
            assert!(name.starts_with("CONFIG_"), "{line}");
            assert!(
                matches!(value, "y" | "n" | "-1") || (value.starts_with('"') && value.ends_with('"')),
                "{line}"
            );
            names.push(name);
        }
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(lacking(&text).is_empty());
    }

    #[test]
    fn without_types_there_is_no_debug_information() {
        assert!(!fragment(false, false).contains("DEBUG_INFO"));
        assert!(fragment(false, true).contains("\nCONFIG_DEBUG_INFO_BTF=y\n"));
        assert!(!fragment(false, true).contains("GCOV"));
    }

    #[test]
    fn names_what_is_lacking() {
        let config = "CONFIG_NET=y\n# CONFIG_HOSTFS is not set\nCONFIG_BPF_SYSCALL=y\nCONFIG_TMPFS_XATTR=y\n";
        assert_eq!(lacking(config), ["CGROUP_BPF", "HOSTFS", "PROC_FS", "TMPFS"]);
        assert!(has(config, "NET") && !has(config, "TMPFS"));
    }

    #[test]
    fn says_what_the_architecture_can_do() {
        assert!(selections(Extras::ALL).contains("select HAVE_EBPF_JIT"));
        assert!(!selections(Extras::NONE).contains("JIT"));
        assert!(selections(Extras::NONE).contains("HAVE_EFFICIENT_UNALIGNED_ACCESS"));
    }
}
