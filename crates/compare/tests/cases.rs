// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep_vm` against real kernels on the programs of case files: against results of `BPF_PROG_TEST_RUN` recorded
//! there, and against the running kernel on generated packets, maps included; and the running kernel against what
//! its release was recorded to say.
//!
//! Case files are not part of the repository. `SKEP_CASES` names the directory with `*.jsonl` or `*.jsonl.xz`;
//! without it the checks are skipped, and say so. What `skep_vm` does not do yet (kernel functions, some helpers
//! and map types) is counted by name; a different result fails, unless [`EXPLAINED`] has it. On the running kernel
//! `SKEP_CASES_STEP` takes every n-th case only (default 10).

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::{files, text};
use serde_json::Value;
use skep_compare::{
    Aspect, CompareError, NoAnswer, Observation, Packets, Request, RunInput, compare, compare_with_kernel,
    recorded as recorded_answer,
};
use skep_isa::{CallKind, Op};
use skep_kernel_load::{Kernel, observe};
use skep_program::{Case, Object, Program};
use skep_uapi::{HelperId, ProgType};
use skep_vm::{Config, Environment, Input, Machine, Outcome, TrapKind};

const RELEASE: &str = "6.18";

/// Packet that the recording gave to programs where a case names none.
const NO_DATA: [u8; 64] = [0; 64];

/// Results hold addresses, or what an uninitialized stack happens to hold.
const ADDRESS: &str = "the result depends on addresses or leftovers of the stack";
/// `struct bpf_map` is the kernel's; here a map pointer leads nowhere.
const KERNEL_STRUCT: &str = "it reads a structure of the kernel";
/// The recording's maps had contents, or programs in their slots, that the case file does not have.
const UNRECORDED: &str = "the contents of its map were not recorded";
/// Illegal instructions are refused here before a run, even where the kernel removes them as dead code.
const DEAD_CODE: &str = "an illegal instruction that is never reached";

/// Cases that differ for a reason, by program name or id; on recordings checked both ways, but for
/// addresses.
const EXPLAINED: &[(&str, &str)] = &[
    ("test22_x_pkt_ptr_3", ADDRESS),
    ("direct packet access: test22 (x += pkt_ptr, 3)", ADDRESS),
    ("packet_write_for_lwt_xmit", ADDRESS),
    ("direct packet write for LWT_XMIT", ADDRESS),
    ("state_equality_check_way_2", ADDRESS),
    ("pointer/scalar confusion in state equality check (way 2)", ADDRESS),
    ("check_corrupted_spill_fill_msb", ADDRESS),
    ("check corrupted spill/fill, MSB", ADDRESS),
    ("unpriv_return_pointer", ADDRESS),
    ("unpriv: return pointer", ADDRESS),
    ("uninitialized stack2", ADDRESS),
    ("ptr_read_ops_field_accepted", KERNEL_STRUCT),
    ("bpf_map_ptr: read ops field accepted", KERNEL_STRUCT),
    ("bpf_map_ptr: read non-existent field rejected", KERNEL_STRUCT),
    ("call_within_bounds_prog_once", UNRECORDED),
    ("call_within_bounds_prog_loop", UNRECORDED),
    ("_0_key_2_first_branch", UNRECORDED),
    ("_0_key_2_second_branch", UNRECORDED),
    ("_32bit_index_to_tail_call", UNRECORDED),
    ("runtime/jit: tail_call within bounds, prog once", UNRECORDED),
    ("runtime/jit: tail_call within bounds, prog loop", UNRECORDED),
    ("runtime/jit: tail_call within bounds, key 0 / key 2, first branch", UNRECORDED),
    ("runtime/jit: tail_call within bounds, key 0 / key 2, second branch", UNRECORDED),
    ("runtime/jit: pass > 32bit index to tail_call", UNRECORDED),
    ("sanitation: alu with different scalars 1", UNRECORDED),
    ("valid read map access into a read-only array 2", UNRECORDED),
    ("map access: unknown scalar += value_ptr, 3", UNRECORDED),
    ("map access: value_ptr += unknown scalar, 2", UNRECORDED),
    ("lookup_and_null_branch_prediction", DEAD_CODE),
    ("map lookup and null branch prediction", DEAD_CODE),
    ("signed_unsigned_intersection32_case2", DEAD_CODE),
    ("global_func16", ADDRESS),
    ("uninitialized_stack2", ADDRESS),
    ("ptr_to_mem_or_null_7", ADDRESS),
    (
        "helper access to variable memory: size possible = 0 allowed on != NULL packet pointer \
         (ARG_PTR_TO_MEM_OR_NULL)",
        ADDRESS,
    ),
    ("to_leak_released_ptr_reg", ADDRESS),
    ("reference tracking: try to leak released ptr reg", ADDRESS),
    ("atomic dw/fetch and address leakage of (map ptr & -1) via returned value", ADDRESS),
    ("read_non_existent_field_rejected", KERNEL_STRUCT),
    ("real/linux/xdp_adjust_tail_kern.o:xdp_icmp:_xdp_icmp#16:dst:407/full", ADDRESS),
    ("real/build/global_variable.o:.text:func#0:drop:457/full", ADDRESS),
    ("real/build/mapunderflow.o:.text:func#4:offset:1149/full", ADDRESS),
    ("real/linux/lwt_len_hist_kern.o:len_hist:do_len_hist#36:offset:1884/full", ADDRESS),
];

