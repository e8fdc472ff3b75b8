// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a helper takes and gives: `enum bpf_arg_type`, `enum bpf_return_type` and `enum bpf_type_flag` of
//! `linux/bpf.h`, under the kernel's names without `ARG_`.

/// Bits of `enum bpf_type_flag` that say more about an argument or a result.
pub type TypeFlags = u32;

/// `PTR_MAYBE_NULL`: zero will do as well.
pub const PTR_MAYBE_NULL: TypeFlags = 1 << 0;
/// `MEM_RDONLY`: the memory may be read-only.
pub const MEM_RDONLY: TypeFlags = 1 << 1;
/// `MEM_RINGBUF`: memory of a ring buffer reservation.
pub const MEM_RINGBUF: TypeFlags = 1 << 2;
/// `MEM_USER`: memory of user space.
pub const MEM_USER: TypeFlags = 1 << 3;
/// `MEM_PERCPU`: per-cpu memory, to be turned into a pointer by `bpf_per_cpu_ptr` or `bpf_this_cpu_ptr`.
pub const MEM_PERCPU: TypeFlags = 1 << 4;
/// `OBJ_RELEASE`: the helper gives the object back; it is gone afterwards.
pub const OBJ_RELEASE: TypeFlags = 1 << 5;
/// `PTR_UNTRUSTED`: may be read through, not passed on.
pub const PTR_UNTRUSTED: TypeFlags = 1 << 6;
/// `MEM_UNINIT`: the memory need not be initialized.
pub const MEM_UNINIT: TypeFlags = 1 << 7;
/// `DYNPTR_TYPE_LOCAL`: a dynptr on memory of the program.
pub const DYNPTR_TYPE_LOCAL: TypeFlags = 1 << 8;
/// `DYNPTR_TYPE_RINGBUF`: a dynptr on a ring buffer record.
pub const DYNPTR_TYPE_RINGBUF: TypeFlags = 1 << 9;
/// `MEM_FIXED_SIZE`: the size of the memory is in the prototype.
pub const MEM_FIXED_SIZE: TypeFlags = 1 << 10;
/// `MEM_ALLOC`: an object of a type of the program, allocated by `bpf_obj_new`.
pub const MEM_ALLOC: TypeFlags = 1 << 11;
/// `PTR_TRUSTED`: the kernel vouches for the pointer.
pub const PTR_TRUSTED: TypeFlags = 1 << 12;
/// `MEM_RCU`: valid in a section of `bpf_rcu_read_lock`.
pub const MEM_RCU: TypeFlags = 1 << 13;
/// `NON_OWN_REF`: a reference that does not own its object.
pub const NON_OWN_REF: TypeFlags = 1 << 14;
/// `DYNPTR_TYPE_SKB`: a dynptr on a `sk_buff`.
pub const DYNPTR_TYPE_SKB: TypeFlags = 1 << 15;
/// `DYNPTR_TYPE_XDP`: a dynptr on an `xdp_buff`.
pub const DYNPTR_TYPE_XDP: TypeFlags = 1 << 16;
/// `MEM_ALIGNED`: the memory must be aligned to its size.
pub const MEM_ALIGNED: TypeFlags = 1 << 17;
/// `MEM_WRITE`: the helper writes the memory.
pub const MEM_WRITE: TypeFlags = 1 << 18;
/// `DYNPTR_TYPE_SKB_META`: a dynptr on the metadata of a `sk_buff`.
pub const DYNPTR_TYPE_SKB_META: TypeFlags = 1 << 19;

