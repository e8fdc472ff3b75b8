// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the bytes of an ELF file to an [`Object`], in the order of libbpf's `bpf_object_open` and
//! `bpf_object_load`: sections and functions, BTF, externs, fix-ups, maps, relocations, stitching.

use std::collections::HashMap;
use std::sync::Arc;

use skep_program::btf::{Btf, BtfExt};
use skep_program::{Object, Program, Requirement};
use skep_uapi::ProgType;

use crate::elf::Elf;
use crate::ext_info::ExtInfo;
use crate::externs::Externs;
use crate::functions::Functions;
use crate::maps::Maps;
use crate::stitch::{Stitcher, exception_callbacks};
use crate::{ObjectError, Problem, fixup, relocate, section_type};

/// Bytes of a license that libbpf keeps, the final zero included.
const LICENSE_LEN: usize = 64;

/// Loads an object that clang, gcc, `bpftool gen object` or [`crate::write`] made.
///
/// Programs come in the order of sections and offsets, each with the subprograms that it reaches. A program in a
/// section of unknown name has the type [`ProgType::UNSPEC`]. One in a section whose name starts with `?` is
/// loaded as any other, though libbpf would only load it when asked to.
///
/// # Errors
/// [`ObjectError`]: what is wrong in which section.
pub fn load(bytes: &[u8]) -> Result<Object, ObjectError> {
    let elf = Elf::parse(bytes)?;
    let functions = Functions::collect(&elf)?;
    let mut btf = match elf.section(".BTF") {
        Some(s) => Some(Btf::parse(s.data).map_err(|e| s.error(Problem::Btf(e)))?),
        None => None,
    };
    let externs = Externs::collect(&elf, btf.as_mut())?;
    if let Some(btf) = &mut btf {
        fixup::data_sections(&elf, btf)?;
    }
    let mut maps = Maps::collect(&elf, btf.as_ref(), externs.kconfig_size)?;
    let targets = relocate::collect(&elf, &functions, &maps, &externs)?;
    let ext = match (&btf, elf.section(".BTF.ext")) {
        (Some(btf), Some(s)) => {
            let ext = BtfExt::parse(s.data).map_err(|e| s.error(Problem::Btf(e)))?;
            ExtInfo::cut(&ext, btf, &elf, &functions)?
        }
        _ => ExtInfo::default(),
    };
    let mut callbacks = HashMap::new();
    if let Some(btf) = &mut btf {
        maps.collect_slots(&elf, btf, &functions)?;
        callbacks = exception_callbacks(btf);
        fixup::hidden_functions(&functions, btf);
    }
    let common = Program {
        license: license(&elf),
        kern_version: kern_version(&elf)?,
        btf: btf.map(|b| Arc::from(b.to_bytes())),
        maps: Arc::new(std::mem::take(&mut maps.specs)),
        ..Program::default()
    };
    let mut stitcher = Stitcher {
        elf: &elf,
        functions: &functions,
        targets: &targets,
        externs: &externs,
        maps: &maps,
        ext: &ext,
        callbacks,
        budget: Stitcher::BUDGET,
    };
    let mut programs = Vec::new();
    let mut made: HashMap<usize, usize> = HashMap::new();
    for entry in (0..functions.all.len()).filter(|&i| !functions.is_subprog(i)) {
        let section = elf.sections[functions.all[entry].section].name;
        let mut program = stitcher.program(entry)?;
        program.license.clone_from(&common.license);
        program.kern_version = common.kern_version;
        program.btf.clone_from(&common.btf);
        program.maps = Arc::clone(&common.maps);
        section_type::assign(&mut program, section);
        made.insert(entry, programs.len());
        programs.push(program);
    }
    for used in &maps.struct_ops {
        if let Some(program) = made.get(&used.program).and_then(|&i| programs.get_mut(i))
            && program.prog_type == ProgType::STRUCT_OPS
            && program.attach_name.is_none()
        {
            program.attach_name = Some(used.target.clone());
            program.requirements.push(Requirement::AttachTarget(used.target.clone()));
        }
    }
    Ok(Object { programs, maps: common.maps })
}

/// The license: up to the first zero byte, 63 bytes at most.
fn license(elf: &Elf<'_>) -> String {
    let data = elf.section("license").map_or(&[][..], |s| s.data);
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len()).min(LICENSE_LEN - 1);
    String::from_utf8_lossy(&data[..end]).into_owned()
}

/// The kernel version that the program was built for, from before the kernel ignored it.
fn kern_version(elf: &Elf<'_>) -> Result<u32, ObjectError> {
    let Some(section) = elf.section("version") else { return Ok(0) };
    match section.data.as_array::<4>() {
        Some(bytes) => Ok(u32::from_le_bytes(*bytes)),
        None => Err(section.error(Problem::Damaged {
            what: "kernel version",
            why: format!("{} bytes instead of 4", section.data.len()),
        })),
    }
}
