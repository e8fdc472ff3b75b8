// SPDX-License-Identifier: GPL-2.0-only
//! Maps: lookups with what is done to the value, direct values, locks, timers.

use skep_isa::{Insn, Size, class, opcode};
use skep_uapi::{HelperId, MapType};

use super::memory;
use crate::code::op;
use crate::scene::{FP, Region, Scene};

/// `CLOCK_MONOTONIC`.
const CLOCK_MONOTONIC: i32 = 1;

/// A map of the pool that fits.
fn pick(scene: &mut Scene<'_, '_>, fits: impl Fn(&crate::maps::PoolMap) -> bool) -> Option<usize> {
    let count = scene.world.pool.len();
    let start = scene.random.below(count as u64) as usize;
    (0..count).map(|i| (start + i) % count).find(|&at| fits(&scene.world.pool[at]))
}

/// Maps whose lookup gives bytes.
fn has_values(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::ARRAY
            | MapType::HASH
            | MapType::PERCPU_ARRAY
            | MapType::PERCPU_HASH
            | MapType::LRU_HASH
            | MapType::LRU_PERCPU_HASH
            | MapType::LPM_TRIE
    )
}

/// A key on the stack. Keys of arrays are mostly in range.
fn key(scene: &mut Scene<'_, '_>, map: usize) -> Option<i16> {
    let spec = &scene.world.pool[map].spec;
    let (len, entries) = (spec.key_size as usize, spec.max_entries);
    let off = scene.free_slots(len.max(1).div_ceil(8))?;
    if len == 4 {
        match scene.scalar().filter(|_| scene.random.one_in(2)) {
            Some(number) => scene.code.store(Size::W, FP, off, number),
            None => {
                let index = scene.random.below(u64::from(entries) + 1) as i32;
                scene.code.store_imm(Size::W, FP, off, index);
            }
        }
        return Some(off);
    }
    for i in 0..len.div_ceil(8) as i16 {
        match scene.scalar().filter(|_| scene.random.one_in(2)) {
            Some(number) => scene.code.store(Size::Dw, FP, off + 8 * i, number),
            None => scene.code.store_imm(Size::Dw, FP, off + 8 * i, 8),
        }
    }
    Some(off)
}

/// `r0`: the value of an element, or null.
fn look_up(scene: &mut Scene<'_, '_>, map: usize) -> Option<()> {
    let off = key(scene, map)?;
    scene.code.map(1, map);
    scene.code.stack(2, off);
    scene.code.call(HelperId::MAP_LOOKUP_ELEM);
    scene.called();
    scene.take(0);
    Some(())
}

/// An element looked up, and its value read or written where it is there.
pub(super) fn lookup(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.may_call() {
        return None;
    }
    let map = pick(scene, |map| has_values(map.spec.map_type))?;
    let pool = &scene.world.pool[map];
    look_up(scene, map)?;
    let out = scene.code.jump(class::JMP | op::JEQ, 0, 0);
    let base = if scene.random.one_in(2) { scene.free_kept() } else { None };
    if let Some(kept) = base {
        scene.code.mov(kept, 0);
        scene.release(0);
    }
    let region = Region::of_value(base.unwrap_or(0), pool);
    memory::access(scene, &region);
    if base.is_some() {
        scene.nested();
        memory::access(scene, &region);
    }
    scene.code.land(out);
    Some(())
}

/// An inner map looked up, and an element of it.
pub(super) fn nested_lookup(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.may_call() {
        return None;
    }
    let map = pick(scene, |map| map.spec.inner.is_some())?;
    let size = i64::from(scene.world.pool[map].spec.inner.as_ref()?.value_size);
    look_up(scene, map)?;
    let outer = scene.code.jump(class::JMP | op::JEQ, 0, 0);
    let off = scene.stack_buffer(4, true)?;
    scene.code.mov(1, 0);
    scene.code.stack(2, off);
    scene.code.call(HelperId::MAP_LOOKUP_ELEM);
    let inner = scene.code.jump(class::JMP | op::JEQ, 0, 0);
    memory::access(scene, &Region::new(0, 0, size, true));
    scene.code.land(inner);
    scene.code.land(outer);
    Some(())
}

/// The address of a byte in the only value of an array.
pub(super) fn direct_value(scene: &mut Scene<'_, '_>) -> Option<()> {
    let map = pick(scene, |map| map.spec.map_type == MapType::ARRAY && map.spec.max_entries == 1)?;
    let size = scene.world.pool[map].spec.value_size;
    let dst = scene.free()?;
    let off = scene.random.below(u64::from(size)) as i32;
    scene.code.map_value(dst, map, off);
    Some(())
}

/// A lock taken, what it guards changed, and the lock given back.
pub(super) fn spin_lock(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.allows(HelperId::SPIN_LOCK) || !scene.may_call() {
        return None;
    }
    let map = pick(scene, |map| map.spec.name == crate::maps::LOCKED)?;
    look_up(scene, map)?;
    let out = scene.code.jump(class::JMP | op::JEQ, 0, 0);
    let kept = scene.free_kept()?;
    scene.code.mov(kept, 0);
    scene.code.mov(1, kept);
    scene.code.call(HelperId::SPIN_LOCK);
    let size = i64::from(scene.world.pool[map].spec.value_size);
    let region = Region::new(kept, 8, size, true);
    memory::access(scene, &region);
    scene.code.mov(1, kept);
    scene.code.call(HelperId::SPIN_UNLOCK);
    scene.code.land(out);
    Some(())
}

/// A timer started, with a function of its own.
pub(super) fn timer(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.allows(HelperId::TIMER_INIT) || !scene.may_call() || scene.program.btf.is_none() {
        return None;
    }
    let map = pick(scene, |map| map.spec.name == crate::maps::TIMERS)?;
    look_up(scene, map)?;
    let out = scene.code.jump(class::JMP | op::JEQ, 0, 0);
    let kept = scene.free_kept()?;
    scene.code.mov(kept, 0);
    scene.code.mov(1, kept);
    scene.code.map(2, map);
    scene.code.mov_imm(3, CLOCK_MONOTONIC);
    scene.code.call(HelperId::TIMER_INIT);
    scene.code.mov(1, kept);
    let body = vec![Insn::new(op::MOV | class::ALU64, 0, 0, 0, 0), Insn::new(opcode::EXIT, 0, 0, 0, 0)];
    scene.code.address_of_new(2, body);
    scene.code.call(HelperId::TIMER_SET_CALLBACK);
    scene.code.mov(1, kept);
    scene.code.mov_imm(2, 1000);
    scene.code.mov_imm(3, 0);
    scene.code.call(HelperId::TIMER_START);
    scene.code.land(out);
    Some(())
}
