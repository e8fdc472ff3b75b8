// SPDX-License-Identifier: GPL-2.0-only
//! Access to structures that the kernel shows in a form of its own: the context, sockets, flow keys
//! (`check_ctx_access`, `check_sock_access @ 6.18`). What is allowed is data, in [`skep_uapi::context`].

use skep_uapi::context::{
    Access as Allowed, Request, SOCK, SOCK_COMMON, TCP_SOCK, XDP_SOCK, Yields, access, access_by, rules_of,
};
use skep_uapi::helper::PTR_MAYBE_NULL;

use crate::env::Env;
use crate::mem::Access;
use crate::reg_type::{
    PTR_TO_FLOW_KEYS, PTR_TO_PACKET, PTR_TO_PACKET_END, PTR_TO_PACKET_META, PTR_TO_SOCK_COMMON,
    PTR_TO_SOCKET, PTR_TO_TCP_SOCK, PTR_TO_TP_BUFFER, PTR_TO_XDP_SOCK, RegType, SCALAR_VALUE,
};
use crate::stop::{EACCES, Res, verbose};

/// `sizeof(struct bpf_flow_keys)`.
const FLOW_KEYS_SIZE: u64 = 56;

impl Env<'_> {
    fn request(&self, off: i32, size: i32, t: Access, sign_extend: bool) -> Request {
        Request {
            attach: self.expected_attach_type,
            off,
            size: size as u32,
            write: t == Access::Write,
            sign_extend,
            bpf_capable: self.bpf_capable,
        }
    }

    /// `check_ctx_access`: the type of what a load gives.
    pub(crate) fn check_ctx_access(
        &mut self,
        insn_idx: u32,
        off: i32,
        size: i32,
        t: Access,
        is_ldsx: bool,
    ) -> Res<RegType> {
        if rules_of(self.prog_type).is_none() {
            return self.unsupported("kernel BTF (contexts of tracing, LSM and struct_ops programs)");
        }
        let request = self.request(off, size, t, is_ldsx);
        let Some(Allowed { yields, field_size }) = access(self.prog_type, &request) else {
            verbose!(self, "invalid bpf_context access off={off} size={size}\n");
            return Err(EACCES);
        };
        let ty = match yields {
            Yields::Scalar => SCALAR_VALUE,
            Yields::Packet => PTR_TO_PACKET,
            Yields::PacketMeta => PTR_TO_PACKET_META,
            Yields::PacketEnd => PTR_TO_PACKET_END,
            Yields::Socket => PTR_TO_SOCKET,
            Yields::SocketOrNull => PTR_TO_SOCKET | PTR_MAYBE_NULL,
            Yields::SockCommonOrNull => PTR_TO_SOCK_COMMON | PTR_MAYBE_NULL,
            Yields::FlowKeys => PTR_TO_FLOW_KEYS,
            Yields::TpBuffer => PTR_TO_TP_BUFFER,
            Yields::BtfId(name) => return self.unsupported(format!("kernel BTF (struct {name})")),
        };
        self.aux[insn_idx as usize].ctx_field_size = field_size;
        self.max_ctx_offset = self.max_ctx_offset.max(off.wrapping_add(size) as u32);
        Ok(ty)
    }

    /// `check_flow_keys_access`.
    pub(crate) fn check_flow_keys_access(&mut self, off: i32, size: i32) -> Res {
        if size < 0 || off < 0 || off as u64 + size as u64 > FLOW_KEYS_SIZE {
            verbose!(self, "invalid access to flow keys off={off} size={size}\n");
            return Err(EACCES);
        }
        Ok(())
    }

    /// `check_sock_access`.
    pub(crate) fn check_sock_access(
        &mut self,
        insn_idx: u32,
        regno: u32,
        off: i32,
        size: i32,
        t: Access,
    ) -> Res {
        let reg = *self.reg(regno);
        if reg.val.smin < 0 {
            verbose!(
                self,
                "R{regno} min value is negative, either use unsigned index or do a if (index >=0) check.\n"
            );
            return Err(EACCES);
        }
        let request = self.request(off, size, t, false);
        let allowed = match reg.ty {
            PTR_TO_SOCK_COMMON => access_by(&[SOCK_COMMON, SOCK], &request),
            PTR_TO_SOCKET => access_by(&[SOCK], &request),
            PTR_TO_TCP_SOCK => access_by(&[TCP_SOCK], &request),
            PTR_TO_XDP_SOCK => access_by(&[XDP_SOCK], &request),
            _ => None,
        };
        if let Some(Allowed { field_size, .. }) = allowed {
            self.aux[insn_idx as usize].ctx_field_size = field_size;
            return Ok(());
        }
        let ty = self.reg_type_str(reg.ty);
        verbose!(self, "R{regno} invalid {ty} access off={off} size={size}\n");
        Err(EACCES)
    }
}
