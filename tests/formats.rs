// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every format that `skep asm` writes is read back, by content alone, as the program that was written.

use std::process::Command;

const SOURCE: &str = "\
.license \"GPL\"
.map counts, hash, key=4, value=8, max_entries=4
.data
total: .quad 1
.program count, xdp
    *(u32 *)(r10 - 4) = 7
    r1 = map[counts]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r1 = total ll
    r2 = *(u64 *)(r1 + 0)
    r2 += 1
    *(u64 *)(r1 + 0) = r2
    r0 = 2
    exit
";

fn skep(args: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_skep")).args(args).output().expect("skep starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skep {args:?} said: {said}");
    output.stdout
}

fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_slice(&skep(args)).expect("JSON")
}

#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let source = at("count.s");
    std::fs::write(&source, SOURCE).expect("the temporary directory can be written");
    let hash = json(&["disasm", &source, "-j"])[0]["hash"].clone();
    assert!(hash.is_string());
    for (format, typed) in [("raw", false), ("hex", false), ("json", true), ("elf", true)] {
        let written = at(format);
        skep(&["asm", &source, "--format", format, "-o", &written]);
        let read = json(&["disasm", &written, "-j"]);
        assert_eq!(read[0]["hash"], hash, "{format}");
        if typed {
            assert_eq!(read[0]["prog_type"], "xdp", "{format}");
            assert_eq!(json(&["run", &written, "-j"])["action"], "XDP_PASS", "{format}");
        }
    }
    let c = String::from_utf8(skep(&["asm", &source, "--format", "c"])).expect("UTF-8");
    assert!(c.starts_with("static const struct bpf_insn count[] = {"), "{c}");
}

#[test]
fn initial_contents_travel_in_a_case() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (source, case) = (at("with.s"), at("with.jsonl"));
    let with = SOURCE.replace("max_entries=4\n", "max_entries=4\n.entry 7 = 41\n");
    std::fs::write(&source, with).expect("the temporary directory can be written");
    skep(&["asm", &source, "--format", "json", "-o", &case]);
    let counts = |result: &serde_json::Value| result["maps"][0]["entries"][0].clone();
    let from_text = json(&["run", &source, "-j"]);
    assert_eq!(counts(&from_text)["value"], "2a00000000000000");
    assert_eq!(counts(&json(&["run", &case, "-j"])), counts(&from_text));
    assert_eq!(counts(&json(&["run", "--cases", &case])), counts(&from_text));
}

#[test]
fn what_elf_cannot_say_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (reference, word) in
        [("map[totals][0]+0", "value of map `totals`"), ("map[.data]", "`.data` as a map")]
    {
        let source = dir.path().join("refused.s");
        let text = format!(
            ".map totals, array, value=8, max_entries=1\n.data\ntotal: .quad 1\n.program p, xdp\n\
             r1 = {reference}\nr0 = 2\nexit\n"
        );
        std::fs::write(&source, text).expect("the temporary directory can be written");
        let output = Command::new(env!("CARGO_BIN_EXE_skep"))
            .args(["asm", source.to_str().expect("UTF-8"), "--format", "elf", "-o", "/dev/null"])
            .output()
            .expect("skep starts");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(word), "{said}");
    }
}
