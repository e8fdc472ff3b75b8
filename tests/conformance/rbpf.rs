// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interpreter of the rbpf crate, as a peer: where it cannot take a case, it is skipped with the reason.

use std::panic::{AssertUnwindSafe, catch_unwind};

use skep_isa::{AluOp, CallKind, Imm64, Op};
use skep_program::{Object, Program};

use crate::case::{Case, Run};
use crate::engine::{Answer, Engine};

pub struct Rbpf;

impl Engine for Rbpf {
    fn name(&self) -> &'static str {
        "rbpf"
    }

    fn run(&self, _case: &Case, run: &Run, object: &Object) -> Answer {
        let program = &object.programs[0];
        if run.packet.is_some() {
            return Answer::Skip(
                "packets are flat memory there, and packet loads do not swap bytes".to_owned(),
            );
        }
        if let Some(reason) = program_reason(program) {
            return Answer::Skip(reason.to_owned());
        }
        let bytes = program.bytes();
        let mut mem = run.mem.clone().unwrap_or_default();
        let result =
            catch_unwind(AssertUnwindSafe(|| rbpf::EbpfVmRaw::new(Some(&bytes))?.execute_program(&mut mem)));
        match result {
            Ok(Ok(r0)) => Answer::R0(r0),
            Ok(Err(e)) => {
                let text = e.to_string();
                match REFUSED.iter().find(|(message, _)| text.contains(message)) {
                    Some((_, reason)) => Answer::Skip((*reason).to_owned()),
                    None => Answer::Error(text),
                }
            }
            Err(payload) => {
                let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
                Answer::Skip(format!("it panics: {text}"))
            }
        }
    }

    fn departs(&self, case: &Case) -> Option<&'static str> {
        DEPARTURES.iter().find(|(name, _)| *name == case.name).map(|(_, reason)| *reason)
    }
}

/// Keeps panics inside of rbpf, which are caught and counted, from printing anything.
pub fn silence_panics() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|place| place.file().contains("/rbpf-")) {
            others(info);
        }
    }));
}

/// Messages of its verifier about what it does not take at all.
const REFUSED: &[(&str, &str)] = &[
    ("unknown eBPF opcode", "unknown opcode"),
    ("XADD instructions are not supported", "atomic operations, load-acquire, store-release"),
    ("program does not end with", "a program must end with exit"),
];

/// Cases with runs that end differently in rbpf 0.4.
const DEPARTURES: &[(&str, &str)] = &[
    ("remainder, 32 bits, register", UPPER_HALF),
    ("remainder, 32 bits, immediate zero", UPPER_HALF),
    ("jump if equal, 64 bits, immediate", ZERO_EXTENDED),
    ("jump if not equal, 64 bits, immediate", ZERO_EXTENDED),
    ("jump if greater, 64 bits, immediate", ZERO_EXTENDED),
    ("jump if greater or equal, 64 bits, immediate", ZERO_EXTENDED),
    ("jump if less, 64 bits, immediate", ZERO_EXTENDED),
    ("jump if less or equal, 64 bits, immediate", ZERO_EXTENDED),
    ("the length of the memory comes in r2", "r2 is not the length of the memory"),
    ("a load behind the end of memory", "r2 is not the length of the memory"),
    ("a ninth frame is an error", "more than 8 frames are allowed"),
];

const UPPER_HALF: &str = "a 32-bit remainder by zero keeps the upper half";
const ZERO_EXTENDED: &str = "immediates of unsigned 64-bit comparisons are not sign-extended";

/// What rbpf has no notion of, though some of it would run: the offset that makes a signed division of a
/// division is not looked at.
fn program_reason(program: &Program) -> Option<&'static str> {
    (0..program.insns.len()).filter_map(|at| skep_isa::decode(&program.insns, at).ok()).find_map(|d| match d
        .op()
    {
        Op::LdImm64(kind) if kind != Imm64::Const => Some("maps and function addresses"),
        Op::Call(CallKind::Helper) => Some("helpers of the kernel"),
        Op::Call(CallKind::Kfunc) => Some("kernel functions"),
        Op::Alu(AluOp::Sdiv | AluOp::Smod, ..) | Op::Movsx(..) | Op::AddrSpaceCast => {
            Some("variants in the offset: signed division, sign-extending moves, casts")
        }
        _ => None,
    })
}
