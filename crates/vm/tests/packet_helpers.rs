// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers on packets, devices and sockets.

mod common;

use common::{machine, run_on};
use skep_uapi::Errno;
use skep_vm::{Input, Outcome, Redirect};

/// A UDP packet over IPv4 with four bytes of data, checksums in order.
const UDP: [u8; 46] = [
    0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00, // Ethernet
    0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0x66, 0xca, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
    0x10, 0x00, 0x20, 0x00, 0, 12, 0x2c, 0x2b, // UDP
    b'd', b'a', b't', b'a',
];

fn run(section: &str, source: &str, data: &[u8]) -> Outcome {
    let machine = machine(&format!(".program p, {section}\n{source}"));
    let outcome = run_on(&machine, Input::Packet { data, ctx: None });
    assert_eq!(outcome.trap, None, "{source}");
    outcome
}

fn r0(section: &str, source: &str) -> u64 {
    run(section, source, &UDP).r0
}

fn negative(errno: Errno) -> u64 {
    errno.negative() as u64
}

#[test]
fn redirects_are_recorded() {
    let redirect = |flags: u32| format!("r1 = 9\nr2 = {flags}\ncall bpf_redirect\nexit");
    let outcome = run("xdp", &redirect(0), &UDP);
    assert_eq!((outcome.r0, outcome.redirect), (4, Some(Redirect::Device { ifindex: 9, ingress: false })));
    assert_eq!(r0("xdp", &redirect(1)), 0, "XDP knows no flags");
    let outcome = run("tc", &redirect(1), &UDP);
    assert_eq!((outcome.r0, outcome.redirect), (7, Some(Redirect::Device { ifindex: 9, ingress: true })));
    assert_eq!(run("tc", &redirect(2), &UDP).redirect, None);
    assert_eq!(r0("tc", &redirect(2)), 2);
    let outcome = run("tc", "r1 = 9\nr2 = 0\ncall bpf_redirect_peer\nexit", &UDP);
    assert_eq!((outcome.r0, outcome.redirect), (7, Some(Redirect::Peer { ifindex: 9 })));
    let outcome = run("tc", "r1 = 9\nr2 = 0\nr3 = 0\nr4 = 0\ncall bpf_redirect_neigh\nexit", &UDP);
    assert_eq!((outcome.r0, outcome.redirect), (7, Some(Redirect::Neighbour { ifindex: 9 })));
    let clone = |ifindex: u32| format!("r2 = {ifindex}\nr3 = 0\ncall bpf_clone_redirect\nexit");
    assert_eq!(r0("tc", &clone(1)), 0);
    assert_eq!(r0("tc", &clone(77)), negative(Errno::EINVAL));
}

#[test]
fn only_the_loopback_device_is_there() {
    for section in ["xdp", "tc"] {
        let check = |ifindex: u32, len: u32, diff: i32| {
            r0(
                section,
                &format!(
                    "*(u32 *)(r10 - 4) = {len}\nr2 = {ifindex}\nr3 = r10\nr3 += -4\nr4 = {diff}\nr5 = 0
                    call bpf_check_mtu\nif r0 s< 0 goto out\nr1 = *(u32 *)(r10 - 4)\nr0 += r1\nout:\nexit"
                ),
            )
        };
        assert_eq!(check(0, 0, 0), 65536, "{section}");
        assert_eq!(check(1, 65536, 0), 65536, "{section}");
        assert_eq!(check(1, 65536, 1), 65536 + 1, "{section}: too long");
        assert_eq!(check(77, 0, 0), negative(Errno::ENODEV), "{section}");
        let fib = |family: u32, size: u32| {
            r0(
                section,
                &format!(
                    "*(u64 *)(r10 - 64) = {family}\nr2 = r10\nr2 += -64\nr3 = {size}\nr4 = 0
                    call bpf_fib_lookup\nexit"
                ),
            )
        };
        assert_eq!(fib(2, 64), 4, "{section}");
        assert_eq!(fib(2, 60), negative(Errno::EINVAL), "{section}");
        assert_eq!(fib(7, 64), negative(Errno::EAFNOSUPPORT), "{section}");
        let lookup = "r2 = r10\nr2 += -12\nr3 = 12\nr4 = -1\nr5 = 0\ncall bpf_sk_lookup_tcp\nexit";
        assert_eq!(r0(section, lookup), 0, "{section}");
    }
    assert_eq!(r0("tc", "call bpf_get_socket_cookie\nexit"), 1);
}
