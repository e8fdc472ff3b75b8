// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every form that the encoder has, in every register and with displacements and constants of every length, read back
//! by a disassembler: same mnemonic, same operands, same length.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

use super::*;

#[rustfmt::skip]
const REGS: [Reg; 16] = [
    Reg::Rax, Reg::Rcx, Reg::Rdx, Reg::Rbx, Reg::Rsp, Reg::Rbp, Reg::Rsi, Reg::Rdi,
    Reg::R8, Reg::R9, Reg::R10, Reg::R11, Reg::R12, Reg::R13, Reg::R14, Reg::R15,
];
const NAMES: [[&str; 16]; 4] = [
    [
        "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b", "r13b",
        "r14b", "r15b",
    ],
    [
        "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w",
        "r15w",
    ],
    [
        "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d",
        "r14d", "r15d",
    ],
    [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ],
];

/// The name of a register of 1, 2, 4 or 8 bytes.
fn name(reg: Reg, bytes: usize) -> &'static str {
    NAMES[bytes.trailing_zeros() as usize][reg as usize]
}

fn general(reg: Reg, wide: bool) -> &'static str {
    name(reg, if wide { 8 } else { 4 })
}

/// What an instruction reads as: numbers in decimal, and the only one in its bytes.
fn read(emit: impl FnOnce(&mut Buffer)) -> String {
    let mut buf = Buffer::with_capacity(0);
    emit(&mut buf);
    let bytes = buf.finish();
    let mut decoder = Decoder::with_ip(64, &bytes, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    decoder.decode_out(&mut instruction);
    assert!(!instruction.is_invalid(), "{bytes:x?}");
    assert_eq!(instruction.len(), bytes.len(), "{bytes:x?}");
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_number_base(iced_x86::NumberBase::Decimal);
    options.set_decimal_suffix("");
    options.set_signed_immediate_operands(true);
    options.set_memory_size_options(iced_x86::MemorySizeOptions::Never);
    options.set_branch_leading_zeros(false);
    let mut text = String::new();
    formatter.format(&instruction, &mut text);
    text
}

fn written(mem: Mem) -> String {
    let mut text = format!("[{}", name(mem.base, 8));
    if let Some(index) = mem.index {
        text += &format!("+{}", name(index, 8));
        if mem.scale > 0 {
            text += &format!("*{}", 1 << mem.scale);
        }
    }
    if mem.disp > 0 {
        text += &format!("+{}", mem.disp);
    } else if mem.disp < 0 {
        text += &format!("-{}", -i64::from(mem.disp));
    }
    text + "]"
}

fn places() -> Vec<Mem> {
    let mut places = Vec::new();
    for base in REGS {
        for disp in [0, 1, 8, 127, 128, -1, -128, -129, 32767, -32768] {
            places.push(Mem::new(base, disp));
            for index in [Reg::Rax, Reg::Rbp, Reg::Rdi, Reg::R10, Reg::R12, Reg::R13, Reg::R15] {
                places.push(Mem::indexed(base, index, disp));
                places.push(Mem::element(base, index, 2, disp));
            }
        }
    }
    places
}

const CONSTANTS: [i32; 9] = [0, 1, -1, 127, 128, -128, -129, i32::MAX, i32::MIN];
const ALUS: [(Alu, &str); 6] = [
    (Alu::Add, "add"),
    (Alu::Or, "or"),
    (Alu::And, "and"),
    (Alu::Sub, "sub"),
    (Alu::Xor, "xor"),
    (Alu::Cmp, "cmp"),
];

#[test]
fn registers() {
    for wide in [false, true] {
        for dst in REGS {
            let d = general(dst, wide);
            for src in REGS {
                let s = general(src, wide);
                for (op, name) in ALUS {
                    assert_eq!(read(|b| b.alu(op, wide, dst, src)), format!("{name} {d},{s}"));
                }
                assert_eq!(read(|b| b.mov(wide, dst, src)), format!("mov {d},{s}"));
                assert_eq!(read(|b| b.test(wide, dst, src)), format!("test {d},{s}"));
                assert_eq!(read(|b| b.imul(wide, dst, src)), format!("imul {d},{s}"));
                for count in REGS {
                    let c = general(count, wide);
                    for (op, name) in [(Shift::Shl, "shlx"), (Shift::Shr, "shrx"), (Shift::Sar, "sarx")] {
                        let text = read(|b| b.shift_reg(op, wide, dst, src, count));
                        assert_eq!(text, format!("{name} {d},{s},{c}"));
                    }
                }
                let (d8, s8) = (name(dst, 8), name(src, 8));
                assert_eq!(read(|b| b.mulx(dst, Reg::R11, src)), format!("mulx {d8},r11,{s8}"));
                let low = |bytes| name(src, bytes);
                let d4 = name(dst, 4);
                assert_eq!(read(|b| b.extend(Load::U8, wide, dst, src)), format!("movzx {d4},{}", low(1)));
                assert_eq!(read(|b| b.extend(Load::U16, wide, dst, src)), format!("movzx {d4},{}", low(2)));
                assert_eq!(read(|b| b.extend(Load::I8, wide, dst, src)), format!("movsx {d},{}", low(1)));
                assert_eq!(read(|b| b.extend(Load::I16, wide, dst, src)), format!("movsx {d},{}", low(2)));
                assert_eq!(read(|b| b.extend(Load::I32, wide, dst, src)), format!("movsxd {d},{}", low(4)));
            }
            for (op, name) in [(Unary::Neg, "neg"), (Unary::Div, "div"), (Unary::Idiv, "idiv")] {
                assert_eq!(read(|b| b.unary(op, wide, dst)), format!("{name} {d}"));
            }
            assert_eq!(read(|b| b.bswap(wide, dst)), format!("bswap {d}"));
            for (op, name) in [(Shift::Shl, "shl"), (Shift::Shr, "shr"), (Shift::Sar, "sar")] {
                assert_eq!(read(|b| b.shift_cl(op, wide, dst)), format!("{name} {d},cl"));
                for count in [1, 2, 31] {
                    assert_eq!(read(|b| b.shift_imm(op, wide, dst, count)), format!("{name} {d},{count}"));
                }
            }
            assert_eq!(read(|b| b.shift_imm(Shift::Rol, wide, dst, 13)), format!("rol {d},13"));
        }
    }
    for reg in REGS {
        let r = name(reg, 8);
        assert_eq!(read(|b| b.push(reg)), format!("push {r}"));
        assert_eq!(read(|b| b.pop(reg)), format!("pop {r}"));
        assert_eq!(read(|b| b.call_reg(reg)), format!("call {r}"));
        assert_eq!(read(|b| b.jmp_reg(reg)), format!("jmp {r}"));
        assert_eq!(read(|b| b.rol16_8(reg)), format!("rol {},8", name(reg, 2)));
    }
    assert_eq!(read(|b| b.sign_rdx(true)), "cqo");
    assert_eq!(read(|b| b.sign_rdx(false)), "cdq");
    assert_eq!(read(|b| b.ret()), "ret");
}

#[test]
fn constants() {
    for dst in REGS {
        for imm in CONSTANTS {
            for wide in [false, true] {
                let d = general(dst, wide);
                for (op, name) in ALUS {
                    assert_eq!(read(|b| b.alu_imm(op, wide, dst, imm)), format!("{name} {d},{imm}"));
                }
                let src = if dst == Reg::R9 { Reg::Rsi } else { Reg::R9 };
                let s = general(src, wide);
                assert_eq!(read(|b| b.imul_imm(wide, dst, src, imm)), format!("imul {d},{s},{imm}"));
                assert_eq!(read(|b| b.test_imm(wide, dst, imm)), format!("test {d},{imm}"));
            }
        }
        let (d, d4) = (name(dst, 8), name(dst, 4));
        assert_eq!(read(|b| b.mov_imm(dst, 0)), format!("xor {d4},{d4}"));
        assert_eq!(read(|b| b.mov_imm(dst, 7)), format!("mov {d4},7"));
        assert_eq!(read(|b| b.mov_imm(dst, u64::MAX)), format!("mov {d},-1"));
        assert_eq!(read(|b| b.mov_imm(dst, 1 << 40)), format!("mov {d},{}", 1_u64 << 40));
        assert_eq!(read(|b| b.mov_imm64(dst, 5)), format!("mov {d},5"));
    }
    assert_eq!(read(|b| b.push_imm(1 << 23)), format!("push {}", 1 << 23));
}

#[test]
fn memory() {
    for mem in places() {
        let m = written(mem);
        for reg in REGS {
            let (r8, r4) = (name(reg, 8), name(reg, 4));
            for (kind, text) in [
                (Load::U8, format!("movzx {r4},{m}")),
                (Load::U16, format!("movzx {r4},{m}")),
                (Load::U32, format!("mov {r4},{m}")),
                (Load::U64, format!("mov {r8},{m}")),
                (Load::I8, format!("movsx {r8},{m}")),
                (Load::I16, format!("movsx {r8},{m}")),
                (Load::I32, format!("movsxd {r8},{m}")),
            ] {
                assert_eq!(read(|b| b.load(kind, reg, mem)), text);
            }
            for (width, bytes) in [(Width::B, 1), (Width::H, 2), (Width::W, 4), (Width::Dw, 8)] {
                assert_eq!(read(|b| b.store(width, mem, reg)), format!("mov {m},{}", name(reg, bytes)));
            }
            for wide in [false, true] {
                let r = general(reg, wide);
                assert_eq!(read(|b| b.lea(wide, reg, mem)), format!("lea {r},{m}"));
                assert_eq!(read(|b| b.lock_alu(Alu::Or, wide, mem, reg)), format!("lock or {m},{r}"));
                assert_eq!(read(|b| b.lock_xadd(wide, mem, reg)), format!("lock xadd {m},{r}"));
                assert_eq!(read(|b| b.lock_cmpxchg(wide, mem, reg)), format!("lock cmpxchg {m},{r}"));
                assert_eq!(read(|b| b.xchg(wide, mem, reg)), format!("xchg {m},{r}"));
            }
        }
        for imm in [0, 1, -1, 100] {
            for width in [Width::B, Width::H, Width::W, Width::Dw] {
                assert_eq!(read(|b| b.store_imm(width, mem, imm)), format!("mov {m},{imm}"));
            }
            assert_eq!(read(|b| b.alu_mem_imm(Alu::Sub, false, mem, imm)), format!("sub {m},{imm}"));
        }
        assert_eq!(read(|b| b.store_imm(Width::W, mem, i32::MIN)), format!("mov {m},{}", i32::MIN));
        assert_eq!(read(|b| b.push_mem(mem)), format!("push {m}"));
        assert_eq!(read(|b| b.pop_mem(mem)), format!("pop {m}"));
        assert_eq!(read(|b| b.jmp_mem(mem)), format!("jmp {m}"));
    }
}

#[test]
fn distances() {
    type Jump = fn(&mut Buffer) -> Patch;
    let jumps: [(Jump, &str); 3] = [(Buffer::jmp, "jmp"), (Buffer::call, "call"), (|b| b.jcc(Cc::Ne), "jne")];
    for (jump, name) in jumps {
        let text = read(|b| {
            let patch = jump(b);
            b.patch(patch, 1000);
        });
        assert!(text == format!("{name} 1000") || text == format!("{name} near 1000"), "{text}");
    }
    let conditions = [
        (Cc::B, "jb"),
        (Cc::Ae, "jae"),
        (Cc::E, "je"),
        (Cc::Ne, "jne"),
        (Cc::Be, "jbe"),
        (Cc::A, "ja"),
        (Cc::L, "jl"),
        (Cc::Ge, "jge"),
        (Cc::Le, "jle"),
        (Cc::G, "jg"),
    ];
    for (cc, name) in conditions {
        let text = read(|b| {
            let patch = b.jcc_short(cc);
            assert!(b.patch_short(patch, 129) && !b.patch_short(patch, 130));
        });
        assert_eq!(text, format!("{name} short 129"));
        assert_eq!(cc.not().not(), cc);
    }
    let text = read(|b| {
        let patch = b.lea_code(Reg::R10);
        b.patch(patch, 1000);
    });
    assert_eq!(text, "lea r10,[1000]");
}

#[test]
fn padding_runs_as_nothing() {
    for at in 0..16 {
        let mut buf = Buffer::with_capacity(0);
        for _ in 0..at {
            buf.ret();
        }
        buf.align(16);
        assert_eq!(buf.position() % 16, 0);
        let bytes = buf.finish();
        let mut decoder = Decoder::with_ip(64, &bytes[at..], 0, DecoderOptions::NONE);
        assert!(decoder.iter().all(|instruction| instruction.mnemonic() == iced_x86::Mnemonic::Nop));
    }
}
