// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every `tests/cases/NAME.s` is assembled; `NAME.out` beside it holds the object or the errors that must come out.
//! `SKEP_UPDATE=1` writes what came out instead of comparing. A first line `# options: pseudo-c` (or `mnemonic`) sets
//! the dialect.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use skep_asm::{Dialect, Options, assemble};
use skep_program::{MapSpec, Object, Program};

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut sources: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|e| e == "s"))
        .collect();
    sources.sort();
    assert!(!sources.is_empty());
    let update = env::var_os("SKEP_UPDATE").is_some();
    let mut wrong = String::new();
    for path in sources {
        let source = fs::read_to_string(&path).expect("a source");
        let found = outcome(&source, &path.file_name().unwrap_or_default().to_string_lossy());
        let expected = path.with_extension("out");
        if update {
            fs::write(&expected, &found).expect("a writable expectation");
        } else if fs::read_to_string(&expected).unwrap_or_default() != found {
            writeln!(wrong, "--- {}\n{found}", expected.display()).expect("writing to a string");
        }
    }
    assert!(wrong.is_empty(), "these came out differently (SKEP_UPDATE=1 takes them over):\n{wrong}");
}

fn outcome(source: &str, name: &str) -> String {
    let dialect = match source.lines().next().and_then(|l| l.strip_prefix("# options: ")) {
        Some("pseudo-c") => Some(Dialect::PseudoC),
        Some("mnemonic") => Some(Dialect::Mnemonic),
        _ => None,
    };
    match assemble(source, &Options { dialect, ..Options::default() }) {
        Ok(object) => describe(&object),
        Err(diagnostics) => diagnostics.render(name, source, false),
    }
}

fn describe(object: &Object) -> String {
    let mut out = String::new();
    for (index, map) in object.maps.iter().enumerate() {
        describe_map(&mut out, &format!("map {index}"), map);
    }
    for program in &object.programs {
        describe_program(&mut out, program);
    }
    out
}

fn describe_map(out: &mut String, what: &str, map: &MapSpec) {
    let MapSpec { name, map_type, key_size, value_size, max_entries, flags, .. } = map;
    write!(
        out,
        "{what} {name}: {map_type} key {key_size} value {value_size} entries {max_entries} flags {flags:#x}"
    )
    .expect("writing to a string");
    if map.map_extra != 0 || map.numa_node != 0 {
        write!(out, " extra {:#x} node {}", map.map_extra, map.numa_node).expect("writing to a string");
    }
    let frozen = if map.frozen { " frozen" } else { "" };
    let pinned = if map.pinning == skep_program::Pinning::ByName { " pinned" } else { "" };
    writeln!(out, "{frozen}{pinned}").expect("writing to a string");
    if let Some(inner) = &map.inner {
        describe_map(out, "  inner", inner);
    }
    for (key, value) in &map.entries {
        writeln!(out, "  {} = {}", hex(key), hex(value)).expect("writing to a string");
    }
    for (slot, content) in &map.slots {
        writeln!(out, "  slot {slot} = {content:?}").expect("writing to a string");
    }
}

fn describe_program(out: &mut String, program: &Program) {
    let Program { name, section, prog_type, expected_attach_type, prog_flags, license, .. } = program;
    writeln!(
        out,
        "program {name}: {prog_type} section {section:?} attach {expected_attach_type} flags {prog_flags:#x} license {license:?}"
    )
    .expect("writing to a string");
    if let Some(target) = &program.attach_name {
        writeln!(out, "  to {target}").expect("writing to a string");
    }
    for requirement in &program.requirements {
        writeln!(out, "  needs {requirement}").expect("writing to a string");
    }
    for (slot, insn) in program.insns.iter().enumerate() {
        for function in program.functions.iter().filter(|f| f.start == slot) {
            let global = if function.global { " (global)" } else { "" };
            writeln!(out, "  {}:{global}", function.name).expect("writing to a string");
        }
        let line = program
            .lines
            .iter()
            .find(|l| l.insn == slot)
            .map_or(String::new(), |l| format!("line {}", l.line));
        writeln!(out, "{}", format!("{slot:4}  {}  {line}", hex(&insn.to_bytes())).trim_end())
            .expect("writing to a string");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
