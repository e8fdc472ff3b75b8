// SPDX-License-Identifier: MIT OR Apache-2.0
//! Constants that do not stand in the code as the program has them (`bpf_jit_blind_constants` of the kernel): what stands
//! there is their exclusive or with a random number, and that number. Displacements and counts of shifts, of 16 and 6
//! bits, stay as they are, as in the kernel.

use std::hash::{BuildHasher, RandomState};

use super::{BASE, Emitter, SCRATCH};
use crate::jit::x86::{Alu, Load, Mem, Reg, Width};

/// Random numbers that nobody can know before.
pub(super) struct Blinder(u64);

impl Blinder {
    pub(super) fn new() -> Blinder {
        Blinder(RandomState::new().hash_one(0) | 1)
    }

    /// The next one (xorshift64*).
    fn key(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl Emitter<'_> {
    /// `dst = imm`, sign-extended where it is `wide`.
    pub(super) fn blinded(&mut self, wide: bool, dst: Reg, imm: i32) {
        let key = self.blinder.key() as i32;
        self.buf.mov_imm32(dst, (imm ^ key) as u32);
        self.buf.alu_imm(Alu::Xor, false, dst, key);
        if wide {
            self.buf.extend(Load::I32, true, dst, dst);
        }
    }

    /// `dst = imm`; takes the scratch register.
    pub(super) fn blinded64(&mut self, dst: Reg, imm: u64) {
        let key = self.blinder.key();
        self.buf.mov_imm64(dst, imm ^ key);
        self.buf.mov_imm64(SCRATCH, key);
        self.buf.alu(Alu::Xor, true, dst, SCRATCH);
    }

    /// Stores a constant.
    pub(super) fn store_blinded(&mut self, width: Width, mem: Mem, imm: i32) {
        self.buf.lea(true, SCRATCH, mem);
        self.blinded(width == Width::Dw, BASE, imm);
        self.buf.store(width, Mem::new(SCRATCH, 0), BASE);
        self.restore_base();
    }
}
