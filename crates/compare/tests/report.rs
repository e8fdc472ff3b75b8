// SPDX-License-Identifier: MIT OR Apache-2.0
//! Comparison of answers: what counts as a difference, how it is classified, and how it is shown.

mod common;

use common::{request, returned, verdict, verdicts};
use skep_compare::{
    Answer, Aspect, Class, Contents, Ending, NoAnswer, Observation, Report, Request, Run, RunInput, Shown,
    Side, What, compare, page, text,
};
use skep_kernel_load::Verdict;
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

fn log(lines: &str, insns: u32) -> String {
    format!(
        "{lines}processed {insns} insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"
    )
}

fn accept(lines: &str) -> Verdict {
    verdict(Ok(()), &log(lines, 3))
}

fn reject(errno: Errno, lines: &str) -> Verdict {
    verdict(Err(errno), &log(lines, 3))
}

fn compare_verdicts(a: &[Verdict], b: &[Verdict]) -> Report {
    compare(&request(SOURCE, &[1, 2], &[]), &verdicts(a), &verdicts(b))
}

#[test]
fn verdicts_are_classified() {
    let (yes, no) = (accept(""), reject(Errno::EACCES, "R0 !read_ok\n"));
    let report = compare_verdicts(&[yes.clone(), yes.clone()], &[no.clone(), no.clone()]);
    assert_eq!(report.class(), Some(Class::Lax));
    // What differs at both levels is told once; the logs differ at each.
    assert_eq!(report.of(Aspect::Verdict).count(), 1);
    assert_eq!(report.of(Aspect::Log).count(), 2);
    assert_eq!(report.aspects(), [Aspect::Verdict, Aspect::Log]);
    let json = serde_json::to_value(&report).expect("plain data");
    let first = &json["differences"][0];
    assert_eq!((&first["what"], &first["class"]), (&"verdict".into(), &"lax".into()));
    assert_eq!((&first["ours"]["words"], &first["theirs"]["words"]), (&"accept".into(), &"reject".into()));
    assert_eq!(json["logs"][1]["theirs"][0], "R0 !read_ok");
    let report = compare_verdicts(&[no], &[yes]);
    assert_eq!(report.class(), Some(Class::Strict));
}

#[test]
fn rejections_are_compared_by_errno_message_and_figures() {
    let ours = reject(Errno::EACCES, "0: R1=ctx()\nR0 !read_ok\n");
    let theirs = verdict(Err(Errno::EINVAL), &log("0: R1=ctx()\nR1 !read_ok\n", 4));
    let report = compare_verdicts(std::slice::from_ref(&ours), &[theirs]);
    assert_eq!(report.aspects(), [Aspect::Errno, Aspect::Message, Aspect::Stats, Aspect::Log]);
    let text = report.render(["skep", "uml:6.1"]).to_string();
    assert_eq!(
        text,
        "program `count`: 0 runs: 4 differences
errno:
  skep:    EACCES (permission denied)
  uml:6.1: EINVAL (invalid argument)
message:
  skep:    R0 !read_ok
  uml:6.1: R1 !read_ok
statistics: insn_processed:
  skep:    3
  uml:6.1: 4
log at level 1, line 2:
           1 | 0: R1=ctx()
  skep:    2 | R0 !read_ok
           3 | processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
  uml:6.1: 2 | R1 !read_ok
           3 | processed 4 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
"
    );
    assert!(compare_verdicts(std::slice::from_ref(&ours), std::slice::from_ref(&ours)).is_equal());
}

#[test]
fn addresses_and_times_are_no_differences() {
    let lines = |address: &str, time: u32| {
        accept(&format!("0: (18) r1 = {address:24} ; R1=map_ptr(ks=4,vs=8)\nverification time {time} usec\n"))
    };
    let ours = lines("0xffff888104376148", 4);
    assert!(compare_verdicts(std::slice::from_ref(&ours), &[lines("0x60a79400", 500)]).is_equal());
    let report = compare_verdicts(
        &[ours],
        &[accept("0: (18) r1 = 0x0                      ; R1=map_ptr(ks=4,vs=9)\n")],
    );
    assert!(!report.is_equal());
    assert_eq!(report.logs[0].states[0].name, "R1");
}

