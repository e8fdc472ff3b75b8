// SPDX-License-Identifier: MIT OR Apache-2.0
//! The running kernel as the judge of the tables: bare bpf(2), capabilities of a thread, and the type ids of the
//! kernel's BTF. Where the kernel cannot be asked, a test says so and counts what it did not check.

#![allow(dead_code)] // each test takes what it needs
#![allow(unsafe_code)] // bpf(2), capset(2) and close(2), for tests only

use skep_uapi::{AttachType, MapType, ProgType};
use std::collections::HashMap;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const CAP_NET_ADMIN: u32 = 12;
const CAP_BPF: u32 = 39;

/// `union bpf_attr` as words; only as much of it as these commands read.
#[derive(Clone)]
struct Attr([u64; 18]);

impl Attr {
    fn new() -> Attr {
        Attr([0; 18])
    }

    /// Sets the 32-bit field at a byte offset.
    fn u32(mut self, offset: usize, value: u32) -> Attr {
        self.0[offset / 8] |= u64::from(value) << (offset % 8 * 8);
        self
    }

    /// Sets the 64-bit field at a byte offset.
    fn u64(mut self, offset: usize, value: u64) -> Attr {
        self.0[offset / 8] = value;
        self
    }
}

/// An open descriptor.
pub struct Fd(i32);

impl Fd {
    pub fn number(&self) -> u32 {
        self.0.cast_unsigned()
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours, and nobody uses it after this.
        unsafe { libc::close(self.0) };
    }
}

fn bpf(command: libc::c_long, attr: &Attr) -> Result<Fd, i32> {
    // SAFETY: `attr` is readable for its whole size, and every address in it is that of a buffer that its
    // caller keeps alive, and lets the kernel write where it is the log.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attr.0.as_ptr(), size_of_val(&attr.0)) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    Ok(Fd(i32::try_from(fd).expect("a descriptor is an int")))
}

/// A program to load.
#[derive(Clone, Copy)]
pub struct Prog<'a> {
    pub prog_type: ProgType,
    pub attach_type: AttachType,
    /// Instructions, 8 bytes each.
    pub insns: &'a [u8],
    pub license: &'a std::ffi::CStr,
    pub flags: u32,
    pub attach_btf_id: u32,
}

/// Loads and unloads a program; the verifier's log either way.
pub fn prog_load(prog: &Prog<'_>) -> (Result<(), i32>, String) {
    let mut log = vec![0u8; 1 << 14];
    let attr = Attr::new()
        .u32(0, prog.prog_type.0)
        .u32(4, u32::try_from(prog.insns.len() / 8).expect("a short program"))
        .u64(8, prog.insns.as_ptr().addr() as u64)
        .u64(16, prog.license.as_ptr().addr() as u64)
        .u32(24, 1)
        .u32(28, 1 << 14)
        .u64(32, log.as_mut_ptr().expose_provenance() as u64)
        .u32(44, prog.flags)
        .u32(68, prog.attach_type.0)
        .u32(108, prog.attach_btf_id);
    let result = bpf(BPF_PROG_LOAD, &attr).map(drop);
    let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
    (result, String::from_utf8_lossy(&log[..end]).into_owned())
}

/// What `BPF_MAP_CREATE` is asked.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    pub map_type: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    pub inner: Option<u32>,
    pub extra: u64,
}

/// Creates a map; one of maps that comes without an inner one is given a descriptor that nobody has.
pub fn map_create(map: &Map) -> Result<Fd, i32> {
    let of_maps = matches!(map.map_type, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
    let no_inner = if of_maps { u32::MAX } else { 0 };
    let attr = Attr::new()
        .u32(0, map.map_type.0)
        .u32(4, map.key_size)
        .u32(8, map.value_size)
        .u32(12, map.max_entries)
        .u32(16, map.flags)
        .u32(20, map.inner.unwrap_or(no_inner))
        .u64(64, map.extra);
    bpf(BPF_MAP_CREATE, &attr)
}

/// Whether the running kernel lets us load programs; prints why not, and how much goes unchecked.
pub fn kernel_answers(unchecked: usize) -> bool {
    let exit = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let prog = Prog {
        prog_type: ProgType::KPROBE,
        attach_type: AttachType(0),
        insns: &exit,
        license: c"GPL",
        flags: 0,
        attach_btf_id: 0,
    };
    match prog_load(&prog).0 {
        Ok(()) => true,
        Err(errno) => {
            println!(
                "SKIP: BPF_PROG_LOAD of a kprobe program answers errno {errno}; {unchecked} checks not made"
            );
            false
        }
    }
}

/// Whether the running kernel is Linux 6.18, of which the tables speak; prints what goes unchecked if not.
pub fn kernel_is_6_18(unchecked: usize) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let same = release.starts_with("6.18");
    if !same {
        println!("SKIP: the kernel is {}, not 6.18; {unchecked} checks not made", release.trim());
    }
    same
}

