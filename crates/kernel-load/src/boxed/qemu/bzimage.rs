// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a bzImage says of itself (`Documentation/arch/x86/boot.rst`), and what a file is that is none.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::ImageError;

/// Bytes of a file that are looked at: the real-mode part of the largest image, with its header and its version.
const HEAD: usize = 256 * SECTOR;
const SECTOR: usize = 512;

/// Offsets in the header.
const SETUP_SECTS: usize = 0x1f1;
const SYSSIZE: usize = 0x1f4;
const BOOT_FLAG: usize = 0x1fe;
const MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const KERNEL_VERSION: usize = 0x20e;
const XLOADFLAGS: usize = 0x236;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const END: usize = 0x250;

/// `XLF_KERNEL_64`: it has a 64-bit entry.
const KERNEL_64: u16 = 1;

/// An image's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What `uname -r` prints there.
    pub release: String,
    /// Offset and length of the compressed kernel in the file.
    pub payload: (u64, u64),
}

impl Header {
    /// Reads the header of a file.
    pub fn read(path: &Path) -> Result<Header, ImageError> {
        let unreadable = |error| ImageError::Unreadable(path.to_owned(), error);
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(ImageError::NoImage(path.to_owned(), "no regular file".to_owned()));
        }
        let mut head = Vec::new();
        file.take(HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
        Header::parse(&head, metadata.len()).map_err(|wrong| wrong.of(path))
    }

    fn parse(head: &[u8], length: u64) -> Result<Header, Wrong> {
        let cut = |wanted: u64| Wrong::Cut { length, wanted };
        // Images begin as EFI programs do.
        if head.starts_with(b"MZ") && head.len() < END {
            return Err(cut(END as u64));
        }
        if head.get(MAGIC..MAGIC + 4) != Some(b"HdrS") || u16_at(head, BOOT_FLAG) != Some(0xaa55) {
            return Err(Wrong::Kind(kind(head)));
        }
        let field = |offset| u32_at(head, offset).ok_or(cut(END as u64));
        let protocol = u16_at(head, PROTOCOL).unwrap_or(0);
        // 2.12 (Linux 3.8) says whether it is for 64 bits, and where the payload is.
        if protocol < 0x020c {
            return Err(Wrong::Kind("a kernel of before Linux 3.8".to_owned()));
        }
        if field(XLOADFLAGS)? as u16 & KERNEL_64 == 0 {
            return Err(Wrong::Kind("a 32-bit kernel".to_owned()));
        }
        let setup = (usize::from(match head[SETUP_SECTS] {
            0 => 4,
            sectors => sectors,
        }) + 1)
            * SECTOR;
        let start = setup as u64;
        let end = start + u64::from(field(SYSSIZE)?) * 16;
        let payload = (start + u64::from(field(PAYLOAD_OFFSET)?), u64::from(field(PAYLOAD_LENGTH)?));
        let wanted = end.max(payload.0 + payload.1);
        if length < wanted {
            return Err(cut(wanted));
        }
        let release = u16_at(head, KERNEL_VERSION)
            .filter(|&offset| offset != 0)
            .and_then(|offset| head[..setup.min(head.len())].get(usize::from(offset) + SECTOR..))
            .and_then(release)
            .ok_or(Wrong::Damaged("its header names no kernel release"))?;
        if payload.1 < 64 {
            return Err(Wrong::Damaged("its header names no compressed kernel"));
        }
        Ok(Header { release, payload })
    }
}

