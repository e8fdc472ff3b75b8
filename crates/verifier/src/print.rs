// SPDX-License-Identifier: GPL-2.0-only
//! The state, instructions and source lines in the log (`print_verifier_state`, `verbose_linfo`,
//! `verbose_insn`, `print_verification_stats @ 6.18`).

use std::fmt::{self, Write};

use skep_isa::{Insn, opcode};
use skep_program::{Spell, print_kernel_text};
use skep_uapi::helper::{
    MEM_ALLOC, MEM_PERCPU, MEM_RCU, MEM_RDONLY, MEM_RINGBUF, MEM_USER, NON_OWN_REF, PTR_TRUSTED,
    PTR_UNTRUSTED,
};
use skep_uapi::limits::BPF_COMPLEXITY_LIMIT_INSNS;

use crate::dynptr::dynptr_type_str;
use crate::env::Env;
use crate::log::{self, Log};
use crate::map::Map;
use crate::reg::{BPF_ADD_CONST, Reg};
use crate::reg_type::{
    CONST_PTR_TO_DYNPTR, CONST_PTR_TO_MAP, NOT_INIT, PTR_TO_ARENA, PTR_TO_BTF_ID, PTR_TO_BUF, PTR_TO_CTX,
    PTR_TO_FLOW_KEYS, PTR_TO_FUNC, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_PACKET,
    PTR_TO_PACKET_END, PTR_TO_PACKET_META, PTR_TO_SOCK_COMMON, PTR_TO_SOCKET, PTR_TO_STACK, PTR_TO_TCP_SOCK,
    PTR_TO_TP_BUFFER, PTR_TO_XDP_SOCK, RegType, SCALAR_VALUE,
};
use crate::scalar::Scalar;
use crate::state::{FuncState, Slot, VerifierState};

/// Where maps lie in a kernel that there is not: addresses are masked where logs are compared.
const MAP_ADDRESS: u64 = 0xffff_8881_0000_0000;
/// Distance of such addresses.
const MAP_DISTANCE: u64 = 0x1_0000;
/// `BPF_LOG_MIN_ALIGNMENT` and `BPF_LOG_ALIGNMENT`: where the state starts behind an instruction.
const MIN_ALIGNMENT: u64 = 8;
const ALIGNMENT: u64 = 40;

/// A type as messages name it (`reg_type_str`).
struct TypeStr(RegType);

impl fmt::Display for TypeStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ty = self.0;
        for (flag, prefix) in [
            (MEM_RDONLY, "rdonly_"),
            (MEM_RINGBUF, "ringbuf_"),
            (MEM_USER, "user_"),
            (MEM_PERCPU, "percpu_"),
            (MEM_RCU, "rcu_"),
            (PTR_UNTRUSTED, "untrusted_"),
            (PTR_TRUSTED, "trusted_"),
        ] {
            if ty.has(flag) {
                f.write_str(prefix)?;
            }
        }
        f.write_str(match ty.base() {
            NOT_INIT => "?",
            SCALAR_VALUE => "scalar",
            PTR_TO_CTX => "ctx",
            CONST_PTR_TO_MAP => "map_ptr",
            PTR_TO_MAP_VALUE => "map_value",
            PTR_TO_STACK => "fp",
            PTR_TO_PACKET => "pkt",
            PTR_TO_PACKET_META => "pkt_meta",
            PTR_TO_PACKET_END => "pkt_end",
            PTR_TO_FLOW_KEYS => "flow_keys",
            PTR_TO_SOCKET => "sock",
            PTR_TO_SOCK_COMMON => "sock_common",
            PTR_TO_TCP_SOCK => "tcp_sock",
            PTR_TO_TP_BUFFER => "tp_buffer",
            PTR_TO_XDP_SOCK => "xdp_sock",
            PTR_TO_BTF_ID => "ptr_",
            PTR_TO_MEM => "mem",
            PTR_TO_ARENA => "arena",
            PTR_TO_BUF => "buf",
            PTR_TO_FUNC => "func",
            PTR_TO_MAP_KEY => "map_key",
            CONST_PTR_TO_DYNPTR => "dynptr_ptr",
            _ => "(null)",
        })?;
        match (ty.may_be_null(), ty.base()) {
            (true, PTR_TO_BTF_ID) => f.write_str("or_null_"),
            (true, _) => f.write_str("_or_null"),
            _ => Ok(()),
        }
    }
}

