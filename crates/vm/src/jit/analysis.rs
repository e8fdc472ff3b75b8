// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the code generator needs to know of a program before it starts: where functions begin, what their frames
//! on the machine's stack must hold, and where jumps land. One pass and one look at each jump; nothing here
//! trusts the program.

use crate::interp::{Code, Insn, Program, Reg, Shape};

/// `r6` to `r9`, which a function gives back as it found them, as bits by register number.
pub(super) const CALLEE_SAVED: u16 = 0b11_1100_0000;
/// `r1` to `r5`, which a helper does not preserve.
pub(super) const CALLER_SAVED: u16 = 0b11_1110;

/// A function of the program: a straight piece of its instructions, from an entry up to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Its first instruction.
    pub(super) start: usize,
    /// The instruction after its last.
    pub(super) end: usize,
    /// Registers that it puts on the machine's stack first, and restores before it returns: bits.
    pub(super) saved: u16,
    /// It calls helpers, and so keeps a pointer to the state of the run in its frame.
    pub(super) state: bool,
    /// It keeps the budget of `may_goto` in its frame.
    pub(super) may_goto: bool,
    /// It calls something, for which the machine's stack has to be aligned.
    pub(super) aligned: bool,
}

/// The facts of a program.
#[derive(Debug)]
pub(super) struct Analysis {
    /// In order; they cover the program.
    pub(super) functions: Vec<Function>,
    /// Whether control may come to an instruction from elsewhere than the one before it.
    pub(super) leaders: Vec<bool>,
    /// Whether a jump backwards leads to an instruction.
    pub(super) loops: Vec<bool>,
    /// What is best pending at a jump's target (`emit`, "Fuel"), where the deepest loop that jumps there says so.
    pub(super) agreed: Vec<u32>,
    /// Of `r6` to `r10`, the registers that it uses, as bits.
    pub(super) preserved: u16,
    /// It can end in a trap.
    pub(super) traps: bool,
    /// The main function has no frame to keep registers in, as the code that enters a program keeps them: a tail
    /// call from it is a jump.
    pub(super) bare_main: bool,
}

/// Registers that an instruction reads and writes, as bits.
pub(super) fn registers(insn: &Insn) -> (u16, u16) {
    let (dst, src) = (1 << insn.dst as u16, 1 << insn.src as u16);
    match insn.code.shape() {
        Shape::Update { source: true } if insn.code.is_move() => (src, dst),
        Shape::Update { source: false } if insn.code.is_move() => (0, dst),
        Shape::Update { source: true } => (dst | src, dst),
        Shape::Update { source: false } => (dst, dst),
        Shape::Set => (0, dst),
        Shape::Load => (src, dst),
        Shape::Store => (dst | src, 0),
        Shape::StoreImm => (dst, 0),
        Shape::Jump { source: true } => (dst | src, 0),
        Shape::Jump { source: false } => (dst, 0),
        // `r0` is compared and written, `src` written: which of them depends on the operation.
        Shape::Atomic => (dst | src | 1, src | 1),
        Shape::PacketLoad => (src, 1),
        Shape::Call => (CALLER_SAVED, CALLER_SAVED | 1),
        Shape::TailCall => (CALLER_SAVED, 0),
        Shape::Other => (0, 0),
    }
}

