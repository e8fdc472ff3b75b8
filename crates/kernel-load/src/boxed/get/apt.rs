// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's package tools, and which of the packages that they list is meant.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::qemu::find;
use super::super::release::{by_version, is_of_series, numbers};
use super::GetError;

/// How packages of kernels are called, before the release.
const IMAGE: &str = "linux-image-";
/// Flavours of a kernel that boot in a machine of QEMU's, the preferred first: the one for clouds is a third of the
/// other, and has more of what a virtual machine needs built in.
const FLAVOURS: [&str; 2] = ["cloud-amd64", "amd64"];

/// The tools, found.
#[derive(Debug)]
pub(super) struct Apt {
    cache: PathBuf,
    get: PathBuf,
    dpkg_deb: PathBuf,
}

impl Apt {
    /// Finds the tools, or says which is missing.
    pub fn find() -> Result<Apt, &'static str> {
        let tool = |name| find(name).ok_or(name);
        Ok(Apt { cache: tool("apt-cache")?, get: tool("apt-get")?, dpkg_deb: tool("dpkg-deb")? })
    }

    /// Releases of all kernels that can be fetched, for any machine.
    pub fn kernels(&self) -> Result<Vec<String>, GetError> {
        let pattern = format!("^{IMAGE}[0-9]");
        let text = output(Command::new(&self.cache).args(["search", "--names-only", &pattern]))?;
        Ok(releases(&text))
    }

    /// Version of a package, of the newest where there are several; `None` where it is not known.
    pub fn version(&self, package: &str) -> Result<Option<String>, GetError> {
        let text = output(Command::new(&self.cache).args(["policy", package]))?;
        let candidate = text.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
        Ok(candidate.filter(|version| *version != "(none)").map(str::to_owned))
    }

    /// Fetches a package and unpacks it to a directory.
    pub fn unpack(&self, package: &str, to: &Path, progress: &mut dyn FnMut(&str)) -> Result<(), GetError> {
        progress(&format!("fetching the package {package}"));
        let room = tempfile::tempdir_in(to).map_err(|e| GetError::Io(to.to_owned(), e))?;
        let mut get = Command::new(&self.get);
        // As root, apt would fetch as a user who cannot write to our directory, and complain.
        get.current_dir(room.path()).args(["-q", "-o", "APT::Sandbox::User=root", "download", package]);
        output(&mut get)?;
        let deb = |path: &PathBuf| path.extension().is_some_and(|e| e == "deb");
        let fetched = fs::read_dir(room.path()).into_iter().flatten().flatten().map(|e| e.path()).find(deb);
        let lacks = || GetError::Package { package: package.to_owned(), lacks: "file in the archive" };
        let fetched = fetched.ok_or_else(lacks)?;
        progress(&format!("unpacking {package}"));
        output(Command::new(&self.dpkg_deb).arg("-x").arg(fetched).arg(to)).map(drop)
    }
}

/// What a command prints, in no language's words.
fn output(command: &mut Command) -> Result<String, GetError> {
    let output = command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).output();
    let why = match output {
        Ok(output) if output.status.success() => {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Ok(output) => last_words(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => error.to_string(),
    };
    // As one would type it: the tool, what it does, and what to.
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let words =
        command.get_args().map(|a| a.to_string_lossy()).filter(|a| !a.starts_with('-') && !a.contains("::"));
    let command = std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ");
    Err(GetError::Failed { command, why })
}

/// The error in what a tool said: apt marks it with `E:`.
fn last_words(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|l| !l.is_empty());
    let error = lines().find_map(|l| l.strip_prefix("E: ")).or(lines().next_back());
    error.unwrap_or("it said nothing").trim_end_matches('.').to_owned()
}

/// Releases in what `apt-cache search` prints, `linux-image-6.1.0-56-cloud-amd64 - Linux 6.1 for x86-64 cloud
/// (signed)`. Left out are debug information, unsigned images (made into the signed ones) and packages that only name
/// the newest of a series.
fn releases(text: &str) -> Vec<String> {
    let release = |line: &str| {
        let (package, _) = line.split_once(" - ")?;
        let release = package.trim().strip_prefix(IMAGE)?;
        let other = ["-dbg", "-unsigned", "-template"].iter().any(|end| release.ends_with(end));
        let (version, _) = split(release);
        let meta = numbers(version).len() < 3;
        (!other && !meta).then(|| release.to_owned())
    };
    text.lines().filter_map(release).collect()
}

