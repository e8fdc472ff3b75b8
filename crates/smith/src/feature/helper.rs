// SPDX-License-Identifier: GPL-2.0-only
//! Any helper, with arguments made as its prototype asks for them.

use skep_isa::class;
use skep_uapi::helper::{Arg, ArgType, Helper, MEM_FIXED_SIZE, MEM_UNINIT, MEM_WRITE, Proto, Ret};
use skep_uapi::map_rules::helper_takes_map;
use skep_uapi::{HelperId as H, MapType};
use skep_verifier::reg_type::{PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_TCP_SOCK};

use super::memory;
use crate::code::op;
use crate::scene::{Region, Scene};

/// Helpers that statements of their own call, or that need what there is not.
const ELSEWHERE: &[H] = &[
    H::TAIL_CALL,
    H::SPIN_LOCK,
    H::SPIN_UNLOCK,
    H::LOOP,
    H::FOR_EACH_MAP_ELEM,
    H::TIMER_INIT,
    H::TIMER_SET_CALLBACK,
    H::TIMER_START,
    H::TIMER_CANCEL,
    H::RINGBUF_RESERVE,
    H::RINGBUF_SUBMIT,
    H::RINGBUF_DISCARD,
    H::RINGBUF_RESERVE_DYNPTR,
    H::RINGBUF_SUBMIT_DYNPTR,
    H::RINGBUF_DISCARD_DYNPTR,
    H::SK_LOOKUP_TCP,
    H::SK_LOOKUP_UDP,
    H::SKC_LOOKUP_TCP,
    H::SK_RELEASE,
    H::KPTR_XCHG,
    H::FIND_VMA,
    H::USER_RINGBUF_DRAIN,
];

/// What stands for a memory argument until its size is known.
#[derive(Clone, Copy)]
struct Memory {
    len: i32,
}

/// A call of a helper, and a use of what it gives.
pub(super) fn call(scene: &mut Scene<'_, '_>) -> Option<()> {
    if !scene.may_call() {
        return None;
    }
    let (helper, proto) = scene.random.pick(&scene.setting.helpers);
    if ELSEWHERE.contains(&helper.id) || proto.by_target {
        return None;
    }
    let map = map_for(scene, helper, proto)?;
    // Arguments come from registers that calls keep.
    scene.called();
    let mut memory = None;
    for (at, arg) in proto.args.iter().take_while(|arg| arg.base != Arg::DontCare).enumerate() {
        argument(scene, at as u8 + 1, helper, *arg, proto.args.get(at + 1), map, &mut memory)?;
    }
    scene.code.call(helper.id);
    scene.called();
    result(scene, proto, map)
}

/// The map that a helper is given, if it takes one.
fn map_for(scene: &mut Scene<'_, '_>, helper: &Helper, proto: &Proto) -> Option<Option<usize>> {
    if !proto.args.iter().any(|arg| arg.base == Arg::ConstMapPtr) {
        return Some(None);
    }
    let fits: Vec<usize> = (0..scene.world.pool.len())
        .filter(|&at| {
            let map_type = scene.world.pool[at].spec.map_type;
            let sockets = matches!(map_type, MapType::SOCKMAP | MapType::SOCKHASH);
            helper_takes_map(helper.id, map_type) && !(sockets && helper.id == H::MAP_LOOKUP_ELEM)
        })
        .collect();
    (!fits.is_empty()).then(|| Some(scene.random.pick(&fits)))
}

/// A pointer to memory of a size, in the register of an argument.
fn memory_argument(
    scene: &mut Scene<'_, '_>,
    r: u8,
    len: i32,
    initialized: bool,
    written: bool,
) -> Option<()> {
    if scene.random.one_in(3)
        && let Some(region) = scene.region(len.into(), written)
        && region.base > 5
    {
        let distance = scene.offset_in(&region, len.into())?;
        scene.code.mov(r, region.base);
        scene.code.alu(op::ADD, r, distance.into());
        return Some(());
    }
    let off = scene.stack_buffer(len as usize, initialized)?;
    scene.code.stack(r, off);
    Some(())
}

