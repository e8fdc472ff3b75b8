// SPDX-License-Identifier: GPL-2.0-only
//! Random inputs and contents of maps.

use skep_program::Object;
use skep_smith::Random;
use skep_uapi::context::{Kind, Value, kind_of};
use skep_uapi::flags::map_create::BPF_F_RDONLY_PROG;
use skep_uapi::{MapType, ProgType};
use skep_vm::{Input, Machine};

/// Values that are written to a map before a run.
const VALUES: u64 = 4;

/// The input of one run.
#[derive(Debug)]
pub enum Given {
    /// Nothing: there is none for the type, or it has pointers.
    None,
    /// A packet, which may be too short.
    Packet(Vec<u8>),
    /// A context's bytes.
    Context(Vec<u8>),
}

impl Given {
    /// An input for programs of a type.
    #[must_use]
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

    /// Whether contexts of a type can be made: those with pointers to what only a kernel has cannot.
    pub(crate) fn exists(prog_type: ProgType) -> bool {
        match kind_of(prog_type) {
            Some(Kind::Struct(layout)) => layout.fields.iter().all(|field| field.value == Value::Scalar),
            Some(_) => true,
            None => false,
        }
    }

    /// As a run takes it.
    #[must_use]
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
