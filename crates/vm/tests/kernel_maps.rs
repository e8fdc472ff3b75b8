// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps against those of the running kernel: the same attributes and operations get the same answers.
//! Without the privilege for bpf(2) each test says `SKIP` and why.

#[path = "common/config.rs"]
mod config;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};
use skep_kernel_load::Kernel;
use skep_program::{MapSpec, Object};
use skep_uapi::flags::map_create::*;
use skep_uapi::{Bpf, Errno, MapCreate, MapType};
use skep_vm::{Config, Machine, MachineError};

fn kernel() -> Option<Kernel> {
    match Kernel::open() {
        Ok(kernel) => Some(kernel),
        Err(why) => {
            println!("SKIP: {why}");
            None
        }
    }
}

fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    match TestRunner::new(config).run(strategy, test) {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{why}\n{case:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// The same map in both; or the errno that both refuse it with.
struct Pair<'k> {
    kernel: &'k Kernel,
    theirs: <Kernel as Bpf>::Fd,
    ours: Machine,
}

fn create<'k>(kernel: &'k Kernel, spec: &MapSpec) -> Result<Result<Pair<'k>, Errno>, TestCaseError> {
    let theirs = kernel.map_create(&MapCreate {
        map_type: spec.map_type,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        map_name: "skep",
        map_extra: spec.map_extra,
        numa_node: 0,
        inner_map: None,
        btf: None,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
    });
    let config = Config { cpus: kernel.possible_cpus() as u32, ..config::config() };
    let machine = Machine::new(&Object::default(), config).unwrap();
    match (machine.create_map(spec, None).map(|_| machine), theirs) {
        (Ok(ours), Ok(theirs)) => Ok(Ok(Pair { kernel, theirs, ours })),
        (Err(MachineError::MapCreate { errno, .. }), Err(theirs)) => {
            prop_assert_eq!(errno, theirs);
            Ok(Err(errno))
        }
        (ours, theirs) => {
            Err(TestCaseError::fail(format!("here {:?}, kernel {:?}", ours.map(|_| ()), theirs.map(|_| ()))))
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Update { key: Vec<u8>, value: Vec<u8>, flags: u64 },
    Lookup { key: Vec<u8>, flags: u64 },
    Delete { key: Vec<u8> },
    Next { key: Option<Vec<u8>> },
    Freeze,
}

impl Pair<'_> {
    fn step(&self, step: &Step, ordered: bool) -> Result<(), TestCaseError> {
        let (map, kernel) = (self.ours.map(0).unwrap(), self.kernel);
        match step {
            Step::Update { key, value, flags } => {
                let theirs = kernel.map_update_elem(&self.theirs, key, value, *flags);
                prop_assert_eq!(map.update(key, value, *flags), theirs, "{:?}", step);
            }
            Step::Lookup { key, flags } => {
                let mut value = vec![0; map.user_value_size() as usize];
                let theirs = kernel.map_lookup_elem(&self.theirs, key, &mut value, *flags).map(|()| value);
                prop_assert_eq!(map.lookup_with(key, *flags), theirs, "{:?}", step);
            }
            Step::Delete { key } => {
                prop_assert_eq!(map.delete(key), kernel.map_delete_elem(&self.theirs, key), "{:?}", step);
            }
            Step::Next { key } => {
                let mut next = vec![0; map.key_size() as usize];
                let theirs = kernel.map_get_next_key(&self.theirs, key.as_deref(), &mut next).map(|()| next);
                let ours = map.next_key(key.as_deref());
                if ordered {
                    prop_assert_eq!(ours, theirs, "{:?}", step);
                } else if key.is_none() {
                    prop_assert_eq!(ours.map(|_| ()), theirs.map(|_| ()), "{:?}", step);
                }
            }
            Step::Freeze => {
                prop_assert_eq!(map.freeze(), kernel.map_freeze(&self.theirs), "{:?}", step);
            }
        }
        Ok(())
    }

    /// All keys that the kernel's map has.
    fn kernel_keys(&self) -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::new();
        let mut next = vec![0; self.ours.map(0).unwrap().key_size() as usize];
        let mut key: Option<Vec<u8>> = None;
        while self.kernel.map_get_next_key(&self.theirs, key.as_deref(), &mut next).is_ok() {
            if !keys.insert(next.clone()) {
                break;
            }
            key = Some(next.clone());
        }
        keys
    }
}

fn flags() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..=2_u64, 1 => 3..=8_u64, 1 => any::<u64>()]
}

fn steps(key: BoxedStrategy<Vec<u8>>, value: u32) -> impl Strategy<Value = Vec<Step>> {
    let value = prop::collection::vec(any::<u8>(), value as usize);
    let step = prop_oneof![
        10 => (key.clone(), value, flags())
            .prop_map(|(key, value, flags)| Step::Update { key, value, flags }),
        6 => (key.clone(), prop_oneof![9 => Just(0), 1 => flags()])
            .prop_map(|(key, flags)| Step::Lookup { key, flags }),
        4 => key.clone().prop_map(|key| Step::Delete { key }),
        4 => prop::option::of(key).prop_map(|key| Step::Next { key }),
        1 => Just(Step::Freeze),
    ];
    prop::collection::vec(step, 1..40)
}

