// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which boxed kernels there are: those in the cache (built or fetched by `skep kernels`), and those that packages
//! have installed. Found by name (`uml:6.1`, `vm:6.12.117+deb12-cloud-amd64`) or by path (`uml:./linux`).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::coverage::evaluate;
use super::qemu::VmImage;
use super::release::{by_version, is_of_series};
use super::uml::UmlImage;
use super::{BoxError, Counters, Coverage, CoverageError};
use crate::{Observation, Request};

/// Names the cache; else it is `skep/kernels` below the user's cache directory.
const CACHE: &str = "SKEP_KERNELS";
/// What Debian's package `user-mode-linux` installs.
const UML_COMMAND: &str = "linux.uml";
/// Where packages install images.
const BOOT: &str = "/boot";

/// How a kernel is boxed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// User-Mode Linux.
    Uml,
    /// A virtual machine.
    Vm,
}

impl Kind {
    /// The word in front of the colon.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Uml => "uml",
            Kind::Vm => "vm",
        }
    }

    /// How more of this kind are had, in one sentence.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Kind::Uml => {
                "install one with `apt-get install user-mode-linux` (6.1), fetch it with `skep kernels get uml:6.1`, \
                 or build any release with `skep kernels build TREE`"
            }
            Kind::Vm => {
                "fetch it with `skep kernels get RELEASE` (a series such as 6.12 means the newest of it), or name an image by its \
                 path, `vm:PATH`"
            }
        }
    }
}

/// A kernel that can be booted in a box.
#[derive(Clone, Debug)]
pub enum BoxKernel {
    /// By User-Mode Linux.
    Uml(UmlImage),
    /// By QEMU.
    Vm(VmImage),
}

impl BoxKernel {
    /// Looks at the kernel of this path.
    ///
    /// # Errors
    /// [`BoxError`] says what the file is instead.
    pub fn open(kind: Kind, path: &Path) -> Result<BoxKernel, BoxError> {
        Ok(match kind {
            Kind::Uml => BoxKernel::Uml(UmlImage::open(path)?),
            Kind::Vm => BoxKernel::Vm(VmImage::open(path)?),
        })
    }

    /// Its name: kind and release.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            BoxKernel::Uml(image) => format!("uml:{}", image.version),
            BoxKernel::Vm(image) => format!("vm:{}", image.release),
        }
    }

    /// Whether it is of a series, such as `6.12`.
    #[must_use]
    pub fn is_of_series(&self, series: &str) -> bool {
        match self {
            BoxKernel::Uml(image) => is_of_series(&image.version, series),
            BoxKernel::Vm(image) => is_of_series(&image.release, series),
        }
    }

    /// Which lines of its source some counters say were reached; `None` of one whose source is not at hand.
    #[must_use]
    pub fn reached(&self, counters: &Counters) -> Option<Result<Coverage, CoverageError>> {
        match self {
            BoxKernel::Uml(image) => Some(evaluate(image.path.parent().unwrap_or(Path::new(".")), counters)),
            BoxKernel::Vm(_) => None,
        }
    }

    /// How long a question may take, and booting: emulated processors are some fifty times slower.
    pub(super) const fn patience(&self) -> Duration {
        match self {
            BoxKernel::Uml(_) => Duration::from_secs(30),
            BoxKernel::Vm(_) => Duration::from_secs(300),
        }
    }

    /// Why it would answer otherwise than other kernels of its release.
    #[must_use]
    pub fn not_comparable(&self, request: &Request) -> Option<String> {
        match self {
            BoxKernel::Uml(image) => image.not_comparable(request.object.program(&request.program)?),
            BoxKernel::Vm(_) => None,
        }
    }

    /// Why an answer of its is not what other kernels of its release would say.
    #[must_use]
    pub fn not_comparable_answer(&self, request: &Request, answer: &Observation) -> Option<String> {
        match self {
            BoxKernel::Uml(image) => {
                image.not_comparable_answer(request.object.program(&request.program)?, answer)
            }
            BoxKernel::Vm(_) => None,
        }
    }
}

/// A kernel that the registry knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// How it is boxed.
    pub kind: Kind,
    /// Its release, as far as its file tells.
    pub release: String,
    /// Its file or folder.
    pub path: PathBuf,
}

impl Known {
    /// What `-k` takes.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.kind.word(), self.release)
    }
}

