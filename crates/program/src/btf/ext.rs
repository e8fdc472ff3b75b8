// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.BTF.ext`: function, line and CO-RE records by ELF section.

use super::{BtfError, word};

/// Records of one ELF section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtSection<'a> {
    /// Offset of the section's name in the string section of the BTF.
    pub name_off: u32,
    /// Records back to back; the first word of each is an offset in the section in bytes.
    pub records: &'a [u8],
}

/// One of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtTable<'a> {
    /// Bytes of a record.
    pub rec_size: u32,
    /// Sections in the order of the file.
    pub sections: Vec<ExtSection<'a>>,
}

/// `.BTF.ext`, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfExt<'a> {
    /// `struct bpf_func_info` records.
    pub func_info: ExtTable<'a>,
    /// `struct bpf_line_info` records.
    pub line_info: ExtTable<'a>,
    /// `struct bpf_core_relo` records.
    pub core_relos: ExtTable<'a>,
}

impl<'a> BtfExt<'a> {
    /// Reads the section.
    ///
    /// # Errors
    /// [`BtfError`] for a foreign byte order or lengths that do not fit.
    pub fn parse(bytes: &'a [u8]) -> Result<BtfExt<'a>, BtfError> {
        // Header as that of BTF: magic, version, flags, length; then offset and length of each table.
        if bytes.len() < 24 {
            return Err(BtfError::Truncated { what: ".BTF.ext header", at: bytes.len() });
        }
        match u16::from_le_bytes([bytes[0], bytes[1]]) {
            super::MAGIC => {}
            m if m.swap_bytes() == super::MAGIC => return Err(BtfError::BigEndian),
            m => return Err(BtfError::Magic(m)),
        }
        if bytes[2] != 1 {
            return Err(BtfError::Version(bytes[2]));
        }
        let header = word(bytes, 4) as usize;
        let table = |name: &'static str, at: usize, least: u32| {
            let (start, len) = (header + word(bytes, at) as usize, word(bytes, at + 4) as usize);
            if len == 0 {
                return Ok(ExtTable::default());
            }
            let data = start
                .checked_add(len)
                .and_then(|end| bytes.get(start..end))
                .ok_or(BtfError::Truncated { what: name, at: start })?;
            read_table(name, data, least)
        };
        Ok(BtfExt {
            func_info: table("func_info", 8, 8)?,
            line_info: table("line_info", 16, 16)?,
            // Older files end their header before the CO-RE table.
            core_relos: if header >= 32 && bytes.len() >= 32 {
                table("core_relo", 24, 16)?
            } else {
                ExtTable::default()
            },
        })
    }
}

fn read_table<'a>(name: &'static str, data: &'a [u8], least: u32) -> Result<ExtTable<'a>, BtfError> {
    let cut = |at| BtfError::Truncated { what: name, at };
    if data.len() < 4 {
        return Err(cut(0));
    }
    let rec_size = word(data, 0);
    if rec_size < least || !rec_size.is_multiple_of(4) {
        return Err(BtfError::RecordSize { table: name, size: rec_size, least });
    }
    let mut sections = Vec::new();
    let mut at = 4;
    while at < data.len() {
        if data.len() - at < 8 {
            return Err(cut(at));
        }
        let (name_off, count) = (word(data, at), word(data, at + 4));
        at += 8;
        let len = (count as usize).checked_mul(rec_size as usize).ok_or(cut(at))?;
        let records = at.checked_add(len).and_then(|end| data.get(at..end)).ok_or(cut(at))?;
        sections.push(ExtSection { name_off, records });
        at += len;
    }
    Ok(ExtTable { rec_size, sections })
}
