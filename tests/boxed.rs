// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boxed kernels, for real: every User-Mode Linux and every image at hand answers, and what happens to guests is
//! survived. Where there is none, the tests say so; CI installs Debian's `user-mode-linux`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use skep_kernel_load::{
    BoxKernel, BoxOptions, Boxed, Caps, FindingKind, Kind, NoAnswer, Observation, Registry, Request, RunInput,
};
use skep_uapi::Errno;

fn options() -> BoxOptions {
    BoxOptions { executable: PathBuf::from(env!("CARGO_BIN_EXE_skep")), timeout: None, coverage: false }
}

/// A User-Mode Linux, the one of a package if there is one; says so where there is none.
fn uml() -> Option<BoxKernel> {
    let known = Registry::default().list().into_iter().find(|k| k.kind == Kind::Uml);
    let opened = known.and_then(|k| BoxKernel::open(k.kind, &k.path).ok());
    if opened.is_none() {
        println!("SKIP: no User-Mode Linux here: {}", Kind::Uml.remedy());
    }
    opened
}

fn request(source: &str, level: u32) -> Request {
    let object = skep_asm::assemble(source, &skep_asm::Options::default()).expect("assembles");
    Request::new(&object, 0, level)
}

/// Accepted; `n` makes each one's log its own.
fn good(n: i32) -> Request {
    request(&format!(".program p, xdp\nr0 = {n}\nexit\n"), 2)
}

fn verdict_of(answer: &Result<Observation, NoAnswer>) -> (bool, Option<Errno>, String) {
    let verdict = answer.as_ref().expect("answered").verdict().expect("asked for one");
    (verdict.accepted, verdict.errno, verdict.message.clone())
}

/// Processes whose parent is `parent`, those that run a guest.
fn guests_of(parent: u32) -> Vec<i32> {
    let is_guest = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|l| String::from_utf8_lossy(&l).contains("SKEP_BOX="))
    };
    children_of(parent).into_iter().filter(is_guest).collect()
}

/// Processes whose parent is `parent`.
fn children_of(parent: u32) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name in parentheses: state, then the parent.
        let ppid =
            stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).and_then(|p| p.parse().ok());
        if ppid == Some(parent) {
            found.push(pid);
        }
    }
    found
}

/// Processes anywhere that mention a directory of a box.
fn mentioning(folder: &str) -> usize {
    let lines = fs::read_dir("/proc").expect("proc").flatten();
    lines
        .filter(|e| {
            fs::read(e.path().join("cmdline")).is_ok_and(|l| String::from_utf8_lossy(&l).contains(folder))
        })
        .count()
}