/// Version and flavour of a release: `6.1.0-56` and `cloud-amd64`.
fn split(release: &str) -> (&str, &str) {
    let dash = |(at, _): &(usize, &str)| release[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic());
    match release.match_indices('-').find(dash) {
        Some((at, _)) => (&release[..at], &release[at + 1..]),
        None => (release, ""),
    }
}

/// The release that is meant: this very one, or the newest of this series.
pub(super) fn choose<'a>(what: &str, releases: &'a [String]) -> Option<&'a str> {
    let exact = releases.iter().find(|r| *r == what);
    let newest = |flavour: &&str| {
        let of_series = releases.iter().filter(|r| split(r).1 == *flavour && is_of_series(r, what));
        of_series.max_by(|a, b| by_version(a, b))
    };
    exact.or_else(|| FLAVOURS.iter().find_map(newest)).map(String::as_str)
}

/// What there is, in few words.
pub(super) fn newest_of_each_series(releases: &[String]) -> String {
    let mut newest: BTreeMap<Vec<u64>, &String> = BTreeMap::new();
    for release in releases.iter().filter(|r| split(r).1 == FLAVOURS[0]) {
        let series = numbers(release).into_iter().take(2).collect();
        let known = newest.entry(series).or_insert(release);
        if by_version(known, release) == Ordering::Less {
            *known = release;
        }
    }
    let names: Vec<String> = newest.into_values().map(|r| format!("`{r}`")).collect();
    if names.is_empty() { "those of other machines".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Debian 12, November 2026.
    const SEARCH: &str = "\
linux-image-6.1.0-9-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)
linux-image-6.1.0-55-cloud-amd64-dbg - Debug symbols for linux-image-6.1.0-55-cloud-amd64
linux-image-6.1.0-56-amd64 - Linux 6.1 for 64-bit PCs (signed)
linux-image-6.1.0-56-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)
linux-image-6.1.0-57-cloud-amd64-unsigned - Linux 6.1 for x86-64 cloud
linux-image-6.1.0-56-rt-amd64 - Linux 6.1 for 64-bit PCs, PREEMPT_RT (signed)
linux-image-6.12-amd64-signed-template - Template for signed linux-image packages for amd64
linux-image-6.12-cloud-amd64 - Linux for x86-64 cloud (meta-package)
linux-image-6.12.100+deb12-cloud-amd64 - Linux 6.12 for x86-64 cloud (signed)
linux-image-6.12.117+deb12-cloud-amd64 - Linux 6.12 for x86-64 cloud (signed)
linux-image-6.12.99+deb12-cloud-amd64 - Linux 6.12 for x86-64 cloud (signed)
linux-image-6.16.3+deb14-amd64 - Linux 6.16 for 64-bit PCs (signed)
";

    #[test]
    fn chooses_a_release() {
        let releases = releases(SEARCH);
        assert_eq!(releases.len(), 8, "{releases:?}");
        for (what, expected) in [
            ("6.12", Some("6.12.117+deb12-cloud-amd64")),
            ("6.12.99", Some("6.12.99+deb12-cloud-amd64")),
            ("6.1", Some("6.1.0-56-cloud-amd64")),
            ("6.1.0-56-rt-amd64", Some("6.1.0-56-rt-amd64")),
            ("6.1.0-57", None),
            ("6.16", Some("6.16.3+deb14-amd64")),
            ("6", Some("6.12.117+deb12-cloud-amd64")),
            ("5.10", None),
        ] {
            assert_eq!(choose(what, &releases), expected, "{what}");
        }
        let known = newest_of_each_series(&releases);
        assert_eq!(known, "`6.1.0-56-cloud-amd64`, `6.12.117+deb12-cloud-amd64`");
        assert_eq!(super::releases("\nlinux-image\nlinux-image-x - y\n"), [""; 0]);
    }

    #[test]
    fn errors_in_the_tools_words() {
        let text = "W: of no matter\nE: Unable to locate package linux-image-9.9\n";
        assert_eq!(last_words(text), "Unable to locate package linux-image-9.9");
        assert_eq!(
            last_words("dpkg-deb: error: 'x' is not a Debian format archive\n\n"),
            "dpkg-deb: error: 'x' is not a Debian format archive"
        );
        assert_eq!(last_words(""), "it said nothing");
        let error = output(Command::new("sh").args(["-c", "exit 3"])).expect_err("fails").to_string();
        assert!(error.contains("it said nothing") && error.contains("apt-get update"), "{error}");
    }
}
