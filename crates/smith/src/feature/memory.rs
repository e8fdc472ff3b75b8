// SPDX-License-Identifier: GPL-2.0-only
//! Loads, stores and atomic operations.

use skep_isa::{Size, class, opcode};
use skep_uapi::context::{BPF_FLOW_KEYS, SOCK, SOCK_COMMON, TCP_SOCK, Yields, access_by};
use skep_uapi::helper::PTR_MAYBE_NULL;
use skep_verifier::reg_type::{
    PTR_TO_FLOW_KEYS, PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_TCP_SOCK, SCALAR_VALUE,
};

use crate::code::op;
use crate::scene::{FP, Region, Scene, is_caller_saved};

/// A register put on the stack.
pub(super) fn spill(scene: &mut Scene<'_, '_>) -> Option<()> {
    let off = scene.free_slots(1)?;
    let r = if scene.random.one_in(3) { scene.reg_with(|_| true)? } else { scene.scalar()? };
    let is_number = scene.reg(r)?.ty == SCALAR_VALUE;
    let size = if is_number {
        scene.random.pick(&[Size::Dw, Size::Dw, Size::W, Size::H, Size::B])
    } else {
        Size::Dw
    };
    let within = scene.random.below(8 / size.bytes() as u64) as i16 * size.bytes() as i16;
    scene.code.store(size, FP, off + within, r);
    Some(())
}

/// A slot of the stack loaded, all of it or a part.
pub(super) fn fill(scene: &mut Scene<'_, '_>) -> Option<()> {
    let off = scene.readable_slot()?;
    let spi = (-off / 8 - 1) as usize;
    let slot = &scene.view.stack[spi];
    let whole = slot.is_spilled() && slot.spilled.ty != SCALAR_VALUE;
    let dst = scene.free()?;
    let size = if whole { Size::Dw } else { scene.size() };
    let within = scene.random.below(8 / size.bytes() as u64) as i16 * size.bytes() as i16;
    load_from(scene, size, dst, FP, off + within);
    Some(())
}

/// A load, which may extend the sign.
fn load_from(scene: &mut Scene<'_, '_>, size: Size, dst: u8, src: u8, off: i16) {
    let mode = if size != Size::Dw && scene.random.one_in(6) { opcode::MEMSX } else { opcode::MEM };
    scene.code.emit(class::LDX | mode | size.code(), dst, src, off, 0);
}

/// Some bytes of stack written and read again, at other sizes.
pub(super) fn stack_bytes(scene: &mut Scene<'_, '_>) -> Option<()> {
    let off = scene.stack_buffer(8, true)?;
    let size = scene.size();
    let within = scene.random.below(8 / size.bytes() as u64) as i16 * size.bytes() as i16;
    let imm = scene.random.edgy() as i32;
    scene.code.store_imm(size, FP, off + within, imm);
    let dst = scene.free()?;
    let size = scene.size();
    let within = scene.random.below(8 / size.bytes() as u64) as i16 * size.bytes() as i16;
    load_from(scene, size, dst, FP, off + within);
    Some(())
}

/// A number from 0 to `max`, in a register of its own.
pub(super) fn bounded(scene: &mut Scene<'_, '_>, max: i32) -> Option<u8> {
    let number = scene.scalar();
    let dst = scene.free()?;
    match number.filter(|&number| number != dst) {
        Some(number) => scene.code.mov(dst, number),
        None if scene.may_call() && !is_caller_saved(dst) => {
            scene.code.call(skep_uapi::HelperId::GET_PRANDOM_U32);
            scene.called();
            scene.code.mov(dst, 0);
        }
        None => return None,
    }
    if scene.random.one_in(3) {
        let code = if scene.random.one_in(2) { op::JLE } else { op::JLT };
        let fits = scene.code.jump(class::JMP | code, dst, max);
        scene.code.mov_imm(dst, max);
        scene.code.land(fits);
    } else {
        scene.code.alu(op::AND, dst, max);
    }
    Some(dst)
}

/// The stack at an offset that is not known.
pub(super) fn stack_variable(scene: &mut Scene<'_, '_>) -> Option<()> {
    let off = scene.stack_buffer(32, true)?;
    let index = bounded(scene, 3)?;
    let pointer = scene.free()?;
    scene.code.alu(op::LSH, index, 3);
    scene.code.stack(pointer, off);
    scene.code.alu_reg(op::ADD, pointer, index);
    let size = scene.size();
    if scene.random.one_in(2) {
        let dst = scene.free()?;
        load_from(scene, size, dst, pointer, 0);
    } else {
        scene.code.store_imm(size, pointer, 0, 7);
    }
    Some(())
}

