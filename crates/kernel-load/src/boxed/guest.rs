// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's side: this executable as the first process of a boxed kernel. It mounts what it needs over the
//! guest's own view of the files, answers the host's questions, and powers the kernel off when the host is gone.
//!
//! Guarantees: nothing is written to the host but the answers.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use rustix::system::RebootCommand;

use super::wire::{self, Asked, Frames, PROTOCOL, Question, Told};
use crate::{Kernel, NoAnswer, observe, sys};

/// Which box this is the guest of, in the environment of the first process: `uml` or `qemu`.
pub(super) const BOX: &str = "SKEP_BOX";
/// The host's directory for questions and answers (UML).
pub(super) const BOX_DIR: &str = "SKEP_BOX_DIR";

/// Where the host's directory appears in the guest.
const SHARED: &str = "/dev/skep";
/// Where gcov's counters are.
const GCOV: &str = "/sys/kernel/debug/gcov";

/// For malloc of glibc, in the environment of the first process: memory that was freed is kept. To have it back takes a
/// page fault a page, each as long as several system calls.
pub(super) const KEEP_MEMORY: [&str; 3] =
    ["MALLOC_MMAP_THRESHOLD_=33554432", "MALLOC_TRIM_THRESHOLD_=67108864", "MALLOC_TOP_PAD_=1048576"];

/// The most that a guest holds of one log. Guests are small.
const LOG_LIMIT: usize = 64 << 20;

/// Answers that are sent together, where they are short. Each time takes three system calls, which are the better part
/// of what a small program costs in User-Mode Linux.
const WINDOW: usize = 8;
/// Bytes of answers that are not held back.
const WINDOW_BYTES: usize = 64 << 10;

/// To be called first in `main` of an executable that boxed kernels run as their first process, or that watches
/// over them: it does not return where the process is one of these, and does nothing otherwise.
pub fn take_over_if_asked() {
    if let Some(kind) = std::env::var_os(BOX)
        && std::process::id() == 1
    {
        // A panic must not end the first process silently: the kernel's panic would hide what it said.
        let served = std::panic::catch_unwind(|| serve(&kind));
        if let Ok(Err(error)) = &served {
            eprintln!("skep guest: {error}");
        }
        // A machine without ACPI cannot be powered off; QEMU ends when it restarts.
        let end = if kind == "uml" { RebootCommand::PowerOff } else { RebootCommand::Restart };
        let _ = rustix::system::reboot(end);
        std::process::exit(0);
    }
    super::watch::take_over_if_asked();
}

fn serve(kind: &OsString) -> io::Result<()> {
    mount("proc", "/proc", "")?;
    mount("sysfs", "/sys", "")?;
    mount("tmpfs", "/dev", "")?;
    // Lets programs be loaded without capabilities; kernels without the switch allow it anyway.
    let _ = fs::write("/proc/sys/kernel/unprivileged_bpf_disabled", "0");
    let mut link: Box<dyn Link> =
        if kind == "uml" { Box::new(Shared::open()?) } else { Box::new(Port::open()?) };
    let mut out = Vec::new();
    let kernel = match Kernel::open() {
        Ok(kernel) => kernel.with_log_limit(LOG_LIMIT),
        Err(error) => {
            wire::put(&Told::Broken(error.to_string()), &mut out);
            link.send(&out)?;
            return link.flush();
        }
    };
    wire::put(&Told::Hello { protocol: PROTOCOL, release: kernel.release().to_owned() }, &mut out);
    link.send(&out)?;
    link.flush()?;
    // What booting printed is no finding.
    sys::kernel_messages();

    let mut frames = Frames::default();
    while let Some(bytes) = link.receive()? {
        frames.extend(&bytes);
        let mut held = 0;
        out.clear();
        while let Some(Asked { number, alone, question }) = frames.next().map_err(io::Error::other)? {
            wire::put(&answer(&kernel, number, question), &mut out);
            held += 1;
            if alone || held == WINDOW || out.len() >= WINDOW_BYTES {
                send(&mut *link, &out)?;
                link.ring()?;
                held = 0;
                out.clear();
            }
        }
        send(&mut *link, &out)?;
        link.flush()?;
    }
    Ok(())
}

/// Sends answers, behind what the kernel warned of meanwhile.
fn send(link: &mut dyn Link, answers: &[u8]) -> io::Result<()> {
    if answers.is_empty() {
        return Ok(());
    }
    let warnings = warnings(&sys::kernel_messages());
    if !warnings.is_empty() {
        let mut frame = Vec::new();
        wire::put(&Told::Warnings(warnings), &mut frame);
        link.send(&frame)?;
    }
    link.send(answers)
}

fn answer(kernel: &Kernel, number: u64, question: Question) -> Told {
    match question {
        Question::Ask(request) => {
            // The engine's own mistakes are the question's answer, not the guest's end.
            let ask = std::panic::AssertUnwindSafe(|| observe(kernel, &request));
            let answer = std::panic::catch_unwind(ask).unwrap_or_else(|_| {
                Err(NoAnswer::Unsupported("a program that makes skep's guest panic".into()))
            });
            Told::Answer(number, Box::new(answer))
        }
        Question::Coverage => Told::Coverage(number, coverage()),
    }
}