/// Directories of boxes that a process (by its guests' command lines) uses.
fn folders_of(guests: &[i32]) -> BTreeSet<String> {
    let line = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let folder = |line: Vec<u8>| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.split('\0').find_map(|arg| arg.strip_prefix("SKEP_BOX_DIR=").map(str::to_owned))
    };
    guests.iter().map(line).filter_map(folder).collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "not within 20 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_kernel_at_hand_answers() {
    let known = Registry::default().list();
    if known.is_empty() {
        println!("SKIP: no boxed kernel here: {}; {}", Kind::Uml.remedy(), Kind::Vm.remedy());
    }
    for known in known {
        let name = known.name();
        let kernel = BoxKernel::open(known.kind, &known.path).expect("listed");
        let mut boxed = match Boxed::start(kernel, options()) {
            Ok(boxed) => boxed,
            Err(error) => {
                println!("SKIP: {name}: {error}");
                continue;
            }
        };
        let accepted = boxed.ask(&good(2)).expect("up");
        let verdict = accepted.as_ref().expect("asked").verdict().expect("one").clone();
        assert!(verdict.accepted && verdict.log.contains("0: (b7) r0 = 2"), "{name}: {verdict:?}");
        assert_eq!(verdict.stats.expect("figures").insn_processed, 2, "{name}");
        assert_eq!(verdict.release, boxed.release(), "{name}");

        let bad = boxed.ask(&request(".program p, xdp\nexit\n", 1)).expect("up");
        assert_eq!(verdict_of(&bad), (false, Some(Errno::EACCES), "R0 !read_ok".into()), "{name}");

        // Pointers are no numbers without CAP_PERFMON, nor for the unprivileged.
        let leak = ".program p, socket\nr0 = r1\nexit\n";
        for (caps, accepted) in [(Caps::Full, true), (Caps::CapBpf, false), (Caps::None, false)] {
            let asked = Request { caps, ..request(leak, 1) };
            let answer = boxed.ask(&asked).expect("up");
            assert_eq!(verdict_of(&answer).0, accepted, "{name} {caps}: {answer:?}");
        }

        // Runs: result, packet and map come back.
        let counts = "\
.map hits, array, key=4, value=8, max_entries=1
.program p, xdp
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map[hits]
call bpf_map_lookup_elem
if r0 == 0 goto out
r1 = 1
lock *(u64 *)(r0 + 0) += r1
out:
r0 = 2
exit
";
        let mut runs = request(counts, 0);
        runs.inputs = vec![RunInput::packet(vec![7; 64]); 3];
        let observation = boxed.ask(&runs).expect("up").expect("answered");
        assert_eq!(observation.runs.len(), 3, "{name}: {observation:?}");
        assert_eq!(observation.runs[2].ending, skep_kernel_load::Ending::Returned(2), "{name}");
        assert_eq!(observation.runs[2].data_out, Some(vec![7; 64]), "{name}");
        let skep_kernel_load::Contents::Elements(hits) = &observation.maps[0] else {
            panic!("{name}: readable")
        };
        assert_eq!(hits.get([0; 4].as_slice()), Some(&3_u64.to_le_bytes().to_vec()), "{name}");
        assert_eq!(boxed.restarts(), 0, "{name}");
    }
}

/// A case: accepted; `n` makes each one's log its own.
fn good_case(n: usize) -> String {
    let load = skep_isa::Insn::new(0xb7, 0, 0, 0, i32::try_from(n).expect("small"));
    let exit = skep_isa::Insn::new(0x95, 0, 0, 0, 0);
    let insns: String = [load, exit].iter().flat_map(|i| i.to_bytes()).map(|b| format!("{b:02x}")).collect();
    format!("{{\"id\":\"{n}\",\"prog_type\":\"xdp\",\"insns\":\"{insns}\"}}\n")
}

/// Runs `skep load --cases` with one guest, and kills its guests `kills` times, each in the midst of its batch of this
/// number. Gives the answers.
fn load_killing(kernel: &BoxKernel, cases: &str, kills: usize, batch: usize) -> Vec<serde_json::Value> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), cases).expect("written");
    let BoxKernel::Uml(image) = kernel else { panic!("it is one") };
    let host = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(["load", "-k", &format!("uml:{}", image.path.display()), "--guests", "1", "-l", "2", "--cases"])
        .arg(file.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let (pid, mut killed) = (host.id(), BTreeSet::new());
    let output = thread::scope(|scope| {
        let output = scope.spawn(|| host.wait_with_output().expect("ends"));
        while killed.len() < kills && !output.is_finished() {
            thread::sleep(Duration::from_millis(5));
            for guest in guests_of(pid) {
                let answers = |folder: &String| {
                    (batch..1000).any(|n| Path::new(folder).join(format!("answers.{n}")).exists())
                };
                if folders_of(&[guest]).iter().any(answers) && killed.insert(guest) {
                    let _ = Command::new("kill").args(["-9", &guest.to_string()]).status();
                }
            }
        }
        output.join().expect("joined")
    });
    assert_eq!(killed.len(), kills, "the test shows nothing where nothing was killed");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_killed_guest_loses_and_doubles_nothing() {
    let Some(kernel) = uml() else { return };
    let total = 5000;
    let cases: String = (0..total).map(good_case).collect();
    let answers = load_killing(&kernel, &cases, 3, 4);
    assert_eq!(answers.len(), total);
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], n.to_string(), "in order, each once");
        let log = answer["log"].as_str().unwrap_or_default();
        assert!(log.contains(&format!("0: (b7) r0 = {n} ")), "question {n} has another's answer: {answer}");
    }
}

