// SPDX-License-Identifier: GPL-2.0-only
//! What statements there are: a table, each row a way to write one where it is legal. A row that cannot be legal at a
//! place gives up, and another one is taken.

mod alu;
mod branch;
mod call;
mod helper;
mod map;
mod memory;
mod packet;
mod reference;

use crate::scene::Scene;

/// A kind of statement.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// What it is called in tables of acceptance.
    pub name: &'static str,
    /// How often it is tried, beside the others.
    weight: u64,
    /// It makes a loop.
    loops: bool,
    /// It calls something, for which `r0` to `r5` must be free.
    calls: bool,
    write: fn(&mut Scene<'_, '_>) -> Option<()>,
}

const fn row(name: &'static str, weight: u64, write: fn(&mut Scene<'_, '_>) -> Option<()>) -> Feature {
    Feature { name, weight, loops: false, calls: false, write }
}

const fn calling(name: &'static str, weight: u64, write: fn(&mut Scene<'_, '_>) -> Option<()>) -> Feature {
    Feature { calls: true, ..row(name, weight, write) }
}

const fn looping(feature: Feature) -> Feature {
    Feature { loops: true, ..feature }
}

/// All of them.
pub static FEATURES: &[Feature] = &[
    row("number", 6, alu::number),
    row("alu", 14, alu::alu),
    row("alu of a live number", 3, alu::alu_live),
    row("byte order", 2, alu::byte_order),
    row("move", 4, alu::moves),
    row("pointer arithmetic", 4, alu::pointer),
    row("pointer subtraction", 2, alu::pointer_difference),
    row("spill", 6, memory::spill),
    row("fill", 6, memory::fill),
    row("stack bytes", 4, memory::stack_bytes),
    row("stack at a variable offset", 3, memory::stack_variable),
    row("load", 8, memory::load),
    row("store", 6, memory::store),
    row("access at a variable offset", 8, memory::variable),
    row("bound of one path", 1, memory::bound_of_one_path),
    row("atomic", 5, memory::atomic),
    row("context load", 5, memory::ctx_load),
    row("context store", 2, memory::ctx_store),
    row("structure load", 4, memory::structure_load),
    row("map value", 4, map::direct_value),
    calling("map lookup", 8, map::lookup),
    calling("lookup in a map of maps", 2, map::nested_lookup),
    calling("spin lock", 3, map::spin_lock),
    calling("timer", 2, map::timer),
    row("packet", 8, packet::access),
    row("packet metadata", 2, packet::meta),
    calling("LD_ABS and LD_IND", 3, packet::legacy),
    row("branch", 8, branch::branch),
    row("branch on two registers", 4, branch::branch_reg),
    row("wide bound", 3, branch::wide_bound),
    row("null check", 6, branch::null_check),
    row("exit", 2, branch::exit),
    row("goto", 1, branch::goto),
    looping(row("counted loop", 4, branch::counted)),
    looping(row("may_goto", 2, branch::may_goto)),
    calling("helper", 20, helper::call),
    calling("function", 5, call::function),
    looping(calling("bpf_loop", 2, call::bpf_loop)),
    looping(calling("bpf_for_each_map_elem", 2, call::for_each)),
    calling("tail call", 2, call::tail_call),
    calling("ring buffer reservation", 3, reference::ring_buffer),
    calling("socket lookup", 3, reference::socket),
    calling("dynptr", 3, reference::dynptr),
    calling("dynptr of a ring buffer", 2, reference::ring_buffer_dynptr),
];

/// Tries of one statement.
const TRIES: usize = 12;

/// Writes some statement into a scene; the row that it is of.
pub(crate) fn statement(scene: &mut Scene<'_, '_>) -> Option<usize> {
    // Places where calls are possible are few.
    let calls_only = scene.may_call() && scene.random.one_in(2);
    let loops = scene.world.loops;
    let weight = |feature: &Feature| {
        let fits = (feature.calls || !calls_only) && (loops || !feature.loops);
        if fits { feature.weight } else { 0 }
    };
    let total = FEATURES.iter().map(weight).sum();
    for _ in 0..TRIES {
        let mut left = scene.random.below(total);
        let at = FEATURES.iter().position(|feature| {
            let found = left < weight(feature);
            left = left.wrapping_sub(weight(feature));
            found
        })?;
        let (insns, functions) = (scene.code.insns.len(), scene.code.functions.len());
        if (FEATURES[at].write)(scene).is_some() {
            return Some(at);
        }
        scene.code.insns.truncate(insns);
        scene.code.functions.truncate(functions);
    }
    None
}
