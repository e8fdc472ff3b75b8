// SPDX-License-Identifier: MIT OR Apache-2.0
//! `struct xdp_md` over a packet, as `bpf_prog_test_run_xdp` of Linux 6.18 sets it up: 256 bytes of headroom, one
//! page in all where the packet fits, the loopback device. Multi-buffer packets are not supported: a longer packet
//! is one long buffer.

use std::sync::Arc;

use skep_uapi::Errno;
use skep_uapi::context::XDP_MD;
use skep_uapi::limits::{ETH_HLEN, XDP_PACKET_HEADROOM};

use super::fields::Fields;
use super::packet::Packet;
use super::{Buffers, InputError, Output};
use crate::memory::{GuestMemory, PAGE};

/// Bytes of `struct xdp_frame`, which the kernel keeps at the start of the headroom.
const XDP_FRAME: u32 = 40;
/// Bytes of `struct skb_shared_info`, which the kernel keeps at the end of the page.
const SHARED_INFO: u32 = 320;
/// The loopback device, which packets of a test run arrive on.
const LOOPBACK: u32 = 1;
/// Most bytes of metadata (`xdp_metalen_invalid`).
const MAX_META: u32 = 252;

/// A packet and its `xdp_md`.
pub(crate) struct Xdp {
    pub(crate) packet: Packet,
    fields: Fields,
    given: Given,
}

impl Xdp {
    pub(super) fn new(
        buffers: &mut Buffers,
        memory: &Arc<GuestMemory>,
        data: &[u8],
        ctx: Option<&[u8]>,
    ) -> Result<Xdp, InputError> {
        let given = match ctx {
            Some(bytes) => Given::parse(bytes, data.len())?,
            None => Given { meta: 0, ingress_ifindex: 0, rx_queue_index: 0 },
        };
        if data.len() < given.meta as usize + ETH_HLEN {
            return Err(InputError::ShortPacket { len: data.len(), least: given.meta as usize + ETH_HLEN });
        }
        let headroom = XDP_PACKET_HEADROOM as u32 - given.meta;
        let len = u32::try_from(data.len()).map_err(|_| Errno::E2BIG)?;
        let used = headroom.checked_add(len).ok_or(Errno::E2BIG)?;
        let room = used.max(PAGE - SHARED_INFO);
        let tailroom = room - used;
        let area = buffers.packet.take().filter(|a| a.len() == room);
        let packet = Packet::new(area, memory, data, given.meta, headroom, tailroom)?.reserve(XDP_FRAME);
        let fields = Fields::new(buffers.ctx.take(), memory, &XDP_MD)?;
        let ingress = if given.ingress_ifindex == 0 { LOOPBACK } else { given.ingress_ifindex };
        fields.set("ingress_ifindex", u64::from(ingress));
        fields.set("rx_queue_index", u64::from(given.rx_queue_index));
        let xdp = Xdp { packet, fields, given };
        xdp.sync();
        Ok(xdp)
    }

    /// Shows the bounds of the packet to the program.
    pub(crate) fn sync(&self) {
        self.fields.set("data", u64::from(self.packet.data_addr()));
        self.fields.set("data_end", u64::from(self.packet.end_addr()));
        self.fields.set("data_meta", u64::from(self.packet.meta_addr()));
    }

    pub(crate) fn addr(&self) -> u64 {
        self.fields.addr()
    }

    pub(super) fn leave(self, buffers: &mut Buffers) -> Output {
        let data_out = self.packet.with_meta();
        // As `xdp_convert_buff_to_md` has it: offsets from the start of the metadata, the rest as it was given.
        self.fields.set("ingress_ifindex", u64::from(self.given.ingress_ifindex));
        self.fields.set("rx_queue_index", u64::from(self.given.rx_queue_index));
        self.fields.set("egress_ifindex", 0);
        self.fields.set("data", u64::from(self.packet.meta_len()));
        self.fields.set("data_end", data_out.len() as u64);
        self.fields.set("data_meta", 0);
        let ctx_out = self.fields.to_vec();
        buffers.packet = Some(self.packet.into_area());
        buffers.ctx = Some(self.fields.into_area());
        Output { data_out, ctx_out }
    }
}

/// What an `xdp_md` given by the user says.
struct Given {
    meta: u32,
    /// 0 for the loopback device.
    ingress_ifindex: u32,
    rx_queue_index: u32,
}

impl Given {
    fn parse(bytes: &[u8], data_len: usize) -> Result<Given, InputError> {
        let layout = &XDP_MD;
        if bytes.len() > layout.size as usize {
            return Err(InputError::ContextSize {
                given: bytes.len(),
                layout: layout.name,
                size: layout.size,
            });
        }
        let get = |name| super::fields::get(layout, bytes, name) as u32;
        let wrong = |field, why| Err(InputError::Field { layout: layout.name, field, why });
        if get("data_meta") != 0 {
            return wrong("data_meta", "must be 0: metadata is what comes before `data`");
        }
        if get("egress_ifindex") != 0 {
            return wrong("egress_ifindex", "must be 0");
        }
        if get("data_end") as usize != data_len {
            return wrong(
                "data_end",
                "must be the number of bytes given (multi-buffer packets are not supported)",
            );
        }
        let meta = get("data");
        if meta > get("data_end") || meta > MAX_META || meta % 4 != 0 {
            return wrong("data", "is the number of bytes of metadata: a multiple of 4 up to 252");
        }
        let (ifindex, rx_queue_index) = (get("ingress_ifindex"), get("rx_queue_index"));
        if ifindex == 0 && rx_queue_index != 0 {
            return wrong("rx_queue_index", "needs an ingress_ifindex");
        }
        Ok(Given { meta, ingress_ifindex: ifindex, rx_queue_index })
    }
}