fn explained(case: &Case) -> Option<&'static str> {
    let names = |name: &str| name == case.program.name || name == case.id;
    EXPLAINED.iter().find(|(name, _)| names(name)).map(|(_, why)| *why)
}

/// How a recorded run compares.
enum Answer {
    Equal,
    /// Not run here, for this reason.
    Skipped(String),
    Different(String),
}

/// What a trap says that something is missing here, by name; `None` where the trap itself is the finding.
fn missing(kind: &TrapKind) -> Option<String> {
    match kind {
        TrapKind::UnsupportedHelper(name) => Some(format!("helper {name}")),
        TrapKind::UnsupportedKfunc(_) => Some("kernel function".to_owned()),
        _ => None,
    }
}

fn run(case: &Case, recorded: &Value) -> Answer {
    let program = &case.program;
    if let Some(requirement) = program.requirements.first() {
        let kind = requirement.to_string();
        return Answer::Skipped(format!("needs {}", kind.split('`').next().unwrap_or_default().trim()));
    }
    let hex_field = |value: &Value| value.as_str().map(|text| hex::decode(text).expect("hex"));
    let data = hex_field(&recorded["data_in"]).unwrap_or(NO_DATA.to_vec());
    let got = &recorded["got"];
    let config = Config { environment: Environment::reproducible(), cpus: 2, ..Config::default() };
    let machine = match Machine::new(&Object::single(program.clone()), config) {
        Ok(machine) => machine,
        Err(skep_vm::MachineError::UnsupportedMap { map_type, .. }) => {
            return Answer::Skipped(format!("map type {map_type}"));
        }
        Err(error) => return Answer::Different(error.to_string()),
    };
    let mut thread = machine.thread().expect("room for a stack");
    let input = match program.prog_type {
        ProgType::SYSCALL => Input::Context(&[]),
        _ => Input::Packet { data: &data, ctx: None },
    };
    let outcome = match thread.run(0, input) {
        Ok(outcome) => outcome,
        Err(error) => return Answer::Different(error.to_string()),
    };
    if let Outcome { trap: Some(trap), .. } = &outcome {
        return match missing(&trap.kind) {
            Some(what) => Answer::Skipped(what),
            None => Answer::Different(trap.to_string()),
        };
    }
    let theirs = got["retval"].as_u64().expect("a result");
    if u64::from(outcome.r0 as u32) != theirs {
        return Answer::Different(format!("r0 is {:#x}, the kernel's {theirs:#x}", outcome.r0));
    }
    match hex_field(&got["data_out"]) {
        Some(out) if out != outcome.data_out => Answer::Different(format!(
            "packet is {}, the kernel's {}",
            hex::encode(&outcome.data_out),
            hex::encode(out)
        )),
        _ => Answer::Equal,
    }
}

/// Recorded runs of one line that gave a result: the case and the recordings.
fn recorded(line: &str) -> Option<(Case, Vec<Value>)> {
    let value: Value = serde_json::from_str(line).expect("JSON");
    let runs = value["truth"][RELEASE]["runs"].as_array()?;
    let runs: Vec<Value> = runs.iter().filter(|r| r["got"]["errno"] == 0).cloned().collect();
    (!runs.is_empty()).then(|| (Case::parse(line, 0).expect("a case"), runs))
}

