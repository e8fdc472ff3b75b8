// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interpreter of `skep_vm`, confined and checked.

use skep_program::Object;
use skep_vm::{Config, Input, Machine};

use crate::case::{Case, Run};
use crate::engine::{Answer, Engine};

pub struct Interpreter {
    /// [`Config::checked`].
    pub checked: bool,
}

impl Engine for Interpreter {
    fn name(&self) -> &'static str {
        if self.checked { "interpreter-checked" } else { "interpreter" }
    }

    fn run(&self, _case: &Case, run: &Run, object: &Object) -> Answer {
        let machine = match Machine::new(object, Config { checked: self.checked, ..Config::default() }) {
            Ok(machine) => machine,
            Err(e) => return Answer::Error(e.to_string()),
        };
        let mut thread = match machine.thread() {
            Ok(thread) => thread,
            Err(e) => return Answer::Error(e.to_string()),
        };
        let input = match &run.packet {
            Some(data) => Input::Packet { data, ctx: None },
            None => Input::Mem(run.mem.as_deref().unwrap_or_default()),
        };
        match thread.run(0, input) {
            Ok(outcome) => match outcome.trap {
                None => Answer::R0(outcome.r0),
                Some(trap) => Answer::Error(trap.to_string()),
            },
            Err(e) => Answer::Error(e.to_string()),
        }
    }

    fn departs(&self, case: &Case) -> Option<&'static str> {
        match case.name.as_str() {
            "a cast between address spaces without an arena" => Some("only the verifier asks for an arena"),
            "a load behind the end of memory" if !self.checked => {
                Some("without checked mode, accesses are confined to guest memory, not to one object")
            }
            _ => None,
        }
    }
}
