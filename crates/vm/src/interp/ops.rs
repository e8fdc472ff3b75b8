// SPDX-License-Identifier: MIT OR Apache-2.0
//! The function of each operation, and the table of them by [`Code`].
//!
//! `CHECKED` adds the exact bounds of objects to each access. `CHAIN` says whether a function ends in a call of the next
//! one, or goes back to the driver ([`super::run`]). A function that chains keeps nothing on the stack: what needs room
//! there is done by functions that return.

use skep_isa::{AluOp, Cond, Size, Width, eval};

use super::Exec;
use super::code::{Code, Insn, flat_codes};
use super::run::{Cpu, Flow, Op, atomic, outside_frame};
use crate::memory::{AtomicFault, GuestMemory, Scalar};
use crate::trap::{BadAccess, TrapKind};

/// The address of an access: the low half of a register, and a displacement.
#[inline(always)]
pub(super) fn place(register: u64, off: i32) -> u64 {
    u64::from(register as u32).wrapping_add_signed(i64::from(off))
}

/// The trap of an access that was refused, which shows the whole address.
#[cold]
fn bad(memory: &GuestMemory, register: u64, insn: &Insn, size: Size, write: bool) -> BadAccess {
    memory.explain(register.wrapping_add_signed(i64::from(insn.off)), size, write)
}

/// The trap of an atomic access that was not done.
#[cold]
pub(super) fn atomic_trap(
    fault: AtomicFault,
    memory: &GuestMemory,
    register: u64,
    insn: &Insn,
    size: Size,
    write: bool,
) -> TrapKind {
    match fault {
        AtomicFault::Access(_) => bad(memory, register, insn, size, write).into(),
        AtomicFault::Misaligned => fault.trap(register.wrapping_add_signed(i64::from(insn.off))),
    }
}

/// Ends the run at an access that was refused, out of the way of those that are not.
#[cold]
#[inline(never)]
fn refused(
    cpu: &mut Cpu<'_>,
    insn: &Insn,
    rest: &[Insn],
    memory: &GuestMemory,
    size: Size,
    write: bool,
) -> Flow {
    let base = if write { insn.dst } else { insn.src };
    let register = cpu.regs[base as usize];
    cpu.trap(rest, bad(memory, register, insn, size, write).into())
}

#[inline(always)]
fn load<T: Scalar, const CHECKED: bool>(memory: &GuestMemory, addr: u64) -> Option<T> {
    if CHECKED && !memory.objects().allows(addr, T::SIZE, false) {
        return None;
    }
    memory.load(addr)
}

#[inline(always)]
fn store<T: Scalar, const CHECKED: bool>(memory: &GuestMemory, addr: u64, value: T) -> Option<()> {
    if CHECKED && !memory.objects().allows(addr, T::SIZE, true) {
        return None;
    }
    memory.store(addr, value)
}

/// The functions of one way to run.
pub(super) struct Ops<const CHECKED: bool, const CHAIN: bool>;

/// Codes that there are.
const CODES: usize = Code::End as usize + 1;

/// Defines the function of a code.
macro_rules! op {
    ($name:ident ($exec:ident $cpu:ident $insn:ident $rest:ident $memory:ident) $body:block) => {
        #[allow(unused_variables)] // not every instruction needs all
        fn $name<'m>(
            $exec: &mut Exec<'m>,
            $cpu: &mut Cpu<'m>,
            $insn: &'m Insn,
            $rest: &'m [Insn],
            $memory: &'m GuestMemory,
        ) -> Flow $body
    };
}

