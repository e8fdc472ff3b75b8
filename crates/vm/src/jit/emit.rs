// SPDX-License-Identifier: MIT OR Apache-2.0
//! From pre-decoded instructions to machine code, one pass, linear in the program.
//!
//! # Registers
//!
//! | BPF | x86-64 | | | |
//! |---|---|---|---|---|
//! | `r0` | `rax` | | state of the run ([`Exec`](crate::interp::Exec)) | `r9` |
//! | `r1` to `r5` | `rdi`, `rsi`, `rdx`, `rcx`, `r8` | | scratch | `r10` |
//! | `r6` to `r9` | `rbx`, `r13`, `r14`, `r15` | | the host's address of guest address 0 | `r11` |
//! | `r10` | `ebp` | | fuel | `r12` |
//!
//! `rbp` is the host's address just above the frame: since guest memory is aligned to 4 GiB, its low half is what
//! the program sees in `r10`. `r11` is a constant, so what needs one more scratch register takes it and loads it
//! again.
//!
//! # Confinement
//!
//! An address is the low half of a register plus a displacement of 16 bits, taken from the start of guest memory,
//! so it lies inside of it or in the guards around it: an access is one `mov` to truncate and the access itself.
//! What is not mapped there faults, and the fault is made a trap (`fault`). Offsets from `r10` are checked when
//! the program is decoded. `Target::elide` leaves the truncation out.
//!
//! # Fuel
//!
//! Instructions are charged in segments: pieces that control enters at their start only, and leaves at their end
//! or by a trap. A backward jump, a call and a tail call also look whether fuel is left.

mod alu;
mod atomic;
mod call;
mod jump;
mod memory;
mod thunk;

use skep_isa::AluOp;

use super::analysis::{Analysis, Function};
use super::x86::{Alu, Buffer, Cc, Mem, Patch, Reg};
use super::{Compiled, Target};
use crate::interp::{self, Code, Insn, Program, Shape};

/// State of the run.
const STATE: Reg = Reg::R9;
const SCRATCH: Reg = Reg::R10;
const BASE: Reg = Reg::R11;
const FUEL: Reg = Reg::R12;
/// The host's address just above the frame.
const FRAME: Reg = Reg::Rbp;

/// The register of a BPF register.
pub(super) const fn host(reg: interp::Reg) -> Reg {
    const HOST: [Reg; 11] = [
        Reg::Rax,
        Reg::Rdi,
        Reg::Rsi,
        Reg::Rdx,
        Reg::Rcx,
        Reg::R8,
        Reg::Rbx,
        Reg::R13,
        Reg::R14,
        Reg::R15,
        FRAME,
    ];
    // The pre-decoder lets only registers up to `r10` through.
    if (reg as usize) < HOST.len() { HOST[reg as usize] } else { Reg::Rax }
}

/// Code that is seldom reached, and stands behind everything else.
enum Cold {
    /// The run ends with the trap of an instruction.
    Trap { from: Patch, at: usize },
    /// No fuel is left in front of a conditional jump backwards.
    BackEdge { from: Patch, at: usize, next: usize },
    /// No fuel is left in front of a jump or call to an instruction.
    Refuel { from: Patch, target: usize, resume: usize },
    /// A packet load gave no value.
    NoPacket { from: Patch, at: usize, segment: usize, function: usize },
}

/// A jump whose target is not there yet.
struct Pending {
    patch: Patch,
    target: usize,
    short: bool,
}

/// Where the code is that all functions share.
#[derive(Clone, Copy, Default)]
struct Thunks {
    trap: usize,
    refuel: usize,
    tail_call: usize,
    packet_load: usize,
}

struct Emitter<'a> {
    buf: Buffer,
    program: &'a Program,
    target: &'a Target,
    functions: &'a [Function],
    leaders: &'a [bool],
    bare_main: bool,
    /// Where the code of each instruction starts; the highest bit says that a segment does.
    starts: Vec<u32>,
    /// Where each function is called.
    entries: Vec<usize>,
    /// At most so many bytes are between two instructions: sums from the first on.
    bounds: Vec<u32>,
    pending: Vec<Pending>,
    calls: Vec<(Patch, usize)>,
    cold: Vec<Cold>,
    thunks: Thunks,
    /// First instruction that is not charged yet.
    segment: usize,
    /// Function that is being compiled.
    function: usize,
}

