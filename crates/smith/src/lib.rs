// SPDX-License-Identifier: GPL-2.0-only
//! Generates BPF programs that verifiers accept, and near misses.
//!
//! A program grows: it starts as the shortest one of its type, and statement after statement is put somewhere into it,
//! each made of what our own verifier knows at that place ([`skep_verifier::Observer`]): operands whose types make it
//! legal, offsets that the bounds allow, registers that nobody reads later. What is accepted grows on; what is not ends
//! there, as a program that is worth a question too. Now and then one thing about an accepted program is changed
//! ([`Made::mutated`]).
//!
//! Guarantees: the same seed gives the same programs everywhere; every program is well-formed (its jumps and calls
//! stay inside), though not always legal; all programs use the same [`maps`](Smith::maps).

mod code;
mod feature;
mod maps;
mod minimize;
mod mutate;
pub mod patch;
mod random;
mod scene;
mod setting;
mod view;

use std::sync::Arc;

use skep_program::{MapSpec, Program};
use skep_uapi::HelperId;
use skep_uapi::flags::prog_load::BPF_F_TEST_STATE_FREQ;
use skep_verifier::{Caps, Options, Outcome, Verdict, verify_with};

pub use feature::{FEATURES, Feature};
pub use minimize::minimize;
pub use random::Random;

use patch::{append_function, is_second_slot, replace};
use scene::Scene;
use setting::{CAPS, World, seed};
use view::{View, Watch};

/// Places of a program that are looked at, as many statements may be tried on it.
const POINTS: usize = 3;
/// Slots at which a program stops growing: one of these for each.
const LENGTHS: [usize; 6] = [16, 40, 60, 60, 120, 250];
/// One in so many programs is a near miss of the one before.
const MUTANTS: u64 = 5;
/// Instructions that a verification of a generated program may walk: longer ones say little more, and cost a lot.
const WALK: u32 = 5_000;
/// Statements refused in a row after which a program is given up.
const REFUSALS: u32 = 6;

/// A program, and what our verifier says of it.
#[derive(Clone, Debug)]
pub struct Made {
    /// The program.
    pub program: Program,
    /// What its loader may do, and the name of that in case files.
    pub caps: Caps,
    /// The same by name.
    pub caps_name: &'static str,
    /// Index into [`FEATURES`] of the statement that is new in it; none for the shortest program.
    pub feature: Option<usize>,
    /// One thing about it was changed without a look at what is legal.
    pub mutated: bool,
    /// The answer of the verifier.
    pub outcome: Outcome,
}

impl Made {
    /// Whether our verifier accepts it.
    #[must_use]
    pub fn accepted(&self) -> bool {
        matches!(self.outcome, Outcome::Answer { verdict: Verdict::Accept, .. })
    }
}

/// A program that grows.
struct Growing {
    setting: usize,
    caps: (Caps, &'static str),
    program: Program,
    views: Vec<View>,
    length: usize,
    refusals: u32,
}

/// A source of programs.
pub struct Smith<'b> {
    random: Random<'b>,
    world: Arc<World>,
    options: Options,
    growing: Option<Growing>,
}

impl std::fmt::Debug for Smith<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smith").field("random", &self.random).finish_non_exhaustive()
    }
}