/// `verbose_unum`: decimal up to 16 bits.
struct Unsigned(u64);

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 <= u16::MAX.into() { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

/// `verbose_snum`.
struct Signed(i64);

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if i16::try_from(self.0).is_ok() { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

/// `fmt_reg_mask`: `r0,r2`.
pub(crate) fn fmt_reg_mask(mask: u32) -> RegMask {
    RegMask(mask)
}

/// A set of registers.
pub(crate) struct RegMask(u32);

impl fmt::Display for RegMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for i in (0..32).filter(|i| self.0 & 1 << i != 0) {
            write!(f, "{comma}r{i}")?;
            comma = ",";
        }
        Ok(())
    }
}

/// `bpf_fmt_stack_mask`: `-8,-24`.
pub(crate) fn fmt_stack_mask(mask: u64) -> StackMask {
    StackMask(mask)
}

/// A set of stack slots.
pub(crate) struct StackMask(u64);

impl fmt::Display for StackMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for i in (0..64).filter(|i| self.0 & 1 << i != 0) {
            write!(f, "{comma}{}", -(i + 1) * 8)?;
            comma = ",";
        }
        Ok(())
    }
}

/// `print_scalar_ranges`: bounds that say something, equal ones together.
fn write_ranges(log: &mut Log, val: &Scalar, sep: &mut &str) {
    let low = |n: i32| if i16::try_from(n).is_ok() { i64::from(n) as u64 } else { u64::from(n as u32) };
    let mut bounds = [
        ("smin", val.smin as u64, val.smin == i64::MIN),
        ("smax", val.smax as u64, val.smax == i64::MAX),
        ("umin", val.umin, val.umin == 0),
        ("umax", val.umax, val.umax == u64::MAX),
        ("smin32", low(val.s32_min), val.s32_min == i32::MIN),
        ("smax32", low(val.s32_max), val.s32_max == i32::MAX),
        ("umin32", val.u32_min.into(), val.u32_min == 0),
        ("umax32", val.u32_max.into(), val.u32_max == u32::MAX),
    ];
    for i in 0..bounds.len() {
        let (name, value, omit) = bounds[i];
        if omit {
            continue;
        }
        let negative = |name: &str, value: u64| name.starts_with('s') && (value as i64) < 0;
        log.write(format_args!("{sep}{name}="));
        *sep = ",";
        for j in (i + 2..bounds.len()).step_by(2) {
            let (other, also, omit) = bounds[j];
            if !omit && also == value && negative(other, also) == negative(name, value) {
                bounds[j].2 = true;
                log.write(format_args!("{other}="));
            }
        }
        if name.starts_with('s') {
            log.write(format_args!("{}", Signed(value as i64)));
        } else {
            log.write(format_args!("{}", Unsigned(value)));
        }
    }
}

