// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real kernels in a box, without root: User-Mode Linux as an ordinary process ([`UmlImage`]), a distribution's image
//! under QEMU ([`VmImage`]). The guest's first process is this executable, which answers [`Request`]s there by the
//! same code that asks the running kernel.
//!
//! Guarantees: every question gets one answer, whatever becomes of a guest. When one ends or is busy beyond its time,
//! what it has not answered is asked again in a fresh one, one by one; a question that brings that down twice is named
//! as a [`Finding`]. When a box is dropped, or its host process dies, no process and no file is left.

mod build;
mod campaign;
mod coverage;
mod get;
mod guest;
mod initramfs;
mod process;
mod qemu;
mod registry;
mod release;
mod uml;
mod watch;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::StatVfsMountFlags;
use serde::{Deserialize, Serialize};

pub use build::{BuildError, BuildOptions, Built, Lack, Progress, Tool, build};
pub use campaign::campaign;
pub use coverage::{Coverage, CoverageError, FileCoverage, FunctionCoverage, evaluate};
pub use get::{GetError, Got, get};
pub use guest::take_over_if_asked;
pub use qemu::{ImageError, VmImage};
pub use registry::{BoxKernel, Kind, Known, Registry, UnknownKernel};
pub use uml::{UmlError, UmlImage};

use process::{Arrived, Process};
use wire::{Asked, Frames, PROTOCOL, Question, Told};

use crate::{NoAnswer, Observation, Request};

/// How a boxed kernel runs.
#[derive(Clone, Debug)]
pub struct BoxOptions {
    /// The executable that becomes the guest's first process and the box's watcher: its `main` must call
    /// [`take_over_if_asked`] first.
    pub executable: PathBuf,
    /// How long one question may take before the guest counts as hung; `None` for what suits the kind of kernel.
    pub timeout: Option<Duration>,
    /// Collect the counters of a kernel built with gcov.
    pub coverage: bool,
}

/// Counters of gcov: files by their path below `/sys/kernel/debug/gcov`, of any number of guests.
pub type Counters = Vec<(String, Vec<u8>)>;

impl BoxOptions {
    /// For an executable that calls [`take_over_if_asked`]: the running one.
    ///
    /// # Errors
    /// Where the system does not say which file runs.
    pub fn of_this_process() -> io::Result<BoxOptions> {
        Ok(BoxOptions { executable: std::env::current_exe()?, timeout: None, coverage: false })
    }
}

/// How a question brought a guest down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// The guest ended.
    Crash,
    /// It gave no answer in time.
    Hang,
}

/// A question that brought a guest down, twice by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How.
    pub kind: FindingKind,
    /// Release of the kernel.
    pub release: String,
    /// The last that its console said, where it is a crash.
    pub console: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.kind {
            FindingKind::Crash => "crashes",
            FindingKind::Hang => "hangs",
        };
        write!(f, "it {word} Linux {}", self.release)?;
        let console = self.console.trim_end();
        if !console.is_empty() {
            write!(f, "; its console said last:\n{console}")?;
        }
        Ok(())
    }
}

