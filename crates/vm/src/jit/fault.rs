// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of machine code on guest memory: the process-wide handler of `SIGSEGV`, which makes them traps.
//!
//! The handler knows the code of all programs by a list that only grows, of which entries are used again. A fault
//! is taken for a program's when the instruction at fault is in the body of its code *and* the address at fault in
//! the guest memory that the code was compiled for, guards included. Then `r9` is the state of the run, as
//! everywhere in a body: the handler notes where the fault was and what the registers held, and lets the run go on
//! at the code that leaves it. All other faults go to the handler that was there before.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::run::State;
use crate::memory::{GUARD, SPAN};

/// The code of a program.
pub(super) struct Place {
    /// Where it starts.
    pub(super) code: usize,
    /// Code of instructions.
    pub(super) body: Range<usize>,
    /// Guest address 0.
    pub(super) base: usize,
    /// Index of the program in its machine.
    pub(super) program: u32,
}

/// An entry of the list: free where `end` is 0.
struct Node {
    start: AtomicUsize,
    end: AtomicUsize,
    code: AtomicUsize,
    base: AtomicUsize,
    program: AtomicU32,
    next: *const Node,
}

// SAFETY: all but `next` are atomics, and `next` is written before the node is shared.
unsafe impl Sync for Node {}
// SAFETY: as above; nodes are never freed.
unsafe impl Send for Node {}

/// The newest node. Nodes are leaked, so a signal handler may walk the list at any time.
static NODES: AtomicPtr<Node> = AtomicPtr::new(std::ptr::null_mut());
/// Nodes that no code uses.
static FREE: Mutex<Vec<&'static Node>> = Mutex::new(Vec::new());

/// Faults of this code become traps until it is dropped.
pub(super) struct Registration(&'static Node);

impl Registration {
    pub(super) fn new(place: Place) -> Registration {
        install();
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let node = free.unwrap_or_else(|| {
            let node = Box::leak(Box::new(Node {
                start: AtomicUsize::new(0),
                end: AtomicUsize::new(0),
                code: AtomicUsize::new(0),
                base: AtomicUsize::new(0),
                program: AtomicU32::new(0),
                next: std::ptr::null(),
            }));
            let mut newest = NODES.load(Ordering::Acquire);
            loop {
                node.next = newest;
                match NODES.compare_exchange_weak(newest, node, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break,
                    Err(now) => newest = now,
                }
            }
            node
        });
        node.code.store(place.code, Ordering::Relaxed);
        node.base.store(place.base, Ordering::Relaxed);
        node.program.store(place.program, Ordering::Relaxed);
        node.start.store(place.body.start, Ordering::Relaxed);
        node.end.store(place.body.end, Ordering::Release);
        Registration(node)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::Release);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
    }
}

/// The node that an instruction of the host lies in. Async-signal-safe.
fn find(pc: usize) -> Option<&'static Node> {
    let mut node: *const Node = NODES.load(Ordering::Acquire);
    // SAFETY: nodes are leaked boxes.
    while let Some(this) = unsafe { node.as_ref() } {
        if pc < this.end.load(Ordering::Acquire) && pc >= this.start.load(Ordering::Relaxed) {
            return Some(this);
        }
        node = this.next;
    }
    None
}

/// The handler that was there before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

fn install() {
    BEFORE.get_or_init(|| {
        // SAFETY: an all-zero `sigaction` is valid; both calls get valid ones. The handler may run at once, and waits for
        // nothing: a fault that is not a program's finds no handler before it and takes the default.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            let mut before: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGSEGV, &raw const action, &raw mut before);
            before
        }
    });
}

/// The registers of a context in the order of [`super::x86::Reg`].
const REGISTERS: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives both; only this thread uses them.
    let (address, registers) =
        unsafe { ((*info).si_addr() as usize, &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs) };
    let pc = registers[libc::REG_RIP as usize] as usize;
    let guest = |base: usize| address.wrapping_sub(base.wrapping_sub(GUARD)) < SPAN as usize + 2 * GUARD;
    if let Some(node) = find(pc)
        && guest(node.base.load(Ordering::Relaxed))
    {
        let state = registers[libc::REG_R9 as usize] as *mut u8;
        let values = REGISTERS.map(|register| registers[register as usize] as u64);
        let offset = pc - node.code.load(Ordering::Relaxed);
        // SAFETY: in the body of a program's code `r9` is the state of its run, which nothing else uses while the
        // code runs.
        let unwind =
            unsafe { State::note_fault(state, node.program.load(Ordering::Relaxed), offset, &values) };
        registers[libc::REG_RIP as usize] = unwind as i64;
        return;
    }
    let Some(before) = BEFORE.get() else {
        // SAFETY: the default action needs nothing: the instruction faults again, and ends the process.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    };
    match before.sa_sigaction {
        libc::SIG_DFL => {
            // SAFETY: as above, of the action that was there.
            unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
        }
        libc::SIG_IGN => {}
        handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the kernel would call it so.
            unsafe {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
        }
        handler => {
            // SAFETY: as above.
            unsafe {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
