// SPDX-License-Identifier: MIT OR Apache-2.0
//! What keeps a kernel from being built, or from being all that it could be, each with what helps.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::tools::{self, Tool};

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Commands or headers are missing.
    #[error(
        "a kernel cannot be built here without {}; install what is missing with `apt-get install {}`",
        list(.missing), tools::packages(.missing).join(" ")
    )]
    MissingTools {
        /// All that are.
        missing: Vec<Tool>,
    },
    /// User-Mode Linux exists for x86 only.
    #[error(
        "User-Mode Linux runs on x86-64, and this machine is {0}; use kernels under QEMU, `skep kernels get`"
    )]
    Machine(&'static str),
    /// The folder is something else.
    #[error(
        "`{}` is no kernel source tree, it has no {lacks}; name the folder of the kernel's top Makefile, or an archive \
         such as /usr/src/linux-source-6.12.tar.xz (`apt-get install linux-source`)",
        .path.display()
    )]
    NotATree {
        /// The path that was named.
        path: PathBuf,
        /// What is not there.
        lacks: &'static str,
    },
    /// Makefiles cannot have the path.
    #[error(
        "`{}` cannot be used to build a kernel: make takes no path with spaces, colons, quotes or `#$%`; use another folder",
        .path.display()
    )]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// The file cannot be unpacked.
    #[error("`{}` cannot be unpacked: {message}; name an archive of a kernel source tree that tar can read", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What tar said first.
        message: String,
    },
    /// The tree was built in place.
    #[error(
        "`{}` was configured or built in place, so the kernel cannot be built outside of it; run \
         `make ARCH=um mrproper` and `make mrproper` there (they remove its .config), or name a fresh copy",
        .path.display()
    )]
    NotClean {
        /// The tree.
        path: PathBuf,
    },
    /// The tree does not have what a boxed kernel needs.
    #[error(
        "`{}` cannot be configured for a boxed kernel: {} did not take effect; use a tree of 6.1 or later with \
         User-Mode Linux and BPF", .path.display(), options(.lacking)
    )]
    Options {
        /// The tree.
        path: PathBuf,
        /// Options without `CONFIG_`.
        lacking: Vec<&'static str>,
    },
    /// A step of the build failed.
    #[error(
        "cannot {what} the kernel of `{}`; an older or newer gcc (the kernel's Documentation/process/changes.rst says \
         which) or another release of the tree may help; the last lines of the output:\n{tail}", .path.display()
    )]
    Make {
        /// What was done: `compile`.
        what: &'static str,
        /// The tree.
        path: PathBuf,
        /// The last lines that were printed.
        tail: String,
    },
    /// A compiler was killed.
    #[error(
        "a compiler was killed, most likely because the system ran out of memory; build with fewer than {jobs} jobs, or \
         where more memory is"
    )]
    Killed {
        /// How many compilers ran.
        jobs: usize,
    },
    /// There is too little room.
    #[error(
        "there is too little room at `{}`: a build takes about {} MB, an unpacked tree {} MB more; make room, or name \
         another cache with SKEP_KERNELS", .path.display(), super::SPACE >> 20, super::SPACE_UNPACKED >> 20
    )]
    NoSpace {
        /// The folder of the build.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("cannot {what} `{}`: {error}; check that it is there and that this user may do so", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl BuildError {
    pub(super) fn missing(missing: &[Tool]) -> BuildError {
        BuildError::MissingTools { missing: missing.to_vec() }
    }

    pub(super) fn io(what: &'static str, path: &Path, error: io::Error) -> BuildError {
        if error.kind() == io::ErrorKind::StorageFull {
            return BuildError::NoSpace { path: path.to_owned() };
        }
        BuildError::Io { what, path: path.to_owned(), error }
    }
}

fn list(tools: &[Tool]) -> String {
    let names: Vec<_> = tools.iter().map(|tool| format!("`{}`", tool.name)).collect();
    names.join(", ")
}

fn options(lacking: &[&str]) -> String {
    let names: Vec<_> = lacking.iter().map(|option| format!("CONFIG_{option}")).collect();
    names.join(", ")
}

/// What a kernel that was built does without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Its types.
    Btf {
        /// Packages that have what makes them.
        packages: Vec<&'static str>,
    },
    /// The JIT.
    Jit,
    /// Perf events and tracepoints.
    Events,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Btf { packages } => write!(
                f,
                "the kernel has no BTF, so it rejects programs that use kernel types or functions; for BTF, build again \
                 after `apt-get install {}`",
                packages.join(" ")
            ),
            Lack::Jit => f.write_str(
                "the kernel has no BPF JIT, which does not compile for User-Mode Linux on this tree, so it rejects \
                 programs with kernel functions or callbacks",
            ),
            Lack::Events => f.write_str(
                "the kernel has no perf events, which do not compile for User-Mode Linux on this tree, so it does not \
                 know the program types of tracing",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_missing_tools_are_named_at_once() {
        let missing = [("flex", "flex"), ("ld", "binutils"), ("strip", "binutils")];
        let missing = missing.map(|(name, package)| Tool { name, package });
        assert_eq!(
            BuildError::missing(&missing).to_string(),
            "a kernel cannot be built here without `flex`, `ld`, `strip`; install what is missing with \
             `apt-get install flex binutils`"
        );
    }

    #[test]
    fn full_disks_are_named_so() {
        let error = BuildError::io("write", Path::new("/c"), io::ErrorKind::StorageFull.into());
        assert!(matches!(error, BuildError::NoSpace { .. }));
    }
}
