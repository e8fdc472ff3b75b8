// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the Linux uapi says about BPF, as data: helpers, map types, program types and their contexts, attach
//! types, section names, flags, limits, error numbers; and [`Bpf`], the typed bpf(2) that the running kernel
//! and the emulated one both answer.

mod action;
mod attach_type;
mod bpf;
pub mod context;
mod errno;
pub mod flags;
pub mod helper;
mod helper_id;
pub mod limits;
pub mod map_rules;
mod map_type;
mod names;
mod prog_type;
pub mod section;
mod suggest;

pub use action::action_name;
pub use attach_type::AttachType;
pub use bpf::{Bpf, InfoRecords, MapCreate, ProgLoad, TestRun, TestRunResult};
pub use errno::Errno;
pub use helper_id::HelperId;
pub use map_type::MapType;
pub use prog_type::ProgType;
pub use suggest::suggest;