macro_rules! ops {
    (
        ($exec:ident $cpu:ident $insn:ident $rest:ident $memory:ident)
        alu { $($alu:ident $ak64:ident $ax64:ident $ak32:ident $ax32:ident;)* }
        jump { $($jump:ident $jk64:ident $jx64:ident $jk32:ident $jx32:ident;)* }
        size { $($size:ident $int:ident $ldx:ident $ldsx:ident $st:ident $stx:ident;)* }
    ) => {
        #[allow(non_snake_case)] // as the codes
        impl<const CHECKED: bool, const CHAIN: bool> Ops<CHECKED, CHAIN> {
            $(
                op!($ak64 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = eval::alu64(AluOp::$alu, $cpu.regs[$insn.dst as usize], $insn.imm); Self::next($exec, $cpu, $rest, $memory) });
                op!($ax64 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = eval::alu64(AluOp::$alu, $cpu.regs[$insn.dst as usize], $cpu.regs[$insn.src as usize]); Self::next($exec, $cpu, $rest, $memory) });
                op!($ak32 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = eval::alu(AluOp::$alu, Width::W32, $cpu.regs[$insn.dst as usize], $insn.imm); Self::next($exec, $cpu, $rest, $memory) });
                op!($ax32 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = eval::alu(AluOp::$alu, Width::W32, $cpu.regs[$insn.dst as usize], $cpu.regs[$insn.src as usize]); Self::next($exec, $cpu, $rest, $memory) });
            )*
            $(
                op!($jk64 ($exec $cpu $insn $rest $memory) { if eval::cond(Cond::$jump, Width::W64, $cpu.regs[$insn.dst as usize], $insn.imm) { Self::jump($exec, $cpu, $insn, $rest, $memory) } else { Self::next($exec, $cpu, $rest, $memory) } });
                op!($jx64 ($exec $cpu $insn $rest $memory) { if eval::cond(Cond::$jump, Width::W64, $cpu.regs[$insn.dst as usize], $cpu.regs[$insn.src as usize]) { Self::jump($exec, $cpu, $insn, $rest, $memory) } else { Self::next($exec, $cpu, $rest, $memory) } });
                op!($jk32 ($exec $cpu $insn $rest $memory) { if eval::cond(Cond::$jump, Width::W32, $cpu.regs[$insn.dst as usize], $insn.imm) { Self::jump($exec, $cpu, $insn, $rest, $memory) } else { Self::next($exec, $cpu, $rest, $memory) } });
                op!($jx32 ($exec $cpu $insn $rest $memory) { if eval::cond(Cond::$jump, Width::W32, $cpu.regs[$insn.dst as usize], $cpu.regs[$insn.src as usize]) { Self::jump($exec, $cpu, $insn, $rest, $memory) } else { Self::next($exec, $cpu, $rest, $memory) } });
            )*
            $(
                op!($ldx ($exec $cpu $insn $rest $memory) {
                    match load::<$int, CHECKED>($memory, place($cpu.regs[$insn.src as usize], $insn.off)) {
                        Some(value) => { $cpu.regs[$insn.dst as usize] = value.widen(); Self::next($exec, $cpu, $rest, $memory) }
                        None => refused($cpu, $insn, $rest, $memory, Size::$size, false),
                    }
                });
                op!($ldsx ($exec $cpu $insn $rest $memory) {
                    match load::<$int, CHECKED>($memory, place($cpu.regs[$insn.src as usize], $insn.off)) {
                        Some(value) => { $cpu.regs[$insn.dst as usize] = eval::sign_extend(Size::$size, value.widen()); Self::next($exec, $cpu, $rest, $memory) }
                        None => refused($cpu, $insn, $rest, $memory, Size::$size, false),
                    }
                });
                op!($st ($exec $cpu $insn $rest $memory) {
                    match store::<$int, CHECKED>($memory, place($cpu.regs[$insn.dst as usize], $insn.off), $int::narrow($insn.imm)) {
                        Some(()) => Self::next($exec, $cpu, $rest, $memory),
                        None => refused($cpu, $insn, $rest, $memory, Size::$size, true),
                    }
                });
                op!($stx ($exec $cpu $insn $rest $memory) {
                    match store::<$int, CHECKED>($memory, place($cpu.regs[$insn.dst as usize], $insn.off), $int::narrow($cpu.regs[$insn.src as usize])) {
                        Some(()) => Self::next($exec, $cpu, $rest, $memory),
                        None => refused($cpu, $insn, $rest, $memory, Size::$size, true),
                    }
                });
            )*
            op!(Neg64 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = eval::neg(Width::W64, $cpu.regs[$insn.dst as usize]); Self::next($exec, $cpu, $rest, $memory) });
            op!(Neg32 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = eval::neg(Width::W32, $cpu.regs[$insn.dst as usize]); Self::next($exec, $cpu, $rest, $memory) });
            op!(Movsx64 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = (($cpu.regs[$insn.src as usize] << ($insn.imm & 63)) as i64 >> ($insn.imm & 63)) as u64; Self::next($exec, $cpu, $rest, $memory) });
            op!(Movsx32 ($exec $cpu $insn $rest $memory) {
                let extended = ($cpu.regs[$insn.src as usize] << ($insn.imm & 63)) as i64 >> ($insn.imm & 63);
                $cpu.regs[$insn.dst as usize] = u64::from(extended as u32);
                Self::next($exec, $cpu, $rest, $memory)
            });
            op!(Zext16 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = u64::from($cpu.regs[$insn.dst as usize] as u16); Self::next($exec, $cpu, $rest, $memory) });
            op!(Zext32 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = u64::from($cpu.regs[$insn.dst as usize] as u32); Self::next($exec, $cpu, $rest, $memory) });
            op!(Zext64 ($exec $cpu $insn $rest $memory) { Self::next($exec, $cpu, $rest, $memory) });
            op!(Swap16 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = u64::from(($cpu.regs[$insn.dst as usize] as u16).swap_bytes()); Self::next($exec, $cpu, $rest, $memory) });
            op!(Swap32 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = u64::from(($cpu.regs[$insn.dst as usize] as u32).swap_bytes()); Self::next($exec, $cpu, $rest, $memory) });
            op!(Swap64 ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = $cpu.regs[$insn.dst as usize].swap_bytes(); Self::next($exec, $cpu, $rest, $memory) });
            op!(LoadImm ($exec $cpu $insn $rest $memory) { $cpu.regs[$insn.dst as usize] = $insn.imm; Self::next($exec, $cpu, $rest, $memory) });
            op!(Ja ($exec $cpu $insn $rest $memory) { Self::jump($exec, $cpu, $insn, $rest, $memory) });
            op!(MayGoto ($exec $cpu $insn $rest $memory) {
                if $cpu.may_goto == 0 {
                    Self::jump($exec, $cpu, $insn, $rest, $memory)
                } else {
                    $cpu.may_goto -= 1;
                    Self::next($exec, $cpu, $rest, $memory)
                }
            });
            op!(Atomic ($exec $cpu $insn $rest $memory) {
                if atomic($memory, $insn, $rest, $cpu) {
                    Self::next($exec, $cpu, $rest, $memory)
                } else {
                    Flow::Trap
                }
            });
            op!(LoadAcquire ($exec $cpu $insn $rest $memory) {
                let size = Size::ALL[$insn.imm as usize & 3];
                match $memory.load_acquire(size, place($cpu.regs[$insn.src as usize], $insn.off)) {
                    Ok(value) => { $cpu.regs[$insn.dst as usize] = value; Self::next($exec, $cpu, $rest, $memory) }
                    Err(fault) => {
                        let base = $cpu.regs[$insn.src as usize];
                        $cpu.trap($rest, atomic_trap(fault, $memory, base, $insn, size, false).into())
                    },
                }
            });
            op!(StoreRelease ($exec $cpu $insn $rest $memory) {
                let size = Size::ALL[$insn.imm as usize & 3];
                match $memory.store_release(size, place($cpu.regs[$insn.dst as usize], $insn.off), $cpu.regs[$insn.src as usize]) {
                    Ok(()) => Self::next($exec, $cpu, $rest, $memory),
                    Err(fault) => {
                        let base = $cpu.regs[$insn.dst as usize];
                        $cpu.trap($rest, atomic_trap(fault, $memory, base, $insn, size, true).into())
                    },
                }
            });
            op!(Call ($exec $cpu $insn $rest $memory) { if $exec.call_helper($cpu, $insn, $rest) { Self::next($exec, $cpu, $rest, $memory) } else { Flow::Trap } });
            op!(LdAbs ($exec $cpu $insn $rest $memory) {
                match $exec.load_from_packet($cpu, $insn, $rest) {
                    Flow::Next => Self::next($exec, $cpu, $rest, $memory),
                    // The kernel turns a load outside of the packet into `return 0`.
                    Flow::Return => Self::leave($exec, $cpu, $rest, $memory),
                    flow => flow,
                }
            });
            op!(CallLocal ($exec $cpu $insn $rest $memory) {
                if !$exec.call_local($cpu, $rest) {
                    return Flow::Trap;
                }
                let target = $insn.off as usize;
                $cpu.bias += target as i64 - $cpu.after($rest) as i64;
                Self::enter($exec, $cpu, target, $memory)
            });
            op!(Exit ($exec $cpu $insn $rest $memory) { Self::leave($exec, $cpu, $rest, $memory) });
            op!(TailCall ($exec $cpu $insn $rest $memory) {
                match $exec.tail_call($cpu, $rest) {
                    Flow::Refuel => Self::enter($exec, $cpu, 0, $memory),
                    Flow::Next => Self::next($exec, $cpu, $rest, $memory),
                    flow => flow,
                }
            });
            op!(NoHelper ($exec $cpu $insn $rest $memory) { $cpu.trap($rest, TrapKind::from(TrapKind::no_helper($insn.imm as u32)).into()) });
            op!(Kfunc ($exec $cpu $insn $rest $memory) { $cpu.trap($rest, TrapKind::from(TrapKind::UnsupportedKfunc($insn.imm as i32)).into()) });
            op!(OutsideFrame ($exec $cpu $insn $rest $memory) { $cpu.trap($rest, TrapKind::from(outside_frame(*$insn, $cpu.regs[10])).into()) });
            op!(End ($exec $cpu $insn $rest $memory) {
                // What fell off is the instruction before.
                let _ = $cpu.trap($rest, TrapKind::from(TrapKind::FellOff).into());
                $cpu.pc = $cpu.pc.saturating_sub(1);
                Flow::Trap
            });

            /// The functions by code.
            pub(super) const TABLE: [Op; CODES] = {
                let mut table: [Op; CODES] = [Self::End; CODES];
                $(
                    table[Code::$ak64 as usize] = Self::$ak64;
                    table[Code::$ax64 as usize] = Self::$ax64;
                    table[Code::$ak32 as usize] = Self::$ak32;
                    table[Code::$ax32 as usize] = Self::$ax32;
                )*
                $(
                    table[Code::$jk64 as usize] = Self::$jk64;
                    table[Code::$jx64 as usize] = Self::$jx64;
                    table[Code::$jk32 as usize] = Self::$jk32;
                    table[Code::$jx32 as usize] = Self::$jx32;
                )*
                $(
                    table[Code::$ldx as usize] = Self::$ldx;
                    table[Code::$ldsx as usize] = Self::$ldsx;
                    table[Code::$st as usize] = Self::$st;
                    table[Code::$stx as usize] = Self::$stx;
                )*
                table[Code::Neg64 as usize] = Self::Neg64;
                table[Code::Neg32 as usize] = Self::Neg32;
                table[Code::Movsx64 as usize] = Self::Movsx64;
                table[Code::Movsx32 as usize] = Self::Movsx32;
                table[Code::Zext16 as usize] = Self::Zext16;
                table[Code::Zext32 as usize] = Self::Zext32;
                table[Code::Zext64 as usize] = Self::Zext64;
                table[Code::Swap16 as usize] = Self::Swap16;
                table[Code::Swap32 as usize] = Self::Swap32;
                table[Code::Swap64 as usize] = Self::Swap64;
                table[Code::LoadImm as usize] = Self::LoadImm;
                table[Code::LdAbs as usize] = Self::LdAbs;
                table[Code::LdInd as usize] = Self::LdAbs;
                table[Code::Atomic64 as usize] = Self::Atomic;
                table[Code::Atomic32 as usize] = Self::Atomic;
                table[Code::LoadAcquire as usize] = Self::LoadAcquire;
                table[Code::StoreRelease as usize] = Self::StoreRelease;
                table[Code::Ja as usize] = Self::Ja;
                table[Code::MayGoto as usize] = Self::MayGoto;
                table[Code::Call as usize] = Self::Call;
                table[Code::TailCall as usize] = Self::TailCall;
                table[Code::NoHelper as usize] = Self::NoHelper;
                table[Code::CallLocal as usize] = Self::CallLocal;
                table[Code::Kfunc as usize] = Self::Kfunc;
                table[Code::Exit as usize] = Self::Exit;
                table[Code::OutsideFrame as usize] = Self::OutsideFrame;
                table
            };
        }
    };
}
flat_codes!(ops!(exec cpu insn rest memory));

