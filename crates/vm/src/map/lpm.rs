// SPDX-License-Identifier: MIT OR Apache-2.0
//! `lpm_trie`: longest prefix match.
//!
//! Prefixes lie in an ordered map in the order that the kernel walks its trie: bits from the left, and a prefix
//! after everything that it covers. A lookup asks for each prefix length in use, longest first.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use skep_uapi::Errno;
use skep_uapi::flags::map_update::*;

use super::Values;
use super::slab::Slab;
use crate::memory::Charge;

/// The first bits of a key, the others 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    len: u32,
    bits: Vec<u8>,
}

impl Prefix {
    /// The prefix that a key of the map (`struct bpf_lpm_trie_key_u8`) stands for.
    fn new(key: &[u8]) -> Option<Prefix> {
        let (len, data) = key.split_first_chunk()?;
        let len = u32::from_ne_bytes(*len);
        let mut prefix = Prefix { len: data.len() as u32 * 8, bits: data.to_vec() };
        (len <= prefix.len).then(|| {
            prefix.cut(len);
            prefix
        })
    }

    /// Shortens to `len` bits.
    fn cut(&mut self, len: u32) {
        self.len = len;
        let whole = len as usize / 8;
        if let Some(byte) = self.bits.get_mut(whole) {
            *byte &= !(0xff_u8 >> (len % 8));
            self.bits[whole + 1..].fill(0);
        }
    }
}

impl Ord for Prefix {
    fn cmp(&self, other: &Self) -> Ordering {
        let common = self.len.min(other.len);
        let (whole, rest) = (common as usize / 8, common % 8);
        let head = self.bits[..whole].cmp(&other.bits[..whole]);
        let tail = || {
            let bits = |p: &Prefix| p.bits.get(whole).map_or(0, |b| b & !(0xff_u8 >> rest));
            bits(self).cmp(&bits(other))
        };
        head.then_with(tail).then_with(|| other.len.cmp(&self.len))
    }
}

impl PartialOrd for Prefix {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An element: its slot, and the key as it was given, bits beyond the prefix included.
struct Element {
    slot: u32,
    key: Vec<u8>,
    /// Pays for the element, which but for its value lies outside of guest memory.
    _charge: Charge,
}

struct Tree {
    elements: BTreeMap<Prefix, Element>,
    /// Elements of each prefix length in use.
    lengths: BTreeMap<u32, u32>,
    slab: Slab,
}

/// A map of prefixes.
pub(crate) struct Trie {
    pub(super) values: Values,
    max_entries: u32,
    tree: RwLock<Tree>,
}

/// What an element counts as against the memory limit: its prefix and key, and as much for their places.
fn element_bytes(key: &[u8]) -> u64 {
    2 * (size_of::<Prefix>() + size_of::<Element>() + key.len()) as u64
}

/// Slots of values that a trie of these needs: replacing writes a spare one.
pub(super) fn slots(max_entries: u32) -> u32 {
    max_entries.saturating_add(1)
}

impl Trie {
    pub(super) fn new(values: Values, max_entries: u32) -> Self {
        let slab = Slab::new(slots(max_entries));
        let tree = Tree { elements: BTreeMap::new(), lengths: BTreeMap::new(), slab };
        Trie { values, max_entries, tree: RwLock::new(tree) }
    }

    /// The slot of the longest prefix that covers the key.
    pub(super) fn slot(&self, key: &[u8]) -> Option<u32> {
        let mut prefix = Prefix::new(key)?;
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        tree.lengths.range(..=prefix.len).rev().find_map(|(&len, _)| {
            prefix.cut(len);
            tree.elements.get(&prefix).map(|element| element.slot)
        })
    }

    /// `trie_update_elem`.
    pub(super) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let prefix = Prefix::new(key).ok_or(Errno::EINVAL)?;
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        match tree.elements.contains_key(&prefix) {
            true if flags == BPF_NOEXIST => return Err(Errno::EEXIST),
            false if flags == BPF_EXIST => return Err(Errno::ENOENT),
            false if tree.elements.len() >= self.max_entries as usize => return Err(Errno::ENOSPC),
            _ => {}
        }
        let _charge = self.values.charge(element_bytes(key))?;
        let slot = tree.slab.take().ok_or(Errno::ENOMEM)?;
        self.values.reset(slot);
        self.values.write(slot, 0, value);
        let len = prefix.len;
        match tree.elements.insert(prefix, Element { slot, key: key.to_vec(), _charge }) {
            Some(old) => tree.slab.give(old.slot),
            None => *tree.lengths.entry(len).or_insert(0) += 1,
        }
        Ok(())
    }

    /// `trie_delete_elem`.
    pub(super) fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let prefix = Prefix::new(key).ok_or(Errno::EINVAL)?;
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        let element = tree.elements.remove(&prefix).ok_or(Errno::ENOENT)?;
        tree.slab.give(element.slot);
        if let Some(count) = tree.lengths.get_mut(&prefix.len) {
            *count -= 1;
            if *count == 0 {
                tree.lengths.remove(&prefix.len);
            }
        }
        Ok(())
    }

    /// `trie_get_next_key`: a key that is not there starts over.
    pub(super) fn next(&self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        let known = key.and_then(Prefix::new).filter(|prefix| tree.elements.contains_key(prefix));
        let next = match known {
            None => tree.elements.iter().next(),
            Some(prefix) => {
                use std::ops::Bound::{Excluded, Unbounded};
                tree.elements.range((Excluded(prefix), Unbounded)).next()
            }
        };
        next.map(|(_, element)| element.key.clone())
    }
}
