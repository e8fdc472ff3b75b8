// SPDX-License-Identifier: GPL-2.0-only
//! Linux's BPF verifier outside of the kernel.
//!
//! [`verify`] answers for a [`Program`](skep_program::Program) what `BPF_PROG_LOAD` of a given kernel release answers: verdict, error
//! number, and the log to the letter. It follows `kernel/bpf/verifier.c` @ 6.18 in concepts, names and order of
//! events, since the log shows them; each file holds one of the kernel's concepts and names the functions it
//! stands for.
//!
//! Not done here yet, and said by name ([`Outcome::Unsupported`]): what needs the kernel's own BTF (kernel
//! functions, `fentry`, `lsm`, `struct_ops`, typed kernel pointers), iterators, arenas, exceptions.

mod alu;
mod atomic;
mod attach;
mod backtrack;
mod bounds;
mod btf;
mod btf_info;
mod call;
mod callback;
mod cfg;
mod check;
mod ctx;
mod dead_code;
mod dynptr;
mod env;
mod fastcall;
mod finish;
mod helper;
mod helper_arg;
mod jump;
mod ldimm;
mod linked_regs;
mod live_regs;
mod liveness;
mod load;
mod log;
mod map;
mod map_access;
mod map_func;
mod mem;
mod observe;
mod options;
mod outcome;
mod packet;
mod paths;
#[cfg_attr(not(feature = "planted"), allow(dead_code))]
mod planted;
mod print;
mod profile;
mod ptr_alu;
mod reference;
mod reg;
mod reg_arg;
pub mod reg_type;
mod ret;
mod sanitize;
mod scalar;
mod scc;
mod spin_lock;
mod stack;
mod stack_depth;
mod state;
mod states;
mod stop;
mod subprog;
mod tnum;
mod walk;

pub use check::{verify, verify_with};
pub use observe::{Cover, Observer, Visit};
pub use options::{Caps, Options};
pub use outcome::{Outcome, Stats, Verdict};
#[cfg(feature = "planted")]
pub use planted::{Planted, plant};
pub use profile::Profile;
pub use reg::{Link, MapRef, Reg};
pub use reg_type::RegType;
pub use scalar::Scalar;
pub use state::{FuncState, LockPtr, RefState, RefType, RetvalRange, Slot, StackSlot, VerifierState};
pub use tnum::Tnum;
