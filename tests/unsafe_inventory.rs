// SPDX-License-Identifier: MIT OR Apache-2.0
//! `docs/unsafe.md` names every file that allows `unsafe`, and no other.

use std::collections::BTreeSet;
use std::path::Path;

fn sources(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder of the workspace").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_inventory_is_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["crates", "src", "tests", "benches"] {
        sources(&root.join(folder), &mut files);
    }
    let allowed = concat!("allow(", "unsafe_code)");
    let actual: BTreeSet<String> = files
        .iter()
        .filter(|f| std::fs::read_to_string(f).is_ok_and(|text| text.contains(allowed)))
        .map(|f| f.strip_prefix(root).expect("below the root").to_string_lossy().into_owned())
        .collect();
    let inventory = std::fs::read_to_string(root.join("docs/unsafe.md")).expect("the inventory is there");
    let listed: BTreeSet<String> = inventory
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, actual);
}
