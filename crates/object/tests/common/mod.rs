// SPDX-License-Identifier: MIT OR Apache-2.0
//! What libbpf makes of an object, and where skep differs from it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use skep_isa::Insn;
use skep_program::{MapSpec, Object, Program};
use skep_uapi::{MapType, ProgType};

/// The C program that opens an object with libbpf, built once; or why there is none.
pub fn capture_tool() -> Result<&'static Path, &'static str> {
    static TOOL: OnceLock<Result<(tempfile::TempDir, PathBuf), String>> = OnceLock::new();
    let built = TOOL.get_or_init(|| {
        let dir = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
        let tool = dir.path().join("capture");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/capture.c");
        // Another libbpf than the installed one: flags of the compiler in SKEP_LIBBPF.
        let flags = std::env::var("SKEP_LIBBPF").unwrap_or_else(|_| "-lbpf".to_owned());
        let run = Command::new("cc")
            .args(["-O1", "-o"])
            .arg(&tool)
            .arg(source)
            .args(flags.split_whitespace())
            .output();
        match run {
            Ok(out) if out.status.success() => Ok((dir, tool)),
            Ok(out) => Err(format!(
                "cc finds no libbpf: {}",
                String::from_utf8_lossy(&out.stderr).lines().next().unwrap_or("")
            )),
            Err(e) => Err(format!("no C compiler: {e}")),
        }
    });
    match built {
        Ok((_, tool)) => Ok(tool),
        Err(why) => Err(why),
    }
}

/// A program as libbpf would load it.
#[derive(Debug)]
pub struct Loaded {
    pub name: String,
    prog_type: u32,
    attach_type: u32,
    insns: Vec<Insn>,
    func_info: Vec<u8>,
    line_info: Vec<u8>,
}

/// What libbpf makes of an object.
#[derive(Debug, Default)]
pub struct Captured {
    /// It does not open the object: errno.
    pub refused: Option<i32>,
    pub programs: Vec<Loaded>,
    /// Programs that it does not load, for want of a kernel symbol or attach target.
    pub not_loaded: Vec<String>,
    maps: Vec<Vec<String>>,
    btf: Vec<u8>,
}

fn bytes(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).expect("hex digit") as u8;
    if text == "-" {
        return Vec::new();
    }
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

fn insns(text: &str) -> Vec<Insn> {
    skep_program::insns_from_bytes(&bytes(text)).expect("whole instructions")
}

/// Runs libbpf over an object.
pub fn capture(tool: &Path, object: &Path) -> Captured {
    let out = Command::new(tool).arg(object).output().expect("the tool runs");
    assert!(out.status.success(), "{}: {:?}", object.display(), out.status);
    let mut captured = Captured::default();
    for line in String::from_utf8(out.stdout).expect("UTF-8").lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[0] {
            "open" => captured.refused = fields[1].parse().ok(),
            "refused" => captured.not_loaded.push(fields[1].to_owned()),
            "btf" => captured.btf = bytes(fields[1]),
            "map" => captured.maps.push(fields[1..].iter().map(|&f| f.to_owned()).collect()),
            "prog" => captured.programs.push(Loaded {
                name: fields[1].to_owned(),
                prog_type: fields[2].parse().expect("number"),
                attach_type: fields[3].parse().expect("number"),
                insns: insns(fields[5]),
                func_info: bytes(fields[6]),
                line_info: bytes(fields[7]),
            }),
            other => panic!("unknown line `{other}`"),
        }
    }
    captured
}

/// Instructions that depend on the running kernel: those at CO-RE relocations and kernel symbols. Second slots of
/// 64-bit loads are included.
fn open_slots(program: &Program) -> Vec<bool> {
    let mut open = vec![false; program.insns.len() + 1];
    let core = program.core_relos.iter().map(|r| u32::from_le_bytes([r[0], r[1], r[2], r[3]]) as usize / 8);
    for at in core.chain(program.btf_refs.iter().map(|r| r.insn)) {
        open[at] = true;
        open[at + 1] |= program.insns[at].is_ld_imm64();
    }
    open
}

