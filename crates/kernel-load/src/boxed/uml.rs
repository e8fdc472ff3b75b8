// SPDX-License-Identifier: MIT OR Apache-2.0
//! User-Mode Linux: a kernel that is an ordinary process. Its root is the host's own files, read-only (hostfs), its
//! first process this executable; questions and answers are files in a directory of the host's memory, and the
//! serial line rings the bell for them.
//!
//! As distributions build it, it has no BPF JIT and no perf events, and asks for aligned accesses; one that
//! [`super::build`](super::build()) made has them. What a kernel answers otherwise for such a lack is not comparable
//! ([`UmlImage::not_comparable`]).

#[cfg(target_arch = "x86_64")]
mod xstate;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use skep_isa::{CallKind, Imm64, Op};
use skep_program::{BtfRefKind, Program};
use skep_uapi::{HelperId, ProgType, flags};

use super::guest::{BELL_ASKED, BELL_DONE, answers_name, questions_name};
use super::guest::{BOX, BOX_DIR, KEEP_MEMORY};
use crate::Observation;

/// Memory of a guest, of which the host gives what is touched. With half of it, logs of every path of programs at the
/// verifier's limit run out of it.
const MEMORY: &str = "mem=1G";

/// What a file says that it is, where it is no kernel of this kind.
#[derive(Debug, thiserror::Error)]
pub enum UmlError {
    /// It cannot be read.
    #[error("`{0}` cannot be read: {1}; name a kernel that `skep kernels` lists, or the path of one")]
    Unreadable(PathBuf, io::Error),
    /// It is another kind of file.
    #[error("`{0}` is not a User-Mode Linux kernel but {1}; build one with `skep kernels build TREE`")]
    NotUml(PathBuf, &'static str),
    /// It is for another machine.
    #[error("`{0}` is for another machine (ELF machine {1}); User-Mode Linux here must be for x86-64")]
    Machine(PathBuf, u16),
    /// It does not start.
    #[error("`{0}` does not start: {1}; it is damaged, or not executable for this user")]
    NotStarting(PathBuf, String),
    /// It lacks an option that the box needs.
    #[error(
        "`{0}` was built without {1}, which a boxed kernel needs; build one with `skep kernels build TREE`"
    )]
    Option(PathBuf, &'static str),
}

/// A User-Mode Linux kernel, looked at.
#[derive(Clone, Debug)]
pub struct UmlImage {
    /// The executable.
    pub path: PathBuf,
    /// Its version, without local additions.
    pub version: String,
    /// Carries gcov's counters.
    pub coverage: bool,
    /// Carries its types (`CONFIG_DEBUG_INFO_BTF`).
    pub btf: bool,
    /// Has a BPF JIT.
    pub jit: bool,
    /// Has perf events.
    pub events: bool,
    unaligned: bool,
}

/// An executable that does not know `--showconfig`.
const OTHER_PROGRAM: &str = "a program that prints no kernel configuration";

/// Options without which there is no box.
const NEEDED: [&str; 4] = ["CONFIG_BPF_SYSCALL", "CONFIG_HOSTFS", "CONFIG_PROC_FS", "CONFIG_TMPFS"];

impl UmlImage {
    /// Looks at a kernel: its file, and the configuration that it prints.
    ///
    /// # Errors
    /// [`UmlError`] says what the file is instead.
    pub fn open(path: &Path) -> Result<UmlImage, UmlError> {
        let path = path.to_owned();
        let mut head = [0; 0x206];
        let read = File::open(&path).and_then(|mut f| read_up_to(&mut f, &mut head));
        let head = match read {
            Ok(length) => &head[..length],
            Err(error) => return Err(UmlError::Unreadable(path, error)),
        };
        check_elf(&path, head)?;
        let output = Command::new(&path).arg("--showconfig").stdin(Stdio::null()).output();
        let output = match output {
            Ok(output) if output.status.success() => output,
            // It ran, and had something else to say.
            Ok(output) if output.status.code().is_some() => {
                return Err(UmlError::NotUml(path, OTHER_PROGRAM));
            }
            Ok(output) => return Err(UmlError::NotStarting(path, output.status.to_string())),
            Err(error) => return Err(UmlError::NotStarting(path, error.to_string())),
        };
        let config = String::from_utf8_lossy(&output.stdout);
        let on = |option: &str| config.lines().any(|l| l.strip_prefix(option) == Some("=y"));
        let Some(version) = version(&config) else {
            return Err(UmlError::NotUml(path, OTHER_PROGRAM));
        };
        if let Some(missing) = NEEDED.into_iter().find(|option| !on(option)) {
            return Err(UmlError::Option(path, missing));
        }
        Ok(UmlImage {
            version: version.to_owned(),
            coverage: on("CONFIG_GCOV_KERNEL") || on("CONFIG_GCOV"),
            btf: on("CONFIG_DEBUG_INFO_BTF"),
            jit: on("CONFIG_BPF_JIT"),
            events: on("CONFIG_BPF_EVENTS"),
            unaligned: on("CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS"),
            path,
        })
    }

