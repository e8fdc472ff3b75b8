// SPDX-License-Identifier: GPL-2.0-only
//! Bugs that verifiers had, to be planted one at a time: a campaign that does not find them is worth nothing
//! (`crates/soundness/tests/planted.rs`). The descriptions are the public ones; the code is our own, made wrong in the same
//! way. Only the feature `planted` has them: without it [`is`] is false for all, and costs nothing.

/// A bug. Kernels that had the older ones did not look for contradictions in what they know of a number
/// (`reg_bounds_sanity_check`, 6.8), which made some of them worse; here they are planted so that what is wrong is free
/// of contradictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Planted {
    /// CVE-2017-16995: a 32-bit constant is extended by its sign, though the machine extends it by zeroes.
    MovImmSign = 1,
    /// CVE-2018-18445: a 32-bit shift to the right shifts the upper half in.
    Rsh32Wide,
    /// CVE-2020-8835: known bits of the low half come from the bounds of the whole, cut to 32 bits.
    Bound32Cut,
    /// CVE-2020-27194: 32-bit bounds of an OR come from those of the whole.
    Or32FromWide,
    /// CVE-2021-3490: 32-bit bounds of a bitwise operation on known numbers stay what they were.
    Bitwise32Stale,
    /// CVE-2021-31440: the least value of the low half comes from that of the whole, though its greatest does not fit.
    Low32FromWide,
    /// CVE-2022-23222: a pointer that may be null can be moved.
    MoveOrNull,
    /// CVE-2023-2163: a comparison of two registers does not ask for both to be precise where one must be.
    JumpPrecision,
    /// CVE-2024-41003: what one branch learns of a constant is taken for the other one too.
    FakeReg,
    /// A sum that overflows keeps its bounds (the class of CVE-2021-29155's fixes).
    AddOverflow,
    /// A 32-bit move does not clear what is known of the upper half.
    Mov32Bounds,
    /// A part of a spilled number is filled as all of it.
    FillWhole,
    /// A store at an unknown place of the stack leaves spilled numbers as they were.
    VarStoreKeeps,
    /// A comparison with the packet's end counts one byte too many.
    PacketOneMore,
    /// What a store reads is not live, so that states which differ in it are taken for one.
    StoreNotLive,
    /// Greatest values are not compared where one state is to cover another.
    RangeUmax,
    /// Numbers that hang together in one state need not in another that it covers.
    IdsIgnored,
    /// A narrow sign extension of a range that crosses the sign keeps its ends.
    SignCrossing,
    /// The size of an access to a map's value does not count.
    MapEnd,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 19] = [
        Planted::MovImmSign,
        Planted::Rsh32Wide,
        Planted::Bound32Cut,
        Planted::Or32FromWide,
        Planted::Bitwise32Stale,
        Planted::Low32FromWide,
        Planted::MoveOrNull,
        Planted::JumpPrecision,
        Planted::FakeReg,
        Planted::AddOverflow,
        Planted::Mov32Bounds,
        Planted::FillWhole,
        Planted::VarStoreKeeps,
        Planted::PacketOneMore,
        Planted::StoreNotLive,
        Planted::RangeUmax,
        Planted::IdsIgnored,
        Planted::SignCrossing,
        Planted::MapEnd,
    ];
}

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;

    use super::Planted;

    thread_local! {
        static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    /// Plants a bug for this thread, or takes it out.
    pub fn plant(bug: Option<Planted>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is(bug: Planted) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(not(feature = "planted"))]
mod switch {
    pub(crate) const fn is(_: super::Planted) -> bool {
        false
    }
}

pub(crate) use switch::is;
#[cfg(feature = "planted")]
pub use switch::plant;