/// A load from known memory.
pub(super) fn load(scene: &mut Scene<'_, '_>) -> Option<()> {
    let region = scene.region(1, false)?;
    load_region(scene, &region)
}

fn load_region(scene: &mut Scene<'_, '_>, region: &Region) -> Option<()> {
    let size = scene.size();
    let off = scene.offset_in(region, size.bytes() as i64)?;
    let dst = scene.free()?;
    load_from(scene, size, dst, region.base, off);
    Some(())
}

/// A store to known memory.
pub(super) fn store(scene: &mut Scene<'_, '_>) -> Option<()> {
    let region = scene.region(1, true)?;
    store_region(scene, &region)
}

fn store_region(scene: &mut Scene<'_, '_>, region: &Region) -> Option<()> {
    let size = scene.size();
    let off = scene.offset_in(region, size.bytes() as i64)?;
    match scene.scalar().filter(|_| scene.random.one_in(2)) {
        Some(number) => scene.code.store(size, region.base, off, number),
        None => {
            let imm = scene.random.edgy() as i32;
            scene.code.store_imm(size, region.base, off, imm);
        }
    }
    Some(())
}

/// A load or store somewhere in a region.
pub(super) fn access(scene: &mut Scene<'_, '_>, region: &Region) {
    let wrote = if region.writable && scene.random.one_in(2) {
        store_region(scene, region)
    } else {
        load_region(scene, region)
    };
    if region.start.is_some() && region.writable && (wrote.is_none() || scene.random.one_in(4)) {
        atomic_in(scene, region);
    }
}

/// Memory at a distance that has bounds.
pub(super) fn variable(scene: &mut Scene<'_, '_>) -> Option<()> {
    let region = scene.region(2, false)?;
    let size = scene.size();
    let room = region.len() - size.bytes() as i64;
    if room < 1 || !region.movable {
        return None;
    }
    let max = scene.random.pick(&[1, 3, 7, 15, 31, 63]).min(room) as i32;
    let index = bounded(scene, max)?;
    // A number may have come from a call, which would have overwritten the pointer.
    scene.reg(region.base)?;
    let pointer = scene.free()?;
    scene.code.mov(pointer, region.base);
    scene.code.alu_reg(op::ADD, pointer, index);
    let rest = Region { base: pointer, hi: region.hi - i64::from(max), start: None, ..region };
    access(scene, &rest);
    Some(())
}

/// Memory at a distance whose bound is right on one path, and on the other too large: what a verifier accepts that forgets
/// what the bound was on the way.
pub(super) fn bound_of_one_path(scene: &mut Scene<'_, '_>) -> Option<()> {
    let region = scene.region(2, false).filter(|region| region.movable)?;
    let (chooser, number) = (scene.scalar()?, scene.scalar()?);
    let (index, bound, pointer) = (scene.free()?, scene.free()?, scene.free()?);
    let right = (region.len() - 1).min(1 << 20) as i32;
    scene.reg(region.base)?;
    scene.code.mov(index, number);
    scene.code.alu(op::AND, index, i32::MAX);
    let bit = scene.random.below(3) as i32;
    let other = scene.code.jump(class::JMP | op::JSET, chooser, 1 << bit);
    scene.code.mov_imm(bound, right);
    let end = scene.code.jump(opcode::JA, 0, 0);
    scene.code.land(other);
    let wrong = if scene.random.one_in(4) { 0 } else { i32::MAX };
    scene.code.mov_imm(bound, wrong);
    scene.code.land(end);
    let out = scene.code.jump_reg(class::JMP | op::JGT, index, bound);
    scene.code.mov(pointer, region.base);
    scene.code.alu(op::ADD, pointer, region.lo as i32);
    scene.code.alu_reg(op::ADD, pointer, index);
    scene.code.load(Size::B, bound, pointer, 0);
    scene.code.land(out);
    Some(())
}

/// An atomic operation on memory or stack.
pub(super) fn atomic(scene: &mut Scene<'_, '_>) -> Option<()> {
    if scene.random.one_in(2) {
        let off = scene.stack_buffer(8, true)?;
        let region = Region::new(FP, off.into(), i64::from(off) + 8, true);
        return atomic_in(scene, &region);
    }
    let region = scene.region(8, true).filter(|region| region.start.is_some())?;
    atomic_in(scene, &region)
}

