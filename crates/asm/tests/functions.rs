// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions that are referred to by a label have its name, whether they are called or only passed on.

use skep_asm::{Options, assemble};

#[test]
fn labels_name_functions_by_call_and_by_address() {
    let text = "r1 = subprog[passed]\nr2 = subprog[+3]\ncall called\nexit\n\
                passed: r0 = 1\nexit\ncalled: r0 = 2\nexit\n";
    let object =
        assemble(text, &Options::default()).unwrap_or_else(|d| panic!("{}", d.render("text", text, false)));
    let functions: Vec<(usize, &str)> =
        object.programs[0].functions.iter().map(|f| (f.start, f.name.as_str())).collect();
    assert_eq!(functions, [(0, "main"), (6, "passed"), (8, "called")]);
}
