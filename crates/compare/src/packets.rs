// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets for comparisons: Ethernet frames of every kind that programs parse, and damaged ones. The same seed
//! gives the same packets.

/// Lengths at which parsers change their mind: header ends, one byte around them, page and MTU sizes.
const EDGES: [usize; 16] = [14, 15, 17, 33, 34, 35, 41, 42, 53, 54, 55, 60, 61, 128, 590, 1514];

/// Ports that programs ask for.
const PORTS: [u16; 8] = [22, 53, 80, 123, 443, 8080, 9, 65535];

/// Makes packets without end.
#[derive(Clone, Debug)]
pub struct Packets {
    state: u64,
}

impl Packets {
    /// A generator.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Any seed will do but zero, where xorshift stays.
        Packets { state: seed ^ 0x9e37_79b9_7f4a_7c15 | 1 }
    }

    /// xorshift64*, see Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
    fn random(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.random() % limit.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.random() as u8).collect()
    }

    /// A transport header with its payload, for an IP protocol.
    fn transport(&mut self, protocol: u8) -> Vec<u8> {
        let payload_len = self.below(80);
        let payload = self.bytes(payload_len);
        let ports = [PORTS[self.below(PORTS.len())], self.random() as u16];
        let mut out: Vec<u8> = [ports[1], ports[0]].iter().flat_map(|p| p.to_be_bytes()).collect();
        match protocol {
            6 => {
                out.extend(self.bytes(8));
                out.push(5 << 4);
                out.push(1 << self.below(6));
                out.extend(self.bytes(6));
            }
            17 => {
                out.extend(((payload.len() + 8) as u16).to_be_bytes());
                out.extend([0, 0]);
            }
            _ => out = vec![self.pick(&[8, 0, 128, 135]), 0, 0, 0],
        }
        out.extend(payload);
        out
    }

    fn ipv4(&mut self) -> Vec<u8> {
        let protocol = self.pick(&[6, 17, 1, 47, 6, 17]);
        let body = self.transport(protocol);
        let options = if self.below(8) == 0 { 4 * self.below(11) } else { 0 };
        let mut out = vec![0x45 + (options / 4) as u8, 0];
        out.extend(((20 + options + body.len()) as u16).to_be_bytes());
        out.extend(self.bytes(2));
        out.extend(self.pick(&[[0x40, 0], [0, 0], [0x20, 0], [0, 5]]));
        out.extend([self.pick(&[64, 1, 0, 255]), protocol, 0, 0]);
        // Few sources, so that elements of maps meet again.
        out.extend([10, 0, 0, self.below(16) as u8]);
        out.extend([192, 168, 1, self.below(4) as u8]);
        out.extend(self.bytes(options));
        let sum = out.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum::<u32>();
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        out[10..12].copy_from_slice(&sum.to_be_bytes());
        out.extend(body);
        out
    }

    fn ipv6(&mut self) -> Vec<u8> {
        let protocol = self.pick(&[6, 17, 58, 0, 43]);
        let body = self.transport(protocol);
        let mut out = vec![0x60, 0, 0, 0];
        out.extend((body.len() as u16).to_be_bytes());
        out.extend([protocol, self.pick(&[64, 1])]);
        for _ in 0..2 {
            out.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            out.push(self.below(8) as u8);
        }
        out.extend(body);
        out
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut out = vec![2, 0, 0, 0, 0, self.below(4) as u8, 2, 0, 0, 0, 1, self.below(4) as u8];
        if self.below(8) == 0 {
            out.extend([0x81, 0x00, 0, self.below(5) as u8]);
        }
        match self.below(8) {
            0..=3 => {
                out.extend([0x08, 0x00]);
                out.extend(self.ipv4());
            }
            4..=5 => {
                out.extend([0x86, 0xdd]);
                out.extend(self.ipv6());
            }
            6 => {
                out.extend([0x08, 0x06]);
                out.extend(self.bytes(28));
            }
            _ => {
                out.extend(self.bytes(2));
                let len = self.below(200);
                out.extend(self.bytes(len));
            }
        }
        out
    }
}

impl Iterator for Packets {
    type Item = Vec<u8>;

    /// The next packet: at least the 14 bytes of an Ethernet header, at most 1,514.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut packet = self.frame();
        match self.below(10) {
            // Cut short, or filled up, to a length at the edge of a header.
            0..=2 => packet.resize(self.pick(&EDGES), 0),
            // One byte flipped.
            3 => {
                let at = self.below(packet.len());
                packet[at] ^= 1 << self.below(8);
            }
            _ => {}
        }
        packet.resize(packet.len().clamp(14, 1514), 0);
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_repeat_and_keep_their_bounds() {
        let packets: Vec<_> = Packets::new(7).take(2000).collect();
        assert_eq!(packets, Packets::new(7).take(2000).collect::<Vec<_>>());
        assert_ne!(packets, Packets::new(9).take(2000).collect::<Vec<_>>());
        assert!(packets.iter().all(|p| (14..=1514).contains(&p.len())));
        let kinds = |ethertype: [u8; 2]| packets.iter().filter(|p| p[12..14] == ethertype).count();
        for ethertype in [[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06], [0x81, 0x00]] {
            assert!(kinds(ethertype) > 100, "{ethertype:x?}: {}", kinds(ethertype));
        }
    }
}
