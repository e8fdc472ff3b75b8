// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the dispatch table itself, and the page of the documentation that is made from it.

use std::fmt::Write;

use super::*;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/helpers.md");

const HEAD: &str = "\
# Helpers

Which helper functions `skep run` has. This page is made from the dispatch table in `crates/vm/src/helper/` by a test;
`SKEP_UPDATE=1 cargo test -p skep-vm` writes it anew.

A call of a helper that is not here ends the run with a trap that names it. *World* marks those whose results come from
the environment of the machine (time, random numbers, task), which a test can fix. The note says where a helper
differs from the kernel's.

";

fn page() -> String {
    let numbered = HelperId::ALL.iter().filter(|id| **id != HelperId::UNSPEC);
    let is_here = |id: HelperId| id == HelperId::TAIL_CALL || find(id).is_some();
    let here = numbered.clone().filter(|id| is_here(**id)).count();
    let mut page = HEAD.to_owned();
    let _ = write!(page, "{here} of {} are here.\n\n", numbered.clone().count());
    page += "| number | helper | here | world | note |\n|---|---|---|---|---|\n";
    for &id in numbered {
        let yes = |yes: bool| if yes { "yes" } else { "" };
        let (world, note) = match find(id) {
            Some(row) => (row.environment, row.note),
            None if id == HelperId::TAIL_CALL => (false, "an instruction of the interpreter"),
            None => (false, ""),
        };
        let _ = writeln!(page, "| {} | `bpf_{id}` | {} | {} | {note} |", id.0, yes(is_here(id)), yes(world));
    }
    page
}

#[test]
fn page_is_up_to_date() {
    let page = page();
    if std::env::var_os("SKEP_UPDATE").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(found == page, "docs/helpers.md is stale: run `SKEP_UPDATE=1 cargo test -p skep-vm`");
}

#[test]
fn rows_are_in_order_and_known() {
    assert!(HELPERS.is_sorted_by(|a, b| a.id < b.id));
    for row in HELPERS {
        assert!(row.id.name().is_some() && find(row.id).is_some());
    }
    assert!(find(HelperId::TAIL_CALL).is_none() && find(HelperId(0)).is_none());
}