    /// Why this kernel would answer about a program otherwise than one with JIT and perf events.
    #[must_use]
    pub fn not_comparable(&self, program: &Program) -> Option<String> {
        let vm = format!("ask a kernel under QEMU, `-k vm:{}`", self.version);
        if program.prog_type == ProgType::PERF_EVENT {
            let why =
                "programs of type perf_event find other registers in front of their context than on x86-64";
            return Some(format!("on User-Mode Linux {why}; {vm}"));
        }
        if !self.events && PERF.contains(&program.prog_type) {
            let name = program.prog_type;
            return Some(format!(
                "this User-Mode Linux has no perf events, which programs of type {name} need; {vm}"
            ));
        }
        let what = needs_jit(program).filter(|_| !self.jit)?;
        Some(format!("this User-Mode Linux has no BPF JIT, which {what} need; {vm}"))
    }

    /// Why an answer of this kernel is not that of one with a JIT, on a processor that is as quick at unaligned
    /// accesses as with aligned ones.
    #[must_use]
    pub fn not_comparable_answer(&self, program: &Program, answer: &Observation) -> Option<String> {
        let verdict = answer.verdict().filter(|v| !v.accepted)?;
        if !self.unaligned
            && program.prog_flags & flags::prog_load::BPF_F_STRICT_ALIGNMENT == 0
            && verdict.message.starts_with("misaligned ")
        {
            return Some(
                "User-Mode Linux asks for aligned accesses (it lacks CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS), and \
                 refused the program for one"
                    .to_owned(),
            );
        }
        // `round_up_stack_depth`: to 16 bytes where a JIT is asked for, to 32 for the interpreter.
        if !self.jit && verdict.message.starts_with("combined stack size of ") {
            return Some(
                "User-Mode Linux has no BPF JIT, so that stacks are rounded to 32 bytes instead of 16, and refused the \
                 program for their sum"
                    .to_owned(),
            );
        }
        None
    }

    /// The command that boots it, with `executable` as its first process and `folder` to talk through.
    pub(super) fn command(&self, executable: &Path, folder: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env_clear()
            // Where it keeps its memory: a file that has no name once it is open.
            .env("TMPDIR", folder)
            .args([MEMORY, "root=/dev/root", "rootfstype=hostfs", "ro", "quiet", "panic=-1", "oops=panic"])
            .args(["con=null", "con0=null,fd:2", "ssl=null", "ssl0=fd:0,fd:1", "umid=skep"])
            // How fast it can count to: measuring it takes as long as all other booting, and nothing uses it.
            .arg("lpj=10000000")
            // Security modules take a tenth of a second to start and confine no program; audit tells of every load.
            .args(["selinux=0", "apparmor=0", "audit=0"])
            .arg(format!("uml_dir={}", folder.display()))
            .arg(format!("init={}", quoted(executable)))
            .arg(format!("{BOX}=uml"))
            .args(KEEP_MEMORY)
            .arg(format!("{BOX_DIR}={}", folder.display()));
        #[cfg(target_arch = "x86_64")]
        if xstate::is_too_large(&self.version) {
            xstate::hide(&mut command);
        }
        command
    }
}

/// A parameter's value as the kernel's command line takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(' ') { format!("\"{text}\"") } else { text }
}

/// Program types that attach to perf events.
const PERF: [ProgType; 5] = [
    ProgType::KPROBE,
    ProgType::TRACEPOINT,
    ProgType::RAW_TRACEPOINT,
    ProgType::RAW_TRACEPOINT_WRITABLE,
    ProgType::TRACING,
];

