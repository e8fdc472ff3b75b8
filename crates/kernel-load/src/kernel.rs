// SPDX-License-Identifier: MIT OR Apache-2.0
//! [`Kernel`]: the running kernel as a [`Bpf`].
//!
//! Guarantees: nothing outlives the values returned (no pins, no attachments; descriptors close on drop), and the
//! instruction bytes given are those that the kernel sees.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use skep_isa::Insn;
use skep_uapi::{
    Bpf, Errno, InfoRecords, MapCreate, MapType, ProgLoad, ProgType, TestRun, TestRunResult, limits,
};

use crate::attach::Vmlinux;
use crate::probe::{self, Unavailable};
use crate::sys;

/// Bytes of the first log buffer, and how much larger the next is where the kernel does not tell the size.
const LOG_FIRST: usize = 1 << 20;
const LOG_GROWTH: usize = 8;
/// The kernel takes no larger log buffer (`bpf_verifier_log_attr_valid`: `UINT_MAX >> 2`).
const LOG_MAX: usize = (u32::MAX >> 2) as usize;
/// Attempts of a load that the kernel interrupts with `EAGAIN`, as libbpf makes.
const LOAD_ATTEMPTS: usize = 5;
/// Descriptors that `fd_array` is padded to at most, for instructions that name an index past its end.
const FD_ARRAY_MAX: usize = 1 << 20;
/// Room for a packet that grows during a run: the most that an skb takes.
const PACKET_GROWTH: usize = 1 << 16;

/// An open map, program or BTF object of the running kernel; closes when dropped.
#[derive(Debug)]
pub struct KernelFd(Kind);

#[derive(Debug)]
enum Kind {
    Map(sys::Map),
    Program(OwnedFd, ProgType),
    Btf(OwnedFd),
}

impl AsFd for KernelFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Map(map) => map.as_fd(),
            Kind::Program(fd, _) | Kind::Btf(fd) => fd.as_fd(),
        }
    }
}

impl KernelFd {
    fn number(&self) -> u32 {
        sys::number(self.as_fd())
    }

    /// The descriptor as a map; `EINVAL`, as the kernel says it, where it is none.
    fn map(&self) -> Result<&sys::Map, Errno> {
        match &self.0 {
            Kind::Map(map) => Ok(map),
            Kind::Program(..) | Kind::Btf(_) => Err(Errno::EINVAL),
        }
    }
}

/// The running kernel.
#[derive(Debug)]
pub struct Kernel {
    cpus: usize,
    release: String,
    vmlinux: Vmlinux,
    log_limit: usize,
    /// Kept from load to load: pages that a process touches for the first time cost more than verifying a program.
    log_buffer: Mutex<Vec<u8>>,
}

impl Kernel {
    /// Makes sure that bpf(2) works here for this process.
    ///
    /// # Errors
    /// [`Unavailable`]: what is missing, with the remedy.
    pub fn open() -> Result<Kernel, Unavailable> {
        let cpus = possible_cpus()?;
        let kernel = Kernel {
            cpus,
            release: probe::release(),
            vmlinux: Vmlinux::default(),
            log_limit: LOG_MAX,
            log_buffer: Mutex::default(),
        };
        let attempt = kernel.map_create(&MapCreate {
            map_type: MapType::ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            map_flags: 0,
            map_name: "skep_probe",
            map_extra: 0,
            numa_node: 0,
            inner_map: None,
            btf: None,
            btf_key_type_id: 0,
            btf_value_type_id: 0,
        });
        match attempt {
            Ok(_) => Ok(kernel),
            Err(errno) => Err(probe::diagnose(errno)),
        }
    }

    /// Release of the running kernel, as `uname -r` prints it.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// With a limit to what is held of one log, in bytes. A longer one is cut where the kernel cuts it: from 6.4 on
    /// the end of it is kept, before that its beginning.
    #[must_use]
    pub fn with_log_limit(mut self, bytes: usize) -> Kernel {
        self.log_limit = bytes.clamp(LOG_FIRST, LOG_MAX);
        self
    }

    /// Its types.
    pub(crate) fn vmlinux(&self) -> &Vmlinux {
        &self.vmlinux
    }
}

/// Number of CPUs in `/sys/devices/system/cpu/possible`.
fn possible_cpus() -> Result<usize, Unavailable> {
    const PATH: &str = "/sys/devices/system/cpu/possible";
    let text = fs::read_to_string(PATH)
        .map_err(|error| Unavailable::Unreadable { path: PATH.into(), why: error.to_string() })?;
    count_cpus(&text)
        .ok_or_else(|| Unavailable::Unreadable { path: PATH.into(), why: format!("no CPU list: {text:?}") })
}

/// Counts the CPUs of a list such as `0-3,8`.
fn count_cpus(list: &str) -> Option<usize> {
    list.trim()
        .split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .sum()
}

