// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `skep` command: one file per subcommand, [`input`] for what they read, [`report`] for how they answer.
//!
//! Exit codes are a contract: 0 accepted or equal, 1 rejected or different, 2 usage, unreadable input or
//! something that is not available here, and it says why.

mod asm;
mod capture;
mod case_json;
mod diff;
mod disasm;
mod fuzz;
mod input;
mod kernel;
mod kernels;
mod load;
mod record;
mod report;
mod run;
mod verifier;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const AFTER_HELP: &str = "\
IN is a file or `-` for standard input. Its format is found by content: ELF object, assembler text, raw \
instructions, hex, or a case file (JSON lines).

Exit codes: 0 accepted or equal, 1 rejected or different, 2 usage error, unreadable input, or not available \
here.";

/// eBPF held away from the kernel: assemble, run and compare BPF programs without root.
#[derive(Parser)]
#[command(name = "skep", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Asm(asm::Args),
    Disasm(disasm::Args),
    Verify(verify::Args),
    Run(run::Args),
    Load(load::Args),
    Diff(diff::Args),
    Record(record::Args),
    Fuzz(fuzz::Args),
    Kernels(kernels::Args),
}

fn main() -> ExitCode {
    skep_kernel_load::take_over_if_asked();
    reset_sigpipe();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let (json, result) = match &cli.command {
        Command::Asm(args) => (args.json, asm::main(args)),
        Command::Disasm(args) => (args.json, disasm::main(args)),
        Command::Verify(args) => (args.json, verify::main(args)),
        Command::Run(args) => (args.json, run::main(args)),
        Command::Load(args) => (args.json, load::main(args)),
        Command::Diff(args) => (args.json, diff::main(args)),
        Command::Record(args) => (args.json, record::main(args)),
        Command::Fuzz(args) => (args.json, fuzz::main(args)),
        Command::Kernels(args) => (args.json, kernels::main(args)),
    };
    match result {
        Ok(verdict) => verdict.into(),
        Err(failure) => {
            failure.print(json);
            ExitCode::from(2)
        }
    }
}

/// Lets `skep … | head` end quietly: writes to a closed pipe end the process instead of a panic.
fn reset_sigpipe() {
    std::panic::set_hook(Box::new({
        let default = std::panic::take_hook();
        move |info| {
            let broken_pipe = info
                .payload()
                .downcast_ref::<String>()
                .is_some_and(|m| m.starts_with("failed printing to std") && m.contains("Broken pipe"));
            if broken_pipe {
                std::process::exit(0);
            }
            default(info);
        }
    }));
}
