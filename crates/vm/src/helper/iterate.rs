// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers that call back into the program: `bpf_loop` and `bpf_for_each_map_elem`.

use skep_uapi::Errno;

use super::arg::{Answer, Arg};
use crate::interp::Exec;
use crate::map::ElementKey;
use crate::memory::{ObjectKind, Perm};

/// Most rounds of `bpf_loop` (`BPF_MAX_LOOPS`).
const MAX_LOOPS: u64 = 8 << 20;

/// Gives the number of rounds; a callback that returns anything but 0 ends it. The kernel compiles the call into
/// the program (`inline_bpf_loop`), which looks at all of the count, and whose `E2BIG` has 32 bits.
pub(super) fn bpf_loop(exec: &mut Exec<'_>, [count, callback, ctx, flags, _]: [Arg; 5]) -> Answer {
    let callback = callback.function(exec)?;
    if flags.value != 0 {
        return Err(Errno::EINVAL.into());
    }
    if count.value > MAX_LOOPS {
        return Ok(u64::from(Errno::E2BIG.negative() as u32));
    }
    for i in 0..count.value {
        if exec.call(callback, [i, ctx.value, 0, 0, 0])? != 0 {
            return Ok(i + 1);
        }
    }
    Ok(count.value)
}

/// Gives the number of elements that were visited; a callback that returns anything but 0 ends it.
pub(super) fn for_each_map_elem(exec: &mut Exec<'_>, [arg, callback, ctx, flags, _]: [Arg; 5]) -> Answer {
    let map = arg.map(exec)?;
    let callback = callback.function(exec)?;
    if map.element(0, exec.cpu).is_err() {
        return Err(arg.wrong_map(map));
    }
    if flags.value != 0 {
        return Err(Errno::EINVAL.into());
    }
    // The index of an array's element lies in no map: it gets memory of its own for as long as the walk takes.
    let mut index_area = None;
    let (mut position, mut visited) = (0, 0);
    while let Some(element) = map.element(position, exec.cpu)? {
        let key = match element.key {
            ElementKey::Addr(addr) => addr,
            ElementKey::Index(index) => {
                if index_area.is_none() {
                    let kind = ObjectKind::Named("key of the element");
                    let memory = exec.machine.shared_memory();
                    index_area = Some(memory.alloc(4, Perm::ReadWrite, Some(kind))?);
                }
                index_area.as_ref().map_or(0, |area| {
                    area.store(0, index);
                    area.addr()
                })
            }
        };
        position = element.next;
        visited += 1;
        let args = [arg.value, u64::from(key), u64::from(element.value), ctx.value, 0];
        if exec.call(callback, args)? != 0 {
            break;
        }
    }
    Ok(visited)
}
