// SPDX-License-Identifier: MIT OR Apache-2.0
//! bpf(2) itself: `union bpf_attr` as one structure for each command, and the system call. The only unsafe code
//! of the crate.
//!
//! Guarantees: every pointer put into an attribute comes from a slice borrowed for the whole call, with that
//! slice's length beside it wherever the kernel takes a length. Where it takes none (keys and values of maps),
//! [`Map`] knows the sizes, and a buffer of another size is refused before the call. Descriptors that come back
//! are owned, so they close when dropped.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use skep_program::load::is_per_cpu;
use skep_uapi::{Errno, MapType, limits};

/// Commands of bpf(2) (`enum bpf_cmd`).
#[derive(Clone, Copy)]
#[repr(i32)]
enum Command {
    MapCreate = 0,
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    MapGetNextKey = 4,
    ProgLoad = 5,
    ProgTestRun = 10,
    BtfLoad = 18,
    MapFreeze = 22,
}

/// A name as the kernel takes it: up to 15 bytes, a zero after them.
pub type Name = [u8; limits::BPF_OBJ_NAME_LEN];

/// Attribute of `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
pub struct MapCreateAttr {
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub inner_map_fd: u32,
    pub numa_node: u32,
    pub map_name: Name,
    pub map_ifindex: u32,
    pub btf_fd: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub map_extra: u64,
}

/// Attribute of the `BPF_MAP_*_ELEM` commands, `BPF_MAP_GET_NEXT_KEY` and `BPF_MAP_FREEZE`.
#[repr(C)]
#[derive(Default)]
struct MapElemAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Attribute of `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct ProgLoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: Name,
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    core_relo_cnt: u32,
    fd_array: u64,
    core_relos: u64,
    core_relo_rec_size: u32,
    log_true_size: u32,
}

/// Attribute of `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
struct TestRunAttr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// Attribute of `BPF_BTF_LOAD`.
#[repr(C)]
#[derive(Default)]
struct BtfLoadAttr {
    btf: u64,
    btf_log_buf: u64,
    btf_size: u32,
    btf_log_size: u32,
    btf_log_level: u32,
    btf_log_true_size: u32,
}

/// A structure that the kernel accepts as `union bpf_attr`.
///
/// # Safety
/// The implementing type is `repr(C)`, has no implicit padding between its fields, and lays them out as the
/// member of `union bpf_attr` for its command.
unsafe trait Attr {}
// SAFETY: fields and offsets are those of the uapi; checked by the size assertions below.
unsafe impl Attr for MapCreateAttr {}
// SAFETY: as above.
unsafe impl Attr for MapElemAttr {}
// SAFETY: as above.
unsafe impl Attr for ProgLoadAttr {}
// SAFETY: as above.
unsafe impl Attr for TestRunAttr {}
// SAFETY: as above.
unsafe impl Attr for BtfLoadAttr {}

const _: () = {
    assert!(std::mem::offset_of!(MapCreateAttr, map_extra) == 64 && size_of::<MapCreateAttr>() == 72);
    assert!(size_of::<MapElemAttr>() == 32);
    assert!(std::mem::offset_of!(ProgLoadAttr, log_true_size) == 140 && size_of::<ProgLoadAttr>() == 144);
    assert!(std::mem::offset_of!(TestRunAttr, batch_size) == 72 && size_of::<TestRunAttr>() == 80);
    assert!(size_of::<BtfLoadAttr>() == 32);
};

/// Calls bpf(2); the attribute is written back by commands that answer in it.
///
/// # Safety
/// Every pointer in `attr` is null or valid for as many bytes as the kernel will read or write for `command`
/// on the objects that the attribute's descriptors stand for.
unsafe fn bpf<A: Attr>(command: Command, attr: &mut A) -> Result<i64, Errno> {
    // SAFETY: `attr` is live, exclusive and as large as told; the caller vouches for the pointers in it.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as i32, std::ptr::from_mut(attr), size_of::<A>()) };
    if result < 0 { Err(last_error()) } else { Ok(result) }
}

