// SPDX-License-Identifier: GPL-2.0-only
//! Types of arguments that are the context (`btf_is_prog_ctx_type`, `btf_validate_prog_ctx_type @ 6.18`).

use skep_program::btf::{Kind, Type};
use skep_uapi::context::{self, Kind as Ctx, SK_BUFF, XDP_MD};
use skep_uapi::{AttachType, ProgType};

use super::{ProgBtf, is_int, is_struct, is_struct_or_union};
use crate::env::Env;
use crate::stop::{EINVAL, Res, verbose};

/// The name of `struct pt_regs` that kernels give to programs on any architecture.
const USER_PT_REGS: &str = "bpf_user_pt_regs_t";

/// `find_canonical_prog_ctx_type`: name of the structure that is the context in the kernel's `bpf_types.h`; `None`
/// where it has no type with a name, or one that is no structure.
fn canonical_ctx_struct(prog_type: ProgType) -> Option<&'static str> {
    if prog_type == ProgType::NETFILTER {
        return Some("bpf_nf_ctx");
    }
    match context::kind_of(prog_type)? {
        Ctx::SkBuff { .. } | Ctx::FlowDissector => Some(SK_BUFF.name),
        Ctx::Xdp => Some(XDP_MD.name),
        Ctx::Struct(layout) => Some(layout.name),
        Ctx::Opaque => None,
    }
}

/// `btf_is_projection_of`: structures of the kernel that the context stands for.
fn is_projection_of(ctx: &str, name: &str) -> bool {
    ctx == SK_BUFF.name && name == "sk_buff" || ctx == XDP_MD.name && name == "xdp_buff"
}

/// Whether there is a name of the registers of user space on the way through modifiers.
fn is_user_pt_regs(btf: &ProgBtf, mut id: u32) -> bool {
    while let Some(ty) = btf.btf.get(id).filter(|ty| ty.kind().is_modifier_or_typedef()) {
        if ty.kind() == Kind::Typedef {
            return ty.name() == USER_PT_REGS;
        }
        id = ty.size_or_type();
    }
    false
}

/// `btf_is_prog_ctx_type`: whether a pointer points to the context of programs of this type, by the name of what it
/// points to.
pub(super) fn is_prog_ctx_type(btf: &ProgBtf, pointer: Type<'_>, prog_type: ProgType) -> bool {
    let target = pointer.size_or_type();
    if prog_type == ProgType::KPROBE && is_user_pt_regs(btf, target) {
        return true;
    }
    let target = btf.btf.skip_modifiers(target);
    let Some(name) = target.filter(|_| is_struct_or_union(target)).map(|ty| ty.name()) else { return false };
    let Some(ctx) = canonical_ctx_struct(prog_type) else { return false };
    name == ctx || is_projection_of(ctx, name) || prog_type == ProgType::KPROBE && name == USER_PT_REGS
}

impl Env<'_> {
    /// `btf_validate_prog_ctx_type`: an argument that is tagged as the context points to a type that fits.
    pub(super) fn validate_prog_ctx_type(&mut self, btf: &ProgBtf, pointer: Type<'_>, arg: usize) -> Res {
        let (prog_type, attach_type) = (self.program.prog_type, self.expected_attach_type);
        let target = pointer.size_or_type();
        if matches!(prog_type, ProgType::KPROBE | ProgType::PERF_EVENT) && is_user_pt_regs(btf, target) {
            return Ok(());
        }
        let Some(ty) = btf.btf.skip_modifiers(target) else {
            // `void *` will always do.
            return Ok(());
        };
        let name = ty.name();
        if name.is_empty() {
            verbose!(self, "arg#{arg} type doesn't have a name\n");
            return Err(EINVAL);
        }
        let is_struct = is_struct(Some(ty));
        let is_u64 = is_int(Some(ty)) && ty.size_or_type() == 8;
        let fits = match prog_type {
            ProgType::KPROBE | ProgType::PERF_EVENT => is_struct && name == "pt_regs",
            ProgType::RAW_TRACEPOINT
            | ProgType::RAW_TRACEPOINT_WRITABLE
            | ProgType::LSM
            | ProgType::STRUCT_OPS => is_u64,
            ProgType::TRACING => match attach_type {
                AttachType::TRACE_RAW_TP => is_u64 || is_struct && name == "bpf_raw_tracepoint_args",
                AttachType::TRACE_ITER => is_struct && name.starts_with("bpf_iter__"),
                AttachType::TRACE_FENTRY | AttachType::TRACE_FEXIT | AttachType::MODIFY_RETURN => is_u64,
                _ => false,
            },
            ProgType::TRACEPOINT | ProgType::SYSCALL | ProgType::EXT => true,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let Some(ctx) = canonical_ctx_struct(prog_type) else {
            verbose!(self, "arg#{arg} should be void pointer\n");
            return Err(EINVAL);
        };
        if !is_struct || name != ctx {
            verbose!(self, "arg#{arg} should be `struct {ctx} *`\n");
            return Err(EINVAL);
        }
        Ok(())
    }
}
