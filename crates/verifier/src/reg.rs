// SPDX-License-Identifier: GPL-2.0-only
//! `struct bpf_reg_state`: what is known of one register or spilled register.
//!
//! A plain value without references, so that states are copied and compared as bytes are. What the kernel keeps
//! in a union is three words here too, with an accessor for each meaning; all zero is "nothing".

use crate::reg_type::{NOT_INIT, PTR_TO_PACKET, PTR_TO_PACKET_META, RegType, SCALAR_VALUE};
use crate::scalar::Scalar;

/// `DEF_NOT_SUBREG`: no 32-bit definition is pending.
pub(crate) const DEF_NOT_SUBREG: i32 = 0;

/// `BPF_ADD_CONST64`: a scalar that is a constant away from the others with its id.
pub(crate) const BPF_ADD_CONST64: u32 = 1 << 31;
/// `BPF_ADD_CONST32`: the same, with the sum cut to 32 bits.
pub(crate) const BPF_ADD_CONST32: u32 = 1 << 30;
/// `BPF_ADD_CONST`: either.
pub(crate) const BPF_ADD_CONST: u32 = BPF_ADD_CONST64 | BPF_ADD_CONST32;

/// A map of the program, or the template of an inner map: position in the verifier's list, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MapRef(std::num::NonZeroU32);

impl MapRef {
    pub(crate) fn new(index: usize) -> MapRef {
        MapRef(std::num::NonZeroU32::MIN.saturating_add(index as u32))
    }

    /// Position in the list, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// How a number hangs together with others of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The id that they share.
    pub id: u32,
    /// It is this much more than those that are not away from their id.
    pub distance: i32,
    /// The sum was cut to 32 bits.
    pub is_32bit: bool,
}

/// State of one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg {
    /// What it holds.
    pub ty: RegType,
    /// Fixed part of a pointer's offset; of a scalar with `BPF_ADD_CONST` the distance to the others of its id.
    pub off: i32,
    /// The kernel's union.
    pub(crate) extra: [u32; 3],
    /// The number, or the variable part of a pointer's offset.
    pub val: Scalar,
    /// Registers with the same id hold the same unknown.
    pub id: u32,
    /// The reference that it came from.
    pub ref_obj_id: u32,
    /// Frame that a stack pointer points into.
    pub frameno: u32,
    /// Instruction that defined the low half, plus 1.
    pub subreg_def: i32,
    /// The exact value of the scalar mattered.
    pub precise: bool,
}

impl Reg {
    /// A register that nothing was written to: its number is unbounded (`init_reg_state`).
    pub(crate) const NOT_INIT: Reg = Reg { ty: NOT_INIT, ..Reg::UNKNOWN };

    /// An unknown scalar that nobody asked to be precise.
    pub(crate) const UNKNOWN: Reg = Reg {
        ty: SCALAR_VALUE,
        off: 0,
        extra: [0; 3],
        val: Scalar::UNKNOWN,
        id: 0,
        ref_obj_id: 0,
        frameno: 0,
        subreg_def: DEF_NOT_SUBREG,
        precise: false,
    };

    /// All bytes zero, as a fresh stack slot of the kernel is.
    pub(crate) const ZEROED: Reg = Reg { ty: NOT_INIT, val: Scalar::ZEROED, ..Reg::UNKNOWN };

