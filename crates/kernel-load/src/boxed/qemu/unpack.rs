// SPDX-License-Identifier: MIT OR Apache-2.0
//! What kernels and modules are compressed with, undone. Every reader stops at a limit, so no file takes more memory
//! than that.

use std::io::{Cursor, Read, Write};
use std::num::NonZero;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use xz4rust::{DICT_SIZE_PROFILE_6, XzDecoder, XzReader};

/// The most that one file may unpack to.
pub(super) const LIMIT: usize = 512 << 20;

/// Ways to compress that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Format {
    Gzip,
    Xz,
    Zstd,
    /// The frames of `lz4 -l`: a magic, then blocks, each after its length.
    Lz4,
}

/// The largest dictionary that an xz file may ask for: the kernel's build uses up to 128 MiB.
const XZ_DICTIONARY: usize = 128 << 20;
const XZ_BUFFER: NonZero<usize> = NonZero::new(64 << 10).expect("not zero");
/// Magic of [`Format::Lz4`].
const LZ4_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// The most that one block of it holds.
const LZ4_BLOCK: usize = 8 << 20;

impl Format {
    /// The format of a file by its first bytes.
    pub fn of(bytes: &[u8]) -> Option<Format> {
        let known: [(&[u8], Format); 4] = [
            (&[0x1f, 0x8b, 8], Format::Gzip),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Format::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Format::Zstd),
            (&LZ4_MAGIC, Format::Lz4),
        ];
        known.into_iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, format)| format)
    }

    /// Unpacks bytes, up to [`LIMIT`].
    pub fn unpack(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        match self {
            Format::Gzip => take(MultiGzDecoder::new(bytes), &mut out)?,
            Format::Xz => {
                let decoder = XzDecoder::in_heap_with_alloc_dict_size(DICT_SIZE_PROFILE_6, XZ_DICTIONARY);
                let bytes = Cursor::new(bytes.to_vec());
                take(XzReader::new_with_buffer_size_and_decoder(bytes, XZ_BUFFER, decoder), &mut out)?;
            }
            Format::Zstd => take(StreamingDecoder::new(bytes).map_err(|e| e.to_string())?, &mut out)?,
            Format::Lz4 => lz4(bytes, &mut out)?,
        }
        Ok(out)
    }
}

fn take(from: impl Read, out: &mut Vec<u8>) -> Result<(), String> {
    from.take(LIMIT as u64 + 1).read_to_end(out).map_err(|e| e.to_string())?;
    within_limit(out)
}

fn within_limit(out: &[u8]) -> Result<(), String> {
    if out.len() > LIMIT { Err(format!("it unpacks to more than {} MiB", LIMIT >> 20)) } else { Ok(()) }
}

fn lz4(mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut block = vec![0; LZ4_BLOCK];
    while let Some((word, rest)) = bytes.split_first_chunk::<4>() {
        bytes = rest;
        if *word == LZ4_MAGIC {
            continue;
        }
        let length = u32::from_le_bytes(*word) as usize;
        let (packed, rest) = bytes.split_at_checked(length).ok_or("a block of it is cut off")?;
        bytes = rest;
        let length = lz4_flex::block::decompress_into(packed, &mut block).map_err(|e| e.to_string())?;
        out.write_all(&block[..length]).map_err(|e| e.to_string())?;
        within_limit(out)?;
    }
    if bytes.is_empty() { Ok(()) } else { Err("its last block is cut off".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'a kernel a kernel a kernel\n' | COMPRESSOR | xxd -p`.
    const TEXT: &[u8] = b"a kernel a kernel a kernel\n";
    const GZIP: &str = "1f8b08000000000002034b54c84e2dca4bcd5148446770010063f852a31b000000";
    const XZ: &str = "fd377a585a0000016922de360200210110000000a8708e86e0001a00105d0030880966945374b6715676aae58c50000063f852a30001281b6dd2bef79042990d010000000001595a";
    const ZSTD: &str = "28b52ffd04588500005061206b65726e656c200a01009ccb118631f4af";
    const LZ4: &str = "02214c18120000009961206b65726e656c20090050726e656c0a";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
    }

    #[test]
    fn unpacks_what_the_tools_pack() {
        let formats = [(GZIP, Format::Gzip), (XZ, Format::Xz), (ZSTD, Format::Zstd), (LZ4, Format::Lz4)];
        for (packed, format) in formats {
            let packed = bytes(packed);
            assert_eq!(Format::of(&packed), Some(format));
            assert_eq!(format.unpack(&packed).as_deref(), Ok(TEXT), "{format:?}");
            for length in 8..packed.len() - 1 {
                assert_ne!(
                    format.unpack(&packed[..length]).as_deref(),
                    Ok(TEXT),
                    "{format:?} cut at {length}"
                );
            }
        }
        assert_eq!(Format::of(b"\x7fELF"), None);
    }
}