#[test]
fn what_ends_a_guest_twice_is_named() {
    let Some(kernel) = uml() else { return };
    // Two nested loops of a thousand rounds: the verifier is busy up to its limit, for a second.
    let busy = "r6 = 0\nouter:\nr7 = 0\ninner:\nr7 += 1\nif r7 < 1000 goto inner\nr6 += 1\nif r6 < 1000 goto outer\n\
                r0 = 0\nexit\n";
    let object = skep_asm::assemble(&format!(".program busy, xdp\n{busy}"), &skep_asm::Options::default());
    let program = &object.expect("assembles").programs[0];
    let insns: String = program.bytes().iter().map(|b| format!("{b:02x}")).collect();
    let busy = format!("{{\"id\":\"busy\",\"prog_type\":\"xdp\",\"insns\":\"{insns}\"}}\n");
    let answers = load_killing(&kernel, &[busy, good_case(1), good_case(2)].concat(), 3, 1);
    let [culprit, first, second] = answers.as_slice() else { panic!("three answers: {answers:?}") };
    assert!(culprit["error"].as_str().is_some_and(|e| e.starts_with("it crashes Linux 6.")), "{culprit}");
    assert_eq!((&first["verdict"], &second["verdict"]), (&"accept".into(), &"accept".into()));
}

/// Keeps a guest busy for seconds, though it ends.
fn long() -> Request {
    Request { inputs: vec![RunInput::packet(vec![0; 64]); 400_000], ..good(1) }
}

#[test]
fn what_hangs_a_guest_is_named() {
    let Some(kernel) = uml() else { return };
    let options = BoxOptions { timeout: Some(Duration::from_secs(3)), ..options() };
    let mut boxed = Boxed::start(kernel, options).expect("boots");
    let mut queue = vec![good(0), long(), good(2), good(3)].into_iter().enumerate();
    let mut answers = Vec::new();
    boxed
        .ask_all(&mut || queue.next(), &mut |index, answer| answers.push((index, answer)))
        .expect("survives");
    assert_eq!(answers.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    for at in [0, 2, 3] {
        assert!(verdict_of(&answers[at].1).0, "{:?}", answers[at]);
    }
    let Err(NoAnswer::Finding(finding)) = &answers[1].1 else { panic!("no finding: {:?}", answers[1]) };
    assert_eq!((finding.kind, finding.release.as_str()), (FindingKind::Hang, boxed.release()));
    assert_eq!(boxed.restarts(), 3, "it is asked again, then twice by itself");
}

#[test]
fn nothing_is_left_behind() {
    let Some(kernel) = uml() else { return };
    let boxed = Boxed::start(kernel.clone(), options()).expect("boots");
    let folders = folders_of(&[i32::try_from(boxed.process_id()).expect("a pid")]);
    assert_eq!(folders.len(), 1);
    let folder = folders.first().expect("one").clone();
    assert!(fs::exists(&folder).expect("readable"));
    drop(boxed);
    assert!(!fs::exists(&folder).expect("readable"), "{folder} is left");
    assert_eq!(mentioning(&folder), 0, "processes are left");

    // A host that is killed cannot clean up; its watcher does.
    let cases: String = (0..20_000).map(good_case).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), cases).expect("written");
    let BoxKernel::Uml(image) = &kernel else { panic!("it is one") };
    let mut host = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(["load", "-k", &format!("uml:{}", image.path.display()), "--guests", "2", "--cases"])
        .arg(file.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("runs");
    wait_until("two guests", || guests_of(host.id()).len() == 2);
    let folders = folders_of(&guests_of(host.id()));
    // All of its processes are told to end, the watchers too, as by `pkill skep`; the host cannot refuse.
    let guests = guests_of(host.id());
    for watcher in children_of(host.id()).iter().filter(|pid| !guests.contains(pid)) {
        let _ = Command::new("kill").arg(watcher.to_string()).status();
    }
    host.kill().expect("killed");
    host.wait().expect("waited");
    for folder in &folders {
        wait_until("the watcher cleans up", || {
            !fs::exists(folder).unwrap_or(true) && mentioning(folder) == 0
        });
    }
}
