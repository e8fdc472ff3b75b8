// SPDX-License-Identifier: MIT OR Apache-2.0
//! Backends besides the kernels: our own engine, and what kernels were recorded to say; and several of any kind asked
//! the same questions side by side.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::thread;

use skep_kernel_load::{Backend, BoxError, Deliver, NoAnswer, Observation, Request};

use crate::observe_ours;

/// The engine of this crate's user: runs programs, and gives no verdicts.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    /// Processors that per-cpu maps have values for.
    pub cpus: u32,
}

impl Backend for Ours {
    fn name(&self) -> String {
        "skep".to_owned()
    }

    fn ask_all(&mut self, requests: Vec<Request>, deliver: &mut Deliver<'_>) -> Result<(), BoxError> {
        for (index, request) in requests.iter().enumerate() {
            deliver(index, observe_ours(request, self.cpus));
        }
        Ok(())
    }
}

/// What a kernel was recorded to say, one for each question in order; `None` where nothing was.
#[derive(Clone, Debug)]
pub struct RecordedBackend {
    /// The release, as the record names it.
    pub release: String,
    /// The answers.
    pub answers: Vec<Option<Observation>>,
}

impl Backend for RecordedBackend {
    fn name(&self) -> String {
        format!("recorded:{}", self.release)
    }

    fn ask_all(&mut self, requests: Vec<Request>, deliver: &mut Deliver<'_>) -> Result<(), BoxError> {
        let missing = || NoAnswer::Unsupported(format!("a case without a record of Linux {}", self.release));
        for index in 0..requests.len() {
            deliver(index, self.answers.get(index).cloned().flatten().ok_or_else(missing));
        }
        Ok(())
    }
}

/// The answers of all backends to one question, in the order of the backends.
pub type Answers = Vec<Result<Observation, NoAnswer>>;

/// Asks all backends the same questions at the same time. `each` gets the answers question by question, in order,
/// each as soon as every backend has given its own.
///
/// # Errors
/// [`BoxError`] of the first backend, in their order, that could not be asked.
pub fn side_by_side(
    backends: &mut [Box<dyn Backend + Send>],
    requests: &[Request],
    mut each: impl FnMut(usize, Answers),
) -> Result<(), BoxError> {
    let count = backends.len();
    let (sender, arrived) = channel();
    thread::scope(|scope| {
        let workers: Vec<_> = backends
            .iter_mut()
            .enumerate()
            .map(|(who, backend)| {
                let (sender, requests) = (sender.clone(), requests.to_vec());
                scope.spawn(move || {
                    backend.ask_all(requests, &mut |index, answer| drop(sender.send((who, index, answer))))
                })
            })
            .collect();
        drop(sender);
        let mut waiting: BTreeMap<usize, Vec<Option<Result<Observation, NoAnswer>>>> = BTreeMap::new();
        let mut next = 0;
        for (who, index, answer) in arrived {
            let answers = waiting.entry(index).or_insert_with(|| vec![None; count]);
            answers[who] = Some(answer);
            while waiting.get(&next).is_some_and(|answers| answers.iter().all(Option::is_some)) {
                each(next, waiting.remove(&next).into_iter().flatten().flatten().collect());
                next += 1;
            }
        }
        // A worker has nothing of its own that could panic.
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
    })
}