impl<'b> Smith<'b> {
    /// Programs of these choices, judged by the verifier with these options; capabilities are chosen.
    #[must_use]
    pub fn new(random: Random<'b>, options: Options) -> Smith<'b> {
        let world = Arc::new(World::new(&options));
        Smith { random, world, options, growing: None }
    }

    /// The same source with other choices, without finding out anew what is allowed.
    #[must_use]
    pub fn with_random<'c>(&self, random: Random<'c>) -> Smith<'c> {
        Smith { random, world: Arc::clone(&self.world), options: self.options.clone(), growing: None }
    }

    /// The maps that all programs use.
    #[must_use]
    pub fn maps(&self) -> &Arc<Vec<MapSpec>> {
        &self.world.maps
    }

    /// Writes no statements that make loops: earlier releases than our verifier's latest explore them otherwise, up to
    /// the limit of instructions.
    pub fn leave_out_loops(&mut self) {
        Arc::make_mut(&mut self.world).loops = false;
    }

    /// The shortest program of each type, in the order in which [`Smith::retain_types`] asks.
    #[must_use]
    pub fn shortest(&self) -> Vec<Program> {
        self.world.shortest()
    }

    /// Makes no programs of types of which `keep` does not hold; it is shown the shortest program of each.
    pub fn retain_types(&mut self, mut keep: impl FnMut(&Program) -> bool) {
        let world = Arc::make_mut(&mut self.world);
        let programs: Vec<Program> = world.shortest();
        let mut kept = programs.iter().map(&mut keep);
        world.settings.retain(|_| kept.next().unwrap_or(true));
    }

    /// Calls no helpers of which `keep` does not hold; it is shown the shortest program of each type that may call one.
    pub fn retain_helpers(&mut self, mut keep: impl FnMut(&Program, HelperId) -> bool) {
        let world = Arc::make_mut(&mut self.world);
        let programs = world.shortest();
        for (setting, program) in world.settings.iter_mut().zip(&programs) {
            setting.helpers.retain(|(helper, _)| keep(program, helper.id));
        }
    }

    /// The next program.
    pub fn make(&mut self) -> Made {
        loop {
            let made = match self.growing.take() {
                Some(growing) => self.go_on(growing),
                None => self.start(),
            };
            if let Some(made) = made {
                return made;
            }
        }
    }

    /// One more program of a line of descent: a near miss, or one with a statement more.
    fn go_on(&mut self, mut growing: Growing) -> Option<Made> {
        let caps = growing.caps;
        let made = |program, feature, mutated, outcome| Made {
            program,
            caps: caps.0,
            caps_name: caps.1,
            feature,
            mutated,
            outcome,
        };
        if self.random.one_in(MUTANTS) {
            let mutant = mutate::mutate(&growing.program, &mut self.random);
            self.growing = Some(growing);
            let program = mutant?;
            let (outcome, _) = self.judge(&program, caps.0, Vec::new())?;
            return Some(made(program, None, true, outcome));
        }
        let view = growing.views.pop()?;
        growing.refusals += 1;
        let grown = self.grow(&growing, &view);
        let judged = grown.and_then(|(program, feature)| {
            let points = self.points(&program);
            let (outcome, views) = self.judge(&program, caps.0, points)?;
            Some((made(program, Some(feature), false, outcome), views))
        });
        let made = judged.map(|(made, views)| {
            if made.accepted() {
                growing.program = made.program.clone();
                growing.views = views;
                growing.refusals = 0;
            }
            made
        });
        if growing.program.insns.len() < growing.length && growing.refusals < REFUSALS {
            self.growing = Some(growing);
        }
        made
    }

    /// The shortest program of some type.
    fn start(&mut self) -> Option<Made> {
        let setting = self.random.below(self.world.settings.len() as u64) as usize;
        let caps = self.random.pick(&CAPS);
        let of = &self.world.settings[setting];
        let value = self.random.pick(&of.returns);
        let with_btf = self.random.one_in(3);
        let mut program = self.world.program(of, &seed(value), with_btf);
        if self.random.one_in(4) {
            program.prog_flags |= BPF_F_TEST_STATE_FREQ;
        }
        let (outcome, views) = self.judge(&program, caps.0, vec![1, 2])?;
        let made = Made {
            program: program.clone(),
            caps: caps.0,
            caps_name: caps.1,
            feature: None,
            mutated: false,
            outcome,
        };
        if made.accepted() {
            let length = self.random.pick(&LENGTHS);
            self.growing = Some(Growing { setting, caps, program, views, length, refusals: 0 });
        }
        Some(made)
    }

    /// The verdict, and what was seen at some places; `None` where it takes too long or is not given.
    fn judge(&self, program: &Program, caps: Caps, points: Vec<usize>) -> Option<(Outcome, Vec<View>)> {
        let mut watch = Watch::new(points, WALK);
        let options = Options { caps, ..self.options.clone() };
        let outcome = verify_with(program, &options, &mut watch);
        let answered = matches!(outcome, Outcome::Answer { .. }) && !watch.is_too_long();
        answered.then(|| {
            let mut views = watch.into_views();
            // The last one is taken first: one where calls are possible.
            views.sort_by_key(|view| view.live & 0x3f == 0);
            (outcome, views)
        })
    }

    /// A program of any origin, judged as those that are made are; `None` where it takes too long or there is no
    /// verdict.
    #[must_use]
    pub fn judged(&self, program: &Program, caps: Caps, caps_name: &'static str) -> Option<Made> {
        let (outcome, _) = self.judge(program, caps, Vec::new())?;
        Some(Made { program: program.clone(), caps, caps_name, feature: None, mutated: true, outcome })
    }

    /// Options of the verifier; capabilities are those of each program.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Places where the next statements may be put.
    fn points(&mut self, program: &Program) -> Vec<usize> {
        let len = program.insns.len() as u64;
        let mut points = Vec::with_capacity(POINTS);
        for _ in 0..POINTS {
            let at = self.random.below(len) as usize;
            points.push(if is_second_slot(&program.insns, at) { at - 1 } else { at });
        }
        points
    }

    /// A program with one more statement.
    fn grow(&mut self, growing: &Growing, view: &View) -> Option<(Program, usize)> {
        let setting = &self.world.settings[growing.setting];
        let mut scene = Scene::new(&mut self.random, &self.world, setting, &growing.program, view);
        let feature = feature::statement(&mut scene)?;
        let code = std::mem::take(&mut scene.code);
        let mut program = replace(&growing.program, view.insn, 0, &code.insns)?;
        for function in code.functions {
            let callers: Vec<usize> = function.callers.iter().map(|at| at + view.insn).collect();
            append_function(&mut program, &function.body, &callers, self.world.function_type);
        }
        Some((program, feature))
    }
}

#[cfg(test)]
mod tests;
