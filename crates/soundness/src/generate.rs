// SPDX-License-Identifier: GPL-2.0-only
//! Small random programs that the verifier often accepts: arithmetic, branches, spills and fills, packet and map
//! accesses behind checks that are sometimes wrong, bounded loops, calls.
//!
//! Registers have fixed duties: `r6` is the context (in functions a pointer to the caller's stack), `r0` and `r7` to
//! `r9` hold numbers, `r1` to `r5` are scratch for one statement.

use std::sync::Arc;

use skep_isa::{Insn, Size, class, opcode};
use skep_program::{MapSpec, Program};
use skep_uapi::flags::prog_load::BPF_F_TEST_STATE_FREQ;
use skep_uapi::{HelperId, MapType, ProgType};

use crate::Random;

const ALU_OPS: [u8; 13] = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0, 0x00];
const DIV: u8 = 0x30;
const LSH: u8 = 0x60;
const RSH: u8 = 0x70;
const MOD: u8 = 0x90;
const MOV: u8 = 0xb0;
const ARSH: u8 = 0xc0;
const ADD: u8 = 0x00;
const SUB: u8 = 0x10;
const AND: u8 = 0x50;
const JUMPS: [u8; 11] = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
const JEQ: u8 = 0x10;
const JGT: u8 = 0x20;
const JNE: u8 = 0x50;
const JLT: u8 = 0xa0;
const JLE: u8 = 0xb0;
const JSGT: u8 = 0x60;

/// Numbers.
const NUMBERS: [u8; 4] = [0, 7, 8, 9];
/// The maps of every program: type, bytes of a key, of a value, elements.
const MAPS: [(MapType, u32, u32, u32); 3] =
    [(MapType::ARRAY, 4, 48, 4), (MapType::HASH, 8, 16, 8), (MapType::ARRAY, 4, 256, 1)];
/// Functions besides the program.
const FUNCTIONS: usize = 2;

/// A program for these choices.
pub(crate) fn generate(random: &mut Random<'_>) -> Program {
    let prog_type = random.pick(&[ProgType::XDP, ProgType::SCHED_CLS]);
    let mut generator =
        Generator { random, prog_type, insns: Vec::new(), calls: Vec::new(), frozen: None, depth: 0 };
    generator.program();
    if generator.random.one_in(4) {
        generator.mutate();
    }
    let insns = generator.insns;
    let map = |(map_type, key_size, value_size, max_entries)| MapSpec {
        map_type,
        key_size,
        value_size,
        max_entries,
        ..MapSpec::default()
    };
    Program {
        name: "random".to_owned(),
        prog_type,
        insns,
        maps: Arc::new(MAPS.map(map).to_vec()),
        license: "GPL".to_owned(),
        // States are kept and compared as often as can be.
        prog_flags: if random.one_in(3) { 0 } else { BPF_F_TEST_STATE_FREQ },
        ..Program::default()
    }
}

struct Generator<'r, 'b> {
    random: &'r mut Random<'b>,
    prog_type: ProgType,
    insns: Vec<Insn>,
    /// Instructions that call, and which function.
    calls: Vec<(usize, usize)>,
    /// The number that counts a loop.
    frozen: Option<u8>,
    /// Blocks around the next statement.
    depth: u32,
}

impl Generator<'_, '_> {
    fn emit(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) -> usize {
        self.insns.push(Insn::new(code, dst, src, off, imm));
        self.insns.len() - 1
    }

    fn alu(&mut self, op: u8, dst: u8, imm: i32) {
        self.emit(op | class::ALU64, dst, 0, 0, imm);
    }

    fn alu_reg(&mut self, op: u8, dst: u8, src: u8) {
        self.emit(op | class::ALU64 | opcode::X, dst, src, 0, 0);
    }

    fn load(&mut self, size: Size, dst: u8, src: u8, off: i16) {
        self.emit(class::LDX | opcode::MEM | size.code(), dst, src, off, 0);
    }

    fn store(&mut self, size: Size, dst: u8, off: i16, src: u8) {
        self.emit(class::STX | opcode::MEM | size.code(), dst, src, off, 0);
    }

    fn helper(&mut self, id: HelperId) {
        self.emit(opcode::CALL, 0, 0, 0, id.0 as i32);
    }

