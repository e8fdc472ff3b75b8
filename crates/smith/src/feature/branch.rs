// SPDX-License-Identifier: GPL-2.0-only
//! Branches and loops, with other statements inside.

use skep_isa::{class, opcode};
use skep_uapi::helper::PTR_MAYBE_NULL;
use skep_verifier::reg_type::PTR_TO_MAP_VALUE;

use super::memory;
use crate::code::op;
use crate::scene::{Region, Scene};

const CONDITIONS: [u8; 11] =
    [op::JEQ, op::JGT, op::JGE, op::JSET, op::JNE, op::JSGT, op::JSGE, op::JLT, op::JLE, op::JSLT, op::JSLE];

fn width(scene: &mut Scene<'_, '_>) -> u8 {
    scene.random.pick(&[class::JMP, class::JMP, class::JMP32])
}

/// A statement, or two, that a comparison with a constant decides on.
pub(super) fn branch(scene: &mut Scene<'_, '_>) -> Option<()> {
    let number = scene.scalar()?;
    let code = scene.random.pick(&CONDITIONS) | width(scene);
    let imm = scene.random.edgy() as i32;
    let skip = scene.code.jump(code, number, imm);
    either(scene, skip);
    Some(())
}

/// The same on two numbers.
pub(super) fn branch_reg(scene: &mut Scene<'_, '_>) -> Option<()> {
    let a = scene.scalar()?;
    let b = scene.scalar()?;
    if a == b && !scene.random.one_in(8) {
        return None;
    }
    let code = scene.random.pick(&CONDITIONS) | width(scene);
    let skip = scene.code.jump_reg(code, a, b);
    either(scene, skip);
    Some(())
}

fn either(scene: &mut Scene<'_, '_>, skip: crate::code::Jump) {
    scene.nested();
    if scene.random.one_in(3) {
        let end = scene.code.jump(opcode::JA, 0, 0);
        scene.code.land(skip);
        scene.nested();
        scene.code.land(end);
    } else {
        scene.code.land(skip);
    }
}

/// An operation on a number that was compared with a constant of 64 bits.
pub(super) fn wide_bound(scene: &mut Scene<'_, '_>) -> Option<()> {
    let number = scene.scalar()?;
    let dst = scene.free()?;
    let bound = scene.free()?;
    let edge = scene.random.pick(&[1 << 31, 1 << 32, 1 << 33, 1 << 63, u64::from(u32::MAX) << 8]);
    let near = scene.random.below(16);
    scene.code.mov(dst, number);
    scene.code.imm64(bound, edge.wrapping_add(near).wrapping_sub(8));
    let code = scene.random.pick(&CONDITIONS);
    let skip = scene.code.jump_reg(code | class::JMP, dst, bound);
    super::alu::operate(scene, dst, None);
    scene.code.land(skip);
    super::alu::operate(scene, dst, None);
    Some(())
}

/// A pointer that may be null, used where it is not.
pub(super) fn null_check(scene: &mut Scene<'_, '_>) -> Option<()> {
    let r = scene.reg_with(|reg| reg.ty.has(PTR_MAYBE_NULL))?;
    let reg = *scene.reg(r)?;
    let (code, there_first) = if scene.random.one_in(3) { (op::JNE, false) } else { (op::JEQ, true) };
    let jump = scene.code.jump(class::JMP | code, r, 0);
    let out = if there_first {
        jump
    } else {
        let out = scene.code.jump(opcode::JA, 0, 0);
        scene.code.land(jump);
        out
    };
    if reg.ty.base() == PTR_TO_MAP_VALUE
        && let Some(map) = scene.view.map(&reg).map(|at| &scene.world.pool[at])
    {
        let region = Region::of_value(r, map);
        memory::access(scene, &region);
    } else {
        scene.nested();
    }
    scene.code.land(out);
    Some(())
}

/// The program ends here where a number says so.
pub(super) fn exit(scene: &mut Scene<'_, '_>) -> Option<()> {
    if scene.holds() || scene.view.locked || scene.view.depth > 1 || scene.depth > 0 || !scene.is_free(0) {
        return None;
    }
    let number = scene.scalar()?;
    let code = scene.random.pick(&CONDITIONS) | width(scene);
    let imm = scene.random.edgy() as i32;
    let on = scene.code.jump(code, number, imm);
    let value = scene.random.pick(&scene.setting.returns);
    scene.code.mov_imm(0, value);
    scene.code.exit();
    scene.code.land(on);
    Some(())
}

/// A jump over nothing, near or far.
pub(super) fn goto(scene: &mut Scene<'_, '_>) -> Option<()> {
    if scene.random.one_in(2) {
        scene.code.emit(opcode::JA32, 0, 0, 0, 0);
    } else {
        scene.code.emit(opcode::JA, 0, 0, 0, 0);
    }
    Some(())
}

/// A loop with a counter.
pub(super) fn counted(scene: &mut Scene<'_, '_>) -> Option<()> {
    let counter = scene.free_kept()?;
    let rounds = if scene.depth == 0 { scene.random.pick(&[1, 2, 3, 5, 8, 16, 60]) } else { 2 };
    let down = scene.random.one_in(4);
    scene.code.mov_imm(counter, if down { rounds } else { 0 });
    let start = scene.code.here();
    scene.loops(|scene| scene.nested());
    let (step, code, end) = if down {
        (-1, op::JNE, 0)
    } else {
        let code = scene.random.pick(&[op::JLT, op::JNE, op::JSLT]);
        (1, code, rounds)
    };
    scene.code.alu(op::ADD, counter, step);
    let width = width(scene);
    scene.code.emit(code | width, counter, 0, 0, end);
    scene.code.back(start);
    Some(())
}

/// A loop that the kernel ends.
pub(super) fn may_goto(scene: &mut Scene<'_, '_>) -> Option<()> {
    let start = scene.code.here();
    let out = scene.code.jump(opcode::JCOND, 0, 0);
    scene.loops(|scene| scene.nested());
    scene.code.emit(opcode::JA, 0, 0, 0, 0);
    scene.code.back(start);
    scene.code.land(out);
    Some(())
}
