// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real kernel behind the typed bpf(2), and what it lacks here.