/// A name that no kernel has.
#[derive(Debug, thiserror::Error)]
#[error("there is no kernel `{name}` here; {remedy}")]
pub struct UnknownKernel {
    name: String,
    remedy: &'static str,
}

/// Kernels by name.
#[derive(Clone, Debug)]
pub struct Registry {
    cache: PathBuf,
}

impl Default for Registry {
    /// With the cache of this user: `$SKEP_KERNELS`, else below `$XDG_CACHE_HOME`, else below `$HOME/.cache`.
    fn default() -> Self {
        let base = || {
            let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
            let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
            base.unwrap_or_else(env::temp_dir).join("skep/kernels")
        };
        Registry { cache: env::var_os(CACHE).map_or_else(base, PathBuf::from) }
    }
}

impl Registry {
    /// Kernels in this directory, besides the installed ones.
    #[must_use]
    pub fn at(cache: PathBuf) -> Self {
        Registry { cache }
    }

    /// The directory of fetched and built kernels.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Every kernel there is, by kind, oldest release first.
    #[must_use]
    pub fn list(&self) -> Vec<Known> {
        let mut known = Vec::new();
        for path in entries(&self.cache) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(release) = name.strip_prefix("uml-") {
                let path = path.join("linux");
                if path.is_file() {
                    known.push(Known { kind: Kind::Uml, release: release.to_owned(), path });
                }
            } else if name.starts_with("vm-") {
                known.extend(vm(path));
            }
        }
        for folder in env::split_paths(&env::var_os("PATH").unwrap_or_default()) {
            let path = folder.join(UML_COMMAND);
            // The same file may be reached by two folders, as /bin and /usr/bin.
            let same = |k: &Known| fs::canonicalize(&k.path).ok() == fs::canonicalize(&path).ok();
            if path.is_file()
                && !known.iter().any(same)
                && let Ok(image) = UmlImage::open(&path)
            {
                known.push(Known { kind: Kind::Uml, release: image.version, path });
            }
        }
        let installed = entries(Path::new(BOOT)).into_iter();
        known.extend(
            installed
                .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz-")))
                .filter_map(vm),
        );
        known.sort_by(|a, b| a.kind.cmp(&b.kind).then_with(|| by_version(&a.release, &b.release)));
        known
    }

    /// The kernel of a name without its kind: a path, or a release or the beginning of one, of which the newest is
    /// taken.
    ///
    /// # Errors
    /// [`UnknownKernel`] with how to get it.
    pub fn find(&self, kind: Kind, name: &str) -> Result<PathBuf, UnknownKernel> {
        if name.contains('/') {
            return Ok(PathBuf::from(name));
        }
        let fits = |k: &Known| k.kind == kind && is_meant(&k.release, name);
        let found = self.list().into_iter().rfind(fits);
        found
            .map(|k| k.path)
            .ok_or_else(|| UnknownKernel { name: format!("{}:{name}", kind.word()), remedy: kind.remedy() })
    }
}

fn vm(path: PathBuf) -> Option<Known> {
    let image = VmImage::open(&path).ok()?;
    Some(Known { kind: Kind::Vm, release: image.release, path })
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    paths
}

/// Whether a name means a kernel of a release. One with counters is only meant where the name says so.
fn is_meant(release: &str, name: &str) -> bool {
    const COVERAGE: &str = "-coverage";
    release.ends_with(COVERAGE) == name.ends_with(COVERAGE)
        && is_of_series(release.trim_end_matches(COVERAGE), name.trim_end_matches(COVERAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_with_counters_are_named_so() {
        assert!(is_meant("6.12.117", "6.12") && !is_meant("6.12.117-coverage", "6.12"));
        assert!(is_meant("6.12.117-coverage", "6.12-coverage") && !is_meant("6.12.117", "6.12-coverage"));
    }

    #[test]
    fn unknown_kernels_say_how_to_get_them() {
        let empty = tempfile::tempdir().expect("a directory");
        let registry = Registry::at(empty.path().to_owned());
        let error = registry.find(Kind::Vm, "5.0").expect_err("none").to_string();
        assert!(error.contains("`vm:5.0`") && error.contains("skep kernels get"), "{error}");
        assert_eq!(registry.find(Kind::Uml, "./linux").expect("a path"), Path::new("./linux"));
    }
}
