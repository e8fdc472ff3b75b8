// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole programs over a real capture: what `skep run` counts is what is in the capture, and `skep diff` finds
//! actions, packets and maps equal to the running kernel's, for text and for what every clang at hand makes of C.
//! Where the kernel or a clang is not there, the test says `SKIP` and why.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const CAPTURE: &str = "examples/capture.pcap";
/// Packets in the capture.
const PACKETS: u64 = 1157;

/// Runs skep; its exit code, its JSON, and what it said on standard error.
fn skep(args: &[&str]) -> (Option<i32>, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_skep"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(args)
        .arg("-j")
        .output()
        .expect("skep starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

fn count(summary: &Value, action: &str) -> u64 {
    let actions = summary["actions"].as_array().expect("a list of actions");
    actions.iter().find(|a| a["action"] == action).map_or(0, |a| a["count"].as_u64().expect("a count"))
}

/// Packets of the capture, by EtherType and place of the port, found without skep.
fn packets() -> Vec<Vec<u8>> {
    let bytes =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(CAPTURE)).expect("the capture is there");
    let mut rest = &bytes[24..];
    let mut packets = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        packets.push(after[..len].to_vec());
        rest = &after[len..];
    }
    packets
}

#[test]
fn the_firewall_drops_what_it_should_and_counts_the_rest() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let out = dir.path().join("out.pcap");
    let (code, summary, said) = skep(&[
        "run",
        "examples/firewall.s",
        "-p",
        "firewall",
        "--pcap",
        CAPTURE,
        "--out-pcap",
        out.to_str().expect("UTF-8"),
    ]);
    assert_eq!(code, Some(0), "{said}");
    let packets = packets();
    assert_eq!(packets.len() as u64, PACKETS);
    let blocked = |p: &Vec<u8>| {
        let (transport, protocol) = match p[12..14] {
            [0x08, 0x00] => (14 + usize::from(p[14] & 15) * 4, p[23]),
            [0x86, 0xdd] => (54, p[20]),
            _ => return false,
        };
        let port = p.get(transport + 2..transport + 4).map(|b| u16::from_be_bytes([b[0], b[1]]));
        matches!(protocol, 6 | 17) && matches!(port, Some(23 | 3389 | 5900))
    };
    let dropped = packets.iter().filter(|p| blocked(p)).count() as u64;
    assert!(dropped > 0, "the capture has blocked packets");
    assert_eq!(summary["packets"], PACKETS);
    assert_eq!(count(&summary, "XDP_DROP"), dropped);
    assert_eq!(count(&summary, "XDP_PASS"), PACKETS - dropped);

    let (code, again, said) =
        skep(&["run", "examples/firewall.s", "-p", "drop", "--pcap", out.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(again["packets"], PACKETS - dropped, "the output capture has what was passed");
}

/// `skep diff` over the capture must find everything equal, unless the kernel cannot be asked.
fn equal_to_the_kernel(input: &str, program: &str) {
    let (code, report, said) = skep(&["diff", input, "-p", program, "--pcap", CAPTURE]);
    if code == Some(2) {
        let why = report["error"].as_str().unwrap_or(&said).to_owned();
        assert!(why.contains("cannot be asked"), "{input}: {why}");
        eprintln!("SKIP: {input}: {why}");
        return;
    }
    assert_eq!(code, Some(0), "{input}: {report:#}");
    assert_eq!(report["comparisons"][0]["runs"], PACKETS, "{input}");
}

#[test]
fn the_firewall_is_equal_to_the_kernels() {
    equal_to_the_kernel("examples/firewall.s", "firewall");
}

#[test]
fn what_clang_makes_of_c_is_equal_to_the_kernels() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut built = 0;
    for version in 14..=22 {
        let object = dir.path().join(format!("clang-{version}.o"));
        let object = object.to_str().expect("UTF-8");
        let clang = Command::new(format!("clang-{version}"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["-target", "bpf", "-O2", "-g", "-c", "tests/objects/xdp_tail_calls.c", "-o", object])
            .status();
        match clang {
            Ok(status) => {
                assert!(status.success(), "clang-{version}");
                built += 1;
                equal_to_the_kernel(object, "entry");
                let (code, summary, said) = skep(&["run", object, "-p", "entry", "--pcap", CAPTURE]);
                assert_eq!(code, Some(0), "clang-{version}: {said}");
                assert_eq!(summary["packets"], PACKETS, "clang-{version}");
            }
            Err(_) => eprintln!("SKIP: clang-{version} is not installed"),
        }
    }
    eprintln!("{built} versions of clang");
}

#[test]
fn packets_that_are_too_short_are_counted_and_the_rest_runs() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("short.pcap");
    // Magic number, version 2.4, no time zone, snapshot length, Ethernet.
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0];
    for len in [5u32, 60] {
        bytes.extend([0; 8]);
        bytes.extend(len.to_le_bytes().repeat(2));
        bytes.extend(vec![0; len as usize]);
    }
    std::fs::write(&path, bytes).expect("the temporary directory can be written");
    let (code, summary, said) =
        skep(&["run", "examples/firewall.s", "-p", "drop", "--pcap", path.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((&summary["packets"], &summary["not_run"]), (&2.into(), &1.into()), "{summary}");
    assert_eq!(count(&summary, "XDP_DROP"), 1);
}
