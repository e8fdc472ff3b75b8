// SPDX-License-Identifier: GPL-2.0-only
//! All that one verification works on (`struct bpf_verifier_env` @ 6.18).
//!
//! The checks are methods of [`Env`], each in the file of its concept and under the kernel's name. Registers are
//! plain values: a check that needs one while it changes others takes a copy.

use skep_isa::Insn;
use skep_program::Program;
use skep_uapi::{AttachType, ProgType};

use crate::btf::ProgBtf;
use crate::liveness::Liveness;
use crate::log::Log;
use crate::map::Map;
use crate::options::Options;
use crate::reg::{MapRef, Reg};
use crate::reg_type::{NOT_INIT, RegType};
use crate::scc::SccInfo;
use crate::state::{FuncState, StateId, VerifierState};
use crate::stop::Stop;

/// What is noted at a `ld_imm64`, a call or a memory access for all later paths: the kernel's first union of
/// `struct bpf_insn_aux_data`, flat, since the instruction decides which part is used.
#[derive(Clone, Debug)]
pub(crate) struct InsnAux {
    /// Pointer type of a load or store.
    pub ptr_type: RegType,
    /// `map_ptr_state.map_ptr`.
    pub map_ptr: Option<MapRef>,
    /// `map_ptr_state.poison`: paths differ in the map.
    pub map_ptr_poison: bool,
    /// `map_ptr_state.unpriv`.
    pub map_ptr_unpriv: bool,
    /// Index into [`Env::used_maps`] of a `ld_imm64` of a map.
    pub map_index: usize,
    /// Offset into the value of a `ld_imm64` of a map value.
    pub map_off: u32,
    /// `alu_limit`.
    pub alu_limit: u32,
    /// `BPF_ALU_*`; see `sanitize.rs`.
    pub alu_state: u8,
    /// `loop_inline_state`: set on the first call of `bpf_loop`, whether it can be inlined, and with which callback.
    pub loop_inline: Option<(bool, u32)>,
    /// `map_key_state`: constant key of a lookup.
    pub map_key_state: u64,
    /// Bytes of the context field of a load.
    pub ctx_field_size: u32,
    /// `env->pass_cnt` when it was seen last; 0 for never.
    pub seen: u32,
    /// Must not be executed speculatively.
    pub nospec: bool,
    /// Its result must not be used speculatively.
    pub nospec_result: bool,
    /// The load zero-extends.
    pub zext_dst: bool,
    /// `storage_get_func_atomic`.
    pub storage_get_func_atomic: bool,
    /// Part of the spills and fills around a `bpf_fastcall`.
    pub fastcall_pattern: bool,
    /// Pairs of spill and fill around this call.
    pub fastcall_spills_num: u8,
    /// The history of jumps holds it.
    pub jmp_point: bool,
    /// States are kept and compared here.
    pub prune_point: bool,
    /// States are kept here whatever the heuristics say.
    pub force_checkpoint: bool,
    /// Calls a helper that calls back.
    pub calls_callback: bool,
    /// Strongly connected component of the control flow; 0 where it is alone.
    pub scc: u32,
    /// Registers live before it, a bit each.
    pub live_regs_before: u16,
}

impl Default for InsnAux {
    fn default() -> Self {
        InsnAux {
            ptr_type: NOT_INIT,
            map_ptr: None,
            map_ptr_poison: false,
            map_ptr_unpriv: false,
            map_index: 0,
            map_off: 0,
            alu_limit: 0,
            alu_state: 0,
            loop_inline: None,
            map_key_state: 0,
            ctx_field_size: 0,
            seen: 0,
            nospec: false,
            nospec_result: false,
            zext_dst: false,
            storage_get_func_atomic: false,
            fastcall_pattern: false,
            fastcall_spills_num: 0,
            jmp_point: false,
            prune_point: false,
            force_checkpoint: false,
            calls_callback: false,
            scc: 0,
            live_regs_before: 0,
        }
    }
}

/// `enum priv_stack_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum PrivStackMode {
    #[default]
    Unknown,
    No,
    Adaptive,
}

/// Type of an argument of a global function (`struct bpf_subprog_arg_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubprogArg {
    /// `ARG_ANYTHING`.
    Anything,
    /// `ARG_PTR_TO_CTX`.
    Ctx,
    /// `ARG_PTR_TO_MEM` of so many bytes, which may be null or not, and may be read only or not.
    Mem { size: u32, may_be_null: bool, rdonly: bool, untrusted: bool },
    /// `ARG_PTR_TO_ARENA`.
    Arena,
    /// `ARG_PTR_TO_DYNPTR | MEM_RDONLY`.
    Dynptr,
}

