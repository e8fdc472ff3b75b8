// SPDX-License-Identifier: MIT OR Apache-2.0
//! From raw instructions to [`Program`]: every encoding is legal, every jump lands on an instruction, and every
//! map that is named exists, or the program is refused with the instruction at fault.

use std::sync::Arc;

use skep_isa::{CallKind, Decoded, Imm64, Op, Size, decode};
use skep_uapi::limits::MAX_BPF_STACK;
use skep_uapi::{HelperId, ProgType};

use super::code::{ATOMIC_OPS, Code, Insn, Reg, Shape};
use crate::helper::{self, Helper};
use crate::machine::{InsnProblem, MachineError, Resolver};

/// A program that is ready to run.
pub(crate) struct Program {
    /// Name of the program.
    pub(crate) name: Arc<str>,
    /// Type of the program: what contexts are chosen by.
    pub(crate) prog_type: ProgType,
    /// Instructions, and a final [`Code::End`].
    pub(crate) insns: Box<[Insn]>,
    /// Slot of each instruction.
    slots: Box<[u32]>,
    /// Bytes below the top of the stack that it can write, with what it calls; `u32::MAX` for all.
    pub(crate) stack_bytes: u32,
    /// Helpers that it calls.
    pub(crate) helpers: Box<[&'static Helper]>,
    /// Machine code, where there is any.
    pub(crate) native: Option<crate::jit::Code>,
    /// First instructions of the functions whose address it takes.
    pub(crate) taken: Box<[u32]>,
}

impl Program {
    /// Slot of an instruction, for a trap.
    pub(crate) fn slot(&self, index: usize) -> usize {
        self.slots.get(index).map_or(0, |&slot| slot as usize)
    }

    /// Pre-decodes a program. `resolver` knows maps and gives functions their addresses.
    ///
    /// # Errors
    /// [`MachineError::Insn`] of the first instruction that no engine could run.
    pub(crate) fn new(
        source: &skep_program::Program,
        resolver: &mut dyn Resolver,
    ) -> Result<Program, MachineError> {
        let name: Arc<str> = Arc::from(source.name.as_str());
        let fail = |insn, problem| MachineError::Insn { program: Arc::clone(&name), insn, problem };
        let mut decoded = Vec::with_capacity(source.insns.len());
        let mut index_of = vec![None; source.insns.len()];
        let mut at = 0;
        while at < source.insns.len() {
            let insn = decode(&source.insns, at).map_err(|e| fail(at, InsnProblem::Encoding(e)))?;
            index_of[at] = Some(decoded.len());
            decoded.push((at, insn));
            at += insn.slots();
        }
        if decoded.is_empty() {
            return Err(fail(0, InsnProblem::Empty));
        }
        let mut builder = Builder { resolver, index_of, helpers: Vec::new(), taken: Vec::new() };
        let mut insns = Vec::with_capacity(decoded.len() + 1);
        for (at, insn) in &decoded {
            insns.push(builder.insn(*at, insn).map_err(|problem| fail(*at, problem))?);
        }
        insns.push(Insn { code: Code::End, dst: Reg::R0, src: Reg::R0, off: 0, imm: 0 });
        let mut slots: Vec<u32> = decoded.iter().map(|&(at, _)| at as u32).collect();
        slots.push(source.insns.len() as u32 - 1);
        Ok(Program {
            name,
            prog_type: source.prog_type,
            stack_bytes: stack_bytes(&insns, &builder.helpers),
            insns: insns.into(),
            slots: slots.into(),
            helpers: builder.helpers.into(),
            native: None,
            taken: builder.taken.into(),
        })
    }
}

/// Bytes of an access at a constant offset from the frame pointer that no frame has, and whether it writes. It
/// would reach a frame of another function, which no page boundary stops.
fn outside_frame(insn: &Decoded) -> Option<(u64, bool)> {
    let (size, base, write) = match insn.op() {
        Op::Ldx(size) | Op::Ldsx(size) | Op::LoadAcquire(size) => (size, insn.insn.src, false),
        Op::St(size) | Op::Stx(size) | Op::StoreRelease(size) => (size, insn.insn.dst, true),
        Op::Atomic(_, skep_isa::Width::W32) => (Size::W, insn.insn.dst, true),
        Op::Atomic(_, skep_isa::Width::W64) => (Size::Dw, insn.insn.dst, true),
        _ => return None,
    };
    let (start, bytes) = (i64::from(insn.insn.off), size.bytes() as i64);
    let inside = start >= -(MAX_BPF_STACK as i64) && start + bytes <= 0;
    (base == 10 && !inside).then_some((bytes as u64, write))
}

/// How far down a program writes its stack: as far as its accesses say, unless it passes addresses on or calls.
fn stack_bytes(insns: &[Insn], helpers: &[&Helper]) -> u32 {
    const ALL: u32 = u32::MAX;
    let frame = MAX_BPF_STACK as u32;
    let mut bytes = 0;
    for insn in insns {
        match insn.code.shape() {
            Shape::Store | Shape::StoreImm if insn.dst == Reg::R10 && insn.src != Reg::R10 => {
                bytes = bytes.max(insn.off.unsigned_abs());
            }
            Shape::Load => {}
            Shape::TailCall => return ALL,
            Shape::Call if helpers[insn.imm as usize].reenters => return ALL,
            _ if insn.code == Code::CallLocal => return ALL,
            _ if insn.dst == Reg::R10 || insn.src == Reg::R10 => bytes = frame,
            _ => {}
        }
    }
    bytes.min(frame)
}

struct Builder<'a> {
    resolver: &'a mut dyn Resolver,
    /// Index of the instruction that starts at a slot.
    index_of: Vec<Option<usize>>,
    helpers: Vec<&'static Helper>,
    taken: Vec<u32>,
}

