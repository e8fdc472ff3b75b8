// SPDX-License-Identifier: MIT OR Apache-2.0
//! Comparison with the running kernel: load, then run on one CPU.

use skep_kernel_load::{Answer, CpuPin, Kernel, load_object};
use skep_program::Object;
use skep_uapi::Errno;

use crate::report::Report;
use crate::run::{CompareError, RunInput, Theirs, compare_runs};

/// Loads a program of an object with its maps into the running kernel, runs it there and here on inputs in a row,
/// and compares. All of it is gone from the kernel afterwards. What the program does to the world by its helpers
/// (`bpf_clone_redirect` sends a copy, `bpf_send_signal` a signal) happens for real.
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
    let object = object.reduced_to(index);
    let loaded = load_object(kernel, &object, |_| true, 0)?;
    for one in &loaded.programs {
        match &one.answer {
            Answer::Verdict(verdict) if verdict.accepted => {}
            Answer::Verdict(verdict) => {
                return Err(CompareError::Rejected {
                    program: one.name.clone(),
                    errno: verdict.errno.unwrap_or(Errno::EINVAL),
                    message: verdict.message.clone(),
                });
            }
            Answer::Unsupported(why) => {
                return Err(CompareError::Unsupported { program: one.name.clone(), why: why.to_string() });
            }
        }
    }
    let fd = loaded.program(program).ok_or_else(|| CompareError::NoProgram(program.to_owned()))?;
    // Where the thread cannot be pinned, per-cpu values may be spread over CPUs, and the report shows that.
    let _pin = CpuPin::new();
    compare_runs(&object, program, inputs, &Theirs { bpf: kernel, program: fd, maps: &loaded.maps })
}
