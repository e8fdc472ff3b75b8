// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ELF file as the loader needs it: sections, symbols and relocations of a little-endian 64-bit relocatable
//! object for BPF, every offset checked against the file. Nothing is allocated by a size that the file merely
//! claims: `SHT_NOBITS` sections keep a number, all other contents are slices of the file.

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::section_header::{SHT_NOBITS, SHT_REL, SHT_RELA, SHT_SYMTAB};
use goblin::elf::sym::{STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_NOTYPE, STV_HIDDEN, STV_INTERNAL};
use goblin::elf::{Header, RelocSection, SectionHeader, Symtab, header, section_header};

use crate::{ObjectError, Problem};

/// Largest section taken, in bytes: the largest array map value that a kernel would take is below 2 GiB
/// (`array_map_alloc_check`), and a file of that size would not be read whole.
const MAX_SECTION: u64 = 1 << 30;

/// Most sections taken. clang makes a few dozen; `-ffunction-sections` thousands.
const MAX_SECTIONS: u64 = 1 << 16;

/// Longest name taken, in bytes: many symbols can share one long name.
const MAX_NAME: usize = 4096;

/// A section.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    pub index: usize,
    pub name: &'a str,
    pub kind: u32,
    pub flags: u64,
    /// Bytes in memory; equals `data.len()` but for `SHT_NOBITS`.
    pub size: u64,
    /// Contents; empty for `SHT_NOBITS`.
    pub data: &'a [u8],
    /// `sh_info`: the section that relocations apply to.
    pub info: usize,
}

impl Section<'_> {
    pub fn is_executable(&self) -> bool {
        self.flags & u64::from(section_header::SHF_EXECINSTR) != 0
    }

    /// An error in this section.
    pub fn error(&self, problem: Problem) -> ObjectError {
        ObjectError::from(problem).in_section(self.index, self.name)
    }
}

/// A symbol.
#[derive(Clone, Debug)]
pub(crate) struct Symbol<'a> {
    pub name: &'a str,
    pub value: u64,
    pub size: u64,
    /// Section index as written: may be special (`SHN_UNDEF`, `SHN_ABS`, `SHN_COMMON`).
    pub section: usize,
    pub bind: u8,
    pub kind: u8,
    pub visibility: u8,
}

impl Symbol<'_> {
    pub fn is_local(&self) -> bool {
        self.bind == STB_LOCAL
    }

    pub fn is_global(&self) -> bool {
        self.bind == STB_GLOBAL || self.bind == STB_WEAK
    }

    pub fn is_weak(&self) -> bool {
        self.bind == STB_WEAK
    }

    /// Global to the linker yet private to the object: treated as static by the verifier.
    pub fn is_hidden(&self) -> bool {
        self.visibility == STV_HIDDEN || self.visibility == STV_INTERNAL
    }

    /// libbpf's `sym_is_extern`.
    pub fn is_extern(&self) -> bool {
        self.section == 0 && self.is_global() && self.kind == STT_NOTYPE
    }
}

/// A relocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relocation {
    /// Offset in the section that it applies to.
    pub offset: u64,
    /// Index of the symbol.
    pub symbol: usize,
    /// `R_BPF_*`.
    pub kind: u32,
}

/// The file, read.
pub(crate) struct Elf<'a> {
    pub sections: Vec<Section<'a>>,
    pub symbols: Vec<Symbol<'a>>,
}

/// Names of machines that people feed to a BPF loader by mistake, and a word for all others.
fn machine_name(number: u16) -> &'static str {
    if number == 263 { "GNU BPF (unofficial)" } else { header::machine_to_str(number) }
}

/// Whether the file starts as ELF does.
pub(crate) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(header::ELFMAG)
}

fn damaged(what: &'static str, why: &goblin::error::Error) -> Problem {
    Problem::Damaged { what, why: why.to_string() }
}

/// The zero-terminated UTF-8 string at an offset of a string table; `None` where there is none, or one longer than
/// [`MAX_NAME`].
fn string_at(table: &[u8], offset: usize) -> Option<&str> {
    let rest = table.get(offset..)?;
    let rest = &rest[..rest.len().min(MAX_NAME + 1)];
    let end = rest.iter().position(|&b| b == 0)?;
    std::str::from_utf8(&rest[..end]).ok()
}

