// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which shared libraries an executable needs, and where they are: the search of ld.so(8), by directory instead of
//! its cache.
//!
//! It departs from ld.so in one way: variants of a library for newer processors (`glibc-hwcaps`) are not preferred,
//! as the guest's processor may not be the host's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use goblin::elf::header::EM_X86_64;
use goblin::elf::program_header::PT_LOAD;

use super::InitramfsError;

/// Where ld.so looks when nothing else is said: Debian's and other systems' directories.
const DEFAULT_DIRECTORIES: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
];
/// The configuration of ld.so's cache.
const CONFIGURATION: &str = "/etc/ld.so.conf";
/// How deep configurations may include others.
const INCLUDES: u32 = 8;

/// An executable or a library, with what the loader reads of it.
#[derive(Debug)]
pub(super) struct Elf {
    path: PathBuf,
    bytes: Vec<u8>,
    loader: Option<String>,
    needed: Vec<String>,
    /// `DT_RPATH` and `DT_RUNPATH`, as they stand there.
    rpath: Vec<String>,
    runpath: Vec<String>,
}

impl Elf {
    /// Reads a file of the guest's machine.
    pub fn read(path: &Path) -> Result<Elf, InitramfsError> {
        let bytes = fs::read(path).map_err(|e| InitramfsError::Unreadable(path.to_owned(), e))?;
        Elf::parse(path, bytes).map_err(|why| InitramfsError::NotExecutable(path.to_owned(), why))
    }

    fn parse(path: &Path, mut bytes: Vec<u8>) -> Result<Elf, String> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err("it is no ELF file".to_owned());
        }
        let elf =
            goblin::elf::Elf::parse(&bytes).map_err(|e| format!("its ELF structure is damaged ({e})"))?;
        if elf.header.e_machine != EM_X86_64 || !elf.is_64 {
            return Err(format!("it is for another machine (ELF machine {})", elf.header.e_machine));
        }
        let owned = |texts: &[&str]| texts.iter().map(|&t| t.to_owned()).collect();
        let segments = elf.program_headers.iter().filter(|h| h.p_type == PT_LOAD);
        let end = segments.map(|h| h.p_offset.saturating_add(h.p_filesz)).max().unwrap_or(0);
        let read = Elf {
            path: path.to_owned(),
            loader: elf.interpreter.map(str::to_owned),
            needed: owned(&elf.libraries),
            rpath: owned(&elf.rpaths),
            runpath: owned(&elf.runpaths),
            bytes: Vec::new(),
        };
        if end > bytes.len() as u64 {
            return Err("it is cut off".to_owned());
        }
        let end = usize::try_from(end).unwrap_or(bytes.len());
        bytes.truncate(end.max(HEADER));
        // The section headers went with the rest; readers of debug information must not look for them.
        bytes[E_SHOFF..E_SHOFF + 8].fill(0);
        bytes[E_SHNUM..E_SHNUM + 4].fill(0);
        Ok(Elf { bytes, ..read })
    }

    /// The file without what is never loaded.
    pub fn loaded(&self) -> &[u8] {
        &self.bytes
    }

    /// Path of the dynamic loader; `None` for a static executable.
    pub fn loader(&self) -> Option<&str> {
        self.loader.as_deref()
    }

    /// Directories that the file itself names, `$ORIGIN` being its own.
    fn directories<'a>(&self, named: &'a [String]) -> impl Iterator<Item = PathBuf> + use<'a> {
        let file = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let origin = file.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        named
            .iter()
            .flat_map(|list| list.split(':'))
            .filter(|d| !d.is_empty())
            .map(move |d| PathBuf::from(d.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin)))
    }
}

/// `sizeof(Elf64_Ehdr)`, and the offsets of the fields that tell of sections: `e_shoff`, and `e_shnum` followed by
/// `e_shstrndx`.
const HEADER: usize = 64;
const E_SHOFF: usize = 40;
const E_SHNUM: usize = 60;

/// Where libraries are looked for.
#[derive(Debug)]
pub(super) struct Search {
    /// Of `LD_LIBRARY_PATH`, before what a file itself names.
    first: Vec<PathBuf>,
    /// Of the system, after it.
    last: Vec<PathBuf>,
}

impl Search {
    /// The directories of this system.
    pub fn of_this_system() -> Search {
        let first =
            env::var_os("LD_LIBRARY_PATH").map(|v| env::split_paths(&v).collect()).unwrap_or_default();
        let mut last = Vec::new();
        configured(Path::new(CONFIGURATION), INCLUDES, &mut last);
        last.extend(DEFAULT_DIRECTORIES.map(PathBuf::from));
        Search { first, last }
    }