/// `print_reg_state`.
fn write_reg(log: &mut Log, maps: &[Map<'_>], state: &FuncState, reg: &Reg) {
    let ty = reg.ty;
    let val = &reg.val;
    if ty == SCALAR_VALUE && reg.precise {
        log.write(format_args!("P"));
    }
    if ty == SCALAR_VALUE && val.var_off.is_const() {
        log.write(format_args!("{}", Signed(val.var_off.value as i64)));
        return;
    }
    log.write(format_args!("{}", TypeStr(ty)));
    if ty == PTR_TO_ARENA {
        return;
    }
    if ty == PTR_TO_STACK {
        if state.frameno != reg.frameno {
            log.write(format_args!("[{}]", reg.frameno));
        }
        if val.var_off.is_const() {
            let off = (val.var_off.value as i64).wrapping_add(reg.off.into());
            log.write(format_args!("{}", Signed(off)));
            return;
        }
    }
    log.write(format_args!("("));
    let sep = &mut "";
    macro_rules! append {
        ($($arg:tt)*) => {{
            log.write(format_args!("{sep}{}", format_args!($($arg)*)));
            *sep = ",";
        }};
    }
    if reg.id != 0 {
        append!("id={}", reg.id & !BPF_ADD_CONST);
    }
    if reg.id & BPF_ADD_CONST != 0 {
        log.write(format_args!("{:+}", reg.off));
    }
    if reg.ref_obj_id != 0 {
        append!("ref_obj_id={}", reg.ref_obj_id);
    }
    if ty.base() == PTR_TO_BTF_ID && ty.has(MEM_ALLOC) && ty.has(NON_OWN_REF) {
        append!("non_own_ref");
    }
    if matches!(ty.base(), CONST_PTR_TO_MAP | PTR_TO_MAP_KEY | PTR_TO_MAP_VALUE)
        && let Some(map) = reg.map().map(|map| &maps[map.index()])
    {
        if !map.name.is_empty() {
            append!("map={}", map.name);
        }
        append!("ks={},vs={}", map.key_size as i32, map.value_size as i32);
    }
    if ty != SCALAR_VALUE && reg.off != 0 {
        append!("off={}", Signed(reg.off.into()));
    }
    if ty.is_pkt_pointer() {
        append!("r={}", Unsigned(i64::from(reg.range()) as u64));
    }
    if ty.base() == PTR_TO_MEM {
        append!("sz={}", Unsigned(reg.mem_size().into()));
    }
    if ty == CONST_PTR_TO_DYNPTR {
        append!("type={}", dynptr_type_str(reg.dynptr().0));
    }
    if val.var_off.is_const() {
        if val.var_off.value != 0 {
            append!("imm={}", Signed(val.var_off.value as i64));
        }
    } else {
        write_ranges(log, val, sep);
        if !val.var_off.is_unknown() {
            log.write(format_args!("{sep}var_off={}", val.var_off));
        }
    }
    log.write(format_args!(")"));
}

/// What a byte of a slot is in the log.
fn slot_char(byte: Slot) -> char {
    match byte {
        Slot::Invalid => '?',
        Slot::Spill => 'r',
        Slot::Misc => 'm',
        Slot::Zero => '0',
        Slot::Dynptr => 'd',
        Slot::Iter => 'i',
        Slot::IrqFlag => 'f',
    }
}

/// The slots of a frame that are in `scratched`.
fn write_stack(log: &mut Log, maps: &[Map<'_>], state: &FuncState, scratched: u64) {
    let mut i = 0;
    while i < state.stack.len() {
        let slot = &state.stack[i];
        if scratched & 1 << (i & 63) == 0 || slot.bytes == [Slot::Invalid; 8] {
            i += 1;
            continue;
        }
        let off = -(i as i32 + 1) * 8;
        match slot.bytes[7] {
            Slot::Dynptr => {
                // The first slot of the two is the one further down.
                i += 1;
                let reg = state.stack.get(i).map_or(&slot.spilled, |slot| &slot.spilled);
                log.write(format_args!(" fp{}", -(i as i32 + 1) * 8));
                log.write(format_args!("=dynptr_{}(", dynptr_type_str(reg.dynptr().0)));
                let mut sep = "";
                for (name, id) in [("id", reg.id), ("ref_id", reg.ref_obj_id), ("dynptr_id", reg.dynptr_id())]
                {
                    if id != 0 {
                        log.write(format_args!("{sep}{name}={id}"));
                        sep = ",";
                    }
                }
                log.write(format_args!(")"));
            }
            kind => {
                let shown = slot.bytes.iter().take_while(|&&b| kind != Slot::Spill || b != Slot::Spill);
                log.write(format_args!(" fp{off}={}", Bytes(&slot.bytes[..shown.count()])));
                if kind == Slot::Spill {
                    write_reg(log, maps, state, &slot.spilled);
                }
            }
        }
        i += 1;
    }
}

/// Bytes of a slot.
struct Bytes<'a>(&'a [Slot]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| f.write_char(slot_char(byte)))
    }
}

