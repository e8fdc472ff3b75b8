// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits of the kernel, each under its own name.

/// `MAX_BPF_STACK`: bytes of stack of one function frame.
pub const MAX_BPF_STACK: usize = 512;
/// `MAX_CALL_FRAMES`: nested bpf-to-bpf calls, the main function included.
pub const MAX_CALL_FRAMES: usize = 8;
/// `MAX_TAIL_CALL_CNT`: tail calls of one run.
pub const MAX_TAIL_CALL_CNT: u32 = 33;
/// `BPF_COMPLEXITY_LIMIT_INSNS`: instructions of a program, and instructions that the verifier will look at.
pub const BPF_COMPLEXITY_LIMIT_INSNS: usize = 1_000_000;
/// `BPF_MAXINSNS`: instructions of a program loaded without `CAP_BPF`.
pub const BPF_MAXINSNS: usize = 4096;
/// `MAX_USED_MAPS`: maps that one program may name (Linux 5.13 and later).
pub const MAX_USED_MAPS: usize = 64;
/// `BPF_OBJ_NAME_LEN`: bytes of a program or map name, the final zero included.
pub const BPF_OBJ_NAME_LEN: usize = 16;
/// `XDP_PACKET_HEADROOM`: bytes before the packet that `bpf_xdp_adjust_head` can claim.
pub const XDP_PACKET_HEADROOM: usize = 256;
/// `ETH_HLEN`: bytes of an Ethernet header; the least packet that `BPF_PROG_TEST_RUN` takes.
pub const ETH_HLEN: usize = 14;
/// `BPF_MAX_LOOPS`: iterations of `bpf_loop`.
pub const BPF_MAX_LOOPS: u32 = 8 * 1024 * 1024;
/// Tries that `may_goto` grants a program before it jumps (`BPF_MAY_GOTO` with the counter on the stack).
pub const BPF_MAX_MAY_GOTO: u32 = 8 * 1024 * 1024 - 1;
