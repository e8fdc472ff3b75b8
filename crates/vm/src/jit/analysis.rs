// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the code generator needs to know of a program before it starts: where functions begin, what their frames
//! on the machine's stack must hold, and where jumps land. One pass and one look at each jump; nothing here
//! trusts the program.

use crate::interp::{Code, Insn, Program, Shape};

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
    pub(super) fn new(program: &Program) -> Analysis {
        let insns = &program.insns;
        let mut leaders = vec![false; insns.len()];
        let mut entries = vec![false; insns.len()];
        entries[0] = true;
        let mut main_is_called = false;
        for insn in insns.iter() {
            if insn.code == Code::CallLocal {
                entries[insn.off as usize] = true;
                main_is_called |= insn.off == 0;
            } else if insn.code.jumps() {
                leaders[insn.off as usize] = true;
            }
        }
        for &taken in &program.taken {
            entries[taken as usize] = true;
            main_is_called |= taken == 0;
        }
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
            function.saved |= registers(insn).1 & CALLEE_SAVED;
            match insn.code {
                Code::Call => function.state = true,
                Code::CallLocal => function.aligned = true,
                Code::MayGoto => function.may_goto = true,
                // What it leads to returns here, with any register changed.
                Code::TailCall if function.start > 0 => {
                    function.aligned = true;
                    function.saved = CALLEE_SAVED;
                }
                _ => {}
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
        Analysis { functions, leaders, bare_main }
    }
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
