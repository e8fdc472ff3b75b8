// SPDX-License-Identifier: MIT OR Apache-2.0
//! `struct __sk_buff` over a packet, as `bpf_prog_test_run_skb` of Linux 6.18 sets it up: received on the loopback
//! device, with a socket of its own. Programs of tc see the packet from its Ethernet header, the others from the
//! network header; what comes back then has a zeroed Ethernet header, as the kernel's has.

use std::sync::Arc;

use skep_isa::Size;
use skep_uapi::context::{SK_BUFF, SK_BUFF_TEST_RUN};
use skep_uapi::limits::ETH_HLEN;

use super::fields::{self, Fields};
use super::packet::Packet;
use super::{Buffers, InputError, Output};
use crate::memory::GuestMemory;

/// Bytes before the packet (`NET_SKB_PAD`); helpers that need more move the packet.
const HEADROOM: u32 = 64;
const LOOPBACK: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
/// Offsets of `LD_ABS` from here up are relative to the network header (`SKF_NET_OFF`).
const SKF_NET_OFF: i32 = -0x10_0000;
/// Offsets of `LD_ABS` from here up are relative to the link-layer header (`SKF_LL_OFF`).
const SKF_LL_OFF: i32 = -0x20_0000;

/// `pkt_type` values of `linux/if_packet.h`.
const PACKET_HOST: u64 = 0;
const PACKET_MULTICAST: u64 = 2;
const PACKET_OTHERHOST: u64 = 3;

/// A protocol of the network layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkProtocol {
    Ipv4,
    Ipv6,
}

impl NetworkProtocol {
    /// By the bytes of its EtherType.
    fn of(ethertype: [u8; 2]) -> Option<NetworkProtocol> {
        match ethertype {
            [0x08, 0x00] => Some(NetworkProtocol::Ipv4),
            [0x86, 0xdd] => Some(NetworkProtocol::Ipv6),
            _ => None,
        }
    }
}

/// A packet and its `__sk_buff`.
pub(crate) struct SkBuff {
    pub(crate) packet: Packet,
    pub(crate) fields: Fields,
    /// Whether the packet started at its Ethernet header.
    l2: bool,
    /// The Ethernet header that is not part of the packet of a program without link layer.
    mac: [u8; ETH_HLEN],
    /// Bytes from the start of the packet to the network header.
    pub(crate) network: i32,
    /// Bytes from the start of the packet to its link-layer header.
    pub(crate) link: i32,
    /// Wrapped in an outer header by `bpf_skb_adjust_room`.
    pub(crate) encapsulation: bool,
    /// Checksums that were checked already, less one; `None` where nobody looked (`CHECKSUM_NONE`).
    pub(crate) csum_level: Option<u8>,
}

impl SkBuff {
    pub(super) fn new(
        buffers: &mut Buffers,
        memory: &Arc<GuestMemory>,
        l2: bool,
        data: &[u8],
        ctx: Option<&[u8]>,
    ) -> Result<SkBuff, InputError> {
        let Some((mac, l3)) = data.split_first_chunk::<ETH_HLEN>() else {
            return Err(InputError::ShortPacket { len: data.len(), least: ETH_HLEN });
        };
        let protocol = protocol(mac, l3);
        // The kernel refuses packets that end inside of the network header.
        let least = match protocol {
            [0x08, 0x00] => 20,
            [0x86, 0xdd] => 40,
            _ => 0,
        };
        if l3.len() < least {
            return Err(InputError::ShortPacket { len: data.len(), least: ETH_HLEN + least });
        }
        let shown = if l2 { data } else { l3 };
        let packet = Packet::new(buffers.packet.take(), memory, shown, 0, HEADROOM, 0)?;
        let fields = Fields::new(buffers.ctx.take(), memory, &SK_BUFF)?;
        fields.set("pkt_type", pkt_type(mac));
        fields.set("protocol", u64::from(u16::from_le_bytes(protocol)));
        fields.set("ifindex", LOOPBACK);
        socket(&fields, protocol, l3);
        if let Some(ctx) = ctx {
            take_context(&fields, ctx, packet.len())?;
        }
        let (link, network) = if l2 { (0, ETH_HLEN as i32) } else { (-(ETH_HLEN as i32), 0) };
        let (encapsulation, csum_level) = (false, None);
        let skb = SkBuff { packet, fields, l2, mac: *mac, network, link, encapsulation, csum_level };
        skb.sync();
        Ok(skb)
    }

    /// Shows the bounds of the packet to the program.
    pub(crate) fn sync(&self) {
        self.fields.set("len", u64::from(self.packet.len()));
        self.fields.set("data", u64::from(self.packet.data_addr()));
        self.fields.set("data_end", u64::from(self.packet.end_addr()));
        self.fields.set("data_meta", u64::from(self.packet.meta_addr()));
    }

    /// The protocol of the network layer, where it is one that helpers know.
    pub(crate) fn network_protocol(&self) -> Option<NetworkProtocol> {
        NetworkProtocol::of((self.fields.get("protocol") as u16).to_le_bytes())
    }

    /// As [`SkBuff::network_protocol`], but behind VLAN tags in the packet (`skb_protocol` with `skip_vlan`).
    pub(crate) fn protocol_behind_tags(&self) -> Option<NetworkProtocol> {
        let mut protocol = (self.fields.get("protocol") as u16).to_le_bytes();
        let mut at = ETH_HLEN as u32;
        while let [0x81, 0x00] | [0x88, 0xa8] = protocol {
            self.read_from(self.link, at + 2, &mut protocol)?;
            at += 4;
        }
        NetworkProtocol::of(protocol)
    }

