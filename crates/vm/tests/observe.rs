// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who observes a run sees each instruction before it runs, in the frame that it runs in.

use std::cell::RefCell;

use skep_vm::{Config, Input, Machine, Observer, PlaceKind, RunError, Step};

const TEXT: &str = "
.license \"GPL\"
.map values, array, key=4, value=8, max_entries=2
.program p, xdp
    r6 = r1
    *(u64 *)(r10 - 8) = 7
    r2 = *(u32 *)(r6 + 0)
    r1 = 5
    call f
    r3 = map[values]
    exit
f:
    *(u32 *)(r10 - 4) = 1
    r0 = r1
    exit
";

/// What is checked at each step, and slots with call depths.
#[derive(Default)]
struct Trace(RefCell<Vec<(usize, usize)>>);

impl Observer for Trace {
    fn step(&self, step: &Step<'_>) {
        let (slot, depth, regs) = (step.slot(), step.depth(), *step.registers());
        assert_eq!(step.program(), 0);
        assert_eq!(regs[10], step.frame_pointer(depth));
        assert_eq!(step.place(regs[10] - 1).map(|place| place.kind), Some(PlaceKind::Stack(depth)));
        let packet = step.packet().expect("there is one");
        match slot {
            1 => assert_eq!(
                (regs[1], step.place(regs[6]).expect("the context").kind),
                (step.context(), PlaceKind::Context)
            ),
            3 => assert_eq!((regs[2], packet.end - packet.data), (packet.data, 20)),
            7 => {
                assert_eq!(step.map(regs[3]), Some(0));
                let mut held = [0; 8];
                step.read_stack(0, &mut held);
                assert_eq!(u64::from_le_bytes(held), 7);
            }
            9 => {
                let mut held = [0; 4];
                step.read_stack(1, &mut held);
                assert_eq!(u32::from_le_bytes(held), 1);
                // The caller's frame is there all the while.
                step.read_stack(0, &mut held);
                assert_eq!(u32::from_le_bytes(held), 0);
            }
            _ => {}
        }
        self.0.borrow_mut().push((slot, depth));
    }
}

#[test]
fn each_instruction_is_seen() {
    let object = skep_asm::assemble(TEXT, &skep_asm::Options::default()).expect("it assembles");
    let machine = Machine::new(&object, Config { checked: true, ..Config::default() }).expect("a machine");
    let trace = Trace::default();
    let mut thread = machine.thread().expect("a thread");
    let input = Input::Packet { data: &[0; 20], ctx: None };
    let outcome = thread.run_observed(0, input, &trace).expect("it runs");
    assert_eq!((outcome.r0, outcome.trap), (5, None));
    let expected = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (8, 1), (9, 1), (10, 1), (5, 0), (7, 0)];
    assert_eq!(*trace.0.borrow(), expected);
    assert_eq!(outcome.insn_count, expected.len() as u64);
}

#[test]
fn only_checked_machines_are_observed() {
    let object = skep_asm::assemble(TEXT, &skep_asm::Options::default()).expect("it assembles");
    let machine = Machine::new(&object, Config::default()).expect("a machine");
    let trace = Trace::default();
    let mut thread = machine.thread().expect("a thread");
    let input = Input::Packet { data: &[0; 20], ctx: None };
    assert_eq!(thread.run_observed(0, input, &trace).err(), Some(RunError::NotChecked));
}
