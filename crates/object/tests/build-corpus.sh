#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds the objects that `SKEP_CORPUS=OUT cargo test -p skep-object --test corpus` loads.
#
# usage: build-corpus.sh LINUX OUT [CLANG...]
#   LINUX  a kernel source tree with samples/bpf, tools/lib/bpf and tools/testing/selftests/bpf
#   OUT    directory for the objects, one subdirectory a compiler; never inside of this repository
#   CLANG  compilers; default: every clang-NN that is installed
# STRIDE=N takes every Nth source only. What a compiler refuses is counted and left out.
set -eu
linux=$(realpath "$1"); out=$(realpath -m "$2"); shift 2
[ $# -gt 0 ] || set -- $(ls /usr/bin | grep -E '^clang-[0-9]+$' | sort -t- -k2n)
stride=${STRIDE:-1}
self=$linux/tools/testing/selftests/bpf

include=$out/include
mkdir -p "$include/bpf"
[ -s "$include/vmlinux.h" ] || bpftool btf dump file /sys/kernel/btf/vmlinux format c > "$include/vmlinux.h"
ln -sf "$linux"/tools/lib/bpf/*.h "$include/bpf/"
# Generated in the kernel's own build; that of an installed libbpf does.
ln -sf /usr/include/bpf/bpf_helper_defs.h "$include/bpf/"

cpus="v1 v2 v3"
for clang in "$@"; do
    mkdir -p "$out/$clang"
    built=0 refused=0 n=0
    for source in "$linux"/samples/bpf/*kern.c "$linux"/samples/bpf/*.bpf.c "$self"/progs/*.c; do
        n=$((n + 1))
        [ $((n % stride)) -eq 0 ] || continue
        # v4 needs clang 18; each source gets one version, so that all are met.
        case $clang in clang-1[0-7]) list=$cpus ;; *) list="$cpus v4" ;; esac
        set -- $list; shift $((n % $#)); cpu=$1
        object=$out/$clang/$(basename "${source%.c}")-$cpu.o
        [ -e "$object" ] && { built=$((built + 1)); continue; }
        if timeout 60 "$clang" -target bpf -g -O2 -mcpu="$cpu" -w -D__TARGET_ARCH_x86 -DENABLE_ATOMICS_TESTS \
            -I"$include" -I"$self" -I"$self/progs" -I"$linux/tools/include/uapi" -I"$linux/samples/bpf" \
            -I"$linux/tools/testing/selftests" -idirafter /usr/include/x86_64-linux-gnu \
            -fno-strict-aliasing -c "$source" -o "$object.tmp" 2>> "$out/$clang.log"; then
            mv "$object.tmp" "$object"; built=$((built + 1))
        else
            rm -f "$object.tmp"; refused=$((refused + 1))
        fi
    done
    echo "$clang: $built objects, $refused sources refused (see $out/$clang.log)"
done
