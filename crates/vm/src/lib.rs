// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guest memory, maps, helpers and the interpreter.
