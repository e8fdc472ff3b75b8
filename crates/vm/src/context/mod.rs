// SPDX-License-Identifier: MIT OR Apache-2.0
//! What programs run on: the input of a run, laid out in guest memory, and what is read back after it.
//!
//! Guest addresses have 32 bits, so the `u32` fields of the uapi that stand for packet pointers hold real ones:
//! a context is plain guest memory, and no instruction is rewritten. Which structure a program type gets is data
//! (`skep_uapi::context`).

mod fields;
mod flow;
mod packet;
mod skb;
mod structure;
mod xdp;

use std::sync::Arc;

use skep_isa::Size;
use skep_uapi::context::{Kind, kind_of};
use skep_uapi::{Errno, ProgType};

use crate::interp::Program;
use crate::memory::{Area, GuestMemory, ObjectKind, Perm};
use crate::trap::TrapKind;

use flow::Flow;
use packet::Packet;
pub(crate) use skb::{NetworkProtocol, SkBuff};
use structure::Structure;
pub(crate) use xdp::Xdp;

/// What a program is given.
#[derive(Clone, Copy, Debug, Default)]
pub enum Input<'a> {
    /// Nothing: `r1` and `r2` are 0 for programs on flat memory; other types get a zeroed context.
    #[default]
    None,
    /// Flat memory, as rbpf and ubpf pass it: its address in `r1`, its length in `r2`. Any program type can be
    /// run so.
    Mem(&'a [u8]),
    /// A packet, from its Ethernet header (for socket options the option value), and the context in the
    /// layout of the uapi where something in it matters. What may be set is what `BPF_PROG_TEST_RUN` takes.
    Packet {
        /// The bytes.
        data: &'a [u8],
        /// `struct xdp_md`, `struct __sk_buff`, …
        ctx: Option<&'a [u8]>,
    },
    /// The context alone, in the layout of the uapi; what is missing at its end is 0.
    Context(&'a [u8]),
}

/// An input that the program cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Guest memory for the input could not be had.
    #[error("no guest memory for the input: {0}")]
    Memory(#[from] Errno),
    /// Programs of this type take kernel objects, which are not emulated.
    #[error("programs of type {0} cannot be run here: their context is a kernel object")]
    UnsupportedType(ProgType),
    /// A packet for a program that takes none.
    #[error("programs of type {0} take no packet")]
    TakesNoPacket(ProgType),
    /// No packet for a program that takes one.
    #[error("programs of type {0} need a packet")]
    NeedsPacket(ProgType),
    /// No context for a program whose context has no fixed layout.
    #[error("programs of type {0} need a context: its layout depends on where they attach")]
    NeedsContext(ProgType),
    /// The packet ends inside of its headers.
    #[error("a packet of {len} bytes is too short: at least {least} are needed")]
    ShortPacket {
        /// Bytes given.
        len: usize,
        /// Bytes needed.
        least: usize,
    },
    /// A context of the wrong size.
    #[error("a context of {given} bytes is not a `struct {layout}`, which has {size}")]
    ContextSize {
        /// Bytes given.
        given: usize,
        /// Name of the structure.
        layout: &'static str,
        /// Its size.
        size: u32,
    },
    /// A field of the context that cannot be so.
    #[error("`{field}` of the given `struct {layout}` {why}")]
    Field {
        /// Name of the structure.
        layout: &'static str,
        /// Name of the field.
        field: &'static str,
        /// What it should be.
        why: &'static str,
    },
}

/// Guest memory that a thread keeps from run to run.
#[derive(Default)]
pub(crate) struct Buffers {
    memory: Option<Area>,
    packet: Option<Area>,
    ctx: Option<Area>,
}

/// The input of a run while it runs.
pub(crate) enum Context {
    /// Nothing.
    None,
    /// Flat memory.
    Mem(Area),
    /// `struct xdp_md`.
    Xdp(Box<Xdp>),
    /// `struct __sk_buff`.
    SkBuff(Box<SkBuff>),
    /// `struct __sk_buff` of a flow dissector.
    Flow(Box<Flow>),
    /// Any other structure.
    Structure(Structure),
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
        program: &Program,
        input: Input<'_>,
    ) -> Result<(Context, [u64; 2]), InputError> {
        if let Input::Mem(bytes) = input {
            return flat(buffers, memory, bytes);
        }
        let prog_type = program.prog_type;
        let kind = kind_of(prog_type).ok_or(InputError::UnsupportedType(prog_type))?;
        let context = match (kind, input) {
            (Kind::Xdp, Input::Packet { data, ctx }) => {
                Context::Xdp(Box::new(Xdp::new(buffers, memory, data, ctx)?))
            }
            (Kind::SkBuff { l2 }, Input::Packet { data, ctx }) => {
                Context::SkBuff(Box::new(SkBuff::new(buffers, memory, l2, data, ctx)?))
            }
            (Kind::FlowDissector, Input::Packet { data, ctx }) => {
                Context::Flow(Box::new(Flow::new(buffers, memory, data, ctx)?))
            }
            (Kind::Xdp | Kind::SkBuff { .. } | Kind::FlowDissector, _) => {
                return Err(InputError::NeedsPacket(prog_type));
            }
            (Kind::Struct(layout), input) => {
                let (data, ctx) = match input {
                    Input::Packet { data, ctx } => (Some(data), ctx),
                    Input::Context(ctx) => (None, Some(ctx)),
                    Input::None | Input::Mem(_) => (None, None),
                };
                let no_packet = || InputError::TakesNoPacket(prog_type);
                let structure = Structure::new(buffers, memory, layout, data, ctx.unwrap_or_default())?;
                Context::Structure(structure.ok_or_else(no_packet)?)
            }
            (Kind::Opaque, Input::Context(ctx)) => {
                Context::Structure(Structure::opaque(buffers, memory, ctx)?)
            }
            (Kind::Opaque, Input::Packet { .. }) => return Err(InputError::TakesNoPacket(prog_type)),
            (Kind::Opaque, _) if prog_type == ProgType::UNSPEC => Context::None,
            (Kind::Opaque, _) => return Err(InputError::NeedsContext(prog_type)),
        };
        let r1 = context.addr();
        Ok((context, [r1, 0]))
    }

    /// Guest address of the structure; 0 where there is none.
    pub(crate) fn addr(&self) -> u64 {
        match self {
            Context::None | Context::Mem(_) => 0,
            Context::Xdp(xdp) => xdp.addr(),
            Context::SkBuff(skb) => skb.addr(),
            Context::Flow(flow) => flow.addr(),
            Context::Structure(structure) => structure.addr(),
        }
    }

    /// The packet, where there is one.
    pub(crate) fn packet(&self) -> Option<&Packet> {
        match self {
            Context::None | Context::Mem(_) => None,
            Context::Xdp(xdp) => Some(&xdp.packet),
            Context::SkBuff(skb) => Some(&skb.packet),
            Context::Flow(flow) => Some(&flow.packet),
            Context::Structure(structure) => structure.packet.as_ref(),
        }
    }

    /// `LD_ABS` and `LD_IND`: the value in host order, `None` outside of the packet.
    ///
    /// # Errors
    /// The input has no packet that these instructions can read.
    pub(crate) fn packet_load(
        &self,
        memory: &GuestMemory,
        size: Size,
        offset: i32,
    ) -> Result<Option<u64>, TrapKind> {
        match self {
            Context::SkBuff(skb) => Ok(skb.load(size, offset)),
            Context::Mem(area) => Ok(flat_load(memory, area, size, offset)),
            Context::None | Context::Xdp(_) | Context::Flow(_) | Context::Structure(_) => {
                Err(TrapKind::UnsupportedInsn("a packet load"))
            }
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
            Context::Xdp(xdp) => xdp.leave(buffers),
            Context::SkBuff(skb) => skb.leave(buffers),
            Context::Flow(flow) => flow.leave(buffers),
            Context::Structure(structure) => structure.leave(buffers),
        }
    }
}

/// Flat memory.
fn flat(
    buffers: &mut Buffers,
    memory: &Arc<GuestMemory>,
    bytes: &[u8],
) -> Result<(Context, [u64; 2]), InputError> {
    let len = u32::try_from(bytes.len()).map_err(|_| InputError::Memory(Errno::E2BIG))?;
    let area = match buffers.memory.take().filter(|area| area.len() == len) {
        Some(area) => area,
        None => memory.alloc(len, Perm::ReadWrite, Some(ObjectKind::Memory))?,
    };
    area.write(0, bytes);
    let args = [u64::from(area.addr()), u64::from(len)];
    Ok((Context::Mem(area), args))
}

/// Packet loads of a program on flat memory read that memory, as rbpf's and ubpf's do.
fn flat_load(memory: &GuestMemory, area: &Area, size: Size, offset: i32) -> Option<u64> {
    let offset = u32::try_from(offset).ok()?;
    let end = offset.checked_add(size.bytes() as u32)?;
    if end > area.len() {
        return None;
    }
    let mut bytes = [0; 8];
    memory.read_bytes(u64::from(area.addr() + offset), &mut bytes[8 - size.bytes()..]).ok()?;
    Some(u64::from_be_bytes(bytes))
}
