// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `gcov --json-format` prints for an object, and how the objects' reports become one: a source file, a header
//! above all, may be part of several.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Coverage, FileCoverage, FunctionCoverage};
use crate::boxed::build::NOTES;

/// The report of one object.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct File {
    file: String,
    functions: Vec<Function>,
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    start_line: u32,
    end_line: u32,
    execution_count: u64,
}

#[derive(Debug, Deserialize)]
struct Line {
    line_number: u32,
    count: u64,
}

/// A file of all reports.
#[derive(Debug, Default)]
pub(super) struct Merged {
    lines: BTreeMap<u32, bool>,
    /// By first line and name: last line, and calls.
    functions: BTreeMap<(u32, String), (u32, u64)>,
}

/// Reads a report.
pub(super) fn read(text: &[u8]) -> Result<Report, serde_json::Error> {
    serde_json::from_slice(text)
}

/// `kernel/bpf/verifier.c` of `/usr/src/linux/kernel/bpf/verifier.c`, and nothing of other folders.
fn in_tree(file: &str) -> Option<&str> {
    let (folder, name) = file.rsplit_once('/')?;
    let inside = folder.strip_suffix(NOTES)?;
    (inside.is_empty() || inside.ends_with('/')).then(|| &file[file.len() - NOTES.len() - 1 - name.len()..])
}

/// Adds a report to the files.
pub(super) fn merge(files: &mut BTreeMap<String, Merged>, report: Report) {
    for file in report.files {
        let Some(name) = in_tree(&file.file) else { continue };
        let merged = files.entry(name.to_owned()).or_default();
        for line in file.lines {
            *merged.lines.entry(line.line_number).or_default() |= line.count != 0;
        }
        for function in file.functions {
            let entry = merged.functions.entry((function.start_line, function.name)).or_default();
            entry.0 = entry.0.max(function.end_line);
            entry.1 = entry.1.saturating_add(function.execution_count);
        }
    }
}

/// What the files come to.
pub(super) fn finish(files: BTreeMap<String, Merged>) -> Coverage {
    Coverage { files: files.into_iter().map(|(file, merged)| finish_file(file, merged)).collect() }
}

fn finish_file(file: String, Merged { lines, functions }: Merged) -> FileCoverage {
    let function = |((start, name), (end, calls)): ((u32, String), (u32, u64))| {
        // By range, since lines of an inlined function are counted where it was inlined.
        let inside = || lines.range(start..=end.max(start));
        FunctionCoverage {
            name,
            start_line: start,
            lines: inside().count(),
            reached: inside().filter(|&(_, &reached)| reached).count(),
            calls,
        }
    };
    let functions = functions.into_iter().map(function).collect();
    let reached = lines.iter().filter(|&(_, &reached)| reached).map(|(&line, _)| line).collect();
    FileCoverage { file, lines: lines.len(), reached, functions }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded of gcc 12.2, shortened.
    const SAMPLE: &str = r#"{"gcc_version": "12.2.0", "files": [
        {"lines": [{"branches": [], "count": 4, "line_number": 12, "unexecuted_block": false, "function_name": "f"},
                   {"branches": [], "count": 0, "line_number": 13, "unexecuted_block": true, "function_name": "f"},
                   {"branches": [], "count": 1, "line_number": 20, "unexecuted_block": false}],
         "functions": [{"blocks": 5, "end_column": 1, "start_line": 11, "name": "f", "blocks_executed": 3,
                        "execution_count": 4, "demangled_name": "f", "start_column": 5, "end_line": 16},
                       {"blocks": 1, "end_column": 2, "start_line": 19, "name": "g", "blocks_executed": 0,
                        "execution_count": 0, "demangled_name": "g", "start_column": 5, "end_line": 21}],
         "file": "/src/linux/kernel/bpf/tnum.c"},
        {"lines": [{"branches": [], "count": 4, "line_number": 1, "unexecuted_block": false}], "functions": [],
         "file": "include/linux/bpf.h"}],
        "format_version": "1", "current_working_directory": "/build", "data_file": "tnum.gcno"}"#;

    #[test]
    fn reads_a_report() {
        let mut files = BTreeMap::new();
        merge(&mut files, read(SAMPLE.as_bytes()).unwrap());
        let coverage = finish(files);
        let [file] = &coverage.files[..] else { panic!("{coverage:?}") };
        assert_eq!(
            (file.file.as_str(), file.lines, &file.reached[..]),
            ("kernel/bpf/tnum.c", 3, &[12, 20][..])
        );
        let functions: Vec<_> = file
            .functions
            .iter()
            .map(|f| (f.name.as_str(), f.start_line, f.lines, f.reached, f.calls))
            .collect();
        assert_eq!(functions, [("f", 11, 2, 1, 4), ("g", 19, 1, 1, 0)]);
    }

    #[test]
    fn a_line_is_reached_by_any_object() {
        let mut files = BTreeMap::new();
        merge(&mut files, read(SAMPLE.as_bytes()).unwrap());
        let other = SAMPLE.replace("\"count\": 0", "\"count\": 9").replace("\"count\": 4", "\"count\": 0");
        merge(&mut files, read(other.as_bytes()).unwrap());
        let coverage = finish(files);
        assert_eq!(coverage.files[0].reached, [12, 13, 20]);
        assert_eq!(coverage.files[0].functions[0].calls, 8);
    }

    #[test]
    fn names_files_of_kernel_bpf_only() {
        assert_eq!(in_tree("/a/kernel/bpf/verifier.c"), Some("kernel/bpf/verifier.c"));
        assert_eq!(in_tree("kernel/bpf/disasm.h"), Some("kernel/bpf/disasm.h"));
        for other in ["include/linux/bpf.h", "/a/mykernel/bpf/x.c", "kernel/bpf/preload/x.c", "x.c"] {
            assert_eq!(in_tree(other), None, "{other}");
        }
    }
}
