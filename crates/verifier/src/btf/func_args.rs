// SPDX-License-Identifier: GPL-2.0-only
//! What the arguments of a function are, by its prototype and tags (`btf_prepare_func_args @ 6.18`).

use skep_program::btf::{Kind, Type};

use super::ctx_type::is_prog_ctx_type;
use super::{ProgBtf, is_any_enum, is_int, is_primitive, is_struct_or_union, kind_str};
use crate::env::{Env, SubprogArg};
use crate::stop::{EFAULT, EINVAL, EOPNOTSUPP, Res, verbose, verifier_bug};

/// `MAX_BPF_FUNC_REG_ARGS`
const MAX_ARGS: usize = 5;
/// What tags of arguments start with.
const TAG_KEY: &str = "arg:";

/// `enum btf_arg_tag`
mod tag {
    pub(super) const CTX: u32 = 1 << 0;
    pub(super) const NONNULL: u32 = 1 << 1;
    pub(super) const TRUSTED: u32 = 1 << 2;
    pub(super) const UNTRUSTED: u32 = 1 << 3;
    pub(super) const NULLABLE: u32 = 1 << 4;
    pub(super) const ARENA: u32 = 1 << 5;

    pub(super) fn by_name(name: &str) -> Option<u32> {
        Some(match name {
            "ctx" => CTX,
            "trusted" => TRUSTED,
            "untrusted" => UNTRUSTED,
            "nonnull" => NONNULL,
            "nullable" => NULLABLE,
            "arena" => ARENA,
            _ => return None,
        })
    }
}

/// `btf_is_dynptr_ptr`: a pointer to `struct bpf_dynptr`, which may be declared only.
fn is_dynptr_ptr(btf: &ProgBtf, pointer: Type<'_>) -> bool {
    let target = btf.btf.skip_modifiers(pointer.size_or_type());
    let declared = target.is_some_and(|ty| ty.kind() == Kind::Fwd && !ty.kind_flag());
    (is_struct_or_union(target) || declared) && target.is_some_and(|ty| ty.name() == "bpf_dynptr")
}

