// SPDX-License-Identifier: MIT OR Apache-2.0
//! What kernels were recorded to say, held against the kernels at hand: the running one where it is of the series,
//! boxed ones of the very release. Others are skipped, and the tests say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use skep_kernel_load::{Kernel, Registry};

const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded");

/// Case files with the series of their folder.
fn files() -> Vec<(String, PathBuf)> {
    let folders = fs::read_dir(RECORDS).expect("records").flatten().map(|e| e.path()).filter(|p| p.is_dir());
    let files = |folder: PathBuf| {
        let series = folder.file_name().expect("a name").to_string_lossy().into_owned();
        fs::read_dir(folder).expect("a folder").flatten().map(move |e| (series.clone(), e.path()))
    };
    let mut all: Vec<_> = folders.flat_map(files).collect();
    all.sort();
    all
}

fn cases(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("readable");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Kernels that must say again what this release said.
fn kernels_of(series: &str, release: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(host) = Kernel::open()
        && host.release().starts_with(&format!("{series}."))
    {
        names.push("host".to_owned());
    }
    names.extend(Registry::default().list().into_iter().filter(|k| k.release == release).map(|k| k.name()));
    names
}

#[test]
fn kernels_say_again_what_was_recorded() {
    let files = files();
    assert!(!files.is_empty());
    for (series, file) in files {
        let cases = cases(&file);
        let release = cases[0]["truth"][&series]["release"].as_str().expect("a release").to_owned();
        assert!(
            cases.iter().all(|c| c["truth"][&series]["release"] == release.as_str()),
            "one kernel a file"
        );
        let kernels = kernels_of(&series, &release);
        if kernels.is_empty() {
            println!(
                "SKIP: records of Linux {release}: no such kernel here; {}",
                skep_kernel_load::Kind::Vm.remedy()
            );
        }
        for kernel in kernels {
            let output = Command::new(env!("CARGO_BIN_EXE_skep"))
                .args([
                    "diff",
                    "--kernels-only",
                    "-k",
                    &format!("recorded:{series}"),
                    "-k",
                    &kernel,
                    "--cases",
                ])
                .arg(&file)
                .output()
                .expect("runs");
            let answers = String::from_utf8_lossy(&output.stdout);
            let differing: Vec<&str> =
                answers.lines().filter(|l| !l.contains(r#""equal":true,"id""#)).collect();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kernel}: {said}\n{}", differing.join("\n"));
            assert_eq!(answers.lines().count(), cases.len(), "{kernel}");
        }
    }
}

/// Three releases, and what they agree on: the programs were chosen so that most verdicts are the same everywhere.
#[test]
fn records_are_of_the_same_programs() {
    let mut ids: Option<Vec<Value>> = None;
    for (_, file) in files().iter().filter(|(_, f)| f.ends_with("programs.jsonl")) {
        let these: Vec<Value> = cases(file).iter().map(|c| c["insns"].clone()).collect();
        assert_eq!(ids.get_or_insert_with(|| these.clone()), &these, "{}", file.display());
    }
}
