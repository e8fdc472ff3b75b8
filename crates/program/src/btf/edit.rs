// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making BTF and changing it in place: what a compiler, an assembler or a loader's fix-ups need.

use super::{Btf, Kind, Linkage, TYPE, VarSecinfo, word};

impl Btf {
    fn span(&self, id: u32) -> Option<std::ops::Range<usize>> {
        let start = *self.offsets.get((id as usize).checked_sub(1)?)? as usize;
        let end = self.offsets.get(id as usize).map_or(self.types.len(), |&o| o as usize);
        Some(start..end)
    }

    fn set_word(&mut self, id: u32, at: usize, value: u32) {
        if let Some(span) = self.span(id)
            && let Some(bytes) = self.types[span].get_mut(at..at + 4)
        {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// Sets the size of a type, or the type behind it. An id that is not there is left alone.
    pub fn set_size_or_type(&mut self, id: u32, value: u32) {
        self.set_word(id, 8, value);
    }

    /// Sets the linkage of a variable or function; other kinds are left alone.
    pub fn set_linkage(&mut self, id: u32, linkage: Linkage) {
        let Some(t) = self.get(id) else { return };
        match t.kind() {
            Kind::Var => self.set_word(id, TYPE, linkage as u32),
            Kind::Func => {
                let info = word(t.bytes, 4) & !0xffff | linkage as u32;
                self.set_word(id, 4, info);
            }
            _ => {}
        }
    }

    /// Replaces the variables of a data section; their number must be that of the section, else nothing happens.
    pub fn set_variables(&mut self, id: u32, variables: &[VarSecinfo]) {
        let Some(t) = self.get(id) else { return };
        if t.kind() != Kind::Datasec || t.vlen() != variables.len() {
            return;
        }
        for (i, v) in variables.iter().enumerate() {
            for (j, value) in [v.ty, v.offset, v.size].into_iter().enumerate() {
                self.set_word(id, TYPE + 12 * i + 4 * j, value);
            }
        }
    }

    /// Names the parameters of a prototype that have a type but no name.
    pub fn name_params(&mut self, id: u32, name_off: u32) {
        let Some(t) = self.get(id) else { return };
        if t.kind() != Kind::FuncProto {
            return;
        }
        for at in (0..t.vlen()).map(|i| TYPE + 8 * i) {
            let bytes = self.get(id).map_or(&[][..], |t| t.bytes);
            if word(bytes, at) == 0 && word(bytes, at + 4) != 0 {
                self.set_word(id, at, name_off);
            }
        }
    }

    /// Adds a string, or finds it where it is already; the offset.
    pub fn add_string(&mut self, text: &str) -> u32 {
        if text.is_empty() && !self.strings.is_empty() {
            return 0;
        }
        let mut wanted = text.as_bytes().to_vec();
        wanted.push(0);
        // A string may be the tail of another, as libbpf and clang share them.
        if let Some(at) = self.strings.windows(wanted.len()).position(|w| w == wanted) {
            return at as u32;
        }
        let at = self.strings.len();
        self.strings.extend(wanted);
        at as u32
    }

    /// Adds a type: `vlen` (and `kind_flag` in its bit 31) as in `info`, and the words after `struct btf_type`;
    /// the new id. The words must be as many as the kind has.
    pub fn add_type(&mut self, kind: Kind, name: &str, vlen: u32, size_or_type: u32, extra: &[u32]) -> u32 {
        debug_assert_eq!(extra.len() * 4, kind.extra_bytes((vlen & 0xffff) as usize));
        let name_off = if name.is_empty() { 0 } else { self.add_string(name) };
        self.offsets.push(self.types.len() as u32);
        let info = (kind as u32) << 24 | vlen;
        for w in [name_off, info, size_or_type].iter().chain(extra) {
            self.types.extend(w.to_le_bytes());
        }
        self.last_id()
    }
}
