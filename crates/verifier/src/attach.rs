// SPDX-License-Identifier: GPL-2.0-only
//! What the program attaches to (`check_attach_btf_id @ 6.18`).

use skep_uapi::{AttachType, ProgType};

use crate::env::Env;
use crate::load::license_is_gpl_compatible;
use crate::stop::{EINVAL, ENOTSUPP, Res, verbose};

impl Env<'_> {
    pub(crate) fn check_attach_btf_id(&mut self) -> Res {
        let prog_type = self.program.prog_type;
        if prog_type == ProgType::SYSCALL {
            if self.sleepable {
                return Ok(());
            }
            verbose!(self, "Syscall programs can only be sleepable\n");
            return Err(EINVAL);
        }
        if self.sleepable && !can_be_sleepable(prog_type, self.expected_attach_type) {
            verbose!(
                self,
                "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable\n"
            );
            return Err(EINVAL);
        }
        match prog_type {
            ProgType::STRUCT_OPS => self.check_struct_ops_btf_id(),
            ProgType::TRACING | ProgType::LSM | ProgType::EXT => self.check_attach_target(),
            _ => Ok(()),
        }
    }

    fn check_struct_ops_btf_id(&mut self) -> Res {
        if !license_is_gpl_compatible(&self.program.license) {
            verbose!(self, "struct ops programs must have a GPL compatible license\n");
            return Err(EINVAL);
        }
        if self.program.attach_btf_id == 0 && self.program.attach_name.is_none() {
            return Err(ENOTSUPP);
        }
        self.unsupported("kernel BTF (struct_ops)")
    }

    /// `bpf_check_attach_target`. A target that the program names, its loader gives an id.
    fn check_attach_target(&mut self) -> Res {
        if self.program.attach_btf_id == 0 && self.program.attach_name.is_none() {
            verbose!(self, "Tracing programs must provide btf_id\n");
            return Err(EINVAL);
        }
        self.unsupported("kernel BTF (attach target)")
    }
}

/// `can_be_sleepable`; of `kprobe` programs those on functions of user space.
fn can_be_sleepable(prog_type: ProgType, attach_type: AttachType) -> bool {
    match prog_type {
        ProgType::TRACING => matches!(
            attach_type,
            AttachType::TRACE_FENTRY
                | AttachType::TRACE_FEXIT
                | AttachType::MODIFY_RETURN
                | AttachType::TRACE_ITER
        ),
        ProgType::LSM | ProgType::KPROBE | ProgType::STRUCT_OPS => true,
        _ => false,
    }
}
