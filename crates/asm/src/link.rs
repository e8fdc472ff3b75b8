// SPDX-License-Identifier: MIT OR Apache-2.0
//! [`File`] to [`Object`]: names become indices, distances and numbers; each program gets the functions that it
//! calls.
//!
//! Guarantees: a program is its own unit, then the functions that it reaches, each once, in the order that libbpf
//! appends them (depth first, by order of appearance); every error of every unit is found, also in functions that no
//! program reaches; work is linear in the size of what comes out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use skep_isa::{CallKind, Imm64, Insn, Op, row_of};
use skep_program::{BtfRef, BtfRefKind, Function, MapSpec, Object, Program, Requirement, Slot, SourceLine};
use skep_uapi::{HelperId, MapType};

use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::file::{Distance, File, Link, Placed, ProgramSpec, Spanned, Symbol, Target, Unit, UnitKind};
use crate::parse::helper;

/// Resolves all names.
pub(crate) fn link(file: &File, source: &str, diagnostics: &mut Diagnostics) -> Object {
    let line_breaks = source.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
    let mut linker = Linker { file, diagnostics, map_index: Vec::new(), line_breaks };
    let maps = Arc::new(linker.maps());
    let units: Vec<Resolved> = file.units.iter().map(|unit| linker.unit(unit)).collect();
    let mut object = Object { programs: Vec::new(), maps: Arc::clone(&maps) };
    let mut total = 0;
    for (index, unit) in file.units.iter().enumerate() {
        let UnitKind::Program(spec) = &unit.kind else { continue };
        if linker.diagnostics.is_full() {
            break;
        }
        let mut program = linker.program(index, spec, &units, &maps);
        total += program.insns.len();
        if total > crate::MAX_LINKED_INSNS {
            linker.diagnostics.push(
                Diagnostic::new(
                    unit.span.clone(),
                    format!(
                        "with their functions, the programs have more than {} instructions",
                        crate::MAX_LINKED_INSNS
                    ),
                )
                .label("the limit is passed with this program"),
            );
            break;
        }
        crate::func_info::describe(&mut program);
        object.programs.push(program);
    }
    object
}

/// A unit with everything resolved but distances between units.
struct Resolved {
    insns: Vec<Insn>,
    /// Slots that refer to other units: slot, unit.
    calls: Vec<(usize, usize)>,
    /// What is called inside of the unit: start, name of its label, empty where it was called by distance.
    functions: Vec<(usize, String)>,
    btf_refs: Vec<BtfRef>,
}

struct Linker<'a> {
    file: &'a File,
    diagnostics: &'a mut Diagnostics,
    /// Index into the object's maps of each map of the file; `None` for templates.
    map_index: Vec<Option<usize>>,
    /// Places of the line breaks of the source.
    line_breaks: Vec<usize>,
}

type Linked<T> = Result<T, Box<Diagnostic>>;

fn error<T>(diagnostic: Diagnostic) -> Linked<T> {
    Err(Box::new(diagnostic))
}

