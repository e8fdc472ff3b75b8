// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the parser makes of a source, before names are resolved: units of code, maps, data sections.

use std::collections::{BTreeMap, HashMap};

use skep_isa::Insn;
use skep_program::MapSpec;
use skep_uapi::{AttachType, ProgType};

use crate::diagnostics::Span;

/// A name or value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

/// Where a jump or local call goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Slots from the next instruction.
    Offset(i64),
    /// A label of the unit.
    Label(String),
    /// The last `N:` at or before the instruction.
    Backward(u32),
    /// The first `N:` after the instruction.
    Forward(u32),
}

/// The field that a jump distance lands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distance {
    /// `off`: 16 bits.
    Off,
    /// `imm`: 32 bits.
    Imm,
}

/// What is left to fill in once all names are known.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// A jump inside of the unit.
    Jump(Target, Distance),
    /// `call` of a function, or of a helper by name.
    Call(String),
    /// `call` of a function or label of this source only.
    LocalCall(String),
    /// `call` of a kernel function.
    Kfunc(String),
    /// A 64-bit immediate: a map, a place in a data section or a function.
    Symbol { name: String, addend: i64 },
    /// The address of a function.
    Function(String),
    /// A map by name.
    Map(String),
    /// A place in a map's value, by the name of the map.
    MapValue { name: String, offset: u32 },
    /// The address of a kernel variable.
    Ksym(String),
}

/// An instruction with its fields, but for what [`Link`] says.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub insn: Insn,
    /// `imm` of the second slot, for instructions of two slots.
    pub second: Option<i32>,
    /// What is still open, and the place to blame for it.
    pub link: Option<Spanned<Link>>,
}

impl Draft {
    pub fn slots(&self) -> usize {
        1 + usize::from(self.second.is_some())
    }
}

/// A draft in its unit.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// First slot, from the start of the unit.
    pub slot: usize,
    /// The statement.
    pub span: Span,
    pub draft: Draft,
}

/// What makes a unit a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProgramSpec {
    pub section: String,
    pub prog_type: ProgType,
    pub attach_type: AttachType,
    pub flags: u32,
    pub kern_version: u32,
    pub attach_name: Option<String>,
}

/// A unit is a program or a function that programs share.
#[derive(Clone, Debug)]
pub(crate) enum UnitKind {
    Program(ProgramSpec),
    Function { global: bool },
}

/// A row of instructions that stay together, with their labels.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    pub kind: UnitKind,
    pub code: Vec<Placed>,
    /// Slots in `code`.
    pub slots: usize,
    pub labels: HashMap<String, Spanned<usize>>,
    /// Slots of the local labels `N:`, ascending.
    pub local_labels: BTreeMap<u32, Vec<usize>>,
}

impl Unit {
    pub fn new(name: String, span: Span, kind: UnitKind) -> Self {
        Unit {
            name,
            span,
            kind,
            code: Vec::new(),
            slots: 0,
            labels: HashMap::new(),
            local_labels: BTreeMap::new(),
        }
    }
}

/// A map, and the references of its declaration to other names.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub spec: MapSpec,
    /// A data section, whose name starts with a dot.
    pub data: bool,
    /// Only a template for `inner=`, not a map of the object.
    pub template: bool,
    pub inner: Option<Spanned<String>>,
    pub slots: Vec<(u32, Spanned<String>)>,
}

impl Map {
    /// Whether the object gets this map: templates and data sections that nothing was put into make none.
    pub fn exists(&self) -> bool {
        !self.template && !self.is_empty_section()
    }

    pub fn is_empty_section(&self) -> bool {
        self.data && self.spec.value_size == 0
    }
}

/// What a name of the source stands for, besides constants and labels of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    /// Index into [`File::units`].
    Unit(usize),
    /// Index into [`File::maps`].
    Map(usize),
    /// A place in the value of the map with this index into [`File::maps`].
    Data { map: usize, offset: u32 },
}

/// A whole source.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub license: Option<String>,
    pub units: Vec<Unit>,
    pub maps: Vec<Map>,
    pub symbols: HashMap<String, Spanned<Symbol>>,
}

impl File {
    /// Whether the source makes neither a program nor a map.
    pub fn has_nothing_to_load(&self) -> bool {
        !self.maps.iter().any(Map::exists)
            && !self.units.iter().any(|unit| matches!(unit.kind, UnitKind::Program(_)))
    }
}
