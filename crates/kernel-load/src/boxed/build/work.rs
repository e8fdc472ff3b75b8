// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder that a build works in, inside of the cache so that its result can be renamed to its place. It goes
//! when the build ends; one that was killed is removed by the next build.

use std::fs;
use std::path::{Path, PathBuf};

use super::BuildError;

/// What the names of such folders start with; the rest is the process's number. Not what kernels' start with.
const PREFIX: &str = ".building-";

/// Removed with all that is in it when dropped.
#[derive(Debug)]
pub(super) struct Work {
    cache: PathBuf,
    path: PathBuf,
}

impl Work {
    pub(super) fn new(cache: &Path) -> Result<Work, BuildError> {
        sweep(cache);
        let path = cache.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| BuildError::io("make the folder", &path, error))?;
        Ok(Work { cache: cache.to_owned(), path })
    }

    /// Checks that there is room for so many bytes.
    pub(super) fn require(&self, bytes: u64) -> Result<(), BuildError> {
        match rustix::fs::statvfs(&self.path) {
            Ok(room) if room.f_bavail.saturating_mul(room.f_frsize) < bytes => {
                Err(BuildError::NoSpace { path: self.cache.clone() })
            }
            // Where it is not told, it will be seen.
            _ => Ok(()),
        }
    }

    /// Makes a folder in it.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, BuildError> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(|error| BuildError::io("make the folder", &path, error))?;
        Ok(path)
    }

    /// Gives a folder its place in the cache, instead of what is there.
    pub(super) fn publish(&self, folder: &Path, name: &str) -> Result<PathBuf, BuildError> {
        let place = self.cache.join(name);
        if place.exists() {
            let old = self.path.join("old");
            fs::rename(&place, &old).map_err(|error| BuildError::io("move", &place, error))?;
        }
        fs::rename(folder, &place).map_err(|error| BuildError::io("make", &place, error))?;
        Ok(place)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What is left is left to the next build.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Removes what builds left that run no more.
fn sweep(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if process.is_some_and(|id| id == std::process::id() || !Path::new(&format!("/proc/{id}")).exists()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_results_only() {
        let cache = std::env::temp_dir().join(format!("skep-work-{}", std::process::id()));
        // Above what Linux gives.
        let killed = cache.join(format!("{PREFIX}{}", u32::MAX));
        fs::create_dir_all(killed.join("build")).unwrap();
        for content in ["first", "second"] {
            let work = Work::new(&cache).unwrap();
            assert!(work.require(1).is_ok());
            assert!(matches!(work.require(u64::MAX), Err(BuildError::NoSpace { .. })));
            let result = work.folder("result").unwrap();
            fs::write(result.join("linux"), content).unwrap();
            let place = work.publish(&result, "uml-6.12.0").unwrap();
            assert_eq!(fs::read_to_string(place.join("linux")).unwrap(), content);
        }
        let names: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        fs::remove_dir_all(&cache).unwrap();
        assert_eq!(names, ["uml-6.12.0"]);
    }
}