/// Base of `enum bpf_arg_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arg {
    /// `ARG_DONTCARE`: no such argument.
    DontCare,
    /// `ARG_CONST_MAP_PTR`: a map, known when the program loads.
    ConstMapPtr,
    /// `ARG_PTR_TO_MAP_KEY`: memory of the map's key size.
    PtrToMapKey,
    /// `ARG_PTR_TO_MAP_VALUE`: memory of the map's value size.
    PtrToMapValue,
    /// `ARG_PTR_TO_MEM`: memory; its size is the next argument or in the prototype.
    PtrToMem,
    /// `ARG_CONST_SIZE`: size of the memory before it, above 0.
    ConstSize,
    /// `ARG_CONST_SIZE_OR_ZERO`: size of the memory before it.
    ConstSizeOrZero,
    /// `ARG_PTR_TO_CTX`: the program's context.
    PtrToCtx,
    /// `ARG_ANYTHING`: any initialized value.
    Anything,
    /// `ARG_PTR_TO_SPIN_LOCK`: a `bpf_spin_lock`.
    PtrToSpinLock,
    /// `ARG_PTR_TO_SOCK_COMMON`: a socket of any kind.
    PtrToSockCommon,
    /// `ARG_PTR_TO_SOCKET`: a full socket.
    PtrToSocket,
    /// `ARG_PTR_TO_BTF_ID`: a structure of the kernel.
    PtrToBtfId,
    /// `ARG_PTR_TO_RINGBUF_MEM`: a ring buffer reservation.
    PtrToRingbufMem,
    /// `ARG_CONST_ALLOC_SIZE_OR_ZERO`: bytes to allocate, known when the program loads.
    ConstAllocSizeOrZero,
    /// `ARG_PTR_TO_BTF_ID_SOCK_COMMON`: a socket, of the kernel or as programs see it.
    PtrToBtfIdSockCommon,
    /// `ARG_PTR_TO_PERCPU_BTF_ID`: a per-cpu variable of the kernel.
    PtrToPercpuBtfId,
    /// `ARG_PTR_TO_FUNC`: a function of the program.
    PtrToFunc,
    /// `ARG_PTR_TO_STACK`: the program's stack.
    PtrToStack,
    /// `ARG_PTR_TO_CONST_STR`: a string in read-only memory that ends in zero.
    PtrToConstStr,
    /// `ARG_PTR_TO_TIMER`: a `bpf_timer`.
    PtrToTimer,
    /// `ARG_KPTR_XCHG_DEST`: where a pointer to an object is kept.
    KptrXchgDest,
    /// `ARG_PTR_TO_DYNPTR`: a `bpf_dynptr` on the stack.
    PtrToDynptr,
}

/// Type of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgType {
    /// Base type.
    pub base: Arg,
    /// What narrows or widens it.
    pub flags: TypeFlags,
    /// Bytes, with [`MEM_FIXED_SIZE`].
    pub size: u32,
    /// Structure of the kernel, with [`Arg::PtrToBtfId`].
    pub btf: Option<&'static str>,
}

impl ArgType {
    const fn new(base: Arg, flags: TypeFlags) -> ArgType {
        ArgType { base, flags, size: 0, btf: None }
    }

    /// Whether a null pointer is accepted.
    #[must_use]
    pub const fn may_be_null(self) -> bool {
        self.flags & PTR_MAYBE_NULL != 0
    }

    pub(super) const fn with(self, flags: TypeFlags) -> ArgType {
        ArgType { flags: self.flags | flags, ..self }
    }

    pub(super) const fn or_null(self) -> ArgType {
        self.with(PTR_MAYBE_NULL)
    }

    pub(super) const fn sized(self, size: u32) -> ArgType {
        ArgType { size, ..self }
    }

    pub(super) const fn of(self, name: &'static str) -> ArgType {
        ArgType { btf: Some(name), ..self }
    }
}

/// Base of `enum bpf_return_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ret {
    /// `RET_INTEGER`
    Integer,
    /// `RET_VOID`
    Void,
    /// `RET_PTR_TO_MAP_VALUE`
    PtrToMapValue,
    /// `RET_PTR_TO_SOCKET`
    PtrToSocket,
    /// `RET_PTR_TO_TCP_SOCK`
    PtrToTcpSock,
    /// `RET_PTR_TO_SOCK_COMMON`
    PtrToSockCommon,
    /// `RET_PTR_TO_MEM`
    PtrToMem,
    /// `RET_PTR_TO_MEM_OR_BTF_ID`
    PtrToMemOrBtfId,
    /// `RET_PTR_TO_BTF_ID`
    PtrToBtfId,
}

/// Type of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetType {
    /// Base type.
    pub base: Ret,
    /// What narrows or widens it.
    pub flags: TypeFlags,
    /// Structure of the kernel, with [`Ret::PtrToBtfId`].
    pub btf: Option<&'static str>,
}

impl RetType {
    const fn new(base: Ret, flags: TypeFlags) -> RetType {
        RetType { base, flags, btf: None }
    }

    /// Whether the result may be null.
    #[must_use]
    pub const fn may_be_null(self) -> bool {
        self.flags & PTR_MAYBE_NULL != 0
    }

