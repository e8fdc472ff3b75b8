// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the benches found, as a table and a picture: medians that Criterion keeps below `target/criterion`. Printed at
//! the end; with `SKEP_UPDATE=1`, `docs/benchmarks.md` and `docs/benchmarks.svg` are written anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use criterion::Criterion;

/// Engines in the order of the columns: id and name.
const ENGINES: [(&str, &str); 7] = [
    ("native", "C -O2"),
    ("kernel", "kernel JIT"),
    ("jit-elided", "JIT, verified"),
    ("jit", "JIT, confined"),
    ("rbpf-jit", "rbpf JIT"),
    ("interp", "interpreter"),
    ("rbpf", "rbpf interpreter"),
];

/// Ratios of geometric means that the table ends with: engine, to which.
const RATIOS: [(&str, &str); 6] = [
    ("jit-elided", "native"),
    ("jit-elided", "kernel"),
    ("jit-elided", "rbpf-jit"),
    ("jit", "jit-elided"),
    ("rbpf", "interp"),
    ("kernel", "jit"),
];

/// Medians in nanoseconds, by workload and engine.
type Medians = BTreeMap<(String, String), f64>;

fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    target.join("criterion")
}

fn medians() -> Medians {
    let mut medians = Medians::new();
    for workload in super::WORKLOADS.iter().map(|workload| workload.name) {
        for (engine, _) in ENGINES {
            let path = folder().join(workload).join(engine).join("new/estimates.json");
            let median = std::fs::read(path).ok().and_then(|bytes| {
                let json: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
                json["median"]["point_estimate"].as_f64()
            });
            if let Some(median) = median {
                medians.insert((workload.to_owned(), engine.to_owned()), median);
            }
        }
    }
    medians
}

fn get(medians: &Medians, workload: &str, engine: &str) -> Option<f64> {
    medians.get(&(workload.to_owned(), engine.to_owned())).copied()
}

/// Three digits and a unit.
fn time(ns: f64) -> String {
    let (value, unit) = if ns < 1000.0 { (ns, "ns") } else { (ns / 1000.0, "µs") };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// The geometric mean of a ratio over the workloads that have both, and the least and most.
fn ratio(medians: &Medians, a: &str, b: &str) -> Option<(f64, f64, f64)> {
    let ratios: Vec<f64> = super::WORKLOADS
        .iter()
        .filter(|workload| workload.name != "empty")
        .filter_map(|workload| Some(get(medians, workload.name, a)? / get(medians, workload.name, b)?))
        .collect();
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    let least = ratios.iter().copied().reduce(f64::min)?;
    Some((mean, least, ratios.iter().copied().reduce(f64::max)?))
}

fn table(medians: &Medians) -> String {
    // A String takes everything that is written to it.
    let mut text = String::from("| workload |");
    ENGINES.iter().for_each(|(_, name)| text += &format!(" {name} |"));
    text += "\n|---|";
    ENGINES.iter().for_each(|_| text += "---:|");
    for workload in &super::WORKLOADS {
        let _ = write!(text, "\n| {} |", workload.name);
        for (engine, _) in ENGINES {
            let cell = get(medians, workload.name, engine).map_or_else(String::new, time);
            let _ = write!(text, " {cell} |");
        }
    }
    text += "\n\n| ratio of times | geometric mean | least | most |\n|---|---:|---:|---:|\n";
    let name = |id| ENGINES.iter().find(|(engine, _)| *engine == id).map_or(id, |(_, name)| *name);
    for (a, b) in RATIOS {
        if let Some((mean, least, most)) = ratio(medians, a, b) {
            let _ = writeln!(text, "| {} to {} | {mean:.2} | {least:.2} | {most:.2} |", name(a), name(b));
        }
    }
    text
}

/// Bars of times in units of the kernel's JIT, on a logarithmic scale.
fn picture(medians: &Medians) -> String {
    const SHOWN: [(&str, &str); 6] = [
        ("native", "#8a8a8a"),
        ("jit-elided", "#1b6ca8"),
        ("jit", "#5fa8d3"),
        ("rbpf-jit", "#e07a5f"),
        ("interp", "#3d8361"),
        ("rbpf", "#b5651d"),
    ];
    const ROW: usize = 10;
    const WIDTH: f64 = 420.0;
    let position = |ratio: f64| 130.0 + WIDTH * ((ratio.clamp(0.1, 200.0).log10() + 1.0) / 3.31);
    let (mut bars, mut y) = (String::new(), 34);
    for workload in &super::WORKLOADS {
        let Some(kernel) = get(medians, workload.name, "kernel") else { continue };
        let _ = writeln!(bars, r#"<text x="122" y="{}" text-anchor="end">{}</text>"#, y + 30, workload.name);
        for (engine, colour) in SHOWN {
            let Some(median) = get(medians, workload.name, engine) else { continue };
            let width = position(median / kernel) - 130.0;
            let _ =
                writeln!(bars, r#"<rect x="130" y="{y}" width="{width:.1}" height="8" fill="{colour}"/>"#);
            y += ROW;
        }
        y += ROW;
    }
    let mut legend = String::new();
    for (at, (engine, colour)) in SHOWN.iter().enumerate() {
        let name = ENGINES.iter().find(|(id, _)| id == engine).map_or(*engine, |(_, name)| *name);
        let x = 10 + 95 * at;
        let _ = writeln!(legend, r#"<rect x="{x}" y="8" width="8" height="8" fill="{colour}"/>"#);
        let _ = writeln!(legend, r#"<text x="{}" y="16">{name}</text>"#, x + 12);
    }
    for ratio in [0.1, 1.0, 10.0, 100.0] {
        let x = position(ratio);
        let _ = writeln!(legend, r##"<line x1="{x:.1}" y1="24" x2="{x:.1}" y2="{y}" stroke="#ccc"/>"##);
        let _ = writeln!(legend, r#"<text x="{x:.1}" y="{}" text-anchor="middle">{ratio}</text>"#, y + 12);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"600\" height=\"{}\" font-family=\"sans-serif\" \
         font-size=\"9\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{legend}{bars}\
         <text x=\"340\" y=\"{}\" text-anchor=\"middle\">time in units of the kernel's JIT</text>\n</svg>\n",
        y + 34,
        y + 28
    )
}

pub fn report(_: &mut Criterion) {
    let medians = medians();
    println!("\n{}", table(&medians));
    if std::env::var_os("SKEP_UPDATE").is_none() {
        return;
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let text = format!(
        "# Benchmarks\n\n\
         What `cargo bench --bench engines` found last on the machine of the developers (an AMD EPYC with two cores, \
         Linux 6.18): medians of one run of each workload, and ratios, in which lower is faster. The workloads are XDP \
         programs of `benches/workloads/`; all engines get the same bytes and give the same `r0`. The kernel's times are its own \
         averages, in whole nanoseconds; rbpf knows no maps. `SKEP_UPDATE=1` writes this page and the picture.\n\n\
         ![times in units of the kernel's JIT](benchmarks.svg)\n\n{}",
        table(&medians)
    );
    std::fs::write(docs.join("benchmarks.md"), text).expect("the page can be written");
    std::fs::write(docs.join("benchmarks.svg"), picture(&medians)).expect("the picture can be written");
}
