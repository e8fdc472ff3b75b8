// SPDX-License-Identifier: GPL-2.0-only
//! Function and line information against BTF (`check_btf_info @ 6.18`).

use skep_program::Info;
use skep_program::btf::{Kind, Linkage};

use crate::btf::{is_any_enum, is_small_int};
use crate::env::Env;
use crate::stop::{E2BIG, EINVAL, Res, verbose};

/// `MIN_BPF_FUNCINFO_SIZE`, and what the kernel reads of a record.
const FUNC_INFO_SIZE: u32 = 8;
/// `MIN_BPF_LINEINFO_SIZE`, and what the kernel reads of a record.
const LINE_INFO_SIZE: u32 = 16;
/// `MIN_CORE_RELO_SIZE`, and what the kernel reads of a record.
const CORE_RELO_SIZE: u32 = 16;
/// `MAX_FUNCINFO_REC_SIZE` and its like.
const MAX_REC_SIZE: u32 = 252;

/// Whether the kernel takes records of this size.
fn is_rec_size(size: u32, least: u32) -> bool {
    (least..=MAX_REC_SIZE).contains(&size) && size.is_multiple_of(4)
}

/// The word at a position of a record; 0 behind its end.
fn word(record: &[u8], index: usize) -> u32 {
    record.as_chunks::<4>().0.get(index).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// `bpf_check_uarg_tail_zero`: nothing stands where a record is longer than the kernel knows it.
fn has_zero_tail(record: &[u8], known: u32) -> bool {
    record.iter().skip(known as usize).all(|&byte| byte == 0)
}

fn count(info: &Info) -> u32 {
    info.records().count()
}

impl Env<'_> {
    /// First instruction and type of each record of the function information.
    pub(crate) fn func_infos(&self) -> impl Iterator<Item = (u32, u32)> {
        let info = &self.program.func_info;
        let records = count(info) as usize;
        info.iter().take(records).map(|record| (word(record, 0), word(record, 1)))
    }

    /// First instruction and type of a function; `None` without function information.
    pub(crate) fn func_info(&self, subprog: u32) -> Option<(u32, u32)> {
        self.func_infos().nth(subprog as usize)
    }

    /// What needs a result of type `int` is only for functions whose type is known.
    fn check_abnormal_return(&mut self) -> Res {
        for subprog in 1..self.subprog_cnt as usize {
            if self.subprogs[subprog].has_ld_abs {
                verbose!(self, "LD_ABS is not allowed in subprogs without BTF\n");
                return Err(EINVAL);
            }
            if self.subprogs[subprog].has_tail_call {
                verbose!(self, "tail_call is not allowed in subprogs without BTF\n");
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    /// Whether there is a record of a function.
    pub(crate) fn has_func_info(&self) -> bool {
        count(&self.program.func_info) != 0
    }

    fn has_btf_info(&self) -> bool {
        count(&self.program.func_info) != 0 || count(&self.program.line_info) != 0
    }

    /// What is checked before the functions are known.
    pub(crate) fn check_btf_info_early(&mut self) -> Res {
        if !self.has_btf_info() {
            return self.check_abnormal_return();
        }
        if self.program.btf.is_none() {
            // Descriptor 0 is open, and no BTF.
            return Err(EINVAL);
        }
        if self.btf.is_none() {
            return self.unsupported("BTF that cannot be read");
        }
        self.check_btf_func_early()
    }

    fn check_btf_func_early(&mut self) -> Res {
        let program = self.program;
        let info = &program.func_info;
        if count(info) == 0 {
            return self.check_abnormal_return();
        }
        if !is_rec_size(info.rec_size, FUNC_INFO_SIZE) {
            verbose!(self, "invalid func info rec size {}\n", info.rec_size);
            return Err(EINVAL);
        }
        let mut previous = 0;
        for (at, record) in info.iter().enumerate() {
            if !has_zero_tail(record, FUNC_INFO_SIZE) {
                verbose!(self, "nonzero tailing record in func info");
                return Err(E2BIG);
            }
            let (insn_off, type_id) = (word(record, 0), word(record, 1));
            if at == 0 && insn_off != 0 {
                verbose!(self, "nonzero insn_off {insn_off} for the first func info record");
                return Err(EINVAL);
            }
            if at != 0 && insn_off <= previous {
                verbose!(
                    self,
                    "same or smaller insn offset ({insn_off}) than previous func info record ({previous})"
                );
                return Err(EINVAL);
            }
            let types = self.btf.as_ref().map(|btf| &btf.btf);
            let func = types.and_then(|btf| btf.get(type_id)).filter(|func| func.kind() == Kind::Func);
            let Some(func) = func else {
                verbose!(self, "invalid type id {} in func info", type_id as i32);
                return Err(EINVAL);
            };
            let proto = types.and_then(|btf| btf.get(func.size_or_type()));
            if proto.is_none_or(|proto| proto.kind() != Kind::FuncProto) {
                return Err(EINVAL);
            }
            previous = insn_off;
        }
        Ok(())
    }

    /// What is checked once the functions are known.
    pub(crate) fn check_btf_info(&mut self) -> Res {
        if !self.has_btf_info() {
            return self.check_abnormal_return();
        }
        self.check_btf_func()?;
        self.check_btf_line()?;
        self.check_core_relo()
    }

    fn check_btf_func(&mut self) -> Res {
        let records = count(&self.program.func_info);
        if records == 0 {
            return self.check_abnormal_return();
        }
        if records != self.subprog_cnt {
            verbose!(self, "number of funcs in func_info doesn't match number of subprogs\n");
            return Err(EINVAL);
        }
        let Some(btf) = self.btf.clone() else { return Err(EINVAL) };
        let infos: Vec<(u32, u32)> = self.func_infos().collect();
        for (at, &(insn_off, type_id)) in infos.iter().enumerate() {
            let subprog = &self.subprogs[at];
            if subprog.start != insn_off {
                verbose!(self, "func_info BTF section doesn't match subprog layout in BPF program\n");
                return Err(EINVAL);
            }
            let func = btf.btf.get(type_id);
            let ret = func
                .and_then(|func| btf.btf.get(func.size_or_type()))
                .and_then(|proto| btf.btf.skip_modifiers(proto.size_or_type()));
            let scalar_return = is_small_int(ret) || is_any_enum(ret);
            if at != 0 && !scalar_return && subprog.has_ld_abs {
                verbose!(self, "LD_ABS is only allowed in functions that return 'int'.\n");
                return Err(EINVAL);
            }
            if at != 0 && !scalar_return && subprog.has_tail_call {
                verbose!(self, "tail_call is only allowed in functions that return 'int'.\n");
                return Err(EINVAL);
            }
        }
        for (subprog, &(_, type_id)) in self.subprogs.iter_mut().zip(&infos) {
            let linkage = btf.btf.get(type_id).and_then(|func| func.linkage());
            subprog.is_global = linkage == Some(Linkage::Global);
            subprog.func_type_id = type_id;
        }
        Ok(())
    }

    fn check_btf_line(&mut self) -> Res {
        let program = self.program;
        let info = &program.line_info;
        if count(info) == 0 {
            return Ok(());
        }
        if !is_rec_size(info.rec_size, LINE_INFO_SIZE) {
            return Err(EINVAL);
        }
        let len = self.insns.len() as u32;
        let (mut previous, mut subprog) = (0, 0);
        for (at, record) in info.iter().enumerate() {
            if !has_zero_tail(record, LINE_INFO_SIZE) {
                verbose!(self, "nonzero tailing record in line_info");
                return Err(E2BIG);
            }
            let (insn_off, file_name_off, line_off) = (word(record, 0), word(record, 1), word(record, 2));
            if at != 0 && insn_off <= previous || insn_off >= len {
                verbose!(
                    self,
                    "Invalid line_info[{at}].insn_off:{insn_off} (prev_offset:{previous} prog->len:{len})\n"
                );
                return Err(EINVAL);
            }
            if self.insns[insn_off as usize].code == 0 {
                verbose!(self, "Invalid insn code at line_info[{at}].insn_off\n");
                return Err(EINVAL);
            }
            let is_name = |off| self.btf.as_ref().is_some_and(|btf| btf.has_string(off));
            if !is_name(line_off) || !is_name(file_name_off) {
                verbose!(self, "Invalid line_info[{at}].line_off or .file_name_off\n");
                return Err(EINVAL);
            }
            if subprog != self.subprog_cnt {
                let info = &mut self.subprogs[subprog as usize];
                if insn_off == info.start {
                    info.linfo_idx = at as u32;
                    subprog += 1;
                } else if info.start < insn_off {
                    verbose!(self, "missing bpf_line_info for func#{subprog}\n");
                    return Err(EINVAL);
                }
            }
            previous = insn_off;
        }
        if subprog != self.subprog_cnt {
            let missing = self.subprog_cnt - subprog;
            verbose!(self, "missing bpf_line_info for {missing} funcs starting from func#{subprog}\n");
            return Err(EINVAL);
        }
        Ok(())
    }

    /// `check_core_relo` up to what it takes from the kernel's BTF.
    fn check_core_relo(&mut self) -> Res {
        let program = self.program;
        let info = &program.core_relos;
        if count(info) == 0 {
            return Ok(());
        }
        if !is_rec_size(info.rec_size, CORE_RELO_SIZE) {
            return Err(EINVAL);
        }
        let Some(record) = info.iter().next() else { return Ok(()) };
        if !has_zero_tail(record, CORE_RELO_SIZE) {
            verbose!(self, "nonzero tailing record in core_relo");
            return Err(E2BIG);
        }
        let (insn_off, len) = (word(record, 0), self.insns.len() as u32);
        if !insn_off.is_multiple_of(8) || insn_off / 8 >= len {
            verbose!(self, "Invalid core_relo[0].insn_off:{insn_off} prog->len:{len}\n");
            return Err(EINVAL);
        }
        self.unsupported("CO-RE relocations against the kernel's types")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let record = [1, 0, 0, 0, 0, 1, 0, 0, 0, 9];
        assert_eq!((word(&record, 0), word(&record, 1), word(&record, 2)), (1, 256, 0));
        assert!(has_zero_tail(&record, 10) && !has_zero_tail(&record, 8));
        assert!(is_rec_size(8, 8) && is_rec_size(252, 8));
        assert!(!is_rec_size(4, 8) && !is_rec_size(10, 8) && !is_rec_size(256, 8));
    }
}
