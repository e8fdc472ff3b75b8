// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fetching a distribution's kernel without installing it: Debian's packages, by the system's own `apt-get download`,
//! which takes no privilege and checks their signatures.
//!
//! Guarantees: nothing is installed or changed but the cache, and there a kernel is whole or not at all: it is made
//! in a directory of another name, which is then renamed.

mod apt;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use apt::Apt;

use super::qemu::{Format, ImageError, VmImage};
use super::release::is_of_series;

/// A kernel that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// Its release.
    pub release: String,
    /// Its directory in the cache.
    pub dir: PathBuf,
}

/// Why a kernel was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The request is no release.
    #[error(
        "`{0}` names no kernel to fetch; give a series or a release, as in `6.12`, `{EXAMPLE}` or `uml:6.1`"
    )]
    Name(String),
    /// Another distribution.
    #[error(
        "this system has no `{command}` to fetch `{what}` with; {}",
        if *uml { BUILD_UML } else { BY_HAND }
    )]
    NoApt {
        /// What was asked for.
        what: String,
        /// What is missing.
        command: &'static str,
        /// It is User-Mode Linux.
        uml: bool,
    },
    /// The lists of packages are not there.
    #[error("apt knows no kernel at all; run `apt-get update` as root first")]
    NoLists,
    /// It is not among the packages.
    #[error(
        "apt has no kernel `{what}` but {known}; ask for one of these, or run `apt-get update` as root first"
    )]
    Unknown {
        /// What was asked for.
        what: String,
        /// What there is.
        known: String,
    },
    /// Only one release of User-Mode Linux is packaged.
    #[error("apt has no User-Mode Linux {what} but {known}; {BUILD_UML}")]
    UnknownUml {
        /// What was asked for.
        what: String,
        /// What there is.
        known: String,
    },
    /// A command failed.
    #[error("`{command}` failed: {why}; an outdated list of packages is renewed by `apt-get update` as root")]
    Failed {
        /// What ran.
        command: String,
        /// The last that it said.
        why: String,
    },
    /// A package without a kernel.
    #[error("the package `{package}` has no {lacks}; ask for another release")]
    Package {
        /// The package.
        package: String,
        /// What it should have.
        lacks: &'static str,
    },
    /// What was fetched is no kernel.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The cache cannot be written.
    #[error("`{0}` cannot be written: {1}; name another cache in $SKEP_KERNELS")]
    Io(PathBuf, #[source] io::Error),
}

const EXAMPLE: &str = "6.12.117+deb12-cloud-amd64";
const BY_HAND: &str = "get a kernel's package for x86-64 by hand and name its image, `-k vm:PATH`: the file \
                       /boot/vmlinuz-RELEASE, or the directory of the unpacked package with its lib/modules";
const BUILD_UML: &str = "build one with `skep kernels build TREE`";

/// Debian's package of User-Mode Linux.
const UML_PACKAGE: &str = "user-mode-linux";

