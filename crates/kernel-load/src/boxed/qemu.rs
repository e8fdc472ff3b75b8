// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtual machines: a distribution's kernel image under QEMU, with KVM where this user may use it, else emulated
//! (TCG), which needs no privilege.
//!
//! The guest's standard streams are QEMU's own: input and output are the channel, a port of virtio-serial that the
//! guest opens with [`open_port`]; the kernel's console, a serial line, is standard error. Its first process finds in
//! its environment what the command line says: [`BOX`] is `qemu`. It may also get arguments that are none: words of
//! the command line that the kernel does not know.
//!
//! Guarantees: QEMU gets no files, network or display of the host but what is named here; it ends when the guest
//! restarts or panics. The guest reads the end of the channel when QEMU's standard input is closed, and must restart
//! then: to power off takes ACPI, and without it the machine only halts.
//!
//! # Why this machine
//!
//! Under TCG a boot is bound by how much the guest executes, so the choices, each measured with Debian's 6.12, leave
//! work out:
//! - The kernel is started unpacked, by its PVH entry ([`VmImage`]): unpacking it is 1.6 s of emulated work, and 0.4 s
//!   of ours, once for a kernel that is kept by [`crate::get`].
//! - `-M pc` without ACPI: reading its tables costs 0.3 s. The ACPI timer is named by its port instead, as the clock
//!   cannot be calibrated against the PIT on a busy host, and a guest without a clock runs by lost ticks. The machine
//!   `microvm` boots no quicker, has no timer to calibrate by and sometimes none at all, and needs a driver
//!   (virtio_mmio) that distributions ship as a module.
//! - No self-tests of cryptography (0.4 s), no patching of lock prefixes for a single processor (0.3 s).
//! - `mitigations=off` would be quicker and is left alone: it makes the verifier skip its checks against speculation
//!   (`bpf_bypass_spec_v1`), so verdicts would be those of no distribution.
//! - The channel is a port, not a console: 6 KiB take 0.13 ms from guest to host, 1 KiB takes 0.02 ms the other way,
//!   a round trip 0.2 ms; the terminal layer of hvc takes 2 ms for the former. One processor, one thread.

mod bzimage;
mod image;
mod modules;
mod port;
mod unpack;

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use image::{ImageError, VmImage};
pub(super) use port::open_port;
pub(super) use unpack::Format;

use super::guest::{BOX, KEEP_MEMORY};
use super::initramfs::LIBRARIES;

/// The emulator.
const QEMU: &str = "qemu-system-x86_64";
/// Memory of a guest, in MiB.
const MEMORY: &str = "512";
/// Name of the port.
const PORT: &str = "skep";
/// Name of the unpacked kernel, beside the initial files.
const KERNEL: &str = "vmlinux";

/// For every guest. `quiet` leaves errors and panics; audit would tell of every load; a panic or an oops ends the machine, which the host sees.
const COMMAND_LINE: &str =
    "console=ttyS0 earlyprintk=ttyS0 quiet panic=-1 oops=panic reboot=t cryptomgr.notests audit=0";
/// For guests whose processor is emulated.
const EMULATED: &str = "acpi=off pmtmr=0x608 tsc=reliable noreplace-smp";
/// For guests that start by the image's own code: no probing of disks, no relocation.
const BY_IMAGE: &str = "edd=off nokaslr";

/// Why a virtual machine cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// The emulator is not installed.
    #[error(
        "`{QEMU}` is not on the PATH, and a virtual machine needs it; install it with \
         `apt-get install qemu-system-x86` or what your system calls it, or use User-Mode Linux (`-k uml:6.1`)"
    )]
    NotInstalled,
    /// There is nothing to boot.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// Whether this user may use KVM. Nested machines may offer it where it does not work: that shows in booting.
pub(super) fn may_use_kvm() -> bool {
    File::options().read(true).write(true).open("/dev/kvm").is_ok()
}

/// What QEMU says when KVM cannot go on.
pub(super) const KVM_FAILS: &str = "KVM internal error";

/// The command that boots an image with these initial files, with KVM or emulated. The unpacked kernel is written
/// beside them.
///
/// # Errors
/// [`QemuError`] where there is no QEMU, or the image is damaged.
pub(super) fn command(image: &VmImage, initrd: &Path, kvm: bool) -> Result<Command, QemuError> {
    let qemu = find(QEMU).ok_or(QemuError::NotInstalled)?;
    let kernel = image.unpacked(&initrd.with_file_name(KERNEL))?;
    let memory = KEEP_MEMORY.join(" ");
    let mut line = format!("{COMMAND_LINE} {BOX}=qemu LD_LIBRARY_PATH={LIBRARIES} {memory}");
    if !kvm {
        line = format!("{line} {EMULATED}");
    }
    if kernel.is_none() {
        line = format!("{line} {BY_IMAGE}");
    }
    let mut command = Command::new(qemu);
    command.args(["-M", "pc,usb=off", "-cpu", "max", "-smp", "1", "-m", MEMORY]);
    if kvm {
        // A processor that cannot go on ends the machine, rather than stopping it.
        command.args(["-accel", "kvm", "-action", "panic=exit-failure"]);
    } else {
        command.args(["-accel", "tcg,thread=single"]);
    }
    command
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .arg("-kernel")
        .arg(kernel.as_deref().unwrap_or(&image.vmlinuz))
        .arg("-initrd")
        .arg(initrd)
        .args(["-append", &line])
        .args(["-chardev", "file,id=console,path=/proc/self/fd/2,append=on", "-serial", "chardev:console"])
        .args(["-chardev", "stdio,id=channel,signal=off"])
        // Each port costs the guest two queues at boot; the first is for consoles.
        .args(["-device", "virtio-serial-pci,max_ports=2"])
        .args(["-device", &format!("virtserialport,chardev=channel,name={PORT}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// An executable on the PATH.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let runs =
        |file: &PathBuf| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    env::split_paths(&path).map(|folder| folder.join(name)).find(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_on_the_path() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("skep-no-such-command"), None);
        let error = QemuError::NotInstalled.to_string();
        assert!(error.contains("`qemu-system-x86_64`") && error.contains("apt-get install"), "{error}");
    }

    #[test]
    fn a_line_that_keeps_verdicts() {
        for line in [COMMAND_LINE, EMULATED, BY_IMAGE] {
            assert!(!line.contains("mitigations"), "it changes what the verifier checks");
        }
    }
}
