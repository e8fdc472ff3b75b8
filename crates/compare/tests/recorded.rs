// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records of what kernels said: they are read as answers, and written so that they read as the same.

mod common;

use std::path::Path;

use common::{files, request, returned, text, verdict, verdicts};
use serde_json::{Value, json};
use skep_compare::{
    Contents, Ending, Mask, Observation, Recorded, Request, Run, RunInput, compare, recorded, truth_json,
};
use skep_program::Case;
use skep_uapi::Errno;

const SOURCE: &str = "
.license \"GPL\"
.map numbers, array, key=4, value=8, max_entries=1
.map events, ringbuf, max_entries=4096
.program count, xdp
    r1 = map[numbers]
    r0 = 2
    exit
";

const STATS: &str =
    "processed 4 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n";

/// The line of a case with such a truth.
fn line(request: &Request, truth: &Value) -> String {
    let program = &request.object.programs[0];
    let insns: String = program.insns.iter().map(|insn| hex::encode(insn.to_bytes())).collect();
    json!({ "id": "c", "prog_type": "xdp", "insns": insns, "maps": [], "truth": { "6.18": truth } })
        .to_string()
}

fn read(request: &Request, truth: &Value) -> Recorded {
    recorded(&line(request, truth), "6.18").expect("readable").expect("recorded")
}

#[test]
fn what_is_written_reads_as_the_same() {
    let packet = RunInput::packet(vec![7; 14]);
    let with_ctx = RunInput { data: Some(vec![1; 20]), ctx: Some(vec![2; 8]) };
    let request = request(SOURCE, &[1, 2], &[packet, with_ctx]);
    let log = format!("0: (18) r1 = 0xffff888104376148       ; R1=map_ptr(map=numbers,ks=4,vs=8)\n{STATS}");
    let refused =
        Run { ending: Ending::Refused(Errno::EINVAL), data_out: None, ctx_out: None, insn_count: None };
    let observation = Observation {
        runs: vec![Run { ctx_out: Some(vec![2; 8]), ..returned(2, &[7; 14]) }, refused],
        maps: vec![
            Contents::Elements([(vec![0; 4], vec![9; 8])].into()),
            Contents::Unread("records of a ring buffer are read through its memory mapping".into()),
        ],
        warnings: vec!["WARNING: at 0xffff888104376148".into()],
        ..verdicts(&[verdict(Ok(()), STATS), verdict(Ok(()), &log)])
    };
    let truth = truth_json(&request, &observation).expect("verdicts");
    let read = read(&request, &truth);
    assert_eq!((&read.levels, &read.inputs), (&request.levels, &request.inputs));
    let mut expected = observation.clone();
    expected.warnings.clear();
    let verdict = &mut expected.verdicts[1];
    for text in [&mut verdict.log, &mut verdict.message] {
        *text = text.replace("0xffff888104376148", "ADDR");
    }
    assert_eq!(read.observation, expected);
    assert!(compare(&request, &read.observation, &observation).is_equal());
    // Another boot, the same record.
    let mut again = observation.clone();
    again.verdicts[1].log = log.replace("0xffff888104376148       ;", "0x60a79400               ;");
    assert_eq!(truth_json(&request, &again), Some(truth.clone()));
    let text = truth.to_string();
    assert_eq!(truth_json(&request, &read.observation).map(|t| t.to_string()), Some(text));
}

#[test]
fn rejections_and_missing_runs_read_as_the_same() {
    let request = request(SOURCE, &[1, 6], &[RunInput::packet(vec![7; 14]), RunInput::default()]);
    let log = "R0 !read_ok\nverification time 4 usec\nstack depth 0\n";
    let rejected = verdicts(&[
        verdict(Err(Errno::EACCES), &format!("R0 !read_ok\n{STATS}")),
        verdict(Err(Errno::EACCES), &format!("{log}{STATS}")),
    ]);
    let truth = truth_json(&request, &rejected).expect("verdicts");
    assert_eq!((&truth["verdict"], &truth["errno"]), (&json!("reject"), &json!(13)));
    let back = read(&request, &truth);
    assert_eq!((back.levels, back.inputs), (vec![1, 6], vec![]));
    assert_eq!(back.observation.verdicts[0], rejected.verdicts[0]);
    assert_eq!(back.observation.verdict().map(|v| v.message.as_str()), Some("R0 !read_ok"));
    assert!(back.observation.verdicts[1].log.contains("\nverification time N usec\nstack depth 0\n"));

    let mut not_run = verdicts(&[verdict(Ok(()), STATS)]);
    not_run.not_run = Some("BPF_PROG_TEST_RUN does not take programs of its type".into());
    let request = Request { levels: vec![1], ..request };
    let back = read(&request, &truth_json(&request, &not_run).expect("verdicts"));
    assert_eq!((&back.observation, &back.inputs), (&not_run, &request.inputs));
    assert_eq!(truth_json(&request, &Observation::default()), None);
}

