// SPDX-License-Identifier: GPL-2.0-only
//! Any bytes as a program of any type, verified as any release does with any capabilities and any log: an outcome,
//! never a panic, never more instructions walked than the kernel walks, and the same verdict with and without a log.
//! Seeds are instructions alone: they are programs of the type that their number of instructions chooses.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use skep_program::{MapSpec, Program, insns_from_bytes};
use skep_uapi::limits::BPF_COMPLEXITY_LIMIT_INSNS;
use skep_uapi::{Errno, MapType, ProgType};
use skep_verifier::{Caps, Options, Outcome, Profile, Verdict, verify};

/// Program types that there are.
const TYPES: usize = 33;
/// Instructions walked up to which a log is asked for: that of a million takes longer than a fuzzer waits.
const LOGGED: u32 = 50_000;

fn maps() -> Arc<Vec<MapSpec>> {
    let map = |map_type, key_size, value_size, max_entries| MapSpec {
        map_type,
        key_size,
        value_size,
        max_entries,
        ..MapSpec::default()
    };
    Arc::new(vec![
        map(MapType::ARRAY, 4, 48, 1),
        map(MapType::HASH, 8, 16, 4),
        map(MapType::PROG_ARRAY, 4, 4, 4),
        map(MapType::RINGBUF, 0, 0, 4096),
    ])
}

fuzz_target!(|bytes: &[u8]| {
    let whole = &bytes[..bytes.len() / 8 * 8];
    let Ok(insns) = insns_from_bytes(whole) else { return };
    // What is left of the last instruction chooses the rest.
    let choice = |at: usize| bytes.get(whole.len() + at).map_or(0, |&b| usize::from(b));
    let program = Program {
        name: "fuzz".to_owned(),
        prog_type: ProgType((insns.len() + choice(0)) as u32 % TYPES as u32),
        insns,
        maps: maps(),
        license: "GPL".to_owned(),
        ..Program::default()
    };
    let options = Options {
        profile: Profile::from_name(Profile::NAMES[choice(1) % Profile::NAMES.len()])
            .expect("a name of its own"),
        caps: [Caps::FULL, Caps::CAPBPF, Caps::NONE][choice(2) % 3],
        log_level: choice(3) as u32 % 8,
        log_size: (choice(4) != 0).then_some(choice(4) as u32 * 64),
        ..Options::default()
    };
    let silent = Options { log_level: 0, log_size: None, ..options.clone() };
    let Outcome::Answer { verdict, stats, .. } = verify(&program, &silent) else { return };
    assert!(stats.insn_processed as usize <= BPF_COMPLEXITY_LIMIT_INSNS + 1);
    if stats.insn_processed > LOGGED {
        return;
    }
    match verify(&program, &options) {
        // The log itself was refused, or did not fit.
        Outcome::Answer { verdict: Verdict::Reject(Errno::EINVAL | Errno::ENOSPC), .. } => {}
        Outcome::Answer { verdict: logged, .. } => assert_eq!(logged, verdict),
        Outcome::Unsupported(what) => panic!("unsupported with a log only: {what}"),
    }
});
