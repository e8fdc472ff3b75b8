// SPDX-License-Identifier: MIT OR Apache-2.0
//! The typed bpf(2): the commands that skep needs, answered by the running kernel, a boxed one or the emulated
//! one. Descriptors close when dropped.

use crate::{AttachType, Errno, MapType, ProgType};
use skep_isa::Insn;

/// Arguments of `BPF_MAP_CREATE` (`union bpf_attr`).
#[derive(Debug)]
#[allow(missing_docs)] // fields are those of the uapi
pub struct MapCreate<'a, Fd> {
    pub map_type: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub map_name: &'a str,
    pub map_extra: u64,
    pub numa_node: u32,
    pub inner_map: Option<&'a Fd>,
    pub btf: Option<&'a Fd>,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
}

/// `func_info`, `line_info` or `core_relos`: equal records back to back.
#[derive(Clone, Copy, Debug, Default)]
pub struct InfoRecords<'a> {
    /// Bytes of one record.
    pub rec_size: u32,
    /// All records.
    pub bytes: &'a [u8],
}

impl InfoRecords<'_> {
    /// Number of whole records.
    #[must_use]
    pub fn count(&self) -> u32 {
        if self.rec_size == 0 { 0 } else { (self.bytes.len() / self.rec_size as usize) as u32 }
    }
}

/// Arguments of `BPF_PROG_LOAD` (`union bpf_attr`).
#[derive(Debug)]
#[allow(missing_docs)] // fields are those of the uapi
pub struct ProgLoad<'a, Fd> {
    pub prog_type: ProgType,
    pub expected_attach_type: AttachType,
    pub insns: &'a [Insn],
    pub license: &'a str,
    pub prog_name: &'a str,
    pub prog_flags: u32,
    pub kern_version: u32,
    /// Maps by index, as `BPF_PSEUDO_MAP_IDX` refers to them.
    pub fd_array: &'a [&'a Fd],
    pub prog_btf: Option<&'a Fd>,
    pub func_info: InfoRecords<'a>,
    pub line_info: InfoRecords<'a>,
    pub core_relos: InfoRecords<'a>,
    pub attach_btf_id: u32,
    pub attach_prog: Option<&'a Fd>,
    /// 0 none, 1 the last path, 2 every path, plus 4 for statistics.
    pub log_level: u32,
}

/// Arguments of `BPF_PROG_TEST_RUN`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestRun<'a> {
    /// Packet, for program types that take one.
    pub data_in: Option<&'a [u8]>,
    /// Room for the packet that comes back, in bytes.
    pub data_out_size: usize,
    /// Context, for program types that take one.
    pub ctx_in: Option<&'a [u8]>,
    /// Room for the context that comes back, in bytes.
    pub ctx_out_size: usize,
    /// Runs in a row; 0 counts as 1.
    pub repeat: u32,
    /// `BPF_F_TEST_*`.
    pub flags: u32,
}

/// What `BPF_PROG_TEST_RUN` gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestRunResult {
    /// `r0`, 32 bits.
    pub retval: u32,
    /// Nanoseconds of one run, on average.
    pub duration_ns: u32,
    /// The packet afterwards.
    pub data_out: Vec<u8>,
    /// The context afterwards.
    pub ctx_out: Vec<u8>,
}

/// bpf(2), command by command. Buffers have the sizes that the map was created with; for per-cpu maps a value
/// is one 8-byte-aligned value for each of [`Bpf::possible_cpus`].
pub trait Bpf {
    /// An open map, program or BTF object. Dropping it closes the descriptor.
    type Fd;

    /// The descriptor as a number, as values of program arrays and maps of maps hold it.
    fn raw_fd(&self, fd: &Self::Fd) -> u32;

    /// CPUs that per-cpu maps have values for.
    fn possible_cpus(&self) -> usize;

    /// `BPF_MAP_CREATE`.
    ///
    /// # Errors
    /// The errno of the call, as for every method here.
    fn map_create(&self, attr: &MapCreate<'_, Self::Fd>) -> Result<Self::Fd, Errno>;

    /// `BPF_MAP_LOOKUP_ELEM`.
    ///
    /// # Errors
    /// The errno of the call.
    fn map_lookup_elem(&self, map: &Self::Fd, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno>;

    /// `BPF_MAP_UPDATE_ELEM`.
    ///
    /// # Errors
    /// The errno of the call.
    fn map_update_elem(&self, map: &Self::Fd, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno>;

    /// `BPF_MAP_DELETE_ELEM`.
    ///
    /// # Errors
    /// The errno of the call.
    fn map_delete_elem(&self, map: &Self::Fd, key: &[u8]) -> Result<(), Errno>;

    /// `BPF_MAP_GET_NEXT_KEY`; `None` asks for the first.
    ///
    /// # Errors
    /// The errno of the call, `ENOENT` after the last key.
    fn map_get_next_key(&self, map: &Self::Fd, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno>;

    /// `BPF_MAP_FREEZE`: no more writes from user space.
    ///
    /// # Errors
    /// The errno of the call.
    fn map_freeze(&self, map: &Self::Fd) -> Result<(), Errno>;

    /// `BPF_BTF_LOAD`. A log, where there is one, is put into `log`.
    ///
    /// # Errors
    /// The errno of the call.
    fn btf_load(&self, btf: &[u8], log: &mut String) -> Result<Self::Fd, Errno>;

    /// `BPF_PROG_LOAD`. The verifier's whole log is put into `log` (the buffer grows as needed), also on
    /// rejection.
    ///
    /// # Errors
    /// The errno of the call.
    fn prog_load(&self, attr: &ProgLoad<'_, Self::Fd>, log: &mut String) -> Result<Self::Fd, Errno>;

    /// `BPF_PROG_TEST_RUN`.
    ///
    /// # Errors
    /// The errno of the call.
    fn prog_test_run(&self, prog: &Self::Fd, run: &TestRun<'_>) -> Result<TestRunResult, Errno>;
}
