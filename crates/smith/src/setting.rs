// SPDX-License-Identifier: GPL-2.0-only
//! What a program is generated for: its type, where it attaches, what its loader may do, and what follows from that:
//! which helpers it may call, what it may return.

use std::sync::Arc;

use skep_isa::{Insn, class, opcode};
use skep_program::btf::{Btf, Kind, Linkage};
use skep_program::{Info, MapSpec, Program};
use skep_uapi::flags::prog_load::BPF_F_SLEEPABLE;
use skep_uapi::helper::{Helper, MightSleep, Proto, helpers};
use skep_uapi::section::SECTIONS;
use skep_uapi::{AttachType, ProgType};
use skep_verifier::{Caps, Options, Outcome, Verdict, verify};

use crate::code::op;
use crate::maps::{PoolMap, pool};

/// Bytes of a `struct bpf_func_info`.
const FUNC_INFO: u32 = 8;
/// Numbers that programs may want to return.
const RETURNS: [i32; 6] = [0, 1, 2, 3, -1, 0xffff];

/// One type of programs, attached in one way.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub prog_type: ProgType,
    pub attach_type: AttachType,
    pub prog_flags: u32,
    /// Helpers that it may call, each with its prototype.
    pub helpers: Vec<(&'static Helper, &'static Proto)>,
    /// Numbers that it may return.
    pub returns: Vec<i32>,
}

/// What is the same for all programs.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub settings: Vec<Setting>,
    pub pool: Vec<PoolMap>,
    pub maps: Arc<Vec<MapSpec>>,
    /// Statements may make loops.
    pub loops: bool,
    /// BTF of programs that have some.
    pub btf: Arc<[u8]>,
    /// In it, the type of the program's own function, and of all others.
    pub main_type: u32,
    pub function_type: u32,
}

impl World {
    /// Finds out what each type of programs is allowed, by the tables and by asking the verifier.
    pub fn new(options: &Options) -> World {
        let mut btf = Btf::default();
        let int = btf.add_type(Kind::Int, "u64", 0, 8, &[64]);
        let prototype = btf.add_type(Kind::FuncProto, "", 0, int, &[]);
        let main_type = btf.add_type(Kind::Func, "prog", Linkage::Global as u32, prototype, &[]);
        let function_type = btf.add_type(Kind::Func, "func", Linkage::Static as u32, prototype, &[]);
        let pool = pool();
        let maps = Arc::new(pool.iter().map(|map| map.spec.clone()).collect());
        let mut world = World {
            settings: Vec::new(),
            pool,
            maps,
            loops: true,
            btf: Arc::from(btf.to_bytes()),
            main_type,
            function_type,
        };
        world.settings = world.find_settings(options);
        world
    }

    fn find_settings(&self, options: &Options) -> Vec<Setting> {
        let mut settings: Vec<Setting> = Vec::new();
        for row in SECTIONS.iter().filter(|row| !row.needs_attach_btf()) {
            let flags = row.prog_flags();
            if settings.iter().any(|s| {
                (s.prog_type, s.attach_type, s.prog_flags) == (row.prog_type, row.attach_type, flags)
            }) {
                continue;
            }
            let sleeps = flags & BPF_F_SLEEPABLE != 0;
            let allowed = |helper: &'static Helper| {
                let proto = helper.proto_in(options.profile.release(), row.prog_type, row.attach_type)?;
                (sleeps || proto.might_sleep != MightSleep::Yes).then_some((helper, proto))
            };
            let mut setting = Setting {
                prog_type: row.prog_type,
                attach_type: row.attach_type,
                prog_flags: flags,
                helpers: helpers().filter_map(allowed).collect(),
                returns: Vec::new(),
            };
            setting.returns = RETURNS
                .into_iter()
                .filter(|&value| {
                    let program = self.program(&setting, &returning(value), false);
                    let outcome = verify(&program, options);
                    matches!(outcome, Outcome::Answer { verdict: Verdict::Accept, .. })
                })
                .collect();
            if !setting.returns.is_empty() {
                settings.push(setting);
            }
        }
        settings
    }

    /// The shortest program of each setting.
    pub fn shortest(&self) -> Vec<Program> {
        let shortest = |setting: &Setting| self.program(setting, &seed(setting.returns[0]), false);
        self.settings.iter().map(shortest).collect()
    }

    /// A program of these instructions.
    pub fn program(&self, setting: &Setting, insns: &[Insn], with_btf: bool) -> Program {
        let mut program = Program {
            name: "prog".to_owned(),
            prog_type: setting.prog_type,
            expected_attach_type: setting.attach_type,
            prog_flags: setting.prog_flags,
            license: "GPL".to_owned(),
            insns: insns.to_vec(),
            maps: Arc::clone(&self.maps),
            ..Program::default()
        };
        if with_btf {
            let record = [0_u32.to_le_bytes(), self.main_type.to_le_bytes()];
            program.btf = Some(Arc::clone(&self.btf));
            program.func_info = Info { rec_size: FUNC_INFO, bytes: record.concat() };
        }
        program
    }
}

/// The shortest program: it returns a number.
fn returning(value: i32) -> [Insn; 2] {
    [Insn::new(op::MOV | class::ALU64, 0, 0, 0, value), Insn::new(opcode::EXIT, 0, 0, 0, 0)]
}

/// What programs grow from: the context is kept in `r6`, a number is returned.
pub(crate) fn seed(value: i32) -> [Insn; 3] {
    let [mov, exit] = returning(value);
    [Insn::new(op::MOV | class::ALU64 | opcode::X, 6, 1, 0, 0), mov, exit]
}

/// Capabilities, by a name that case files have.
pub(crate) const CAPS: [(Caps, &str); 4] =
    [(Caps::FULL, "full"), (Caps::FULL, "full"), (Caps::FULL, "full"), (Caps::CAPBPF, "capbpf")];