fn spec(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> MapSpec {
    MapSpec { map_type, key_size, value_size, max_entries, flags, ..MapSpec::default() }
}

/// Runs random steps on a map in both; afterwards both have the same keys.
fn compare(spec: MapSpec, key: BoxedStrategy<Vec<u8>>, ordered: bool) {
    let Some(kernel) = kernel() else { return };
    let per_cpu = skep_program::load::is_per_cpu(spec.map_type);
    let value = match per_cpu {
        true => spec.value_size.next_multiple_of(8) * kernel.possible_cpus() as u32,
        false => spec.value_size,
    };
    check(64, &steps(key, value), |steps| {
        let pair = create(&kernel, &spec)?.map_err(|errno| TestCaseError::fail(format!("{errno}")))?;
        for step in &steps {
            // Per-cpu values of the kernel lose what user space writes into their padding.
            let mut step = step.clone();
            if let Step::Update { value, .. } = &mut step
                && per_cpu
            {
                for one in value.chunks_mut(spec.value_size.next_multiple_of(8) as usize) {
                    one[spec.value_size as usize..].fill(0);
                }
            }
            pair.step(&step, ordered)?;
        }
        let ours: BTreeSet<_> = pair.ours.map(0).unwrap().entries().into_iter().map(|(key, _)| key).collect();
        if spec.key_size > 0 {
            prop_assert_eq!(ours, pair.kernel_keys());
        }
        Ok(())
    });
}

fn number(range: std::ops::Range<u32>) -> BoxedStrategy<Vec<u8>> {
    range.prop_map(|n| n.to_ne_bytes().to_vec()).boxed()
}

#[test]
fn array() {
    compare(spec(MapType::ARRAY, 4, 5, 3, 0), number(0..5), true);
}

#[test]
fn percpu_array() {
    compare(spec(MapType::PERCPU_ARRAY, 4, 12, 3, 0), number(0..5), true);
}

#[test]
fn hash() {
    compare(spec(MapType::HASH, 4, 7, 5, 0), number(0..8), false);
}

#[test]
fn hash_without_preallocation() {
    compare(spec(MapType::HASH, 4, 7, 5, BPF_F_NO_PREALLOC), number(0..8), false);
}

#[test]
fn percpu_hash() {
    compare(spec(MapType::PERCPU_HASH, 4, 12, 5, 0), number(0..8), false);
}

#[test]
fn lru_hash_below_capacity() {
    // The kernel may evict early; far below its capacity it does not.
    compare(spec(MapType::LRU_HASH, 4, 8, 4096, 0), number(0..8), false);
    compare(spec(MapType::LRU_PERCPU_HASH, 4, 8, 4096, 0), number(0..8), false);
}

#[test]
fn queue_and_stack() {
    compare(spec(MapType::QUEUE, 0, 6, 3, 0), Just(Vec::new()).boxed(), true);
    compare(spec(MapType::STACK, 0, 6, 3, 0), Just(Vec::new()).boxed(), true);
}

#[test]
fn lpm_trie() {
    let key = (0..=20_u32, prop::sample::select(vec![0_u8, 1, 0x80, 0xc0, 0xff]), 0..4_u8)
        .prop_map(|(len, first, second)| {
            let mut key = len.to_ne_bytes().to_vec();
            key.extend([first, second << 6]);
            key
        })
        .boxed();
    compare(spec(MapType::LPM_TRIE, 6, 8, 6, BPF_F_NO_PREALLOC), key, true);
}

#[test]
fn read_and_write_only_maps() {
    for flags in [BPF_F_RDONLY, BPF_F_WRONLY, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG] {
        compare(spec(MapType::ARRAY, 4, 8, 3, flags), number(0..5), true);
    }
}

#[test]
fn what_creation_refuses() {
    let Some(kernel) = kernel() else { return };
    let types = vec![
        MapType::ARRAY,
        MapType::PERCPU_ARRAY,
        MapType::HASH,
        MapType::PERCPU_HASH,
        MapType::LRU_HASH,
        MapType::LRU_PERCPU_HASH,
        MapType::LPM_TRIE,
        MapType::QUEUE,
        MapType::STACK,
        MapType::RINGBUF,
        MapType::PERF_EVENT_ARRAY,
        MapType::PROG_ARRAY,
    ];
    let size = || prop::sample::select(vec![0_u32, 1, 3, 4, 5, 8, 260, 261, 4096, 32768, 32769, u32::MAX]);
    let entries = prop::sample::select(vec![0_u32, 1, 3, 4096, 5000, 8192]);
    let flags = prop_oneof![3 => Just(0), 2 => prop::sample::select((0..20).map(|b| 1_u32 << b).collect::<Vec<_>>()),
        1 => prop::sample::subsequence((0..13).map(|b| 1_u32 << b).collect::<Vec<_>>(), 2)
            .prop_map(|bits| bits.iter().sum())];
    let specs = (prop::sample::select(types), size(), size(), entries, flags);
    check(1500, &specs, |(map_type, key, value, entries, flags)| {
        // The kernel has more memory than a guest; tokens and BTF descriptors are not a map's attributes.
        let small = u64::from(entries) * (u64::from(key) + u64::from(value)) < 1 << 27;
        prop_assume!(small || entries == 0 || key == u32::MAX || value == u32::MAX);
        prop_assume!(flags & (BPF_F_VTYPE_BTF_OBJ_FD | BPF_F_TOKEN_FD | BPF_F_LINK | BPF_F_PATH_FD) == 0);
        create(&kernel, &spec(map_type, key, value, entries, flags)).map(|_| ())
    });
}
