// SPDX-License-Identifier: MIT OR Apache-2.0
//! BTF for programs that take the address of a function: the kernel only takes a callback whose `func_info` says that
//! it is static (`check_ld_imm @ 6.18`: "missing btf func_info").
//!
//! All functions get the type `u64 (void)`; the verifier knows a callback's arguments from the helper that calls it.

use std::sync::Arc;

use skep_isa::{Imm64, Op};
use skep_program::btf::{Btf, Kind, Linkage};
use skep_program::{Info, Program};

/// Bytes of a `struct bpf_func_info`.
const RECORD: u32 = 8;

/// Describes the functions of a program, if it needs that.
pub(crate) fn describe(program: &mut Program) {
    if !takes_function_address(program) {
        return;
    }
    let mut btf = Btf::default();
    let bits = 64;
    let int = btf.add_type(Kind::Int, "u64", 0, 8, &[bits]);
    let prototype = btf.add_type(Kind::FuncProto, "", 0, int, &[]);
    let mut bytes = Vec::new();
    for function in &program.functions {
        let linkage = if function.start == 0 { Linkage::Global } else { Linkage::Static };
        let id = btf.add_type(Kind::Func, &identifier(&function.name), linkage as u32, prototype, &[]);
        bytes.extend((function.start as u32).to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    program.btf = Some(Arc::from(btf.to_bytes()));
    program.func_info = Info { rec_size: RECORD, bytes };
}

fn takes_function_address(program: &Program) -> bool {
    (0..program.insns.len()).any(|at| {
        program.insns[at].is_ld_imm64()
            && skep_isa::decode(&program.insns, at).is_ok_and(|d| d.op() == Op::LdImm64(Imm64::Func))
    })
}

/// A name that the kernel's check of BTF takes: an identifier of C, not too long.
fn identifier(name: &str) -> String {
    const LONGEST: usize = 127;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut identifier: String = name.chars().take(LONGEST - 1).map(plain).collect();
    if !identifier.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        identifier.insert(0, '_');
    }
    identifier
}

#[cfg(test)]
mod tests {
    use skep_program::btf::{Btf, Kind};

    use crate::{Options, assemble};

    #[test]
    fn a_callback_is_described_as_static() {
        let source = ".program p, xdp\nr2 = f ll\ncall g\nexit\n.func f\nexit\n.func g\nexit\n";
        let object = assemble(source, &Options::default()).expect("it assembles");
        let program = &object.programs[0];
        let btf = Btf::parse(program.btf.as_deref().expect("it has BTF")).expect("the BTF is sound");
        let described: Vec<(u32, String, usize)> = program
            .func_info
            .iter()
            .map(|record| {
                let words = record.as_chunks::<4>().0;
                let func = btf.get(u32::from_le_bytes(words[1])).expect("a type");
                assert_eq!(func.kind(), Kind::Func);
                (u32::from_le_bytes(words[0]), func.name().to_owned(), func.vlen())
            })
            .collect();
        assert_eq!(described, [(0, "p".to_owned(), 1), (4, "f".to_owned(), 0), (5, "g".to_owned(), 0)]);
    }

    #[test]
    fn what_takes_no_address_needs_no_btf() {
        let object = assemble("call f\nexit\nf: exit\n", &Options::default()).expect("it assembles");
        assert_eq!(object.programs[0].btf, None);
    }
}
