// SPDX-License-Identifier: GPL-2.0-only
//! The packet: direct access behind a comparison with its end, metadata, and the old way.

use skep_isa::{Size, class, opcode};
use skep_uapi::context::{Yields, allows_packet_loads};

use super::memory;
use crate::code::op;
use crate::scene::{Region, Scene};

/// Bytes of the packet read or written where they are there.
pub(super) fn access(scene: &mut Scene<'_, '_>) -> Option<()> {
    let start = scene.ctx_pointer(Yields::Packet)?;
    let end = scene.ctx_pointer(Yields::PacketEnd)?;
    guarded(scene, start, end)
}

/// Bytes in front of the packet.
pub(super) fn meta(scene: &mut Scene<'_, '_>) -> Option<()> {
    let start = scene.ctx_pointer(Yields::PacketMeta)?;
    let end = scene.ctx_pointer(Yields::Packet)?;
    guarded(scene, start, end)
}

fn guarded(scene: &mut Scene<'_, '_>, start: (i16, Size), end: (i16, Size)) -> Option<()> {
    let ctx = scene.ctx()?;
    let data = if scene.random.one_in(3) { scene.free_kept()? } else { scene.free()? };
    let limit = scene.free()?;
    let checked = scene.free()?;
    scene.code.load(start.1, data, ctx, start.0);
    scene.code.load(end.1, limit, ctx, end.0);
    if scene.random.one_in(2)
        && let Some(index) = memory::bounded(scene, 15)
    {
        scene.code.alu_reg(op::ADD, data, index);
    }
    let len = scene.random.pick(&[1, 2, 4, 8, 14, 20, 34, 54]);
    scene.code.mov(checked, data);
    scene.code.alu(op::ADD, checked, len);
    let (code, a, b) = scene.random.pick(&[
        (op::JGT, checked, limit),
        (op::JGT, checked, limit),
        (op::JLT, limit, checked),
        (op::JGE, checked, limit),
        (op::JLE, limit, checked),
    ]);
    let out = scene.code.jump_reg(class::JMP | code, a, b);
    let region = Region { start: None, ..Region::new(data, 0, len.into(), false) };
    memory::access(scene, &region);
    scene.release(checked);
    scene.release(limit);
    if scene.random.one_in(2) {
        scene.nested();
    }
    scene.code.land(out);
    Some(())
}

/// `LD_ABS` or `LD_IND`.
pub(super) fn legacy(scene: &mut Scene<'_, '_>) -> Option<()> {
    /// The register that has the context for them.
    const CTX: u8 = 6;
    if !allows_packet_loads(scene.setting.prog_type) || !scene.may_call() || scene.holds() {
        return None;
    }
    let there = scene.reg(CTX).is_some_and(|reg| reg.ty == skep_verifier::reg_type::PTR_TO_CTX);
    if !there {
        return None;
    }
    let size = scene.random.pick(&[Size::B, Size::H, Size::W]);
    let off = scene.random.below(64) as i32;
    match scene.scalar().filter(|_| scene.random.one_in(2)) {
        Some(index) => {
            scene.code.emit(class::LD | opcode::IND | size.code(), 0, index, 0, off);
        }
        None => {
            scene.code.emit(class::LD | opcode::ABS | size.code(), 0, 0, 0, off);
        }
    }
    scene.called();
    if let Some(kept) = scene.free_kept() {
        scene.code.mov(kept, 0);
    }
    Some(())
}