    /// The link of a scalar to others, where it has one.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        let linked = self.ty == SCALAR_VALUE && self.id != 0;
        linked.then_some(Link {
            id: self.id & !BPF_ADD_CONST,
            distance: if self.id & BPF_ADD_CONST == 0 { 0 } else { self.off },
            is_32bit: self.id & BPF_ADD_CONST32 != 0,
        })
    }

    /// Bytes known to be there behind a packet pointer.
    #[must_use]
    pub fn range(&self) -> i32 {
        self.extra[0] as i32
    }
    pub(crate) fn set_range(&mut self, range: i32) {
        self.extra[0] = range as u32;
    }

    /// The map of `CONST_PTR_TO_MAP`, `PTR_TO_MAP_VALUE` and `PTR_TO_MAP_KEY`.
    #[must_use]
    pub fn map(&self) -> Option<MapRef> {
        std::num::NonZeroU32::new(self.extra[0]).map(MapRef)
    }
    pub(crate) fn set_map(&mut self, map: MapRef) {
        self.extra[0] = map.0.get();
    }
    /// Tells lookups of inner maps apart; 0 for maps that are none.
    #[must_use]
    pub fn map_uid(&self) -> u32 {
        self.extra[1]
    }
    pub(crate) fn set_map_uid(&mut self, uid: u32) {
        self.extra[1] = uid;
    }

    /// Bytes of `PTR_TO_MEM`.
    #[must_use]
    pub fn mem_size(&self) -> u32 {
        self.extra[0]
    }
    pub(crate) fn set_mem_size(&mut self, size: u32) {
        self.extra[0] = size;
    }
    /// The dynptr that a slice is of.
    #[must_use]
    pub fn dynptr_id(&self) -> u32 {
        self.extra[1]
    }
    pub(crate) fn set_dynptr_id(&mut self, id: u32) {
        self.extra[1] = id;
    }

    /// BTF object (0 for the kernel's) and type of `PTR_TO_BTF_ID`.
    #[must_use]
    pub fn btf(&self) -> (u32, u32) {
        (self.extra[0], self.extra[1])
    }

    /// The function of `PTR_TO_FUNC`.
    #[must_use]
    pub fn subprogno(&self) -> u32 {
        self.extra[0]
    }
    pub(crate) fn set_subprogno(&mut self, subprog: u32) {
        self.extra[0] = subprog;
    }

    /// The kind of a dynptr (`enum bpf_dynptr_type`) and whether this is its first slot.
    #[must_use]
    pub fn dynptr(&self) -> (u32, bool) {
        (self.extra[0], self.extra[1] != 0)
    }
    pub(crate) fn set_dynptr(&mut self, kind: u32, first_slot: bool) {
        self.extra[0] = kind;
        self.extra[1] = first_slot.into();
    }

    /// `reg_is_pkt_pointer`.
    #[must_use]
    pub fn is_pkt_pointer(&self) -> bool {
        matches!(self.ty, PTR_TO_PACKET | PTR_TO_PACKET_META)
    }

    /// `tnum_is_const(reg->var_off)`.
    #[must_use]
    pub fn is_const_offset(&self) -> bool {
        self.val.var_off.is_const()
    }

    /// `register_is_null`: the number zero.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.ty == SCALAR_VALUE && self.val.var_off.equals_const(0)
    }

    /// Whether type, offset and union are the same: the bytes in front of `var_off` in the kernel's structure.
    pub(crate) fn same_head(&self, other: &Reg) -> bool {
        self.ty == other.ty && self.off == other.off && self.extra == other.extra
    }

    /// `__mark_reg_known`: the number `imm`; the type stays, offset and ids go. (`___mark_reg_known`, which keeps
    /// all but the number, is an assignment of [`Scalar::constant`] to `val`.)
    pub(crate) fn mark_known(&mut self, imm: u64) {
        self.off = 0;
        self.extra = [0; 3];
        self.val = Scalar::constant(imm);
        self.id = 0;
        self.ref_obj_id = 0;
    }

    /// `clear_scalar_id`: the number is linked to none.
    pub(crate) fn clear_scalar_id(&mut self) {
        self.id = 0;
        self.off = 0;
    }

    /// `__mark_reg_known_zero`: as variable offset of a pointer.
    pub(crate) fn mark_known_zero(&mut self) {
        self.mark_known(0);
    }

    /// `__mark_reg_const_zero`: the number zero, precise where `precise` says so (`!env->bpf_capable`).
    pub(crate) fn mark_const_zero(&mut self, precise: bool) {
        self.mark_known(0);
        self.ty = SCALAR_VALUE;
        self.precise = precise;
    }

    /// `__mark_reg_unknown_imprecise`: any number. `subreg_def` stays.
    pub(crate) fn mark_unknown_imprecise(&mut self) {
        *self = Reg { subreg_def: self.subreg_def, ..Reg::UNKNOWN };
    }
}
