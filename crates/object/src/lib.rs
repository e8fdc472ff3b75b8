// SPDX-License-Identifier: MIT OR Apache-2.0
//! BPF ELF objects in and out: sections, maps, relocations, BTF, static data, as libbpf reads them.
