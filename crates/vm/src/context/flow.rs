// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a flow dissector runs on, as `bpf_prog_test_run_flow_dissector` of Linux 6.18 sets it up: the packet from its
//! Ethernet header, and the flow keys that the program fills in, which are what comes back.

use std::sync::Arc;

use skep_uapi::context::{BPF_FLOW_KEYS, SK_BUFF};
use skep_uapi::limits::ETH_HLEN;

use super::fields::{self, Fields};
use super::packet::Packet;
use super::{Buffers, InputError, Output};
use crate::memory::GuestMemory;

/// A packet, its `__sk_buff` and its flow keys.
pub(crate) struct Flow {
    pub(crate) packet: Packet,
    fields: Fields,
    keys: Fields,
    /// The flow keys that the user gave, where there were some.
    given: Option<Vec<u8>>,
}

impl Flow {
    pub(super) fn new(
        buffers: &mut Buffers,
        memory: &Arc<GuestMemory>,
        data: &[u8],
        ctx: Option<&[u8]>,
    ) -> Result<Flow, InputError> {
        let Some((mac, _)) = data.split_first_chunk::<ETH_HLEN>() else {
            return Err(InputError::ShortPacket { len: data.len(), least: ETH_HLEN });
        };
        let flags = ctx.map(given_flags).transpose()?.unwrap_or(0);
        let packet = Packet::new(buffers.packet.take(), memory, data, 0, 0, 0)?;
        let fields = Fields::new(buffers.ctx.take(), memory, &SK_BUFF)?;
        let keys = Fields::new(None, memory, &BPF_FLOW_KEYS)?;
        fields.set("data", u64::from(packet.data_addr()));
        fields.set("data_end", u64::from(packet.end_addr()));
        fields.set("flow_keys", keys.addr());
        keys.set("n_proto", u64::from(u16::from_le_bytes([mac[12], mac[13]])));
        keys.set("nhoff", ETH_HLEN as u64);
        keys.set("thoff", ETH_HLEN as u64);
        keys.set("flags", flags);
        Ok(Flow { packet, fields, keys, given: ctx.map(<[u8]>::to_vec) })
    }

    pub(crate) fn addr(&self) -> u64 {
        self.fields.addr()
    }

    pub(super) fn leave(self, buffers: &mut Buffers) -> Output {
        // `bpf_flow_dissect`: offsets are kept inside of the packet.
        let end = u64::from(self.packet.len()).min(u64::from(u16::MAX));
        let network = self.keys.get("nhoff").clamp(ETH_HLEN as u64, end);
        self.keys.set("nhoff", network);
        self.keys.set("thoff", self.keys.get("thoff").clamp(network, end));
        let data_out = self.keys.to_vec();
        let mut ctx_out = self.given.unwrap_or_default();
        ctx_out.resize(BPF_FLOW_KEYS.size as usize, 0);
        buffers.packet = Some(self.packet.into_area());
        buffers.ctx = Some(self.fields.into_area());
        Output { data_out, ctx_out }
    }
}

/// The flags in flow keys given by the user, which may say nothing else (`verify_user_bpf_flow_keys`).
fn given_flags(keys: &[u8]) -> Result<u64, InputError> {
    let layout = &BPF_FLOW_KEYS;
    if keys.len() > layout.size as usize {
        return Err(InputError::ContextSize { given: keys.len(), layout: layout.name, size: layout.size });
    }
    match fields::first_nonzero_outside(layout, keys, &["flags"]) {
        None => Ok(fields::get(layout, keys, "flags")),
        Some(field) => Err(InputError::Field {
            layout: layout.name,
            field,
            why: "must be 0: a run takes the flags alone",
        }),
    }
}