/// Maps.
impl Linker<'_> {
    fn maps(&mut self) -> Vec<MapSpec> {
        let mut count = 0;
        for map in &self.file.maps {
            self.map_index.push(map.exists().then_some(count));
            count += usize::from(map.exists());
        }
        let mut specs = Vec::new();
        for (map, index) in self.file.maps.iter().zip(self.map_index.clone()) {
            let mut spec = map.spec.clone();
            if let Some(inner) = &map.inner {
                match self.inner_map(inner) {
                    Ok(found) => spec.inner = Some(Box::new(found)),
                    Err(diagnostic) => self.diagnostics.push(*diagnostic),
                }
            }
            for (index, name) in &map.slots {
                match self.slot(&spec, name) {
                    Ok(slot) => spec.slots.push((*index, slot)),
                    Err(diagnostic) => self.diagnostics.push(*diagnostic),
                }
            }
            if index.is_some() {
                specs.push(spec);
            }
        }
        specs
    }

    fn inner_map(&self, name: &Spanned<String>) -> Linked<MapSpec> {
        match self.symbol(&name.value) {
            Some(Symbol::Map(index)) => {
                let inner = &self.file.maps[index];
                if inner.inner.is_some() {
                    return error(
                        Diagnostic::new(
                            name.span.clone(),
                            format!("`{}` is a map of maps itself", name.value),
                        )
                        .label("the kernel nests maps once"),
                    );
                }
                let mut spec = inner.spec.clone();
                spec.entries.clear();
                Ok(spec)
            }
            _ => error(self.no_map(name)),
        }
    }

    fn no_map(&self, name: &Spanned<String>) -> Diagnostic {
        let maps = self.file.maps.iter().map(|map| map.spec.name.as_str());
        Diagnostic::new(name.span.clone(), format!("there is no map `{}`", name.value))
            .label("expected the name of a map of this file")
            .suggest(&name.value, maps)
    }

    fn slot(&self, spec: &MapSpec, name: &Spanned<String>) -> Linked<Slot> {
        match spec.map_type {
            MapType::PROG_ARRAY => match self.symbol(&name.value) {
                Some(Symbol::Unit(unit)) if matches!(self.file.units[unit].kind, UnitKind::Program(_)) => {
                    Ok(Slot::Program(name.value.clone()))
                }
                _ => error(
                    Diagnostic::new(name.span.clone(), format!("there is no program `{}`", name.value))
                        .label("expected the name of a program of this file")
                        .suggest(&name.value, self.programs()),
                ),
            },
            MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => match self.symbol(&name.value) {
                Some(Symbol::Map(index)) if self.map_index[index].is_some() => {
                    Ok(Slot::Map(self.map_index[index].unwrap_or_default()))
                }
                Some(Symbol::Map(_)) => error(
                    Diagnostic::new(name.span.clone(), format!("`{}` is only a template", name.value))
                        .label("expected a map declared with `.map`"),
                ),
                _ => error(self.no_map(name)),
            },
            other => error(
                Diagnostic::new(name.span.clone(), format!("a map of type {other} has no slots"))
                    .label("only prog_array, array_of_maps and hash_of_maps have slots")
                    .help("`.entry KEY = VALUE` gives other maps contents"),
            ),
        }
    }

    fn programs(&self) -> impl Iterator<Item = &str> {
        self.file.units.iter().filter(|u| matches!(u.kind, UnitKind::Program(_))).map(|u| u.name.as_str())
    }

    fn symbol(&self, name: &str) -> Option<Symbol> {
        self.file.symbols.get(name).map(|symbol| symbol.value)
    }
}

