// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any text as a source: an object or located errors, never a panic; and what assembles can be printed in every
//! style and assembled again, to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_asm::disasm::{DisasmOptions, Style, disassemble_object};
use skep_asm::{Options, assemble};

fuzz_target!(|source: &str| {
    let object = match assemble(source, &Options::default()) {
        Ok(object) => object,
        Err(errors) => {
            let _ = errors.render("fuzz", source, false);
            return;
        }
    };
    for style in Style::ALL {
        let listing = disassemble_object(&object, &DisasmOptions { style, ..DisasmOptions::default() });
        let again = assemble(&listing, &Options::default()).expect("a listing assembles");
        for (first, second) in object.programs.iter().zip(&again.programs) {
            assert_eq!(first.insns, second.insns, "{style:?}");
        }
    }
});
