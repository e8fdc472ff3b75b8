// SPDX-License-Identifier: MIT OR Apache-2.0
//! `-k`: real kernels by name, the running one or boxed ones, and how they are asked.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_kernel_load::{
    Backend, BoxKernel, BoxOptions, BoxedBackend, Coverage, Kernel, Kind, NoAnswer, Observation, Registry,
    Request,
};

use crate::report::{Failure, Result, note, progress};

/// How boxed kernels run.
#[derive(clap::Args, Debug)]
pub struct BoxArgs {
    /// Boxed kernels that run side by side; as many as there are processors where not given
    #[arg(long, value_name = "N", help_heading = "Boxed kernels")]
    pub guests: Option<NonZero<usize>>,

    /// Seconds that a boxed kernel may take for one program before it counts as hung
    #[arg(long, value_name = "SECONDS", help_heading = "Boxed kernels")]
    pub timeout: Option<NonZero<u64>>,

    /// Write which lines and functions of `kernel/bpf` were reached, as JSON (kernels built with `--coverage`)
    #[arg(long, value_name = "FILE", help_heading = "Boxed kernels")]
    pub coverage: Option<PathBuf>,
}

/// What `-k` names, as help texts have it.
pub const KERNEL_HELP: &str = "Kernel to ask: `host`, the one that runs; `uml:6.1` or `uml:PATH`, User-Mode Linux; \
                               `vm:6.12` or `vm:PATH`, QEMU (see `skep kernels`)";

/// Name of the running kernel.
pub const HOST: &str = "host";

/// Opens the kernel of a name.
pub fn open(name: &str, args: &BoxArgs) -> Result<Box<dyn Backend + Send>> {
    if name == HOST {
        return Ok(Box::new(host()?));
    }
    let (kernel, options) = boxed(name, args)?;
    let guests =
        args.guests.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZero::<usize>::MIN);
    Ok(Box::new(BoxedBackend::new(kernel, options, guests)))
}

/// The running kernel.
pub fn host() -> Result<Kernel> {
    Kernel::open().map_err(|e| {
        Failure::new(format_args!(
            "the running kernel cannot be asked: {e}; or ask a boxed kernel, which needs no privilege \
             (`-k uml:6.1`)"
        ))
    })
}

/// The boxed kernel of a name, and how it runs.
pub fn boxed(name: &str, args: &BoxArgs) -> Result<(BoxKernel, BoxOptions)> {
    let kind = [Kind::Uml, Kind::Vm]
        .into_iter()
        .find_map(|kind| Some((kind, name.strip_prefix(kind.word())?.strip_prefix(':')?)));
    let Some((kind, rest)) = kind else {
        return Err(Failure::new(format_args!(
            "unknown kernel `{name}`: it is `host`, `uml:RELEASE`, `uml:PATH`, `vm:RELEASE` or `vm:PATH`; `skep \
             kernels` lists those at hand"
        )));
    };
    let path: PathBuf = Registry::default().find(kind, rest).map_err(Failure::new)?;
    let kernel = BoxKernel::open(kind, &path).map_err(Failure::new)?;
    let mut options = BoxOptions::of_this_process()
        .map_err(|e| Failure::new(format_args!("cannot find the executable that runs: {e}")))?;
    options.timeout = args.timeout.map(|s| Duration::from_secs(s.get()));
    options.coverage = args.coverage.is_some();
    if options.coverage && !matches!(&kernel, BoxKernel::Uml(image) if image.coverage) {
        return Err(Failure::new(format_args!(
            "`{name}` does not count coverage; build one that does with `skep kernels build TREE --coverage`"
        )));
    }
    Ok((kernel, options))
}

/// Asks all questions, and gives the answers in the order of the questions, each as soon as those before it are
/// there.
pub fn ask_in_order(
    backend: &mut dyn Backend,
    requests: Vec<Request>,
    mut each: impl FnMut(usize, std::result::Result<Observation, NoAnswer>),
) -> Result<()> {
    let bar = progress(requests.len() as u64, "programs");
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    let asked = backend.ask_all(requests, &mut |index, answer| {
        bar.inc(1);
        waiting.insert(index, answer);
        while let Some(answer) = waiting.remove(&next) {
            bar.suspend(|| each(next, answer));
            next += 1;
        }
    });
    bar.finish_and_clear();
    asked.map_err(Failure::new)
}

/// Writes and tells the coverage that a backend has collected, where it was to.
pub fn tell_coverage(backend: &dyn Backend, args: &BoxArgs) -> Result<()> {
    let (Some(path), Some(coverage)) = (&args.coverage, backend.coverage()) else { return Ok(()) };
    write_coverage(&coverage.map_err(Failure::new)?, path)
}

/// Writes coverage, and tells of each file that was reached.
pub fn write_coverage(coverage: &Coverage, path: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(coverage).map_err(Failure::new)?;
    std::fs::write(path, json + "\n")
        .map_err(|e| Failure::new(format_args!("cannot write `{}`: {e}", path.display())))?;
    for file in coverage.files.iter().filter(|f| !f.reached.is_empty()) {
        let (reached, lines) = (file.reached.len(), file.lines);
        note(format_args!("{}: {reached} of {lines} lines reached", file.file));
    }
    Ok(())
}
