// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many questions to several guests of one kernel, side by side.

use std::num::NonZero;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{BoxError, BoxKernel, BoxOptions, Boxed, Counters, Deliver};
use crate::Request;

/// Asks all questions, by as many guests at a time as told. Answers come as they are there, each with the index of
/// its question. Gives the counters of all guests, where they were to be collected.
///
/// # Errors
/// [`BoxError`] of the first guest that cannot be started (again); what it leaves is answered by the others as long
/// as there are any, and the error is given when questions remain.
pub fn campaign(
    kernel: &BoxKernel,
    options: &BoxOptions,
    guests: NonZero<usize>,
    requests: impl ExactSizeIterator<Item = Request> + Send,
    deliver: &mut Deliver<'_>,
) -> Result<Counters, BoxError> {
    let total = requests.len();
    let guests = guests.get().min(total);
    let queue = Mutex::new(requests.enumerate());
    let (sender, answers) = channel();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..guests)
            .map(|_| {
                let (queue, sender) = (&queue, sender.clone());
                scope.spawn(move || {
                    let mut guest = Boxed::start(kernel.clone(), options.clone())?;
                    guest.ask_all(
                        &mut || queue.lock().unwrap_or_else(PoisonError::into_inner).next(),
                        &mut |index, answer| drop(sender.send((index, answer))),
                    )?;
                    if options.coverage { guest.coverage() } else { Ok(Counters::new()) }
                })
            })
            .collect();
        drop(sender);
        let mut answered = 0;
        for (index, answer) in answers {
            answered += 1;
            deliver(index, answer);
        }
        let mut counters = Counters::new();
        let mut first = None;
        for worker in workers {
            // A worker has nothing of its own that could panic; were it to, its questions remain.
            match worker.join() {
                Ok(Ok(more)) => counters.extend(more),
                Ok(Err(error)) => drop(first.get_or_insert(error)),
                Err(_) => {}
            }
        }
        match first {
            Some(error) if answered < total => Err(error),
            _ => Ok(counters),
        }
    })
}
