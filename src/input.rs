// SPDX-License-Identifier: MIT OR Apache-2.0
//! What subcommands read: one file of any format, told apart by content, becomes an [`Object`].

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_program::{Case, Object, Program};
use skep_uapi::{AttachType, ProgType};

use crate::report::{Failure, Result, colours};

/// Bytes that an input may have. Larger files are refused before they are read.
const MAX_INPUT: u64 = 256 << 20;

/// Bytes of the packet that a packet program gets when none is given.
pub use skep_kernel_load::EMPTY_PACKET;
/// What is said then.
pub const EMPTY_PACKET_NOTE: &str = "no packet given: running on 64 zero bytes";

/// The arguments that choose what is read.
#[derive(clap::Args, Debug)]
pub struct InputArgs {
    /// Program to read; `-` is standard input
    #[arg(value_name = "IN")]
    pub path: PathBuf,

    /// Take only the program of this name (or section) of an object
    #[arg(short = 'p', long = "prog", value_name = "NAME")]
    pub prog: Option<String>,

    /// Program type: a section name as libbpf knows it (`xdp`, `kprobe/x`), a word of bpftool's, or a name
    /// of `enum bpf_prog_type`
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub prog_type: Option<String>,
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ELF object.
    Elf,
    /// Assembler text.
    Text,
    /// Raw instructions.
    Raw,
    /// Instructions in hex.
    Hex,
    /// Case file, JSON lines.
    Cases,
}

/// The format of some bytes.
pub fn format_of(bytes: &[u8]) -> Format {
    if skep_object::is_elf(bytes) {
        return Format::Elf;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Format::Raw };
    let text = without_mark(text);
    if text.contains('\0') {
        return Format::Raw;
    }
    if text.trim_start().starts_with('{') {
        return Format::Cases;
    }
    let mut digits = 0;
    let hex = text.bytes().all(|b| {
        digits += usize::from(b.is_ascii_hexdigit());
        b.is_ascii_hexdigit() || b.is_ascii_whitespace()
    });
    if hex && digits > 0 && digits % 16 == 0 { Format::Hex } else { Format::Text }
}

/// Reads a file or standard input whole.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let fail = |e: std::io::Error| Failure::new(format_args!("cannot read `{name}`: {}", words(&e)));
    let mut bytes = Vec::new();
    let mut limited: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock().take(MAX_INPUT + 1))
    } else {
        let file = File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        if meta.is_dir() {
            return Err(Failure::new(format_args!("cannot read `{name}`: it is a directory, not a file")));
        }
        if meta.len() > MAX_INPUT {
            return Err(too_large(path));
        }
        Box::new(file.take(MAX_INPUT + 1))
    };
    limited.read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(too_large(path));
    }
    Ok(bytes)
}

