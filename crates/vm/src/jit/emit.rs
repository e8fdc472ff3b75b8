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
//! Instructions are charged as late as can be: at backward jumps, calls and returns, all that ran since the last
//! charge at once. Where paths meet that ran differently many, all but one settle the difference. A backward jump, a
//! call and a tail call also look whether fuel is left. What an instruction that traps finds uncharged is known
//! ([`Compiled::pending`]).

mod alu;
mod atomic;
mod blind;
mod call;
mod divide;
mod fuse;
mod jump;
mod map;
mod memory;
mod tail;
mod thunk;

use skep_isa::AluOp;

use super::analysis::{Analysis, Function, OPEN};
use super::run::State;
use super::x86::{Alu, Buffer, Cc, Load, Mem, Patch, Reg, Width};
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
    BackEdge { from: Patch, at: usize, deferred: Option<usize>, next: usize },
    /// No fuel is left in front of a jump or call to an instruction.
    Refuel { from: Patch, target: usize, resume: usize },
    /// The call of a helper that is made in place where it can be.
    Helper { from: Patch, at: usize, resume: usize },
    /// No fuel is left in front of a tail call.
    TailCall { from: Patch, at: usize, resume: usize, function: usize },
    /// A jump far ahead is taken, which has something to settle.
    Settle { from: Patch, target: usize, count: i32 },
    /// A packet load gave no value.
    NoPacket { from: Patch, at: usize, pending: u32, function: usize },
}

/// A jump whose target is not there yet.
struct Forward {
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
    target: &'a Target<'a>,
    functions: &'a [Function],
    leaders: &'a [bool],
    loops: &'a [bool],
    bare_main: bool,
    preserved: u16,
    traps: bool,
    /// Where the code of each instruction starts.
    starts: Vec<u32>,
    /// How many instructions ran uncharged before each.
    pendings: Vec<u32>,
    /// The same, as agreed on by all who jump to an instruction; [`OPEN`] until the first does.
    agreed: Vec<u32>,
    /// Where each function is called.
    entries: Vec<usize>,
    /// Jumps forwards may be short where they seem to be.
    short: bool,
    jumps: Vec<Forward>,
    calls: Vec<(Patch, usize)>,
    host_calls: Vec<(Patch, usize)>,
    cold: Vec<Cold>,
    thunks: Thunks,
    /// Instructions that ran uncharged before the current one.
    pending: u32,
    blinder: blind::Blinder,
    /// The instruction whose result the next one, a jump, compares with 0: it is emitted with the jump, which takes its
    /// flags.
    deferred: Option<usize>,
    /// Function that is being compiled.
    function: usize,
}

/// How much an instruction accesses.
pub(super) use memory::size as access_size;

/// `r0` waits in the base's register while an atomic instruction runs.
pub(super) fn keeps_r0_aside(insn: &Insn) -> bool {
    atomic::logic(atomic::operation(insn)).is_some()
}

/// Compiles a program. `None` where it would not fit the distances of jumps: more than a gigabyte.
pub(super) fn compile(program: &Program, target: &Target<'_>) -> Option<Compiled> {
    let analysis = Analysis::new(program, target.elide);
    match Emitter::new(program, target, &analysis, true).run()? {
        Ok(compiled) => Some(compiled),
        // A bound was too low, and a short jump too far.
        Err(TooFar) => Emitter::new(program, target, &analysis, false).run()?.ok(),
    }
}

/// A short jump does not reach its target.
struct TooFar;

impl<'a> Emitter<'a> {
    fn new(program: &'a Program, target: &'a Target<'a>, analysis: &'a Analysis, short: bool) -> Self {
        Emitter {
            buf: Buffer::with_capacity(1024 + program.insns.len() * 8),
            program,
            target,
            functions: &analysis.functions,
            leaders: &analysis.leaders,
            loops: &analysis.loops,
            bare_main: analysis.bare_main,
            preserved: analysis.preserved,
            traps: analysis.traps,
            starts: Vec::with_capacity(program.insns.len()),
            pendings: Vec::with_capacity(program.insns.len()),
            agreed: analysis.agreed.clone(),
            entries: Vec::with_capacity(analysis.functions.len()),
            short,
            jumps: Vec::new(),
            calls: Vec::new(),
            host_calls: Vec::new(),
            cold: Vec::new(),
            thunks: Thunks::default(),
            pending: 0,
            blinder: blind::Blinder::new(),
            deferred: None,
            function: 0,
        }
    }

