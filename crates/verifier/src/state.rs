// SPDX-License-Identifier: GPL-2.0-only
//! The state of a path: frames with registers and stack, held references, history of jumps
//! (`struct bpf_verifier_state`, `struct bpf_func_state` @ 6.18).

use crate::reg::Reg;
use crate::reg_type::PTR_TO_STACK;

/// Registers of a frame, `r10` included (`MAX_BPF_REG`).
pub(crate) const MAX_BPF_REG: usize = 11;
/// The frame pointer (`BPF_REG_FP`).
pub(crate) const BPF_REG_FP: u32 = 10;
/// Bytes of a register and of a stack slot (`BPF_REG_SIZE`).
pub(crate) const BPF_REG_SIZE: i32 = 8;
/// `BPF_MAIN_FUNC`: the call site of a function that nobody calls.
pub(crate) const BPF_MAIN_FUNC: i32 = -1;
/// `caller_saved`: registers that a call overwrites.
pub(crate) const CALLER_SAVED: std::ops::Range<u32> = 0..6;

/// `enum bpf_stack_slot_type`: what is known of a byte of stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Slot {
    /// Nothing was stored.
    #[default]
    Invalid,
    /// Part of a spilled register.
    Spill,
    /// Something was stored.
    Misc,
    /// Zero was stored.
    Zero,
    /// Part of a dynptr.
    Dynptr,
    /// Part of an iterator.
    Iter,
    /// Part of saved interrupt flags.
    IrqFlag,
}

/// Eight bytes of stack (`struct bpf_stack_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackSlot {
    /// The register spilled here, where the bytes say so.
    pub spilled: Reg,
    /// The bytes, from the highest address down, as the kernel has them.
    pub bytes: [Slot; BPF_REG_SIZE as usize],
}

impl StackSlot {
    pub(crate) const EMPTY: StackSlot = StackSlot { spilled: Reg::ZEROED, bytes: [Slot::Invalid; 8] };

    /// `is_spilled_reg`: a register, at least in part.
    #[must_use]
    pub fn is_spilled(&self) -> bool {
        self.bytes[7] == Slot::Spill
    }

    /// `is_spilled_scalar_reg`.
    #[must_use]
    pub fn is_spilled_scalar(&self) -> bool {
        self.is_spilled() && self.spilled.ty == crate::reg_type::SCALAR_VALUE
    }

    /// `is_spilled_scalar_reg64`: all eight bytes of a scalar.
    #[must_use]
    pub fn is_spilled_scalar64(&self) -> bool {
        self.bytes[0] == Slot::Spill && self.spilled.ty == crate::reg_type::SCALAR_VALUE
    }
}

/// `struct bpf_retval_range`: numbers that a function may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RetvalRange {
    /// Least.
    pub min: i32,
    /// Greatest.
    pub max: i32,
}

impl RetvalRange {
    pub(crate) const fn new(min: i32, max: i32) -> RetvalRange {
        RetvalRange { min, max }
    }

    /// `retval_range_within`: every number of `val` is one of these, seen as 32 or as 64 bits.
    pub(crate) fn covers(self, val: &crate::scalar::Scalar, return_32bit: bool) -> bool {
        if return_32bit {
            self.min <= val.s32_min && val.s32_max <= self.max
        } else {
            i64::from(self.min) <= val.smin && val.smax <= i64::from(self.max)
        }
    }
}

/// A frame (`struct bpf_func_state`).
#[derive(Debug)]
pub struct FuncState {
    /// `r0` to `r10`.
    pub regs: [Reg; MAX_BPF_REG],
    /// Instruction that called, or `BPF_MAIN_FUNC`.
    pub callsite: i32,
    /// Position in the call chain, from 0.
    pub frameno: u32,
    /// Which function of the program.
    pub subprogno: u32,
    /// Tells the starts of an asynchronous callback apart.
    pub(crate) async_entry_cnt: u32,
    /// What a callback may return.
    pub(crate) callback_ret_range: RetvalRange,
    /// Called by a helper, as its callback.
    pub in_callback_fn: bool,
    /// Called later, by a timer for instance.
    pub in_async_callback_fn: bool,
    /// The program's exception callback.
    pub(crate) in_exception_callback_fn: bool,
    /// How often the callback of the call in this frame was simulated.
    pub(crate) callback_depth: u32,
    /// Slots from the frame pointer down: the first is `fp-8`.
    pub stack: Vec<StackSlot>,
}

// By hand for `clone_from`, which keeps the memory of the stack.
impl Clone for FuncState {
    fn clone(&self) -> FuncState {
        FuncState { stack: self.stack.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &FuncState) {
        let mut stack = std::mem::take(&mut self.stack);
        stack.clone_from(&source.stack);
        *self = FuncState { stack, ..*source };
    }
}

impl FuncState {
    /// `init_func_state`: nothing is known but the frame pointer. `precise` is `!env->bpf_capable`.
    pub(crate) fn new(callsite: i32, frameno: u32, subprogno: u32, precise: bool) -> FuncState {
        let mut regs = [Reg { precise, ..Reg::NOT_INIT }; MAX_BPF_REG];
        let fp = &mut regs[BPF_REG_FP as usize];
        fp.ty = PTR_TO_STACK;
        fp.mark_known_zero();
        fp.frameno = frameno;
        FuncState {
            regs,
            callsite,
            frameno,
            subprogno,
            async_entry_cnt: 0,
            callback_ret_range: RetvalRange::new(0, 0),
            in_callback_fn: false,
            in_async_callback_fn: false,
            in_exception_callback_fn: false,
            callback_depth: 0,
            stack: Vec::new(),
        }
    }