/// Instructions.
impl Linker<'_> {
    fn unit(&mut self, unit: &Unit) -> Resolved {
        let mut resolved = Resolved {
            insns: Vec::with_capacity(unit.slots),
            calls: Vec::new(),
            functions: Vec::new(),
            btf_refs: Vec::new(),
        };
        if unit.code.is_empty() {
            self.diagnostics.push(
                Diagnostic::new(unit.span.clone(), format!("`{}` has no instructions", unit.name))
                    .label("expected at least `exit` after this"),
            );
        }
        for placed in &unit.code {
            if self.diagnostics.is_full() {
                break;
            }
            let mut insns = [placed.draft.insn, Insn::new(0, 0, 0, 0, placed.draft.second.unwrap_or(0))];
            if let Some(link) = &placed.draft.link
                && let Err(diagnostic) = self.resolve(unit, placed, link, &mut insns, &mut resolved)
            {
                self.diagnostics.push(*diagnostic);
            }
            resolved.insns.extend_from_slice(&insns[..placed.draft.slots()]);
        }
        resolved
    }

    fn resolve(
        &self,
        unit: &Unit,
        placed: &Placed,
        link: &Spanned<Link>,
        insns: &mut [Insn; 2],
        resolved: &mut Resolved,
    ) -> Linked<()> {
        let slot = placed.slot;
        let span = &link.span;
        match &link.value {
            Link::Jump(target, distance) => {
                let value = self.distance(unit, slot, target, span)?;
                let names_function = insns[0].is_call() || insns[0].is_ld_imm64();
                if names_function && let Ok(start) = usize::try_from(slot as i64 + 1 + value) {
                    let name = if let Target::Label(name) = target { name.as_str() } else { "" };
                    resolved.functions.push((start, name.to_owned()));
                }
                set_distance(&mut insns[0], value, *distance, span)
            }
            Link::Call(name) => {
                if self.called(unit, slot, name, &mut insns[0], resolved) {
                    insns[0].src = selector(Op::Call(CallKind::Local));
                    return Ok(());
                }
                match helper(name) {
                    Some(id) => insns[0].imm = id.0 as i32,
                    None => return error(self.no_callee(unit, name, span, true)),
                }
                Ok(())
            }
            Link::LocalCall(name) | Link::Function(name) => {
                if self.called(unit, slot, name, &mut insns[0], resolved) {
                    return Ok(());
                }
                error(self.no_callee(unit, name, span, false))
            }
            Link::Kfunc(name) => {
                resolved.btf_refs.push(BtfRef {
                    insn: slot,
                    kind: BtfRefKind::Kfunc,
                    name: name.clone(),
                    weak: false,
                });
                Ok(())
            }
            Link::Ksym(name) => {
                resolved.btf_refs.push(BtfRef {
                    insn: slot,
                    kind: BtfRefKind::Ksym,
                    name: name.clone(),
                    weak: false,
                });
                Ok(())
            }
            Link::Map(name) => {
                insns[0].imm = self.map_number(name, span)?;
                Ok(())
            }
            Link::MapValue { name, offset } => {
                insns[0].imm = self.map_number(name, span)?;
                insns[1].imm = *offset as i32;
                Ok(())
            }
            Link::Symbol { name, addend } => self.address(unit, slot, name, *addend, span, insns, resolved),
        }
    }

    /// The distance from the slot after the instruction's first.
    fn distance(&self, unit: &Unit, slot: usize, target: &Target, span: &Span) -> Linked<i64> {
        let local = |number: &u32| unit.local_labels.get(number).map_or(&[][..], Vec::as_slice);
        let missing =
            |what: String| Diagnostic::new(span.clone(), what).label("expected a label of this function");
        let found = match target {
            Target::Offset(distance) => return Ok(*distance),
            Target::Label(name) => unit.labels.get(name).map(|label| label.value),
            Target::Backward(number) => {
                let slots = local(number);
                slots.partition_point(|s| *s <= slot).checked_sub(1).map(|i| slots[i])
            }
            Target::Forward(number) => {
                let slots = local(number);
                slots.get(slots.partition_point(|s| *s <= slot)).copied()
            }
        };
        if let Some(found) = found {
            return Ok(found as i64 - slot as i64 - 1);
        }
        error(match target {
            Target::Backward(number) => missing(format!("there is no label `{number}:` before this")),
            Target::Forward(number) => missing(format!("there is no label `{number}:` after this")),
            Target::Label(name) => self.no_label(unit, name, missing(format!("there is no label `{name}`"))),
            Target::Offset(_) => missing("there is no such label".to_owned()),
        })
    }

    fn no_label(&self, unit: &Unit, name: &str, missing: Diagnostic) -> Diagnostic {
        if let Some(Symbol::Unit(other)) = self.symbol(name) {
            let other = &self.file.units[other];
            return missing
                .related(other.span.clone(), "this is another function")
                .help(format!("a jump stays inside of its function; `call {name}` calls it"));
        }
        if let Some((other, label)) =
            self.file.units.iter().find_map(|other| Some((other, other.labels.get(name)?)))
        {
            return missing
                .related(label.span.clone(), format!("this label is in `{}`", other.name))
                .help("a jump stays inside of its function");
        }
        missing.suggest(name, unit.labels.keys().map(String::as_str))
    }

    /// Notes a call of a label or unit; `false` where there is no such name.
    fn called(&self, unit: &Unit, slot: usize, name: &str, insn: &mut Insn, resolved: &mut Resolved) -> bool {
        if let Some(label) = unit.labels.get(name) {
            insn.imm = (label.value as i64 - slot as i64 - 1) as i32;
            resolved.functions.push((label.value, name.to_owned()));
            return true;
        }
        if let Some(Symbol::Unit(index)) = self.symbol(name) {
            resolved.calls.push((slot, index));
            return true;
        }
        false
    }

    fn no_callee(&self, unit: &Unit, name: &str, span: &Span, helpers: bool) -> Diagnostic {
        let functions = self.file.units.iter().map(|u| u.name.as_str());
        let labels = unit.labels.keys().map(String::as_str);
        if !helpers {
            return Diagnostic::new(span.clone(), format!("there is no function `{name}`"))
                .label("expected a function or label of this file")
                .suggest(name, functions.chain(labels));
        }
        let prefixed = name.starts_with("bpf_");
        let names: Vec<String> = HelperId::ALL
            .iter()
            .filter_map(|id| id.name())
            .map(|bare| if prefixed { format!("bpf_{bare}") } else { bare.to_owned() })
            .collect();
        let known = names.iter().map(String::as_str).chain(functions).chain(labels);
        let missing = Diagnostic::new(span.clone(), format!("there is no function or helper `{name}`"))
            .label("expected a helper, or a function of this file")
            .suggest(name, known);
        if missing.help.is_some() {
            return missing;
        }
        missing.help(format!("a kernel function is called by `call kfunc {name}`"))
    }

    fn map_number(&self, name: &str, span: &Span) -> Linked<i32> {
        let spanned = Spanned { value: name.to_owned(), span: span.clone() };
        match self.symbol(name) {
            Some(Symbol::Map(index)) => match self.map_index[index] {
                Some(number) => Ok(number as i32),
                None if self.file.maps[index].is_empty_section() => error(Diagnostic::new(
                    span.clone(),
                    format!("`{name}` is empty, so there is no such map"),
                )),
                None => error(
                    Diagnostic::new(span.clone(), format!("`{name}` is only a template of inner maps"))
                        .label("expected a map declared with `.map`"),
                ),
            },
            _ => error(self.no_map(&spanned)),
        }
    }

    /// `r1 = name + addend ll`: what the name is decides the kind of the load.
    #[allow(clippy::too_many_arguments)] // the pieces of one instruction and of its unit
    fn address(
        &self,
        unit: &Unit,
        slot: usize,
        name: &str,
        addend: i64,
        span: &Span,
        insns: &mut [Insn; 2],
        resolved: &mut Resolved,
    ) -> Linked<()> {
        match self.symbol(name) {
            Some(Symbol::Map(index)) if addend == 0 && !self.is_data(index) => {
                insns[0].src = selector(Op::LdImm64(Imm64::MapIdx));
                insns[0].imm = self.map_number(name, span)?;
                Ok(())
            }
            Some(Symbol::Map(index)) => {
                if !self.is_data(index) {
                    return error(
                        Diagnostic::new(
                            span.clone(),
                            format!("`{name}` is a map, an offset means nothing on it"),
                        )
                        .help(format!("the address of a place in its value is `map[{name}][0]+{addend}`")),
                    );
                }
                self.data_address(name, 0, addend, span, insns)
            }
            Some(Symbol::Data { map, offset }) => {
                self.data_address(&self.file.maps[map].spec.name, offset, addend, span, insns)
            }
            symbol => {
                let is_function = unit.labels.contains_key(name) || matches!(symbol, Some(Symbol::Unit(_)));
                if is_function && addend == 0 {
                    insns[0].src = selector(Op::LdImm64(Imm64::Func));
                    self.called(unit, slot, name, &mut insns[0], resolved);
                    return Ok(());
                }
                if is_function {
                    return error(Diagnostic::new(
                        span.clone(),
                        format!("`{name}` is a function, it takes no offset"),
                    ));
                }
                error(
                    Diagnostic::new(span.clone(), format!("unknown symbol `{name}`"))
                        .label("expected a map, a label of a data section or a function")
                        .suggest(name, self.file.symbols.keys().map(String::as_str)),
                )
            }
        }
    }

    fn is_data(&self, index: usize) -> bool {
        self.file.maps[index].data
    }

    fn data_address(
        &self,
        map: &str,
        offset: u32,
        addend: i64,
        span: &Span,
        insns: &mut [Insn; 2],
    ) -> Linked<()> {
        let at = i64::from(offset) + addend;
        let Ok(at) = u32::try_from(at) else {
            return error(Diagnostic::new(span.clone(), format!("offset {at} is outside of `{map}`")));
        };
        insns[0].src = selector(Op::LdImm64(Imm64::MapIdxValue));
        insns[0].imm = self.map_number(map, span)?;
        insns[1].imm = at as i32;
        Ok(())
    }
}