/// Kernel messages of level warning and above (`<4>text`), without their levels.
fn warnings(messages: &str) -> Vec<String> {
    let of_line = |line: &str| {
        let (level, text) = line.strip_prefix('<')?.split_once('>')?;
        // The facility is above the lowest three bits.
        (level.parse::<u32>().ok()? & 7 <= 4).then(|| text.to_owned())
    };
    messages.lines().filter_map(of_line).collect()
}

/// Counters of gcov; none where the kernel has none.
fn coverage() -> Vec<(String, Vec<u8>)> {
    let _ = mount("debugfs", "/sys/kernel/debug", "");
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(GCOV)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "gcda")
                && let (Ok(bytes), Ok(name)) = (fs::read(&path), path.strip_prefix(GCOV))
            {
                found.push((name.to_string_lossy().into_owned(), bytes));
            }
        }
    }
    found
}

/// Mounts a file system of the kernel's, unless it is there.
fn mount(kind: &str, at: &str, data: &str) -> io::Result<()> {
    let data = std::ffi::CString::new(data)?;
    match rustix::mount::mount("none", at, kind, MountFlags::empty(), data.as_c_str()) {
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(error) => Err(io::Error::other(format!("mounting {kind} on {at}: {error}"))),
    }
}

/// The way to the host.
trait Link {
    /// Waits for bytes; `None` when the host is gone.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>>;
    /// Sends bytes, which the host sees once it is told.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Tells the host of what was sent.
    fn ring(&mut self) -> io::Result<()>;
    /// Tells it that everything received so far is answered.
    fn flush(&mut self) -> io::Result<()>;
}

/// User-Mode Linux: questions and answers are files in a directory of the host (hostfs writes through), the serial
/// line only rings. A byte of the serial line takes a system call of the host; a file of any size takes two.
struct Shared {
    bell: File,
    batch: u64,
    answers: File,
}

/// Rung for answers of a batch that goes on.
pub(super) const BELL_MORE: u8 = b':';
/// Rung when a batch is done.
pub(super) const BELL_DONE: u8 = b'.';
/// Rung by the host for a batch of questions.
pub(super) const BELL_ASKED: u8 = b'?';

/// Name of the file with a batch of questions.
pub(super) fn questions_name(batch: u64) -> String {
    format!("questions.{batch}")
}

/// Name of the file with the answers to a batch; batch 0 is the greeting.
pub(super) fn answers_name(batch: u64) -> String {
    format!("answers.{batch}")
}

impl Shared {
    fn open() -> io::Result<Self> {
        let dir = std::env::var(BOX_DIR).map_err(io::Error::other)?;
        fs::create_dir(SHARED)?;
        mount("hostfs", SHARED, &dir)?;
        let tty = Path::new("/dev/ttyS0");
        // Character device 4:64 is the first serial line.
        let device = rustix::fs::makedev(4, 64);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tty,
            rustix::fs::FileType::CharacterDevice,
            Mode::RUSR | Mode::WUSR,
            device,
        )?;
        let bell = File::from(rustix::fs::open(tty, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?);
        let mut raw = rustix::termios::tcgetattr(&bell)?;
        raw.make_raw();
        rustix::termios::tcsetattr(&bell, rustix::termios::OptionalActions::Now, &raw)?;
        Ok(Shared { bell, batch: 0, answers: Self::create(0)? })
    }

    fn create(batch: u64) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(Path::new(SHARED).join(answers_name(batch)))
    }
}

impl Link for Shared {
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut byte = [0];
        loop {
            match self.bell.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) if byte[0] == BELL_ASKED => break,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A line that was hung up.
                Err(_) => return Ok(None),
            }
        }
        self.batch += 1;
        self.answers = Self::create(self.batch)?;
        fs::read(Path::new(SHARED).join(questions_name(self.batch))).map(Some)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.answers.write_all(bytes)
    }

    fn ring(&mut self) -> io::Result<()> {
        self.bell.write_all(&[BELL_MORE])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.bell.write_all(&[BELL_DONE])
    }
}

/// A byte stream: a port of virtio-serial.
struct Port {
    port: File,
    buffer: Vec<u8>,
}

impl Port {
    fn open() -> io::Result<Self> {
        let port = super::qemu::open_port()?;
        Ok(Port { port, buffer: vec![0; 1 << 20] })
    }
}

impl Link for Port {
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            match self.port.read(&mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(n) => return Ok(Some(self.buffer[..n].to_vec())),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.port.write_all(bytes)
    }

    fn ring(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_from_chatter() {
        let text =
            "<6>eth0: up\n<4>WARNING: CPU: 0 PID: 1\n<12>a warning of a daemon\n<30>info of one\nno level\n";
        assert_eq!(warnings(text), ["WARNING: CPU: 0 PID: 1", "a warning of a daemon"]);
    }
}
