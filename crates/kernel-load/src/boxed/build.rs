// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds a User-Mode Linux kernel from a kernel's source tree, into the cache of kernels.
//!
//! Guarantees: the tree is only read; the same tree and compiler give the same kernel, but for the numbers that name a
//! build (build ids); a build that ends before its end, in whatever way, leaves nothing in the cache that could be
//! taken for a kernel; what is in the way is said before the first object is compiled, as far as it can be known then.
//!
//! The kernel's sources are the tree's, unchanged. But User-Mode Linux as such is an architecture that has little of
//! what the verifier asks of one. Where it runs on x86-64 it can have what x86-64 has, so the build declares it:
//!
//! - accesses need no alignment (`HAVE_EFFICIENT_UNALIGNED_ACCESS`), or packet accesses would be rejected;
//! - a BPF JIT, x86-64's own: without one the kernel refuses kernel functions, callbacks, tail calls from subprograms,
//!   exceptions, arenas and `struct_ops`;
//! - perf events, tracepoints and functions that may be made to fail, without probes: for the program types and helpers
//!   of tracing, and so for BPF LSM.
//!
//! The last two are tried on the tree at hand, and left out with a notice ([`Lack`]) where they do not compile. They
//! are known to do so for 6.1 and 6.12.
//!
//! What remains different from a kernel of x86-64:
//!
//! - there is one processor, so that a `cpu_map` has one entry, and `sched_ext` is missing;
//! - there are no kprobes, uprobes and fentry, no hardware counters, branch records and infrared receivers: programs
//!   for them load and do not attach;
//! - `struct pt_regs` is longer, and its fields have other names: programs of type `perf_event` find the rest of their
//!   context elsewhere, and those of type `kprobe` may read beyond x86's;
//! - functions of system calls are `sys_NAME`, not `__x64_sys_NAME`;
//! - there are no modules, `bpf_testmod` and HID-BPF among them, and no `bpf_verify_pkcs7_signature`;
//! - in generated code, a load by a pointer that is neither null, an error, poison nor memory brings the kernel down;
//!   so does one from a page of an arena that is not there.
//!
//! Such a kernel is in its first process some 40 ms after its start, if told `lpj=10000000`: as long again it would
//! measure how fast it can count, which next to nothing in it asks for.

mod config;
mod error;
mod make;
mod tools;
mod tree;
mod work;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use error::{BuildError, Lack};
pub use tools::Tool;

use config::Extras;
use make::{Failure, Make, Step};
use tools::packages;
use work::Work;

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions<'a> {
    /// A kernel's source tree, or an archive of one, such as `/usr/src/linux-source-6.12.tar.xz`.
    pub tree: &'a Path,
    /// Directory of kernels. The result is its folder `uml-RELEASE` or `uml-RELEASE-coverage`.
    pub cache: &'a Path,
    /// Count what runs of `kernel/bpf` (gcov).
    pub coverage: bool,
    /// How many compilers run at once.
    pub jobs: usize,
}

/// A kernel that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its release, as `uname -r` prints it.
    pub release: String,
    /// Its folder: the image, its configuration, and for coverage `kernel/bpf` with sources and notes.
    pub dir: PathBuf,
    /// The executable kernel.
    pub image: PathBuf,
    /// What it does without.
    pub without: Vec<Lack>,
}

/// How far a build is.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The archive of the tree is being unpacked.
    Unpacking {
        /// The archive.
        archive: &'a Path,
    },
    /// The options are being chosen and tried.
    Configuring {
        /// Version of the tree.
        version: &'a str,
    },
    /// An object is being compiled.
    Compiling {
        /// Objects before it.
        done: usize,
        /// About how many there are in all.
        about: usize,
        /// The object: `kernel/bpf/verifier.o`.
        object: &'a str,
    },
    /// The kernel is being linked.
    Linking,
    /// The kernel's types are being made.
    Types,
    /// It is done.
    Done {
        /// The executable kernel.
        image: &'a Path,
    },
}

/// How a build tells how far it is.
pub type OnProgress<'a> = dyn FnMut(&Progress<'_>) + 'a;

/// Objects of a kernel with these options, in 6.12.
const OBJECTS: usize = 920;

/// What a build needs, and an unpacked tree.
const SPACE: u64 = 1400 << 20;
const SPACE_UNPACKED: u64 = 800 << 20;

