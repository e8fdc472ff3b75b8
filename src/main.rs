// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `skep` command.

fn main() {}
