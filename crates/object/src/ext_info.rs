// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.BTF.ext` by function: the function, line and CO-RE records that belong to the instructions of each, and
//! their way into a program (libbpf's `adjust_prog_btf_ext_info`).

use std::collections::HashMap;

use skep_program::Info;
use skep_program::btf::{Btf, BtfExt, ExtTable};

use crate::elf::Elf;
use crate::functions::Functions;
use crate::{ObjectError, Problem};

/// One table, cut by function.
#[derive(Default)]
pub(crate) struct Table<'a> {
    rec_size: u32,
    /// Records of each function, offsets still as in the file. `None` where the table has none for it.
    of: Vec<Option<&'a [u8]>>,
}

/// All tables.
#[derive(Default)]
pub(crate) struct ExtInfo<'a> {
    pub func_info: Table<'a>,
    pub line_info: Table<'a>,
    pub core_relos: Table<'a>,
}

fn offset_of(record: &[u8]) -> u32 {
    u32::from_le_bytes([record[0], record[1], record[2], record[3]])
}

impl<'a> ExtInfo<'a> {
    /// Cuts the tables by function.
    pub fn cut(
        ext: &BtfExt<'a>,
        btf: &Btf,
        elf: &Elf<'_>,
        functions: &Functions,
    ) -> Result<Self, ObjectError> {
        let mut sections: HashMap<&str, usize> = HashMap::new();
        for s in &elf.sections {
            sections.entry(s.name).or_insert(s.index);
        }
        let cut = |table: &ExtTable<'a>, what: &str| {
            Table::cut(table, btf, &sections, functions).map_err(|(section, offset, why)| {
                let name = elf.sections[section].name;
                ObjectError::from(Problem::ExtInfo(format!("{what} record {why}")))
                    .in_section(section, name)
                    .at(offset)
            })
        };
        Ok(ExtInfo {
            func_info: cut(&ext.func_info, "function")?,
            line_info: cut(&ext.line_info, "line")?,
            core_relos: cut(&ext.core_relos, "CO-RE")?,
        })
    }
}

impl<'a> Table<'a> {
    fn cut(
        table: &ExtTable<'a>,
        btf: &Btf,
        sections: &HashMap<&str, usize>,
        functions: &Functions,
    ) -> Result<Self, (usize, u64, &'static str)> {
        let mut of = vec![None; functions.all.len()];
        let size = table.rec_size as usize;
        for part in &table.sections {
            let name = btf.string(part.name_off).unwrap_or("");
            let Some(&section) = sections.get(name) else { continue };
            let records = part.records.chunks_exact(size);
            let offsets: Vec<u32> = records.map(offset_of).collect();
            if let Some(i) = (1..offsets.len()).find(|&i| offsets[i - 1] > offsets[i]) {
                return Err((section, u64::from(offsets[i]), "is out of order"));
            }
            let mut from = 0;
            while let Some(&offset) = offsets.get(from) {
                let Some(index) = functions.holding(section, offset as usize / 8) else {
                    // Code of a weak function that the static linker dropped.
                    from += 1;
                    continue;
                };
                let f = &functions.all[index];
                let to = offsets.partition_point(|&o| (o as usize / 8) < f.start + f.insns.len());
                of[index].get_or_insert(&part.records[from * size..to * size]);
                from = to;
            }
        }
        Ok(Table { rec_size: table.rec_size, of })
    }

    /// Whether the table has records of a function.
    pub fn has(&self, function: usize) -> bool {
        self.of.get(function).is_some_and(Option::is_some)
    }

    /// Bytes of the records of a function.
    pub fn bytes(&self, function: usize) -> usize {
        self.of.get(function).copied().flatten().map_or(0, <[u8]>::len)
    }

    /// Appends the records of a function that starts at instruction `start` of its section and at `place` of the
    /// program. Offsets become instructions times `unit`.
    pub fn append(&self, info: &mut Info, function: usize, start: usize, place: usize, unit: u32) {
        let Some(records) = self.of.get(function).copied().flatten() else { return };
        info.rec_size = self.rec_size;
        for record in records.chunks_exact(self.rec_size as usize) {
            let insn = offset_of(record) / 8 - start as u32 + place as u32;
            info.bytes.extend((insn * unit).to_le_bytes());
            info.bytes.extend(&record[4..]);
        }
    }
}
