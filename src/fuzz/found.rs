// SPDX-License-Identifier: GPL-2.0-only
//! The folder of a campaign: its state, and each finding as a case that `skep diff` replays, with its text beside it.

use std::fs;
use std::path::{Path, PathBuf};

use skep_asm::disasm::{DisasmOptions, disassemble_object};
use skep_program::{Object, Program};

use super::campaign::State;
use crate::case_json::case_json;
use crate::report::{Failure, Result};

/// File of the state.
const STATE: &str = "campaign.json";

/// A folder that a campaign writes to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

fn failed(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(format_args!("cannot write `{}`: {why}", path.display()))
}

impl Folder {
    /// Makes the folder where it is not there.
    pub fn open(path: &Path) -> Result<Folder> {
        fs::create_dir_all(path).map_err(|why| failed(path, why))?;
        Ok(Folder { path: path.to_owned() })
    }

    /// The state that a campaign left here, if one did.
    pub fn load(&self) -> Result<Option<State>> {
        let path = self.path.join(STATE);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|why| {
                Failure::new(format_args!("`{}` is no campaign's state: {why}", path.display()))
            }),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(Failure::new(format_args!("cannot read `{}`: {why}", path.display()))),
        }
    }

    /// Writes the state, all of it or nothing.
    pub fn save(&self, state: &State) -> Result<()> {
        let (path, new) = (self.path.join(STATE), self.path.join("campaign.json.new"));
        let text = serde_json::to_string_pretty(state).map_err(|why| failed(&path, why))?;
        fs::write(&new, text + "\n").and_then(|()| fs::rename(&new, &path)).map_err(|why| failed(&path, why))
    }

    /// Writes a finding; gives the name of its files, without an ending.
    pub fn write(
        &self,
        program: &Program,
        caps: &str,
        nature: &str,
        text: &str,
        listing: &str,
    ) -> Result<String> {
        let name = (1..)
            .map(|n| format!("finding-{n:03}"))
            .find(|name| !self.path.join(format!("{name}.jsonl")).exists())
            .unwrap_or_default();
        let mut case = case_json(&Object::single(program.clone()), 0)?;
        case["id"] = name.as_str().into();
        case["caps"] = caps.into();
        let path = self.path.join(format!("{name}.jsonl"));
        fs::write(&path, case.to_string() + "\n").map_err(|why| failed(&path, why))?;
        let comment = |text: &str| text.lines().map(|line| format!("; {line}\n")).collect::<String>();
        let head = format!("{}{}; capabilities: {caps}\n", comment(nature), comment(text));
        let path = self.path.join(format!("{name}.s"));
        fs::write(&path, head + listing).map_err(|why| failed(&path, why))?;
        Ok(name)
    }
}

/// A program as assembler text, with its maps.
pub fn listing(program: &Program) -> String {
    disassemble_object(&Object::single(program.clone()), &DisasmOptions::default())
}
