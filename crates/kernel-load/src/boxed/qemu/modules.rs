// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel's modules: which files a module needs, in the order in which they load.
//!
//! The order is that of the modules' own words (`depends=` in `.modinfo`), not that of `modules.dep`: the latter is
//! made when a package is installed, and ours are only unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::ImageError;
use super::unpack::Format;

/// The list of modules that are part of the image.
pub(super) const BUILTIN: &str = "modules.builtin";
/// How deep directories of modules are looked into; the kernel's own tree has seven levels.
const DEPTH: u32 = 16;

/// A module, unpacked.
#[derive(Debug)]
pub(super) struct Module {
    pub name: String,
    pub file: PathBuf,
    pub bytes: Vec<u8>,
}

/// The modules of one release.
#[derive(Debug)]
pub(super) struct Modules {
    folder: PathBuf,
    /// Those that are part of the image.
    builtin: BTreeSet<String>,
    files: BTreeMap<String, PathBuf>,
}

impl Modules {
    /// Those of `lib/modules/RELEASE`.
    pub fn of(folder: &Path) -> Modules {
        let builtin = fs::read_to_string(folder.join(BUILTIN)).unwrap_or_default();
        let builtin = builtin.lines().filter_map(|line| name_of(Path::new(line))).collect();
        let mut files = BTreeMap::new();
        collect(folder, DEPTH, &mut files);
        Modules { folder: folder.to_owned(), builtin, files }
    }

    /// These modules and all that they need, each after what it needs; built-in ones are left out.
    pub fn in_load_order(&self, names: &[&str]) -> Result<Vec<Module>, ImageError> {
        let mut order = Vec::new();
        let mut known = BTreeSet::new();
        for name in names {
            self.load(name, &mut known, &mut order)?;
        }
        Ok(order)
    }

    fn load(
        &self,
        name: &str,
        known: &mut BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> Result<(), ImageError> {
        if self.builtin.contains(name) || !known.insert(name.to_owned()) {
            return Ok(());
        }
        let missing = || ImageError::NoModule { name: name.to_owned(), folder: self.folder.clone() };
        let file = self.files.get(name).ok_or_else(missing)?;
        let damaged = |why: String| ImageError::Damaged(file.clone(), why);
        let bytes = fs::read(file).map_err(|e| ImageError::Unreadable(file.clone(), e))?;
        let bytes = match Format::of(&bytes) {
            Some(format) => format.unpack(&bytes).map_err(damaged)?,
            None => bytes,
        };
        for needed in depends(&bytes).map_err(damaged)? {
            self.load(&needed, known, order)?;
        }
        order.push(Module { name: name.to_owned(), file: file.clone(), bytes });
        Ok(())
    }
}

fn collect(folder: &Path, depth: u32, files: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        // `build` and `source` are links to sources.
        if kind.is_dir() && depth > 0 {
            collect(&path, depth - 1, files);
        } else if let Some(name) = name_of(&path) {
            files.insert(name, path);
        }
    }
}

/// The name of a module by its file, `virtio-rng.ko.xz`: the kernel takes `-` and `_` for the same.
fn name_of(path: &Path) -> Option<String> {
    let (name, suffix) = path.file_name().and_then(OsStr::to_str)?.split_once(".ko")?;
    matches!(suffix, "" | ".xz" | ".zst" | ".gz").then(|| name.replace('-', "_"))
}