/// The first word of a version, `6.1.0-56-cloud-amd64 (debian-kernel@…) #1 SMP …`.
fn release(version: &[u8]) -> Option<String> {
    let length = version.iter().take(65).position(|&b| b == b' ' || b == 0)?;
    let word = std::str::from_utf8(&version[..length]).ok()?;
    let is_release = word.starts_with(|c: char| c.is_ascii_digit())
        && word.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    is_release.then(|| word.to_owned())
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrong {
    Kind(String),
    Cut { length: u64, wanted: u64 },
    Damaged(&'static str),
}

impl Wrong {
    fn of(self, path: &Path) -> ImageError {
        let path = path.to_owned();
        match self {
            Wrong::Kind(kind) => ImageError::NoImage(path, kind),
            Wrong::Cut { length, wanted } => ImageError::Cut { path, length, wanted },
            Wrong::Damaged(why) => ImageError::Damaged(path, why.to_owned()),
        }
    }
}

/// Kinds of files that are taken for images, by bytes at an offset.
const KINDS: [(usize, &[u8], &str); 14] = [
    (0x38, b"ARM\x64", "an image for arm64"),
    (0x38, b"RSC\x05", "an image for RISC-V"),
    (0x24, &[0x18, 0x28, 0x6f, 0x01], "an image for 32-bit ARM"),
    (4, b"zimg", "a compressed EFI image, of another machine"),
    (0, b"MZ", "an EFI program without a Linux header"),
    (0, &[0x1f, 0x8b], "a gzip file (kernels of other machines are shipped as these)"),
    (0, &[0x28, 0xb5, 0x2f, 0xfd], "a zstd file"),
    (0, &[0xfd, b'7', b'z', b'X', b'Z'], "an xz file"),
    (0, b"!<arch>\n", "a package or library archive (unpack a package with `dpkg-deb -x`)"),
    (0, &[0xed, 0xab, 0xee, 0xdb], "a package (unpack it with `rpm2cpio`)"),
    (0, b"070701", "an archive of initial files"),
    (0, b"\x7fELF\x01", "a 32-bit ELF file"),
    (0, b"\x7fELF\x02\x02", "a big-endian ELF file"),
    (0, b"#!", "a script"),
];

/// `EM_X86_64`.
const X86_64: u16 = 62;

/// What the beginning of a file says that it is.
fn kind(head: &[u8]) -> String {
    if head.is_empty() {
        return "an empty file".to_owned();
    }
    let known = KINDS.iter().find(|(at, bytes, _)| head.get(*at..at + bytes.len()) == Some(*bytes));
    if let Some((_, _, kind)) = known {
        return (*kind).to_owned();
    }
    match u16_at(head, 18).filter(|_| head.starts_with(b"\x7fELF")) {
        Some(X86_64) => "an ELF file (an uncompressed kernel has its bzImage at arch/x86/boot)".to_owned(),
        Some(machine) => format!("an ELF file for another machine (ELF machine {machine})"),
        None => "a file of another kind".to_owned(),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An image whose payload is this, as the kernel's build lays it out.
    pub(crate) fn image(payload: &[u8]) -> Vec<u8> {
        let setup = 4 * SECTOR;
        let mut image = vec![0; setup + 0x100];
        image.extend(payload);
        image.resize(image.len().next_multiple_of(16), 0);
        let syssize = ((image.len() - setup) / 16) as u32;
        image[SETUP_SECTS] = 3;
        image[SYSSIZE..SYSSIZE + 4].copy_from_slice(&syssize.to_le_bytes());
        image[BOOT_FLAG..BOOT_FLAG + 2].copy_from_slice(&[0x55, 0xaa]);
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PROTOCOL..PROTOCOL + 2].copy_from_slice(&[0x0f, 0x02]);
        image[KERNEL_VERSION..KERNEL_VERSION + 2].copy_from_slice(&0x300_u16.to_le_bytes());
        image[XLOADFLAGS] = 0x7f;
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&0x100_u32.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        let version = b"6.12.117+deb12-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP\0";
        image[0x500..0x500 + version.len()].copy_from_slice(version);
        image
    }

    fn parse(image: &[u8]) -> Result<Header, Wrong> {
        Header::parse(&image[..image.len().min(HEAD)], image.len() as u64)
    }

    #[test]
    fn reads_a_header() {
        let header = parse(&image(&[7; 1000])).expect("an image");
        let expected =
            Header { release: "6.12.117+deb12-cloud-amd64".to_owned(), payload: (4 * 512 + 0x100, 1000) };
        assert_eq!(header, expected);
        // A signature may follow.
        let mut signed = image(&[7; 1000]);
        signed.extend([1; 100]);
        assert_eq!(parse(&signed), Ok(expected));
    }

    #[test]
    fn no_cut_image_passes() {
        let whole = image(&[7; 1000]);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length}");
        }
        let wanted = whole.len() as u64;
        assert_eq!(parse(&whole[..3000]), Err(Wrong::Cut { length: 3000, wanted }));
        assert!(matches!(parse(b"MZ"), Err(Wrong::Cut { length: 2, .. })));
        assert_eq!(parse(&[]), Err(Wrong::Kind("an empty file".to_owned())));
    }

    #[test]
    fn damage_is_named() {
        let change = |at: usize, bytes: &[u8]| {
            let mut image = image(&[7; 1000]);
            image[at..at + bytes.len()].copy_from_slice(bytes);
            parse(&image)
        };
        assert_eq!(change(0x500, b"junk"), Err(Wrong::Damaged("its header names no kernel release")));
        assert_eq!(
            change(KERNEL_VERSION, &[0xff; 2]),
            Err(Wrong::Damaged("its header names no kernel release"))
        );
        assert_eq!(
            change(PAYLOAD_LENGTH, &[0; 4]),
            Err(Wrong::Damaged("its header names no compressed kernel"))
        );
        assert!(matches!(change(PAYLOAD_OFFSET, &[0xff; 8]), Err(Wrong::Cut { .. })));
        assert!(matches!(change(SYSSIZE, &[0xff; 4]), Err(Wrong::Cut { .. })));
        assert_eq!(change(XLOADFLAGS, &[0]), Err(Wrong::Kind("a 32-bit kernel".to_owned())));
        assert!(matches!(change(PROTOCOL, &[3, 2]), Err(Wrong::Kind(_))));
        assert!(matches!(change(MAGIC, b"x"), Err(Wrong::Kind(_))));
    }

    #[test]
    fn other_files_are_named() {
        let named = |start: &[u8]| {
            let mut file = start.to_vec();
            file.resize(4096, 0);
            match parse(&file) {
                Err(Wrong::Kind(kind)) => kind,
                other => panic!("{other:?}"),
            }
        };
        let mut arm64 = vec![0; 0x38];
        arm64[..2].copy_from_slice(b"MZ");
        arm64.extend(b"ARM\x64");
        assert_eq!(named(&arm64), "an image for arm64");
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(18, 0);
        elf.push(183);
        assert_eq!(named(&elf), "an ELF file for another machine (ELF machine 183)");
        elf[18] = 62;
        assert!(named(&elf).starts_with("an ELF file (an uncompressed kernel"));
        assert_eq!(named(b"random"), "a file of another kind");
        assert!(named(b"!<arch>\ndebian-binary").contains("dpkg-deb"));
    }
}