/// The source register field that selects an operation.
fn selector(op: Op) -> u8 {
    row_of(op).map_or(0, |row| row.template().src)
}

fn set_distance(insn: &mut Insn, value: i64, distance: Distance, span: &Span) -> Linked<()> {
    match distance {
        Distance::Off => match i16::try_from(value) {
            Ok(off) => insn.off = off,
            Err(_) => {
                return error(
                    Diagnostic::new(
                        span.clone(),
                        format!("a distance of {value} instructions does not fit 16 bits"),
                    )
                    .label("expected -32768 to 32767")
                    .help("`gotol` jumps further; invert the condition and jump over a `gotol`"),
                );
            }
        },
        Distance::Imm => match i32::try_from(value) {
            Ok(imm) => insn.imm = imm,
            Err(_) => return error(Diagnostic::new(span.clone(), "the distance does not fit 32 bits")),
        },
    }
    Ok(())
}

/// Programs.
impl Linker<'_> {
    fn program(
        &mut self,
        main: usize,
        spec: &ProgramSpec,
        units: &[Resolved],
        maps: &Arc<Vec<MapSpec>>,
    ) -> Program {
        let order = self.reached(main, units);
        let mut starts = HashMap::new();
        let mut insns = Vec::new();
        for &unit in &order {
            starts.insert(unit, insns.len());
            insns.extend_from_slice(&units[unit].insns);
        }
        let mut functions = Vec::new();
        let mut lines = Vec::new();
        let mut btf_refs = Vec::new();
        for &unit in &order {
            let start = starts[&unit];
            let resolved = &units[unit];
            for (slot, target) in &resolved.calls {
                if let Some(to) = starts.get(target) {
                    let at = start + slot;
                    insns[at].imm = (*to as i64 - at as i64 - 1) as i32;
                }
            }
            let declared = &self.file.units[unit];
            let global = matches!(declared.kind, UnitKind::Function { global: true });
            functions.push(Function { name: declared.name.clone(), start, global });
            functions.extend(resolved.functions.iter().map(|(slot, name)| Function {
                name: name.clone(),
                start: start + slot,
                global: false,
            }));
            lines.extend(declared.code.iter().map(|placed| SourceLine {
                insn: start + placed.slot,
                line: self.line_of(placed.span.start),
                span: Some((placed.span.start, placed.span.end)),
            }));
            btf_refs.extend(resolved.btf_refs.iter().map(|r| BtfRef { insn: start + r.insn, ..r.clone() }));
        }
        functions.retain(|f| f.start < insns.len());
        // Of several names the first that was given, and one of ours only where there is none.
        functions.sort_by_key(|f| (f.start, f.name.is_empty()));
        functions.dedup_by_key(|f| f.start);
        for function in functions.iter_mut().filter(|f| f.name.is_empty()) {
            function.name = format!("func_{}", function.start);
        }
        let requirements = requirements(&btf_refs, spec);
        let declared = &self.file.units[main];
        Program {
            name: declared.name.clone(),
            section: spec.section.clone(),
            prog_type: spec.prog_type,
            expected_attach_type: spec.attach_type,
            prog_flags: spec.flags,
            license: self.file.license.clone().unwrap_or_else(|| "GPL".to_owned()),
            kern_version: spec.kern_version,
            insns,
            maps: Arc::clone(maps),
            functions,
            lines,
            btf_refs,
            attach_name: spec.attach_name.clone(),
            requirements,
            ..Program::default()
        }
    }

    /// Line number of a place, from 1.
    fn line_of(&self, at: usize) -> u32 {
        self.line_breaks.partition_point(|line_break| *line_break < at) as u32 + 1
    }

    /// The unit and all that it calls, in the order of the program.
    fn reached(&mut self, main: usize, units: &[Resolved]) -> Vec<usize> {
        let mut order = vec![main];
        let mut seen = HashSet::from([main]);
        // Units with the calls of them that are still to be looked at.
        let mut stack = vec![(main, 0)];
        while let Some((unit, next)) = stack.pop() {
            let Some(&(slot, target)) = units[unit].calls.get(next) else { continue };
            stack.push((unit, next + 1));
            if !seen.insert(target) {
                continue;
            }
            if let UnitKind::Program(_) = self.file.units[target].kind {
                self.called_program(unit, slot, target);
                continue;
            }
            order.push(target);
            stack.push((target, 0));
        }
        order
    }

    fn called_program(&mut self, unit: usize, slot: usize, target: usize) {
        let code = &self.file.units[unit].code;
        let at = code.binary_search_by_key(&slot, |placed| placed.slot).map(|i| code[i].span.clone());
        let target = &self.file.units[target];
        self.diagnostics.push(
            Diagnostic::new(
                at.unwrap_or_else(|_| target.span.clone()),
                format!("`{}` is a program", target.name),
            )
            .label("expected a function")
            .related(target.span.clone(), "declared as a program here")
            .help("declare it with `.func`, or reach it by a tail call"),
        );
    }
}

fn requirements(btf_refs: &[BtfRef], spec: &ProgramSpec) -> Vec<Requirement> {
    let symbols = btf_refs.iter().map(|r| Requirement::KernelSymbol(r.name.clone()));
    let target =
        needs_target(spec).then(|| spec.attach_name.clone().map(Requirement::AttachTarget)).flatten();
    let mut all: Vec<Requirement> = Vec::new();
    for requirement in symbols.chain(target) {
        if !all.contains(&requirement) {
            all.push(requirement);
        }
    }
    all
}

/// Whether the kernel finds the attach target in its BTF when it loads the program.
fn needs_target(spec: &ProgramSpec) -> bool {
    use skep_uapi::ProgType;
    matches!(spec.prog_type, ProgType::TRACING | ProgType::LSM | ProgType::EXT | ProgType::STRUCT_OPS)
}
