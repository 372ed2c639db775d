//! The loops, readings and history on the fake world, in time that passes only when the tests wait.

use super::keep::SUBJECTS_MAX;
use super::usage_tests::kernel;
use super::*;
use crate::ErrorCode;
use crate::engine::{EngineConfig, EnginePorts};
use crate::fail;
use crate::fake::{
    FakeHistory, FakeHypervisor, FakeImageTransfer, FakeMonitor, FakeNode, FakeProbe, FakeStore, Fault, Faults, NodeOptions,
};
use crate::model::*;
use crate::port::{Clock, HistoryStore as _, Store as _};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::time::{Instant, sleep};

/// 2026-01-01T00:00:00Z.
const EPOCH_SECONDS: i64 = 1_767_225_600;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A clock that goes with the runtime's time; its wall side can be set.
#[derive(Debug, Clone)]
struct PacedClock {
    start: Instant,
    wall: Arc<AtomicI64>,
}

impl PacedClock {
    fn new() -> Self {
        Self { start: Instant::now(), wall: Arc::new(AtomicI64::new(EPOCH_SECONDS * 1_000_000_000)) }
    }

    fn step(&self, seconds: i64) {
        self.wall.fetch_add(seconds * 1_000_000_000, Ordering::SeqCst);
    }
}

impl Clock for PacedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst)).plus(self.start.elapsed())
    }

    fn sample_time(&self) -> SampleTime {
        SampleTime { time: self.now(), elapsed: self.start.elapsed() }
    }
}

struct Bench {
    clock: PacedClock,
    node: FakeNode,
    probe: Arc<FakeProbe>,
    hypervisor: Arc<FakeHypervisor>,
    history: Arc<FakeHistory>,
    store: Arc<FakeStore>,
    faults: Faults,
    engine: Engine,
}

async fn open(clock: PacedClock, node: FakeNode, history: Arc<FakeHistory>, store: Arc<FakeStore>, faults: Faults) -> Bench {
    let hypervisor = FakeHypervisor::new(node.clone(), faults.clone());
    let probe = Arc::new(FakeProbe::new(&NodeOptions::default(), Arc::new(clock.clone()), Faults::new()));
    let ports = EnginePorts {
        hypervisor: hypervisor.clone(),
        store: store.clone(),
        images: FakeImageTransfer::new(node.clone(), Faults::new()),
        probe: probe.clone(),
        history: history.clone(),
        clock: Arc::new(clock.clone()),
    };
    let engine = Engine::start(EngineConfig::default(), ports, store.load().await.unwrap()).await.unwrap();
    assert!(engine.wait_until_ready(MINUTE).await);
    Bench { clock, node, probe, hypervisor, history, store, faults, engine }
}

async fn bench() -> Bench {
    let clock = PacedClock::new();
    let node = FakeNode::new(NodeOptions::default(), Arc::new(clock.clone()));
    let faults = Faults::new();
    open(clock, node, FakeHistory::new(faults.clone()), FakeStore::new(Faults::new()), faults).await
}

fn domain(vm_uuid: Uuid) -> ObservedVm {
    ObservedVm {
        vm_uuid,
        domain_name: format!("vm-{vm_uuid}").into(),
        power: PowerState::Running,
        reason: StateReason::Booted,
        is_persistent: true,
        auto_start: false,
        cpu_cores: 2,
        memory_bytes: 1 << 30,
        architecture: "x86_64".into(),
        firmware: Firmware::Bios,
        disks: vec![ObservedDisk {
            device: "vda".into(),
            bus: "virtio".into(),
            kind: "disk".into(),
            path: "/elsewhere/a.qcow2".into(),
            format: "qcow2".into(),
        }],
        nics: vec![ObservedNic {
            mac_address: MacAddress([0x52, 0x54, 0, 1, 2, 3]),
            source: "default".into(),
            target_device: Some("vnet0".into()),
            model: "virtio".into(),
        }],
        metadata: None,
        metadata_is_broken: false,
    }
}

