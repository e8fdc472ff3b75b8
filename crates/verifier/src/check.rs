// SPDX-License-Identifier: GPL-2.0-only
//! The order of all checks (`bpf_check @ 6.18`).

use std::time::Instant;

use skep_program::Program;
use skep_uapi::Errno;
use skep_uapi::flags::prog_load;

use crate::env::Env;
use crate::log::Log;
use crate::observe::Observer;
use crate::options::Options;
use crate::outcome::{Outcome, Stats, Verdict};
use crate::state::VerifierState;
use crate::stop::{Res, Stop};

/// Verifies a program as `BPF_PROG_LOAD` of the kernel of `options.profile` does.
#[must_use]
pub fn verify(program: &Program, options: &Options) -> Outcome {
    verify_observed(program, options, None)
}

/// As [`verify`], and shows `observer` the state at every instruction of every path.
#[must_use]
pub fn verify_with(program: &Program, options: &Options, observer: &mut dyn Observer) -> Outcome {
    verify_observed(program, options, Some(observer))
}

fn verify_observed<'a>(
    program: &'a Program,
    options: &'a Options,
    observer: Option<&'a mut dyn Observer>,
) -> Outcome {
    let start = Instant::now();
    let refused = |errno| Outcome::Answer {
        verdict: Verdict::Reject(errno),
        log: String::new(),
        log_true_size: 0,
        stats: Stats::default(),
    };
    match crate::load::prog_load_checks(program, options) {
        Ok(()) => {}
        Err(Stop::Errno(errno)) => return refused(errno),
        Err(Stop::Unsupported(what)) => return Outcome::Unsupported(what),
    }
    let log = match Log::new(options.log_level, options.log_size) {
        Ok(log) => log,
        Err(errno) => return refused(errno),
    };
    let mut env = Env::new(program, options, log, observer);
    let errno = match env.bpf_check() {
        Ok(()) => None,
        Err(Stop::Errno(errno)) => Some(errno),
        Err(Stop::Unsupported(what)) => return Outcome::Unsupported(what),
    };
    env.answer(errno, start.elapsed().as_micros())
}

impl<'p> Env<'p> {
    fn new(
        program: &'p Program,
        options: &'p Options,
        log: Log,
        observer: Option<&'p mut dyn Observer>,
    ) -> Env<'p> {
        let len = program.insns.len();
        let caps = options.caps;
        let privileged = caps.perfmon || caps.sys_admin;
        let bpf_capable = caps.bpf || caps.sys_admin;
        let flag = |flag| program.prog_flags & flag != 0;
        Env {
            program,
            options,
            insns: program.insns.clone(),
            prog_type: program.prog_type,
            expected_attach_type: crate::load::fixed_attach_type(program),
            insn_idx: 0,
            prev_insn_idx: 0,
            stack: Vec::new(),
            strict_alignment: flag(prog_load::BPF_F_STRICT_ALIGNMENT)
                && !flag(prog_load::BPF_F_ANY_ALIGNMENT),
            test_state_freq: bpf_capable && flag(prog_load::BPF_F_TEST_STATE_FREQ),
            test_reg_invariants: flag(prog_load::BPF_F_TEST_REG_INVARIANTS),
            cur: VerifierState::default(),
            states: Vec::new(),
            free_ids: Vec::new(),
            spare_states: Vec::new(),
            explored: vec![Vec::new(); len],
            maps: Vec::new(),
            used_maps: Vec::new(),
            btf: program.btf.as_deref().and_then(crate::btf::ProgBtf::new),
            id_gen: 0,
            explore_alu_limits: false,
            allow_ptr_leaks: privileged,
            allow_uninit_stack: privileged,
            bpf_capable,
            bypass_spec_v1: privileged,
            bypass_spec_v4: privileged,
            seen_direct_write: false,
            aux: vec![crate::env::InsnAux::default(); len],
            log,
            subprogs: Vec::new(),
            subprog_cnt: 0,
            successors: Vec::new(),
            has_back_edges: false,
            insn_postorder: Vec::new(),
            bt: crate::backtrack::BacktrackState::default(),
            cur_hist_ent: None,
            idmap: crate::states::IdMap::default(),
            pass_cnt: 0,
            prev_insn_processed: 0,
            insn_processed: 0,
            prev_jmps_processed: 0,
            jmps_processed: 0,
            max_states_per_insn: 0,
            total_states: 0,
            peak_states: 0,
            longest_mark_read_walk: 0,
            free_list_size: 0,
            explored_states_size: 0,
            num_backedges: 0,
            scratched_regs: 0,
            scratched_stack_slots: 0,
            prev_log_pos: 0,
            prev_insn_print_pos: 0,
            prev_linfo: None,
            liveness: crate::liveness::Liveness::default(),
            scc_info: Vec::new(),
            scc_cnt: 0,
            max_ctx_offset: 0,
            max_pkt_offset: 0,
            max_tp_access: 0,
            enforce_expected_attach_type: false,
            changes_pkt_data: false,
            sleepable: flag(prog_load::BPF_F_SLEEPABLE),
            observer,
        }
    }

    fn bpf_check(&mut self) -> Res {
        self.check_btf_info_early()?;
        self.add_subprog_and_kfunc()?;
        self.check_subprogs()?;
        self.check_btf_info()?;
        self.resolve_pseudo_ldimm64()?;
        self.check_cfg()?;
        self.compute_successors()?;
        self.compute_postorder()?;
        self.stack_liveness_init();
        self.check_attach_btf_id()?;
        self.compute_scc()?;
        self.compute_live_registers()?;
        self.mark_fastcall_patterns()?;
        self.do_check_main()?;
        self.do_check_subprogs()?;
        self.remove_fastcall_spills_fills();
        self.check_max_stack_depth()?;
        self.optimize_bpf_loop();
        self.do_misc_fixups()?;
        self.fixup_call_args()
    }

    /// Statistics and log, and what user space gets of it.
    fn answer(mut self, errno: Option<Errno>, micros: u128) -> Outcome {
        self.print_verification_stats(micros);
        let stats = Stats {
            insn_processed: self.insn_processed,
            max_states_per_insn: self.max_states_per_insn,
            total_states: self.total_states,
            peak_states: self.peak_states,
            mark_read: self.longest_mark_read_walk,
        };
        let (log, log_true_size, log_errno) = self.log.finalize();
        let verdict = log_errno.or(errno).map_or(Verdict::Accept, Verdict::Reject);
        Outcome::Answer { verdict, log, log_true_size, stats }
    }
}
