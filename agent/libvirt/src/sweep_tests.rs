//! Sweeps over VMs some of which hang, with a libvirt made of two sets.

use super::*;
use hvnode_core::fail;
use hvnode_core::model::{MemorySample, SampleTime};
use parking_lot::Condvar;

const LIMITS: SampleLimits = SampleLimits {
    parallel: 2,
    shard_vms: 4,
    shard_deadline: Duration::from_millis(80),
    alone_deadline: Duration::from_millis(40),
    sweep_deadline: Duration::from_secs(2),
};

/// Behaves like libvirtd: the first question waits in a VM that hangs, later ones find it busy.
#[derive(Default)]
struct World {
    state: Mutex<State>,
    thawed: Condvar,
}

#[derive(Default)]
struct State {
    frozen: HashSet<Uuid>,
    /// Frozen so hard that every question waits.
    is_lock_held: bool,
    busy: HashSet<Uuid>,
    waiting: usize,
    waiting_max: usize,
    questions: Vec<Vec<Uuid>>,
}

impl World {
    fn freeze(&self, vms: impl IntoIterator<Item = u128>) {
        self.state.lock().frozen.extend(vms.into_iter().map(Uuid::from_u128));
    }

    fn thaw(&self) {
        self.state.lock().frozen.clear();
        self.thawed.notify_all();
    }

    fn ask(&self, vm_uuids: &[Uuid]) -> Result<Vec<HypervisorSample>> {
        let mut state = self.state.lock();
        state.questions.push(vm_uuids.to_vec());
        let mut samples = Vec::new();
        for vm in vm_uuids {
            let is_busy = state.busy.contains(vm) && !state.is_lock_held;
            if state.frozen.contains(vm) && !is_busy {
                state.busy.insert(*vm);
                state.waiting += 1;
                state.waiting_max = state.waiting_max.max(state.waiting);
                self.thawed.wait_while(&mut state, |state| state.frozen.contains(vm));
                state.waiting -= 1;
                state.busy.remove(vm);
            }
            samples.push(sample(*vm, !is_busy));
        }
        Ok(samples)
    }
}

fn sample(vm_uuid: Uuid, is_complete: bool) -> HypervisorSample {
    HypervisorSample {
        vm_uuid,
        at: SampleTime::now(),
        run_id: 1,
        is_complete,
        cpu_time_nanoseconds: None,
        cpu_user_nanoseconds: None,
        cpu_system_nanoseconds: None,
        cpu_cores: 1,
        cpu_cores_max: 1,
        vcpus: vec![],
        memory: MemorySample::default(),
        disks: vec![],
        nics: vec![],
    }
}

fn vms(count: u128) -> Vec<Uuid> {
    (1..=count).map(Uuid::from_u128).collect()
}

struct Test {
    sampler: Sampler,
    world: Arc<World>,
    count: u128,
}

impl Test {
    fn new(count: u128) -> Self {
        Self { sampler: Sampler::new(LIMITS), world: Arc::default(), count }
    }

    /// Numbers of the VMs that gave a complete sample, in order.
    async fn sweep(&self) -> Vec<u128> {
        let world = self.world.clone();
        let samples = self.sampler.sweep(vms(self.count), move |vms| world.ask(vms)).await.unwrap();
        let mut complete: Vec<_> = samples.iter().filter(|s| s.is_complete).map(|s| s.vm_uuid.as_u128()).collect();
        complete.sort_unstable();
        complete
    }

    fn all_but(&self, missing: &[u128]) -> Vec<u128> {
        (1..=self.count).filter(|vm| !missing.contains(vm)).collect()
    }

    fn questions(&self) -> Vec<Vec<Uuid>> {
        std::mem::take(&mut self.world.state.lock().questions)
    }