    fn load_map(&mut self, dst: u8, map: usize) {
        self.emit(opcode::LD_IMM64, dst, 5, 0, map as i32);
        self.emit(0, 0, 0, 0, 0);
    }

    /// Makes the jump at `at` reach the next instruction.
    fn land(&mut self, at: usize) {
        self.insns[at].off = (self.insns.len() - at - 1) as i16;
    }

    fn size(&mut self) -> Size {
        self.random.pick(&Size::ALL)
    }

    fn number(&mut self) -> u8 {
        self.random.pick(&NUMBERS)
    }

    /// A number that may be overwritten.
    fn target(&mut self) -> u8 {
        let number = self.number();
        if Some(number) == self.frozen { 0 } else { number }
    }

    fn program(&mut self) {
        self.alu_reg(MOV, 6, 1);
        for number in NUMBERS {
            self.fresh(number);
        }
        let statements = 3 + self.random.below(10);
        self.block(statements);
        self.leave();
        // A function that nobody calls is an error.
        let calls = std::mem::take(&mut self.calls);
        for function in 0..FUNCTIONS {
            let start = self.insns.len();
            let mut callers = calls.iter().filter(|call| call.1 == function).peekable();
            if callers.peek().is_some() {
                self.function();
            }
            for &(at, _) in callers {
                self.insns[at].imm = start as i32 - at as i32 - 1;
            }
        }
    }

    /// Changes a field of an instruction, so that there are programs that none of the statements makes.
    fn mutate(&mut self) {
        let at = self.random.below(self.insns.len() as u64) as usize;
        let other = self.random.below(self.insns.len() as u64) as usize;
        let imm = self.random.edgy() as i32;
        let reg = self.random.below(11) as u8;
        let copied = self.insns[other];
        let insn = &mut self.insns[at];
        match self.random.below(6) {
            0 => insn.imm = imm,
            1 => insn.dst = reg,
            2 => insn.src = reg,
            3 => insn.off = insn.off.wrapping_add(imm as i16 % 16),
            // Another operation or size of the same class, most of the time.
            4 => insn.code ^= 1 << (imm as u32 % 8),
            _ => *insn = copied,
        }
    }

    /// `r1` points to the caller's stack, `r2` and `r3` are numbers.
    fn function(&mut self) {
        self.prog_type = ProgType::UNSPEC;
        self.alu_reg(MOV, 6, 1);
        self.alu_reg(MOV, 7, 2);
        self.alu_reg(MOV, 8, 3);
        self.alu_reg(MOV, 0, 3);
        self.fresh(9);
        let statements = 1 + self.random.below(4);
        self.depth = 1;
        self.block(statements);
        self.depth = 0;
        self.leave();
    }

    fn leave(&mut self) {
        if self.random.one_in(2) {
            let number = self.number();
            self.alu_reg(MOV, 0, number);
        }
        self.emit(opcode::EXIT, 0, 0, 0, 0);
    }

    /// A number that is constant, of the context, or random.
    fn fresh(&mut self, dst: u8) {
        let is_program = self.prog_type != ProgType::UNSPEC;
        match self.random.below(5) {
            0 => {
                let imm = self.random.edgy();
                self.emit(opcode::LD_IMM64, dst, 0, 0, imm as i32);
                self.emit(0, 0, 0, 0, (imm >> 32) as i32);
            }
            1 => {
                let imm = self.random.edgy() as i32;
                self.alu(MOV, dst, imm);
            }
            // `rx_queue_index`, `mark`
            2 if is_program => {
                let off = if self.prog_type == ProgType::XDP { 16 } else { 8 };
                self.load(Size::W, dst, 6, off);
            }
            3 if dst != 0 => {
                let saved = self.random.one_in(2);
                if saved {
                    self.store(Size::Dw, 10, -8, 0);
                } else {
                    self.alu(MOV, 0, 0);
                }
                self.alu(MOV, 1, 0);
                self.helper(HelperId::GET_PRANDOM_U32);
                self.alu_reg(MOV, dst, 0);
            }
            // Whatever is on the stack.
            _ => {
                let (size, off) = (self.size(), self.stack_offset(8));
                self.load(size, dst, 10, off);
            }
        }
    }