/// A function of the program (`struct bpf_subprog_info`).
#[derive(Clone, Debug, Default)]
pub(crate) struct SubprogInfo {
    /// Its first instruction.
    pub start: u32,
    /// Index of its first line in the line info.
    pub linfo_idx: u32,
    /// Where its instructions start in [`Env::insn_postorder`].
    pub postorder_start: u32,
    /// Greatest use of stack, in bytes.
    pub stack_depth: u16,
    /// Where the stack of `bpf_fastcall` spills starts (negative).
    pub fastcall_stack_off: i16,
    pub has_tail_call: bool,
    pub tail_call_reachable: bool,
    pub has_ld_abs: bool,
    pub is_cb: bool,
    pub is_async_cb: bool,
    pub keep_fastcall_stack: bool,
    pub changes_pkt_data: bool,
    pub might_sleep: bool,
    pub priv_stack_mode: PrivStackMode,
    /// Arguments of a global function, once they were read from BTF (`args_cached`).
    pub args: Option<Vec<SubprogArg>>,
    /// `func_info_aux[].linkage` is `BTF_FUNC_GLOBAL` or `EXTERN`.
    pub is_global: bool,
    /// `func_info_aux[].called`.
    pub called: bool,
    /// `func_info_aux[].verified`.
    pub verified: bool,
    /// `func_info_aux[].unreliable`: the BTF of its arguments does not fit.
    pub unreliable: bool,
    /// `func_info[].type_id`; 0 without func info.
    pub func_type_id: u32,
}

/// A path to explore (`struct bpf_verifier_stack_elem`).
#[derive(Debug)]
pub(crate) struct StackElem {
    pub st: VerifierState,
    pub insn_idx: u32,
    pub prev_insn_idx: u32,
    pub log_pos: u64,
}

/// A state kept for pruning (`struct bpf_verifier_state_list`).
#[derive(Debug, Default)]
pub(crate) struct StateList {
    pub state: VerifierState,
    pub miss_cnt: u32,
    pub hit_cnt: u32,
    pub in_free_list: bool,
}

/// One verification.
pub(crate) struct Env<'p> {
    pub program: &'p Program,
    pub options: &'p Options,
    /// The instructions; `ld_imm64` of maps are as the program has them.
    pub insns: Vec<Insn>,
    /// Type of the program (`resolve_prog_type`).
    pub prog_type: ProgType,
    pub expected_attach_type: AttachType,
    pub insn_idx: u32,
    pub prev_insn_idx: u32,
    /// Paths still to explore; the next one is last.
    pub stack: Vec<StackElem>,
    pub strict_alignment: bool,
    pub test_state_freq: bool,
    pub test_reg_invariants: bool,
    /// The path being explored. `None` between paths.
    pub cur: VerifierState,
    /// Arena of kept states; `None` for freed ones.
    pub states: Vec<Option<Box<StateList>>>,
    /// Free places in [`Env::states`].
    pub free_ids: Vec<StateId>,
    /// States out of use, whose memory the next copies take.
    pub spare_states: Vec<VerifierState>,
    /// Kept states by `(insn_idx ^ callsite) % len`, the newest last.
    pub explored: Vec<Vec<StateId>>,
    /// Maps that instructions name, in order of first use, then templates of inner maps.
    pub maps: Vec<Map<'p>>,
    /// `used_maps`.
    pub used_maps: Vec<MapRef>,
    /// BTF of the program, if it carries some.
    pub btf: Option<ProgBtf>,
    pub id_gen: u32,
    pub explore_alu_limits: bool,
    pub allow_ptr_leaks: bool,
    pub allow_uninit_stack: bool,
    pub bpf_capable: bool,
    pub bypass_spec_v1: bool,
    pub bypass_spec_v4: bool,
    pub seen_direct_write: bool,
    pub aux: Vec<InsnAux>,
    pub log: Log,
    /// Functions in order of their start; the last entry is the end of the program.
    pub subprogs: Vec<SubprogInfo>,
    /// Number of functions, without the end marker.
    pub subprog_cnt: u32,
    /// Where control may go from each instruction.
    pub successors: Vec<crate::cfg::Successors>,
    /// An instruction goes to one at or before it.
    pub has_back_edges: bool,
    /// `cfg.insn_postorder`.
    pub insn_postorder: Vec<u32>,
    pub bt: crate::backtrack::BacktrackState,
    /// Entry of the current instruction in `cur.jmp_history` (`cur_hist_ent`).
    pub cur_hist_ent: Option<usize>,
    pub idmap: crate::states::IdMap,
    pub pass_cnt: u32,
    pub prev_insn_processed: u32,
    pub insn_processed: u32,
    pub prev_jmps_processed: u32,
    pub jmps_processed: u32,
    pub max_states_per_insn: u32,
    pub total_states: u32,
    pub peak_states: u32,
    pub longest_mark_read_walk: u32,
    pub free_list_size: u32,
    pub explored_states_size: u32,
    pub num_backedges: u32,
    /// Registers and slots touched since the state was printed, a bit each.
    pub scratched_regs: u32,
    pub scratched_stack_slots: u64,
    pub prev_log_pos: u64,
    pub prev_insn_print_pos: u64,
    /// Line info entry printed last.
    pub prev_linfo: Option<usize>,
    pub liveness: Liveness,
    /// By SCC id.
    pub scc_info: Vec<SccInfo>,
    pub scc_cnt: u32,
    /// `prog->aux->max_ctx_offset`.
    pub max_ctx_offset: u32,
    /// `prog->aux->max_pkt_offset`.
    pub max_pkt_offset: u32,
    /// `prog->aux->max_tp_access`.
    pub max_tp_access: u32,
    /// Set by `bpf_set_retval` users and the like: `prog->enforce_expected_attach_type`.
    pub enforce_expected_attach_type: bool,
    /// `prog->cb_access`, `prog->dst_needed`, … are of no interest here; this one changes verdicts.
    pub changes_pkt_data: bool,
    pub sleepable: bool,
    /// Every visit of an instruction is shown to it.
    pub observer: Option<&'p mut dyn crate::Observer>,
}