/// How much an instruction accesses.
pub(super) use memory::size as access_size;

/// `r0` waits in the base's register while an atomic instruction runs.
pub(super) fn keeps_r0_aside(insn: &Insn) -> bool {
    atomic::logic(atomic::operation(insn)).is_some()
}

/// Says in [`Compiled::starts`] that an instruction starts a segment.
pub(super) const SEGMENT: u32 = 1 << 31;

/// Compiles a program. `None` where it would not fit the distances of jumps: more than a gigabyte.
pub(super) fn compile(program: &Program, target: &Target) -> Option<Compiled> {
    let analysis = Analysis::new(program);
    match Emitter::new(program, target, &analysis, true).run()? {
        Ok(compiled) => Some(compiled),
        // A bound was too low, and a short jump too far.
        Err(TooFar) => Emitter::new(program, target, &analysis, false).run()?.ok(),
    }
}

/// A short jump does not reach its target.
struct TooFar;

impl<'a> Emitter<'a> {
    fn new(program: &'a Program, target: &'a Target, analysis: &'a Analysis, short: bool) -> Self {
        let mut total = 0_u32;
        let bounds = program.insns.iter().zip(&analysis.leaders).map(|(insn, &leader)| {
            let before = total;
            total = total.saturating_add(if short {
                bound(insn.code) + if leader { 24 } else { 0 }
            } else {
                128
            });
            before
        });
        Emitter {
            buf: Buffer::with_capacity(1024 + program.insns.len() * 8),
            program,
            target,
            functions: &analysis.functions,
            leaders: &analysis.leaders,
            bare_main: analysis.bare_main,
            starts: Vec::with_capacity(program.insns.len()),
            entries: Vec::with_capacity(analysis.functions.len()),
            bounds: bounds.collect(),
            pending: Vec::new(),
            calls: Vec::new(),
            cold: Vec::new(),
            thunks: Thunks::default(),
            segment: 0,
            function: 0,
        }
    }

    fn run(mut self) -> Option<Result<Compiled, TooFar>> {
        const MOST: usize = 1 << 30;
        let (enter, unwind) = self.thunks();
        let body = self.buf.position();
        for (at, insn) in self.program.insns.iter().enumerate() {
            self.begin(at);
            self.insn(at, insn);
            if self.buf.position() > MOST {
                return None;
            }
        }
        let end = self.buf.position();
        for cold in std::mem::take(&mut self.cold) {
            self.cold(&cold);
            if self.buf.position() > MOST {
                return None;
            }
        }
        for Pending { patch, target, short } in std::mem::take(&mut self.pending) {
            let target = self.start(target);
            if !short {
                self.buf.patch(patch, target);
            } else if !self.buf.patch_short(patch, target) {
                return Some(Err(TooFar));
            }
        }
        for (patch, function) in std::mem::take(&mut self.calls) {
            let entry = self.entries[function];
            self.buf.patch(patch, entry);
        }
        let functions =
            self.functions.iter().map(|f| f.start as u32).zip(self.entries.iter().map(|&e| e as u32));
        Some(Ok(Compiled {
            functions: functions.collect(),
            starts: self.starts.into(),
            enter,
            unwind,
            body: body..end,
            bytes: self.buf.finish(),
        }))
    }

    /// Where the code of an instruction starts.
    fn start(&self, at: usize) -> usize {
        (self.starts[at] & !SEGMENT) as usize
    }

    /// What comes before an instruction: the prologue of its function, and the charge of the segment that ends.
    fn begin(&mut self, at: usize) {
        let falls_through = at > 0 && !self.program.insns[at - 1].code.ends_line();
        let entry = self.functions.get(self.entries.len()).is_some_and(|function| function.start == at);
        if self.leaders[at] && falls_through && at > self.segment {
            self.charge(at - self.segment);
        }
        if entry {
            if falls_through {
                let patch = self.buf.jmp();
                self.pending.push(Pending { patch, target: at, short: false });
            }
            self.function = self.entries.len();
            self.buf.align(16);
            self.entries.push(self.buf.position());
            self.prologue();
        }
        if self.leaders[at] || !falls_through {
            self.segment = at;
        }
        let segment = if self.segment == at { SEGMENT } else { 0 };
        self.starts.push(self.buf.position() as u32 | segment);
    }