/// One argument.
fn argument(
    scene: &mut Scene<'_, '_>,
    r: u8,
    helper: &Helper,
    arg: ArgType,
    next: Option<&ArgType>,
    map: Option<usize>,
    memory: &mut Option<Memory>,
) -> Option<()> {
    let spec = map.map(|at| &scene.world.pool[at].spec);
    let written = arg.flags & MEM_WRITE != 0;
    let initialized = arg.flags & MEM_UNINIT == 0 || scene.random.one_in(3);
    let null = arg.may_be_null() && scene.random.one_in(2);
    match arg.base {
        Arg::ConstMapPtr => scene.code.map(r, map?),
        Arg::PtrToMapKey => memory_argument(scene, r, spec?.key_size as i32, true, false)?,
        Arg::PtrToMapValue if null => scene.code.mov_imm(r, 0),
        Arg::PtrToMapValue => {
            memory_argument(scene, r, spec?.value_size as i32, initialized, written)?;
        }
        Arg::PtrToMem if arg.flags & MEM_FIXED_SIZE != 0 => {
            memory_argument(scene, r, arg.size as i32, initialized, written)?;
        }
        Arg::PtrToMem => {
            let zero = next.is_some_and(|next| next.base == Arg::ConstSizeOrZero);
            if null && zero {
                scene.code.mov_imm(r, 0);
                *memory = Some(Memory { len: 0 });
                return Some(());
            }
            let len = scene.random.pick(&[1, 2, 4, 6, 8, 12, 16, 28, 32, 64]);
            memory_argument(scene, r, len, initialized, written)?;
            *memory = Some(Memory { len });
        }
        Arg::ConstSize | Arg::ConstSizeOrZero => {
            let len = memory.take()?.len;
            let number = scene.scalar().filter(|&number| number > 5 && len > 1 && scene.random.one_in(3));
            match number {
                Some(number) => {
                    scene.code.mov(r, number);
                    scene.code.alu(op::AND, r, len - 1);
                    if arg.base == Arg::ConstSize {
                        scene.code.alu(op::ADD, r, 1);
                    }
                }
                None => scene.code.mov_imm(r, len),
            }
        }
        Arg::ConstAllocSizeOrZero => scene.code.mov_imm(r, 8),
        Arg::PtrToCtx if null => scene.code.mov_imm(r, 0),
        Arg::PtrToCtx => {
            let ctx = scene.ctx().filter(|&ctx| ctx > 5)?;
            scene.code.mov(r, ctx);
        }
        Arg::Anything => anything(scene, r, helper),
        Arg::PtrToSocket | Arg::PtrToSockCommon | Arg::PtrToBtfIdSockCommon if null => {
            scene.code.mov_imm(r, 0);
        }
        Arg::PtrToSocket | Arg::PtrToSockCommon | Arg::PtrToBtfIdSockCommon => {
            let any = arg.base != Arg::PtrToSocket;
            let socket = scene.reg_with(|reg| {
                reg.ty == PTR_TO_SOCKET || any && matches!(reg.ty, PTR_TO_SOCK_COMMON | PTR_TO_TCP_SOCK)
            });
            scene.code.mov(r, socket.filter(|&socket| socket > 5)?);
        }
        Arg::PtrToStack => {
            let off = scene.stack_buffer(8, true)?;
            scene.code.stack(r, off);
        }
        Arg::PtrToConstStr => {
            let strings = scene.world.pool.iter().position(|map| map.spec.name == crate::maps::RODATA)?;
            let off = scene.random.pick(&[0, 7, 14]);
            scene.code.map_value(r, strings, off);
        }
        Arg::PtrToDynptr => {
            let off = if arg.flags & MEM_UNINIT != 0 { scene.free_slots(2)? } else { scene.dynptr()? };
            scene.code.stack(r, off);
        }
        Arg::PtrToBtfId if null => scene.code.mov_imm(r, 0),
        Arg::PtrToSpinLock
        | Arg::PtrToBtfId
        | Arg::PtrToRingbufMem
        | Arg::PtrToPercpuBtfId
        | Arg::PtrToFunc
        | Arg::PtrToTimer
        | Arg::KptrXchgDest
        | Arg::DontCare => return None,
    }
    Some(())
}

/// A number; flags are mostly zero, as many helpers refuse others.
fn anything(scene: &mut Scene<'_, '_>, r: u8, helper: &Helper) {
    let number = scene.scalar().filter(|&number| number > 5 && !helper.changes_packet);
    match number.filter(|_| scene.random.one_in(3)) {
        Some(number) => scene.code.mov(r, number),
        None => {
            let imm = if scene.random.one_in(2) { 0 } else { scene.random.edgy() as i32 };
            scene.code.mov_imm(r, imm);
        }
    }
}

/// What becomes of `r0`.
fn result(scene: &mut Scene<'_, '_>, proto: &Proto, map: Option<usize>) -> Option<()> {
    let pointer = !matches!(proto.ret.base, Ret::Integer | Ret::Void);
    if pointer && proto.ret.may_be_null() && scene.random.one_in(2) {
        let out = scene.code.jump(class::JMP | op::JEQ, 0, 0);
        let values = map.map(|at| &scene.world.pool[at]).filter(|map| map.spec.inner.is_none());
        if let Some(map) = values.filter(|_| proto.ret.base == Ret::PtrToMapValue) {
            scene.take(0);
            let region = Region::of_value(0, map);
            if map.spec.map_type != MapType::XSKMAP {
                memory::access(scene, &region);
            }
        }
        scene.code.land(out);
        return Some(());
    }
    if proto.ret.base != Ret::Void
        && scene.random.one_in(2)
        && let Some(kept) = scene.free_kept()
    {
        scene.code.mov(kept, 0);
    }
    Some(())
}
