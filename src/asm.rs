// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep asm`: text (or any other input) to bytes.

use std::path::{Path, PathBuf};

use skep_program::Program;

use crate::case_json::case_json;
use crate::input::InputArgs;
use crate::report::{Failure, Result, Verdict, print};

/// Assemble a program and write it as an ELF object, raw bytes, hex, JSON or C
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep asm filter.s -o filter.o          an ELF object that libbpf loads
  skep asm filter.s --format hex         to standard output
  skep asm filter.s -p main --format c   one program as a C array of struct bpf_insn")]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// File to write; without it, or with `-`, standard output
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    output: Option<PathBuf>,

    /// What to write; by default by the name of OUT, else hex
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Answer in JSON (the same as `--format json`)
    #[arg(short = 'j', long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Instructions, 8 bytes each, little-endian
    Raw,
    /// ELF object with maps, data and BTF, for libbpf
    Elf,
    /// Instructions in hex, one a line
    Hex,
    /// A case: the program with all that a load needs
    Json,
    /// C array of `struct bpf_insn`
    C,
}

impl Args {
    fn format(&self) -> Format {
        if let Some(format) = self.format {
            return format;
        }
        if self.json {
            return Format::Json;
        }
        match self.output.as_deref().and_then(Path::extension).and_then(|e| e.to_str()) {
            Some("o" | "elf") => Format::Elf,
            Some("bin" | "raw") => Format::Raw,
            Some("json" | "jsonl") => Format::Json,
            Some("c" | "h") => Format::C,
            _ => Format::Hex,
        }
    }
}

pub fn main(args: &Args) -> Result<Verdict> {
    let object = args.input.object()?;
    let format = args.format();
    let bytes = match format {
        Format::Elf => {
            let mut chosen = object.clone();
            if args.input.prog.is_some() {
                let one = args.input.one(&object)?;
                chosen.programs = vec![object.programs[one].clone()];
            }
            skep_object::write(&chosen).map_err(|e| Failure::new(format_args!("cannot write ELF: {e}")))?
        }
        Format::Raw => object.programs[args.input.one(&object)?].bytes(),
        Format::Hex => hex_lines(&object.programs[args.input.one(&object)?]).into_bytes(),
        Format::C => {
            let chosen = args.input.selected(&object)?;
            chosen.iter().map(|&i| c_array(&object.programs[i])).collect::<Vec<_>>().join("\n").into_bytes()
        }
        Format::Json => {
            let chosen = args.input.selected(&object)?;
            let lines = chosen.iter().map(|&i| Ok(case_json(&object, i)?.to_string() + "\n"));
            lines.collect::<Result<String>>()?.into_bytes()
        }
    };
    match args.output.as_deref().filter(|p| *p != Path::new("-")) {
        Some(path) => std::fs::write(path, bytes)
            .map_err(|e| Failure::new(format_args!("cannot write `{}`: {e}", path.display())))?,
        None => match String::from_utf8(bytes) {
            Ok(text) if format != Format::Raw => print(&text),
            Ok(text) => write_binary(text.as_bytes())?,
            Err(e) => write_binary(e.as_bytes())?,
        },
    }
    Ok(Verdict::Yes)
}

/// Binary goes to files and pipes, not onto a terminal.
fn write_binary(bytes: &[u8]) -> Result<()> {
    use std::io::{IsTerminal, Write};
    if std::io::stdout().is_terminal() {
        return Err(Failure::new("will not write binary to a terminal; name a file with -o"));
    }
    let _ = std::io::stdout().lock().write_all(bytes);
    Ok(())
}

fn hex_lines(program: &Program) -> String {
    program.insns.iter().map(|i| hex::encode(i.to_bytes()) + "\n").collect()
}

fn c_array(program: &Program) -> String {
    let name: String =
        program.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let mut text = format!("static const struct bpf_insn {name}[] = {{\n");
    for i in &program.insns {
        text += &format!(
            "\t{{ .code = 0x{:02x}, .dst_reg = {}, .src_reg = {}, .off = {}, .imm = {} }},\n",
            i.code, i.dst, i.src, i.off, i.imm
        );
    }
    text + "};\n"
}
