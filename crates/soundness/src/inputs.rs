// SPDX-License-Identifier: GPL-2.0-only
//! Random numbers, and the inputs and contents of maps that are made of them.

use skep_program::Object;
use skep_uapi::context::{Kind, kind_of};
use skep_uapi::flags::map_create::BPF_F_RDONLY_PROG;
use skep_uapi::{MapType, ProgType};
use skep_vm::{Input, Machine};

/// Numbers that comparisons and overflows are likely to turn on.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
];
/// Values that are written to a map before a run.
const VALUES: u64 = 4;

/// A source of choices: given bytes first, then a sequence that a seed starts.
#[derive(Clone, Debug)]
pub struct Random<'b> {
    bytes: &'b [u8],
    state: u64,
}

impl<'b> Random<'b> {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Random<'static> {
        Random { bytes: &[], state: seed }
    }

    /// Choices that a fuzzer makes; the same sequence for all follows behind their end.
    #[must_use]
    pub fn from_bytes(bytes: &'b [u8]) -> Random<'b> {
        Random { bytes, state: 0 }
    }

    /// 64 bits (splitmix64).
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A choice among `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        match self.bytes.split_first() {
            Some((&byte, rest)) if n <= 256 => {
                self.bytes = rest;
                u64::from(byte) % n
            }
            _ => self.number() % n,
        }
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number that is likely to matter.
    pub fn edgy(&mut self) -> u64 {
        let edge = self.pick(&EDGES).wrapping_add(self.below(5)).wrapping_sub(2);
        match self.below(8) {
            0..=2 => self.below(64),
            3..=4 => edge,
            5 => edge.wrapping_neg(),
            6 => self.number() >> self.below(64),
            _ => self.number(),
        }
    }

    /// Bytes that are likely to matter.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            let number = if self.one_in(3) { self.number() } else { self.edgy() };
            bytes.extend_from_slice(&number.to_le_bytes()[..self.pick(&[1, 2, 4, 8])]);
        }
        bytes.truncate(len);
        bytes
    }
}

/// The input of one run.
#[derive(Debug)]
pub(crate) enum Given {
    None,
    Packet(Vec<u8>),
    Context(Vec<u8>),
}

impl Given {
    /// An input for programs of a type.
    pub fn new(prog_type: ProgType, random: &mut Random<'_>) -> Given {
        match kind_of(prog_type) {
            Some(Kind::Xdp | Kind::SkBuff { .. } | Kind::FlowDissector) => {
                let len = random.pick(&[14, 15, 22, 34, 54, 64, 100, 300]) + random.below(3);
                let mut packet = random.bytes(len as usize);
                // An IPv4 packet is more of a packet than noise.
                if packet.len() >= 34 && random.one_in(2) {
                    packet[12..15].copy_from_slice(&[8, 0, 0x45]);
                }
                Given::Packet(packet)
            }
            Some(Kind::Opaque) => Given::Context(random.bytes(4096)),
            // Its numbers are anything; other structures have pointers.
            Some(Kind::Struct(layout)) if prog_type == ProgType::KPROBE => {
                Given::Context(random.bytes(layout.size as usize))
            }
            Some(Kind::Struct(_)) | None => Given::None,
        }
    }

    pub fn as_input(&self) -> Input<'_> {
        match self {
            Given::None => Input::None,
            Given::Packet(data) => Input::Packet { data, ctx: None },
            Given::Context(ctx) => Input::Context(ctx),
        }
    }
}

/// Writes values to maps whose contents are plain bytes.
pub(crate) fn fill_maps(machine: &Machine, object: &Object, random: &mut Random<'_>) {
    for (spec, map) in object.maps.iter().zip(machine.maps()) {
        let is_plain = matches!(
            map.map_type(),
            MapType::ARRAY
                | MapType::PERCPU_ARRAY
                | MapType::HASH
                | MapType::LRU_HASH
                | MapType::PERCPU_HASH
                | MapType::LRU_PERCPU_HASH
        );
        if !is_plain || spec.frozen || map.flags() & BPF_F_RDONLY_PROG != 0 {
            continue;
        }
        for i in 0..VALUES.min(map.max_entries().into()) {
            let index = map.key_size() == 4 && random.below(4) != 0;
            let key =
                if index { (i as u32).to_le_bytes().to_vec() } else { random.bytes(map.key_size() as usize) };
            let value = random.bytes(map.user_value_size() as usize);
            // A full table or an index that is out of range is as good.
            let _ = machine.update(map, &key, &value, 0);
        }
    }
}