/// What of a program only a JIT can run: the kernel refuses it without one.
fn needs_jit(program: &Program) -> Option<&'static str> {
    if program.btf_refs.iter().any(|r| r.kind == BtfRefKind::Kfunc) {
        return Some("calls of kernel functions");
    }
    let mut local = false;
    let mut tail = false;
    for at in 0..program.insns.len() {
        let Ok(decoded) = skep_isa::decode(&program.insns, at) else { continue };
        match decoded.op() {
            Op::Call(CallKind::Kfunc) => return Some("calls of kernel functions"),
            Op::LdImm64(Imm64::Func) => return Some("callbacks"),
            Op::Call(CallKind::Local) => local = true,
            Op::Call(CallKind::Helper) => tail |= decoded.insn.imm.cast_unsigned() == HelperId::TAIL_CALL.0,
            _ => {}
        }
    }
    (local && tail).then_some("subprogram calls beside tail calls")
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            n => length += n,
        }
    }
    Ok(length)
}

/// `EM_X86_64`.
const X86_64: u16 = 62;

fn check_elf(path: &Path, head: &[u8]) -> Result<(), UmlError> {
    let not = |what| Err(UmlError::NotUml(path.to_owned(), what));
    if head.len() >= 0x206 && &head[0x202..0x206] == b"HdrS" {
        return not("a bootable image for a machine (try `vm:` in front of the path)");
    }
    match head {
        [] => not("an empty file"),
        [0x7f, b'E', b'L', b'F', 2, 1, ..] if head.len() >= 20 => {
            let machine = u16::from_le_bytes([head[18], head[19]]);
            if machine == X86_64 { Ok(()) } else { Err(UmlError::Machine(path.to_owned(), machine)) }
        }
        [0x7f, b'E', b'L', b'F', ..] => not("an ELF file of another width or byte order"),
        _ => not("no ELF executable"),
    }
}

/// The version in the head of a configuration: `# Linux/um 6.1.176 Kernel Configuration`.
fn version(config: &str) -> Option<&str> {
    config.lines().take(8).find_map(|line| line.strip_prefix("# Linux/um ")?.split(' ').next())
}

/// The host's end of the files and the bell.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Number of the last batch that was asked.
    asked: u64,
    /// Number of the batch whose answers are read, 0 being the greeting, and the bytes read of it.
    reading: u64,
    offset: u64,
}

impl Shared {
    /// Writes a batch of questions; gives the bytes that ring for it.
    pub fn ask(&mut self, folder: &Path, frames: &[u8]) -> io::Result<Vec<u8>> {
        self.asked += 1;
        fs::write(folder.join(questions_name(self.asked)), frames)?;
        Ok(vec![BELL_ASKED])
    }

    /// Reads the answers that were rung for.
    pub fn rung(&mut self, folder: &Path, bells: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = self.look(folder)?;
        for _ in bells.iter().filter(|b| **b == BELL_DONE) {
            // The bell came after the last byte was written.
            bytes.extend(self.look(folder)?);
            let _ = fs::remove_file(folder.join(questions_name(self.reading)));
            let _ = fs::remove_file(folder.join(answers_name(self.reading)));
            self.reading += 1;
            self.offset = 0;
            bytes.extend(self.look(folder)?);
        }
        Ok(bytes)
    }

    /// Reads whatever answers are there, as after the guest's end.
    pub fn look(&mut self, folder: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match File::open(folder.join(answers_name(self.reading))) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(self.offset))?;
                self.offset += file.read_to_end(&mut bytes)? as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_such_kernel_are_named() {
        let at = Path::new("k");
        let error = |head: &[u8]| check_elf(at, head).expect_err("no kernel").to_string();
        assert!(error(b"").contains("an empty file"));
        assert!(error(b"#!/bin/sh\n").contains("no ELF executable"));
        let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1];
        elf.resize(64, 0);
        elf[18] = 183;
        assert!(error(&elf).contains("another machine (ELF machine 183)"));
        elf[18] = 62;
        assert!(check_elf(at, &elf).is_ok());
        let mut image = vec![0; 0x206];
        image[0x202..].copy_from_slice(b"HdrS");
        assert!(error(&image).contains("bootable image"));
    }

    #[test]
    fn version_of_a_configuration() {
        let config =
            "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/um 6.1.176 Kernel Configuration\n#\n";
        assert_eq!(version(config), Some("6.1.176"));
        assert_eq!(version("usage: linux\n"), None);
    }
}
