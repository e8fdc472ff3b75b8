// SPDX-License-Identifier: GPL-2.0-only
//! Functions of the program, callbacks, tail calls. New functions are short; later statements make them grow.

use skep_isa::{Insn, class, opcode};
use skep_uapi::{HelperId, MapType};
use skep_verifier::reg_type::SCALAR_VALUE;

use crate::code::{Code, op};
use crate::scene::Scene;

/// Frames that calls may lead to.
const MAX_DEPTH: usize = 5;

/// A function that keeps its arguments and returns a number.
fn body(scene: &mut Scene<'_, '_>, arguments: u8, number: Option<u8>, returns: i32) -> Vec<Insn> {
    let mut code = Code::default();
    for argument in 1..=arguments.min(3) {
        if scene.random.one_in(2) {
            code.mov(5 + argument, argument);
        }
    }
    match number {
        Some(argument) => code.mov(0, argument),
        None => code.mov_imm(0, returns),
    }
    code.exit();
    code.insns
}

/// A function called with numbers and pointers.
pub(super) fn function(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.may_call() || scene.view.depth >= MAX_DEPTH {
        return None;
    }
    let count = scene.random.below(4) as u8;
    let mut number = None;
    for argument in 1..=count {
        // What the call before overwrote is not there any more.
        scene.called();
        if scene.random.one_in(5) {
            let off = scene.stack_buffer(8, true)?;
            scene.code.stack(argument, off);
            continue;
        }
        match scene.reg_with(|_| true) {
            Some(r) => {
                if scene.reg(r)?.ty == SCALAR_VALUE {
                    number = Some(argument);
                }
                scene.code.mov(argument, r);
            }
            None => scene.code.mov_imm(argument, 1),
        }
    }
    let number = number.filter(|_| scene.random.one_in(2));
    let value = scene.random.below(8) as i32;
    let body = body(scene, count, number, value);
    scene.code.call_new(body);
    scene.called();
    if let Some(kept) = scene.free_kept() {
        scene.code.mov(kept, 0);
    }
    Some(())
}

fn calls(scene: &Scene<'_, '_>, id: HelperId) -> bool {
    scene.allows(id) && scene.may_call() && scene.program.btf.is_some() && scene.view.depth < MAX_DEPTH
}

/// A pointer to the stack for a callback, or nothing.
fn callback_ctx(scene: &mut Scene<'_, '_>, argument: u8) -> Option<()> {
    if scene.random.one_in(2) {
        let off = scene.stack_buffer(8, true)?;
        scene.code.stack(argument, off);
    } else {
        scene.code.mov_imm(argument, 0);
    }
    Some(())
}

/// `bpf_loop`.
pub(super) fn bpf_loop(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !calls(scene, HelperId::LOOP) {
        return None;
    }
    let rounds = scene.random.pick(&[0, 1, 2, 5, 100]);
    let returns = scene.random.below(2) as i32;
    callback_ctx(scene, 3)?;
    scene.code.mov_imm(1, rounds);
    let body = body(scene, 2, None, returns);
    scene.code.address_of_new(2, body);
    scene.code.mov_imm(4, 0);
    scene.code.call(HelperId::LOOP);
    scene.called();
    Some(())
}

/// `bpf_for_each_map_elem`.
pub(super) fn for_each(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !calls(scene, HelperId::FOR_EACH_MAP_ELEM) {
        return None;
    }
    let fits = |map_type| {
        matches!(
            map_type,
            MapType::ARRAY | MapType::HASH | MapType::PERCPU_ARRAY | MapType::PERCPU_HASH | MapType::LRU_HASH
        )
    };
    let maps: Vec<usize> =
        (0..scene.world.pool.len()).filter(|&at| fits(scene.world.pool[at].spec.map_type)).collect();
    let map = scene.random.pick(&maps);
    let returns = scene.random.below(2) as i32;
    callback_ctx(scene, 3)?;
    scene.code.map(1, map);
    let body = body(scene, 3, None, returns);
    scene.code.address_of_new(2, body);
    scene.code.mov_imm(4, 0);
    scene.code.call(HelperId::FOR_EACH_MAP_ELEM);
    scene.called();
    Some(())
}

/// A tail call.
pub(super) fn tail_call(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.may_call() || scene.holds() {
        return None;
    }
    let ctx = scene.ctx()?;
    let map = scene.world.pool.iter().position(|map| map.spec.map_type == MapType::PROG_ARRAY)?;
    let index = scene.scalar().filter(|&r| r > 3 && scene.random.one_in(2));
    scene.code.mov(1, ctx);
    match index {
        Some(index) => scene.code.mov(3, index),
        None => {
            let index = scene.random.below(5) as i32;
            scene.code.emit(op::MOV | class::ALU64, 3, 0, 0, index);
        }
    }
    scene.code.map(2, map);
    scene.code.emit(opcode::CALL, 0, 0, 0, HelperId::TAIL_CALL.0 as i32);
    scene.called();
    Some(())
}