fn atomic_in(scene: &mut Scene<'_, '_>, region: &Region) -> Option<()> {
    const FETCH: i32 = 1;
    const XCHG: i32 = 0xe1;
    const CMPXCHG: i32 = 0xf1;
    const LOAD_ACQ: i32 = 0x100;
    const STORE_REL: i32 = 0x110;
    let imm = scene.random.pick(&[
        op::ADD.into(),
        i32::from(op::OR),
        i32::from(op::AND),
        i32::from(op::XOR),
        i32::from(op::ADD) | FETCH,
        i32::from(op::OR) | FETCH,
        i32::from(op::AND) | FETCH,
        i32::from(op::XOR) | FETCH,
        XCHG,
        CMPXCHG,
        LOAD_ACQ,
        STORE_REL,
    ]);
    let any_size = matches!(imm, LOAD_ACQ | STORE_REL);
    let size = if any_size { scene.size() } else { scene.random.pick(&[Size::W, Size::Dw]) };
    let off = scene.aligned_offset_in(region, size.bytes() as i64)?;
    let code = class::STX | opcode::ATOMIC | size.code();
    if imm == LOAD_ACQ {
        let dst = scene.free()?;
        scene.code.emit(code, dst, region.base, off, imm);
        return Some(());
    }
    let number = scene.scalar()?;
    let src = scene.free()?;
    scene.code.mov(src, number);
    if imm == CMPXCHG {
        if !scene.is_free(0) {
            return None;
        }
        scene.take(0);
        let expected = scene.random.below(3) as i32;
        scene.code.mov_imm(0, expected);
    }
    scene.code.emit(code, region.base, src, off, imm);
    Some(())
}

/// A field of the context.
pub(super) fn ctx_load(scene: &mut Scene<'_, '_>) -> Option<()> {
    let ctx = scene.ctx()?;
    let (off, size) = scene.ctx_field(|_| true, false)?;
    let dst = scene.free()?;
    scene.code.load(size, dst, ctx, off);
    Some(())
}

/// A field of the context written.
pub(super) fn ctx_store(scene: &mut Scene<'_, '_>) -> Option<()> {
    let ctx = scene.ctx()?;
    let (off, size) = scene.ctx_field(|yields| yields == Yields::Scalar, true)?;
    match scene.scalar().filter(|_| scene.random.one_in(2)) {
        Some(number) => scene.code.store(size, ctx, off, number),
        None => {
            let imm = scene.random.edgy() as i32;
            scene.code.store_imm(size, ctx, off, imm);
        }
    }
    Some(())
}

/// A field of a socket or of flow keys.
pub(super) fn structure_load(scene: &mut Scene<'_, '_>) -> Option<()> {
    let known = scene.reg_with(|reg| {
        !reg.ty.has(PTR_MAYBE_NULL)
            && matches!(
                reg.ty.base(),
                PTR_TO_SOCKET | PTR_TO_SOCK_COMMON | PTR_TO_TCP_SOCK | PTR_TO_FLOW_KEYS
            )
    });
    let (r, ty) = match known {
        Some(r) => (r, scene.reg(r)?.ty.base()),
        None => {
            let (yields, ty) =
                scene.random.pick(&[(Yields::Socket, PTR_TO_SOCKET), (Yields::FlowKeys, PTR_TO_FLOW_KEYS)]);
            let ctx = scene.ctx()?;
            let (off, size) = scene.ctx_pointer(yields)?;
            let dst = scene.free()?;
            scene.code.load(size, dst, ctx, off);
            (dst, ty)
        }
    };
    let rules = match ty {
        PTR_TO_SOCKET => SOCK,
        PTR_TO_SOCK_COMMON => SOCK_COMMON,
        PTR_TO_TCP_SOCK => TCP_SOCK,
        _ => {
            let region = Region::new(r, 0, BPF_FLOW_KEYS.size.into(), false);
            return load_region(scene, &region);
        }
    };
    for _ in 0..8 {
        let size = scene.size();
        let off = scene.random.below(20) as i32 * 4;
        let request = scene.request(off, size, false);
        if access_by(&[rules], &request).is_some() {
            let dst = scene.free()?;
            scene.code.load(size, dst, r, off as i16);
            return Some(());
        }
    }
    None
}
