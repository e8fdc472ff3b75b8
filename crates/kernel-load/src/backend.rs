// SPDX-License-Identifier: MIT OR Apache-2.0
//! [`Backend`]: whoever answers [`Request`]s, behind one small trait, and the kernels among them.

use std::num::NonZero;

use crate::boxed::{
    BoxError, BoxKernel, BoxOptions, Boxed, Counters, Coverage, CoverageError, Deliver, campaign,
};
use crate::{Kernel, Request, observe};

/// Whoever answers questions about programs.
pub trait Backend {
    /// What it is called in answers, for instance `uml:6.1.176`.
    fn name(&self) -> String;

    /// Asks all questions. Each gets one answer, given with its index, in any order.
    ///
    /// # Errors
    /// [`BoxError`] where a boxed kernel cannot be started (again), so that questions remain.
    fn ask_all(&mut self, requests: Vec<Request>, deliver: &mut Deliver<'_>) -> Result<(), BoxError>;

    /// Which lines of `kernel/bpf` the questions have reached, from a backend that counts them.
    fn coverage(&self) -> Option<Result<Coverage, CoverageError>> {
        None
    }
}

impl Backend for Kernel {
    fn name(&self) -> String {
        format!("host:{}", self.release())
    }

    fn ask_all(&mut self, requests: Vec<Request>, deliver: &mut Deliver<'_>) -> Result<(), BoxError> {
        for (index, request) in requests.iter().enumerate() {
            deliver(index, observe(self, request));
        }
        Ok(())
    }
}

/// Questions that are worth a guest more: booting one takes as long as some hundreds of answers.
const WORTH_A_GUEST: usize = 512;

/// A boxed kernel, booted for the questions asked.
#[derive(Clone, Debug)]
pub struct BoxedBackend {
    kernel: BoxKernel,
    options: BoxOptions,
    guests: NonZero<usize>,
    counters: Counters,
}

impl BoxedBackend {
    /// A kernel, how it runs, and how many guests run side by side at most.
    #[must_use]
    pub fn new(kernel: BoxKernel, options: BoxOptions, guests: NonZero<usize>) -> Self {
        BoxedBackend { kernel, options, guests, counters: Counters::new() }
    }
}

impl Backend for BoxedBackend {
    fn name(&self) -> String {
        self.kernel.name()
    }

    fn ask_all(&mut self, requests: Vec<Request>, deliver: &mut Deliver<'_>) -> Result<(), BoxError> {
        let worth = NonZero::new(requests.len().div_ceil(WORTH_A_GUEST)).unwrap_or(NonZero::<usize>::MIN);
        let guests = self.guests.min(worth);
        if guests.get() == 1 {
            let mut boxed = Boxed::start(self.kernel.clone(), self.options.clone())?;
            let mut requests = requests.into_iter().enumerate();
            boxed.ask_all(&mut || requests.next(), deliver)?;
            if self.options.coverage {
                self.counters.extend(boxed.coverage()?);
            }
        } else {
            let more = campaign(&self.kernel, &self.options, guests, requests.into_iter(), deliver)?;
            self.counters.extend(more);
        }
        Ok(())
    }

    fn coverage(&self) -> Option<Result<Coverage, CoverageError>> {
        if self.options.coverage { self.kernel.reached(&self.counters) } else { None }
    }
}