/// What a module says that it needs.
fn depends(module: &[u8]) -> Result<Vec<String>, String> {
    let elf = goblin::elf::Elf::parse(module).map_err(|e| format!("it is no module ({e})"))?;
    let is_modinfo = |s: &&goblin::elf::SectionHeader| elf.shdr_strtab.get_at(s.sh_name) == Some(".modinfo");
    let range = elf.section_headers.iter().find(is_modinfo).and_then(|s| s.file_range());
    let modinfo = range.and_then(|range| module.get(range)).ok_or("it has no section .modinfo")?;
    let list = modinfo.split(|&b| b == 0).find_map(|field| field.strip_prefix(b"depends="));
    let list = std::str::from_utf8(list.unwrap_or_default()).map_err(|e| e.to_string())?;
    Ok(list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A module that is nothing but its `.modinfo`.
    pub(crate) fn module(depends: &str) -> Vec<u8> {
        let modinfo = format!("license=GPL\0depends={depends}\0name=x\0");
        let names = b"\0.modinfo\0.shstrtab\0";
        let (at, names_at) = (64, 64 + modinfo.len());
        let sections = (names_at + names.len()).next_multiple_of(8);
        let mut elf = vec![0; 64];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let mut put = |offset: usize, bytes: &[u8]| elf[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(16, &[1, 0, 62, 0, 1]);
        put(40, &(sections as u64).to_le_bytes());
        put(52, &64_u16.to_le_bytes());
        put(58, &[64, 0, 3, 0, 2, 0]);
        elf.extend(modinfo.bytes());
        elf.extend(names);
        elf.resize(sections + 64, 0);
        for (name, offset, size) in [(1_u32, at, modinfo.len()), (10, names_at, names.len())] {
            let kind: u32 = if name == 1 { 1 } else { 3 };
            elf.extend([name.to_le_bytes(), kind.to_le_bytes()].concat());
            let fields = [0, 0, offset, size, 0, 1, 0];
            elf.extend(fields.iter().flat_map(|f| (*f as u64).to_le_bytes()));
        }
        elf
    }

    /// A directory of modules: name of the file, and what it needs.
    pub(crate) fn folder_of(modules: &[(&str, &str)], builtin: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join(BUILTIN), builtin).expect("written");
        for (file, needed) in modules {
            let path = folder.path().join("kernel/drivers").join(file);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, module(needed)).expect("written");
        }
        folder
    }

    #[test]
    fn loads_what_is_needed_first() {
        let folder = folder_of(
            &[
                ("virtio/virtio.ko", "virtio_ring"),
                ("virtio/virtio_ring.ko", ""),
                ("virtio/virtio_pci.ko", "virtio_ring,virtio-pci-modern-dev,virtio"),
                ("virtio/virtio_pci_modern_dev.ko", ""),
                ("char/virtio-console.ko", "virtio,virtio_ring,hvc"),
            ],
            "kernel/drivers/tty/hvc.ko\nkernel/fs/fuse/virtiofs.ko\n",
        );
        let modules = Modules::of(folder.path());
        let order = |names: &[&str]| -> Result<Vec<String>, String> {
            let found = modules.in_load_order(names).map_err(|e| e.to_string())?;
            Ok(found.into_iter().map(|m| m.name).collect())
        };
        let expected = ["virtio_ring", "virtio_pci_modern_dev", "virtio", "virtio_pci", "virtio_console"];
        assert_eq!(order(&["virtio_pci", "virtio_console"]).expect("found"), expected);
        assert_eq!(order(&["hvc", "virtiofs"]).expect("built in"), [""; 0]);
        let error = order(&["nf_nat"]).expect_err("none");
        assert!(error.contains("`nf_nat`"), "{error}");
    }

    #[test]
    fn circles_end_and_damage_is_named() {
        let folder = folder_of(&[("a.ko", "b"), ("b.ko", "a")], "");
        assert_eq!(Modules::of(folder.path()).in_load_order(&["a"]).expect("found").len(), 2);
        fs::write(folder.path().join("kernel/drivers/c.ko.xz"), "junk").expect("written");
        fs::write(folder.path().join("kernel/drivers/d.ko"), b"\xfd7zXZ\0junk").expect("written");
        for name in ["c", "d"] {
            let error = Modules::of(folder.path()).in_load_order(&[name]).expect_err("bad").to_string();
            assert!(error.contains("is damaged"), "{error}");
        }
    }
}