impl Builder<'_> {
    /// The index of the instruction that a jump or call reaches.
    fn target(&self, at: usize, insn: &Decoded) -> Result<usize, InsnProblem> {
        let distance = insn.target().unwrap_or(0);
        let slot = at as i64 + 1 + distance;
        usize::try_from(slot).ok().and_then(|slot| *self.index_of.get(slot)?).ok_or(InsnProblem::Target(slot))
    }

    fn insn(&mut self, at: usize, insn: &Decoded) -> Result<Insn, InsnProblem> {
        let raw = insn.insn;
        let mut out = Insn {
            code: Code::Exit,
            dst: Reg::new(raw.dst),
            src: Reg::new(raw.src),
            off: i32::from(raw.off),
            imm: insn.imm64() as u64,
        };
        out.code = match insn.op() {
            Op::Alu(op, width, source) => Code::alu(op, width, source),
            Op::Neg(width) => match width {
                skep_isa::Width::W64 => Code::Neg64,
                skep_isa::Width::W32 => Code::Neg32,
            },
            Op::Movsx(width, size) => {
                out.imm = u64::from(64 - size.bits());
                match width {
                    skep_isa::Width::W64 => Code::Movsx64,
                    skep_isa::Width::W32 => Code::Movsx32,
                }
            }
            Op::Endian(op, size) => Code::endian(op, size),
            // Guest addresses are 32 bits in every address space.
            Op::AddrSpaceCast => Code::MovX32,
            Op::LdImm64(kind) => {
                out.imm = self.imm64(at, insn, kind)?;
                Code::LoadImm
            }
            Op::LdAbs(size) => {
                (out.off, out.imm) = (raw.imm, size.bytes() as u64);
                Code::LdAbs
            }
            Op::LdInd(size) => {
                (out.off, out.imm) = (raw.imm, size.bytes() as u64);
                Code::LdInd
            }
            Op::Ldx(size) => Code::ldx(size),
            Op::Ldsx(size) => Code::ldsx(size),
            Op::St(size) => Code::st(size),
            Op::Stx(size) => Code::stx(size),
            Op::Atomic(op, width) => {
                out.imm = ATOMIC_OPS.iter().position(|&o| o == op).unwrap_or(0) as u64;
                match width {
                    skep_isa::Width::W64 => Code::Atomic64,
                    skep_isa::Width::W32 => Code::Atomic32,
                }
            }
            Op::LoadAcquire(size) => {
                out.imm = size_index(size);
                Code::LoadAcquire
            }
            Op::StoreRelease(size) => {
                out.imm = size_index(size);
                Code::StoreRelease
            }
            Op::Ja | Op::Ja32 => {
                out.off = self.target(at, insn)? as i32;
                Code::Ja
            }
            Op::Jmp(cond, width, source) => {
                out.off = self.target(at, insn)? as i32;
                Code::jump(cond, width, source)
            }
            Op::MayGoto => {
                out.off = self.target(at, insn)? as i32;
                Code::MayGoto
            }
            Op::Call(CallKind::Helper) => self.helper(&mut out, raw.imm as u32),
            Op::Call(CallKind::Local) => {
                out.off = self.target(at, insn)? as i32;
                Code::CallLocal
            }
            Op::Call(CallKind::Kfunc) => Code::Kfunc,
            Op::Exit => Code::Exit,
        };
        if let Some((bytes, write)) = outside_frame(insn) {
            out.code = Code::OutsideFrame;
            out.imm = if write { !bytes } else { bytes };
        }
        Ok(out)
    }

    fn helper(&mut self, out: &mut Insn, id: u32) -> Code {
        if id == HelperId::TAIL_CALL.0 {
            return Code::TailCall;
        }
        match helper::find(HelperId(id)) {
            Some(helper) => {
                out.imm = self.helpers.len() as u64;
                self.helpers.push(helper);
                Code::Call
            }
            None => {
                out.imm = u64::from(id);
                Code::NoHelper
            }
        }
    }

    fn imm64(&mut self, at: usize, insn: &Decoded, kind: Imm64) -> Result<u64, InsnProblem> {
        let index = insn.insn.imm;
        match kind {
            Imm64::Const => Ok(insn.imm64() as u64),
            Imm64::MapIdx => self.resolver.map(index),
            Imm64::MapIdxValue => self.resolver.map_value(index, insn.imm_hi as u32),
            Imm64::Func => {
                let target = self.target(at, insn)?;
                self.taken.push(target as u32);
                self.resolver.function(target)
            }
            Imm64::MapFd | Imm64::MapValue => Err(InsnProblem::MapDescriptor(index)),
            Imm64::BtfId => Err(InsnProblem::KernelVariable(index)),
        }
    }
}

fn size_index(size: Size) -> u64 {
    Size::ALL.iter().position(|&s| s == size).unwrap_or(0) as u64
}