#[test]
fn records_without_a_log_are_compared_by_their_figures() {
    let mut record = verdict(Ok(()), "");
    let stats = accept("").stats.expect("parsed");
    record.stats = Some(skep_kernel_load::Stats { insn_processed: 3, ..Default::default() });
    let report = compare_verdicts(std::slice::from_ref(&record), &[accept("0: (95) exit\n")]);
    assert!(report.is_equal() && report.skipped.len() == 1, "{report}");
    assert_eq!(stats.insn_processed, 3);
    record.stats = Some(skep_kernel_load::Stats { insn_processed: 7, ..Default::default() });
    let report = compare_verdicts(&[record], &[accept("")]);
    assert_eq!(report.aspects(), [Aspect::Stats]);
    // A log that is empty, as where the load is refused before the verifier, does differ.
    let report = compare_verdicts(&[verdict(Err(Errno::EPERM), "")], &[reject(Errno::EPERM, "no\n")]);
    assert_eq!(report.aspects(), [Aspect::Message, Aspect::Log]);
}

fn ran(runs: &[Run], maps: &[Contents]) -> Observation {
    Observation { runs: runs.to_vec(), maps: maps.to_vec(), ..Observation::default() }
}

fn packets(count: usize) -> Request {
    request(SOURCE, &[], &vec![RunInput::packet(vec![0; 14]); count])
}

#[test]
fn runs_and_maps_are_compared() {
    let trapped = |why: &str| Run {
        ending: Ending::Trapped(why.into()),
        data_out: None,
        ctx_out: None,
        insn_count: None,
    };
    let refused = |errno| Run { ending: Ending::Refused(errno), ..trapped("") };
    let element = |value: u8| Contents::Elements([(vec![0; 4], vec![value; 8])].into());
    let unread = || Contents::Unread("unreadable".into());
    let ours = [
        returned(2, &[1, 2]),
        returned(2, &[1, 2]),
        trapped("null pointer"),
        refused(Errno::EINVAL),
        Run { insn_count: Some(3), ..returned(1, &[]) },
        Run { insn_count: Some(3), ctx_out: Some(vec![1]), ..returned(1, &[]) },
    ];
    let theirs = [
        returned(2, &[1, 2]),
        returned(1, &[1, 3]),
        returned(0, &[]),
        refused(Errno::E2BIG),
        returned(1, &[]),
        Run { insn_count: Some(4), ctx_out: Some(vec![2]), ..returned(1, &[]) },
    ];
    let report =
        compare(&packets(6), &ran(&ours, &[element(1), unread()]), &ran(&theirs, &[element(2), unread()]));
    let whats: Vec<&What> = report.differences.iter().map(|d| &d.what).collect();
    assert!(
        matches!(
            whats[..],
            [
                What::R0 { input: 1 },
                What::DataOut { input: 1 },
                What::Ending { input: 2 },
                What::CtxOut { input: 5 },
                What::InsnCount { input: 5 },
                What::MapElement { .. }
            ]
        ),
        "{report}"
    );
    assert_eq!(report.differences[0].ours, Side::Number(2));
    assert_eq!((report.runs, report.refused), (4, 1));
    assert_eq!(report.results, [(1, 2), (2, 2)].into());
    assert_eq!((report.skipped.len(), report.skipped[0].what.as_str()), (1, "map `events`"));
}

#[test]
fn runs_of_one_side_are_skipped() {
    let request = packets(1);
    let ours = ran(&[returned(2, &[])], &[]);
    let rejected = verdicts(&[reject(Errno::EACCES, "no\n")]);
    let not_run = Observation { not_run: Some("no test run".into()), ..Observation::default() };
    for (theirs, reason) in [(&rejected, "one side rejects the program"), (&not_run, "no test run")] {
        let report = compare(&request, &ours, theirs);
        assert!(report.is_equal(), "{report}");
        assert_eq!((report.skipped.len(), report.skipped[0].reason.as_str()), (1, reason));
    }
    assert_eq!(compare(&request, &rejected, &rejected).skipped, []);
}

