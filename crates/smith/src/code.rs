// SPDX-License-Identifier: GPL-2.0-only
//! Instructions in the making: a statement, with jumps inside of it and calls of functions that come with it.

use skep_isa::{Insn, Size, class, opcode};
use skep_uapi::HelperId;

use crate::scene::FP;

/// Operations of ALU and jump instructions (`BPF_OP`).
pub(crate) mod op {
    pub const ADD: u8 = 0x00;
    pub const SUB: u8 = 0x10;
    pub const MUL: u8 = 0x20;
    pub const DIV: u8 = 0x30;
    pub const OR: u8 = 0x40;
    pub const AND: u8 = 0x50;
    pub const LSH: u8 = 0x60;
    pub const RSH: u8 = 0x70;
    pub const NEG: u8 = 0x80;
    pub const MOD: u8 = 0x90;
    pub const XOR: u8 = 0xa0;
    pub const MOV: u8 = 0xb0;
    pub const ARSH: u8 = 0xc0;
    pub const END: u8 = 0xd0;

    pub const JEQ: u8 = 0x10;
    pub const JGT: u8 = 0x20;
    pub const JGE: u8 = 0x30;
    pub const JSET: u8 = 0x40;
    pub const JNE: u8 = 0x50;
    pub const JSGT: u8 = 0x60;
    pub const JSGE: u8 = 0x70;
    pub const JLT: u8 = 0xa0;
    pub const JLE: u8 = 0xb0;
    pub const JSLT: u8 = 0xc0;
    pub const JSLE: u8 = 0xd0;
}

/// Source registers of `ld_imm64` and calls.
const BPF_PSEUDO_MAP_IDX: u8 = 5;
const BPF_PSEUDO_MAP_IDX_VALUE: u8 = 6;
const BPF_PSEUDO_FUNC: u8 = 4;
const BPF_PSEUDO_CALL: u8 = 1;

/// A jump that does not know yet where to.
#[derive(Debug)]
#[must_use]
pub(crate) struct Jump(usize);

/// A function that comes with a statement.
#[derive(Debug)]
pub(crate) struct NewFunction {
    /// Instructions of the statement that refer to it.
    pub callers: Vec<usize>,
    pub body: Vec<Insn>,
}

/// A statement.
#[derive(Debug, Default)]
pub(crate) struct Code {
    pub insns: Vec<Insn>,
    pub functions: Vec<NewFunction>,
}

impl Code {
    pub fn emit(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) -> usize {
        self.insns.push(Insn::new(code, dst, src, off, imm));
        self.insns.len() - 1
    }

    pub fn mov(&mut self, dst: u8, src: u8) {
        self.emit(op::MOV | class::ALU64 | opcode::X, dst, src, 0, 0);
    }

    pub fn mov_imm(&mut self, dst: u8, imm: i32) {
        self.emit(op::MOV | class::ALU64, dst, 0, 0, imm);
    }

    pub fn alu(&mut self, op: u8, dst: u8, imm: i32) {
        self.emit(op | class::ALU64, dst, 0, 0, imm);
    }

    pub fn alu_reg(&mut self, op: u8, dst: u8, src: u8) {
        self.emit(op | class::ALU64 | opcode::X, dst, src, 0, 0);
    }

    /// The address of a byte of the stack.
    pub fn stack(&mut self, dst: u8, off: i16) {
        self.mov(dst, FP);
        self.alu(op::ADD, dst, off.into());
    }

    pub fn imm64(&mut self, dst: u8, value: u64) {
        self.emit(opcode::LD_IMM64, dst, 0, 0, value as i32);
        self.emit(0, 0, 0, 0, (value >> 32) as i32);
    }

    pub fn map(&mut self, dst: u8, map: usize) {
        self.emit(opcode::LD_IMM64, dst, BPF_PSEUDO_MAP_IDX, 0, map as i32);
        self.emit(0, 0, 0, 0, 0);
    }

    /// The address of a byte of the only value of an array.
    pub fn map_value(&mut self, dst: u8, map: usize, off: i32) {
        self.emit(opcode::LD_IMM64, dst, BPF_PSEUDO_MAP_IDX_VALUE, 0, map as i32);
        self.emit(0, 0, 0, 0, off);
    }

    pub fn load(&mut self, size: Size, dst: u8, src: u8, off: i16) {
        self.emit(class::LDX | opcode::MEM | size.code(), dst, src, off, 0);
    }

    pub fn store(&mut self, size: Size, dst: u8, off: i16, src: u8) {
        self.emit(class::STX | opcode::MEM | size.code(), dst, src, off, 0);
    }

    pub fn store_imm(&mut self, size: Size, dst: u8, off: i16, imm: i32) {
        self.emit(class::ST | opcode::MEM | size.code(), dst, 0, off, imm);
    }

    pub fn call(&mut self, helper: HelperId) {
        self.emit(opcode::CALL, 0, 0, 0, helper.0 as i32);
    }

    pub fn exit(&mut self) {
        self.emit(opcode::EXIT, 0, 0, 0, 0);
    }

    /// Calls a new function.
    pub fn call_new(&mut self, body: Vec<Insn>) {
        let at = self.emit(opcode::CALL, 0, BPF_PSEUDO_CALL, 0, 0);
        self.functions.push(NewFunction { callers: vec![at], body });
    }

    /// The address of a new function.
    pub fn address_of_new(&mut self, dst: u8, body: Vec<Insn>) {
        let at = self.emit(opcode::LD_IMM64, dst, BPF_PSEUDO_FUNC, 0, 0);
        self.emit(0, 0, 0, 0, 0);
        self.functions.push(NewFunction { callers: vec![at], body });
    }

    /// A conditional jump forward. `code` has class and operation.
    pub fn jump(&mut self, code: u8, dst: u8, imm: i32) -> Jump {
        Jump(self.emit(code, dst, 0, 0, imm))
    }

    pub fn jump_reg(&mut self, code: u8, dst: u8, src: u8) -> Jump {
        Jump(self.emit(code | opcode::X, dst, src, 0, 0))
    }

    /// A jump ends in front of the next instruction.
    pub fn land(&mut self, jump: Jump) {
        self.insns[jump.0].off = (self.insns.len() - jump.0 - 1) as i16;
    }

    pub fn here(&self) -> usize {
        self.insns.len()
    }

    /// Makes the last instruction, a jump, go back.
    pub fn back(&mut self, to: usize) {
        let at = self.insns.len() - 1;
        self.insns[at].off = (to as i64 - at as i64 - 1) as i16;
    }
}