/// Where a program differs from what libbpf would load.
pub fn program_difference(ours: &Program, theirs: &Loaded) -> Option<String> {
    if ours.insns.len() != theirs.insns.len() {
        return Some(format!("{} instructions, libbpf has {}", ours.insns.len(), theirs.insns.len()));
    }
    let open = open_slots(ours);
    for (at, (a, b)) in ours.insns.iter().zip(&theirs.insns).enumerate() {
        if a != b && !open[at] {
            return Some(format!("instruction {at} is {a:?}, libbpf has {b:?}"));
        }
    }
    if ours.func_info.bytes != theirs.func_info {
        return Some("func_info".to_owned());
    }
    if ours.line_info.bytes != theirs.line_info {
        return Some("line_info".to_owned());
    }
    // Older libbpf reads fewer section names, and legacy ones not at all; the attach type of struct_ops is the
    // position of a member in the kernel's structure.
    if theirs.prog_type == ProgType::STRUCT_OPS.0 && ours.prog_type == ProgType::STRUCT_OPS {
        return None;
    }
    if theirs.prog_type != 0 && ours.prog_type.0 != theirs.prog_type {
        return Some(format!("type {}, libbpf has {}", ours.prog_type, theirs.prog_type));
    }
    if theirs.attach_type != 0 && ours.expected_attach_type.0 != theirs.attach_type {
        return Some(format!("attach type {}, libbpf has {}", ours.expected_attach_type, theirs.attach_type));
    }
    None
}

fn fields(spec: &MapSpec) -> Vec<String> {
    let numbers = [spec.map_type.0, spec.key_size, spec.value_size, spec.max_entries, spec.flags];
    let mut all = vec![spec.name.clone()];
    all.extend(numbers.iter().map(u32::to_string));
    all.push(spec.map_extra.to_string());
    all.extend([spec.numa_node, spec.btf_key, spec.btf_value].iter().map(u32::to_string));
    all
}

/// Where the maps differ from libbpf's.
pub fn map_difference(object: &Object, captured: &Captured) -> Option<String> {
    if object.maps.len() != captured.maps.len() {
        return Some(format!("{} maps, libbpf has {}", object.maps.len(), captured.maps.len()));
    }
    for (spec, theirs) in object.maps.iter().zip(&captured.maps) {
        let mut ours = fields(spec);
        // libbpf puts the name of the file before that of a data section and cuts both to 15 bytes.
        if spec.name.starts_with('.') && theirs[0].ends_with(&spec.name[..spec.name.len().min(15)]) {
            ours[0].clone_from(&theirs[0]);
        }
        // What depends on the running kernel: the number of CPUs, and its types of struct_ops.
        if spec.map_type == MapType::PERF_EVENT_ARRAY && spec.max_entries == 0 {
            ours[4].clone_from(&theirs[4]);
        }
        if spec.map_type == MapType::STRUCT_OPS {
            ours[3].clone_from(&theirs[3]);
        }
        if ours[..] != theirs[..10] {
            return Some(format!("map {ours:?}, libbpf has {:?}", &theirs[..10]));
        }
        if let Some((_, value)) = spec.entries.first()
            && spec.map_type == MapType::ARRAY
            && bytes(&theirs[10]) != *value
        {
            return Some(format!("contents of map {}", spec.name));
        }
    }
    None
}

/// Whether the BTF differs from libbpf's.
pub fn btf_difference(object: &Object, captured: &Captured) -> Option<String> {
    let ours = object.programs.first().and_then(|p| p.btf.as_deref()).unwrap_or(&[]);
    if ours == captured.btf || object.programs.is_empty() {
        return None;
    }
    let at = ours.iter().zip(&captured.btf).position(|(a, b)| a != b);
    Some(format!(
        "BTF of {} bytes, libbpf has {}; first difference at {at:?}",
        ours.len(),
        captured.btf.len()
    ))
}