/// As [`bpf`], for commands that answer with a new descriptor.
///
/// # Safety
/// As for [`bpf`], and `command` returns a descriptor.
unsafe fn bpf_fd<A: Attr>(command: Command, attr: &mut A) -> Result<OwnedFd, Errno> {
    // SAFETY: as the caller says.
    let fd = unsafe { bpf(command, attr) }?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just installed this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor as attributes hold it. Valid ones are never negative.
pub fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Address of a slice, null for an empty one, as the kernel wants absent things.
fn address(slice: &[u8]) -> u64 {
    if slice.is_empty() { 0 } else { slice.as_ptr() as u64 }
}

fn address_mut(slice: &mut [u8]) -> u64 {
    if slice.is_empty() { 0 } else { slice.as_mut_ptr() as u64 }
}

fn length(slice: &[u8]) -> Result<u32, Errno> {
    u32::try_from(slice.len()).map_err(|_| Errno::E2BIG)
}

/// A map, with the bytes that the kernel reads and writes for its keys and values.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    /// Bytes of a key; 0 for maps without keys.
    key_size: usize,
    /// Bytes of a value as user space sees it, all CPUs of a per-cpu map included.
    value_size: usize,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Map {
    /// `BPF_MAP_CREATE`, on a machine of so many possible CPUs.
    pub fn create(mut attr: MapCreateAttr, possible_cpus: usize) -> Result<Map, Errno> {
        // SAFETY: this attribute holds no pointers (`map_extra` of an arena is an address that this command
        // never accesses).
        let fd = unsafe { bpf_fd(Command::MapCreate, &mut attr) }?;
        // As `bpf_map_value_size` of the kernel has it.
        let value = attr.value_size as usize;
        let per_cpu = is_per_cpu(MapType(attr.map_type));
        let value_size = if per_cpu { value.next_multiple_of(8) * possible_cpus } else { value };
        Ok(Map { fd, key_size: attr.key_size as usize, value_size })
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.key_size { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn check_value(&self, value: &[u8]) -> Result<(), Errno> {
        if value.len() == self.value_size { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn attr(&self, key: u64, value: u64, flags: u64) -> MapElemAttr {
        MapElemAttr { map_fd: number(self.as_fd()), pad: 0, key, value, flags }
    }

    /// `BPF_MAP_LOOKUP_ELEM`.
    pub fn lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        self.check_key(key)?;
        self.check_value(value)?;
        let mut attr = self.attr(address(key), address_mut(value), flags);
        // SAFETY: key and value are as long as the kernel takes them for this map (checked above).
        unsafe { bpf(Command::MapLookupElem, &mut attr) }.map(drop)
    }

    /// `BPF_MAP_UPDATE_ELEM`.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check_key(key)?;
        self.check_value(value)?;
        let mut attr = self.attr(address(key), address(value), flags);
        // SAFETY: as for `lookup`; the kernel only reads both.
        unsafe { bpf(Command::MapUpdateElem, &mut attr) }.map(drop)
    }

    /// `BPF_MAP_DELETE_ELEM`.
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.check_key(key)?;
        let mut attr = self.attr(address(key), 0, 0);
        // SAFETY: as for `lookup`.
        unsafe { bpf(Command::MapDeleteElem, &mut attr) }.map(drop)
    }

    /// `BPF_MAP_GET_NEXT_KEY`.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        if let Some(key) = key {
            self.check_key(key)?;
        }
        self.check_key(next)?;
        let mut attr = self.attr(key.map_or(0, address), address_mut(next), 0);
        // SAFETY: both keys are as long as the kernel takes them (checked above).
        unsafe { bpf(Command::MapGetNextKey, &mut attr) }.map(drop)
    }

    /// `BPF_MAP_FREEZE`.
    pub fn freeze(&self) -> Result<(), Errno> {
        let mut attr = self.attr(0, 0, 0);
        // SAFETY: no pointers.
        unsafe { bpf(Command::MapFreeze, &mut attr) }.map(drop)
    }
}

/// `BPF_BTF_LOAD`; with a log where `log` is not empty.
pub fn btf_load(btf: &[u8], log: &mut [u8]) -> Result<OwnedFd, Errno> {
    let mut attr = BtfLoadAttr {
        btf: address(btf),
        btf_log_buf: address_mut(log),
        btf_size: length(btf)?,
        btf_log_size: length(log)?,
        btf_log_level: u32::from(!log.is_empty()),
        btf_log_true_size: 0,
    };
    // SAFETY: both buffers are live with the lengths told.
    unsafe { bpf_fd(Command::BtfLoad, &mut attr) }
}