/// Builds a kernel.
///
/// # Errors
/// [`BuildError`] says what is in the way, and what helps.
pub fn build(options: &BuildOptions<'_>, progress: &mut OnProgress<'_>) -> Result<Built, BuildError> {
    if env::consts::ARCH != "x86_64" {
        return Err(BuildError::Machine(env::consts::ARCH));
    }
    let directories = env::var_os("PATH").unwrap_or_default();
    let missing = tools::missing(&directories);
    if !missing.is_empty() {
        return Err(BuildError::missing(&missing));
    }
    if !options.tree.exists() {
        return Err(BuildError::NotATree { path: options.tree.to_owned(), lacks: "Makefile" });
    }
    let is_archive = options.tree.is_file();
    if !is_archive {
        // Before anything is made.
        tree::check(options.tree)?;
    }
    fs::create_dir_all(options.cache)
        .map_err(|error| BuildError::io("make the folder", options.cache, error))?;
    let work = Work::new(&tree::absolute(options.cache)?)?;
    work.require(SPACE + if is_archive { SPACE_UNPACKED } else { 0 })?;
    let tree = if is_archive {
        progress(&Progress::Unpacking { archive: options.tree });
        let folder = work.folder("tree")?;
        tree::unpack(options.tree, &folder, &directories)?;
        tree::check(&folder)?;
        folder
    } else {
        tree::absolute(options.tree)?
    };
    let without_btf = tools::missing_for_btf(&directories);
    let job = Job { options, tree: &tree, output: &work.folder("build")?, btf: without_btf.is_empty() };
    let extras = job.build(progress)?;

    let release = job.release()?;
    let result = work.folder("result")?;
    job.collect(&result)?;
    let suffix = if options.coverage { "-coverage" } else { "" };
    let dir = work.publish(&result, &format!("uml-{release}{suffix}"))?;
    let image = dir.join(IMAGE);
    progress(&Progress::Done { image: &image });
    let mut without = Vec::new();
    if !without_btf.is_empty() {
        without.push(Lack::Btf { packages: packages(&without_btf) });
    }
    if !extras.jit {
        without.push(Lack::Jit);
    }
    if !extras.events {
        without.push(Lack::Events);
    }
    Ok(Built { release, dir, image, without })
}

/// Names in the folder of a kernel.
const IMAGE: &str = "linux";
const CONFIG: &str = "config";
pub(super) const NOTES: &str = "kernel/bpf";

/// A build in its build directory.
struct Job<'a> {
    options: &'a BuildOptions<'a>,
    tree: &'a Path,
    output: &'a Path,
    btf: bool,
}

