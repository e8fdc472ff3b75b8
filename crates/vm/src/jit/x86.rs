// SPDX-License-Identifier: MIT OR Apache-2.0
//! Encodes the x86-64 instructions that the code generator uses, each by its mnemonic. A method appends one
//! instruction; `wide` chooses 64 bits over 32, which zero the upper half of what they write.
//!
//! An encoder of our own, since compiling takes a few nanoseconds an instruction: each is put together in a
//! register and stored at once. Its tests decode every form with a disassembler and compare.

/// A general-purpose register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[rustfmt::skip]
pub(super) enum Reg { Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15 }

impl Reg {
    const fn low(self) -> u8 {
        self as u8 & 7
    }

    const fn high(self) -> u8 {
        self as u8 >> 3
    }
}

/// `[base + (index << scale) + disp]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mem {
    pub(super) base: Reg,
    /// Not `rsp`.
    pub(super) index: Option<Reg>,
    /// 0 to 3.
    pub(super) scale: u8,
    pub(super) disp: i32,
}

impl Mem {
    pub(super) const fn new(base: Reg, disp: i32) -> Mem {
        Mem { base, index: None, scale: 0, disp }
    }

    pub(super) const fn indexed(base: Reg, index: Reg, disp: i32) -> Mem {
        Mem { base, index: Some(index), scale: 0, disp }
    }

    /// An element of an array of `1 << scale` bytes each.
    pub(super) const fn element(base: Reg, index: Reg, scale: u8, disp: i32) -> Mem {
        Mem { base, index: Some(index), scale, disp }
    }
}

/// The two-operand instructions of one encoding, by their number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts and a rotation, by their number in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Shift {
    Rol = 0,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// Instructions with one operand, by their number in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Unary {
    Neg = 3,
    /// `rax`, `rdx` = quotient and remainder of `rdx:rax`.
    Div = 6,
    Idiv = 7,
}

/// Conditions, by their number in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cc {
    /// Below, or carry.
    B = 2,
    /// Above or equal.
    Ae = 3,
    /// Equal, or zero.
    E = 4,
    /// Not equal.
    Ne = 5,
    /// Below or equal.
    Be = 6,
    /// Above.
    A = 7,
    /// Less.
    L = 12,
    /// Greater or equal.
    Ge = 13,
    /// Less or equal.
    Le = 14,
    /// Greater.
    G = 15,
}

impl Cc {
    /// The opposite.
    pub(super) fn not(self) -> Cc {
        match self {
            Cc::B => Cc::Ae,
            Cc::Ae => Cc::B,
            Cc::E => Cc::Ne,
            Cc::Ne => Cc::E,
            Cc::Be => Cc::A,
            Cc::A => Cc::Be,
            Cc::L => Cc::Ge,
            Cc::Ge => Cc::L,
            Cc::Le => Cc::G,
            Cc::G => Cc::Le,
        }
    }
}

/// What is loaded, and how it fills the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Zero-extended 8, 16, 32 bits, or all 64.
    U8,
    U16,
    U32,
    U64,
    /// Sign-extended to 64 bits.
    I8,
    I16,
    I32,
}

/// How many bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    B,
    H,
    W,
    Dw,
}

/// A jump or call whose distance, of four bytes, is filled in later: where the distance lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patch(u32);

impl Patch {
    /// Where the four bytes of the distance are; it counts from behind them.
    pub(super) fn position(self) -> usize {
        self.0 as usize
    }
}

/// Bytes that are always free for one more call of a method.
const SLACK: usize = 32;

/// Machine code in the making.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    at: usize,
}

/// The first bytes of an instruction, in a register.
#[derive(Clone, Copy)]
struct Head {
    bits: u64,
    len: u32,
}

impl Head {
    /// From bytes that are known when skep is compiled.
    #[inline(always)]
    const fn new(bytes: &[u8]) -> Head {
        let (mut bits, mut at) = (0, 0);
        while at < bytes.len() {
            bits |= (bytes[at] as u64) << (8 * at);
            at += 1;
        }
        Head { bits, len: bytes.len() as u32 }
    }

    #[inline(always)]
    const fn push(self, byte: u8) -> Head {
        Head { bits: self.bits | (byte as u64) << (8 * self.len), len: self.len + 1 }
    }

