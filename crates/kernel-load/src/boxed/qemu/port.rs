// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's end of the channel.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::system::finit_module;

use super::super::initramfs::MODULES;
use super::PORT;

/// Where the kernel lists ports.
const PORTS: &str = "/sys/class/virtio-ports";
/// Where the port's device file is made.
const DEVICE: &str = "/dev/skep";
/// How long the kernel may take to find it; it does so within milliseconds of loading its drivers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Loads the modules that came along, waits for the port and opens it. To be called by the guest's first process, once
/// sysfs is at `/sys` and files can be made in `/dev`.
///
/// The first operation on the port must be a write: until the kernel has heard that the host is there, reading finds
/// the end of the file, while writing waits. After that, the end of the file means that the host is gone.
pub(in super::super) fn open_port() -> io::Result<File> {
    load_modules()?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(folder) = port_in(Path::new(PORTS)) {
            return open(&folder);
        }
        sleep(Duration::from_millis(1));
    }
    Err(io::Error::other(
        "there is no virtio port: the kernel lacks virtio_pci or virtio_console, built in or as modules",
    ))
}

fn load_modules() -> io::Result<()> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(MODULES).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    for file in files {
        match finit_module(File::open(&file)?, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(io::Error::other(format!("module {}: {error}", file.display()))),
        }
    }
    Ok(())
}

/// The port of our name.
fn port_in(ports: &Path) -> Option<PathBuf> {
    let named =
        |folder: &PathBuf| fs::read_to_string(folder.join("name")).is_ok_and(|name| name.trim_end() == PORT);
    fs::read_dir(ports).into_iter().flatten().flatten().map(|e| e.path()).find(named)
}

fn open(folder: &Path) -> io::Result<File> {
    let mut device = String::new();
    File::open(folder.join("dev"))?.read_to_string(&mut device)?;
    let numbers =
        device.trim_end().split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let (major, minor) =
        numbers.ok_or_else(|| io::Error::other(format!("the port has no device number: {device}")))?;
    match mknodat(CWD, DEVICE, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(major, minor)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    File::options().read(true).write(true).open(DEVICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_port_by_name() {
        let ports = tempfile::tempdir().expect("a directory");
        assert_eq!(port_in(ports.path()), None);
        for (port, name) in [("vport0p0", "org.qemu.guest_agent.0\n"), ("vport0p1", "skep\n")] {
            fs::create_dir(ports.path().join(port)).expect("made");
            fs::write(ports.path().join(port).join("name"), name).expect("written");
        }
        assert_eq!(port_in(ports.path()), Some(ports.path().join("vport0p1")));
    }
}
