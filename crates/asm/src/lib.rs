// SPDX-License-Identifier: MIT OR Apache-2.0
//! BPF assembler and disassembler: pseudo-C and mnemonics, located errors.
