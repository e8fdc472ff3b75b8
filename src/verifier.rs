// SPDX-License-Identifier: GPL-2.0-only
//! skep's verifier as a backend: it is asked what kernels are asked, and its answers have their form.

use skep_kernel_load::{Backend, BoxError, Deliver, NoAnswer, Observation, Request};
use skep_verifier::{Caps, Options, Profile};

use crate::report::{Failure, Result};
use crate::verify::verdict;

/// The verifier of one release.
pub struct VerifierBackend {
    options: Options,
    release: String,
}

/// The profile of this name, or which there are.
pub fn profile(name: &str) -> Result<Profile> {
    Profile::from_name(name).ok_or_else(|| {
        let known = Profile::NAMES.join(", ");
        Failure::unsupported(format_args!("the verifier of Linux {name} (there are {known})"))
    })
}

/// Processors of this machine, of which some verdicts speak.
pub fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

impl VerifierBackend {
    /// The verifier of this release.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(release: &str) -> Result<VerifierBackend> {
        let options = Options { profile: profile(release)?, cpus: cpus(), ..Options::default() };
        Ok(VerifierBackend { options, release: release.to_owned() })
    }

    fn observe(&self, request: &Request) -> std::result::Result<Observation, NoAnswer> {
        let program =
            request.object.programs.iter().find(|p| p.name == request.program).ok_or_else(|| {
                NoAnswer::Load(format!("there is no program `{}` in the object", request.program))
            })?;
        let caps = Caps::from_name(request.caps.name()).unwrap_or(Caps::FULL);
        let at = |log_level| {
            let options = Options { caps, log_level, ..self.options.clone() };
            verdict(program, &options, &self.release).map_err(NoAnswer::Unsupported)
        };
        // What is rejected without a log is asked again with one, as kernels are.
        let at = |&level: &u32| match at(level) {
            Ok(verdict) if level == 0 && !verdict.accepted => at(1),
            answer => answer,
        };
        let verdicts = request.levels.iter().map(at).collect::<std::result::Result<_, _>>()?;
        let not_run = (!request.inputs.is_empty()).then(|| "a verifier runs nothing".to_owned());
        Ok(Observation { verdicts, not_run, ..Observation::default() })
    }
}

impl Backend for VerifierBackend {
    fn name(&self) -> String {
        format!("verifier:{}", self.release)
    }

    fn ask_all(
        &mut self,
        requests: Vec<Request>,
        deliver: &mut Deliver<'_>,
    ) -> std::result::Result<(), BoxError> {
        for (index, request) in requests.iter().enumerate() {
            deliver(index, self.observe(request));
        }
        Ok(())
    }
}