/// Runs `work` in a thread that has `CAP_BPF` and `CAP_NET_ADMIN` and no other capability.
pub fn with_cap_bpf<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let caps = 1u64 << CAP_BPF | 1 << CAP_NET_ADMIN;
    let (low, high) = ((caps & 0xffff_ffff) as u32, (caps >> 32) as u32);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let header = [0x2008_0522u32, 0];
            let data = [low, low, 0, high, high, 0];
            // SAFETY: version 3 of the interface reads two words of header and six of data, and acts on the
            // calling thread alone.
            let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
            assert_eq!(result, 0, "capset: {}", std::io::Error::last_os_error());
            work()
        });
        thread.join().expect("the thread does not panic")
    })
}

/// A named type of the kernel's BTF.
struct Type {
    id: u32,
    kind: u32,
    name: String,
    /// The record, its kind's extra data included.
    at: usize,
    vlen: usize,
}

/// The kernel's BTF.
struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    types: Vec<Type>,
}

const ENUM: u32 = 6;

impl Btf {
    fn word(bytes: &[u8], at: usize) -> Option<usize> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
    }

    fn string(bytes: &[u8], at: usize) -> Option<String> {
        let tail = bytes.get(at..)?;
        let end = tail.iter().position(|&b| b == 0)?;
        Some(String::from_utf8_lossy(&tail[..end]).into_owned())
    }

    fn of_kernel() -> Option<Btf> {
        let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
        let header = Btf::word(&bytes, 4)?;
        let start = header + Btf::word(&bytes, 8)?;
        let end = start + Btf::word(&bytes, 12)?;
        let strings = header + Btf::word(&bytes, 16)?;
        let (mut at, mut id, mut types) = (start, 1, Vec::new());
        while at < end {
            let info = Btf::word(&bytes, at + 4)?;
            let (kind, vlen) = ((info >> 24 & 0x1f) as u32, info & 0xffff);
            let name = Btf::string(&bytes, strings + Btf::word(&bytes, at)?)?;
            types.push(Type { id, kind, name, at, vlen });
            at += 12
                + match kind {
                    1 | 14 | 17 => 4,             // INT, VAR, DECL_TAG
                    3 => 12,                      // ARRAY
                    4 | 5 | 15 | 19 => 12 * vlen, // STRUCT, UNION, DATASEC, ENUM64
                    6 | 13 => 8 * vlen,           // ENUM, FUNC_PROTO
                    _ => 0,
                };
            id += 1;
        }
        Some(Btf { bytes, strings, types })
    }
}

/// Ids of the kernel's named BTF types, by kind and name.
pub fn kernel_btf() -> Option<HashMap<(u32, String), u32>> {
    let btf = Btf::of_kernel()?;
    Some(btf.types.into_iter().rev().map(|t| ((t.kind, t.name), t.id)).collect())
}

/// A constant of the kernel.
pub struct Enumerator {
    /// Name of its enumeration, empty where that has none.
    pub of: String,
    pub name: String,
    pub value: u32,
}

/// The constants of the kernel's enumerations of 32 bits.
pub fn kernel_enumerators() -> Option<Vec<Enumerator>> {
    let btf = Btf::of_kernel()?;
    let mut enumerators = Vec::new();
    for t in btf.types.iter().filter(|t| t.kind == ENUM) {
        for i in 0..t.vlen {
            let at = t.at + 12 + 8 * i;
            enumerators.push(Enumerator {
                of: t.name.clone(),
                name: Btf::string(&btf.bytes, btf.strings + Btf::word(&btf.bytes, at)?)?,
                value: u32::try_from(Btf::word(&btf.bytes, at + 4)?).ok()?,
            });
        }
    }
    Some(enumerators)
}
