// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs on generated packets, by `skep_vm` and by the running kernel's `BPF_PROG_TEST_RUN`: everything is equal.
//! Without privilege each test says `SKIP` and why.

use skep_asm::{Options, assemble};
use skep_compare::{CompareError, Packets, Report, RunInput, What, compare_with_kernel};
use skep_kernel_load::Kernel;
use skep_program::Object;

fn object(source: &str) -> Object {
    assemble(source, &Options::default()).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Compares on so many packets; `None` where the kernel cannot be asked.
fn compare(source: &str, program: &str, packets: usize) -> Option<Report> {
    let inputs: Vec<RunInput> = Packets::new(1).take(packets).map(RunInput::packet).collect();
    compare_inputs(source, program, &inputs)
}

fn compare_inputs(source: &str, program: &str, inputs: &[RunInput]) -> Option<Report> {
    let kernel = match Kernel::open() {
        Ok(kernel) => kernel,
        Err(why) => {
            eprintln!("SKIP: {why}");
            return None;
        }
    };
    match compare_with_kernel(&kernel, &object(source), program, inputs) {
        Ok(report) => Some(report),
        Err(error) => panic!("{error}"),
    }
}

fn assert_equal(source: &str, program: &str, packets: usize) {
    if let Some(report) = compare(source, program, packets) {
        assert!(report.is_equal(), "{report}");
        // Neither side takes a packet that claims to be IP and is too short to be.
        assert_eq!(report.runs + report.refused, packets, "{report}");
        assert!(report.runs > packets * 9 / 10, "{report}");
    }
}

const FIREWALL: &str = include_str!("../../../examples/firewall.s");

#[test]
fn xdp_with_hash_map_and_tail_calls() {
    let source = FIREWALL
        .replace(".map blocked, hash, key=2, value=8, max_entries=64 ", BLOCKED)
        .replace(".map verdicts, prog_array, key=4, value=4, max_entries=1 ", VERDICTS);
    let Some(report) = compare(&source, "firewall", 1500) else { return };
    assert!(report.is_equal(), "{report}");
    assert_eq!((report.runs, report.skipped.len()), (1500, 1), "{report}");
    // XDP_DROP comes from the tail-called program, XDP_PASS from the first.
    assert!(report.results[&1] > 50 && report.results[&2] > 500, "{:?}", report.results);
}

/// The example's maps with ports blocked, and with the program for them in its slot.
const BLOCKED: &str = "\
.map blocked, hash, key=2, value=8, max_entries=64
.entry {be16 80} = {u64 0}
.entry {be16 53} = {u64 0}
.entry {be16 443} = {u64 0}
";
const VERDICTS: &str = "\
.map verdicts, prog_array, key=4, value=4, max_entries=1
.slot 0 = drop
";

#[test]
fn classifier_with_maps_of_many_types() {
    assert_equal(
        r#"
.license "GPL"
.map lengths, percpu_hash, key=4, value=8, max_entries=2048
.map types, array, key=4, value=4, max_entries=16
.map total, percpu_array, key=4, value=4, max_entries=1
.map routes, lpm_trie, key=8, value=4, max_entries=64, flags=no_prealloc
.entry {u32 30, u8 10, u8 0, u8 0, u8 4} = {u32 100}
.entry {u32 8, u8 10, u8 0, u8 0, u8 0} = {u32 8}
.program classify, tc
    r6 = r1
    r7 = *(u32 *)(r6 + 0)
    *(u32 *)(r10 - 4) = r7
    *(u64 *)(r10 - 16) = 1
    r1 = map[lengths]
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 1
    call bpf_map_update_elem
    r8 = r0
    r1 = *(u32 *)(r6 + 16)
    r1 &= 15
    *(u32 *)(r10 - 4) = r1
    r1 = map[types]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u32 *)(r0 + 0) += r1
    *(u32 *)(r10 - 4) = 0
    r1 = map[total]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u32 *)(r0 + 0)
    r1 += r7
    *(u32 *)(r0 + 0) = r1
    r1 = *(u32 *)(r6 + 76)
    r2 = *(u32 *)(r6 + 80)
    r3 = r1
    r3 += 34
    if r3 > r2 goto out
    r3 = *(u32 *)(r1 + 26)
    *(u32 *)(r10 - 4) = r3
    *(u32 *)(r10 - 8) = 32
    r1 = map[routes]
    r2 = r10
    r2 += -8
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r0 = *(u32 *)(r0 + 0)
    r0 -= r8
    exit
out:
    r0 = r7
    exit
"#,
        "classify",
        1000,
    );
}

#[test]
fn socket_filter_with_packet_loads() {
    // LD_ABS outside of the packet ends the program with 0.
    assert_equal(
        r#"
.license "GPL"
.program filter, socket_filter
    r6 = r1
    r0 = *(u16 *)skb[12]
    r7 = r0
    r0 = *(u8 *)skb[0]
    r7 += r0
    r8 = r0
    r8 &= 31
    r0 = *(u8 *)skb[r8 + 14]
    r7 ^= r0
    r0 = *(u32 *)skb[30]
    r0 += r7
    exit
"#,
        "filter",
        1000,
    );
}