/// Fetches a kernel to the cache, unless it is there: for QEMU a release or the newest of a series (`6.12`), or
/// User-Mode Linux (`uml:6.1`). `progress` hears what is being done.
///
/// # Errors
/// [`GetError`] says in one sentence what is in the way, and what to do.
pub fn get(what: &str, cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Got, GetError> {
    let uml = what.strip_prefix("uml:");
    let release = uml.or(what.strip_prefix("vm:")).unwrap_or(what);
    let plain = |c: char| c.is_ascii_alphanumeric() || ".+-_~".contains(c);
    if !release.starts_with(|c: char| c.is_ascii_digit()) || !release.chars().all(plain) {
        return Err(GetError::Name(what.to_owned()));
    }
    let apt = Apt::find().map_err(|command| GetError::NoApt {
        what: what.to_owned(),
        command,
        uml: uml.is_some(),
    })?;
    progress(&format!("looking for {what}"));
    match uml {
        Some(series) => get_uml(&apt, series, cache, progress),
        None => get_vm(&apt, release, cache, progress),
    }
}

fn get_vm(apt: &Apt, what: &str, cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Got, GetError> {
    let releases = apt.kernels()?;
    if releases.is_empty() {
        return Err(GetError::NoLists);
    }
    let unknown =
        || GetError::Unknown { what: what.to_owned(), known: apt::newest_of_each_series(&releases) };
    let release = apt::choose(what, &releases).ok_or_else(unknown)?.to_owned();
    let dir = cache.join(format!("vm-{release}"));
    if VmImage::open(&dir).is_ok() {
        return Ok(Got { release, dir });
    }
    let package = format!("linux-image-{release}");
    in_new_folder(&dir, |room, new| {
        apt.unpack(&package, room, progress)?;
        progress(&format!("keeping what a virtual machine needs of {release}"));
        Ok(VmImage::open(room)?.keep(new)?)
    })?;
    Ok(Got { release, dir })
}

fn get_uml(apt: &Apt, what: &str, cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Got, GetError> {
    let version = apt.version(UML_PACKAGE)?.ok_or(GetError::NoLists)?;
    let unknown = |known: &str| GetError::UnknownUml { what: what.to_owned(), known: known.to_owned() };
    // Debian counts its versions as 6.1um4+b13, so which 6.1 it is shows only inside.
    if !is_of_series(&version, what) && !is_of_series(what, version.split("um").next().unwrap_or(&version)) {
        return Err(unknown(&version));
    }
    let room = room_in(cache)?;
    apt.unpack(UML_PACKAGE, room.path(), progress)?;
    let lacks = |lacks| GetError::Package { package: UML_PACKAGE.to_owned(), lacks };
    let modules = room.path().join("usr/lib/uml/modules");
    let mut names = fs::read_dir(modules).into_iter().flatten().flatten().map(|e| e.file_name());
    let release =
        names.next().and_then(|n| n.into_string().ok()).ok_or(lacks("usr/lib/uml/modules/RELEASE"))?;
    if !is_of_series(&release, what) {
        return Err(unknown(&release));
    }
    let linux = fs::read(room.path().join("usr/bin/linux.uml")).map_err(|_| lacks("usr/bin/linux.uml"))?;
    let dir = cache.join(format!("uml-{release}"));
    in_new_folder(&dir, |_, new| {
        let file = new.join("linux");
        let put =
            |path: &Path, bytes: &[u8]| fs::write(path, bytes).map_err(|e| GetError::Io(path.to_owned(), e));
        put(&file, &linux)?;
        let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&file, runs).map_err(|e| GetError::Io(file, e))?;
        // For its reader only: the executable prints the same.
        let config = fs::read(room.path().join("usr/share/doc/user-mode-linux/config.gz"));
        match config.ok().and_then(|packed| Format::of(&packed)?.unpack(&packed).ok()) {
            Some(config) => put(&new.join("config"), &config),
            None => Ok(()),
        }
    })?;
    Ok(Got { release, dir })
}

/// A directory of the cache that goes away.
fn room_in(cache: &Path) -> Result<tempfile::TempDir, GetError> {
    let failed = |e| GetError::Io(cache.to_owned(), e);
    fs::create_dir_all(cache).map_err(failed)?;
    tempfile::Builder::new().prefix(".get-").tempdir_in(cache).map_err(failed)
}

/// Makes a directory of the cache: `fill` gets room to work in, and a directory that takes the place of `dir` when it
/// is done.
fn in_new_folder(
    dir: &Path,
    fill: impl FnOnce(&Path, &Path) -> Result<(), GetError>,
) -> Result<(), GetError> {
    let room = room_in(dir.parent().unwrap_or(Path::new(".")))?;
    let failed = |e| GetError::Io(dir.to_owned(), e);
    let new = room.path().join(dir.file_name().unwrap_or(OsStr::new("new")));
    let unpacked = room.path().join("package");
    fs::create_dir(&new).and_then(|()| fs::create_dir(&unpacked)).map_err(failed)?;
    fill(&unpacked, &new)?;
    if dir.exists() {
        // A damaged one, or the same from another process.
        fs::rename(dir, room.path().join("old")).map_err(failed)?;
    }
    fs::rename(&new, dir).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_releases_are_asked_for() {
        for what in ["", "newest", "uml:", "6.12;rm", "6.12/../x", "uml:-x", "-o Dir=/", "xen:6.1"] {
            let error = get(what, Path::new("/nonexistent"), &mut |_| {}).expect_err("no release");
            assert!(matches!(error, GetError::Name(_)), "{error}");
        }
    }

    #[test]
    fn remedies_by_kind() {
        let error = |uml| GetError::NoApt { what: "6.12".to_owned(), command: "apt-get", uml }.to_string();
        assert!(error(false).contains("-k vm:PATH"), "{}", error(false));
        assert!(error(true).contains("skep kernels build"), "{}", error(true));
    }

    #[test]
    fn a_folder_is_whole_or_not_there() {
        let cache = tempfile::tempdir().expect("a directory");
        let dir = cache.path().join("vm-6.12");
        let failing = in_new_folder(&dir, |_, new| {
            fs::write(new.join("part"), "x").expect("written");
            Err(GetError::NoLists)
        });
        assert!(failing.is_err());
        assert_eq!(fs::read_dir(cache.path()).expect("read").count(), 0, "nothing is left behind");
        for text in ["first", "second"] {
            in_new_folder(&dir, |_, new| {
                fs::write(new.join("whole"), text).expect("written");
                Ok(())
            })
            .expect("made");
            assert_eq!(fs::read_to_string(dir.join("whole")).expect("read"), text);
            assert_eq!(fs::read_dir(cache.path()).expect("read").count(), 1);
        }
    }
}
