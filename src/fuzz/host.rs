// SPDX-License-Identifier: GPL-2.0-only
//! The running kernel as an oracle: the same maps for all programs, one `BPF_PROG_LOAD` each.

use std::sync::Arc;

use skep_compare::{Mask, first_difference};
use skep_isa::Insn;
use skep_kernel_load::{Caps, Kernel, KernelFd, LoweredCaps};
use skep_program::load::{create_map, create_maps, load_btf, load_program};
use skep_program::{MapSpec, Program};
use skep_smith::{Made, Smith};
use skep_uapi::{Errno, HelperId, MapType};
use skep_verifier::{Options, Outcome, Verdict, verify};

use super::oracle::{Counts, Difference, Oracle, leave_out_what_is_missing, without_numbers};
use crate::report::{Failure, Result};

/// `BPF_LOG_LEVEL1` and `BPF_LOG_LEVEL2`.
const LEVEL1: u32 = 1;
const LEVEL2: u32 = 2;
/// A message whose number is of the program as the kernel has rewritten it, which skep does not do (`docs/parity.md`).
const COUNTED: &str = "verifier bug: No program to jit at insn ";
/// Programs between two looks at the clock.
const BATCH: usize = 64;

/// Helpers that a kernel may lack for its configuration, or because it is locked down.
const BY_CONFIGURATION: [HelperId; 6] = [
    HelperId::PROBE_WRITE_USER,
    HelperId::PROBE_READ,
    HelperId::PROBE_READ_STR,
    HelperId::PROBE_READ_KERNEL,
    HelperId::PROBE_READ_KERNEL_STR,
    HelperId::OVERRIDE_RETURN,
];

/// Types of maps that hold programs.
const OWNED: [MapType; 4] = [MapType::PROG_ARRAY, MapType::DEVMAP, MapType::DEVMAP_HASH, MapType::CPUMAP];

/// Asks the running kernel.
pub struct Host {
    kernel: Kernel,
    maps: Vec<KernelFd>,
    specs: Arc<Vec<MapSpec>>,
    /// Maps that belong to programs like the first that uses them (`bpf_prog_map_compatible`), by index.
    owned: Vec<usize>,
    btf: Option<(Arc<[u8]>, KernelFd)>,
    options: Options,
    logs: bool,
    counts: Counts,
}

impl Host {
    /// Opens the kernel and makes the maps of generated programs. With `logs`, whole logs are compared.
    pub fn new(specs: &Arc<Vec<MapSpec>>, options: &Options, logs: bool) -> Result<Host> {
        let kernel = Kernel::open().map_err(|why| {
            Failure::new(format_args!(
                "the running kernel cannot be asked: {why}; or ask a boxed kernel, which needs no privilege (`-k \
                 uml:6.1`)"
            ))
        })?;
        let maps = create_maps(&kernel, specs, None).map_err(Failure::new)?;
        Ok(Host {
            kernel,
            maps,
            owned: (0..specs.len()).filter(|&at| OWNED.contains(&specs[at].map_type)).collect(),
            specs: Arc::clone(specs),
            btf: None,
            options: options.clone(),
            logs,
            counts: Counts::default(),
        })
    }

    /// Loads a program; its descriptor closes at once.
    fn load(&mut self, program: &Program, level: u32, log: &mut String) -> std::result::Result<(), Errno> {
        log.clear();
        if let Some(btf) = &program.btf
            && self.btf.as_ref().is_none_or(|(bytes, _)| bytes != btf)
        {
            // All generated programs have the same.
            let fd = load_btf(&self.kernel, Some(btf)).map_err(|_| Errno::EINVAL)?;
            self.btf = fd.map(|fd| (Arc::clone(btf), fd));
        }
        for &at in &self.owned {
            let names = |insn: &Insn| insn.is_ld_imm64() && insn.src != 0 && insn.imm as usize == at;
            if program.insns.iter().any(names)
                && let Ok(fresh) = create_map(&self.kernel, &self.specs[at], None)
            {
                self.maps[at] = fresh;
            }
        }
        let btf = self.btf.as_ref().filter(|_| program.btf.is_some()).map(|(_, fd)| fd);
        loop {
            match load_program(&self.kernel, program, &self.maps, btf, level, log) {
                Err(Errno::EAGAIN | Errno::EINTR) => log.clear(),
                other => return other.map(drop),
            }
        }
    }