/// One of two processors always busy; rss moves.
fn busy(target: &VmTarget, at: SampleTime, run_id: u64, start: Duration) -> KernelSample {
    let run = u64::try_from((at.elapsed - start).as_nanos()).unwrap();
    let mut sample = KernelSample { vm_uuid: target.vm_uuid, at, run_id, cpu_time_nanoseconds: run, ..kernel(0) };
    sample.vcpus[0].time_nanoseconds = run;
    sample.memory_resident_bytes = (300 << 20) + run / 1_000_000;
    let nic = |(name, _): &(SmolStr, MacAddress)| NicCounters {
        interface_name: name.clone(),
        receive_bytes: run / 1_000_000,
        ..NicCounters::default()
    };
    sample.nics = target.nics.iter().map(nic).collect();
    sample
}

impl Bench {
    fn vm(&self) -> Uuid {
        let vm_uuid = Uuid::new_v4();
        self.node.define_outside(domain(vm_uuid));
        vm_uuid
    }

    fn see_processes(&self) {
        self.probe.set_script(|target, at| Some(busy(target, at, 1, Duration::ZERO)));
    }

    fn reading(&self, vm_uuid: Uuid) -> Arc<VmReading> {
        self.engine.readings().vms.get(&vm_uuid).cloned().expect("a reading")
    }

    fn query(&self, subject_uuid: Uuid, back: Duration, period: Option<u64>) -> HistoryQuery {
        let end = self.clock.now();
        let start = Timestamp(end.0 - i64::try_from(back.as_nanos()).unwrap());
        HistoryQuery { subject_uuid, start, end, period: period.map(Duration::from_secs) }
    }

    async fn history(&self, vm_uuid: Uuid, back: Duration, period: Option<u64>) -> History {
        let history = self.engine.history(self.query(vm_uuid, back, period)).await.unwrap();
        assert!(history.points.is_sorted_by(|a, b| a.time < b.time), "sorted, unique times");
        history
    }