impl Analysis {
    pub(super) fn new(program: &Program, elide: bool) -> Analysis {
        let insns = &program.insns;
        let mut leaders = vec![false; insns.len()];
        let mut loops = vec![false; insns.len()];
        let mut entries = vec![false; insns.len()];
        entries[0] = true;
        let mut main_is_called = false;
        for (at, insn) in insns.iter().enumerate() {
            if insn.code == Code::CallLocal {
                entries[insn.off as usize] = true;
                main_is_called |= insn.off == 0;
            } else if insn.code.jumps() {
                leaders[insn.off as usize] = true;
                loops[insn.off as usize] |= insn.off as usize <= at;
            }
        }
        for &taken in &program.taken {
            entries[taken as usize] = true;
            main_is_called |= taken == 0;
        }
        let (mut preserved, mut traps) = (0, false);
        let mut functions: Vec<Function> = Vec::new();
        let mut crossing = false;
        for (at, insn) in insns.iter().enumerate() {
            if entries[at] {
                leaders[at] = true;
                // Control must not come from one function to the next but by a call.
                crossing |= at > 0 && !insns[at - 1].code.ends_line();
                if let Some(last) = functions.last_mut() {
                    last.end = at;
                }
                functions.push(Function {
                    start: at,
                    end: insns.len(),
                    saved: 0,
                    state: false,
                    may_goto: false,
                    aligned: false,
                });
            }
            let Some(function) = functions.last_mut() else { continue };
            if insn.dst >= Reg::R6 || insn.src >= Reg::R6 {
                let (read, written) = registers(insn);
                function.saved |= written & CALLEE_SAVED;
                preserved |= (read | written) & (CALLEE_SAVED | 1 << 10);
            }
            traps = traps || can_trap(insns, at, elide);
            match insn.code {
                Code::Call => {
                    function.state = true;
                    preserved |= 1 << 10;
                }
                // What it leads to may use any register.
                Code::TailCall => preserved = CALLEE_SAVED | 1 << 10,
                Code::CallLocal => {
                    function.aligned = true;
                    preserved |= 1 << 10;
                }
                Code::MayGoto => function.may_goto = true,
                // The trap shows the address.
                Code::OutsideFrame => preserved |= 1 << 10,
                _ => {}
            }
        }
        for function in functions.iter_mut().skip(1) {
            if insns[function.start..function.end].iter().any(|insn| insn.code == Code::TailCall) {
                // What it leads to returns here, with any register changed.
                (function.aligned, function.saved) = (true, CALLEE_SAVED);
            }
        }
        crossing |= functions.iter().any(|function| {
            let inside = function.start..function.end;
            insns[inside.clone()]
                .iter()
                .any(|insn| insn.code.jumps() && !inside.contains(&(insn.off as usize)))
        });
        let bare_main = !crossing && !main_is_called;
        if bare_main {
            functions[0].saved = 0;
        } else {
            // Whatever frame a return finds, it must be of the form that it expects.
            for function in &mut functions {
                (function.saved, function.state, function.may_goto) = (CALLEE_SAVED, true, true);
            }
        }
        for function in &mut functions {
            function.aligned |= function.state;
        }
        let heads: Vec<bool> = loops.iter().zip(&entries).map(|(&a, &b)| a || b).collect();
        let agreed = agreed(insns, &leaders, &heads, loops.contains(&true));
        Analysis { functions, leaders, loops, agreed, preserved, traps, bare_main }
    }
}

/// Whether a run can end in a trap at an instruction.
fn can_trap(insns: &[Insn], at: usize, elide: bool) -> bool {
    let insn = &insns[at];
    match insn.code.shape() {
        Shape::Update { .. } | Shape::Set => false,
        Shape::Jump { .. } => insn.off as usize <= at,
        Shape::Load | Shape::Store | Shape::StoreImm => !elide,
        Shape::Other => match insn.code {
            Code::Ja | Code::MayGoto => insn.off as usize <= at,
            Code::Exit => false,
            // Nothing falls off a program that ends with what does not fall through.
            Code::End => at == 0 || !insns[at - 1].code.ends_line(),
            _ => true,
        },
        Shape::Atomic | Shape::PacketLoad | Shape::Call | Shape::TailCall => true,
    }
}

/// Nothing is agreed on.
pub(super) const OPEN: u32 = u32::MAX;

/// How many instructions are to be uncharged where a jump lands. Loops and functions start with none, or it would grow.
/// Of the jumps to any other instruction the one in the deepest loop should have nothing to settle: what is pending at
/// it is known where its loop starts just before it. Else the first in the program decides later.
fn agreed(insns: &[Insn], leaders: &[bool], heads: &[bool], loops: bool) -> Vec<u32> {
    let mut agreed: Vec<u32> = heads.iter().map(|&head| if head { 0 } else { OPEN }).collect();
    if !loops {
        return agreed;
    }
    let mut ends = vec![0_u32; insns.len() + 1];
    let mut starts = vec![0_u32; insns.len() + 1];
    for (at, insn) in insns.iter().enumerate() {
        if insn.code.jumps() && insn.off as usize <= at {
            starts[insn.off as usize] += 1;
            ends[at + 1] += 1;
        }
    }
    // The depth of the first jump to an instruction, then of the deepest.
    let mut depths: Vec<Option<u32>> = vec![None; insns.len()];
    let (mut depth, mut leader) = (0, 0);
    for (at, insn) in insns.iter().enumerate() {
        depth += starts[at];
        depth -= ends[at];
        if leaders[at] {
            leader = at;
        }
        let target = insn.off as usize;
        if !insn.code.jumps() || target <= at {
            continue;
        }
        match &mut depths[target] {
            Some(deepest) if *deepest < depth => {
                *deepest = depth;
                if heads[leader] {
                    agreed[target] = (at + 1 - leader) as u32;
                }
            }
            Some(_) => {}
            first @ None => *first = Some(depth),
        }
    }
    agreed
}

impl Function {
    /// Words of the frame beside saved registers: the state of the run, the budget of `may_goto`, and one to
    /// align the stack.
    pub(super) fn slots(&self) -> u32 {
        let words = u32::from(self.state) + u32::from(self.may_goto);
        let odd = (1 + self.saved.count_ones() + words) % 2 == 1;
        words + u32::from(self.aligned && odd)
    }
}