    /// An offset below `r10` of which so many bytes are aligned.
    fn stack_offset(&mut self, align: i16) -> i16 {
        -(self.random.below(8) as i16 + 1) * 8
            + if align < 8 { self.random.below(8) as i16 / align * align } else { 0 }
    }

    fn block(&mut self, statements: u64) {
        for _ in 0..statements {
            self.statement();
        }
    }

    fn statement(&mut self) {
        let nested = self.depth >= 3;
        let is_program = self.prog_type != ProgType::UNSPEC;
        match self.random.below(20) {
            0..=4 => self.arithmetic(),
            5..=7 if !nested => self.branch(),
            8..=9 => self.spill(),
            10 => {
                let target = self.target();
                self.fresh(target);
            }
            11..=12 => self.map_access(),
            13..=14 if is_program => self.packet_access(),
            15 if self.frozen.is_none() && !nested => self.repeat(),
            16 if is_program => self.call(),
            17 => self.stack_access(),
            18 if is_program => self.load_bytes(),
            _ => self.arithmetic(),
        }
    }

    fn arithmetic(&mut self) {
        let (op, dst) = (self.random.pick(&ALU_OPS), self.target());
        let (class, bits) = self.random.pick(&[(class::ALU64, 64), (class::ALU, 32)]);
        match self.random.below(10) {
            0 => {
                self.emit(class | opcode::NEG, dst, 0, 0, 0);
            }
            1 => {
                let order = self.random.pick(&[0xd4, 0xdc, 0xd7]);
                let width = self.random.pick(&[16, 32, 64]);
                self.emit(order, dst, 0, 0, width);
            }
            2 => {
                let extended = self.random.pick(&[8, 16, 32]).min(bits / 2);
                let src = self.number();
                self.emit(class | MOV | opcode::X, dst, src, extended, 0);
            }
            3..=5 => {
                let src = self.number();
                let signed = i16::from(matches!(op, DIV | MOD) && self.random.one_in(2));
                self.emit(class | op | opcode::X, dst, src, signed, 0);
            }
            _ => {
                let imm = match op {
                    LSH | RSH | ARSH => self.random.below(bits as u64) as i32,
                    DIV | MOD => (self.random.edgy() as i32).max(1),
                    _ => self.random.edgy() as i32,
                };
                self.emit(class | op, dst, 0, 0, imm);
            }
        }
    }

    /// A conditional jump whose target is still open.
    fn condition(&mut self) -> usize {
        let op = self.random.pick(&JUMPS) | self.random.pick(&[class::JMP, class::JMP32]);
        let dst = self.number();
        if self.random.one_in(3) {
            let src = self.number();
            self.emit(op | opcode::X, dst, src, 0, 0)
        } else {
            let imm = self.random.edgy() as i32;
            self.emit(op, dst, 0, 0, imm)
        }
    }

    fn branch(&mut self) {
        self.depth += 1;
        let jump = self.condition();
        let statements = 1 + self.random.below(2);
        self.block(statements);
        if self.random.one_in(2) {
            let over = self.emit(opcode::JA, 0, 0, 0, 0);
            self.land(jump);
            self.block(1);
            self.land(over);
        } else {
            self.land(jump);
        }
        self.depth -= 1;
    }

    fn spill(&mut self) {
        let size = if self.random.one_in(2) { Size::Dw } else { self.size() };
        let off = self.stack_offset(size.bytes() as i16);
        match self.random.below(8) {
            0..=2 => {
                let src = self.number();
                self.store(size, 10, off, src);
            }
            3 => {
                let imm = self.random.edgy() as i32;
                self.emit(class::ST | opcode::MEM | size.code(), 10, 0, off, imm);
            }
            4 if size != Size::Dw => {
                let dst = self.target();
                self.emit(class::LDX | opcode::MEMSX | size.code(), dst, 10, off, 0);
            }
            5 if matches!(size, Size::W | Size::Dw) => {
                let src = self.target();
                let op = self.random.pick(&[0x00, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1]);
                self.emit(class::STX | opcode::ATOMIC | size.code(), 10, src, off, op);
            }
            _ => {
                let dst = self.target();
                self.load(size, dst, 10, off);
            }
        }
    }

