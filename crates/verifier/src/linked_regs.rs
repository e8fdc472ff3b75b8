// SPDX-License-Identifier: GPL-2.0-only
//! Registers and slots that hold the same unknown, as the history of jumps remembers them
//! (`struct linked_regs @ 6.18`): six of them in 64 bits.

/// `LINKED_REGS_MAX`.
const MAX: usize = 6;
/// Bits of an entry: frame (3), register or slot (6), which of both (1).
const ENTRY_BITS: u32 = 10;
/// Bits of the count.
const SIZE_BITS: u32 = 4;

/// A register or stack slot of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkedReg {
    pub frameno: u32,
    pub is_reg: bool,
    /// Register number, or index of the slot.
    pub regno_or_spi: u32,
}

/// At most six of them; what comes later is dropped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkedRegs {
    cnt: usize,
    entries: [LinkedReg; MAX],
}

impl LinkedRegs {
    /// `linked_regs_push`: `false` where there is no room.
    pub(crate) fn push(&mut self, reg: LinkedReg) -> bool {
        let Some(entry) = self.entries.get_mut(self.cnt) else { return false };
        *entry = reg;
        self.cnt += 1;
        true
    }

    pub(crate) fn as_slice(&self) -> &[LinkedReg] {
        &self.entries[..self.cnt]
    }

    /// `linked_regs_pack`.
    pub(crate) fn pack(&self) -> u64 {
        let packed = self.as_slice().iter().fold(0, |packed, reg| {
            let entry = reg.frameno | reg.regno_or_spi << 3 | u32::from(reg.is_reg) << 9;
            packed << ENTRY_BITS | u64::from(entry)
        });
        packed << SIZE_BITS | self.cnt as u64
    }

    /// `linked_regs_unpack`. The order is the reverse of the one packed.
    pub(crate) fn unpack(packed: u64) -> LinkedRegs {
        let mut regs = LinkedRegs::default();
        let count = packed & ((1 << SIZE_BITS) - 1);
        let mut rest = packed >> SIZE_BITS;
        for _ in 0..count {
            let entry = rest as u32;
            regs.push(LinkedReg {
                frameno: entry & 7,
                regno_or_spi: entry >> 3 & 0x3f,
                is_reg: entry >> 9 & 1 != 0,
            });
            rest >>= ENTRY_BITS;
        }
        regs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let mut regs = LinkedRegs::default();
        let given: Vec<_> =
            (0..6).map(|i| LinkedReg { frameno: i % 8, is_reg: i % 2 == 0, regno_or_spi: 63 - i }).collect();
        assert!(given.iter().all(|&reg| regs.push(reg)));
        assert!(!regs.push(given[0]));
        let mut back = LinkedRegs::unpack(regs.pack()).as_slice().to_vec();
        back.reverse();
        assert_eq!(back, given);
    }
}