impl<'a> Elf<'a> {
    /// Reads the headers, the section table and the symbol table.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let header = check_header(bytes)?;
        let ctx = Ctx::new(Container::Big, Endian::Little);
        let file_size = bytes.len();
        let outside = |what| ObjectError::from(Problem::OutOfFile { what, file_size });

        let table = usize::try_from(header.e_shoff).map_err(|_| outside("the section table"))?;
        if table == 0 {
            return Err(Problem::NoSymbols.into());
        }
        let entry = SectionHeader::size(ctx);
        if usize::from(header.e_shentsize) != entry {
            return Err(Problem::Damaged {
                what: "ELF header",
                why: format!("section headers of {} bytes instead of {entry}", header.e_shentsize),
            }
            .into());
        }
        let read = |count: usize| {
            let end = count.checked_mul(entry).and_then(|n| n.checked_add(table));
            if end.is_none_or(|end| end > file_size) {
                return Err(outside("the section table"));
            }
            SectionHeader::parse(bytes, table, count, ctx).map_err(|e| damaged("section table", &e).into())
        };
        // With 0xff00 sections or more the first header holds the numbers (gABI, "extended section numbering").
        let first = read(1)?;
        let count = if header.e_shnum == 0 { first[0].sh_size } else { u64::from(header.e_shnum) };
        if count > MAX_SECTIONS {
            return Err(Problem::TooLarge {
                what: "the number of sections",
                size: count,
                limit: MAX_SECTIONS,
            }
            .into());
        }
        let headers = read(count as usize)?;
        let names = match header.e_shstrndx {
            0xffff => first[0].sh_link as usize,
            n => usize::from(n),
        };
        let names = headers.get(names).ok_or_else(|| {
            ObjectError::from(Problem::Damaged {
                what: "ELF header",
                why: format!("section names are said to be in section {names} of {count}"),
            })
        })?;
        let names = contents(bytes, names).ok_or_else(|| outside("the table of section names"))?;

        let mut sections = Vec::with_capacity(headers.len());
        for (index, sh) in headers.iter().enumerate() {
            let Some(name) = string_at(names, sh.sh_name) else {
                return Err(ObjectError::from(Problem::Damaged {
                    what: "section header",
                    why: format!("name at {:#x} of the string table is not there, or too long", sh.sh_name),
                })
                .in_section(index, "?"));
            };
            let data = if index == 0 {
                &[][..]
            } else {
                contents(bytes, sh)
                    .ok_or_else(|| outside("the contents of the section").in_section(index, name))?
            };
            let size = if index == 0 { 0 } else { sh.sh_size };
            let section = Section {
                index,
                name,
                kind: sh.sh_type,
                flags: sh.sh_flags,
                size,
                data,
                info: sh.sh_info as usize,
            };
            if size > MAX_SECTION {
                return Err(section.error(Problem::TooLarge {
                    what: "the section, in bytes,",
                    size,
                    limit: MAX_SECTION,
                }));
            }
            sections.push(section);
        }
        // Sections of a real object do not overlap; those of a hostile one could multiply it.
        if sections.iter().map(|s| s.data.len()).sum::<usize>() > 2 * file_size {
            return Err(Problem::Damaged { what: "section table", why: "sections overlap".to_owned() }.into());
        }
        let symbols = read_symbols(bytes, &headers, &sections, ctx)?;
        Ok(Elf { sections, symbols })
    }

    /// A section by name.
    pub fn section(&self, name: &str) -> Option<&Section<'a>> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// The relocations of one `SHT_REL` section.
    pub fn relocations(&self, section: &Section<'a>) -> Result<Vec<Relocation>, ObjectError> {
        if section.kind == SHT_RELA {
            return Err(section.error(Problem::Relocation(
                "records with addends (SHT_RELA) are not what BPF uses; the object is not from clang or gcc"
                    .into(),
            )));
        }
        let ctx = Ctx::new(Container::Big, Endian::Little);
        let records = RelocSection::parse(section.data, 0, section.data.len(), false, ctx)
            .map_err(|e| section.error(damaged("relocations", &e)))?;
        Ok(records
            .iter()
            .map(|r| Relocation { offset: r.r_offset, symbol: r.r_sym, kind: r.r_type })
            .collect())
    }

    /// The sections of relocations that apply to `target`.
    pub fn relocation_sections(&self, target: usize) -> impl Iterator<Item = &Section<'a>> {
        self.sections.iter().filter(move |s| matches!(s.kind, SHT_REL | SHT_RELA) && s.info == target)
    }

    /// A symbol for a message: its name, or that of its section.
    pub fn symbol_name(&self, symbol: &Symbol<'a>) -> &'a str {
        if symbol.name.is_empty() {
            self.sections.get(symbol.section).map_or("", |s| s.name)
        } else {
            symbol.name
        }
    }
}

