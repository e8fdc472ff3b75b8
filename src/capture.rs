// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packet captures in and out: pcap and pcapng, Ethernet.

use std::fs::File;
use std::io::{BufWriter, Cursor};
use std::path::Path;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, Endianness, TsResolution};

use crate::input;
use crate::report::{Failure, Result};

/// First bytes of a pcapng section header block.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// One captured packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Time since the epoch.
    pub time: Duration,
    /// The bytes that were captured.
    pub data: Vec<u8>,
}

/// Reads all packets of a capture.
pub fn read(path: &Path) -> Result<Vec<Packet>> {
    let bytes = input::read(path)?;
    let name = path.display();
    let fail =
        |e: pcap_file::PcapError| Failure::new(format_args!("`{name}` is not a readable capture: {e}"));
    let mut packets = Vec::new();
    if bytes.starts_with(&PCAPNG_MAGIC) {
        let mut reader = PcapNgReader::new(Cursor::new(&bytes)).map_err(fail)?;
        while let Some(block) = reader.next_block() {
            let packet = match block.map_err(fail)? {
                Block::EnhancedPacket(p) => Packet { time: p.timestamp, data: p.data.into_owned() },
                Block::SimplePacket(p) => Packet { time: Duration::ZERO, data: p.data.into_owned() },
                Block::InterfaceDescription(i) => {
                    ethernet(i.linktype, path)?;
                    continue;
                }
                _ => continue,
            };
            packets.push(packet);
        }
    } else {
        let mut reader = PcapReader::new(Cursor::new(&bytes)).map_err(fail)?;
        ethernet(reader.header().datalink, path)?;
        while let Some(packet) = reader.next_packet() {
            let packet = packet.map_err(fail)?;
            packets.push(Packet { time: packet.timestamp, data: packet.data.into_owned() });
        }
    }
    Ok(packets)
}

/// Programs that take packets expect an Ethernet header in front.
fn ethernet(link: DataLink, path: &Path) -> Result<()> {
    if link == DataLink::ETHERNET {
        return Ok(());
    }
    Err(Failure::unsupported(format_args!(
        "link type {link:?} of `{}`; packet programs start at an Ethernet header",
        path.display()
    )))
}

/// Writes packets as a pcap with nanosecond times.
pub struct Writer(PcapWriter<BufWriter<File>>);

impl Writer {
    /// Creates the file.
    pub fn create(path: &Path) -> Result<Self> {
        let fail =
            |e: &dyn std::fmt::Display| Failure::new(format_args!("cannot write `{}`: {e}", path.display()));
        let file = File::create(path).map_err(|e| fail(&e))?;
        let header = PcapHeader {
            datalink: DataLink::ETHERNET,
            endianness: Endianness::Little,
            ts_resolution: TsResolution::NanoSecond,
            ..PcapHeader::default()
        };
        PcapWriter::with_header(BufWriter::new(file), header).map(Writer).map_err(|e| fail(&e))
    }

    /// Appends a packet.
    pub fn write(&mut self, time: Duration, data: &[u8]) -> Result<()> {
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.0
            .write_packet(&PcapPacket::new(time, len, data))
            .map(|_| ())
            .map_err(|e| Failure::new(format_args!("cannot write the output capture: {e}")))
    }
}