    /// Every library that a program needs, and its libraries need, by the name that they are asked for.
    pub fn all_needed_by(&self, program: &Elf) -> Result<BTreeMap<String, Elf>, InitramfsError> {
        let mut found = BTreeMap::new();
        // The loader is mapped already when a library asks for it.
        let loader = program.loader().map(|l| base_name(l).to_owned());
        let mut known: BTreeSet<String> = loader.into_iter().collect();
        let mut waiting = Vec::new();
        self.find_needed(program, &mut known, &mut waiting)?;
        while let Some((name, library)) = waiting.pop() {
            self.find_needed(&library, &mut known, &mut waiting)?;
            found.insert(name, library);
        }
        Ok(found)
    }

    fn find_needed(
        &self,
        by: &Elf,
        known: &mut BTreeSet<String>,
        waiting: &mut Vec<(String, Elf)>,
    ) -> Result<(), InitramfsError> {
        for name in &by.needed {
            // One that is asked for by its path has its file name in the guest.
            let base = base_name(name);
            if known.insert(base.to_owned()) {
                waiting.push((base.to_owned(), self.find(name, by)?));
            }
        }
        Ok(())
    }

    fn find(&self, name: &str, by: &Elf) -> Result<Elf, InitramfsError> {
        // DT_RUNPATH takes DT_RPATH out of force.
        let rpath: &[String] = if by.runpath.is_empty() { &by.rpath } else { &[] };
        let directories = by
            .directories(rpath)
            .chain(self.first.iter().cloned())
            .chain(by.directories(&by.runpath))
            .chain(self.last.iter().cloned());
        let candidates: Vec<PathBuf> = if name.contains('/') {
            vec![PathBuf::from(name)]
        } else {
            directories.map(|d| d.join(name)).collect()
        };
        // As ld.so does, go on behind a file of another machine.
        let library = candidates.into_iter().find_map(|path| Elf::read(&path).ok());
        library.ok_or_else(|| InitramfsError::NoLibrary { name: name.to_owned(), by: by.path.clone() })
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Adds the directories of a configuration of ld.so and of what it includes.
fn configured(file: &Path, depth: u32, directories: &mut Vec<PathBuf>) {
    let Ok(text) = fs::read_to_string(file) else { return };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(pattern) =
            line.strip_prefix("include").filter(|rest| rest.starts_with(char::is_whitespace))
        {
            if depth > 0 {
                let base = file.parent().unwrap_or(Path::new("/"));
                for included in matching(&base.join(pattern.trim())) {
                    configured(&included, depth - 1, directories);
                }
            }
        } else if line.starts_with('/') {
            directories.push(PathBuf::from(line));
        }
    }
}

/// Files of a pattern whose last part may have one `*`, as in `/etc/ld.so.conf.d/*.conf`.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((start, end)) = name.split_once('*') else { return vec![pattern.to_owned()] };
    let folder = pattern.parent().unwrap_or(Path::new("/"));
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).filter(fits).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_include_others() {
        let folder = tempfile::tempdir().expect("a directory");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("d")).expect("made");
        fs::write(at("conf"), "# first\n/opt/a # a comment\ninclude d/*.conf\ninclude conf\n")
            .expect("written");
        fs::write(at("d/z.conf"), "/opt/z\n").expect("written");
        fs::write(at("d/b.conf"), "\n/opt/b\nhwcap 1 nosegneg\n").expect("written");
        fs::write(at("d/not.txt"), "/opt/no\n").expect("written");
        let mut found = Vec::new();
        configured(&at("conf"), 1, &mut found);
        let expected = ["/opt/a", "/opt/b", "/opt/z"].map(PathBuf::from);
        assert_eq!(found[..3], expected);
        assert!(!found.contains(&PathBuf::from("/opt/no")));
        assert_eq!(found.len(), 4, "a file that includes itself ends: {found:?}");
    }

    #[test]
    fn finds_what_this_test_needs() {
        let me = Elf::read(&env::current_exe().expect("this test")).expect("ELF");
        let found = Search::of_this_system().all_needed_by(&me).expect("found");
        assert_eq!(found.is_empty(), me.loader().is_none());
        for needed in &me.needed {
            assert!(
                found.contains_key(needed) || me.loader().is_some_and(|l| base_name(l) == needed),
                "{needed}"
            );
        }
        let me = Elf { needed: vec!["libskep-none.so.9".to_owned()], ..me };
        let error = Search::of_this_system().all_needed_by(&me).expect_err("none").to_string();
        assert!(error.contains("`libskep-none.so.9`") && error.contains("LD_LIBRARY_PATH"), "{error}");
    }

    #[test]
    fn other_machines_and_damage_are_named() {
        let me = fs::read(env::current_exe().expect("this test")).expect("read");
        let error = |bytes: Vec<u8>| Elf::parse(Path::new("x"), bytes).expect_err("bad");
        let mut arm = me.clone();
        arm[18] = 183;
        assert!(error(arm).contains("another machine (ELF machine 183)"));
        assert!(error(b"#!/bin/sh".to_vec()).contains("no ELF file"));
        for length in [4, 20, 63, 64, 200, 4096] {
            error(me[..length].to_vec());
        }
    }
}
