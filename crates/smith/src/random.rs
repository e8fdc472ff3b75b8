// SPDX-License-Identifier: GPL-2.0-only
//! Choices: of a seed, the same everywhere, or of the bytes that a fuzzer gives.

/// Numbers that comparisons and overflows are likely to turn on.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
];

/// A source of choices: given bytes first, then a sequence that a seed starts.
#[derive(Clone, Debug)]
pub struct Random<'b> {
    bytes: &'b [u8],
    state: u64,
}

impl<'b> Random<'b> {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Random<'static> {
        Random { bytes: &[], state: seed }
    }

    /// Choices that a fuzzer makes; the same sequence for all follows behind their end.
    #[must_use]
    pub fn from_bytes(bytes: &'b [u8]) -> Random<'b> {
        Random { bytes, state: 0 }
    }

    /// 64 bits (splitmix64).
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A choice among `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        match self.bytes.split_first() {
            Some((&byte, rest)) if n <= 256 => {
                self.bytes = rest;
                u64::from(byte) % n
            }
            _ => self.number() % n,
        }
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number that is likely to matter.
    pub fn edgy(&mut self) -> u64 {
        let edge = self.pick(&EDGES).wrapping_add(self.below(5)).wrapping_sub(2);
        match self.below(8) {
            0..=2 => self.below(64),
            3..=4 => edge,
            5 => edge.wrapping_neg(),
            6 => self.number() >> self.below(64),
            _ => self.number(),
        }
    }

    /// Bytes that are likely to matter.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            let number = if self.one_in(3) { self.number() } else { self.edgy() };
            bytes.extend_from_slice(&number.to_le_bytes()[..self.pick(&[1, 2, 4, 8])]);
        }
        bytes.truncate(len);
        bytes
    }
}
