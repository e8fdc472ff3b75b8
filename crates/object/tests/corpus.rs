// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every object below `SKEP_CORPUS` loads, and its programs, maps and BTF are those of libbpf. Directories, separated
//! by `:`; `build-corpus.sh` makes one from a kernel tree. `SKEP_LIBBPF` gives the compiler flags for a newer libbpf than
//! the installed one, which may not know `.struct_ops.link` or exception callbacks.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn objects(dir: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    for path in entries.filter_map(|e| Some(e.ok()?.path())) {
        if path.is_dir() {
            objects(&path, found);
        } else if path.extension().is_some_and(|e| e == "o") {
            found.push(path);
        }
    }
}

/// What was seen, and why not more.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<&'static str, usize>,
    /// Objects that libbpf does not open, with what we say.
    notes: Vec<String>,
    failures: Vec<String>,
}

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn check(&mut self, path: &Path, what: &'static str, difference: Option<String>) {
        match difference {
            None => self.count(what),
            Some(why) => self.failures.push(format!("{}: {why}", path.display())),
        }
    }
}

fn compare(tool: &Path, path: &Path, tally: &mut Tally) {
    let bytes = std::fs::read(path).expect("readable");
    let captured = common::capture(tool, path);
    tally.count("objects");
    let object = match (skep_object::load(&bytes), captured.refused) {
        (Ok(_), Some(_)) => {
            tally.notes.push(format!("{}: loaded, libbpf refuses it", path.display()));
            return tally.count("objects loaded that libbpf refuses");
        }
        (Err(e), Some(_)) => {
            tally.notes.push(format!("{}: {e}", path.display()));
            return tally.count("objects refused, by libbpf too");
        }
        (Err(e), None) => return tally.failures.push(format!("{}: {e}", path.display())),
        (Ok(object), None) => object,
    };
    for theirs in &captured.programs {
        tally.count("programs");
        match object.programs.iter().find(|p| p.name == theirs.name) {
            Some(ours) => {
                let difference =
                    common::program_difference(ours, theirs).map(|d| format!("{}: {d}", ours.name));
                tally.check(path, "programs equal", difference);
            }
            None => tally.failures.push(format!("{}: {} is missing", path.display(), theirs.name)),
        }
    }
    for _ in &captured.not_loaded {
        tally.count("programs that libbpf does not load");
    }
    tally.check(path, "objects whose maps are equal", common::map_difference(&object, &captured));
    tally.check(path, "objects whose BTF is equal", common::btf_difference(&object, &captured));
}

#[test]
fn corpus_equals_libbpf() {
    let Some(dirs) = std::env::var_os("SKEP_CORPUS") else {
        println!("SKIP: SKEP_CORPUS names no directory of objects");
        return;
    };
    let tool = match common::capture_tool() {
        Ok(tool) => tool,
        Err(why) => return println!("SKIP: {why}"),
    };
    let mut paths = Vec::new();
    for dir in std::env::split_paths(&dirs) {
        objects(&dir, &mut paths);
    }
    paths.sort();
    let mut tally = Tally::default();
    for path in &paths {
        compare(tool, path, &mut tally);
    }
    for (what, count) in &tally.counts {
        println!("{count:6} {what}");
    }
    println!("{}", tally.notes.join("\n"));
    assert!(
        tally.failures.is_empty(),
        "{} differences:\n{}",
        tally.failures.len(),
        tally.failures.join("\n")
    );
}
