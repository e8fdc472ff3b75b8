// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs here and by the running kernel, in one call.

use skep_kernel_load::{Kernel, NoAnswer, Request, RunInput, observe};
use skep_program::Object;
use skep_uapi::{Bpf, Errno};

use crate::report::Report;
use crate::{compare, observe_ours};

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The object has no such program.
    #[error("there is no program `{0}`")]
    NoProgram(String),
    /// It cannot be run here.
    #[error("here: {0}")]
    Here(NoAnswer),
    /// The kernel cannot be asked.
    #[error("there: {0}")]
    There(NoAnswer),
    /// The kernel refuses the program.
    #[error("there: program `{program}` is refused: {errno}: {message}")]
    Rejected {
        /// Name of the program.
        program: String,
        /// What `BPF_PROG_LOAD` returned.
        errno: Errno,
        /// The last line of the verifier's log.
        message: String,
    },
    /// The kernel took the program and did not run it, for this reason.
    #[error("there: {0}")]
    NotRun(String),
}

/// Runs a program of an object here and in the running kernel on inputs in a row, and compares. All of it is gone
/// from the kernel afterwards. What the program does to the world by its helpers (`bpf_clone_redirect` sends a copy,
/// `bpf_send_signal` a signal) happens for real.
///
/// # Errors
/// [`CompareError`] where nothing could be run.
pub fn compare_with_kernel(
    kernel: &Kernel,
    object: &Object,
    program: &str,
    inputs: &[RunInput],
) -> Result<Report, CompareError> {
    let index = object.programs.iter().position(|p| p.name == program);
    let index = index.ok_or_else(|| CompareError::NoProgram(program.to_owned()))?;
    let request = Request { inputs: inputs.to_vec(), ..Request::new(object, index, 0) };
    let theirs = observe(kernel, &request).map_err(CompareError::There)?;
    if let Some(verdict) = theirs.verdict().filter(|v| !v.accepted) {
        return Err(CompareError::Rejected {
            program: program.to_owned(),
            errno: verdict.errno.unwrap_or(Errno::EINVAL),
            message: verdict.message.clone(),
        });
    }
    if let Some(why) = theirs.not_run {
        return Err(CompareError::NotRun(why));
    }
    let cpus = u32::try_from(kernel.possible_cpus()).unwrap_or(u32::MAX);
    let ours = observe_ours(&request, cpus).map_err(CompareError::Here)?;
    Ok(compare(&request, &ours, &theirs))
}
