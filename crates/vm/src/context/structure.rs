// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contexts that are given as bytes: registers, tracepoint records, socket and cgroup structures. Where the
//! structure has packet pointers (socket messages, option values), they are set to the data given.

use std::sync::Arc;

use skep_uapi::Errno;
use skep_uapi::context::{Layout, Value};

use super::packet::Packet;
use super::{Buffers, InputError, Output};
use crate::memory::{Area, GuestMemory, ObjectKind, Perm};

/// A structure in guest memory, and the data that it points to.
pub(crate) struct Structure {
    area: Area,
    pub(super) packet: Option<Packet>,
}

impl Structure {
    /// The structure of a layout, filled with `ctx` from its start. `None` where there are data but the layout
    /// has no place for them.
    pub(super) fn new(
        buffers: &mut Buffers,
        memory: &Arc<GuestMemory>,
        layout: &'static Layout,
        data: Option<&[u8]>,
        ctx: &[u8],
    ) -> Result<Option<Structure>, InputError> {
        if ctx.len() > layout.size as usize {
            return Err(InputError::ContextSize { given: ctx.len(), layout: layout.name, size: layout.size });
        }
        let area = area(buffers, memory, layout.size, ctx)?;
        let Some(data) = data else { return Ok(Some(Structure { area, packet: None })) };
        let packet = Packet::new(buffers.packet.take(), memory, data, 0, 0, 0)?;
        let mut placed = false;
        for field in layout.fields {
            let addr = match field.value {
                Value::Packet => packet.data_addr(),
                Value::PacketEnd => packet.end_addr(),
                Value::PacketMeta => packet.meta_addr(),
                Value::Scalar | Value::Pointer(_) => continue,
            };
            area.write(field.offset, &u64::from(addr).to_le_bytes()[..field.size as usize]);
            placed = true;
        }
        Ok(placed.then_some(Structure { area, packet: Some(packet) }))
    }

    /// Bytes without a layout of their own.
    pub(super) fn opaque(
        buffers: &mut Buffers,
        memory: &Arc<GuestMemory>,
        ctx: &[u8],
    ) -> Result<Structure, InputError> {
        let len = u32::try_from(ctx.len()).map_err(|_| InputError::Memory(Errno::E2BIG))?;
        Ok(Structure { area: area(buffers, memory, len, ctx)?, packet: None })
    }

    pub(super) fn addr(&self) -> u64 {
        u64::from(self.area.addr())
    }

    pub(super) fn leave(self, buffers: &mut Buffers) -> Output {
        let ctx_out = self.area.to_vec(0, self.area.len());
        let data_out = self.packet.as_ref().map(Packet::to_vec).unwrap_or_default();
        buffers.ctx = Some(self.area);
        if let Some(packet) = self.packet {
            buffers.packet = Some(packet.into_area());
        }
        Output { data_out, ctx_out }
    }
}

fn area(buffers: &mut Buffers, memory: &Arc<GuestMemory>, len: u32, ctx: &[u8]) -> Result<Area, Errno> {
    let area = match buffers.ctx.take().filter(|a| a.len() == len) {
        Some(area) => {
            area.zero(0, len);
            area
        }
        None => memory.alloc(len, Perm::ReadWrite, Some(ObjectKind::Context))?,
    };
    area.write(0, ctx);
    Ok(area)
}