    /// Bytes of stack that are tracked (`allocated_stack`).
    #[must_use]
    pub fn allocated_stack(&self) -> i32 {
        self.stack.len() as i32 * BPF_REG_SIZE
    }
}

/// `enum ref_state_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefType {
    /// An object that must be released.
    Ptr,
    /// Saved interrupt flags.
    Irq,
    /// A `bpf_spin_lock`.
    Lock,
    /// A `bpf_res_spin_lock`.
    ResLock,
    /// A `bpf_res_spin_lock` that disabled interrupts.
    ResLockIrq,
}

impl RefType {
    /// `REF_TYPE_LOCK_MASK`.
    pub(crate) const fn is_lock(self) -> bool {
        matches!(self, RefType::Lock | RefType::ResLock | RefType::ResLockIrq)
    }
}

/// What a lock is in: stands for the kernel's pointer in `active_lock_ptr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockPtr {
    /// A map.
    Map(crate::reg::MapRef),
    /// A BTF object.
    Btf(u32),
}

/// Something acquired and not yet released (`struct bpf_reference_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefState {
    /// Kind.
    pub ty: RefType,
    /// Unique id.
    pub id: u32,
    /// Instruction that acquired it.
    pub insn_idx: u32,
    /// What a lock is in.
    pub ptr: Option<LockPtr>,
}

/// An instruction on the path that backtracking stops at (`struct bpf_jmp_history_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct JmpHistoryEntry {
    pub idx: u32,
    pub prev_idx: u32,
    /// `INSN_F_*`: which stack slot it accessed; see `backtrack.rs`.
    pub flags: u16,
    /// Registers and slots that share an id, packed; see `backtrack.rs`.
    pub linked_regs: u64,
}

/// A state kept for pruning: position in the verifier's [`crate::env::Env::states`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StateId(pub u32);

/// State of a path (`struct bpf_verifier_state`). The current frame is the last one.
#[derive(Debug, Default)]
pub struct VerifierState {
    /// Frames, the outermost first.
    pub frames: Vec<FuncState>,
    pub(crate) parent: Option<StateId>,
    /// What must still be released.
    pub refs: Vec<RefState>,
    /// Paths from here that are not explored to their end.
    pub(crate) branches: u32,
    /// The instruction that this is the state before.
    pub insn_idx: u32,
    /// Locks held.
    pub active_locks: u32,
    pub(crate) active_preempt_locks: u32,
    pub(crate) active_irq_id: u32,
    pub(crate) active_lock_id: u32,
    pub(crate) active_lock_ptr: Option<LockPtr>,
    pub(crate) active_rcu_lock: bool,
    /// Only a mispredicted branch leads here.
    pub speculative: bool,
    pub(crate) in_sleepable: bool,
    pub(crate) cleaned: bool,
    pub(crate) first_insn_idx: u32,
    pub(crate) last_insn_idx: u32,
    pub(crate) equal_state: Option<StateId>,
    pub(crate) jmp_history: Vec<JmpHistoryEntry>,
    pub(crate) dfs_depth: u32,
    pub(crate) callback_unroll_depth: u32,
    pub(crate) may_goto_depth: u32,
    /// [`crate::Visit::number`] of the visit that it was made at; 0 at the start of a function.
    pub(crate) visit: u32,
}

// By hand for `clone_from`, which keeps the memory of all lists.
impl Clone for VerifierState {
    fn clone(&self) -> VerifierState {
        VerifierState {
            frames: self.frames.clone(),
            refs: self.refs.clone(),
            jmp_history: self.jmp_history.clone(),
            ..*self
        }
    }

    fn clone_from(&mut self, source: &VerifierState) {
        let mut frames = std::mem::take(&mut self.frames);
        let mut refs = std::mem::take(&mut self.refs);
        let mut jmp_history = std::mem::take(&mut self.jmp_history);
        frames.clone_from(&source.frames);
        refs.clone_from(&source.refs);
        jmp_history.clone_from(&source.jmp_history);
        *self = VerifierState { frames, refs, jmp_history, ..*source };
    }
}

impl VerifierState {
    /// Number of the current frame (`curframe`).
    #[must_use]
    pub fn curframe(&self) -> u32 {
        (self.frames.len() as u32).wrapping_sub(1)
    }

    /// The current frame.
    pub(crate) fn cur(&self) -> &FuncState {
        &self.frames[self.frames.len() - 1]
    }

    /// The current frame.
    pub(crate) fn cur_mut(&mut self) -> &mut FuncState {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// `same_callsites`.
    pub(crate) fn same_callsites(&self, other: &VerifierState) -> bool {
        self.frames.len() == other.frames.len()
            && self.frames.iter().zip(&other.frames).all(|(a, b)| a.callsite == b.callsite)
    }

    /// `frame_insn_idx`: where a frame is.
    pub(crate) fn frame_insn_idx(&self, frame: u32) -> u32 {
        if frame == self.curframe() { self.insn_idx } else { self.frames[frame as usize + 1].callsite as u32 }
    }

    /// `bpf_for_each_reg_in_vstate_mask`: all registers of all frames, and the registers of stack slots whose
    /// last byte is of one of the kinds in `mask` (bits `1 << Slot`).
    pub(crate) fn for_each_reg_mask(&mut self, mask: u32, mut f: impl FnMut(&mut Reg)) {
        for frame in &mut self.frames {
            frame.regs.iter_mut().for_each(&mut f);
            for slot in &mut frame.stack {
                if 1 << slot.bytes[7] as u32 & mask != 0 {
                    f(&mut slot.spilled);
                }
            }
        }
    }

    /// `bpf_for_each_reg_in_vstate`: all registers, spilled ones included.
    pub(crate) fn for_each_reg(&mut self, f: impl FnMut(&mut Reg)) {
        self.for_each_reg_mask(1 << Slot::Spill as u32, f);
    }
}