    pub(super) const fn with(self, flags: TypeFlags) -> RetType {
        RetType { flags: self.flags | flags, ..self }
    }

    pub(super) const fn or_null(self) -> RetType {
        self.with(PTR_MAYBE_NULL)
    }

    pub(super) const fn of(self, name: &'static str) -> RetType {
        RetType { btf: Some(name), ..self }
    }
}

/// Declares the kernel's names for types.
macro_rules! types {
    ($type:ident, $base:ident: $($name:ident = $variant:ident $(, $flags:expr)?;)*) => {
        $(pub(super) const $name: $type = $type::new($base::$variant, 0 $(| $flags)?);)*
    };
}

types! { ArgType, Arg:
    DONTCARE = DontCare;
    CONST_MAP_PTR = ConstMapPtr;
    PTR_TO_MAP_KEY = PtrToMapKey;
    PTR_TO_MAP_VALUE = PtrToMapValue;
    PTR_TO_MAP_VALUE_OR_NULL = PtrToMapValue, PTR_MAYBE_NULL;
    PTR_TO_MEM = PtrToMem;
    PTR_TO_MEM_OR_NULL = PtrToMem, PTR_MAYBE_NULL;
    PTR_TO_UNINIT_MEM = PtrToMem, MEM_UNINIT | MEM_WRITE;
    PTR_TO_FIXED_SIZE_MEM = PtrToMem, MEM_FIXED_SIZE;
    CONST_SIZE = ConstSize;
    CONST_SIZE_OR_ZERO = ConstSizeOrZero;
    PTR_TO_CTX = PtrToCtx;
    PTR_TO_CTX_OR_NULL = PtrToCtx, PTR_MAYBE_NULL;
    ANYTHING = Anything;
    PTR_TO_SPIN_LOCK = PtrToSpinLock;
    PTR_TO_SOCK_COMMON = PtrToSockCommon;
    PTR_TO_SOCKET_OR_NULL = PtrToSocket, PTR_MAYBE_NULL;
    PTR_TO_BTF_ID = PtrToBtfId;
    PTR_TO_BTF_ID_OR_NULL = PtrToBtfId, PTR_MAYBE_NULL;
    PTR_TO_RINGBUF_MEM = PtrToRingbufMem;
    CONST_ALLOC_SIZE_OR_ZERO = ConstAllocSizeOrZero;
    PTR_TO_BTF_ID_SOCK_COMMON = PtrToBtfIdSockCommon;
    PTR_TO_PERCPU_BTF_ID = PtrToPercpuBtfId;
    PTR_TO_FUNC = PtrToFunc;
    PTR_TO_STACK_OR_NULL = PtrToStack, PTR_MAYBE_NULL;
    PTR_TO_CONST_STR = PtrToConstStr;
    PTR_TO_TIMER = PtrToTimer;
    KPTR_XCHG_DEST = KptrXchgDest;
    PTR_TO_DYNPTR = PtrToDynptr;
}

types! { RetType, Ret:
    RET_INTEGER = Integer;
    RET_VOID = Void;
    RET_PTR_TO_MAP_VALUE = PtrToMapValue;
    RET_PTR_TO_MAP_VALUE_OR_NULL = PtrToMapValue, PTR_MAYBE_NULL;
    RET_PTR_TO_SOCKET_OR_NULL = PtrToSocket, PTR_MAYBE_NULL;
    RET_PTR_TO_TCP_SOCK_OR_NULL = PtrToTcpSock, PTR_MAYBE_NULL;
    RET_PTR_TO_SOCK_COMMON_OR_NULL = PtrToSockCommon, PTR_MAYBE_NULL;
    RET_PTR_TO_RINGBUF_MEM_OR_NULL = PtrToMem, PTR_MAYBE_NULL | MEM_RINGBUF;
    RET_PTR_TO_DYNPTR_MEM_OR_NULL = PtrToMem, PTR_MAYBE_NULL;
    RET_PTR_TO_MEM_OR_BTF_ID = PtrToMemOrBtfId;
    RET_PTR_TO_BTF_ID = PtrToBtfId;
    RET_PTR_TO_BTF_ID_OR_NULL = PtrToBtfId, PTR_MAYBE_NULL;
    RET_PTR_TO_BTF_ID_TRUSTED = PtrToBtfId, PTR_TRUSTED;
}
