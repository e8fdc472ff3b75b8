// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which engine a suite is for: `on_jit.rs` has the tests of the interpreter once more.
#![allow(dead_code)] // each test file uses a part

use skep_vm::{Config, Engine};

/// The default configuration, with the engine of the suite.
pub fn config() -> Config {
    let engine = if env!("CARGO_CRATE_NAME") == "on_jit" { Engine::Jit } else { Engine::Interpreter };
    Config { engine, ..Config::default() }
}

/// The most that the suite's engine checks.
pub fn strictest() -> Config {
    let config = config();
    Config { checked: config.engine == Engine::Interpreter, ..config }
}