/// A name for the kernel; `EINVAL` for one that it cannot take.
fn name(text: &str) -> Result<sys::Name, Errno> {
    let mut name = sys::Name::default();
    if text.len() >= limits::BPF_OBJ_NAME_LEN || text.contains('\0') {
        return Err(Errno::EINVAL);
    }
    name[..text.len()].copy_from_slice(text.as_bytes());
    Ok(name)
}

/// Text of a log buffer up to its final zero.
fn log_text(buffer: &[u8]) -> String {
    let end = buffer.iter().position(|&b| b == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

fn records(info: InfoRecords<'_>) -> sys::Records<'_> {
    sys::Records { rec_size: info.rec_size, count: info.count(), bytes: info.bytes }
}

/// The index into `fd_array` that an instruction names, if it does.
fn fd_index(insn: &Insn) -> Option<i64> {
    /// `BPF_PSEUDO_MAP_IDX` and `BPF_PSEUDO_MAP_IDX_VALUE`.
    const MAP_IDX: [u8; 2] = [5, 6];
    /// `BPF_PSEUDO_KFUNC_CALL`, whose offset names the BTF of a module.
    const KFUNC_CALL: u8 = 2;
    if insn.is_ld_imm64() && MAP_IDX.contains(&insn.src) {
        Some(i64::from(insn.imm))
    } else if insn.is_call() && insn.src == KFUNC_CALL && insn.off != 0 {
        Some(i64::from(insn.off.cast_unsigned()))
    } else {
        None
    }
}

/// The descriptors for `fd_array`. The kernel takes no length and reads what an instruction names, so the
/// array is padded with bad descriptors as far as that; what lies out of reach is `EFAULT`.
fn fd_array(fds: &[&KernelFd], insns: &[Insn]) -> Result<Vec<u32>, Errno> {
    let mut array: Vec<u32> = fds.iter().map(|fd| fd.number()).collect();
    if array.is_empty() {
        return Ok(array);
    }
    for index in insns.iter().filter_map(fd_index) {
        let index = usize::try_from(index).ok().filter(|&i| i < FD_ARRAY_MAX).ok_or(Errno::EFAULT)?;
        if index >= array.len() {
            array.resize(index + 1, u32::MAX);
        }
    }
    Ok(array)
}

/// Calls `BPF_PROG_LOAD` with a log buffer that grows until the log fits.
fn prog_load(
    call: &sys::ProgLoadCall<'_>,
    buffer: &mut Vec<u8>,
    log_limit: usize,
    log: &mut String,
) -> Result<OwnedFd, Errno> {
    let mut size = if call.log_level == 0 { 0 } else { LOG_FIRST };
    let mut attempts = LOAD_ATTEMPTS;
    loop {
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let buffer = &mut buffer[..size];
        // The kernel ends a text with a zero, but it may write none.
        if let Some(first) = buffer.first_mut() {
            *first = 0;
        }
        let answer = sys::prog_load(call, buffer)?;
        let wanted = answer.log_true_size as usize;
        match answer.fd {
            Err(Errno::EAGAIN) if attempts > 1 => attempts -= 1,
            // A kernel that tells the size and was given enough means something else by ENOSPC.
            Err(Errno::ENOSPC) if size != 0 && size < log_limit && (wanted == 0 || wanted > size) => {
                size = if wanted == 0 { size * LOG_GROWTH } else { wanted }.min(log_limit);
            }
            fd => {
                *log = log_text(buffer);
                return fd;
            }
        }
    }
}

impl Bpf for Kernel {
    type Fd = KernelFd;

    fn raw_fd(&self, fd: &KernelFd) -> u32 {
        fd.number()
    }

    fn possible_cpus(&self) -> usize {
        self.cpus
    }

    fn map_create(&self, attr: &MapCreate<'_, KernelFd>) -> Result<KernelFd, Errno> {
        let raw = sys::MapCreateAttr {
            map_type: attr.map_type.0,
            key_size: attr.key_size,
            value_size: attr.value_size,
            max_entries: attr.max_entries,
            map_flags: attr.map_flags,
            inner_map_fd: attr.inner_map.map_or(0, KernelFd::number),
            numa_node: attr.numa_node,
            map_name: name(attr.map_name)?,
            btf_fd: attr.btf.map_or(0, KernelFd::number),
            btf_key_type_id: attr.btf_key_type_id,
            btf_value_type_id: attr.btf_value_type_id,
            map_extra: attr.map_extra,
            ..sys::MapCreateAttr::default()
        };
        sys::Map::create(raw, self.cpus).map(Kind::Map).map(KernelFd)
    }

    fn map_lookup_elem(&self, map: &KernelFd, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        map.map()?.lookup(key, value, flags)
    }

    fn map_update_elem(&self, map: &KernelFd, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        map.map()?.update(key, value, flags)
    }

    fn map_delete_elem(&self, map: &KernelFd, key: &[u8]) -> Result<(), Errno> {
        map.map()?.delete(key)
    }

    fn map_get_next_key(&self, map: &KernelFd, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        map.map()?.next_key(key, next)
    }

    fn map_freeze(&self, map: &KernelFd) -> Result<(), Errno> {
        map.map()?.freeze()
    }

    fn btf_load(&self, btf: &[u8], log: &mut String) -> Result<KernelFd, Errno> {
        log.clear();
        sys::btf_load(btf, &mut [])
            .or_else(|_| {
                // Again, to be told why; a log that does not fit keeps the first answer.
                let mut buffer = vec![0; LOG_FIRST];
                let answer = sys::btf_load(btf, &mut buffer);
                *log = log_text(&buffer);
                answer
            })
            .map(Kind::Btf)
            .map(KernelFd)
    }

    fn prog_load(&self, attr: &ProgLoad<'_, KernelFd>, log: &mut String) -> Result<KernelFd, Errno> {
        log.clear();
        let insns = skep_program::insns_to_bytes(attr.insns);
        let fd_array = fd_array(attr.fd_array, attr.insns)?;
        let license = CString::new(attr.license).map_err(|_| Errno::EINVAL)?;
        let call = sys::ProgLoadCall {
            prog_type: attr.prog_type.0,
            expected_attach_type: attr.expected_attach_type.0,
            insns: &insns,
            license: &license,
            prog_name: name(attr.prog_name)?,
            prog_flags: attr.prog_flags,
            kern_version: attr.kern_version,
            fd_array: &fd_array,
            prog_btf_fd: attr.prog_btf.map_or(0, KernelFd::number),
            func_info: records(attr.func_info),
            line_info: records(attr.line_info),
            core_relos: records(attr.core_relos),
            attach_btf_id: attr.attach_btf_id,
            attach_prog_fd: attr.attach_prog.map_or(0, KernelFd::number),
            log_level: attr.log_level,
        };
        let mut buffer = self.log_buffer.lock().unwrap_or_else(PoisonError::into_inner);
        prog_load(&call, &mut buffer, self.log_limit, log)
            .map(|fd| KernelFd(Kind::Program(fd, attr.prog_type)))
    }

    /// As the trait says. A packet may come back larger than it went in, and a second run to fetch the rest would
    /// change maps twice: so the kernel is given room for any growth, whatever `data_out_size` asks, unless that
    /// is 0. Repeated runs that a signal interrupts start over. Programs of type `syscall` give their context back
    /// as others do.
    fn prog_test_run(&self, prog: &KernelFd, run: &TestRun<'_>) -> Result<TestRunResult, Errno> {
        let data_in = run.data_in.unwrap_or_default();
        // The kernel refuses `ctx_out` for programs whose context it writes back into `ctx_in`.
        let in_place = matches!(prog.0, Kind::Program(_, ProgType::SYSCALL));
        let ctx_given = run.ctx_in.unwrap_or_default();
        let mut ctx_in = ctx_given.to_vec();
        let room = |asked: usize, growth: usize| if asked == 0 { 0 } else { asked.max(growth) };
        let mut data_out = vec![0; room(run.data_out_size, data_in.len() + PACKET_GROWTH)];
        let mut ctx_out = vec![0; if in_place { 0 } else { room(run.ctx_out_size, ctx_in.len()) }];
        let answer = loop {
            let answer = sys::prog_test_run(&mut sys::TestRunCall {
                prog: prog.as_fd(),
                data_in,
                data_out: &mut data_out,
                ctx_in: &mut ctx_in,
                ctx_out: &mut ctx_out,
                repeat: run.repeat,
                flags: run.flags,
            });
            match answer {
                Err(Errno::EINTR) => ctx_in.copy_from_slice(ctx_given),
                answer => break answer?,
            }
        };
        data_out.truncate(answer.data_size_out);
        ctx_out.truncate(answer.ctx_size_out);
        if in_place && run.ctx_out_size != 0 {
            ctx_out = ctx_in;
        }
        Ok(TestRunResult { retval: answer.retval, duration_ns: answer.duration_ns, data_out, ctx_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        for (list, count) in [("0\n", Some(1)), ("0-1\n", Some(2)), ("0-3,8,10-11", Some(7)), ("", None)] {
            assert_eq!(count_cpus(list), count, "{list:?}");
        }
        assert_eq!(count_cpus("3-1"), None);
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        assert_eq!(name("fifteen_letters").map(|n| n[15]), Ok(0));
        assert_eq!(name("sixteen_letters_"), Err(Errno::EINVAL));
        assert_eq!(name("a\0b"), Err(Errno::EINVAL));
    }
}