#[test]
fn records_in_part_are_read_in_part() {
    let request = request(SOURCE, &[1], &[]);
    // Figures without a log, as records of long logs have them.
    let truth = json!({ "verdict": "accept", "errno": 0, "message": "", "insn_processed": 31 });
    let Recorded { observation, levels, inputs } = read(&request, &truth);
    assert_eq!((levels, inputs.len()), (vec![1], 0));
    let verdict = observation.verdict().expect("one");
    assert_eq!(verdict.stats.map(|s| (s.insn_processed, s.limit)), Some((31, 0)));
    // A packet that is not named; runs that were not made, and that the kernel refused to make.
    let runs = json!([
        { "expect": 1, "got": null },
        { "expect": 1, "got": { "errno": 0, "retval": 1, "data_out": "00" } },
        { "data_in": "0102", "got": { "errno": 524 } }
    ]);
    let truth = json!({ "verdict": "accept", "errno": 0, "log1": STATS, "runs": runs });
    let Recorded { observation, inputs, .. } = read(&request, &truth);
    assert_eq!(inputs, [RunInput::packet(vec![0; 64]), RunInput::packet(vec![1, 2])]);
    assert_eq!(observation.runs, [returned(1, &[0])]);
    assert!(observation.not_run.is_some());

    assert!(recorded(&line(&request, &truth), "6.12").expect("readable").is_none());
    assert!(recorded("{\"id\": \"x\", \"insns\": \"\"}", "6.12").expect("readable").is_none());
    for bad in [
        json!({}),
        json!({ "verdict": "maybe" }),
        json!({ "verdict": "accept", "runs": [{ "data_in": "x" }] }),
    ] {
        let error = recorded(&line(&request, &bad), "6.18").expect_err("malformed");
        assert!(error.to_string().starts_with("truth of 6.18: "), "{error}");
    }
    assert!(recorded("", "6.18").is_err());
}

/// Records of the case files, read, written, and read again: of every n-th case, as `SKEP_CASES_STEP` says.
#[test]
fn records_of_case_files() {
    let Some(dir) = std::env::var_os("SKEP_CASES") else {
        return eprintln!("SKIP: SKEP_CASES names no directory with recorded cases");
    };
    let step = std::env::var("SKEP_CASES_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let (mut records, mut messages) = (0, 0);
    for file in files(Path::new(&dir)) {
        for line in text(&file).lines().step_by(step) {
            let case: Value = serde_json::from_str(line).expect("JSON");
            for (release, truth) in case["truth"].as_object().expect("truth") {
                let id = format!("{} on {release}", case["id"]);
                let read = recorded(line, release).expect("readable").expect("recorded");
                let request = Request {
                    levels: read.levels.clone(),
                    inputs: read.inputs.clone(),
                    ..Request::of_case(&Case::parse(line, 0).expect("a case"), 0)
                };
                let verdict = read.observation.verdict().expect("at least one");
                assert_eq!(verdict.accepted, truth["verdict"] == "accept", "{id}");
                assert_eq!(verdict.errno.map_or(0, |e| e.0), truth["errno"], "{id}");
                if !verdict.accepted {
                    assert_eq!(verdict.message, truth["message"].as_str().unwrap_or_default(), "{id}");
                    messages += 1;
                }
                let mut again = case.clone();
                again["truth"][release] = truth_json(&request, &read.observation).expect("a verdict");
                let back = recorded(&again.to_string(), release).expect("readable").expect("recorded");
                let report = compare(&request, &read.observation, &back.observation);
                assert!(report.is_equal(), "{id}: {report}");
                assert_eq!((&back.levels, back.inputs.len()), (&read.levels, read.inputs.len()), "{id}");
                assert_eq!(back.observation.runs, read.observation.runs, "{id}");
                let mask = Mask::of_request(&request);
                let is_masked = |log: &str| mask.recorded(log) == log;
                assert!(back.observation.verdicts.iter().all(|v| is_masked(&v.log)), "{id}");
                records += 1;
            }
        }
    }
    println!("{records} records, {messages} messages");
    assert!(records > 0);
}