/// What went wrong with a file, without the number that only programmers read.
fn words(e: &std::io::Error) -> String {
    let text = e.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

fn too_large(path: &Path) -> Failure {
    Failure::new(format_args!(
        "`{}` is larger than {} MiB, the most that skep reads",
        path.display(),
        MAX_INPUT >> 20
    ))
}

/// The file's name as messages show it.
fn shown(path: &Path) -> String {
    if path == Path::new("-") { "<stdin>".to_owned() } else { path.display().to_string() }
}

/// Name for a program that has none in its file.
fn stem(path: &Path) -> String {
    path.file_stem()
        .filter(|s| *s != "-")
        .map_or_else(|| "main".to_owned(), |s| s.to_string_lossy().into_owned())
}

/// The type and attach type that `-t` names.
pub fn parse_type(word: &str) -> Result<(ProgType, AttachType)> {
    skep_uapi::section::parse_type(word).ok_or_else(|| {
        let near = skep_uapi::section::suggest_type(word);
        let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        Failure::new(format_args!("unknown program type `{word}`{hint}"))
    })
}

impl InputArgs {
    /// Reads the input and applies `-t`. With `-p` the object still has all programs, since tail calls may
    /// need them: [`InputArgs::selected`] says which are meant.
    pub fn object(&self) -> Result<Object> {
        let bytes = read(&self.path)?;
        let name = shown(&self.path);
        if bytes.is_empty() {
            return Err(Failure::new(format_args!("`{name}` is empty: there is no program in it")));
        }
        let given = self.prog_type.as_deref().map(parse_type).transpose()?;
        let mut object = match format_of(&bytes) {
            Format::Elf => {
                skep_object::load(&bytes).map_err(|e| Failure::new(format_args!("`{name}`: {e}")))?
            }
            Format::Text => assemble(&bytes, &name, given)?,
            Format::Raw => bare(
                skep_program::insns_from_bytes(&bytes)
                    .map_err(|e| Failure::new(format_args!("`{name}` is neither ELF nor text, and {e}")))?,
                stem(&self.path),
            ),
            Format::Hex => bare(
                skep_program::insns_from_hex(&String::from_utf8_lossy(&bytes))
                    .map_err(|e| Failure::new(format_args!("`{name}`: {e}")))?,
                stem(&self.path),
            ),
            Format::Cases => from_cases(&parse_cases(&bytes, &name)?),
        };
        if let Some((prog_type, attach)) = given {
            for program in &mut object.programs {
                program.prog_type = prog_type;
                program.expected_attach_type = attach;
            }
        }
        if object.programs.is_empty() {
            return Err(Failure::new(format_args!("`{name}` has no program in it")));
        }
        Ok(object)
    }

    /// Indices of the programs that are meant: the one of `-p`, else all.
    pub fn selected(&self, object: &Object) -> Result<Vec<usize>> {
        let Some(wanted) = &self.prog else { return Ok((0..object.programs.len()).collect()) };
        let found =
            object.program(wanted).and_then(|p| object.programs.iter().position(|q| std::ptr::eq(p, q)));
        match found {
            Some(i) => Ok(vec![i]),
            None => {
                let names: Vec<&str> = object.programs.iter().map(|p| p.name.as_str()).collect();
                Err(Failure::new(format_args!(
                    "no program `{wanted}` in `{}`; it has: {}",
                    shown(&self.path),
                    names.join(", ")
                )))
            }
        }
    }

    /// The one program that is meant.
    pub fn one(&self, object: &Object) -> Result<usize> {
        match self.selected(object)?.as_slice() {
            [one] => Ok(*one),
            many => {
                let names: Vec<&str> = many.iter().map(|&i| object.programs[i].name.as_str()).collect();
                Err(Failure::new(format_args!(
                    "`{}` has {} programs; choose one with -p: {}",
                    shown(&self.path),
                    many.len(),
                    names.join(", ")
                )))
            }
        }
    }
}

/// Text without the byte-order mark that some editors put before it.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads a case file.
pub fn cases(path: &Path) -> Result<Vec<Case>> {
    parse_cases(&read(path)?, &shown(path))
}

/// Reads a case file; each case with its line.
pub fn case_lines(path: &Path) -> Result<Vec<(String, Case)>> {
    let bytes = read(path)?;
    let cases = parse_cases(&bytes, &shown(path))?;
    // It is UTF-8, or there would be no cases.
    let text = String::from_utf8_lossy(&bytes);
    let lines = without_mark(&text).lines().filter(|l| !l.trim().is_empty());
    Ok(lines.map(str::to_owned).zip(cases).collect())
}

fn parse_cases(bytes: &[u8], name: &str) -> Result<Vec<Case>> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Failure::new(format_args!("`{name}` is not UTF-8 at byte {}", e.valid_up_to())))?;
    Case::parse_all(without_mark(text)).map_err(|e| Failure::new(format_args!("`{name}`: {e}")))
}

/// The programs of a case file as one object, each with maps of its own.
fn from_cases(cases: &[Case]) -> Object {
    let mut maps = Vec::new();
    let mut programs: Vec<Program> = Vec::new();
    for case in cases {
        let mut program = case.program.clone();
        program.name.clone_from(&case.id);
        let base = i32::try_from(maps.len()).unwrap_or(i32::MAX);
        maps.extend(program.maps.iter().cloned());
        for insn in program.insns.iter_mut().filter(|i| i.is_ld_imm64() && matches!(i.src, 5 | 6)) {
            insn.imm = insn.imm.saturating_add(base);
        }
        programs.push(program);
    }
    let maps = Arc::new(maps);
    for program in &mut programs {
        program.maps = Arc::clone(&maps);
    }
    Object { programs, maps }
}

fn bare(insns: Vec<skep_isa::Insn>, name: String) -> Object {
    Object::single(Program {
        name,
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".to_owned(),
        insns,
        ..Program::default()
    })
}

/// Assembles text, or says everything that is wrong with it.
fn assemble(bytes: &[u8], name: &str, given: Option<(ProgType, AttachType)>) -> Result<Object> {
    let text = String::from_utf8_lossy(bytes);
    let mut options = skep_asm::Options::default();
    if let Some((prog_type, attach_type)) = given {
        options.prog_type = prog_type;
        options.attach_type = attach_type;
        let section = skep_uapi::section::name_for(prog_type, attach_type);
        options.section = section.unwrap_or_default().to_owned();
    }
    skep_asm::assemble(&text, &options).map_err(|d| Failure::rendered(d.render(name, &text, colours())))
}