fn check_header(bytes: &[u8]) -> Result<Header, ObjectError> {
    if !is_elf(bytes) {
        return Err(Problem::NotElf.into());
    }
    // The class and byte order come first: the rest of the header is read by them.
    match bytes.get(header::EI_CLASS) {
        Some(&header::ELFCLASS64) => {}
        Some(&header::ELFCLASS32) => return Err(Problem::Class32.into()),
        _ => {
            return Err(
                Problem::Damaged { what: "ELF header", why: "neither 32 nor 64 bits".to_owned() }.into()
            );
        }
    }
    match bytes.get(header::EI_DATA) {
        Some(&header::ELFDATA2LSB) => {}
        Some(&header::ELFDATA2MSB) => return Err(Problem::BigEndian.into()),
        _ => {
            return Err(Problem::Damaged {
                what: "ELF header",
                why: "neither little nor big-endian".to_owned(),
            }
            .into());
        }
    }
    if bytes.len() < header::header64::SIZEOF_EHDR {
        return Err(Problem::OutOfFile { what: "the ELF header", file_size: bytes.len() }.into());
    }
    let header = goblin::elf::Elf::parse_header(bytes).map_err(|e| damaged("ELF header", &e))?;
    // Old clang left the machine at EM_NONE.
    if header.e_machine != header::EM_BPF && header.e_machine != header::EM_NONE {
        return Err(
            Problem::Machine { number: header.e_machine, name: machine_name(header.e_machine) }.into()
        );
    }
    if header.e_type != header::ET_REL {
        return Err(Problem::FileType(header::et_to_str(header.e_type)).into());
    }
    Ok(header)
}

/// The bytes of a section in the file; `None` where they lie outside.
fn contents<'a>(bytes: &'a [u8], sh: &SectionHeader) -> Option<&'a [u8]> {
    if sh.sh_type == SHT_NOBITS || sh.sh_type == section_header::SHT_NULL {
        return Some(&[]);
    }
    let start = usize::try_from(sh.sh_offset).ok()?;
    let size = usize::try_from(sh.sh_size).ok()?;
    bytes.get(start..start.checked_add(size)?)
}

fn read_symbols<'a>(
    bytes: &'a [u8],
    headers: &[SectionHeader],
    sections: &[Section<'a>],
    ctx: Ctx,
) -> Result<Vec<Symbol<'a>>, ObjectError> {
    let mut tables = sections.iter().filter(|s| s.kind == SHT_SYMTAB);
    let table = tables.next().ok_or(Problem::NoSymbols)?;
    if let Some(second) = tables.next() {
        return Err(second.error(Problem::Damaged {
            what: "symbol table",
            why: "the object has more than one".to_owned(),
        }));
    }
    let link = headers[table.index].sh_link as usize;
    let names = sections.get(link).filter(|s| s.kind == section_header::SHT_STRTAB).ok_or_else(|| {
        table.error(Problem::Damaged {
            what: "symbol table",
            why: format!("its names are said to be in section {link}, which is no string table"),
        })
    })?;
    let count = table.data.len() / goblin::elf64::sym::SIZEOF_SYM;
    let raw = Symtab::parse(bytes, headers[table.index].sh_offset as usize, count, ctx)
        .map_err(|e| table.error(damaged("symbol table", &e)))?;
    raw.iter()
        .enumerate()
        .map(|(i, s)| {
            let name = string_at(names.data, s.st_name).ok_or_else(|| {
                table
                    .error(Problem::Damaged {
                        what: "symbol",
                        why: format!(
                            "name at {:#x} of the string table is not there, or too long",
                            s.st_name
                        ),
                    })
                    .at((i * goblin::elf64::sym::SIZEOF_SYM) as u64)
            })?;
            Ok(Symbol {
                name,
                value: s.st_value,
                size: s.st_size,
                section: s.st_shndx,
                bind: s.st_bind(),
                kind: s.st_type(),
                visibility: s.st_visibility(),
            })
        })
        .collect()
}
