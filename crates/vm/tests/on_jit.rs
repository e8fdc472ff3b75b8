// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suites of the interpreter once more, on the JIT: `common::config` looks which crate it is in.
#![allow(clippy::duplicate_mod)] // each suite brings what it shares with others
#![cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]

#[path = "engine.rs"]
mod engine;
#[path = "helpers.rs"]
mod helpers;
#[path = "hostile.rs"]
mod hostile;
#[path = "kernel_contexts.rs"]
mod kernel_contexts;
#[path = "kernel_helpers.rs"]
mod kernel_helpers;
#[path = "kernel_maps.rs"]
mod kernel_maps;
#[path = "kernel_packets.rs"]
mod kernel_packets;
#[path = "maps.rs"]
mod maps;
#[path = "packet_helpers.rs"]
mod packet_helpers;
#[path = "wild_helpers.rs"]
mod wild_helpers;
