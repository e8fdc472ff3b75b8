// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command as a user sees it: every console block of the README, of the docs and of `tests/cli/*.md` is run
//! and compared. `TRYCMD=overwrite cargo test --test cli` rewrites the expected output.

#[test]
fn console_blocks_say_what_the_command_says() {
    trycmd::TestCases::new().case("README.md").case("docs/*.md").case("tests/cli/*.md").run();
}
