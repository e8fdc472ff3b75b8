// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep diff`: runs here and in the running kernel, side by side.

/// Run a program here and in the running kernel, and compare
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Answer in JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

pub fn main(_args: &Args) -> crate::report::Result<crate::report::Verdict> {
    Err(crate::report::Failure::unsupported("diff"))
}
