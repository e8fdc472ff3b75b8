// SPDX-License-Identifier: GPL-2.0-only
//! The running kernel as an oracle: the same maps for all programs, one `BPF_PROG_LOAD` each.

use std::sync::Arc;

use skep_isa::Insn;
use skep_kernel_load::{Caps, Kernel, KernelFd, LoweredCaps};
use skep_program::load::{create_map, create_maps, load_btf, load_program};
use skep_program::{MapSpec, Program};
use skep_smith::{Made, Smith};
use skep_uapi::{Errno, HelperId, MapType};
use skep_verifier::Options;

use super::oracle::{Counts, Difference, Oracle, leave_out_what_is_missing};
use super::ours::{LEVEL1, Loaded, Ours};
use crate::kernel;
use crate::report::{Failure, Result};

/// Nature of a difference that is none: the number is of the program as the kernel has rewritten it, which skep does not
/// do (`docs/parity.md`).
const COUNTED: &str = "log: `verifier bug: No program to jit at insn ";
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
    ours: Ours,
    counts: Counts,
}

impl Host {
    /// Opens the kernel and makes the maps of generated programs. With `logs`, whole logs are compared.
    pub fn new(specs: &Arc<Vec<MapSpec>>, options: &Options, logs: bool) -> Result<Host> {
        let kernel = kernel::host()?;
        let maps = create_maps(&kernel, specs, None).map_err(Failure::new)?;
        Ok(Host {
            kernel,
            maps,
            owned: (0..specs.len()).filter(|&at| OWNED.contains(&specs[at].map_type)).collect(),
            specs: Arc::clone(specs),
            btf: None,
            ours: Ours::new(options, logs),
            counts: Counts::default(),
        })
    }

    /// Loads a program; its descriptor closes at once.
    fn load(&mut self, program: &Program, level: u32, log: &mut String) -> Loaded {
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
        let mut log = String::new();
        let theirs = self.load(&made.program, self.ours.level(), &mut log);
        let ours = self.ours.clone();
        let explained = || {
            let mut log = String::new();
            let _ = self.load(&made.program, LEVEL1, &mut log);
            log
        };
        ours.compare(made, theirs, &log, explained).filter(|difference| !is_counted(difference))
    }
}

/// Whether both sides say [`COUNTED`].
fn is_counted(difference: &Difference) -> bool {
    let nature = difference.nature.strip_prefix(COUNTED);
    nature.is_some_and(|rest| rest.contains(COUNTED.trim_start_matches("log: ")))
}

impl Oracle for Host {
    fn name(&self) -> String {
        format!("{} against the running kernel, Linux {}", self.ours.what(), self.kernel.release())
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