    fn run(mut self) -> Option<Result<Compiled, TooFar>> {
        const MOST: usize = 1 << 30;
        let (start, main) = self.start();
        let enter = self.thunks();
        let body = self.buf.position();
        let mut fused = 0;
        for (at, insn) in self.program.insns.iter().enumerate() {
            self.begin(at);
            if fused > 0 {
                fused -= 1;
                continue;
            }
            fused = self.fuse(at);
            if fused > 0 {
                fused -= 1;
            } else if self.sets_flags_for_next(at) {
                self.deferred = Some(at);
            } else {
                self.insn(at, insn);
            }
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
        for Forward { patch, target, short } in std::mem::take(&mut self.jumps) {
            let target = self.starts[target] as usize;
            if !short {
                self.buf.patch(patch, target);
            } else if !self.buf.patch_short(patch, target) {
                return Some(Err(TooFar));
            }
        }
        self.buf.patch(main, self.entries[0]);
        for (patch, function) in std::mem::take(&mut self.calls) {
            let entry = self.entries[function];
            self.buf.patch(patch, entry);
        }
        let functions =
            self.functions.iter().map(|f| f.start as u32).zip(self.entries.iter().map(|&e| e as u32));
        Some(Ok(Compiled {
            functions: functions.collect(),
            starts: self.starts.into(),
            pending: self.pendings.into(),
            start,
            enter,
            host_calls: self.host_calls,
            body: body..end,
            bytes: self.buf.finish(),
        }))
    }

    /// What comes before an instruction: the prologue of its function, and what there is to settle where paths meet.
    fn begin(&mut self, at: usize) {
        let falls_through = at > 0 && !self.program.insns[at - 1].code.ends_line();
        let entry = self.functions.get(self.entries.len()).is_some_and(|function| function.start == at);
        if self.leaders[at] {
            if self.agreed[at] == OPEN {
                self.agreed[at] = if falls_through { self.pending } else { 0 };
            } else if falls_through {
                self.settle(self.agreed[at]);
            }
            self.pending = self.agreed[at];
        } else if !falls_through {
            self.pending = 0;
        }
        if entry {
            if falls_through {
                let patch = self.buf.jmp();
                self.jumps.push(Forward { patch, target: at, short: false });
            }
            self.function = self.entries.len();
            self.buf.align(16);
            self.entries.push(self.buf.position());
            self.prologue();
        }
        if self.loops[at] {
            self.buf.align(16);
        }
        self.starts.push(self.buf.position() as u32);
        self.pendings.push(self.pending);
        // From here on it counts.
        self.pending += 1;
    }

    fn insn(&mut self, at: usize, insn: &Insn) {
        match insn.code.shape() {
            Shape::Update { source } => self.update(insn, source),
            Shape::Set if self.target.blind => self.blinded64(host(insn.dst), insn.imm),
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
                    self.settle(0);
                    self.epilogue();
                    self.buf.ret();
                }
                // Calls of what is not there, accesses outside of the frame, the end of the program.
                _ => self.trap_here(at),
            },
        }
    }

    /// Charges what is pending but for `left`; where that is something, flags say whether any fuel is left.
    fn settle(&mut self, left: u32) {
        if !self.target.count {
            return;
        }
        let count = self.pending as i32 - left as i32;
        if count != 0 {
            self.buf.alu_imm(Alu::Sub, true, FUEL, count);
        }
        self.pending = left;
    }

    /// The register gets what fuel the state of the run has. Where nothing is counted, the register is the caller's.
    fn load_fuel(&mut self) {
        if self.target.count {
            self.buf.load(Load::U64, FUEL, State::FUEL);
        }
    }

    /// The state of the run gets what fuel the register has.
    fn store_fuel(&mut self) {
        if self.target.count {
            self.buf.store(Width::Dw, State::FUEL, FUEL);
        }
    }

    /// After a charge of everything: asks for more fuel where none is left. `target` and `resume` are the instruction
    /// and the code that the run goes on with; the latter is what follows where it is `None`.
    fn look(&mut self, target: usize, resume: Option<usize>) {
        if self.target.count {
            let from = self.buf.jcc(Cc::Le);
            let resume = resume.unwrap_or_else(|| self.buf.position());
            self.cold.push(Cold::Refuel { from, target, resume });
        }
    }

    /// What a jump has to settle where it is taken, instead of before it: jumps far ahead leave for an early end, most
    /// of them, which is seldom.
    fn settles_late(&self, at: usize, target: usize) -> Option<i32> {
        const FAR: usize = 12;
        let agreed = self.agreed[target];
        let late = self.target.count && target > at + FAR && agreed != OPEN && agreed != self.pending;
        late.then(|| self.pending as i32 - agreed as i32)
    }

    /// Before a jump, charges what its target does not expect to be pending.
    fn settle_for(&mut self, target: usize) {
        if self.agreed[target] == OPEN {
            self.agreed[target] = self.pending;
        } else {
            self.settle(self.agreed[target]);
        }
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

    /// Calls a function of the host.
    fn call_host(&mut self, function: *const ()) {
        if self.target.near {
            let patch = self.buf.call();
            self.host_calls.push((patch, function as usize));
        } else {
            self.buf.mov_imm64(Reg::Rax, function as u64);
            self.buf.call_reg(Reg::Rax);
        }
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
            Cold::BackEdge { from, at, deferred, next } => {
                self.buf.patch(from, here);
                let insn = self.program.insns[at];
                let cc = self.compare(&insn, deferred);
                let out = self.buf.jcc(cc.not());
                self.buf.patch(out, next);
                self.refuel(insn.off as usize);
                let back = self.buf.jmp();
                let target = self.starts[insn.off as usize] as usize;
                self.buf.patch(back, target);
            }
            Cold::Refuel { from, target, resume } => {
                self.buf.patch(from, here);
                self.refuel(target);
                let back = self.buf.jmp();
                self.buf.patch(back, resume);
            }
            Cold::Helper { from, at, resume } => {
                self.buf.patch(from, here);
                let insn = self.program.insns[at];
                let helper = self.program.helpers[insn.imm as usize];
                self.call_host(helper.native as *const ());
                self.restore_state();
                self.buf.test(false, Reg::Rdx, Reg::Rdx);
                let fine = self.buf.jcc(Cc::E);
                self.buf.patch(fine, resume);
                self.trap_here(at);
            }
            Cold::Settle { from, target, count } => {
                self.buf.patch(from, here);
                self.buf.alu_imm(Alu::Sub, true, FUEL, count);
                let to = self.buf.jmp();
                let target = self.starts[target] as usize;
                self.buf.patch(to, target);
            }
            Cold::TailCall { from, at, resume, function } => {
                self.buf.patch(from, here);
                self.function = function;
                self.tail_call_without_fuel(at, resume);
            }
            Cold::NoPacket { from, at, pending, function } => {
                self.buf.patch(from, here);
                (self.pending, self.function) = (pending, function);
                self.no_packet(at);
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

impl Emitter<'_> {
    /// Whether a jump forwards will reach its target in a short form, as far as it is known before.
    fn is_near(&self, at: usize, target: usize) -> bool {
        /// Of 127, some are left for the rest of the jump and what is settled behind it.
        const REACH: u32 = 110;
        if !self.short || target - at > REACH as usize / 2 {
            return false;
        }
        let mut bytes = 0;
        for between in at + 1..target {
            // Where paths meet there may be something to settle; loops are aligned.
            let extra = if self.loops[between] { 19 } else { 4 * u32::from(self.leaders[between]) };
            bytes += bound(between, &self.program.insns[between]) + extra;
            if bytes > REACH {
                return false;
            }
        }
        bytes + if self.loops[target] { 15 } else { 0 } <= REACH
    }
}

/// At most so many bytes are emitted for an instruction, all but the rarest times. Being too low costs a second
/// compilation, nothing else.
fn bound(at: usize, insn: &Insn) -> u32 {
    let short = i8::try_from(insn.imm as i64).is_ok();
    match insn.code.shape() {
        Shape::Update { source } => match insn.code.arithmetic() {
            Some((AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod, _)) => 64,
            Some((AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, _)) if source => 20,
            Some(_) if source || short => 4,
            _ => 9,
        },
        Shape::Set => 10,
        Shape::Load | Shape::Store => 3 + if i8::try_from(insn.off).is_ok() { 7 } else { 10 },
        Shape::StoreImm => 16,
        Shape::Jump { source } => {
            let compare = if source || short { 4 } else { 7 };
            let look = if insn.off as usize <= at { 6 } else { 0 };
            4 + compare + 6 + look
        }
        Shape::Atomic => 80,
        Shape::PacketLoad | Shape::TailCall => 60,
        Shape::Call => 64,
        Shape::Other => match insn.code {
            Code::Ja | Code::Exit => 15,
            _ => 64,
        },
    }
}
