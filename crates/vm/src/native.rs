// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machine code as others look at it.

/// The machine code of a program: [`crate::Machine::native`].
#[derive(Clone, Debug)]
pub struct NativeCode<'a> {
    /// The bytes: code that all functions share, the instructions in their order, what is seldom reached.
    pub bytes: &'a [u8],
    /// The host's address of the first.
    pub address: u64,
    /// Where the code of each instruction starts in `bytes`, with the slot of the instruction; ascending.
    pub insns: Vec<(usize, usize)>,
    /// Where the code of the last instruction ends.
    pub end: usize,
}