    /// The daemon ends in order and another one starts on the same world.
    async fn restart(self) -> Bench {
        self.engine.shutdown(SECOND).await;
        open(self.clock, self.node, self.history, self.store, self.faults).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_vm_has_rates_within_four_seconds_and_an_idle_loop_asks_no_more_than_it_must() {
    let bench = bench().await;
    sleep(95 * SECOND).await;
    let vm = bench.vm();
    sleep(4 * SECOND).await;
    let point = bench.reading(vm).point.clone().unwrap();
    assert!((point.cpu_usage_percent.unwrap() - 20.0).abs() < 0.1, "{point:?}");
    assert_eq!(point.memory_view, MemoryView::Guest);
    assert_eq!((point.disks.len(), point.nics[0].mac_address), (1, Some(MacAddress([0x52, 0x54, 0, 1, 2, 3]))));
    let before = bench.faults.count("sample_vms");
    sleep(300 * SECOND).await;
    assert!((9..=11).contains(&(bench.faults.count("sample_vms") - before)), "one sweep every 30 s");
}

#[tokio::test(start_paused = true)]
async fn both_tiers_make_one_point_a_kernel_tick() {
    let bench = bench().await;
    bench.see_processes();
    let vm = bench.vm();
    sleep(200 * SECOND).await;
    let history = bench.history(vm, 100 * SECOND, None).await;
    assert!((9..=11).contains(&history.points.len()), "{}", history.points.len());
    for point in &history.points {
        assert_eq!(point.core_usage_percents, [100.0, 0.0]);
        assert_eq!((point.cpu_usage_percent, point.memory_view), (Some(50.0), MemoryView::Guest));
        assert!(point.memory_resident_bytes.is_some() && point.disks.len() == 1 && point.nics.len() == 1, "{point:?}");
        assert!((point.nics[0].receive_bytes - 1000.0).abs() < 1.0, "{point:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_takes_long_holds_up_no_other_tier_piles_up_nothing_and_stretches_the_interval() {
    let bench = bench().await;
    bench.see_processes();
    let vm = bench.vm();
    sleep(60 * SECOND).await;
    let calls = bench.faults.count("sample_vms");
    bench.faults.on("sample_vms", 1, Fault::HoldBefore);
    bench.faults.wait_for_calls("sample_vms", calls + 1).await;
    sleep(100 * SECOND).await;
    assert_eq!(bench.faults.count("sample_vms"), calls + 1, "one at a time");
    let readings = bench.engine.readings();
    let kernel_age = bench.reading(vm).age(Tier::Kernel, bench.clock.sample_time()).unwrap();
    assert!(kernel_age <= 11 * SECOND, "{kernel_age:?}");
    assert_eq!(readings.hypervisor.interval, 30 * SECOND);
    bench.faults.release();
    sleep(SECOND).await;
    let sweep = bench.engine.readings().hypervisor;
    assert!(sweep.duration >= 100 * SECOND && sweep.interval >= 500 * SECOND, "{sweep:?}");
}

#[tokio::test(start_paused = true)]
async fn the_sweep_that_finds_out_that_a_vm_hangs_does_not_stretch_the_interval_of_the_others() {
    let bench = bench().await;
    let (vm, _, _) = (bench.vm(), bench.vm(), bench.vm());
    sleep(65 * SECOND).await;
    let calls = bench.faults.count("sample_vms");
    bench.faults.on("sample_vms", 1, Fault::HoldBefore);
    bench.faults.wait_for_calls("sample_vms", calls + 1).await;
    bench.node.set_monitor(vm, FakeMonitor::Hangs);
    sleep(10 * SECOND).await;
    bench.faults.release();
    sleep(SECOND).await;
    let sweep = bench.engine.readings().hypervisor;
    assert!(sweep.duration >= 10 * SECOND && !bench.reading(vm).is_answering);
    assert_eq!(sweep.interval, 30 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_vm_is_marked_keeps_its_last_answer_and_its_kernel_figures_move() {
    let bench = bench().await;
    bench.see_processes();
    let (vm, other) = (bench.vm(), bench.vm());
    sleep(65 * SECOND).await;
    for monitor in [FakeMonitor::Hangs, FakeMonitor::Busy] {
        bench.node.set_monitor(vm, monitor);
        sleep(40 * SECOND).await;
        let first = bench.reading(vm);
        assert!(!first.is_answering && bench.reading(other).is_answering);
        let said = first.hypervisor.clone().unwrap();
        assert!(said.is_complete, "the last complete answer is kept");
        sleep(120 * SECOND).await;
        let later = bench.reading(vm);
        assert_eq!(later.hypervisor.as_ref().unwrap().at, said.at);
        let (a, b) = (first.point.clone().unwrap(), later.point.clone().unwrap());
        assert!(b.memory_resident_bytes > a.memory_resident_bytes && b.time > a.time);
        assert_eq!((b.cpu_usage_percent, b.memory_view), (Some(50.0), MemoryView::Host));
        assert!(b.disks.is_empty(), "nobody knows them any more");
        bench.node.set_monitor(vm, FakeMonitor::Answers);
        sleep(35 * SECOND).await;
        assert!(bench.reading(vm).is_answering);
    }
}

#[tokio::test(start_paused = true)]
async fn while_libvirt_is_down_the_kernel_tier_goes_on_and_a_process_that_ends_is_seen() {
    let bench = bench().await;
    bench.see_processes();
    let vm = bench.vm();
    sleep(60 * SECOND).await;
    bench.hypervisor.disconnect("test");
    let calls = bench.faults.count("sample_vms");
    sleep(200 * SECOND).await;
    let reading = bench.reading(vm);
    let now = bench.clock.sample_time();
    assert!(reading.age(Tier::Kernel, now).unwrap() <= 11 * SECOND);
    assert!(reading.age(Tier::Hypervisor, now).unwrap() >= 200 * SECOND);
    assert_eq!(bench.faults.count("sample_vms"), calls);
    assert_eq!(reading.point.as_ref().unwrap().cpu_usage_percent, Some(50.0));
    bench.probe.set_script(|_, _| None);
    sleep(11 * SECOND).await;
    assert!(bench.engine.readings().vms.is_empty());
    bench.see_processes();
    bench.hypervisor.connect();
    sleep(5 * SECOND).await;
    assert!(bench.reading(vm).age(Tier::Hypervisor, bench.clock.sample_time()).unwrap() <= 5 * SECOND, "asked as soon as it is up");
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_stops_or_vanishes_has_no_reading_a_second_later() {
    let bench = bench().await;
    let (stopped, other) = (bench.vm(), bench.vm());
    sleep(15 * SECOND).await;
    assert_eq!(bench.engine.readings().vms.len(), 2);
    bench.node.change_outside(stopped, |observed| observed.power = PowerState::Off);
    sleep(SECOND).await;
    assert_eq!(bench.engine.readings().vms.keys().copied().collect::<Vec<_>>(), [other]);
    bench.node.change_outside(other, |observed| observed.power = PowerState::Paused);
    sleep(SECOND).await;
    assert!(bench.engine.readings().vms.contains_key(&other), "one that is held is on");
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_restarts_gives_no_spike_and_no_negative_rate() {
    let bench = bench().await;
    let run = Arc::new(AtomicU64::new(1));
    let seen = run.clone();
    // With each run the counters begin at another, higher or lower, place.
    bench.probe.set_script(move |target, at| {
        let run = seen.load(Ordering::SeqCst);
        let mut sample = busy(target, at, run, Duration::ZERO);
        sample.vcpus.iter_mut().for_each(|vcpu| vcpu.time_nanoseconds += run * 1_000_000_000_000 % 7_000_000_000_000);
        sample.nics.iter_mut().for_each(|nic| nic.receive_bytes += (run * 1_000_000_007) % 5_000_000_000);
        Some(sample)
    });
    let vm = bench.vm();
    for _ in 0..12 {
        sleep(23 * SECOND).await;
        run.fetch_add(1, Ordering::SeqCst);
    }
    let points = bench.history(vm, 250 * SECOND, None).await.points;
    assert!(points.len() > 20 && points.iter().any(|point| point.cpu_usage_percent.is_none()));
    for point in points {
        assert!(point.cpu_usage_percent.is_none_or(|percent| (percent - 50.0).abs() < 0.1), "{point:?}");
        assert!(point.nics.iter().all(|nic| (nic.receive_bytes - 1000.0).abs() < 1.0), "{point:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_does_not_stop_the_hypervisor_tier() {
    let bench = bench().await;
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = parking_lot::Mutex::new(wait);
    bench.probe.set_script(move |target, at| {
        let _ = wait.lock().recv();
        Some(busy(target, at, 1, Duration::ZERO))
    });
    let vm = bench.vm();
    // A thread that blocks holds the paused time: it is moved by hand.
    for _ in 0..2400 {
        tokio::time::advance(SECOND / 10).await;
    }
    let reading = bench.reading(vm);
    assert!(reading.kernel.is_none() && reading.age(Tier::Hypervisor, bench.clock.sample_time()).unwrap() < 33 * SECOND);
    assert!(reading.point.as_ref().unwrap().cpu_usage_percent.is_some());
    drop(release);
    sleep(20 * SECOND).await;
    assert!(bench.reading(vm).kernel.is_some());
}

#[tokio::test(start_paused = true)]
async fn history_has_every_point_then_minutes_then_coarse_ones() {
    let bench = bench().await;
    bench.see_processes();
    let vm = bench.vm();
    sleep(7230 * SECOND).await;
    let fine = bench.history(vm, 290 * SECOND, None).await;
    assert_eq!(fine.period, 10 * SECOND);
    assert!((27..=31).contains(&fine.points.len()), "{}", fine.points.len());
    let minutes = bench.history(vm, 3600 * SECOND, None).await;
    assert_eq!((minutes.period, minutes.points.len()), (MINUTE, 60));
    assert!(minutes.points.iter().all(|point| point.time.seconds() % 60 == 0));
    let coarse = bench.history(vm, 30 * 86_400 * SECOND, None).await;
    assert_eq!((coarse.period, coarse.points.len()), (15 * MINUTE, 9), "the unfinished one too");
    let hours = bench.history(vm, 24 * 3600 * SECOND - SECOND, Some(3600)).await;
    assert_eq!((hours.period, hours.points.len()), (60 * MINUTE, 3));
    assert!(hours.points.iter().all(|point| point.time.seconds() % 3600 == 0));
    let short = bench.history(vm, 3600 * SECOND, Some(1)).await;
    assert_eq!(short.period, MINUTE, "no finer than there is");
    for point in minutes.points.iter().chain(&coarse.points).chain(&hours.points) {
        assert!(point.cpu_usage_percent.is_some_and(|percent| (percent - 50.0).abs() < 0.1), "{point:?}");
    }
    let host = bench.engine.snapshot().host_uuid();
    assert_eq!(bench.history(host, 3600 * SECOND, None).await.points.len(), 60);
    assert!(bench.history(Uuid::from_u128(9), 3600 * SECOND, None).await.points.is_empty());
    let many = bench.engine.history_of_many(vec![vm, host], bench.query(vm, 3600 * SECOND, None)).await.unwrap();
    assert_eq!(many.iter().map(|(uuid, history)| (*uuid, history.points.len())).collect::<Vec<_>>(), [(vm, 60), (host, 60)]);
    let backwards = HistoryQuery { start: bench.clock.now(), end: Timestamp(0), ..bench.query(vm, SECOND, None) };
    assert!(bench.engine.history(backwards).await.unwrap().points.is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_many_points_are_refused_with_the_period_that_fits() {
    let bench = bench().await;
    let vms: Vec<Uuid> = (0..1000).map(Uuid::from_u128).collect();
    let error = bench.engine.history_of_many(vms.clone(), bench.query(Uuid::nil(), 86_000 * SECOND, None)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ParameterInvalid);
    let text = error.chain();
    let smallest: u64 = text.split("at least ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(text.contains("period"), "{text}");
    assert!(bench.engine.history_of_many(vms, bench.query(Uuid::nil(), 86_000 * SECOND, Some(smallest))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_history_and_goes_on_with_the_unfinished_buckets() {
    let bench = bench().await;
    bench.see_processes();
    let vm = bench.vm();
    sleep(1830 * SECOND).await;
    let before = bench.history(vm, 1800 * SECOND, None).await;
    let bench = bench.restart().await;
    // From now on it idles: what the former run saw of these buckets still counts.
    bench.probe.set_script(|target, at| {
        let sample = busy(target, at, 1, Duration::ZERO);
        Some(KernelSample { vcpus: kernel(0).vcpus, ..sample })
    });
    sleep(100 * SECOND).await;
    let after = bench.history(vm, 1930 * SECOND, None).await;
    let by_time = |history: &History| history.points.iter().map(|point| (point.time, point.clone())).collect::<BTreeMap<_, _>>();
    let (before, after) = (by_time(&before), by_time(&after));
    assert!(before.keys().all(|time| after.contains_key(time)), "nothing is lost");
    let minute = after[&Timestamp::from_seconds(EPOCH_SECONDS + 1800)].cpu_usage_percent.unwrap();
    assert!((10.0..45.0).contains(&minute), "{minute}");
    let coarse = bench.history(vm, 3 * 86_400 * SECOND, None).await.points;
    let mean = coarse.last().unwrap().cpu_usage_percent.unwrap();
    assert!((5.0..45.0).contains(&mean), "{mean}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_stops_nothing_and_the_last_minutes_come_when_it_works_again() {
    let bench = bench().await;
    bench.see_processes();
    let vm = bench.vm();
    sleep(130 * SECOND).await;
    bench.faults.on_every("history_append", Fault::FailBefore(fail!(StoreFailed)));
    sleep(240 * SECOND).await;
    let readings = bench.engine.readings();
    assert!(bench.clock.sample_time().since(readings.kernel.end.unwrap()) <= 11 * SECOND);
    assert_eq!(bench.history(vm, 290 * SECOND, None).await.period, 10 * SECOND);
    assert_eq!(bench.history(vm, 360 * SECOND, None).await.points.len(), 6, "those that wait are told too");
    bench.faults.clear();
    sleep(80 * SECOND).await;
    let start = Timestamp::from_seconds(EPOCH_SECONDS);
    let stored = bench.history.read(vm, Resolution::Minute, start, bench.clock.now(), 100).await.unwrap();
    assert_eq!(stored.len(), 7, "no minute is lost");
    // For an hour: what waits is bounded.
    bench.faults.on_every("history_append", Fault::FailBefore(fail!(StoreFailed)));
    sleep(3600 * SECOND).await;
    let waiting = bench.engine.inner.statistics.subjects.lock().unstored(vm, Resolution::Minute, start, bench.clock.now());
    assert!(waiting.len() <= 6, "{}", waiting.len());
}

#[tokio::test(start_paused = true)]
async fn clocks_that_jump_make_no_spike_and_no_time_twice() {
    let bench = bench().await;
    bench.see_processes();
    let vm = bench.vm();
    sleep(300 * SECOND).await;
    for step in [-90, 45, -3600, 7200, -7000, 1] {
        bench.clock.step(step);
        sleep(130 * SECOND).await;
        for back in [200 * SECOND, 3000 * SECOND, 2 * 86_400 * SECOND] {
            for point in bench.history(vm, back, None).await.points {
                assert!(point.cpu_usage_percent.is_none_or(|percent| (percent - 50.0).abs() < 0.1), "{point:?}");
                assert!(point.nics.iter().all(|nic| (nic.receive_bytes - 1000.0).abs() < 1.0), "{point:?}");
                assert!(point.time <= bench.clock.now());
            }
        }
    }
    let far = Timestamp(i64::MAX);
    let future = bench.history.read(vm, Resolution::Minute, bench.clock.now().plus(MINUTE), far, 100).await.unwrap();
    assert!(future.is_empty(), "what a clock that ran ahead left is removed");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_vms_cost_what_is_said_and_those_that_go_are_forgotten() {
    let bench = bench().await;
    bench.see_processes();
    let vms: Vec<Uuid> = (0..1000)
        .map(|_| {
            let vm_uuid = Uuid::new_v4();
            let mut observed = ObservedVm { cpu_cores: 4, ..domain(vm_uuid) };
            observed.disks.push(ObservedDisk { device: "vdb".into(), ..observed.disks[0].clone() });
            observed.nics.push(ObservedNic { target_device: Some("vnet1".into()), ..observed.nics[0].clone() });
            bench.node.define_outside(observed);
            vm_uuid
        })
        .collect();
    bench.probe.set_script(|target, at| {
        let mut sample = busy(target, at, 1, Duration::ZERO);
        let last = sample.vcpus[0];
        sample.vcpus.extend([VcpuThread { index: 2, ..last }, VcpuThread { index: 3, ..last }]);
        Some(sample)
    });
    sleep(430 * SECOND).await;
    {
        let subjects = bench.engine.inner.statistics.subjects.lock();
        let bytes = vms.iter().map(|vm| subjects.ring_bytes(*vm)).max().unwrap();
        assert!((1000..=6 * 1024).contains(&bytes), "{bytes} bytes a VM");
        assert_eq!(subjects.len(), 1001);
    }
    assert!(bench.engine.readings().vms.len() == 1000 && SUBJECTS_MAX > 1001);
    vms.iter().for_each(|vm| bench.node.change_outside(*vm, |observed| observed.power = PowerState::Off));
    sleep(20 * MINUTE).await;
    assert_eq!(bench.engine.inner.statistics.subjects.lock().len(), 1, "the host");
}
