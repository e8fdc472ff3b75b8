// SPDX-License-Identifier: MIT OR Apache-2.0
//! What programs run on: the input of a run, laid out in guest memory, and what is read back after it.

use std::sync::Arc;

use skep_isa::Size;
use skep_uapi::Errno;

use crate::interp::Program;
use crate::memory::{Area, GuestMemory, ObjectKind, Perm};
use crate::trap::TrapKind;

/// What a program is given.
#[derive(Clone, Copy, Debug, Default)]
pub enum Input<'a> {
    /// Nothing: `r1` and `r2` are 0.
    #[default]
    None,
    /// Flat memory, as rbpf and ubpf pass it: its address in `r1`, its length in `r2`.
    Mem(&'a [u8]),
}

/// An input that the program cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Guest memory for the input could not be had.
    #[error("no guest memory for the input: {0}")]
    Memory(Errno),
}

/// Guest memory that a thread keeps from run to run.
#[derive(Default)]
pub(crate) struct Buffers {
    memory: Option<Area>,
}

/// The input of a run while it runs.
pub(crate) enum Context {
    /// Nothing.
    None,
    /// Flat memory.
    Mem(Area),
}

/// What is read back after a run.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) data_out: Vec<u8>,
    pub(crate) ctx_out: Vec<u8>,
}

impl Context {
    /// Lays the input out in guest memory: the context, and `r1` and `r2`.
    ///
    /// # Errors
    /// [`InputError`].
    pub(crate) fn enter(
        buffers: &mut Buffers,
        memory: &Arc<GuestMemory>,
        _program: &Program,
        input: Input<'_>,
    ) -> Result<(Context, [u64; 2]), InputError> {
        match input {
            Input::None => Ok((Context::None, [0, 0])),
            Input::Mem(bytes) => {
                let len = u32::try_from(bytes.len()).map_err(|_| InputError::Memory(Errno::E2BIG))?;
                let area = match buffers.memory.take().filter(|area| area.len() == len) {
                    Some(area) => area,
                    None => memory
                        .alloc(len, Perm::ReadWrite, Some(ObjectKind::Memory))
                        .map_err(InputError::Memory)?,
                };
                area.write(0, bytes);
                let args = [u64::from(area.addr()), u64::from(len)];
                Ok((Context::Mem(area), args))
            }
        }
    }

    /// `LD_ABS` and `LD_IND`: the value in host order, `None` outside of the packet.
    ///
    /// # Errors
    /// The input has no packet.
    pub(crate) fn packet_load(
        &self,
        _memory: &GuestMemory,
        _size: Size,
        _offset: i32,
    ) -> Result<Option<u64>, TrapKind> {
        match self {
            Context::None | Context::Mem(_) => Err(TrapKind::UnsupportedInsn("a packet load")),
        }
    }

    /// Reads back what the run left.
    pub(crate) fn leave(self, buffers: &mut Buffers, _r0: u64) -> Output {
        match self {
            Context::None => Output::default(),
            Context::Mem(area) => {
                let data_out = area.to_vec(0, area.len());
                buffers.memory = Some(area);
                Output { data_out, ..Output::default() }
            }
        }
    }
}
