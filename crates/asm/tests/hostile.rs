// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any text ends in an object or in located errors, within bounds; and what was assembled can be printed and
//! assembled again.

use proptest::prelude::*;
use skep_asm::disasm::{DisasmOptions, Style, disassemble_object};
use skep_asm::{Diagnostics, MAX_INSNS, Options, assemble};
use skep_program::{Object, Program};

/// Words that get far into the parser.
const WORDS: &[&str] = &[
    "r0",
    "r1",
    "w2",
    "r10",
    "r11",
    "%r3",
    "fp",
    "=",
    "+=",
    "s>>=",
    "s",
    "<",
    "s<",
    "==",
    "&",
    "if",
    "goto",
    "gotol",
    "may_goto",
    "+1",
    "-2",
    "out",
    "out:",
    "1:",
    "1b",
    "1f",
    "call",
    "local",
    "kfunc",
    "bpf_map_lookup_elem",
    "foo#7",
    "exit",
    "lock",
    "fetch",
    "*(u32 *)",
    "*(u64 *)",
    "(r1 + 4)",
    "(r10 - 8)",
    "(s8)",
    "-",
    "be16",
    "bswap32",
    "ll",
    "0x1122334455667788",
    "1",
    "-1",
    "0xffffffff",
    "99999999999999999999",
    "1 << 200",
    "map[idx:0]",
    "map[m]",
    "[0]+8",
    "subprog[+4]",
    "func",
    "ksym",
    "btf[id:7]",
    "skb[4]",
    "atomic_fetch_add",
    "((u64 *)(r1 + 0), r2)",
    "xchg_64",
    "cmpxchg32_32",
    "load_acquire",
    "store_release",
    "addr_space_cast",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "~",
    "ldxw",
    "stxdw",
    "stdw",
    "lddw",
    "mov32",
    "add64",
    "jeq",
    "jslt32",
    "endbe",
    "movs",
    "[r1+4]",
    "[r10-8]",
    "ldabsw",
    ".program",
    ".func",
    ".map",
    ".inner_map",
    ".entry",
    ".slot",
    ".rodata",
    ".bss",
    ".byte",
    ".quad",
    ".asciz",
    ".zero",
    ".align",
    ".set",
    ".insn",
    ".license",
    ".flags",
    "#define",
    "hash",
    "array",
    "prog_array",
    "array_of_maps",
    "m",
    "key=4",
    "value=8",
    "max_entries=16",
    "flags=no_prealloc|",
    "inner=m",
    "xdp",
    "kprobe/x",
    "\"text\"",
    "'a'",
    "'",
    "\"",
    "/*",
    "*/",
    "//",
    ";",
    "0:",
    "(b7)",
    "1: .12....... (bf)",
    "func#0 @0",
    "processed 1 insns (limit 2)",
    "1: R1=ctx()",
    ".text",
    ".section",
    ".type f, @function",
    "f:",
    ".globl",
    ".p2align",
    "(18)",
    "bf 16 00 00 00 00 00 00",
    "é",
    "\u{0}",
    "@",
];

fn check(source: &str) -> Result<(), TestCaseError> {
    match assemble(source, &Options::default()) {
        Ok(object) => {
            for style in Style::ALL {
                let listing =
                    disassemble_object(&object, &DisasmOptions { style, ..DisasmOptions::default() });
                let again = assemble(&listing, &Options::default());
                let Ok(again) = again else {
                    return Err(TestCaseError::fail(format!("{style:?}: {again:?}\n{listing}")));
                };
                let bytes = |object: &Object| object.programs.iter().map(Program::bytes).collect::<Vec<_>>();
                prop_assert_eq!(bytes(&object), bytes(&again), "{:?}\n{}", style, listing);
            }
            for program in &object.programs {
                prop_assert!(program.functions.is_sorted_by_key(|f| f.start));
                prop_assert!(program.lines.is_sorted_by_key(|l| l.insn));
                prop_assert!(program.lines.iter().all(|l| l.insn < program.insns.len()));
                for line in &program.lines {
                    let (start, end) = line.span.expect("the assembler knows the place");
                    prop_assert!(source.get(start..end).is_some_and(|text| !text.is_empty()));
                }
            }
        }
        Err(errors) => {
            prop_assert!(!errors.list().is_empty() && errors.list().len() <= Diagnostics::LIMIT);
            for error in errors.list() {
                prop_assert!(source.get(error.span.clone()).is_some(), "{error:?}");
            }
            prop_assert!(!errors.render("any", source, false).is_empty());
            prop_assert!(!errors.render("any", source, true).is_empty());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_characters(source in any::<String>()) {
        check(&source)?;
    }

    #[test]
    fn any_printable_lines(source in "([ -~]{0,30}\n){0,8}") {
        check(&source)?;
    }

    #[test]
    fn soups_of_words(lines in prop::collection::vec(prop::collection::vec(prop::sample::select(WORDS), 0..9), 0..12)) {
        let text: Vec<String> = lines.iter().map(|line| line.join(" ")).collect();
        check(&text.join("\n"))?;
    }
}

#[test]
fn deep_nesting_is_an_error() {
    for (open, close) in [("(", ")"), ("-", ""), ("~", "")] {
        let source = format!("r0 = {}1{}\nexit\n", open.repeat(100_000), close.repeat(100_000));
        let errors = assemble(&source, &Options::default()).expect_err("too deep");
        assert_eq!(errors.list().len(), 1);
        assert!(errors.render("deep", &source, false).len() < 4000);
    }
}

#[test]
fn a_flood_of_errors_is_cut() {
    let source = "r11 = 1\n".repeat(100_000);
    let errors = assemble(&source, &Options::default()).expect_err("no such register");
    assert_eq!(errors.list().len(), Diagnostics::LIMIT);
    assert!(errors.render("flood", &source, false).ends_with("100 errors; there may be more\n"));
}

#[test]
fn too_many_instructions_are_one_error() {
    let source = "exit\n".repeat(MAX_INSNS + 10);
    let errors = assemble(&source, &Options::default()).expect_err("too many");
    assert_eq!(errors.list().len(), 1);
    assert!(assemble(&"exit\n".repeat(MAX_INSNS), &Options::default()).is_ok());
}

#[test]
fn far_jumps_say_how_to_go_further() {
    let body = "r0 = 0\n".repeat(40_000);
    let errors = assemble(&format!("if r1 == 0 goto out\n{body}out: exit\n"), &Options::default())
        .expect_err("too far");
    assert!(errors.list()[0].help.as_deref().is_some_and(|help| help.contains("gotol")));
    let far =
        assemble(&format!("gotol out\n{body}out: exit\n"), &Options::default()).expect("32 bits are enough");
    assert_eq!(far.programs[0].insns[0].imm, 40_000);
}