impl Env<'_> {
    /// Reads the arguments of a function into [`SubprogInfo::args`](crate::env::SubprogInfo::args), once. Functions
    /// that are not global may have any: without a message, `EINVAL` only means that they are not known then.
    pub(crate) fn btf_prepare_func_args(&mut self, subprog: u32) -> Res {
        if self.subprogs[subprog as usize].args.is_some() {
            return Ok(());
        }
        let is_global = self.subprog_is_global(subprog);
        let Some((_, type_id)) = self.func_info(subprog) else {
            return Err(verifier_bug!(self, "func_info undefined"));
        };
        if type_id == 0 {
            if !is_global {
                return Err(EINVAL);
            }
            verbose!(self, "Global functions need valid BTF\n");
            return Err(EFAULT);
        }
        let btf = self.btf.clone();
        let func = btf.as_ref().and_then(|btf| btf.btf.get(type_id));
        let (Some(btf), Some(func)) = (&btf, func.filter(|func| func.kind() == Kind::Func)) else {
            verbose!(self, "BTF of func#{subprog} doesn't point to KIND_FUNC\n");
            return Err(EFAULT);
        };
        let name = func.name();
        if self.subprogs[subprog as usize].unreliable {
            return Err(verifier_bug!(self, "unreliable BTF for function {}()", name));
        }
        let proto = btf.btf.get(func.size_or_type()).filter(|proto| proto.kind() == Kind::FuncProto);
        let Some(proto) = proto else {
            verbose!(self, "Invalid type of function {name}()\n");
            return Err(EFAULT);
        };
        let nargs = proto.vlen();
        if nargs > MAX_ARGS {
            if is_global {
                verbose!(self, "Global function {name}() with {nargs} > {MAX_ARGS} args. Buggy compiler.\n");
            }
            return Err(EINVAL);
        }
        let ret = btf.btf.skip_modifiers(proto.size_or_type());
        if !is_int(ret) && !is_any_enum(ret) {
            if is_global {
                verbose!(self, "Global function {name}() doesn't return scalar. Only those are supported.\n");
            }
            return Err(EINVAL);
        }
        let mut args = Vec::with_capacity(nargs);
        for (at, param) in proto.params().enumerate() {
            let tags = self.arg_tags(btf, type_id, at, is_global)?;
            let ty = btf.btf.skip_modifiers(param.ty);
            if let Some(pointer) = ty.filter(|ty| ty.kind() == Kind::Ptr)
                && let Some(arg) = self.pointer_arg(btf, pointer, at, tags, is_global)?
            {
                args.push(arg);
                continue;
            }
            if tags != 0 {
                verbose!(self, "arg#{at} has pointer tag, but is not a pointer type\n");
                return Err(EINVAL);
            }
            if !is_int(ty) && !is_any_enum(ty) {
                if is_global {
                    let kind = kind_str(ty);
                    verbose!(self, "Arg#{at} type {kind} in {name}() is not supported yet.\n");
                }
                return Err(EINVAL);
            }
            args.push(SubprogArg::Anything);
        }
        self.subprogs[subprog as usize].args = Some(args);
        Ok(())
    }

    /// Tags of an argument, which say more than its type and are for global functions only.
    fn arg_tags(&mut self, btf: &ProgBtf, func: u32, arg: usize, is_global: bool) -> Res<u32> {
        let (mut tags, mut id) = (0, 0);
        while let Some(found) = btf.find_next_decl_tag(func, arg as i32, TAG_KEY, id) {
            id = found;
            if !is_global {
                verbose!(self, "arg#{arg} type tag is not supported in static functions\n");
                return Err(EOPNOTSUPP);
            }
            let Some(tag) = btf.name(id).strip_prefix(TAG_KEY).and_then(tag::by_name) else {
                verbose!(self, "arg#{arg} has unsupported set of tags\n");
                return Err(EOPNOTSUPP);
            };
            tags |= tag;
        }
        Ok(tags)
    }

    /// An argument that is a pointer; `None` where a function that is not global has one to anything.
    fn pointer_arg(
        &mut self,
        btf: &ProgBtf,
        pointer: Type<'_>,
        at: usize,
        tags: u32,
        is_global: bool,
    ) -> Res<Option<SubprogArg>> {
        let invalid_tags = |env: &mut Self| {
            verbose!(env, "arg#{at} has invalid combination of tags\n");
            Err(EINVAL)
        };
        if tags & tag::CTX != 0 || is_prog_ctx_type(btf, pointer, self.program.prog_type) {
            if tags & !tag::CTX != 0 {
                return invalid_tags(self);
            }
            if tags & tag::CTX != 0 {
                self.validate_prog_ctx_type(btf, pointer, at)?;
            }
            return Ok(Some(SubprogArg::Ctx));
        }
        if is_dynptr_ptr(btf, pointer) {
            return if tags == 0 { Ok(Some(SubprogArg::Dynptr)) } else { invalid_tags(self) };
        }
        if tags & tag::TRUSTED != 0 {
            if tags & tag::NONNULL != 0 {
                return invalid_tags(self);
            }
            return self.unsupported("kernel BTF (trusted arguments)");
        }
        let target = btf.btf.skip_modifiers(pointer.size_or_type());
        if tags & tag::UNTRUSTED != 0 {
            if tags & !tag::UNTRUSTED != 0 {
                verbose!(self, "arg#{at} untrusted cannot be combined with any other tags\n");
                return Err(EINVAL);
            }
            if target.is_none() || is_primitive(target) {
                let arg = SubprogArg::Mem { size: 0, may_be_null: false, rdonly: true, untrusted: true };
                return Ok(Some(arg));
            }
            return self.unsupported("kernel BTF (untrusted arguments)");
        }
        if tags & tag::ARENA != 0 {
            if tags & !tag::ARENA != 0 {
                verbose!(self, "arg#{at} arena cannot be combined with any other tags\n");
                return Err(EINVAL);
            }
            return Ok(Some(SubprogArg::Arena));
        }
        if !is_global {
            return Ok(None);
        }
        if tags & tag::NULLABLE != 0 {
            return invalid_tags(self);
        }
        let Some(size) = btf.resolve_size(target) else {
            let (kind, name) = (kind_str(target), target.map_or("", |ty| ty.name()));
            verbose!(
                self,
                "arg#{at} reference type('{kind} {name}') size cannot be determined: {}\n",
                -skep_uapi::Errno::EINVAL.0
            );
            return Err(EINVAL);
        };
        let may_be_null = tags & tag::NONNULL == 0;
        Ok(Some(SubprogArg::Mem { size, may_be_null, rdonly: false, untrusted: false }))
    }
}
