// SPDX-License-Identifier: GPL-2.0-only
//! What is acquired and must be released: reservations of ring buffers, sockets, dynptrs.

use skep_isa::class;
use skep_uapi::{HelperId, MapType};

use super::memory;
use crate::code::op;
use crate::scene::{Region, Scene};

/// Bytes of a dynptr.
const DYNPTR: usize = 16;

fn map_of(scene: &Scene<'_, '_>, map_type: MapType) -> Option<usize> {
    scene.world.pool.iter().position(|map| map.spec.map_type == map_type)
}

/// A record of a ring buffer: reserved, written, submitted or discarded.
pub(super) fn ring_buffer(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.allows(HelperId::RINGBUF_RESERVE) || !scene.may_call() {
        return None;
    }
    let map = map_of(scene, MapType::RINGBUF)?;
    let size = scene.random.pick(&[1, 8, 16, 64, 100]);
    scene.code.map(1, map);
    scene.code.mov_imm(2, size);
    scene.code.mov_imm(3, 0);
    scene.code.call(HelperId::RINGBUF_RESERVE);
    scene.called();
    let out = scene.code.jump(class::JMP | op::JEQ, 0, 0);
    let kept = scene.free_kept()?;
    scene.code.mov(kept, 0);
    let region = Region::new(kept, 0, size.into(), true);
    memory::access(scene, &region);
    scene.holding(|scene| scene.nested());
    scene.code.mov(1, kept);
    scene.code.mov_imm(2, 0);
    let end = scene.random.pick(&[HelperId::RINGBUF_SUBMIT, HelperId::RINGBUF_DISCARD]);
    scene.code.call(end);
    scene.called();
    scene.code.land(out);
    Some(())
}

/// A socket: looked up, looked at, released.
pub(super) fn socket(scene: &mut Scene<'_, '_>) -> Option<()> {
    let helper =
        scene.random.pick(&[HelperId::SK_LOOKUP_TCP, HelperId::SK_LOOKUP_UDP, HelperId::SKC_LOOKUP_TCP]);
    if !scene.allows(helper) || !scene.allows(HelperId::SK_RELEASE) || !scene.may_call() {
        return None;
    }
    let ctx = scene.ctx().filter(|&ctx| ctx > 5)?;
    let len = scene.random.pick(&[12, 36]);
    let off = scene.stack_buffer(len, true)?;
    scene.code.mov(1, ctx);
    scene.code.stack(2, off);
    scene.code.mov_imm(3, len as i32);
    scene.code.mov_imm(4, -1);
    scene.code.mov_imm(5, 0);
    scene.code.call(helper);
    scene.called();
    let out = scene.code.jump(class::JMP | op::JEQ, 0, 0);
    let kept = scene.free_kept()?;
    scene.code.mov(kept, 0);
    if helper != HelperId::SKC_LOOKUP_TCP
        && scene.random.one_in(2)
        && let Some(number) = scene.free_kept()
    {
        scene.code.load(skep_isa::Size::W, number, kept, 4);
    }
    scene.holding(|scene| scene.nested());
    scene.code.mov(1, kept);
    scene.code.call(HelperId::SK_RELEASE);
    scene.called();
    scene.code.land(out);
    Some(())
}

/// A dynptr on a map's value: made, written, read.
pub(super) fn dynptr(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.allows(HelperId::DYNPTR_FROM_MEM) || !scene.may_call() {
        return None;
    }
    let map = scene.world.pool.iter().position(|map| map.spec.name == crate::maps::DATA)?;
    let at = scene.free_slots(DYNPTR / 8)?;
    let len = scene.random.pick(&[1, 16, 64, 200]);
    let start = scene.random.below(56) as i32;
    scene.code.map_value(1, map, start);
    scene.code.mov_imm(2, len);
    scene.code.mov_imm(3, 0);
    scene.code.stack(4, at);
    scene.code.call(HelperId::DYNPTR_FROM_MEM);
    scene.called();
    use_dynptr(scene, at)
}

/// One use of a dynptr.
fn use_dynptr(scene: &mut Scene<'_, '_>, at: i16) -> Option<()> {
    match scene.random.below(3) {
        0 => {
            let buffer = scene.stack_buffer(16, true)?;
            scene.code.stack(1, at);
            scene.code.mov_imm(2, 4);
            scene.code.stack(3, buffer);
            let len = 1 + scene.random.below(16) as i32;
            scene.code.mov_imm(4, len);
            scene.code.mov_imm(5, 0);
            scene.code.call(HelperId::DYNPTR_WRITE);
        }
        1 => {
            let len = 1 + scene.random.below(16) as i32;
            let buffer = scene.stack_buffer(16, false)?;
            scene.code.stack(1, buffer);
            scene.code.mov_imm(2, len);
            scene.code.stack(3, at);
            scene.code.mov_imm(4, 0);
            scene.code.mov_imm(5, 0);
            scene.code.call(HelperId::DYNPTR_READ);
        }
        _ => {
            let len = scene.random.pick(&[1, 8, 32]);
            scene.code.stack(1, at);
            scene.code.mov_imm(2, 0);
            scene.code.mov_imm(3, len);
            scene.code.call(HelperId::DYNPTR_DATA);
            scene.called();
            scene.take(0);
            let out = scene.code.jump(class::JMP | op::JEQ, 0, 0);
            let region = Region::new(0, 0, len.into(), true);
            memory::access(scene, &region);
            scene.code.land(out);
        }
    }
    scene.called();
    Some(())
}

/// A dynptr on a record of a ring buffer, which must be submitted or discarded whether it was reserved or not.
pub(super) fn ring_buffer_dynptr(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.allows(HelperId::RINGBUF_RESERVE_DYNPTR) || !scene.may_call() {
        return None;
    }
    let map = map_of(scene, MapType::RINGBUF)?;
    let at = scene.free_slots(DYNPTR / 8)?;
    scene.code.map(1, map);
    scene.code.mov_imm(2, 32);
    scene.code.mov_imm(3, 0);
    scene.code.stack(4, at);
    scene.code.call(HelperId::RINGBUF_RESERVE_DYNPTR);
    scene.called();
    if scene.random.one_in(2) {
        use_dynptr(scene, at)?;
        scene.release(0);
    }
    scene.code.stack(1, at);
    scene.code.mov_imm(2, 0);
    let end = scene.random.pick(&[HelperId::RINGBUF_SUBMIT_DYNPTR, HelperId::RINGBUF_DISCARD_DYNPTR]);
    scene.code.call(end);
    scene.called();
    Some(())
}