    /// What the kernel lacks by its configuration, taken from what is generated.
    pub fn leave_out_what_is_missing(&mut self, smith: &mut Smith<'_>) -> Result<()> {
        let mut log = String::new();
        let mut message = |program: &Program| {
            let refused = self.load(program, LEVEL1, &mut log).is_err();
            refused.then(|| log.clone())
        };
        leave_out_what_is_missing(smith, &|helper| BY_CONFIGURATION.contains(&helper), &mut |programs| {
            Ok(programs.iter().map(&mut message).collect())
        })
    }

    fn compare(&mut self, made: &Made) -> Option<Difference> {
        // Programs of other origin bring other maps.
        if !Arc::ptr_eq(&made.program.maps, &self.specs) {
            self.counts.unanswered += 1;
            return None;
        }
        self.counts.compared += 1;
        let Outcome::Answer { verdict, .. } = &made.outcome else { return None };
        let mut log = String::new();
        let level = if self.logs { LEVEL2 } else { 0 };
        let theirs = self.load(&made.program, level, &mut log);
        let ours = match verdict {
            Verdict::Accept => Ok(()),
            Verdict::Reject(errno) => Err(*errno),
        };
        if ours != theirs {
            return Some(self.explain(made, ours, theirs));
        }
        if !self.logs {
            return None;
        }
        let options = Options { caps: made.caps, log_level: LEVEL2, ..self.options.clone() };
        let Outcome::Answer { log: our_log, .. } = verify(&made.program, &options) else { return None };
        let difference = first_difference(&Mask::of(&made.program), LEVEL2, &our_log, &log)?;
        let first = |lines: &[String]| lines.first().cloned().unwrap_or_default();
        let (a, b) = (first(&difference.ours), first(&difference.theirs));
        if a.starts_with(COUNTED) && b.starts_with(COUNTED) {
            return None;
        }
        Some(Difference::new(
            format!("log: `{}` for `{}`", without_numbers(&a), without_numbers(&b)),
            format!("line {}\nskep:   {a}\nkernel: {b}\n", difference.line),
        ))
    }

    /// A difference of verdicts in words.
    fn explain(
        &mut self,
        made: &Made,
        ours: std::result::Result<(), Errno>,
        theirs: std::result::Result<(), Errno>,
    ) -> Difference {
        let mut log = String::new();
        let _ = self.load(&made.program, LEVEL1, &mut log);
        let options = Options { caps: made.caps, log_level: LEVEL1, ..self.options.clone() };
        let our_log = match verify(&made.program, &options) {
            Outcome::Answer { log, .. } => log,
            Outcome::Unsupported(what) => what,
        };
        let (our_words, their_words) = (in_words(ours, &our_log), in_words(theirs, &log));
        Difference::new(
            format!("{} for {}", without_numbers(&our_words), without_numbers(&their_words)),
            format!("skep:   {our_words}\nkernel: {their_words}\n"),
        )
    }
}

/// A verdict with its message.
pub fn in_words(verdict: std::result::Result<(), Errno>, log: &str) -> String {
    match verdict {
        Ok(()) => "accepted".to_owned(),
        Err(errno) => {
            let lines = log.lines().rev();
            let message = lines.filter(|line| !line.starts_with("processed ")).find(|line| !line.is_empty());
            format!("{errno}: {}", message.unwrap_or("(no message)"))
        }
    }
}

impl Oracle for Host {
    fn name(&self) -> String {
        let what = if self.logs { "verdicts and logs" } else { "verdicts" };
        format!("{what} against the running kernel, Linux {}", self.kernel.release())
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn judge(&mut self, programs: &[Made], found: &mut dyn FnMut(usize, Difference)) -> Result<()> {
        for (caps, name) in Caps::ALL {
            let asked: Vec<usize> =
                (0..programs.len()).filter(|&at| programs[at].caps_name == name).collect();
            if asked.is_empty() {
                continue;
            }
            let lowered = LoweredCaps::new(caps).map_err(Failure::new)?;
            for at in asked {
                if let Some(difference) = self.compare(&programs[at]) {
                    found(at, difference);
                }
            }
            drop(lowered);
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}