    async fn until_nothing_is_stuck(&self) {
        while self.sampler.counts().stuck != 0 || !self.sampler.asked.questions.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn every_vm_is_asked_once_a_few_per_question() {
    let test = Test::new(10);
    assert_eq!(test.sweep().await, test.all_but(&[]));
    let questions = test.questions();
    assert_eq!(questions.iter().map(Vec::len).sum::<usize>(), 10);
    assert!(questions.iter().all(|vms| vms.len() <= LIMITS.shard_vms));
    assert!(test.sampler.sweep(vec![], |_| Err(fail!(Internal, "not asked"; "不询问"))).await.unwrap().is_empty());
}

#[tokio::test]
async fn few_vms_are_spread_over_all_that_can_ask() {
    let test = Test::new(3);
    test.sweep().await;
    assert_eq!(test.questions().len(), 2);
}

#[tokio::test]
async fn one_vm_that_hangs_is_missing_alone_and_is_back_when_it_answers_again() {
    let test = Test::new(10);
    test.world.freeze([2]);
    for _ in 0..5 {
        assert_eq!(test.sweep().await, test.all_but(&[2]));
        assert_eq!(test.sampler.counts().stuck, 1);
    }
    assert_eq!(test.sampler.counts().timeouts, 1, "only the first question waits");
    test.world.thaw();
    test.until_nothing_is_stuck().await;
    assert_eq!(test.sweep().await, test.all_but(&[]));
}

#[tokio::test]
async fn several_that_hang_in_one_shard_cost_one_stuck_question_each() {
    let test = Test::new(12);
    test.world.freeze([1, 2, 3, 4, 9]);
    for _ in 0..4 {
        assert_eq!(test.sweep().await, test.all_but(&[1, 2, 3, 4, 9]));
        assert_eq!(test.world.state.lock().waiting, 5);
    }
    test.world.thaw();
    test.until_nothing_is_stuck().await;
    assert_eq!(test.sweep().await, test.all_but(&[]));
}

#[tokio::test]
async fn a_vm_that_blocks_every_question_is_asked_alone_once_and_then_not_at_all() {
    let test = Test::new(8);
    test.world.state.lock().is_lock_held = true;
    test.world.freeze([3]);
    for _ in 0..4 {
        assert_eq!(test.sweep().await, test.all_but(&[3]));
    }
    assert_eq!(test.world.state.lock().waiting_max, 2);
    test.world.thaw();
    test.until_nothing_is_stuck().await;
    assert_eq!(test.sweep().await, test.all_but(&[]));
}

#[tokio::test]
async fn when_everything_hangs_threads_and_time_are_bounded_and_it_all_comes_back() {
    let test = Test::new(60);
    test.world.freeze(1..=60);
    for _ in 0..2 {
        let start = Instant::now();
        assert_eq!(test.sweep().await, []);
        assert!(start.elapsed() < LIMITS.sweep_deadline * 2);
        assert!(test.world.state.lock().waiting_max <= LIMITS.parallel + STUCK_MAX);
    }
    test.world.thaw();
    test.until_nothing_is_stuck().await;
    assert_eq!(test.sweep().await, test.all_but(&[]));
}

#[tokio::test]
async fn a_lost_connection_fails_the_sweep_and_another_error_only_its_shard() {
    let test = Test::new(8);
    let failing = |code: ErrorCode| {
        move |vms: &[Uuid]| match vms.contains(&Uuid::from_u128(1)) {
            true if code == ErrorCode::HypervisorUnavailable => Err(fail!(HypervisorUnavailable, "gone"; "断开")),
            true => Err(fail!(Internal, "odd"; "异常")),
            false => Ok(vms.iter().map(|vm| sample(*vm, true)).collect()),
        }
    };
    let lost = test.sampler.sweep(vms(8), failing(ErrorCode::HypervisorUnavailable)).await;
    assert_eq!(lost.unwrap_err().code(), ErrorCode::HypervisorUnavailable);
    assert_eq!(test.sampler.sweep(vms(8), failing(ErrorCode::Internal)).await.unwrap().len(), 4);
    assert_eq!(test.sampler.sweep(vms(1), failing(ErrorCode::Internal)).await.unwrap_err().code(), ErrorCode::Internal);
}

#[test]
fn connections_have_room_for_every_question_with_one_place_to_spare() {
    for parallel in 1..=PARALLEL_MAX {
        let limits = SampleLimits { parallel, ..LIMITS };
        assert!(limits.connections() * CALLS_PER_CONNECTION >= parallel + STUCK_MAX);
    }
}