/// `print_verifier_state`, of a frame: the registers and slots in the masks.
fn write_state(log: &mut Log, maps: &[Map<'_>], st: &VerifierState, frameno: u32, regs: u32, slots: u64) {
    let Some(state) = st.frames.get(frameno as usize) else { return };
    if state.frameno != 0 {
        log.write(format_args!(" frame{}:", state.frameno));
    }
    for (i, reg) in state.regs.iter().enumerate() {
        if reg.ty != NOT_INIT && regs & 1 << i != 0 {
            log.write(format_args!(" R{i}="));
            write_reg(log, maps, state, reg);
        }
    }
    write_stack(log, maps, state, slots);
    if let Some(first) = st.refs.first().filter(|r| r.id != 0) {
        log.write(format_args!(" refs={}", first.id));
        for r in st.refs[1..].iter().filter(|r| r.id != 0) {
            log.write(format_args!(",{}", r.id));
        }
    }
    if state.in_callback_fn {
        log.write(format_args!(" cb"));
    }
    if state.in_async_callback_fn {
        log.write(format_args!(" async_cb"));
    }
    log.write(format_args!("\n"));
}

/// Writes to the log, in which instructions name nothing.
struct Plain<'a>(&'a mut String);

impl Write for Plain<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.push_str(s);
        Ok(())
    }
}

impl Spell for Plain<'_> {}

/// A line record: where it starts, offsets of file name and line in the strings, number of the line.
struct Line {
    insn_off: u32,
    file_name_off: u32,
    line_off: u32,
    number: u32,
}