/// Why a boxed kernel cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum BoxError {
    /// The kernel's file is no such kernel.
    #[error(transparent)]
    Uml(#[from] UmlError),
    /// The kernel's file is no such image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// QEMU is not there.
    #[error(transparent)]
    Qemu(#[from] qemu::QemuError),
    /// The guest's files cannot be packed.
    #[error(transparent)]
    Initramfs(#[from] initramfs::InitramfsError),
    /// The system refused something.
    #[error("cannot start the boxed kernel `{kernel}`: {what}: {error}")]
    Io {
        /// The kernel.
        kernel: String,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// It ended before it said anything.
    #[error(
        "the boxed kernel `{kernel}` does not come up: {how}; the image may be damaged, or its first process \
         `{executable}` not readable for this user{console}"
    )]
    NotUp {
        /// The kernel.
        kernel: String,
        /// What happened instead.
        how: String,
        /// What should have become its first process.
        executable: String,
        /// The last that its console said, after a line break.
        console: String,
    },
    /// It is up, but cannot ask its kernel.
    #[error("the boxed kernel `{kernel}` cannot be asked: {why}")]
    Broken {
        /// The kernel.
        kernel: String,
        /// Why.
        why: String,
    },
}

/// A question that was sent and not answered yet.
#[derive(Debug)]
struct Pending {
    index: usize,
    number: u64,
    request: Request,
    /// How often it was in front when a guest ended.
    strikes: u32,
}

/// What a guest's answers are given to: the index of the question, and the answer.
pub type Deliver<'a> = dyn FnMut(usize, Result<Observation, NoAnswer>) + 'a;

/// Questions of one batch, and their bytes: enough to keep a guest busy, few enough to ask again.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 512 << 10;
/// Batches that are sent before the first is answered, so that the guest never waits for the host.
const BATCHES: usize = 2;
/// How often a question may bring a guest down by itself before it is named: once may be somebody else's doing.
const STRIKES: u32 = 2;

/// A boxed kernel that runs, and is started again whenever it ends.
#[derive(Debug)]
pub struct Boxed {
    kernel: BoxKernel,
    options: BoxOptions,
    guest: Guest,
    restarts: u32,
}

/// One life of a box.
#[derive(Debug)]
struct Guest {
    process: Process,
    channel: Channel,
    frames: Frames,
    release: String,
    number: u64,
}

#[derive(Debug)]
enum Channel {
    /// Files and a bell.
    Shared(uml::Shared),
    /// The pipes themselves.
    Stream,
}

impl Boxed {
    /// Boots a kernel.
    ///
    /// # Errors
    /// [`BoxError`] says what is in the way, and what helps.
    pub fn start(kernel: BoxKernel, options: BoxOptions) -> Result<Boxed, BoxError> {
        let guest = Guest::start(&kernel, &options)?;
        Ok(Boxed { kernel, options, guest, restarts: 0 })
    }

    /// Release of the kernel, as `uname -r` prints it there.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.guest.release
    }

    /// How often it was started again.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Process id of the guest that runs now.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.guest.process.id()
    }

    /// Asks one question.
    ///
    /// # Errors
    /// [`BoxError`] where the kernel came down and cannot be started again.
    pub fn ask(&mut self, request: &Request) -> Result<Result<Observation, NoAnswer>, BoxError> {
        let mut question = Some((0, request.clone()));
        let mut answer = Err(NoAnswer::Load("no answer".into()));
        self.ask_all(&mut || question.take(), &mut |_, a| answer = a)?;
        Ok(answer)
    }

    /// Asks questions, taken from `next` as the guest is ready for more, until it gives no more. Each gets
    /// one answer.
    ///
    /// # Errors
    /// [`BoxError`] where the kernel came down and cannot be started again.
    pub fn ask_all(
        &mut self,
        next: &mut dyn FnMut() -> Option<(usize, Request)>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), BoxError> {
        let timeout = self.options.timeout.unwrap_or(self.kernel.patience());
        let mut pending: VecDeque<Pending> = VecDeque::new();
        let mut more = true;
        let mut heard = Instant::now();
        let mut warnings = Vec::new();
        // Questions that are asked one by one, since a guest ended at one of them.
        let mut careful = 0_usize;
        loop {
            while more && pending.len() <= BATCH * (BATCHES - 1) {
                let mut batch = Vec::new();
                let mut frames = Vec::new();
                while batch.len() < BATCH && frames.len() < BATCH_BYTES {
                    let Some((index, request)) = next() else {
                        more = false;
                        break;
                    };
                    if let Some(why) = self.kernel.not_comparable(&request) {
                        deliver(index, Err(NoAnswer::NotComparable(why)));
                        continue;
                    }
                    let number = self.guest.put(&request, false, &mut frames);
                    batch.push(Pending { index, number, request, strikes: 0 });
                }
                if batch.is_empty() {
                    break;
                }
                if pending.is_empty() {
                    heard = Instant::now();
                }
                pending.extend(batch);
                self.guest.post(frames);
            }
            if pending.is_empty() {
                return Ok(());
            }
            let left = timeout.saturating_sub(heard.elapsed());
            let alive = self.guest.receive(left);
            // Anything but answers to what was asked, in order, is as bad as the guest's end.
            let sound = loop {
                match self.guest.told() {
                    Ok(None) => break true,
                    Ok(Some(Told::Warnings(more))) => warnings.extend(more),
                    Ok(Some(Told::Answer(number, answer))) => {
                        heard = Instant::now();
                        match pending.pop_front_if(|front| front.number == number) {
                            Some(one) => {
                                careful = careful.saturating_sub(1);
                                let answer = answer.and_then(|mut observation| {
                                    observation.warnings.append(&mut warnings);
                                    match self.kernel.not_comparable_answer(&one.request, &observation) {
                                        Some(why) => Err(NoAnswer::NotComparable(why)),
                                        None => Ok(observation),
                                    }
                                });
                                deliver(one.index, answer);
                            }
                            None => break false,
                        }
                    }
                    _ => break false,
                }
            };
            let hung = heard.elapsed() >= timeout;
            if alive && !hung && sound {
                continue;
            }
            let Some(front) = pending.front_mut() else { continue };
            // Answers come in windows, so that the front is to blame for sure only when it is asked by itself.
            front.strikes += u32::from(careful > 0);
            if front.strikes == STRIKES {
                let (kind, console) = match hung {
                    true => (FindingKind::Hang, String::new()),
                    false => (FindingKind::Crash, self.guest.process.console.text()),
                };
                let finding = Finding { kind, release: self.guest.release.clone(), console };
                deliver(front.index, Err(NoAnswer::Finding(finding)));
                pending.pop_front();
            }
            self.restarts += 1;
            self.guest = Guest::start(&self.kernel, &self.options)?;
            careful = pending.len();
            for one in &mut pending {
                let mut frames = Vec::new();
                one.number = self.guest.put(&one.request, true, &mut frames);
                self.guest.post(frames);
            }
            heard = Instant::now();
        }
    }

    /// The counters of a kernel built with gcov, since it was started.
    ///
    /// # Errors
    /// [`BoxError::Broken`] where there is no answer.
    pub fn coverage(&mut self) -> Result<Counters, BoxError> {
        self.guest.number += 1;
        let mut frames = Vec::new();
        wire::put(
            &Asked { number: self.guest.number, alone: true, question: Question::Coverage },
            &mut frames,
        );
        self.guest.post(frames);
        let until = Instant::now() + self.options.timeout.unwrap_or(self.kernel.patience());
        loop {
            let alive = self.guest.receive(until.saturating_duration_since(Instant::now()));
            if let Ok(Some(Told::Coverage(_, files))) = self.guest.told() {
                return Ok(files);
            }
            if !alive || Instant::now() >= until {
                let why = "it gave no coverage".to_owned();
                return Err(BoxError::Broken { kernel: self.kernel.name(), why });
            }
        }
    }
}

