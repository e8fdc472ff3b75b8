// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bad input of every kind ends with exit code 2 and one clear message: no panic, no hang, no guess.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs skep and gives its exit code and what it said on standard error.
fn skep(args: &[&str], stdin: &[u8]) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("skep starts");
    // A command that fails before it reads its input closes the pipe.
    let _ = child.stdin.take().expect("stdin is piped").write_all(stdin);
    let output = child.wait_with_output().expect("skep ends");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// `skep run` of some text must fail and say all of `words`.
fn refuses(text: &str, words: &[&str]) {
    let (code, said) = skep(&["run", "-", "--mem", "00"], text.as_bytes());
    assert_eq!(code, Some(2), "{text:?} said: {said}");
    for word in words {
        assert!(said.contains(word), "{text:?} should say {word:?}, and said: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// A file of a temporary directory.
fn file(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("the temporary directory can be written");
    path.to_str().expect("the path is UTF-8").to_owned()
}

#[test]
fn mistakes_in_text_are_located() {
    refuses("r0 = 0\ngoto nowhere\nexit\n", &["nowhere", "<stdin>:2:"]);
    refuses("r11 = 0\nexit\n", &["r11", "<stdin>:1:"]);
    refuses("call bpf_map_lokup_elem\nexit\n", &["bpf_map_lookup_elem"]);
    refuses("*(u64 *)(r10 - 40000) = 0\nexit\n", &["40000", "<stdin>:1:"]);
    refuses("r0 = map[idx:70000]\nr0 = 0\nexit\n", &["map index 70000"]);
    refuses(".map m, no_such_type, key=4\nexit\n", &["no_such_type"]);
    refuses("", &["empty"]);
}

#[test]
fn a_program_that_cannot_finish_says_where_and_why() {
    refuses("*(u64 *)(r10 - 520) = 0\nr0 = 0\nexit\n", &["instruction 0", "bad write of 8 bytes"]);
    refuses("call 9999\nexit\n", &["9999"]);
    refuses("r0 = *(u64 *)(r0 + 0)\nexit\n", &["null pointer"]);
    refuses(".insn 0xff, 0, 0, 0, 0\nexit\n", &["unknown opcode ff"]);
    let (code, said) = skep(&["run", "-", "--mem", "00", "--budget", "1000"], b"x: goto x\n");
    assert_eq!(code, Some(2));
    assert!(said.contains("budget"), "{said}");
}

#[test]
fn files_that_are_no_programs_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    let empty = file(at, "empty", b"");
    let partial = file(at, "partial.bin", &[0xb7, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe]);
    let truncated = file(at, "truncated.o", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\xf7\0");
    let not_json = file(at, "cases.jsonl", b"{\"id\": ");
    let sparse = at.join("sparse");
    File::create(&sparse).and_then(|f| f.set_len(2 << 30)).expect("a sparse file");
    for (path, word) in [
        (empty.as_str(), "empty"),
        (partial.as_str(), "10 bytes"),
        (truncated.as_str(), "truncated.o"),
        (not_json.as_str(), "line 1"),
        (at.to_str().expect("UTF-8"), "directory"),
        (sparse.to_str().expect("UTF-8"), "larger than"),
        ("/no/such/file", "no such file"),
    ] {
        for command in ["run", "asm", "disasm", "load", "verify"] {
            let (code, said) = skep(&[command, path], b"");
            assert_eq!(code, Some(2), "{command} {path} said: {said}");
            assert!(said.contains(word), "{command} {path} should say {word:?}, and said: {said}");
        }
    }
}

#[test]
fn wrong_use_is_told_from_wrong_input() {
    let good = b"r0 = 0\nexit\n";
    for (args, word) in [
        (&["run", "-", "--engine", "jit", "--checked"][..], "JIT"),
        (&["run", "-", "--elide"], "--engine jit"),
        (&["run", "-", "-t", "xpd"], "did you mean `xdp`"),
        (&["run", "-", "-p", "other"], "no program `other`"),
        (&["run", "-", "--mem", "0g"], "not hex"),
        (&["run", "-", "--pcap", "/no/such/capture"], "no such file"),
        (&["run"], "required"),
        (&["load", "-", "-k", "uml:0.9"], "no kernel `uml:0.9` here"),
        (&["verify"], "required"),
        (&["verify", "-", "-t", "xpd"], "did you mean `xdp`"),
        (&["verify", "-", "-p", "other"], "no program `other`"),
        (&["verify", "-", "-l", "16"], "16"),
        (&["verify", "-", "--log-size", "-1"], "-1"),
        (&["verify", "-", "--caps", "root"], "full, capbpf, none"),
        (&["verify", "-", "-k", "5.4"], "the verifier of Linux 5.4 (there are 6.18, 6.12, 6.1)"),
        (&["verify", "-", "-k", "host"], "the verifier of Linux host"),
        (&["verify", "-", "--cases", "/no/such/file"], "cannot be used with"),
        (&["verify", "--cases", "/no/such/file"], "no such file"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let (code, said) = skep(args, good);
        assert_eq!(code, Some(2), "{args:?} said: {said}");
        assert!(said.contains(word), "{args:?} should say {word:?}, and said: {said}");
    }
}

#[test]
fn json_mode_fails_in_json() {
    let output = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(["run", "/no/such/file", "-j"])
        .output()
        .expect("skep starts");
    assert_eq!(output.status.code(), Some(2));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    assert!(said["error"].as_str().is_some_and(|e| e.contains("no such file")), "{said}");

    let trapped = Command::new(env!("CARGO_BIN_EXE_skep"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "examples/sum.s", "--mem", "0102", "--budget", "1", "-j"])
        .output()
        .expect("skep starts");
    assert_eq!(trapped.status.code(), Some(2));
    let said: serde_json::Value = serde_json::from_slice(&trapped.stdout).expect("one JSON value");
    assert!(said["trap"].as_str().is_some_and(|t| t.contains("budget")), "{said}");
}

/// The other cases keep their results, and the exit code tells of the one that has none.
#[test]
fn a_case_without_an_answer_ends_with_2() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runs = r#"{"id": "runs", "insns": "b7000000020000009500000000000000", "prog_type": "xdp"}"#;
    // Type 9999 has no context that skep knows; the second case jumps to itself until the budget ends.
    let unknown = r#"{"id": "x", "insns": "b7000000020000009500000000000000", "prog_type": 9999}"#;
    let endless = r#"{"id": "x", "insns": "0500ffff000000009500000000000000", "prog_type": "xdp"}"#;
    let run = |cases: &str| {
        let path = file(dir.path(), "cases.jsonl", cases.as_bytes());
        skep(&["run", "--budget", "100", "--cases", &path], b"").0
    };
    assert_eq!(run(runs), Some(0));
    for bad in [unknown, endless] {
        assert_eq!(run(&format!("{bad}\n{runs}\n")), Some(2));
        assert_eq!(run(&format!("{runs}\n{bad}\n")), Some(2));
    }
}

#[test]
fn kernels_that_are_none_say_what_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    elf.resize(4096, 0);
    elf[18] = 183;
    let mut image = vec![0; 4096];
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    let arm = file(dir.path(), "arm", &elf);
    let image = file(dir.path(), "image", &image);
    let text = file(dir.path(), "text", b"#!/bin/sh\n");
    let empty = file(dir.path(), "empty", b"");
    let program = file(dir.path(), "p.s", b"r0 = 0\nexit\n");
    for (kernel, words) in [
        ("uml:9.9".to_owned(), ["`uml:9.9`", "skep kernels build"]),
        ("vm:9.9".to_owned(), ["`vm:9.9`", "skep kernels get"]),
        ("6.1".to_owned(), ["unknown kernel `6.1`", "skep kernels"]),
        (format!("uml:{arm}"), ["another machine", "x86-64"]),
        (format!("uml:{text}"), ["no ELF executable", "skep kernels build"]),
        (format!("uml:{empty}"), ["an empty file", "skep kernels build"]),
        (format!("uml:{image}"), ["bootable image", "`vm:`"]),
        ("uml:/bin/true".to_owned(), ["not a User-Mode Linux kernel", "skep kernels build"]),
        ("uml:/no/such/file".to_owned(), ["cannot be read", "skep kernels"]),
        (format!("vm:{arm}"), ["no x86-64 kernel image", "vmlinuz"]),
        (format!("vm:{text}"), ["no x86-64 kernel image", "vmlinuz"]),
        (format!("vm:{empty}"), ["no x86-64 kernel image", "vmlinuz"]),
        (format!("vm:{image}"), [image.as_str(), "vmlinuz"]),
        ("vm:/no/such/file".to_owned(), ["/no/such/file", "cannot"]),
    ] {
        for command in ["load", "diff"] {
            let (code, said) = skep(&[command, &program, "-k", &kernel], b"");
            assert_eq!(code, Some(2), "{kernel}: {said}");
            for word in words {
                assert!(said.contains(word), "{kernel} should say {word:?}, and said: {said}");
            }
            let sentences = said.lines().filter(|l| l.starts_with("error")).count();
            assert_eq!(sentences, 1, "{kernel}: {said}");
        }
    }
}

/// No line of a damaged case file is answered.
#[test]
fn damaged_cases_are_refused_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let whole = r#"{"id": "x", "insns": "b7000000020000009500000000000000", "prog_type": "xdp"}"#;
    for (damaged, words) in [
        (&b"{\"id\": "[..], "EOF"),
        (br#"{"id": "y", "insns": "b700"#, "EOF"),
        (br#"["y"]"#, "line 2"),
        (br#"{"insns": "9500000000000000"}"#, "missing field `id`"),
        (br#"{"id": "y"}"#, "missing field `insns`"),
        (br#"{"id": "y", "insns": "9500000"}"#, "field `insns`"),
        (br#"{"id": "y", "insns": "95000000"}"#, "field `insns`"),
        (br#"{"id": "y", "insns": "zz00000000000000"}"#, "field `insns`"),
        (br#"{"id": "y", "insns": "9500000000000000", "caps": "root"}"#, "unknown set `root`"),
        (br#"{"id": "y", "insns": "9500000000000000", "prog_type": "xpd"}"#, "field `prog_type`"),
        (br#"{"id": "y", "insns": "9500000000000000", "maps": [{"type": "arry"}]}"#, "field `maps.type`"),
        (br#"{"id": "y", "insns": "9500000000000000", "btf": "9fe"}"#, "field `btf`"),
        (b"{\"id\": \"\xff\"}", "not UTF-8"),
    ] {
        let bytes = [whole.as_bytes(), b"\n", damaged, b"\n"].concat();
        let path = file(dir.path(), "cases.jsonl", &bytes);
        for command in ["run", "load", "verify"] {
            let output = Command::new(env!("CARGO_BIN_EXE_skep"))
                .args([command, "--cases", &path])
                .output()
                .expect("skep starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command}: {said}");
            assert!(said.contains("cases.jsonl") && said.contains(words), "{command}: {words:?} in {said}");
            assert_eq!(said.lines().count(), 1, "one sentence: {said}");
            assert_eq!(output.stdout, b"", "{command}");
        }
    }
}

/// What the verifier does not do is said by name; what the kernel refuses before it verifies is its answer.
#[test]
fn programs_that_cannot_be_verified_are_named() {
    for (prog_type, text, name) in [
        ("tc", "call kfunc bpf_rcu_read_lock", "kernel functions (kfuncs)"),
        ("fentry/do_nothing", "r1 = 0", "kernel BTF (attach target)"),
    ] {
        let text = format!(".program p, {prog_type}\n{text}\nr0 = 0\nexit\n");
        let (code, said) = skep(&["verify", "-"], text.as_bytes());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("program `p`") && said.contains(name), "{name:?} in {said}");
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (insns, prog_type) in [("", "\"xdp\""), ("9500000000000000", "9999"), ("ff00000000000000", "\"xdp\"")]
    {
        let case = format!(r#"{{"id": "x", "insns": "{insns}", "prog_type": {prog_type}}}"#);
        let path = file(dir.path(), "cases.jsonl", case.as_bytes());
        let (code, said) = skep(&["verify", "--cases", &path], b"");
        assert_eq!((code, said.as_str()), (Some(1), ""), "{case}");
    }
}
