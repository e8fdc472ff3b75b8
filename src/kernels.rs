// SPDX-License-Identifier: MIT OR Apache-2.0
//! `skep kernels`: which real kernels are at hand, and how to get more.

use std::num::NonZero;
use std::path::PathBuf;

use serde_json::json;
use skep_kernel_load::{BoxKernel, BuildOptions, Built, Got, Kernel, Kind, Progress, Registry, build, get};

use crate::report::{Failure, Result, Verdict, note, print, spinner};

/// List real kernels at hand, fetch or build more
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  skep kernels                                        what `-k` can name here
  skep kernels get 6.12                               Debian's image, for QEMU (`-k vm:6.12`)
  skep kernels get uml:6.1                            Debian's User-Mode Linux
  skep kernels build /usr/src/linux-source-6.12.tar.xz
  skep kernels build ~/linux --coverage               with gcov counters for kernel/bpf

Nothing is installed: kernels go to $SKEP_KERNELS, else ~/.cache/skep/kernels.")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    /// Answer in JSON
    #[arg(short = 'j', long, global = true)]
    pub json: bool,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Fetch a distribution's kernel, without installing it
    Get {
        /// Release or series, for QEMU (`6.12`), or `uml:6.1`
        kernel: String,
    },
    /// Build User-Mode Linux from a source tree
    Build {
        /// Kernel source: a directory, or an archive such as Debian's linux-source-6.12.tar.xz
        tree: PathBuf,

        /// Count which lines of kernel/bpf are reached
        #[arg(long)]
        coverage: bool,

        /// Compilers that run side by side
        #[arg(long, value_name = "N")]
        jobs: Option<NonZero<usize>>,
    },
}

pub fn main(args: &Args) -> Result<Verdict> {
    let registry = Registry::default();
    match &args.action {
        None => list(args, &registry),
        Some(Action::Get { kernel }) => {
            let bar = spinner();
            let got = get(kernel, registry.cache(), &mut |what| bar.set_message(what.to_owned()));
            bar.finish_and_clear();
            let Got { release, dir } = got.map_err(Failure::new)?;
            let kind = if kernel.starts_with("uml:") { Kind::Uml } else { Kind::Vm };
            tell(args, kind, &release, &dir)
        }
        Some(Action::Build { tree, coverage, jobs }) => {
            let jobs = jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
            let options = BuildOptions { tree, cache: registry.cache(), coverage: *coverage, jobs };
            let bar = spinner();
            let built = build(&options, &mut |progress: &Progress<'_>| bar.set_message(step(progress)));
            bar.finish_and_clear();
            let Built { release, dir, without, .. } = built.map_err(Failure::new)?;
            for lack in without {
                note(lack);
            }
            let release = if *coverage { format!("{release}-coverage") } else { release };
            tell(args, Kind::Uml, &release, &dir)
        }
    }
}

/// How far a build is, in words.
fn step(progress: &Progress<'_>) -> String {
    match progress {
        Progress::Unpacking { archive } => format!("unpacking {}", archive.display()),
        Progress::Configuring { version } => format!("configuring Linux {version}"),
        Progress::Compiling { done, about, object } => format!("compiling {done} of about {about}: {object}"),
        Progress::Linking => "linking".to_owned(),
        Progress::Types => "making BTF".to_owned(),
        Progress::Done { image } => format!("done: {}", image.display()),
    }
}

fn tell(args: &Args, kind: Kind, release: &str, dir: &std::path::Path) -> Result<Verdict> {
    let name = format!("{}:{release}", kind.word());
    if args.json {
        println!("{}", json!({ "name": name, "release": release, "path": dir }));
    } else {
        print(&format!("{name} is at {}\n", dir.display()));
    }
    Ok(Verdict::Yes)
}

fn list(args: &Args, registry: &Registry) -> Result<Verdict> {
    let host = Kernel::open();
    let known = registry.list();
    if args.json {
        let host = match &host {
            Ok(kernel) => json!({ "name": "host", "release": kernel.release() }),
            Err(why) => json!({ "name": "host", "unavailable": why.to_string() }),
        };
        println!("{host}");
        for kernel in &known {
            println!("{}", json!({ "name": kernel.name(), "release": kernel.release, "path": kernel.path }));
        }
        return Ok(Verdict::Yes);
    }
    let mut text = match &host {
        Ok(kernel) => format!("host                          Linux {}, the running one\n", kernel.release()),
        Err(why) => format!("host                          not available: {why}\n"),
    };
    for kernel in &known {
        let what = match BoxKernel::open(kernel.kind, &kernel.path) {
            Ok(BoxKernel::Uml(image)) => {
                let has = [
                    (image.jit, "JIT"),
                    (image.events, "events"),
                    (image.btf, "BTF"),
                    (image.coverage, "coverage"),
                ];
                let has: Vec<&str> = has.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
                let has = if has.is_empty() {
                    "no JIT, events or BTF".to_owned()
                } else {
                    format!("with {}", has.join(", "))
                };
                format!("User-Mode Linux {has}")
            }
            Ok(BoxKernel::Vm(_)) => "for QEMU".to_owned(),
            Err(why) => format!("not usable: {why}"),
        };
        text += &format!("{:<29} {what}: {}\n", kernel.name(), kernel.path.display());
    }
    for kind in [Kind::Uml, Kind::Vm] {
        if !known.iter().any(|k| k.kind == kind) {
            text += &format!("{:<29} none here: {}\n", format!("{}:", kind.word()), kind.remedy());
        }
    }
    print(&text);
    Ok(Verdict::Yes)
}