    /// In front, a REX prefix, where it is needed: `wide`, a register above 7, or (`force`) a low byte of `rsp` to
    /// `rdi`. The branch-free way: it is always put there, and dropped again.
    #[inline(always)]
    const fn rex(self, wide: bool, reg: u8, index: u8, base: u8, force: bool) -> Head {
        let bits = (wide as u8) << 3 | reg << 2 | index << 1 | base;
        let needed = (bits != 0 || force) as u32;
        Head { bits: (self.bits << 8 | 0x40 | bits as u64) >> (8 - 8 * needed), len: self.len + needed }
    }

    /// In front of it all, one more byte.
    #[inline(always)]
    const fn prefix(self, prefix: Option<u8>) -> Head {
        match prefix {
            Some(byte) => Head { bits: self.bits << 8 | byte as u64, len: self.len + 1 },
            None => self,
        }
    }
}

impl Buffer {
    pub(super) fn with_capacity(bytes: usize) -> Buffer {
        Buffer { bytes: vec![0; bytes + SLACK], at: 0 }
    }

    /// Where the next instruction goes.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The code.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.at);
        self.bytes
    }

    #[inline(always)]
    fn put(&mut self, head: Head) {
        if self.at + SLACK > self.bytes.len() {
            self.grow();
        }
        self.bytes[self.at..self.at + 8].copy_from_slice(&head.bits.to_le_bytes());
        self.at += head.len as usize;
    }

    #[cold]
    fn grow(&mut self) {
        let len = self.bytes.len() * 2 + SLACK;
        self.bytes.resize(len, 0);
    }

    #[inline(always)]
    fn put32(&mut self, value: i32) {
        self.bytes[self.at..self.at + 4].copy_from_slice(&value.to_le_bytes());
        self.at += 4;
    }

    #[inline(always)]
    fn put8(&mut self, value: u8) {
        self.bytes[self.at] = value;
        self.at += 1;
    }

    /// Prefixes, opcode and operands `reg`, `rm`; `force` as for [`Head::rex`].
    #[inline(always)]
    fn rr(&mut self, wide: bool, opcode: &[u8], reg: u8, rm: Reg, force: bool) {
        let head = Head::new(opcode).push(0xc0 | (reg & 7) << 3 | rm.low());
        self.put(head.rex(wide, reg >> 3, 0, rm.high(), force));
    }

    /// Prefix, opcode and operands `reg`, memory.
    #[inline(always)]
    fn rm(&mut self, prefix: Option<u8>, wide: bool, opcode: &[u8], reg: u8, mem: Mem, force: bool) {
        let short = i8::try_from(mem.disp).is_ok();
        // `rbp` and `r13` as a base have no form without a displacement.
        let none = mem.disp == 0 && mem.base.low() != 5;
        let mode = if none {
            0
        } else if short {
            0x40
        } else {
            0x80
        };
        let low = (reg & 7) << 3;
        let head = Head::new(opcode);
        let head = match mem.index {
            Some(index) => head.push(mode | low | 4).push(mem.scale << 6 | index.low() << 3 | mem.base.low()),
            // `rsp` and `r12` as a base are spelled with an index byte.
            None if mem.base.low() == 4 => head.push(mode | low | 4).push(0x24),
            None => head.push(mode | low | mem.base.low()),
        };
        let index = mem.index.map_or(0, Reg::high);
        let head = head.rex(wide, reg >> 3, index, mem.base.high(), force).prefix(prefix);
        self.put(head);
        match mode {
            0 => {}
            0x40 => self.put8(mem.disp as u8),
            _ => self.put32(mem.disp),
        }
    }

    pub(super) fn alu(&mut self, op: Alu, wide: bool, dst: Reg, src: Reg) {
        self.rr(wide, &[(op as u8) << 3 | 1], src as u8, dst, false);
    }

    pub(super) fn alu_imm(&mut self, op: Alu, wide: bool, dst: Reg, imm: i32) {
        if let Ok(short) = i8::try_from(imm) {
            self.rr(wide, &[0x83], op as u8, dst, false);
            self.put8(short as u8);
        } else if dst == Reg::Rax {
            self.put(Head::new(&[(op as u8) << 3 | 5]).rex(wide, 0, 0, 0, false));
            self.put32(imm);
        } else {
            self.rr(wide, &[0x81], op as u8, dst, false);
            self.put32(imm);
        }
    }

    /// `op [mem], imm`.
    pub(super) fn alu_mem_imm(&mut self, op: Alu, wide: bool, mem: Mem, imm: i32) {
        if let Ok(short) = i8::try_from(imm) {
            self.rm(None, wide, &[0x83], op as u8, mem, false);
            self.put8(short as u8);
        } else {
            self.rm(None, wide, &[0x81], op as u8, mem, false);
            self.put32(imm);
        }
    }

    pub(super) fn test(&mut self, wide: bool, a: Reg, b: Reg) {
        self.rr(wide, &[0x85], b as u8, a, false);
    }

    pub(super) fn test_imm(&mut self, wide: bool, a: Reg, imm: i32) {
        self.rr(wide, &[0xf7], 0, a, false);
        self.put32(imm);
    }

    pub(super) fn mov(&mut self, wide: bool, dst: Reg, src: Reg) {
        self.rr(wide, &[0x89], src as u8, dst, false);
    }

    /// `dst = imm`, in the shortest way; flags may change.
    pub(super) fn mov_imm(&mut self, dst: Reg, imm: u64) {
        if imm == 0 {
            self.alu(Alu::Xor, false, dst, dst);
        } else if let Ok(low) = u32::try_from(imm) {
            self.mov_imm32(dst, low);
        } else if let Ok(signed) = i32::try_from(imm as i64) {
            self.rr(true, &[0xc7], 0, dst, false);
            self.put32(signed);
        } else {
            self.mov_imm64(dst, imm);
        }
    }

    /// `dst = imm`, zero-extended; flags stay.
    pub(super) fn mov_imm32(&mut self, dst: Reg, imm: u32) {
        self.put(Head::new(&[0xb8 | dst.low()]).rex(false, 0, 0, dst.high(), false));
        self.put32(imm as i32);
    }

    /// `dst = imm` in ten bytes; flags stay.
    pub(super) fn mov_imm64(&mut self, dst: Reg, imm: u64) {
        self.put(Head::new(&[0xb8 | dst.low()]).rex(true, 0, 0, dst.high(), false));
        self.put32(imm as i32);
        self.put32((imm >> 32) as i32);
    }

    /// Moves the low part, extended as a load of it would be.
    pub(super) fn extend(&mut self, kind: Load, wide: bool, dst: Reg, src: Reg) {
        match kind {
            Load::U8 => self.rr(false, &[0x0f, 0xb6], dst as u8, src, src as u8 >= 4),
            Load::U16 => self.rr(false, &[0x0f, 0xb7], dst as u8, src, false),
            Load::U32 => self.mov(false, dst, src),
            Load::U64 => self.mov(true, dst, src),
            Load::I8 => self.rr(wide, &[0x0f, 0xbe], dst as u8, src, src as u8 >= 4),
            Load::I16 => self.rr(wide, &[0x0f, 0xbf], dst as u8, src, false),
            Load::I32 => self.rr(wide, &[0x63], dst as u8, src, false),
        }
    }

    pub(super) fn load(&mut self, kind: Load, dst: Reg, mem: Mem) {
        let dst = dst as u8;
        match kind {
            Load::U8 => self.rm(None, false, &[0x0f, 0xb6], dst, mem, false),
            Load::U16 => self.rm(None, false, &[0x0f, 0xb7], dst, mem, false),
            Load::U32 => self.rm(None, false, &[0x8b], dst, mem, false),
            Load::U64 => self.rm(None, true, &[0x8b], dst, mem, false),
            Load::I8 => self.rm(None, true, &[0x0f, 0xbe], dst, mem, false),
            Load::I16 => self.rm(None, true, &[0x0f, 0xbf], dst, mem, false),
            Load::I32 => self.rm(None, true, &[0x63], dst, mem, false),
        }
    }

    pub(super) fn store(&mut self, width: Width, mem: Mem, src: Reg) {
        let reg = src as u8;
        match width {
            Width::B => self.rm(None, false, &[0x88], reg, mem, reg >= 4),
            Width::H => self.rm(Some(0x66), false, &[0x89], reg, mem, false),
            Width::W => self.rm(None, false, &[0x89], reg, mem, false),
            Width::Dw => self.rm(None, true, &[0x89], reg, mem, false),
        }
    }

    /// Stores the low bytes of `imm`, which is sign-extended to 64 bits.
    pub(super) fn store_imm(&mut self, width: Width, mem: Mem, imm: i32) {
        match width {
            Width::B => {
                self.rm(None, false, &[0xc6], 0, mem, false);
                self.put8(imm as u8);
            }
            Width::H => {
                self.rm(Some(0x66), false, &[0xc7], 0, mem, false);
                self.put8(imm as u8);
                self.put8((imm >> 8) as u8);
            }
            Width::W => {
                self.rm(None, false, &[0xc7], 0, mem, false);
                self.put32(imm);
            }
            Width::Dw => {
                self.rm(None, true, &[0xc7], 0, mem, false);
                self.put32(imm);
            }
        }
    }

    pub(super) fn lea(&mut self, wide: bool, dst: Reg, mem: Mem) {
        self.rm(None, wide, &[0x8d], dst as u8, mem, false);
    }

    pub(super) fn imul(&mut self, wide: bool, dst: Reg, src: Reg) {
        self.rr(wide, &[0x0f, 0xaf], dst as u8, src, false);
    }

    pub(super) fn imul_imm(&mut self, wide: bool, dst: Reg, src: Reg, imm: i32) {
        if let Ok(short) = i8::try_from(imm) {
            self.rr(wide, &[0x6b], dst as u8, src, false);
            self.put8(short as u8);
        } else {
            self.rr(wide, &[0x69], dst as u8, src, false);
            self.put32(imm);
        }
    }

    pub(super) fn unary(&mut self, op: Unary, wide: bool, reg: Reg) {
        self.rr(wide, &[0xf7], op as u8, reg, false);
    }

    /// `high:low` = `rdx` * `src`, unsigned, 64 bits each; flags stay. BMI2.
    pub(super) fn mulx(&mut self, high: Reg, low: Reg, src: Reg) {
        let second = (1 - high.high()) << 7 | 1 << 6 | (1 - src.high()) << 5 | 2;
        let third = 1 << 7 | (!(low as u8) & 15) << 3 | 3;
        self.put(Head::new(&[0xc4, second, third, 0xf6, 0xc0 | high.low() << 3 | src.low()]));
    }

    /// Fills `rdx` with the sign of `rax` (`cqo`, `cdq`).
    pub(super) fn sign_rdx(&mut self, wide: bool) {
        self.put(Head::new(&[0x99]).rex(wide, 0, 0, 0, false));
    }

    pub(super) fn shift_imm(&mut self, op: Shift, wide: bool, dst: Reg, count: u8) {
        if count == 1 {
            self.rr(wide, &[0xd1], op as u8, dst, false);
        } else {
            self.rr(wide, &[0xc1], op as u8, dst, false);
            self.put8(count);
        }
    }

    /// By the low bits of `cl`.
    pub(super) fn shift_cl(&mut self, op: Shift, wide: bool, dst: Reg) {
        self.rr(wide, &[0xd3], op as u8, dst, false);
    }

    /// `dst = src shifted by count`, BMI2, which has no such rotation.
    pub(super) fn shift_reg(&mut self, op: Shift, wide: bool, dst: Reg, src: Reg, count: Reg) {
        let prefix = match op {
            Shift::Shl | Shift::Rol => 1,
            Shift::Sar => 2,
            Shift::Shr => 3,
        };
        let second = (1 - dst.high()) << 7 | 1 << 6 | (1 - src.high()) << 5 | 2;
        let third = u8::from(wide) << 7 | (!(count as u8) & 15) << 3 | prefix;
        let operands = 0xc0 | dst.low() << 3 | src.low();
        self.put(Head::new(&[0xc4, second, third, 0xf7, operands]));
    }

    pub(super) fn bswap(&mut self, wide: bool, reg: Reg) {
        self.put(Head::new(&[0x0f, 0xc8 | reg.low()]).rex(wide, 0, 0, reg.high(), false));
    }

    /// Swaps the two low bytes; the upper ones stay.
    pub(super) fn rol16_8(&mut self, reg: Reg) {
        let head = Head::new(&[0xc1, 0xc0 | reg.low(), 8]);
        self.put(head.rex(false, 0, 0, reg.high(), false).prefix(Some(0x66)));
    }

    /// `lock op [mem], src`.
    pub(super) fn lock_alu(&mut self, op: Alu, wide: bool, mem: Mem, src: Reg) {
        self.rm(Some(0xf0), wide, &[(op as u8) << 3 | 1], src as u8, mem, false);
    }

    /// `src` gets the old value of what it was added to.
    pub(super) fn lock_xadd(&mut self, wide: bool, mem: Mem, src: Reg) {
        self.rm(Some(0xf0), wide, &[0x0f, 0xc1], src as u8, mem, false);
    }

    /// Atomic in itself.
    pub(super) fn xchg(&mut self, wide: bool, mem: Mem, src: Reg) {
        self.rm(None, wide, &[0x87], src as u8, mem, false);
    }

    /// Compares with `rax`, which gets the old value where they differ.
    pub(super) fn lock_cmpxchg(&mut self, wide: bool, mem: Mem, src: Reg) {
        self.rm(Some(0xf0), wide, &[0x0f, 0xb1], src as u8, mem, false);
    }

    pub(super) fn push(&mut self, reg: Reg) {
        self.put(Head::new(&[0x50 | reg.low()]).rex(false, 0, 0, reg.high(), false));
    }

    pub(super) fn push_imm(&mut self, imm: i32) {
        self.put(Head::new(&[0x68]));
        self.put32(imm);
    }

    pub(super) fn pop(&mut self, reg: Reg) {
        self.put(Head::new(&[0x58 | reg.low()]).rex(false, 0, 0, reg.high(), false));
    }

    pub(super) fn push_mem(&mut self, mem: Mem) {
        self.rm(None, false, &[0xff], 6, mem, false);
    }

    pub(super) fn pop_mem(&mut self, mem: Mem) {
        self.rm(None, false, &[0x8f], 0, mem, false);
    }

    pub(super) fn jmp_mem(&mut self, mem: Mem) {
        self.rm(None, false, &[0xff], 4, mem, false);
    }

    /// The address of code: a distance that is filled in later.
    pub(super) fn lea_code(&mut self, dst: Reg) -> Patch {
        self.put(Head::new(&[0x8d, dst.low() << 3 | 5]).rex(true, dst.high(), 0, 0, false));
        self.distance()
    }

    pub(super) fn ret(&mut self) {
        self.put(Head::new(&[0xc3]));
    }

    pub(super) fn call_reg(&mut self, reg: Reg) {
        self.rr(false, &[0xff], 2, reg, false);
    }

    pub(super) fn jmp_reg(&mut self, reg: Reg) {
        self.rr(false, &[0xff], 4, reg, false);
    }

    pub(super) fn call(&mut self) -> Patch {
        self.put(Head::new(&[0xe8]));
        self.distance()
    }

    pub(super) fn jmp(&mut self) -> Patch {
        self.put(Head::new(&[0xe9]));
        self.distance()
    }

    pub(super) fn jcc(&mut self, cc: Cc) -> Patch {
        self.put(Head::new(&[0x0f, 0x80 | cc as u8]));
        self.distance()
    }

    fn distance(&mut self) -> Patch {
        let patch = Patch(self.at as u32);
        self.put32(0);
        patch
    }

    /// A jump of two bytes; the distance is filled in by [`Buffer::land_short`].
    pub(super) fn jmp_short(&mut self) -> Patch {
        self.put(Head::new(&[0xeb, 0]));
        Patch(self.at as u32 - 1)
    }

    /// As [`Buffer::jmp_short`], on a condition.
    pub(super) fn jcc_short(&mut self, cc: Cc) -> Patch {
        self.put(Head::new(&[0x70 | cc as u8, 0]));
        Patch(self.at as u32 - 1)
    }

    /// Lets a jump or call lead to a position.
    pub(super) fn patch(&mut self, Patch(at): Patch, target: usize) {
        let at = at as usize;
        let distance = (target as i64 - (at as i64 + 4)) as i32;
        self.bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
    }

    /// Lets a short jump lead to a position; whether it is near enough.
    #[must_use]
    pub(super) fn patch_short(&mut self, Patch(at): Patch, target: usize) -> bool {
        let distance = i8::try_from(target as i64 - (i64::from(at) + 1));
        if let Ok(distance) = distance {
            self.bytes[at as usize] = distance as u8;
        }
        distance.is_ok()
    }

    /// Lets a short jump over a few instructions lead to the next one.
    pub(super) fn land_short(&mut self, patch: Patch) {
        let near = self.patch_short(patch, self.at);
        debug_assert!(near, "a short jump over a few instructions");
    }

    /// Fills up with `nop`s to a multiple of `to`, a power of two of at most 16.
    pub(super) fn align(&mut self, to: usize) {
        const NOPS: [&[u8]; 9] = [
            &[],
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
            &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        ];
        let mut missing = self.at.next_multiple_of(to) - self.at;
        while missing > 0 {
            let nop = NOPS[missing.min(8)];
            self.put(Head::new(nop));
            missing -= nop.len();
        }
    }
}

#[cfg(test)]
mod tests;
