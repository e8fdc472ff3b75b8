// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest as a process of the host: its standard input and output are the channel, its standard error is the
//! console. Ended with all of its children when dropped, and by the [`Watcher`] when this process dies first.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;

use super::watch::Watcher;

/// Bytes of the console that are kept.
const CONSOLE: usize = 32 << 10;

/// How often a silent guest is looked at, whether it still is.
const GLANCE: Duration = Duration::from_millis(100);

/// The last that a console said.
#[derive(Clone, Debug, Default)]
pub(super) struct Console(Arc<Mutex<VecDeque<u8>>>);

impl Console {
    fn extend(&self, bytes: &[u8]) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend(bytes);
        let excess = text.len().saturating_sub(CONSOLE);
        text.drain(..excess);
    }

    /// Its text.
    pub fn text(&self) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = text.iter().copied().filter(|b| *b != b'\r').collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What arrived on the channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    Bytes(Vec<u8>),
    /// Nothing, for as long as was asked.
    Nothing,
    /// The other side has closed it.
    End,
}

/// A running guest.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    ended: bool,
    input: Option<Sender<Vec<u8>>>,
    output: Receiver<Vec<u8>>,
    pub console: Console,
    threads: Vec<JoinHandle<()>>,
    // Dropped in this order: the directory goes while the watcher still watches.
    folder: Option<TempDir>,
    _watcher: Watcher,
}

impl Process {
    /// Starts a command, on one processor if told. `folder` is removed when it ends; `executable` is what can watch
    /// over it.
    pub fn start(
        mut command: Command,
        pinned: bool,
        folder: TempDir,
        executable: &Path,
    ) -> io::Result<Process> {
        let mut watcher = Watcher::start(executable, folder.path())?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        watcher.group(child.id())?;
        if pinned {
            pin(child.id());
        }
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut stdin = child.stdin.take().ok_or_else(closed)?;
        let mut stdout = child.stdout.take().ok_or_else(closed)?;
        let mut stderr = child.stderr.take().ok_or_else(closed)?;
        let (input, to_write) = channel::<Vec<u8>>();
        let (read, output) = channel();
        let console = Console::default();
        let said = console.clone();
        let threads = vec![
            thread::spawn(move || {
                // A guest that is gone reads nothing; its end shows on the other pipes.
                while let Ok(bytes) = to_write.recv() {
                    if stdin.write_all(&bytes).is_err() {
                        break;
                    }
                }
            }),
            thread::spawn(move || {
                pump(&mut stdout, |bytes| drop(read.send(bytes.to_vec())));
            }),
            thread::spawn(move || pump(&mut stderr, |bytes| said.extend(bytes))),
        ];
        let folder = Some(folder);
        Ok(Process {
            child,
            ended: false,
            input: Some(input),
            output,
            console,
            threads,
            folder,
            _watcher: watcher,
        })
    }

    /// Its directory.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends bytes, without waiting for the guest to take them.
    pub fn send(&self, bytes: Vec<u8>) {
        if let Some(input) = &self.input {
            let _ = input.send(bytes);
        }
    }

    /// What arrives within a time.
    pub fn receive(&mut self, timeout: Duration) -> Arrived {
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left.min(GLANCE)) {
                Ok(bytes) => return Arrived::Bytes(bytes),
                Err(RecvTimeoutError::Disconnected) => return Arrived::End,
                Err(RecvTimeoutError::Timeout) if left <= GLANCE => return Arrived::Nothing,
                // Processes of a guest outlive its first one, and keep the pipes open: so they are ended with it,
                // which closes the pipes behind the last byte.
                Err(RecvTimeoutError::Timeout) => {
                    if !self.ended && !matches!(self.child.try_wait(), Ok(None)) {
                        self.end();
                    }
                }
            }
        }
    }

    /// Ends all of its processes, once.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true)
            && let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Keeps a process, and those that it will start, on one processor: the next one of those that this process may use.
/// It is no worse off where that is refused, only slower.
fn pin(process: u32) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
    // Hosts that run side by side do not all begin with the same.
    let turn = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id() as usize);
    let Some(&cpu) = allowed.get(turn % allowed.len().max(1)) else { return };
    let mut one = CpuSet::new();
    one.set(cpu);
    let _ = sched_setaffinity(i32::try_from(process).ok().and_then(Pid::from_raw), &one);
}

fn pump(from: &mut impl Read, mut to: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => to(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None;
        self.end();
        let _ = self.child.wait();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.folder = None;
    }
}