impl Job<'_> {
    /// Configures and compiles, with as much as the tree allows.
    fn build(&self, progress: &mut OnProgress<'_>) -> Result<Extras, BuildError> {
        let makefile = self.tree.join("Makefile");
        let text = fs::read_to_string(&makefile).map_err(|error| BuildError::io("read", &makefile, error))?;
        let Some(version) = tree::version(&text) else {
            return Err(BuildError::NotATree {
                path: self.tree.to_owned(),
                lacks: "VERSION in its Makefile",
            });
        };
        progress(&Progress::Configuring { version: &version });
        let mut done = 0;
        let extras = self.settle(&mut done, progress)?;
        match self.compile(extras, &["linux"], &mut done, progress) {
            Ok(()) => Ok(extras),
            // What compiles may still miss something of the kernel that only the linker asks for.
            Err(Failure::Ended { undefined: true, .. }) if extras != Extras::NONE => {
                progress(&Progress::Configuring { version: &version });
                let extras = self.configure(Extras::NONE)?;
                self.compile(extras, &["linux"], &mut 0, progress)
                    .map_err(|failure| self.failed("compile", failure))?;
                Ok(extras)
            }
            Err(failure) => Err(self.failed("compile", failure)),
        }
    }

    /// Configures with those of the extras that compile on this tree. What is compiled for that is needed anyway.
    fn settle(&self, done: &mut usize, progress: &mut OnProgress<'_>) -> Result<Extras, BuildError> {
        // That objects do not compile is the extras' fault, or will be seen again.
        let mut compiles = |extras, objects: &[&str]| match self.compile(extras, objects, done, progress) {
            Ok(()) => Ok(true),
            Err(Failure::Ended { no_space: false, killed: false, .. }) => Ok(false),
            Err(failure) => Err(self.failed("compile", failure)),
        };
        let mut extras = self.configure(Extras::ALL)?;
        let objects = ["kernel/events/core.o", "kernel/trace/bpf_trace.o", "lib/error-inject.o"];
        if extras.events && !compiles(extras, &objects)? {
            extras = self.configure(Extras { events: false, ..extras })?;
        }
        if !compiles(extras, &["kernel/bpf/core.o", "kernel/bpf/verifier.o"])? {
            extras.verifier = false;
        }
        if extras.jit && !compiles(extras, &["kernel/bpf/tnum.o"])? {
            extras = self.configure(Extras { jit: false, ..extras })?;
        }
        Ok(extras)
    }

    /// Writes the configuration. Answers with the extras that took effect.
    fn configure(&self, extras: Extras) -> Result<Extras, BuildError> {
        let fragment = config::fragment(self.options.coverage, self.btf);
        let fragment = config::prepare(self.tree, self.output, extras, &fragment)?;
        let mut make = self.make(extras);
        make.variables.push(make::assignment("KCONFIG_ALLCONFIG", &fragment));
        make.run(&["allnoconfig"], &mut |_| ()).map_err(|failure| self.failed("configure", failure))?;
        let file = self.output.join(".config");
        let config = fs::read_to_string(&file).map_err(|error| BuildError::io("read", &file, error))?;
        let mut lacking = config::lacking(&config);
        if self.options.coverage && !config::has(&config, "GCOV_KERNEL") {
            lacking.push("GCOV_KERNEL");
        }
        if !lacking.is_empty() {
            return Err(BuildError::Options { path: self.tree.to_owned(), lacking });
        }
        Ok(Extras {
            jit: extras.jit && config::has(&config, "BPF_JIT"),
            events: extras.events && config::has(&config, "BPF_EVENTS"),
            ..extras
        })
    }

    fn compile(
        &self,
        extras: Extras,
        targets: &[&str],
        done: &mut usize,
        progress: &mut OnProgress<'_>,
    ) -> Result<(), Failure> {
        self.make(extras).run(targets, &mut |line| match make::step(line) {
            Some(Step::Object(object)) => {
                progress(&Progress::Compiling { done: *done, about: OBJECTS.max(*done + 1), object });
                *done += 1;
            }
            Some(Step::Link) => progress(&Progress::Linking),
            Some(Step::Types) => progress(&Progress::Types),
            None => {}
        })
    }

    fn make(&self, extras: Extras) -> Make<'_> {
        let variables = config::variables(self.output, extras, self.options.coverage);
        Make { tree: self.tree, output: self.output, jobs: self.options.jobs, variables }
    }

    fn failed(&self, what: &'static str, failure: Failure) -> BuildError {
        match failure {
            Failure::Io(error) => BuildError::io("run make for", self.tree, error),
            Failure::Ended { no_space: true, .. } => BuildError::NoSpace { path: self.output.to_owned() },
            Failure::Ended { killed: true, .. } => BuildError::Killed { jobs: self.options.jobs },
            Failure::Ended { tail, .. } => BuildError::Make { what, path: self.tree.to_owned(), tail },
        }
    }

    /// The release that the kernel was given.
    fn release(&self) -> Result<String, BuildError> {
        let file = self.output.join("include/config/kernel.release");
        let text = fs::read_to_string(&file).map_err(|error| BuildError::io("read", &file, error))?;
        Ok(text.trim().to_owned())
    }

    /// Brings what is kept of the build directory into a folder.
    fn collect(&self, folder: &Path) -> Result<(), BuildError> {
        let copy = |from: &str, to: &str| {
            let from = self.output.join(from);
            fs::copy(&from, folder.join(to)).map_err(|error| BuildError::io("copy", &from, error))
        };
        copy(".config", CONFIG)?;
        strip(&self.output.join("linux"), &folder.join(IMAGE))?;
        if self.options.coverage {
            let notes = folder.join(NOTES);
            tree::copy_sources(self.tree, &notes)
                .map_err(|error| BuildError::io("copy to", &notes, error))?;
            for name in files(&self.output.join(NOTES), "gcno")? {
                copy(&format!("{NOTES}/{name}"), &format!("{NOTES}/{name}"))?;
            }
        }
        Ok(())
    }
}

/// The kernel without debug information, which is nine tenths of it.
fn strip(from: &Path, to: &Path) -> Result<(), BuildError> {
    let output = Command::new("strip").arg("-o").arg(to).arg(from).stdin(Stdio::null()).output();
    let output = output.map_err(|error| BuildError::io("strip", from, error))?;
    if !output.status.success() {
        let tail = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(BuildError::Make { what: "strip", path: from.to_owned(), tail });
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
        .map_err(|error| BuildError::io("write", to, error))
}

/// Names of the files in a folder that end so.
pub(super) fn files(folder: &Path, extension: &str) -> Result<Vec<String>, BuildError> {
    let entries = fs::read_dir(folder).map_err(|error| BuildError::io("read", folder, error))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| BuildError::io("read", folder, error))?;
        if let Some(name) = entry.file_name().to_str()
            && Path::new(name).extension() == Some(OsStr::new(extension))
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