#[test]
fn answers_stand_side_by_side() {
    let request = Request { levels: vec![2], ..packets(1) };
    let ours = ran(&[returned(2, &[])], &[]);
    let mut host = verdicts(&[accept("0: (b7) r0 = 2    ; R0=2\n")]);
    host.runs = vec![returned(2, &[])];
    let uml = Observation {
        warnings: vec!["WARNING: <CPU>".into()],
        ..verdicts(&[reject(Errno::EACCES, "0: (b7) r0 = 2    ; R0=scalar()\nR0 <has> & \"value\"\n")])
    };
    let none = NoAnswer::Unsupported("kernel symbol `x`".into());
    let answers = vec![
        Answer { name: "skep", answer: Ok(&ours) },
        Answer { name: "host 6.18.44", answer: Ok(&host) },
        Answer { name: "uml:6.1", answer: Ok(&uml) },
        Answer { name: "vm:6.12", answer: Err(&none) },
    ];
    let shown = Shown::new("case <1>", &request, answers);
    // skep gives no verdicts, so that the kernels are compared with each other, too.
    let pairs: Vec<_> = shown.comparisons.iter().map(|c| (c.a, c.b)).collect();
    assert_eq!(pairs, [(0, 1), (0, 2), (1, 2)]);
    assert!(!shown.is_equal() && !shown.is_answered());
    assert_eq!(
        text(&shown, 72),
        "backend       verdict    errno   insns  states  runs  message
skep          -          -           -       -  r0=2
host 6.18.44  accept     -           3       1  r0=2
uml:6.1       reject     EACCES      3       1  -     R0 <has> & \"value\"
vm:6.12       no answer  -           -       -  -     unsupported: kernel…
uml:6.1 warned: WARNING: <CPU>

host 6.18.44 equals skep (1 run)

uml:6.1 equals skep
  SKIP: runs: one side rejects the program

uml:6.1 differs from host 6.18.44: verdict (host 6.18.44 is lax), log
  verdict (lax):
    host 6.18.44: accept
    uml:6.1:      reject
  log at level 2, line 1:
    host 6.18.44: 1 | 0: (b7) r0 = 2    ; R0=2
                  2 | processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
    uml:6.1:      1 | 0: (b7) r0 = 2    ; R0=scalar()
                  2 | R0 <has> & \"value\"
                  3 | processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
    R0: 2 | scalar()
  SKIP: runs: one side rejects the program
"
    );
    let html = page("kernels & <skep>", &[shown]);
    assert!(html.contains("<title>kernels &amp; &lt;skep&gt;</title>"));
    assert!(html.contains("case &lt;1&gt;") && html.contains("WARNING: &lt;CPU&gt;"));
    assert!(html.contains("<code>R0 &lt;has&gt; &amp; &quot;value&quot;</code>"));
    assert!(html.contains("<mark>R0=<b>2</b></mark>") && html.contains("<mark>R0=<b>scalar()</b></mark>"));
    assert!(!html.contains("<has>") && !html.contains("http"), "{html}");
}

#[test]
fn pages_stay_of_a_size() {
    let request = request(SOURCE, &[2], &[]);
    let lines = |word: &str| -> String {
        (0..20_000).map(|n| format!("{n}: (b7) r0 = {word} ; R0={}\n", "x".repeat(400))).collect()
    };
    let (a, b) = (verdicts(&[accept(&lines("1"))]), verdicts(&[accept(&lines("2"))]));
    let answers = || vec![Answer { name: "a", answer: Ok(&a) }, Answer { name: "b", answer: Ok(&b) }];
    let cases: Vec<Shown<'_>> = (0..20).map(|_| Shown::new("case", &request, answers())).collect();
    let html = page("many", &cases);
    assert!(html.len() < 40 << 20, "{} bytes", html.len());
    assert_eq!(html.matches("<section").count(), 20);
    assert!(html.contains("… 16001 lines more") && html.contains("first difference</em>"));
}
