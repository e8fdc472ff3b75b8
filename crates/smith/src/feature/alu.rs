// SPDX-License-Identifier: GPL-2.0-only
//! Arithmetic on numbers and pointers.

use skep_isa::{class, opcode};
use skep_verifier::reg_type::{PTR_TO_MAP_VALUE, PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_STACK};

use crate::code::op;
use crate::scene::{FP, Scene};

const OPS: [u8; 11] =
    [op::ADD, op::SUB, op::MUL, op::DIV, op::OR, op::AND, op::LSH, op::RSH, op::MOD, op::XOR, op::ARSH];

/// A number that an operation takes as its immediate.
fn immediate(scene: &mut Scene<'_, '_>, op: u8, width: u8) -> i32 {
    match op {
        op::LSH | op::RSH | op::ARSH => scene.random.below(if width == class::ALU { 32 } else { 64 }) as i32,
        op::DIV | op::MOD => scene.random.edgy().max(1) as i32 | 1,
        _ => scene.random.edgy() as i32,
    }
}

fn width(scene: &mut Scene<'_, '_>) -> u8 {
    scene.random.pick(&[class::ALU64, class::ALU64, class::ALU])
}

/// A number, or an unknown one from a helper.
pub(super) fn number(scene: &mut Scene<'_, '_>) -> Option<()> {
    let dst = scene.free()?;
    let value = scene.random.edgy();
    match scene.random.below(3) {
        0 => scene.code.imm64(dst, value),
        1 => {
            scene.code.emit(op::MOV | class::ALU, dst, 0, 0, value as i32);
        }
        _ => scene.code.mov_imm(dst, value as i32),
    }
    Some(())
}

/// An operation on a copy of a number.
pub(super) fn alu(scene: &mut Scene<'_, '_>) -> Option<()> {
    let src = scene.scalar()?;
    let other = scene.scalar()?;
    let dst = scene.free()?;
    scene.code.mov(dst, src);
    operate(scene, dst, (other != dst).then_some(other));
    Some(())
}

/// An operation on a number that is used later.
pub(super) fn alu_live(scene: &mut Scene<'_, '_>) -> Option<()> {
    let dst = scene.scalar()?;
    if scene.is_taken(dst) || scene.is_in_loop() {
        return None;
    }
    let other = scene.scalar()?;
    scene.take(dst);
    operate(scene, dst, Some(other));
    Some(())
}

pub(super) fn operate(scene: &mut Scene<'_, '_>, dst: u8, other: Option<u8>) {
    let width = width(scene);
    let op = scene.random.pick(&OPS);
    let signed = matches!(op, op::DIV | op::MOD) && scene.random.one_in(2);
    match other.filter(|_| scene.random.one_in(2)) {
        Some(other) => {
            if matches!(op, op::LSH | op::RSH | op::ARSH) && other != dst && !scene.random.one_in(4) {
                // A shift by a number that is too large is unknown, so it is mostly cut.
                scene.code.alu(op::AND, dst, 31);
            }
            scene.code.emit(op | width | opcode::X, dst, other, signed.into(), 0);
        }
        None if scene.random.one_in(12) => {
            scene.code.emit(op::NEG | width, dst, 0, 0, 0);
        }
        None => {
            let imm = immediate(scene, op, width);
            scene.code.emit(op | width, dst, 0, signed.into(), imm);
        }
    }
}

/// Swapped bytes, or cut ones.
pub(super) fn byte_order(scene: &mut Scene<'_, '_>) -> Option<()> {
    let src = scene.scalar()?;
    let dst = scene.free()?;
    scene.code.mov(dst, src);
    let bits = scene.random.pick(&[16, 32, 64]);
    let code = scene.random.pick(&[class::ALU, class::ALU | opcode::X, class::ALU64]);
    scene.code.emit(op::END | code, dst, 0, 0, bits);
    Some(())
}

/// A copy, in all widths and with signs.
pub(super) fn moves(scene: &mut Scene<'_, '_>) -> Option<()> {
    let src = if scene.random.one_in(3) { scene.reg_with(|_| true)? } else { scene.scalar()? };
    let is_number = scene.reg(src)?.ty == skep_verifier::reg_type::SCALAR_VALUE;
    let dst = scene.free()?;
    let (width, off) = if is_number {
        scene.random.pick(&[
            (class::ALU64, 0),
            (class::ALU, 0),
            (class::ALU, 8),
            (class::ALU, 16),
            (class::ALU64, 8),
            (class::ALU64, 16),
            (class::ALU64, 32),
        ])
    } else {
        (class::ALU64, 0)
    };
    scene.code.emit(op::MOV | width | opcode::X, dst, src, off, 0);
    Some(())
}

/// A pointer moved by a number, known or bounded.
pub(super) fn pointer(scene: &mut Scene<'_, '_>) -> Option<()> {
    // Pointers that may be null are not to be moved; a verifier that lets them is wrong.
    let daring = scene.random.one_in(16);
    let movable = |reg: &skep_verifier::Reg| {
        let ty = if daring { reg.ty.base() } else { reg.ty };
        matches!(ty, PTR_TO_MAP_VALUE | PTR_TO_STACK | PTR_TO_PACKET | PTR_TO_PACKET_META)
    };
    let src = if scene.random.one_in(4) { FP } else { scene.reg_with(movable)? };
    let dst = scene.free()?;
    scene.code.mov(dst, src);
    let distance = scene.random.below(48) as i32;
    if src == FP {
        scene.code.alu(op::ADD, dst, -8 - distance / 8 * 8);
        return Some(());
    }
    match scene.scalar().filter(|&number| number != dst && scene.random.one_in(2)) {
        None => {
            let op = scene.random.pick(&[op::ADD, op::ADD, op::SUB]);
            scene.code.alu(op, dst, distance % 16);
        }
        Some(number) => {
            let bounded = scene.free()?;
            scene.code.mov(bounded, number);
            let mask = scene.random.pick(&[1, 3, 7, 15, 31, 0xff, 0xffff]);
            scene.code.alu(op::AND, bounded, mask);
            scene.code.alu_reg(op::ADD, dst, bounded);
        }
    }
    Some(())
}

/// The distance of two pointers.
pub(super) fn pointer_difference(scene: &mut Scene<'_, '_>) -> Option<()> {
    let packet = |reg: &skep_verifier::Reg| reg.ty.is_pkt_pointer();
    let a = scene.reg_with(packet)?;
    let b = scene.reg_with(packet)?;
    let dst = scene.free()?;
    scene.code.mov(dst, a);
    scene.code.alu_reg(op::SUB, dst, b);
    Some(())
}
