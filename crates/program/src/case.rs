// SPDX-License-Identifier: MIT OR Apache-2.0
//! Case files: one JSON object a line, a program with all that a load or run needs (`docs/case-files.md`).

use std::sync::Arc;

use serde::Deserialize;
use skep_isa::Insn;
use skep_uapi::{AttachType, MapType, ProgType};

use crate::{BtfRef, BtfRefKind, Info, MapSpec, Program, Requirement, Slot};

/// A line that is not a case.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// Not JSON, or a field has the wrong shape.
    #[error("line {line}: {error}")]
    Json {
        /// Line number, from 1.
        line: usize,
        /// What serde says.
        error: serde_json::Error,
    },
    /// A field does not hold what it should.
    #[error("line {line}: field `{field}`: {why}")]
    Field {
        /// Line number, from 1.
        line: usize,
        /// Name of the field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// A program with what it runs on and with which capabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Name, unique in the file.
    pub id: String,
    /// `full`, `capbpf` or `none`.
    pub caps: String,
    /// The program.
    pub program: Program,
    /// Flat memory for a `mem` run.
    pub mem: Option<Vec<u8>>,
    /// Packet.
    pub data_in: Option<Vec<u8>>,
    /// Context.
    pub ctx_in: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Number(u32),
    Name(String),
}

#[derive(Deserialize)]
struct RawCase {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    prog_type: Option<NameOrNumber>,
    #[serde(default)]
    expected_attach_type: Option<NameOrNumber>,
    #[serde(default)]
    prog_flags: u32,
    #[serde(default)]
    license: Option<String>,
    #[serde(default)]
    caps: Option<String>,
    insns: String,
    #[serde(default)]
    maps: Vec<RawMap>,
    #[serde(default)]
    btf: Option<String>,
    #[serde(default)]
    func_info: Option<String>,
    #[serde(default)]
    line_info: Option<String>,
    #[serde(default)]
    core_relos: Option<String>,
    #[serde(default)]
    btf_refs: Vec<RawRef>,
    #[serde(default)]
    attach_btf_id: u32,
    #[serde(default)]
    attach_name: Option<String>,
    #[serde(default)]
    mem: Option<String>,
    #[serde(default)]
    data_in: Option<String>,
    #[serde(default)]
    ctx_in: Option<String>,
}

#[derive(Deserialize)]
struct RawRef {
    insn: usize,
    kind: String,
    /// `null` where the recorder's kernel had no such id.
    name: Option<String>,
}

#[derive(Deserialize)]
struct RawMap {
    #[serde(rename = "type")]
    map_type: NameOrNumber,
    #[serde(default)]
    key_size: u32,
    #[serde(default)]
    value_size: u32,
    #[serde(default)]
    max_entries: u32,
    #[serde(default)]
    flags: u32,
    #[serde(default)]
    name: String,
    #[serde(default)]
    inner: Option<Box<RawMap>>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    entries: Vec<RawEntry>,
    #[serde(default)]
    slots: Vec<RawSlot>,
    #[serde(default)]
    frozen: bool,
    #[serde(default)]
    map_extra: u64,
    #[serde(default)]
    btf: Option<String>,
    #[serde(default)]
    btf_key: u32,
    #[serde(default)]
    btf_value: u32,
}

#[derive(Deserialize)]
struct RawEntry {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct RawSlot {
    slot: u32,
    map: usize,
}

impl Case {
    /// Reads one line of a case file.
    ///
    /// # Errors
    /// [`CaseError`] with the line number given.
    pub fn parse(text: &str, line: usize) -> Result<Case, CaseError> {
        let raw: RawCase = serde_json::from_str(text).map_err(|error| CaseError::Json { line, error })?;
        raw.into_case(line)
    }

    /// Reads a whole case file; blank lines are skipped.
    ///
    /// # Errors
    /// The first line that is no case.
    pub fn parse_all(text: &str) -> Result<Vec<Case>, CaseError> {
        text.lines()
            .enumerate()
            .filter(|(_, l)| !l.trim().is_empty())
            .map(|(i, l)| Case::parse(l, i + 1))
            .collect()
    }
}

fn bytes(line: usize, field: &'static str, text: &str) -> Result<Vec<u8>, CaseError> {
    hex::decode(text).map_err(|e| CaseError::Field { line, field, why: e.to_string() })
}

fn optional(line: usize, field: &'static str, text: Option<&str>) -> Result<Option<Vec<u8>>, CaseError> {
    text.map(|t| bytes(line, field, t)).transpose()
}

fn number<T>(
    line: usize,
    field: &'static str,
    value: &NameOrNumber,
    make: fn(u32) -> T,
    find: fn(&str) -> Option<T>,
) -> Result<T, CaseError> {
    match value {
        NameOrNumber::Number(n) => Ok(make(*n)),
        NameOrNumber::Name(name) => {
            find(name).ok_or_else(|| CaseError::Field { line, field, why: format!("unknown name `{name}`") })
        }
    }
}

/// Records of a blob with the record size of the uapi structure.
fn info(line: usize, field: &'static str, text: Option<&str>, rec_size: u32) -> Result<Info, CaseError> {
    let bytes = optional(line, field, text)?.unwrap_or_default();
    Ok(Info { rec_size: if bytes.is_empty() { 0 } else { rec_size }, bytes })
}

/// Turns references by descriptor into references by index: in a case file both mean an index into `maps`.
/// What is no index is left as it is, for the kernel to complain about.
fn by_index(insns: &mut [Insn], maps: usize) {
    for insn in insns {
        if insn.is_ld_imm64() && usize::try_from(insn.imm).is_ok_and(|i| i < maps) {
            match insn.src {
                1 => insn.src = 5,
                2 => insn.src = 6,
                _ => {}
            }
        }
    }
}

/// Maps whose BTF is the program's are created with that: to the kernel, equal types of two BTF objects differ.
fn share_btf<'a>(maps: impl IntoIterator<Item = &'a mut MapSpec>, program: Option<&Arc<[u8]>>) {
    for map in maps {
        if map.btf.as_ref() == program {
            map.btf = None;
        }
        share_btf(map.inner.as_deref_mut(), program);
    }
}