/// Records back to back, of `rec_size` bytes each.
#[derive(Clone, Copy)]
pub struct Records<'a> {
    pub rec_size: u32,
    pub count: u32,
    pub bytes: &'a [u8],
}

impl Records<'_> {
    /// Refuses a count that the bytes do not hold.
    fn check(&self) -> Result<(), Errno> {
        let need = u64::from(self.rec_size) * u64::from(self.count);
        if need <= self.bytes.len() as u64 { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// What `BPF_PROG_LOAD` takes, pointers as slices.
pub struct ProgLoadCall<'a> {
    pub prog_type: u32,
    pub expected_attach_type: u32,
    /// Whole instructions of 8 bytes.
    pub insns: &'a [u8],
    pub license: &'a std::ffi::CStr,
    pub prog_name: Name,
    pub prog_flags: u32,
    pub kern_version: u32,
    /// Descriptors of maps, reaching as far as any index that the instructions name.
    pub fd_array: &'a [u32],
    pub prog_btf_fd: u32,
    pub func_info: Records<'a>,
    pub line_info: Records<'a>,
    pub core_relos: Records<'a>,
    pub attach_btf_id: u32,
    pub attach_prog_fd: u32,
    pub log_level: u32,
}

/// The answer of `BPF_PROG_LOAD`.
pub struct ProgLoadAnswer {
    pub fd: Result<OwnedFd, Errno>,
    /// Bytes that the whole log takes with its final zero, as Linux 6.4 and later say it; else 0.
    pub log_true_size: u32,
}

/// `BPF_PROG_LOAD`; the log is written into `log`, which is empty where `log_level` is 0.
pub fn prog_load(call: &ProgLoadCall<'_>, log: &mut [u8]) -> Result<ProgLoadAnswer, Errno> {
    for records in [&call.func_info, &call.line_info, &call.core_relos] {
        records.check()?;
    }
    let mut attr = ProgLoadAttr {
        prog_type: call.prog_type,
        insn_cnt: length(call.insns)? / 8,
        insns: address(call.insns),
        license: call.license.as_ptr() as u64,
        log_level: call.log_level,
        log_size: length(log)?,
        log_buf: address_mut(log),
        kern_version: call.kern_version,
        prog_flags: call.prog_flags,
        prog_name: call.prog_name,
        prog_ifindex: 0,
        expected_attach_type: call.expected_attach_type,
        prog_btf_fd: call.prog_btf_fd,
        func_info_rec_size: call.func_info.rec_size,
        func_info: address(call.func_info.bytes),
        func_info_cnt: call.func_info.count,
        line_info_rec_size: call.line_info.rec_size,
        line_info: address(call.line_info.bytes),
        line_info_cnt: call.line_info.count,
        attach_btf_id: call.attach_btf_id,
        attach_prog_fd: call.attach_prog_fd,
        core_relo_cnt: call.core_relos.count,
        fd_array: if call.fd_array.is_empty() { 0 } else { call.fd_array.as_ptr() as u64 },
        core_relos: address(call.core_relos.bytes),
        core_relo_rec_size: call.core_relos.rec_size,
        log_true_size: 0,
    };
    // SAFETY: every buffer is live with the count told beside it, records checked above; `license` ends in a
    // zero; `fd_array`, which has no length, is only read, with EFAULT for memory that is not there.
    let fd = unsafe { bpf_fd(Command::ProgLoad, &mut attr) };
    Ok(ProgLoadAnswer { fd, log_true_size: attr.log_true_size })
}

/// What `BPF_PROG_TEST_RUN` takes.
pub struct TestRunCall<'a> {
    pub prog: BorrowedFd<'a>,
    pub data_in: &'a [u8],
    pub data_out: &'a mut [u8],
    /// Written as well: programs of type `syscall` get their context back where it came from.
    pub ctx_in: &'a mut [u8],
    pub ctx_out: &'a mut [u8],
    pub repeat: u32,
    pub flags: u32,
}

/// What `BPF_PROG_TEST_RUN` answers in its attribute.
pub struct TestRunAnswer {
    pub retval: u32,
    pub duration_ns: u32,
    pub data_size_out: usize,
    pub ctx_size_out: usize,
}

