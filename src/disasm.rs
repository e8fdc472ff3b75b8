// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep disasm`: any input to text that assembles back to the same bytes.

mod native;

use skep_asm::disasm::{DisasmOptions, Names, Style, Targets, disassemble_object, print_insn};
use skep_program::{Object, Program};

use crate::input::InputArgs;
use crate::report::{Result, Verdict, print};

/// Print a program as text that assembles back to the same bytes
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep disasm filter.o                       as the kernel's log prints it
  skep disasm filter.o -p main --style llvm  as llvm-objdump prints it
  skep disasm filter.o -p main --native      with the JIT's machine code of each instruction
  echo 'b700000005000000 9500000000000000' | skep disasm -")]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// How instructions are written
    #[arg(long, value_parser = ["kernel", "llvm", "mnemonic"], default_value = "kernel")]
    style: String,

    /// Show the bytes of each instruction
    #[arg(long)]
    raw: bool,

    /// Write jumps as distances, with a number before each instruction, instead of labels
    #[arg(long)]
    offsets: bool,

    /// Show the machine code that the JIT makes of each instruction
    #[arg(long, conflicts_with = "offsets")]
    native: bool,

    /// Answer in JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

pub fn main(args: &Args) -> Result<Verdict> {
    let object = args.input.object()?;
    let chosen = args.input.selected(&object)?;
    let style: Style = args.style.parse().unwrap_or_default();
    if args.native {
        for index in chosen {
            let parts = native::parts(&object, index, style)?;
            if args.json {
                println!("{}", native_json(&object.programs[index], &parts));
            } else {
                print(&format!("{}:\n{}", object.programs[index].name, native::text(&parts, args.raw)));
            }
        }
        return Ok(Verdict::Yes);
    }
    if args.json {
        let programs: Vec<_> = chosen.iter().map(|&i| json(&object.programs[i], style)).collect();
        println!("{}", serde_json::json!(programs));
        return Ok(Verdict::Yes);
    }
    let shown = Object {
        programs: chosen.iter().map(|&i| object.programs[i].clone()).collect(),
        maps: object.maps.clone(),
    };
    let targets = if args.offsets { Targets::Offsets } else { Targets::Labels };
    print(&disassemble_object(&shown, &DisasmOptions { style, targets, raw: args.raw, source: None }));
    Ok(Verdict::Yes)
}

/// What a program's instructions refer to, by name.
struct ProgramNames<'a>(&'a Program);

impl Names for ProgramNames<'_> {
    fn target(&self, slot: usize) -> Option<&str> {
        self.0.functions.iter().find(|f| f.start == slot).map(|f| f.name.as_str())
    }

    fn map(&self, index: usize) -> Option<&str> {
        self.0.maps.get(index).map(|m| m.name.as_str()).filter(|name| !name.is_empty())
    }

    fn kernel_symbol(&self, at: usize) -> Option<&str> {
        self.0.btf_refs.iter().find(|r| r.insn == at).map(|r| r.name.as_str())
    }

    fn spell_pseudo(&self) -> bool {
        true
    }
}

fn native_json(program: &Program, parts: &[native::Part]) -> serde_json::Value {
    let parts = parts.iter().map(|part| {
        let lines = part.lines.iter().map(|line| {
            serde_json::json!({ "offset": line.offset, "bytes": hex::encode(&line.bytes), "text": line.text })
        });
        serde_json::json!({
            "slot": part.insn.as_ref().map(|(slot, _)| slot),
            "insn": part.insn.as_ref().map(|(_, text)| text),
            "native": lines.collect::<Vec<_>>(),
        })
    });
    serde_json::json!({ "name": program.name, "native": parts.collect::<Vec<_>>() })
}

fn json(program: &Program, style: Style) -> serde_json::Value {
    let mut insns = Vec::new();
    let mut at = 0;
    while let Some(insn) = program.insns.get(at) {
        let slots = skep_isa::slots(*insn).min(program.insns.len() - at);
        let mut text = String::new();
        // A String takes everything that is written to it.
        let _ = print_insn(&mut text, style, &program.insns, at, &ProgramNames(program));
        let bytes: Vec<u8> = program.insns[at..at + slots].iter().flat_map(|i| i.to_bytes()).collect();
        insns.push(serde_json::json!({ "slot": at, "bytes": hex::encode(bytes), "text": text }));
        at += slots;
    }
    serde_json::json!({
        "name": program.name,
        "section": program.section,
        "prog_type": program.prog_type.to_string(),
        "hash": program.hash(),
        "insns": insns,
    })
}
