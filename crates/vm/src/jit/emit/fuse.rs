// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several instructions as fewer of the processor's. What is fused cannot trap, nobody jumps into it, and every register
//! holds what it would hold after the instructions one by one.

use super::{Emitter, host};
use crate::interp::{self, Code, Insn};
use crate::jit::x86::{Mem, Shift};

impl Emitter<'_> {
    /// Emits instructions from one on together; how many, or 0.
    pub(super) fn fuse(&mut self, at: usize) -> usize {
        let insns = &self.program.insns;
        if !matches!(insns[at].code, Code::MovX64 | Code::MovX32) || insns[at].src == interp::Reg::R10 {
            return 0;
        }
        let follow = |count: usize| {
            let end = at + count;
            end <= insns.len() && self.leaders[at + 1..end].iter().all(|&leader| !leader)
        };
        if follow(4)
            && let Some(rotation) = Rotation::find([insns[at], insns[at + 1], insns[at + 2], insns[at + 3]])
        {
            self.rotate(&rotation);
            return 4;
        }
        if follow(2) { self.sum(at) } else { 0 }
    }

    /// A move and an addition to its destination are one `lea`.
    fn sum(&mut self, at: usize) -> usize {
        let (insn, next) = (self.program.insns[at], self.program.insns[at + 1]);
        if insn.code != Code::MovX64 || next.dst != insn.dst {
            return 0;
        }
        let (dst, base) = (host(insn.dst), host(insn.src));
        let sum = match next.code {
            Code::AddK64 if !self.target.blind => Mem::new(base, next.imm as i32),
            Code::AddX64 if next.src != interp::Reg::R10 && next.src != next.dst => {
                Mem::indexed(base, host(next.src), 0)
            }
            _ => return 0,
        };
        self.buf.lea(true, dst, sum);
        2
    }

    fn rotate(&mut self, rotation: &Rotation) {
        let Rotation { copy, source, wide, rotated, count, other, shift, bits } = *rotation;
        self.buf.mov(wide, host(copy), host(source));
        self.buf.shift_imm(Shift::Rol, wide, host(rotated), count);
        self.buf.shift_imm(shift, wide, host(other), bits);
    }
}

/// A copy of a register, one of the two shifted up, the other down by the rest of the width, and both joined: the one
/// that takes the join is rotated, the other just shifted.
struct Rotation {
    copy: interp::Reg,
    source: interp::Reg,
    wide: bool,
    rotated: interp::Reg,
    count: u8,
    other: interp::Reg,
    shift: Shift,
    bits: u8,
}

impl Rotation {
    fn find([copy, first, second, join]: [Insn; 4]) -> Option<Rotation> {
        let wide = copy.code == Code::MovX64;
        let width = if wide { 64 } else { 32 };
        let shift = |insn: &Insn| {
            let up = match (insn.code, wide) {
                (Code::LshK64, true) | (Code::LshK32, false) => true,
                (Code::RshK64, true) | (Code::RshK32, false) => false,
                _ => return None,
            };
            Some((insn.dst, up, insn.imm as u8 & (width - 1)))
        };
        let joins = match join.code {
            Code::OrX64 | Code::XorX64 | Code::AddX64 => wide,
            Code::OrX32 | Code::XorX32 | Code::AddX32 => !wide,
            _ => false,
        };
        let (first, second) = (shift(&first)?, shift(&second)?);
        let (up, down) = if first.1 { (first, second) } else { (second, first) };
        let pair = [copy.dst, copy.src];
        let shifted = pair == [up.0, down.0] || pair == [down.0, up.0];
        let joined = pair == [join.dst, join.src] || pair == [join.src, join.dst];
        let rotates = up.1 && !down.1 && up.2 > 0 && up.2 + down.2 == width;
        if !(joins && shifted && joined && rotates && copy.dst != copy.src) {
            return None;
        }
        let (shift, bits) = if up.0 == join.src { (Shift::Shl, up.2) } else { (Shift::Shr, down.2) };
        let (copy, source) = (copy.dst, copy.src);
        Some(Rotation { copy, source, wide, rotated: join.dst, count: up.2, other: join.src, shift, bits })
    }
}