impl<const CHECKED: bool, const CHAIN: bool> Ops<CHECKED, CHAIN> {
    /// Goes on with the first of some instructions.
    #[inline(always)]
    fn next<'m>(exec: &mut Exec<'m>, cpu: &mut Cpu<'m>, rest: &'m [Insn], memory: &'m GuestMemory) -> Flow {
        if CHAIN && let Some((insn, rest)) = rest.split_first() {
            Self::TABLE[insn.code as usize](exec, cpu, insn, rest, memory)
        } else {
            cpu.pc = cpu.after(rest);
            Flow::Next
        }
    }

    /// Goes on at an index.
    #[inline(always)]
    fn go<'m>(exec: &mut Exec<'m>, cpu: &mut Cpu<'m>, target: usize, memory: &'m GuestMemory) -> Flow {
        if CHAIN && let Some(rest) = cpu.insns.get(target..) {
            Self::next(exec, cpu, rest, memory)
        } else {
            cpu.pc = target;
            Flow::Next
        }
    }

    /// Jumps where an instruction leads; looks at the budget on the way back.
    #[inline(always)]
    fn jump<'m>(
        exec: &mut Exec<'m>,
        cpu: &mut Cpu<'m>,
        insn: &'m Insn,
        rest: &'m [Insn],
        memory: &'m GuestMemory,
    ) -> Flow {
        let (target, next) = (insn.off as usize, cpu.after(rest));
        cpu.bias += target as i64 - next as i64;
        if target < next {
            Self::enter(exec, cpu, target, memory)
        } else {
            Self::go(exec, cpu, target, memory)
        }
    }

    /// Goes on at an index where there is fuel, which is looked at.
    #[inline(always)]
    fn enter<'m>(exec: &mut Exec<'m>, cpu: &mut Cpu<'m>, target: usize, memory: &'m GuestMemory) -> Flow {
        if cpu.bias <= target as i64 {
            cpu.pc = target;
            return Flow::Refuel;
        }
        Self::go(exec, cpu, target, memory)
    }

    /// Returns from a function.
    #[inline(always)]
    fn leave<'m>(exec: &mut Exec<'m>, cpu: &mut Cpu<'m>, rest: &'m [Insn], memory: &'m GuestMemory) -> Flow {
        match exec.exit(cpu, rest) {
            Flow::Next => Self::go(exec, cpu, cpu.pc, memory),
            flow => flow,
        }
    }
}
