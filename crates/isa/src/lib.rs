// SPDX-License-Identifier: MIT OR Apache-2.0
//! The BPF instruction set.
//!
//! One table ([`TABLE`]) names every instruction that Linux 6.18 accepts: all of RFC 9669 and the kernel's
//! additions (`may_goto`, `addr_space_cast`, load-acquire, store-release, the pseudo source registers of
//! `ld_imm64` and `call`). Decoding, reserved-field rules, printing, assembling and dispatch derive from it.
//!
//! Guarantees:
//! * any 8 bytes become an [`Insn`] and back without loss, legal or not;
//! * [`decode`] accepts exactly the encodings that match one row of the table, and says which field is at
//!   fault otherwise;
//! * [`eval`] computes every ALU, jump, byte-swap and atomic operation as RFC 9669 defines it, without panics.
#![no_std]

mod decode;
pub mod eval;
mod insn;
mod op;
mod table;

pub use decode::{DecodeError, Decoded, Problem, decode, slots};
pub use insn::{Insn, Reg, class, opcode};
pub use op::{AluOp, AtomicOp, CallKind, Cond, Conformance, Cpu, EndianOp, Imm64, Op, Size, Source, Width};
pub use table::{ImmField, OffField, RegField, Row, TABLE, row_of};