    fn insn(&mut self, at: usize, insn: &Insn) {
        match insn.code.shape() {
            Shape::Update { source } => self.update(insn, source),
            Shape::Set => self.buf.mov_imm(host(insn.dst), insn.imm),
            Shape::Load => self.load(at, insn),
            Shape::Store | Shape::StoreImm => self.store(at, insn),
            Shape::Jump { .. } => self.conditional(at, insn),
            Shape::Atomic => self.atomic(at, insn),
            Shape::PacketLoad => self.packet_load(at, insn),
            Shape::Call => self.call_helper(at, insn),
            Shape::TailCall => self.tail_call(at),
            Shape::Other => match insn.code {
                Code::Ja => self.jump(at, insn),
                Code::MayGoto => self.conditional(at, insn),
                Code::CallLocal => self.call_local(at, insn),
                Code::Exit => {
                    self.charge(at + 1 - self.segment);
                    self.epilogue();
                    self.buf.ret();
                }
                // Calls of what is not there, accesses outside of the frame, the end of the program.
                _ => self.trap_here(at),
            },
        }
    }

    /// Takes a number of instructions off the fuel; flags say whether any is left.
    fn charge(&mut self, count: usize) {
        self.buf.alu_imm(Alu::Sub, true, FUEL, count as i32);
    }

    /// Ends the run with the trap of an instruction.
    fn trap_here(&mut self, at: usize) {
        self.buf.mov_imm32(SCRATCH, at as u32);
        let patch = self.buf.jmp();
        self.buf.patch(patch, self.thunks.trap);
    }

    /// Ends the run with the trap of an instruction, on a condition.
    fn trap_if(&mut self, cc: Cc, at: usize) {
        let from = self.buf.jcc(cc);
        self.cold.push(Cold::Trap { from, at });
    }

    /// `r11` is the base again.
    fn restore_base(&mut self) {
        self.buf.mov_imm64(BASE, self.target.base);
    }

    /// A register's value as an operand that is only read: `r10` is loaded into the scratch register.
    fn operand(&mut self, reg: interp::Reg) -> Reg {
        if reg == interp::Reg::R10 {
            self.buf.mov(false, SCRATCH, FRAME);
            SCRATCH
        } else {
            host(reg)
        }
    }

    fn cold(&mut self, cold: &Cold) {
        let here = self.buf.position();
        match *cold {
            Cold::Trap { from, at } => {
                self.buf.patch(from, here);
                self.trap_here(at);
            }
            Cold::BackEdge { from, at, next } => {
                self.buf.patch(from, here);
                let insn = self.program.insns[at];
                let cc = self.compare(&insn);
                let out = self.buf.jcc(cc.not());
                self.buf.patch(out, next);
                self.refuel(insn.off as usize);
                let back = self.buf.jmp();
                let target = self.start(insn.off as usize);
                self.buf.patch(back, target);
            }
            Cold::Refuel { from, target, resume } => {
                self.buf.patch(from, here);
                self.refuel(target);
                let back = self.buf.jmp();
                self.buf.patch(back, resume);
            }
            Cold::NoPacket { from, at, segment, function } => {
                self.buf.patch(from, here);
                self.no_packet(at, segment, function);
            }
        }
    }

    /// More fuel, or the end of the run at an instruction.
    fn refuel(&mut self, target: usize) {
        self.buf.mov_imm32(SCRATCH, target as u32);
        let call = self.buf.call();
        self.buf.patch(call, self.thunks.refuel);
    }

    /// Where the budget of `may_goto` is.
    fn may_goto_slot(&self) -> Mem {
        Mem::new(Reg::Rsp, if self.functions[self.function].state { 8 } else { 0 })
    }
}

/// At most so many bytes are emitted for an instruction that starts no segment. Being too low costs a second
/// compilation, nothing else.
fn bound(code: Code) -> u32 {
    match code.shape() {
        Shape::Update { .. } => match code.arithmetic() {
            Some((AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod, _)) => 64,
            Some((AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, _)) => 20,
            _ => 10,
        },
        Shape::Set => 10,
        Shape::Load | Shape::Store => 20,
        Shape::StoreImm => 16,
        Shape::Jump { .. } => 30,
        Shape::Atomic => 80,
        Shape::PacketLoad | Shape::TailCall => 60,
        Shape::Call => 128,
        Shape::Other => 64,
    }
}