impl Env<'_> {
    /// `print_verifier_state`, of any state.
    pub(crate) fn print_verifier_state(&mut self, st: &VerifierState, frameno: u32, print_all: bool) {
        if !self.log.needed() {
            return;
        }
        let (regs, slots) =
            if print_all { (u32::MAX, u64::MAX) } else { (self.scratched_regs, self.scratched_stack_slots) };
        write_state(&mut self.log, &self.maps, st, frameno, regs, slots);
        if !print_all {
            self.mark_verifier_state_clean();
        }
    }

    /// The same, of the current state.
    pub(crate) fn print_cur_state(&mut self, frameno: u32, print_all: bool) {
        let cur = std::mem::take(&mut self.cur);
        self.print_verifier_state(&cur, frameno, print_all);
        self.cur = cur;
    }

    /// `print_insn_state`: what the instruction changed, behind it where nothing came between.
    pub(crate) fn print_insn_state(&mut self, frameno: u32) {
        if self.prev_log_pos != 0 && self.prev_log_pos == self.log.end_pos() {
            self.log.reset(self.prev_log_pos - 1);
            let pos = self.prev_insn_print_pos;
            let column = (pos + MIN_ALIGNMENT / 2).max(ALIGNMENT).next_multiple_of(MIN_ALIGNMENT);
            let width = (column - pos - 1) as usize;
            self.log.write(format_args!("{:width$};", ' '));
        } else {
            self.log.write(format_args!("{}:", self.insn_idx));
        }
        self.print_cur_state(frameno, false);
    }

    /// `verbose_insn`.
    pub(crate) fn verbose_insn(&mut self, idx: u32) {
        if !self.log.needed() {
            return;
        }
        let at = idx as usize;
        let mut insn = self.insns[at];
        let mut next = self.insns.get(at + 1).copied().unwrap_or_default();
        self.show_addresses(at, &mut insn, &mut next);
        let mut text = String::new();
        // A `String` takes anything.
        let _ = print_kernel_text(&mut Plain(&mut text), insn, next);
        self.log.write(format_args!("{text}\n"));
    }

    /// The kernel puts addresses where instructions name maps. Programs that must not see them read zero, if they
    /// name maps by descriptor (`is_ptr` of `print_bpf_insn`).
    fn show_addresses(&self, at: usize, insn: &mut Insn, next: &mut Insn) {
        let is_map = matches!(insn.src, 1 | 2 | 5 | 6) && insn.code == opcode::LD_IMM64;
        let Some(aux) = self.aux.get(at).filter(|_| is_map) else { return };
        let address = if self.allow_ptr_leaks || matches!(insn.src, 5 | 6) {
            MAP_ADDRESS + aux.map_index as u64 * MAP_DISTANCE + u64::from(aux.map_off)
        } else {
            0
        };
        insn.imm = address as i32;
        next.imm = (address >> 32) as i32;
    }

    fn line(&self, index: usize) -> Option<Line> {
        let info = &self.program.line_info;
        let size = info.rec_size as usize;
        let bytes = info.bytes.get(index * size..(index + 1) * size)?;
        let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Some(Line {
            insn_off: word(0)?,
            file_name_off: word(4)?,
            line_off: word(8)?,
            number: word(12)? >> 10,
        })
    }

    /// `find_linfo`: the last record that starts at or before an instruction.
    fn find_linfo(&self, insn_off: u32) -> Option<usize> {
        let info = &self.program.line_info;
        let count = info.bytes.len().checked_div(info.rec_size as usize)?;
        let starts_after = |i: usize| self.line(i).is_none_or(|line| line.insn_off > insn_off);
        let (mut low, mut high) = (0, count.checked_sub(1)?);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if starts_after(middle) {
                high = middle - 1;
            } else {
                low = middle;
            }
        }
        Some(low)
    }

    /// `verbose_linfo`: the source line of an instruction, unless it was the last one shown.
    pub(crate) fn verbose_linfo(&mut self, insn_off: u32, prefix: fmt::Arguments<'_>) {
        if !self.log.needed() {
            return;
        }
        let Some(index) = self.find_linfo(insn_off) else { return };
        let prev = self.prev_linfo;
        if prev == Some(index) {
            return;
        }
        let Some(line) = self.line(index) else { return };
        if let Some(before) = prev.and_then(|i| self.line(i))
            && (before.file_name_off, before.number) == (line.file_name_off, line.number)
        {
            return;
        }
        self.log.write(prefix);
        if let Some(btf) = &self.btf {
            let text = btf.btf.string(line.line_off).unwrap_or("(invalid-name-offset)");
            let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
            self.log.write(format_args!("{text}"));
            let file = btf.btf.string(line.file_name_off).unwrap_or("(invalid-name-offset)");
            let file = file.rsplit('/').next().unwrap_or(file);
            self.log.write(format_args!(" @ {file}:{}\n", line.number));
        }
        self.prev_linfo = Some(index);
    }

    /// `reg_type_str`.
    pub(crate) fn reg_type_str(&self, ty: RegType) -> String {
        let text = TypeStr(ty).to_string();
        // What memory of ring buffers was called when no other was allocated.
        if self.profile().has_trusted_pointers() { text } else { text.replace("ringbuf_", "alloc_") }
    }

    /// `print_verification_stats`.
    pub(crate) fn print_verification_stats(&mut self, micros: u128) {
        if !self.log.needed() {
            return;
        }
        if self.log.level & log::STATS != 0 {
            self.log.write(format_args!("verification time {micros} usec\n"));
            self.log.write(format_args!("stack depth "));
            for i in 0..self.subprog_cnt as usize {
                let plus = if i + 1 < self.subprog_cnt as usize { "+" } else { "" };
                self.log.write(format_args!("{}{plus}", self.subprogs[i].stack_depth));
            }
            self.log.write(format_args!("\n"));
        }
        self.log.write(format_args!(
            "processed {} insns (limit {BPF_COMPLEXITY_LIMIT_INSNS}) max_states_per_insn {} total_states {} \
             peak_states {} mark_read {}\n",
            self.insn_processed,
            self.max_states_per_insn,
            self.total_states,
            self.peak_states,
            self.longest_mark_read_walk
        ));
    }
}