    /// A number in `r1` that is at most `max`, mostly. Gives jumps that are taken if it is not.
    fn bounded(&mut self, max: i32) -> Vec<usize> {
        let number = self.number();
        let max = if self.random.one_in(10) { self.random.edgy() as i32 } else { max };
        match self.random.below(6) {
            0 => {
                let imm = self.random.below(max.max(0) as u64 + 1) as i32;
                self.alu(MOV, 1, imm);
                Vec::new()
            }
            1..=2 => {
                self.alu_reg(MOV, 1, number);
                // The greatest mask below the maximum.
                let mask = if max > 0 { (1_i64 << (max as u32 + 1).ilog2()) - 1 } else { 0 };
                self.alu(AND, 1, mask as i32);
                Vec::new()
            }
            3 => {
                self.alu_reg(MOV, 1, number);
                let class = self.random.pick(&[class::JMP, class::JMP, class::JMP32]);
                vec![self.emit(class | JGT, number, 0, 0, max)]
            }
            4 => {
                self.store(Size::Dw, 10, -16, number);
                let jumps = vec![self.emit(class::JMP | JGT, number, 0, 0, max)];
                self.load(Size::Dw, 1, 10, -16);
                jumps
            }
            _ => {
                self.alu_reg(MOV, 1, number);
                let mut jumps = vec![self.emit(class::JMP | JSGT, 1, 0, 0, max)];
                let low = self.random.pick(&[0, 0, 0, 1, -1]);
                jumps.push(self.emit(class::JMP | 0xc0, 1, 0, 0, low));
                jumps
            }
        }
    }

    /// A load or store of memory of which so many bytes are there, mostly.
    fn access(&mut self, pointer: u8, room: i32) {
        let room = room.max(1) as usize;
        let fit = Size::ALL.iter().take_while(|size| size.bytes() <= room).count() as u64;
        let size = Size::ALL[self.random.below(fit) as usize];
        let off = if self.random.one_in(16) {
            self.random.below(64) as i16
        } else {
            self.random.below((room - size.bytes()) as u64 + 1) as i16
        };
        self.load_or_store(size, pointer, off);
    }

    fn load_or_store(&mut self, size: Size, pointer: u8, off: i16) {
        if self.random.one_in(3) {
            let src = self.random.pick(&[7, 8, 9]);
            self.store(size, pointer, off, src);
        } else {
            let dst = self.random.pick(&[7, 8, 9]);
            let dst = if Some(dst) == self.frozen { 0 } else { dst };
            self.load(size, dst, pointer, off);
        }
    }

    fn map_access(&mut self) {
        let map = self.random.below(MAPS.len() as u64) as usize;
        let (_, key_size, value_size, entries) = MAPS[map];
        let mut skips = Vec::new();
        if key_size == 4 && self.random.one_in(2) {
            let key = self.random.below(u64::from(entries) + 1) as i32;
            self.emit(class::ST | opcode::MEM | Size::W.code(), 10, 0, -8, key);
        } else {
            let number = self.number();
            self.alu_reg(MOV, 1, number);
            self.alu(AND, 1, 7);
            self.store(Size::Dw, 10, -8, 1);
        }
        self.alu_reg(MOV, 2, 10);
        self.alu(ADD, 2, -8);
        self.load_map(1, map);
        self.helper(HelperId::MAP_LOOKUP_ELEM);
        skips.push(self.emit(class::JMP | JEQ, 0, 0, 0, 0));
        let room = if self.random.one_in(3) {
            value_size as i32
        } else {
            // `r0` is the pointer, so the number must be another.
            self.alu_reg(MOV, 5, 0);
            let number = self.random.pick(&[7, 8, 9]);
            self.alu_reg(MOV, 0, number);
            let max = self.random.below(u64::from(value_size) - 7) as i32;
            skips.extend(self.bounded(max));
            self.alu_reg(MOV, 0, 5);
            let op = if self.random.one_in(16) { SUB } else { ADD };
            self.alu_reg(op, 0, 1);
            value_size as i32 - max
        };
        self.access(0, room);
        skips.into_iter().for_each(|at| self.land(at));
        let imm = self.random.edgy() as i32;
        self.alu(MOV, 0, imm);
    }

