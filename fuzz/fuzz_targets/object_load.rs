// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as an ELF object: an object or an error, never a panic; and what loads can be written, or says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(object) = skep_object::load(bytes)
        && let Ok(written) = skep_object::write(&object)
    {
        let _ = skep_object::load(&written);
    }
});
