// SPDX-License-Identifier: MIT OR Apache-2.0
//! The examples of `docs/assembly.md` do what the page says, and its table of instructions is right: both dialects of
//! a row give the same bytes.

use skep_asm::{Options, assemble};

const PAGE: &str = include_str!("../../../docs/assembly.md");

/// The fenced blocks of the page: language, text.
fn blocks() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in PAGE.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn examples_assemble() {
    let mut count = 0;
    for (_, text) in blocks().iter().filter(|(language, _)| language == "asm") {
        if let Err(errors) = assemble(text, &Options::default()) {
            panic!("{}", errors.render("docs/assembly.md", text, false));
        }
        count += 1;
    }
    assert!(count >= 8);
}

#[test]
fn the_errors_shown_are_the_errors_given() {
    let blocks = blocks();
    let at = blocks.iter().position(|(language, _)| language == "asm-errors").expect("an example of errors");
    let errors = assemble(&blocks[at].1, &Options::default()).expect_err("mistakes");
    assert_eq!(errors.render("example.s", &blocks[at].1, false), blocks[at + 1].1);
}

/// The texts between backquotes of a cell.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn bytes(line: &str) -> Vec<u8> {
    let source = format!("{line}\nout: exit\n");
    let object = assemble(&source, &Options::default())
        .unwrap_or_else(|e| panic!("{}", e.render("table", &source, false)));
    object.programs[0].bytes()
}

#[test]
fn both_columns_of_the_table_are_the_same_instructions() {
    let rows = PAGE.lines().skip_while(|line| !line.starts_with("| what | pseudo-C")).skip(2);
    let mut count = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let (pseudo_c, mnemonic) = (code(cells[1]), code(cells[2]));
        assert!(!pseudo_c.is_empty());
        let expected: Vec<Vec<u8>> = pseudo_c.iter().map(|line| bytes(line)).collect();
        for line in mnemonic {
            assert!(expected.contains(&bytes(line)), "`{line}` is none of {pseudo_c:?}");
            count += 1;
        }
    }
    assert!(count >= 30);
}
