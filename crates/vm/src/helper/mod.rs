// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helper functions: which there are, and what they do.

mod map;

use skep_uapi::HelperId;

use crate::interp::Exec;
use crate::trap::Trap;

/// A helper: takes `r1` to `r5`, gives `r0`.
pub(crate) type Helper = fn(&mut Exec<'_>, [u64; 5]) -> Result<u64, Trap>;

/// The dispatch table. `bpf_tail_call` is not here: the interpreter does it.
const HELPERS: &[(HelperId, Helper)] = &[
    (HelperId::MAP_LOOKUP_ELEM, map::lookup_elem),
    (HelperId::MAP_UPDATE_ELEM, map::update_elem),
    (HelperId::MAP_DELETE_ELEM, map::delete_elem),
];

/// The helper of a number.
pub(crate) fn find(id: HelperId) -> Option<Helper> {
    HELPERS.iter().find(|(known, _)| *known == id).map(|&(_, helper)| helper)
}
