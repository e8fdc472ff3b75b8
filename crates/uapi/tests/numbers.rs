// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares numbers and names with what they mirror: the enumerations in the running kernel's BTF, and the uapi
//! header where one is installed.

mod common;

use common::{kernel_enumerators, kernel_is_6_18};
use skep_uapi::{AttachType, HelperId, MapType, ProgType, flags, helper};
use std::collections::HashMap;

/// Our names, as C has them, with their numbers.
fn ours() -> Vec<(&'static str, Vec<(String, u32)>)> {
    fn list(prefix: &str, values: impl Iterator<Item = (Option<&'static str>, u32)>) -> Vec<(String, u32)> {
        let c_name = |name: &str| {
            // Helper names stay in lower case in C.
            if prefix == HelperId::PREFIX { name.to_owned() } else { name.to_ascii_uppercase() }
        };
        values.map(|(name, n)| (format!("{prefix}{}", c_name(name.expect("a known value"))), n)).collect()
    }
    vec![
        ("bpf_func_id", list(HelperId::PREFIX, HelperId::ALL.iter().map(|v| (v.name(), v.0)))),
        ("bpf_map_type", list(MapType::PREFIX, MapType::ALL.iter().map(|v| (v.name(), v.0)))),
        ("bpf_prog_type", list(ProgType::PREFIX, ProgType::ALL.iter().map(|v| (v.name(), v.0)))),
        ("bpf_attach_type", list(AttachType::PREFIX, AttachType::ALL.iter().map(|v| (v.name(), v.0)))),
    ]
}

/// Names that stand for the end of an enumeration, or for another name's number.
fn is_marker(name: &str) -> bool {
    name.starts_with("__") || name.ends_with("_DEPRECATED")
}

#[test]
fn enumerations_are_those_of_the_running_kernel() {
    let count = ours().iter().map(|(_, values)| values.len()).sum();
    let Some(kernel) = kernel_enumerators().filter(|_| kernel_is_6_18(count)) else {
        println!("SKIP: no BTF of Linux 6.18; {count} numbers not compared");
        return;
    };
    for (name, values) in ours() {
        let real: HashMap<&str, u32> = kernel
            .iter()
            .filter(|e| e.of == name && !is_marker(&e.name))
            .map(|e| (e.name.as_str(), e.value))
            .collect();
        assert!(!real.is_empty(), "{name} is in the kernel's BTF");
        for (name, value) in &values {
            // A name that the kernel renamed, and keeps as deprecated, is another spelling of the same number.
            let found = real.get(name.as_str()).copied().or_else(|| {
                let old = format!("{name}_DEPRECATED");
                kernel.iter().find(|e| e.name == old).map(|e| e.value)
            });
            assert_eq!(found, Some(*value), "{name}");
        }
        let known: Vec<u32> = values.iter().map(|(_, n)| *n).collect();
        for (name, value) in real {
            assert!(known.contains(&value), "{name} = {value} has no row");
        }
    }
}

#[test]
fn flags_are_those_of_the_running_kernel() {
    let create = flags::map_create::ALL.iter().map(|&(name, bit)| (name, u64::from(bit)));
    let update = flags::map_update::ALL.iter().map(|&(name, bit)| (name, bit));
    let load = flags::prog_load::ALL.iter().map(|&(name, bit)| (name, u64::from(bit)));
    let ours: Vec<(&str, u64)> = create.chain(update).chain(load).collect();
    let Some(kernel) = kernel_enumerators().filter(|_| kernel_is_6_18(ours.len())) else {
        println!("SKIP: no BTF of Linux 6.18; {} flags not compared", ours.len());
        return;
    };
    let mut macros = 0;
    for (name, bit) in ours {
        match kernel.iter().find(|e| e.name == name) {
            Some(real) => assert_eq!(u64::from(real.value), bit, "{name}"),
            None => macros += 1,
        }
    }
    println!("SKIP: {macros} flags are macros in C, which BTF does not have");
}

#[test]
fn type_flags_are_those_of_the_running_kernel() {
    let ours = [
        ("PTR_MAYBE_NULL", helper::PTR_MAYBE_NULL),
        ("MEM_RDONLY", helper::MEM_RDONLY),
        ("MEM_RINGBUF", helper::MEM_RINGBUF),
        ("OBJ_RELEASE", helper::OBJ_RELEASE),
        ("MEM_UNINIT", helper::MEM_UNINIT),
        ("DYNPTR_TYPE_LOCAL", helper::DYNPTR_TYPE_LOCAL),
        ("DYNPTR_TYPE_RINGBUF", helper::DYNPTR_TYPE_RINGBUF),
        ("MEM_FIXED_SIZE", helper::MEM_FIXED_SIZE),
        ("PTR_TRUSTED", helper::PTR_TRUSTED),
        ("MEM_ALIGNED", helper::MEM_ALIGNED),
        ("MEM_WRITE", helper::MEM_WRITE),
    ];
    let Some(kernel) = kernel_enumerators().filter(|_| kernel_is_6_18(ours.len())) else {
        println!("SKIP: no BTF of Linux 6.18; {} flags not compared", ours.len());
        return;
    };
    // The kernel keeps the base type in the 8 bits below.
    for (name, bit) in ours {
        let real = kernel.iter().find(|e| e.of == "bpf_type_flag" && e.name == name);
        assert_eq!(real.map(|e| e.value), Some(bit << 8), "{name}");
    }
}

#[test]
fn numbers_are_those_of_the_installed_header() {
    let path = "/usr/include/linux/bpf.h";
    let Ok(header) = std::fs::read_to_string(path) else {
        println!("SKIP: no {path}");
        return;
    };
    let (mut compared, mut newer) = (0, 0);
    for (name, values) in ours() {
        let listed = enumeration(&header, name);
        assert!(!listed.is_empty(), "enum {name} is in {path}");
        for (name, value) in values {
            match listed.get(&name) {
                Some(real) => {
                    assert_eq!(*real, value, "{name}");
                    compared += 1;
                }
                None => newer += 1,
            }
        }
    }
    println!("{compared} numbers compared, SKIP: {newer} that this header does not have");
    assert!(compared > 200, "only {compared} names of the header are ours");
}

/// Enumerators of an enumeration in C source with their numbers; helpers are behind the macro `FN`.
fn enumeration(header: &str, name: &str) -> HashMap<String, u32> {
    let macro_list = name == "bpf_func_id";
    let start = if macro_list { "BPF_FUNC_MAPPER(FN".to_owned() } else { format!("enum {name} {{") };
    let end = if macro_list { "/*" } else { "};" };
    let Some((_, after)) = header.split_once(&start) else { return HashMap::new() };
    let body = &after[..after.find(end).unwrap_or(after.len())];
    let mut next = 0;
    let mut listed = HashMap::new();
    for entry in body.split(if macro_list { '\n' } else { ',' }) {
        if macro_list {
            let Some((_, rest)) = entry.split_once("FN(") else { continue };
            let inner = rest.split(')').next().unwrap_or("");
            let mut parts = inner.split(',').map(str::trim);
            let name = parts.next().unwrap_or("");
            next = parts.next().and_then(|n| n.parse().ok()).unwrap_or(next);
            listed.insert(format!("{}{name}", HelperId::PREFIX), next);
            next += 1;
            continue;
        }
        let line = entry.rsplit("*/").next().unwrap_or("").trim();
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let value = value.trim();
        let alias = listed.get(value).copied();
        let number = alias.or_else(|| value.parse().ok()).unwrap_or(next);
        if !name.trim().is_empty() {
            listed.insert(name.trim().to_owned(), number);
            next = number + 1;
        }
    }
    listed
}