    pub(crate) fn addr(&self) -> u64 {
        self.fields.addr()
    }

    /// Bytes of the packet for helpers that count from the link-layer or network header: reads at an offset
    /// that may reach before the first byte of a program without link layer.
    pub(crate) fn read_from(&self, base: i32, offset: u32, out: &mut [u8]) -> Option<()> {
        let start = i64::from(base) + i64::from(offset);
        if let Ok(start) = u32::try_from(start) {
            return self.packet.read(start, out);
        }
        // Before the packet lies its Ethernet header.
        for (i, byte) in out.iter_mut().enumerate() {
            let at = start + i as i64;
            *byte = match u32::try_from(at) {
                Ok(inside) => {
                    let mut one = [0];
                    self.packet.read(inside, &mut one)?;
                    one[0]
                }
                Err(_) if self.link >= 0 => return None,
                Err(_) => *self.mac.get(usize::try_from(at + ETH_HLEN as i64).ok()?)?,
            };
        }
        Some(())
    }

    /// `LD_ABS` and `LD_IND`: a load at an offset, in host order; negative offsets count from the network or
    /// link-layer header (`bpf_internal_load_pointer_neg_helper`).
    pub(super) fn load(&self, size: Size, offset: i32) -> Option<u64> {
        let (base, offset) = match offset {
            0.. => (0, offset),
            SKF_NET_OFF..0 => (self.network, offset - SKF_NET_OFF),
            SKF_LL_OFF..SKF_NET_OFF => (self.link, offset - SKF_LL_OFF),
            _ => return None,
        };
        let mut bytes = [0; 8];
        let part = &mut bytes[8 - size.bytes()..];
        self.read_from(base, u32::try_from(offset).ok()?, part)?;
        Some(u64::from_be_bytes(bytes))
    }

    pub(super) fn leave(self, buffers: &mut Buffers) -> Output {
        let mut data_out = if self.l2 { Vec::new() } else { vec![0; ETH_HLEN] };
        data_out.extend(self.packet.to_vec());
        let ctx_out = self.fields.copy_out(SK_BUFF_TEST_RUN);
        buffers.packet = Some(self.packet.into_area());
        buffers.ctx = Some(self.fields.into_area());
        Output { data_out, ctx_out }
    }
}

/// The protocol in network byte order as `eth_type_trans` finds it: a length instead of a type says IEEE 802.3,
/// either raw (`ETH_P_802_3`) or with a logical link header (`ETH_P_802_2`).
fn protocol(mac: &[u8; ETH_HLEN], l3: &[u8]) -> [u8; 2] {
    const LEAST_TYPE: u16 = 0x0600;
    let given = [mac[12], mac[13]];
    match l3 {
        _ if u16::from_be_bytes(given) >= LEAST_TYPE => given,
        [0xff, 0xff, ..] => [0x00, 0x01],
        _ => [0x00, 0x04],
    }
}

/// What `eth_type_trans` makes of the destination. Address and broadcast address of the loopback device are 0.
fn pkt_type(mac: &[u8; ETH_HLEN]) -> u64 {
    match &mac[..6] {
        [0, 0, 0, 0, 0, 0] => PACKET_HOST,
        [first, ..] if first & 1 != 0 => PACKET_MULTICAST,
        _ => PACKET_OTHERHOST,
    }
}

/// The socket that a test run puts behind the packet: local is the packet's source, remote its destination.
fn socket(fields: &Fields, protocol: [u8; 2], l3: &[u8]) {
    let word =
        |at: usize| l3.get(at..at + 4).map_or(0, |b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    match protocol {
        [0x08, 0x00] => {
            fields.set("family", AF_INET);
            fields.set("local_ip4", word(12));
            fields.set("remote_ip4", word(16));
        }
        [0x86, 0xdd] => {
            fields.set("family", AF_INET6);
            for i in 0..4 {
                fields.set_element("local_ip6", i, word(8 + 4 * i as usize));
                fields.set_element("remote_ip6", i, word(24 + 4 * i as usize));
            }
        }
        _ => {}
    }
}

/// Takes over what a context given by the user may say (`convert___skb_to_skb`).
fn take_context(target: &Fields, ctx: &[u8], len: u32) -> Result<(), InputError> {
    let layout = &SK_BUFF;
    // A longer structure of a newer kernel is fine as long as the rest is 0 (`bpf_check_uarg_tail_zero`).
    let (known, rest) = ctx.split_at(ctx.len().min(layout.size as usize));
    if rest.iter().any(|b| *b != 0) {
        return Err(InputError::ContextSize { given: ctx.len(), layout: layout.name, size: layout.size });
    }
    if let Some(field) = fields::first_nonzero_outside(layout, known, SK_BUFF_TEST_RUN) {
        return Err(InputError::Field {
            layout: layout.name,
            field,
            why: "must be 0 in the context of a run",
        });
    }
    let given = |name| fields::get(layout, known, name);
    target.copy_in(SK_BUFF_TEST_RUN, known);
    if given("ifindex") == 0 {
        target.set("ifindex", LOOPBACK);
    }
    match given("wire_len") {
        0 => target.set("wire_len", u64::from(len)),
        n if n < u64::from(len) || n > 65536 => {
            let why = "must be at least the length of the packet, and at most 65536";
            return Err(InputError::Field { layout: layout.name, field: "wire_len", why });
        }
        _ => {}
    }
    Ok(())
}