    fn packet_access(&mut self) {
        let (data, end) = if self.prog_type == ProgType::XDP { (0, 4) } else { (76, 80) };
        let mut skips = Vec::new();
        self.load(Size::W, 2, 6, data);
        self.load(Size::W, 3, 6, end);
        if self.random.one_in(2) {
            let max = self.random.below(40) as i32;
            skips.extend(self.bounded(max));
            self.alu_reg(ADD, 2, 1);
        }
        let room = 1 + self.random.below(24) as i32;
        self.alu_reg(MOV, 5, 2);
        self.alu(ADD, 5, room);
        let (op, dst, src) = self.random.pick(&[(JGT, 5, 3), (JLT, 3, 5), (JGT, 5, 3), (JLE, 3, 5)]);
        skips.push(self.emit(class::JMP | opcode::X | op, dst, src, 0, 0));
        self.access(2, room);
        skips.into_iter().for_each(|at| self.land(at));
    }

    /// The stack at a variable offset; in functions that of the caller.
    fn stack_access(&mut self) {
        let base = if self.prog_type == ProgType::UNSPEC { 6 } else { 10 };
        let max = self.random.below(5) as i32;
        // Bytes that count as zero: stores that are no spills.
        if self.random.one_in(3) {
            for off in [4, 12, 20] {
                self.emit(
                    class::ST | opcode::MEM | Size::W.code(),
                    base,
                    0,
                    off - if base == 10 { 64 } else { 0 },
                    0,
                );
            }
        }
        let skips = self.bounded(max);
        // The stack is accessed at multiples of the size.
        let size = self.size();
        self.alu(LSH, 1, 3);
        self.alu_reg(MOV, 2, base);
        if base == 10 {
            self.alu(ADD, 2, -64);
        }
        self.alu_reg(ADD, 2, 1);
        let off = self.random.below((40 - max as u64 * 8) / size.bytes() as u64) as i16 * size.bytes() as i16;
        self.load_or_store(size, 2, off);
        skips.into_iter().for_each(|at| self.land(at));
    }

    fn load_bytes(&mut self) {
        let skips = self.bounded(31);
        self.alu_reg(MOV, 4, 1);
        if !self.random.one_in(8) {
            self.alu(ADD, 4, 1);
        }
        self.alu_reg(MOV, 1, 6);
        let offset = self.number();
        self.alu_reg(MOV, 2, offset);
        self.alu_reg(MOV, 3, 10);
        self.alu(ADD, 3, -64);
        let is_xdp = self.prog_type == ProgType::XDP;
        self.helper(if is_xdp { HelperId::XDP_LOAD_BYTES } else { HelperId::SKB_LOAD_BYTES });
        skips.into_iter().for_each(|at| self.land(at));
    }

    fn call(&mut self) {
        let function = self.random.below(FUNCTIONS as u64) as usize;
        let (a, b) = (self.number(), self.number());
        self.alu_reg(MOV, 1, 10);
        self.alu(ADD, 1, -64);
        self.alu_reg(MOV, 2, a);
        self.alu_reg(MOV, 3, b);
        let at = self.emit(opcode::CALL, 0, 1, 0, 0);
        self.calls.push((at, function));
    }

    fn repeat(&mut self) {
        self.depth += 2;
        let counter = self.random.pick(&[7, 8, 9]);
        let rounds = 1 + self.random.below(6) as i32;
        let statements = 1 + self.random.below(2);
        match self.random.below(4) {
            0 => {
                let start = self.insns.len();
                let out = self.emit(opcode::JCOND, 0, 0, 0, 0);
                self.block(statements);
                self.back(opcode::JA, 0, 0, start);
                self.land(out);
            }
            1 => {
                let out = self.emit(class::JMP | JGT, counter, 0, 0, rounds);
                let start = self.insns.len();
                self.frozen = Some(counter);
                self.block(statements);
                self.alu(SUB, counter, 1);
                self.back(class::JMP | JSGT, counter, 0, start);
                self.land(out);
            }
            _ => {
                self.alu(MOV, counter, 0);
                let start = self.insns.len();
                self.frozen = Some(counter);
                self.block(statements);
                self.alu(ADD, counter, 1);
                let op = self.random.pick(&[JLT, JNE]);
                self.back(class::JMP | op, counter, rounds, start);
            }
        }
        self.frozen = None;
        self.depth -= 2;
    }

    fn back(&mut self, code: u8, dst: u8, imm: i32, start: usize) {
        let at = self.emit(code, dst, 0, 0, imm);
        self.insns[at].off = (start as i64 - at as i64 - 1) as i16;
    }
}