/// `BPF_PROG_TEST_RUN`.
pub fn prog_test_run(call: &mut TestRunCall<'_>) -> Result<TestRunAnswer, Errno> {
    let mut attr = TestRunAttr {
        prog_fd: number(call.prog),
        retval: 0,
        data_size_in: length(call.data_in)?,
        data_size_out: length(call.data_out)?,
        data_in: address(call.data_in),
        data_out: address_mut(call.data_out),
        repeat: call.repeat,
        duration: 0,
        ctx_size_in: length(call.ctx_in)?,
        ctx_size_out: length(call.ctx_out)?,
        ctx_in: address_mut(call.ctx_in),
        ctx_out: address_mut(call.ctx_out),
        flags: call.flags,
        cpu: 0,
        batch_size: 0,
        pad: 0,
    };
    // SAFETY: the four buffers are live with the lengths told; the kernel writes to all but `data_in`.
    unsafe { bpf(Command::ProgTestRun, &mut attr) }?;
    Ok(TestRunAnswer {
        retval: attr.retval,
        duration_ns: attr.duration,
        data_size_out: attr.data_size_out as usize,
        ctx_size_out: attr.ctx_size_out as usize,
    })
}

/// Bytes of a page of memory.
pub fn page_size() -> u32 {
    // SAFETY: `sysconf` has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // The call fails only for names that the system does not know.
    u32::try_from(size).unwrap_or(4096)
}

/// Confines the calling thread to the lowest CPU that it may use, until the value is dropped.
///
/// Runs in a row then see the same CPU's values of per-cpu maps.
#[derive(Debug)]
pub struct CpuPin {
    before: libc::cpu_set_t,
    /// A thread's affinity is its own.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl CpuPin {
    /// Pins the calling thread.
    ///
    /// # Errors
    /// The errno of `sched_getaffinity` or `sched_setaffinity`.
    pub fn new() -> Result<CpuPin, Errno> {
        const SIZE: usize = size_of::<libc::cpu_set_t>();
        // SAFETY: `cpu_set_t` is a bit mask, for which all zeroes is a value.
        let mut before: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        let mut one = before;
        // SAFETY: the mask is live and as large as told; 0 is the calling thread.
        check(unsafe { libc::sched_getaffinity(0, SIZE, &raw mut before) })?;
        // SAFETY: every index is below the number of bits of a mask.
        let first = (0..8 * SIZE).find(|&cpu| unsafe { libc::CPU_ISSET(cpu, &before) });
        // SAFETY: as above.
        unsafe { libc::CPU_SET(first.unwrap_or(0), &mut one) };
        // SAFETY: as for `sched_getaffinity`.
        check(unsafe { libc::sched_setaffinity(0, SIZE, &raw const one) })?;
        Ok(CpuPin { before, _not_send: std::marker::PhantomData })
    }
}

impl Drop for CpuPin {
    fn drop(&mut self) {
        // SAFETY: the mask is live and as large as told. A failure leaves the thread pinned, which harms nothing.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.before) };
    }
}

fn last_error() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

fn check(result: libc::c_int) -> Result<(), Errno> {
    if result < 0 { Err(last_error()) } else { Ok(()) }
}

/// `SYSLOG_ACTION_READ` and `SYSLOG_ACTION_SIZE_UNREAD` of syslog(2).
const SYSLOG_READ: libc::c_int = 2;
const SYSLOG_SIZE_UNREAD: libc::c_int = 9;

/// Messages that the kernel has printed since they were last read, by this or by any other reader: for guests, where
/// there is no other. Empty without the privilege.
pub fn kernel_messages() -> String {
    // SAFETY: this action takes no buffer.
    let unread = unsafe { libc::klogctl(SYSLOG_SIZE_UNREAD, std::ptr::null_mut(), 0) };
    let Ok(unread @ 1..) = usize::try_from(unread) else { return String::new() };
    let mut buffer = vec![0_u8; unread];
    let length = libc::c_int::try_from(unread).unwrap_or(libc::c_int::MAX);
    // SAFETY: the buffer is as long as told.
    let read = unsafe { libc::klogctl(SYSLOG_READ, buffer.as_mut_ptr().cast(), length) };
    buffer.truncate(usize::try_from(read).unwrap_or(0));
    String::from_utf8_lossy(&buffer).into_owned()
}

/// Lets signals that ask processes to end pass: for one that ends others first.
pub fn ignore_termination() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        // SAFETY: ignoring a signal runs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