#[test]
fn recorded_kernel_runs() {
    let Some(dir) = std::env::var_os("SKEP_CASES") else {
        eprintln!("SKIP: SKEP_CASES names no directory with recorded cases");
        return;
    };
    let mut tally = Tally::default();
    for file in files(Path::new(&dir)) {
        for (case, runs) in text(&file).lines().filter_map(recorded) {
            for run_recorded in &runs {
                tally.count(&case, run(&case, run_recorded), true);
            }
        }
    }
    tally.finish("recorded runs");
}

/// What the answers come to.
#[derive(Default)]
struct Tally {
    equal: usize,
    skipped: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Tally {
    /// Counts an answer. Where `both_ways`, what is explained must differ, unless by chance.
    fn count(&mut self, case: &Case, answer: Answer, both_ways: bool) {
        match (answer, explained(case)) {
            (Answer::Equal, None) => self.equal += 1,
            (Answer::Skipped(why), _) => *self.skipped.entry(why).or_default() += 1,
            (Answer::Different(_), Some(why)) => *self.skipped.entry(why.to_owned()).or_default() += 1,
            (Answer::Different(what), None) => {
                self.wrong.push(format!("{} ({}): {what}", case.id, case.program.name));
            }
            (Answer::Equal, Some(why)) if !both_ways || why == ADDRESS => self.equal += 1,
            (Answer::Equal, Some(_)) => {
                self.wrong.push(format!("{} ({}): explained, and equal", case.id, case.program.name));
            }
        }
    }

    fn finish(self, what: &str) {
        println!("{} {what} are equal", self.equal);
        for (why, count) in &self.skipped {
            println!("SKIP: {count} {what}: {why}");
        }
        assert!(self.equal > 0, "nothing was compared");
        assert!(self.wrong.is_empty(), "{} differ:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

/// Packets that each program of the case files gets on the running kernel.
const PACKETS: usize = 12;

/// Helpers that would act on this machine, beyond the maps of the program.
const OUTWARD: &[HelperId] = &[
    HelperId::CLONE_REDIRECT,
    HelperId::PROBE_WRITE_USER,
    HelperId::SEND_SIGNAL,
    HelperId::SEND_SIGNAL_THREAD,
    HelperId::SYS_BPF,
];

/// The first helper called that acts on the machine.
fn outward(program: &Program) -> Option<HelperId> {
    (0..program.insns.len())
        .filter_map(|at| skep_isa::decode(&program.insns, at).ok())
        .filter(|d| d.op() == Op::Call(CallKind::Helper))
        .map(|d| HelperId(d.insn.imm.cast_unsigned()))
        .find(|id| OUTWARD.contains(id))
}

/// A case on the running kernel and here.
fn on_this_kernel(kernel: &Kernel, case: &Case, inputs: &[RunInput]) -> Answer {
    if let Some(helper) = outward(&case.program) {
        return Answer::Skipped(format!("bpf_{helper} acts on this machine"));
    }
    let object = Object::single(case.program.clone());
    match compare_with_kernel(kernel, &object, &case.program.name, inputs) {
        Ok(report) if report.is_equal() => Answer::Equal,
        Ok(report) if !report.environment.is_empty() => {
            Answer::Skipped(format!("different, and calls {}", report.environment.join(", ")))
        }
        Ok(report) => Answer::Different(report.to_string()),
        Err(CompareError::Here(NoAnswer::Unsupported(what))) => Answer::Skipped(what),
        Err(CompareError::Rejected { .. }) => Answer::Skipped("refused by this kernel".to_owned()),
        Err(CompareError::There(NoAnswer::Load(error))) => Answer::Skipped(error),
        Err(CompareError::There(NoAnswer::Unsupported(_))) => {
            Answer::Skipped("unsupported requirement".to_owned())
        }
        Err(CompareError::NotRun(why)) => Answer::Skipped(format!("{}: {why}", case.program.prog_type)),
        Err(error) => Answer::Different(error.to_string()),
    }
}

#[test]
fn case_programs_on_this_kernel() {
    let Some(dir) = std::env::var_os("SKEP_CASES") else {
        eprintln!("SKIP: SKEP_CASES names no directory with recorded cases");
        return;
    };
    let kernel = match Kernel::open() {
        Ok(kernel) => kernel,
        Err(why) => return eprintln!("SKIP: {why}"),
    };
    let step = std::env::var("SKEP_CASES_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let inputs: Vec<RunInput> = Packets::new(5).take(PACKETS).map(RunInput::packet).collect();
    let mut tally = Tally::default();
    for file in files(Path::new(&dir)) {
        for line in text(&file).lines().step_by(step) {
            let value: Value = serde_json::from_str(line).expect("JSON");
            if value["truth"][RELEASE]["verdict"] != "accept" {
                continue;
            }
            let case = Case::parse(line, 0).expect("a case");
            if case.caps == "full" {
                // What depends on addresses may be equal by chance, and both sides get the same maps.
                tally.count(&case, on_this_kernel(&kernel, &case, &inputs), false);
            }
        }
    }
    tally.finish("programs");
}

/// `6.18.44` of `6.18.44-rc1-amd64`.
fn version(release: &str) -> &str {
    release.split('-').next().unwrap_or(release)
}

/// Recorded answers that other machines do not give, for a reason.
const ELSEWHERE: &[(&str, &str)] = &[
    ("progs612/c25723648081ff04/full/6.18", "its struct_ops type is not in the case file"),
    ("progs612/85f987219715fdd5/capbpf/6.18", "mitigations of the recorder's machine make it too large"),
];

/// A recorded answer and that of the running kernel.
fn again(kernel: &Kernel, case: &Case, request: &Request, recorded: &Observation) -> Answer {
    let now = match observe(kernel, request) {
        Ok(now) => now,
        Err(why) => return Answer::Skipped(why.to_string()),
    };
    let report = compare(request, recorded, &now);
    if report.is_equal() {
        return Answer::Equal;
    }
    if let Some((_, why)) = ELSEWHERE.iter().find(|(id, _)| *id == case.id) {
        return Answer::Skipped((*why).to_owned());
    }
    if now.verdict().is_some_and(|v| v.message == "Tracing programs must provide btf_id") {
        return Answer::Skipped("its attach target is not in the case file".to_owned());
    }
    // The kernel tells types of two loads of the same BTF apart.
    if case.program.maps.iter().any(|map| map.btf.is_some() && map.btf == case.program.btf) {
        return Answer::Skipped("different, and its maps bring the program's BTF a second time".to_owned());
    }
    if report.aspects().iter().all(|a| *a >= Aspect::Runs) && !report.environment.is_empty() {
        return Answer::Skipped(format!("different, and calls {}", report.environment.join(", ")));
    }
    Answer::Different(report.render(["recorded", "now"]).to_string())
}

/// What the running kernel says of the programs that its release was recorded on: verdicts, logs and runs are the
/// recorded ones.
#[test]
fn recorded_answers_of_this_kernel() {
    let Some(dir) = std::env::var_os("SKEP_CASES") else {
        eprintln!("SKIP: SKEP_CASES names no directory with recorded cases");
        return;
    };
    let kernel = match Kernel::open() {
        Ok(kernel) => kernel,
        Err(why) => return eprintln!("SKIP: {why}"),
    };
    let release = kernel.release().to_owned();
    if !release.starts_with(&format!("{RELEASE}.")) {
        return eprintln!("SKIP: this is Linux {release}, and the records are of {RELEASE}");
    }
    let step = std::env::var("SKEP_CASES_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let mut tally = Tally::default();
    for file in files(Path::new(&dir)) {
        for line in text(&file).lines().step_by(step) {
            let Some(recorded) = recorded_answer(line, RELEASE).expect("readable") else { continue };
            let verdict = recorded.observation.verdict().expect("at least one");
            // Some records name no more than `6.18`, and builds of one release say the same.
            if verdict.release != RELEASE && version(&verdict.release) != version(&release) {
                continue;
            }
            let case = Case::parse(line, 0).expect("a case");
            let mut request = Request {
                levels: recorded.levels.clone(),
                inputs: recorded.inputs.clone(),
                ..Request::of_case(&case, 0)
            };
            // Some records were made with maps that had no names.
            if recorded
                .observation
                .verdicts
                .iter()
                .all(|v| !v.log.contains("(map=") && !v.log.contains(",map="))
            {
                let maps = Arc::make_mut(&mut request.object.maps);
                maps.iter_mut().for_each(|map| map.name.clear());
            }
            let answer = match outward(&case.program) {
                Some(helper) => Answer::Skipped(format!("bpf_{helper} acts on this machine")),
                None => again(&kernel, &case, &request, &recorded.observation),
            };
            tally.count(&case, answer, false);
        }
    }
    tally.finish("recorded answers");
}
