// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the BTF reader and editor.

use super::*;

fn sample() -> Btf {
    let mut btf = Btf::default();
    let int = btf.add_type(Kind::Int, "int", 0, 4, &[1 << 24 | 32]);
    let array = btf.add_type(Kind::Array, "", 0, 0, &[int, int, 10]);
    let konst = btf.add_type(Kind::Const, "", 0, array, &[]);
    let a = btf.add_string("a");
    let b = btf.add_string("b");
    btf.add_type(Kind::Struct, "pair", 2, 48, &[a, int, 0, b, konst, 64]);
    btf.add_type(Kind::Var, "value", 0, 4, &[Linkage::Extern as u32]);
    btf.add_type(Kind::Datasec, ".data", 1, 0, &[5, 0, 48]);
    btf
}

#[test]
fn round_trips_through_bytes() {
    let btf = sample();
    assert_eq!(Btf::parse(&btf.to_bytes()).unwrap(), btf);
}

#[test]
fn resolves_sizes_and_names() {
    let btf = sample();
    assert_eq!(btf.size_of(3), Some(40));
    assert_eq!(btf.skip_modifiers(3).unwrap().kind(), Kind::Array);
    let pair = btf.find(Kind::Struct, "pair").unwrap();
    let members: Vec<_> = pair.members().map(|m| (m.name, m.bit_offset)).collect();
    assert_eq!(members, [("a", 0), ("b", 64)]);
    assert_eq!(btf.align_of(3), Some(4));
    assert_eq!(btf.align_of(pair.id), None);
}

#[test]
fn edits_in_place() {
    let mut btf = sample();
    btf.set_linkage(5, Linkage::Global);
    btf.set_size_or_type(6, 48);
    btf.set_variables(6, &[VarSecinfo { ty: 5, offset: 8, size: 40 }]);
    let read = Btf::parse(&btf.to_bytes()).unwrap();
    assert_eq!(read.get(5).unwrap().linkage(), Some(Linkage::Global));
    let section = read.get(6).unwrap();
    assert_eq!(section.size_or_type(), 48);
    assert_eq!(section.variables().next().unwrap().offset, 8);
}

#[test]
fn refuses_every_truncation() {
    let bytes = sample().to_bytes();
    for len in 0..bytes.len() {
        assert!(Btf::parse(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn cycles_end() {
    let mut btf = Btf::default();
    btf.add_type(Kind::Typedef, "self", 0, 1, &[]);
    assert!(btf.skip_modifiers(1).is_none());
    assert!(btf.size_of(1).is_none());
    assert!(btf.align_of(1).is_none());
}