#[test]
fn contexts_go_in_and_come_back() {
    let source = r#"
.license "GPL"
.program mark, tc
    r2 = *(u32 *)(r1 + 8)
    r2 += 1
    *(u32 *)(r1 + 8) = r2
    *(u32 *)(r1 + 48) = 5
    *(u32 *)(r1 + 64) = r2
    r0 = *(u32 *)(r1 + 32)
    exit
"#;
    let mut ctx = vec![0; 192];
    ctx[8] = 41;
    ctx[32] = 3;
    let inputs: Vec<_> =
        Packets::new(3).take(100).map(|data| RunInput { data: Some(data), ctx: Some(ctx.clone()) }).collect();
    let Some(report) = compare_inputs(source, "mark", &inputs) else { return };
    assert!(report.is_equal(), "{report}");
    assert_eq!(report.runs + report.refused, 100, "{report}");
    assert!(report.runs > 90, "{report}");
}

#[test]
fn packets_too_short_are_refused_by_both() {
    let inputs = [RunInput::packet(vec![0; 13]), RunInput::packet(vec![0; 14])];
    let source = ".program pass, xdp\nr0 = 2\nexit\n";
    let Some(report) = compare_inputs(source, "pass", &inputs) else { return };
    assert_eq!((report.refused, report.runs, report.is_equal()), (1, 1, true), "{report}");
}

#[test]
fn programs_without_test_runs_say_so() {
    let kernel = match Kernel::open() {
        Ok(kernel) => kernel,
        Err(why) => return eprintln!("SKIP: {why}"),
    };
    let probe = object(".license \"GPL\"\n.program probe, kprobe\nr0 = 0\nexit\n");
    let error =
        compare_with_kernel(&kernel, &probe, "probe", &[RunInput::default()]).expect_err("no test run");
    assert!(matches!(error, CompareError::NotRun(_)), "{error}");
    assert_eq!(error.to_string(), "there: BPF_PROG_TEST_RUN does not take programs of its type");
    let bad = object(".program bad, xdp\nexit\n");
    let error = compare_with_kernel(&kernel, &bad, "bad", &[]).expect_err("refused");
    assert_eq!(error.to_string(), "there: program `bad` is refused: EACCES (permission denied): R0 !read_ok");
}
#[test]
fn what_differs_is_reported_and_labelled() {
    let source = r#"
.license "GPL"
.map numbers, array, key=4, value=8, max_entries=1
.program dice, xdp
    call bpf_ktime_get_ns
    r6 = r0
    *(u32 *)(r10 - 4) = 0
    r1 = map[numbers]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    *(u64 *)(r0 + 0) = r6
out:
    r0 = r6
    exit
"#;
    let Some(report) = compare(source, "dice", 2) else { return };
    assert_eq!(report.environment, ["ktime_get_ns"]);
    let whats: Vec<&What> = report.differences.iter().map(|d| &d.what).collect();
    assert!(
        matches!(whats[..], [What::R0 { input: 0 }, What::R0 { input: 1 }, What::MapElement { .. }]),
        "{report}"
    );
    let text = report.to_string();
    assert!(text.starts_with("program `dice`: 2 runs: 3 differences\ninput 0: r0:\n  ours: "), "{text}");
    assert!(text.contains("note: it calls ktime_get_ns, which depend"), "{text}");
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!(json["differences"][2]["what"], "map_element");
    assert_eq!(json["differences"][2]["key"], "00000000");
}

#[test]
fn queues_are_compared_at_their_head() {
    let source = r#"
.license "GPL"
.map lengths, queue, value=4, max_entries=10
.program remember, tc
    r1 = *(u32 *)(r1 + 0)
    *(u32 *)(r10 - 4) = r1
    r1 = map[lengths]
    r2 = r10
    r2 += -4
    r3 = 2
    call bpf_map_push_elem
    exit
"#;
    let Some(report) = compare(source, "remember", 100) else { return };
    assert!(report.is_equal() && report.skipped.len() == 1, "{report}");
}
#[test]
fn xdp_moves_the_bounds_of_packets() {
    // Four bytes are pushed in front, written, and the last bytes cut off; then a tag in the metadata.
    assert_equal(
        r#"
.license "GPL"
.program bounds, xdp
    r6 = r1
    r2 = -4
    call bpf_xdp_adjust_head
    if r0 != 0 goto out
    r1 = r6
    r2 = -5
    call bpf_xdp_adjust_tail
    r7 = r0
    r1 = r6
    r2 = -8
    call bpf_xdp_adjust_meta
    if r0 != 0 goto out
    r1 = *(u32 *)(r6 + 8)
    r2 = *(u32 *)(r6 + 0)
    r3 = r1
    r3 += 8
    if r3 > r2 goto out
    *(u64 *)(r1 + 0) = 77
    r1 = *(u32 *)(r6 + 4)
    r3 = r2
    r3 += 6
    if r3 > r1 goto out
    *(u32 *)(r2 + 0) = 0x11223344
    r1 -= r2
    r0 = r1
    r0 += r7
    exit
out:
    r0 = 0
    exit
"#,
        "bounds",
        1000,
    );
}
