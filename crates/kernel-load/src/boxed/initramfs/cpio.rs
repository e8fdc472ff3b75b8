// SPDX-License-Identifier: MIT OR Apache-2.0
//! Archives in cpio's format "newc": for each entry a header of hexadecimal fields, the name and the data, all
//! padded to four bytes.

use std::collections::HashSet;

/// Kinds of files, in the upper bits of a mode.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// Name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive that is being written. Everything in it belongs to root and is of 1970, so that the same files give the
/// same bytes.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: HashSet<String>,
}

impl Archive {
    /// Adds a directory and those above it.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.directories.contains(path) {
            return;
        }
        self.parents(path);
        self.directories.insert(path.to_owned());
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, data: &[u8]) {
        self.below_its_parents(path, REGULAR | 0o644, (0, 0), data);
    }

    /// Adds a file that can be run.
    pub fn executable(&mut self, path: &str, data: &[u8]) {
        self.below_its_parents(path, REGULAR | 0o755, (0, 0), data);
    }

    /// Adds a character device, of a major and a minor number.
    pub fn character_device(&mut self, path: &str, device: (u32, u32)) {
        self.below_its_parents(path, CHARACTER_DEVICE | 0o600, device, &[]);
    }

    /// The archive's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn below_its_parents(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        let path = path.trim_start_matches('/');
        self.parents(path);
        self.entry(path, mode, device, data);
    }

    fn parents(&mut self, path: &str) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.directory(above);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), data: &[u8]) {
        self.entries += 1;
        // The format has 32 bits for a length; no file of a guest comes near.
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let name_length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        // inode, mode, uid, gid, links, mtime, size, device of the file system (2), device (2), length of the name,
        // check sum.
        let fields = [self.entries, mode, 0, 0, 1, 0, length, 0, 0, major, minor, name_length, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_small_archive() {
        let mut archive = Archive::default();
        archive.character_device("/dev/console", (5, 1));
        archive.executable("/init", b"hello");
        archive.directory("/dev");
        // As GNU cpio 2.13 writes these entries (`cpio -o -H newc --reproducible`), but for times, inodes, the links of
        // directories, and the padding to a block.
        let expected = concat!(
            "07070100000001000041ED000000000000000000000001000000000000000000000000000000000000000000000000",
            "0000000400000000dev\0\0\0",
            "070701000000020000218000000000000000000000000100000000000000000000000000000000000000050000",
            "00010000000C00000000dev/console\0\0\0",
            "07070100000003000081ED00000000000000000000000100000000000000050000000000000000000000000000",
            "00000000000500000000init\0\0hello\0\0\0",
            "07070100000004000000000000000000000000000000010000000000000000000000000000000000000000000000",
            "000000000B00000000TRAILER!!!\0\0\0\0",
        );
        assert_eq!(String::from_utf8(archive.finish()).expect("text"), expected);
    }
}
