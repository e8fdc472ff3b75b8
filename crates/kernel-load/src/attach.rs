// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attach targets by name: the type ids that the running kernel's own BTF gives them
//! (libbpf's `find_kernel_btf_id`).

use std::fs;
use std::sync::OnceLock;

use skep_program::Program;
use skep_program::btf::{Btf, Kind};
use skep_uapi::{AttachType, ProgType};

/// The kernel's own types.
pub(crate) const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Why a program's attach target has no id here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The kernel's BTF is not there, or not readable.
    #[error("{VMLINUX_BTF}: {0}; the kernel needs CONFIG_DEBUG_INFO_BTF")]
    NoBtf(String),
    /// The kernel has no such function or type.
    #[error("the running kernel's BTF has no {kind} `{name}`")]
    NotFound {
        /// `function` or `type`.
        kind: &'static str,
        /// Its full name there.
        name: String,
    },
    /// A program that replaces a function of another program needs that program.
    #[error("`{0}` is a function of another BPF program, which must be loaded first")]
    OtherProgram(String),
}

/// Where the kernel's BTF has the targets of an attach type: what their names start with, and their kind.
fn place(program: &Program) -> (&'static str, Kind) {
    match (program.prog_type, program.expected_attach_type) {
        (_, AttachType::TRACE_RAW_TP) => ("btf_trace_", Kind::Typedef),
        (ProgType::LSM, _) | (_, AttachType::LSM_MAC) => ("bpf_lsm_", Kind::Func),
        (_, AttachType::TRACE_ITER) => ("bpf_iter_", Kind::Func),
        _ => ("", Kind::Func),
    }
}

/// The kernel's own BTF, read once, when it is first asked for.
#[derive(Debug, Default)]
pub struct Vmlinux(OnceLock<Result<Btf, AttachError>>);

impl Vmlinux {
    /// The BTF.
    ///
    /// # Errors
    /// [`AttachError::NoBtf`] where it is missing or cannot be read.
    pub fn get(&self) -> Result<&Btf, AttachError> {
        self.0.get_or_init(read_vmlinux).as_ref().map_err(Clone::clone)
    }

    /// The id for `attach_btf_id` of a program; 0 where it has no target.
    ///
    /// # Errors
    /// [`AttachError`] where the target has no id.
    pub fn target(&self, program: &Program) -> Result<u32, AttachError> {
        let Some(target) = &program.attach_name else { return Ok(program.attach_btf_id) };
        if program.prog_type == ProgType::EXT {
            return Err(AttachError::OtherProgram(target.clone()));
        }
        if !needs_id(program.prog_type) {
            return Ok(program.attach_btf_id);
        }
        let (prefix, kind) = place(program);
        let name = format!("{prefix}{target}");
        let found = self.get()?.find(kind, &name).map(|t| t.id);
        let word = if kind == Kind::Func { "function" } else { "type" };
        found.ok_or(AttachError::NotFound { kind: word, name })
    }
}

/// Whether programs of this type name their target at load, by its BTF id.
fn needs_id(prog_type: ProgType) -> bool {
    matches!(prog_type, ProgType::TRACING | ProgType::LSM)
}

fn read_vmlinux() -> Result<Btf, AttachError> {
    let bytes = fs::read(VMLINUX_BTF).map_err(|error| AttachError::NoBtf(error.to_string()))?;
    Btf::parse(&bytes).map_err(|error| AttachError::NoBtf(error.to_string()))
}
