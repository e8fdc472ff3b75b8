// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes between a host and its guest: frames of a length (4 bytes, little-endian) and that many bytes of
//! [postcard](https://postcard.jamesmunns.com/wire-format), in order, each answer with the number of its question.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{NoAnswer, Observation, Request};

/// Raised with every change of the frames: the guest is the same command as the host, but may be an older file.
pub(super) const PROTOCOL: u32 = 1;

/// Bytes that a frame may have: a log of the largest kind, and what comes with it.
const FRAME_MAX: usize = 1 << 30;

/// From the host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// A program.
    Ask(Box<Request>),
    /// The counters of a kernel built with gcov: files below `/sys/kernel/debug/gcov`.
    Coverage,
}

/// A question, numbered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub number: u64,
    /// The answer is awaited before anything else is done.
    pub alone: bool,
    pub question: Question,
}

/// From the guest.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// First of all: it runs.
    Hello {
        /// [`PROTOCOL`] of the guest.
        protocol: u32,
        /// Release of its kernel, as `uname -r` prints it.
        release: String,
    },
    /// It cannot ask its kernel, for this reason; nothing follows.
    Broken(String),
    /// What its kernel warned of while it found the answers that follow in the same window.
    Warnings(Vec<String>),
    /// The answer to the question of this number.
    Answer(u64, Box<Result<Observation, NoAnswer>>),
    /// The counters, by path below `/sys/kernel/debug/gcov`.
    Coverage(u64, Vec<(String, Vec<u8>)>),
}

/// Appends a value as one frame.
pub(super) fn put(value: &impl Serialize, to: &mut Vec<u8>) {
    let start = to.len();
    to.extend_from_slice(&[0; 4]);
    // Values here are plain data, which always has a form; memory is all that can run out.
    let bytes = postcard::to_extend(value, std::mem::take(to)).unwrap_or_default();
    *to = bytes;
    let length = u32::try_from(to.len().saturating_sub(start + 4)).unwrap_or(u32::MAX);
    if let Some(head) = to.get_mut(start..start + 4) {
        head.copy_from_slice(&length.to_le_bytes());
    }
}

/// Bytes that are no frame: the other side is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("bytes that are no frame")]
pub(super) struct BadFrame;

/// Bytes received and not yet taken as frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    taken: usize,
}

impl Frames {
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.taken != 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there.
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, BadFrame> {
        let rest = &self.bytes[self.taken..];
        let Some((head, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > FRAME_MAX {
            return Err(BadFrame);
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let value = postcard::from_bytes(frame).map_err(|_| BadFrame)?;
        self.taken += 4 + length;
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_pieces() {
        let mut bytes = Vec::new();
        put(&Told::Broken("first".into()), &mut bytes);
        put(&Told::Answer(7, Box::new(Err(NoAnswer::Load("second".into())))), &mut bytes);
        let mut frames = Frames::default();
        let mut got = Vec::new();
        for piece in bytes.chunks(3) {
            frames.extend(piece);
            while let Some(told) = frames.next::<Told>().expect("frames") {
                got.push(told);
            }
        }
        assert!(matches!(&got[..], [Told::Broken(first), Told::Answer(7, _)] if first == "first"), "{got:?}");
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut frames = Frames::default();
        frames.extend(b"Kernel panic - not syncing");
        assert!(frames.next::<Told>().is_err());
    }
}