/// Set once KVM was seen not to work here, though it is offered: as in machines that are nested themselves.
static KVM_FAILS: AtomicBool = AtomicBool::new(false);

/// How long a guest with KVM may take to come up before it is tried without: where KVM works, it takes less than one.
const KVM_PATIENCE: Duration = Duration::from_secs(2);

impl Guest {
    fn start(kernel: &BoxKernel, options: &BoxOptions) -> Result<Guest, BoxError> {
        let kvm =
            matches!(kernel, BoxKernel::Vm(_)) && !KVM_FAILS.load(Ordering::Relaxed) && qemu::may_use_kvm();
        if kvm {
            match Guest::start_with(kernel, options, true, KVM_PATIENCE) {
                Err(BoxError::NotUp { .. }) => KVM_FAILS.store(true, Ordering::Relaxed),
                started => return started,
            }
        }
        Guest::start_with(kernel, options, false, kernel.patience())
    }

    fn start_with(
        kernel: &BoxKernel,
        options: &BoxOptions,
        kvm: bool,
        patience: Duration,
    ) -> Result<Guest, BoxError> {
        let fail = |what| move |error| BoxError::Io { kernel: kernel.name(), what, error };
        let executable = std::path::absolute(&options.executable).map_err(fail("its executable"))?;
        let folder = tempfile::Builder::new()
            .prefix("skep-box-")
            .tempdir_in(memory_folder())
            .map_err(fail("a directory for it"))?;
        let (command, channel) = match kernel {
            BoxKernel::Uml(image) => {
                (image.command(&executable, folder.path()), Channel::Shared(uml::Shared::default()))
            }
            BoxKernel::Vm(image) => {
                let initrd = folder.path().join("initrd");
                std::fs::write(&initrd, initramfs::pack(&executable, &image.channel_modules()?)?)
                    .map_err(fail("its initial files"))?;
                (qemu::command(image, &initrd, kvm)?, Channel::Stream)
            }
        };
        // User-Mode Linux is several processes that take turns at every system call: woken on another processor, each
        // turn would take four times as long.
        let pinned = matches!(kernel, BoxKernel::Uml(_));
        let process = Process::start(command, pinned, folder, &executable).map_err(fail("its process"))?;
        let mut guest =
            Guest { process, channel, frames: Frames::default(), release: String::new(), number: 0 };
        guest.greet(kernel, &executable, patience)?;
        Ok(guest)
    }