impl RawMap {
    fn into_spec(self, line: usize) -> Result<MapSpec, CaseError> {
        let data = optional(line, "maps.data", self.data.as_deref())?;
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = data
            .map(|mut d| {
                d.resize(self.value_size as usize, 0);
                vec![(vec![0; self.key_size as usize], d)]
            })
            .unwrap_or_default();
        for entry in &self.entries {
            let key = bytes(line, "maps.entries.key", &entry.key)?;
            entries.push((key, bytes(line, "maps.entries.value", &entry.value)?));
        }
        Ok(MapSpec {
            map_type: number(line, "maps.type", &self.map_type, MapType, MapType::from_name)?,
            name: self.name,
            key_size: self.key_size,
            value_size: self.value_size,
            max_entries: self.max_entries,
            flags: self.flags,
            map_extra: self.map_extra,
            inner: self.inner.map(|m| m.into_spec(line).map(Box::new)).transpose()?,
            entries,
            slots: self.slots.iter().map(|s| (s.slot, Slot::Map(s.map))).collect(),
            frozen: self.frozen,
            btf: optional(line, "maps.btf", self.btf.as_deref())?.map(Arc::from),
            btf_key: self.btf_key,
            btf_value: self.btf_value,
            ..MapSpec::default()
        })
    }
}

impl RawCase {
    fn into_case(self, line: usize) -> Result<Case, CaseError> {
        let mut insns = crate::insns_from_hex(&self.insns).map_err(|e| CaseError::Field {
            line,
            field: "insns",
            why: e.to_string(),
        })?;
        let mut maps = self.maps.into_iter().map(|m| m.into_spec(line)).collect::<Result<Vec<_>, _>>()?;
        let btf: Option<Arc<[u8]>> = optional(line, "btf", self.btf.as_deref())?.map(Arc::from);
        share_btf(&mut maps, btf.as_ref());
        by_index(&mut insns, maps.len());
        let prog_type = match &self.prog_type {
            Some(v) => number(line, "prog_type", v, ProgType, ProgType::from_name)?,
            None => ProgType::SOCKET_FILTER,
        };
        let expected_attach_type = match &self.expected_attach_type {
            Some(v) => number(line, "expected_attach_type", v, AttachType, AttachType::from_name)?,
            None => AttachType(0),
        };
        let caps = self.caps.unwrap_or_else(|| "full".to_owned());
        if !["full", "capbpf", "none"].contains(&caps.as_str()) {
            return Err(CaseError::Field { line, field: "caps", why: format!("unknown set `{caps}`") });
        }
        let btf_refs: Vec<BtfRef> = self
            .btf_refs
            .into_iter()
            .filter_map(|r| {
                let kind = if r.kind == "kfunc" { BtfRefKind::Kfunc } else { BtfRefKind::Ksym };
                Some(BtfRef { insn: r.insn, kind, name: r.name?, weak: false })
            })
            .collect();
        let requirements = btf_refs.iter().map(|r| Requirement::KernelSymbol(r.name.clone())).collect();
        let program = Program {
            name: self.name.unwrap_or_else(|| self.id.clone()),
            prog_type,
            expected_attach_type,
            prog_flags: self.prog_flags,
            license: self.license.unwrap_or_else(|| "GPL".to_owned()),
            insns,
            maps: Arc::new(maps),
            btf,
            func_info: info(line, "func_info", self.func_info.as_deref(), 8)?,
            line_info: info(line, "line_info", self.line_info.as_deref(), 16)?,
            core_relos: info(line, "core_relos", self.core_relos.as_deref(), 16)?,
            btf_refs,
            requirements,
            attach_btf_id: self.attach_btf_id,
            attach_name: self.attach_name,
            ..Program::default()
        };
        Ok(Case {
            id: self.id,
            caps,
            mem: optional(line, "mem", self.mem.as_deref())?,
            data_in: optional(line, "data_in", self.data_in.as_deref())?,
            ctx_in: optional(line, "ctx_in", self.ctx_in.as_deref())?,
            program,
        })
    }
}