impl Env<'_> {
    /// What the kernel that answers does.
    pub(crate) fn profile(&self) -> crate::profile::Profile {
        self.options.profile
    }

    /// The current frame (`cur_func`).
    pub(crate) fn cur_func(&self) -> &FuncState {
        self.cur.cur()
    }

    pub(crate) fn cur_func_mut(&mut self) -> &mut FuncState {
        self.cur.cur_mut()
    }

    /// A register of the current frame (`cur_regs(env)[regno]`).
    pub(crate) fn reg(&self, regno: u32) -> &Reg {
        &self.cur.cur().regs[regno as usize]
    }

    pub(crate) fn reg_mut(&mut self, regno: u32) -> &mut Reg {
        &mut self.cur.cur_mut().regs[regno as usize]
    }

    /// The frame that a stack pointer points into (`func`).
    pub(crate) fn func(&self, reg: &Reg) -> &FuncState {
        &self.cur.frames[reg.frameno as usize]
    }

    /// The current instruction's notes (`cur_aux`).
    pub(crate) fn cur_aux(&mut self) -> &mut InsnAux {
        &mut self.aux[self.insn_idx as usize]
    }

    pub(crate) fn map(&self, map: MapRef) -> &Map<'_> {
        &self.maps[map.index()]
    }

    /// The map of a register that has one.
    pub(crate) fn reg_map(&self, reg: &Reg) -> Option<&Map<'_>> {
        reg.map().map(|m| self.map(m))
    }

    pub(crate) fn state(&self, id: StateId) -> &StateList {
        self.states[id.0 as usize].as_deref().expect("a live state")
    }

    pub(crate) fn state_mut(&mut self, id: StateId) -> &mut StateList {
        self.states[id.0 as usize].as_deref_mut().expect("a live state")
    }

    /// A fresh id (`++env->id_gen`).
    pub(crate) fn new_id(&mut self) -> u32 {
        self.id_gen += 1;
        self.id_gen
    }

    /// `mark_reg_unknown`.
    pub(crate) fn mark_reg_unknown(&mut self, regno: u32) {
        let precise = !self.bpf_capable;
        let reg = self.reg_mut(regno);
        reg.mark_unknown_imprecise();
        reg.precise = precise;
    }

    /// `mark_reg_not_init`.
    pub(crate) fn mark_reg_not_init(&mut self, regno: u32) {
        self.mark_reg_unknown(regno);
        self.reg_mut(regno).ty = NOT_INIT;
    }

    /// `mark_reg_known_zero`.
    pub(crate) fn mark_reg_known_zero(&mut self, regno: u32) {
        self.reg_mut(regno).mark_known_zero();
    }

    pub(crate) fn mark_reg_scratched(&mut self, regno: u32) {
        self.scratched_regs |= 1 << regno;
    }

    pub(crate) fn mark_stack_slot_scratched(&mut self, spi: u32) {
        self.scratched_stack_slots |= 1 << spi;
    }

    pub(crate) fn mark_verifier_state_clean(&mut self) {
        self.scratched_regs = 0;
        self.scratched_stack_slots = 0;
    }

    pub(crate) fn mark_verifier_state_scratched(&mut self) {
        self.scratched_regs = u32::MAX;
        self.scratched_stack_slots = u64::MAX;
    }

    /// What the program needs that is not done here.
    pub(crate) fn unsupported<T>(&self, what: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::Unsupported(what.into()))
    }
}