    /// Waits until the guest says that it is there.
    fn greet(&mut self, kernel: &BoxKernel, executable: &Path, patience: Duration) -> Result<(), BoxError> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut alive = self.receive(left.min(Duration::from_millis(500)));
            alive &= !self.process.console.text().contains(qemu::KVM_FAILS);
            let broken = |why| BoxError::Broken { kernel: kernel.name(), why };
            let how = match self.told() {
                Ok(Some(Told::Hello { protocol: PROTOCOL, release })) => {
                    self.release = release;
                    return Ok(());
                }
                Ok(Some(Told::Broken(why))) => return Err(broken(why)),
                Ok(Some(Told::Hello { .. })) => {
                    let why = "its first process is another version of skep".to_owned();
                    return Err(broken(why));
                }
                Ok(Some(_)) | Err(_) => "its first process says something else than expected".to_owned(),
                Ok(None) if !alive => "it ended".to_owned(),
                Ok(None) if Instant::now() >= until => {
                    format!("it says nothing for {} s", patience.as_secs())
                }
                Ok(None) => continue,
            };
            let console = self.process.console.text();
            let lines: Vec<&str> = console.trim_end().lines().collect();
            let last = lines[lines.len().saturating_sub(12)..].join("\n");
            return Err(BoxError::NotUp {
                kernel: kernel.name(),
                how,
                executable: executable.display().to_string(),
                console: if last.is_empty() { last } else { format!("; its console said last:\n{last}") },
            });
        }
    }

    /// Appends a question to a batch.
    fn put(&mut self, request: &Request, alone: bool, batch: &mut Vec<u8>) -> u64 {
        self.number += 1;
        let question = Question::Ask(Box::new(request.clone()));
        wire::put(&Asked { number: self.number, alone, question }, batch);
        self.number
    }

    /// Sends a batch.
    fn post(&mut self, batch: Vec<u8>) {
        match &mut self.channel {
            Channel::Stream => self.process.send(batch),
            Channel::Shared(shared) => {
                // Without memory for the batch there is no answer, and the guest counts as hung.
                if let Ok(bell) = shared.ask(self.process.folder(), &batch) {
                    self.process.send(bell);
                }
            }
        }
    }

    /// Takes what arrives within a time; false at the guest's end.
    fn receive(&mut self, timeout: Duration) -> bool {
        let arrived = self.process.receive(timeout);
        let alive = arrived != Arrived::End;
        match &mut self.channel {
            Channel::Stream => {
                if let Arrived::Bytes(bytes) = arrived {
                    self.frames.extend(&bytes);
                }
            }
            Channel::Shared(shared) => {
                let bells = if let Arrived::Bytes(bells) = arrived { bells } else { Vec::new() };
                if let Ok(bytes) = shared.rung(self.process.folder(), &bells) {
                    self.frames.extend(&bytes);
                }
            }
        }
        alive
    }

    /// The next thing told, of what arrived.
    fn told(&mut self) -> Result<Option<Told>, wire::BadFrame> {
        self.frames.next()
    }
}

/// Room that a directory in memory must have to be preferred.
const ROOM: u64 = 1 << 30;

/// Where a box keeps its files: in memory, where there is room and programs can be mapped, else where temporary files
/// are.
fn memory_folder() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    let fits = rustix::fs::statvfs(&shm).is_ok_and(|s| {
        s.f_bavail.saturating_mul(s.f_frsize) >= ROOM && !s.f_flag.contains(StatVfsMountFlags::NOEXEC)
    });
    let writable = rustix::fs::access(&shm, rustix::fs::Access::WRITE_OK).is_ok();
    if fits && writable { shm } else { std::env::temp_dir() }
}
