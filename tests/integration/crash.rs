//! The crash campaign: random changes by several clients at a time, the daemon or libvirtd killed in the middle of them, and afterwards
//! everything must be as the accepted changes say, with nothing left of those that failed.
//!
//! ```text
//!   askers ──changes──▶ daemon ──▶ libvirt        kill -9 at a random moment, start again, sometimes kill again while it recovers
//!                                                 every job ends; changes whose answer was lost are sent again with their request_uuid
//!   jobs in the order of acceptance ──▶ Model ──compare──▶ libvirt, files, network, QEMUs, what the node says
//! ```
//! `HVNODE_CRASH_ROUNDS` and `HVNODE_CRASH_SEED` say how long and which; `make crash ROUNDS=50 SEED=7`. The same seed asks for the same
//! things at the same moments; what happens first is up to the machine.

mod check;
mod model;
mod random;
mod request;
mod world;

use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::{Answer, PATIENCE};
use check::{Fault, Faults, check};
use model::{Image, Model, Specification};
use random::Random;
use request::{Fixed, Known, Request};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::block_in_place;
use uuid::Uuid;
use world::{Outside, Told};

/// Clients that ask at the same time.
const ASKERS: u64 = 5;
/// Most changes of one of them that are accepted in a round.
const ACCEPTED_MAX: u64 = 8;
/// Most changes that one of them asks for in a round.
const ASKED_MAX: usize = 40;
/// The kill comes in this time after the first request.
const KILL_MILLISECONDS_MAX: u64 = 2500;
/// A second kill comes in this time after the restart.
const SECOND_KILL_MILLISECONDS_MAX: u64 = 900;
/// Longer than any answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(110);
/// Bytes of the image that is imported again and again.
const LARGE_BYTES: u64 = 192 << 20;

/// Refusals that a change at the wrong moment may meet; anything else is a fault.
const REFUSALS: [i64; 17] =
    [10007, 10009, 10012, 12001, 13000, 13001, 13002, 13010, 14010, 14011, 14015, 14016, 16000, 16002, 17000, 17001, 17002];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_left_whatever_dies() {
    let rounds = number_from("HVNODE_CRASH_ROUNDS", 3);
    let seed = number_from("HVNODE_CRASH_SEED", 7);
    let mut campaign = Campaign::start(seed).await;
    for round in 1..=rounds {
        campaign.round(round).await;
    }
    campaign.clear().await;
    let (jobs, kills) = (campaign.jobs, campaign.kills);
    println!("rounds {rounds}, jobs {jobs}, kills {kills}, leaks 0, lost 0");
}

fn number_from(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        _ => default,
    }
}

/// What dies in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Daemon,
    /// And once more while it takes up what the first kill left.
    DaemonTwice,
    Libvirtd,
    Both,
}

/// A change that was sent and what came back.
#[derive(Debug, Clone)]
struct Sent {
    request: Request,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// With its job; whether the answer said that it succeeded, if it said how it ended.
    Accepted(Uuid, Option<bool>),
    Refused(i64, String),
    /// No answer.
    Lost,
}

struct Campaign {
    node: Node,
    seed: u64,
    round: u64,
    fixed: Fixed,
    model: Model,
    /// Every change that was ever sent, by its `request_uuid`.
    sent: BTreeMap<Uuid, Sent>,
    /// Jobs that were applied to the model.
    applied: BTreeSet<Uuid>,
    /// Folders of sockets that a libvirtd left which died while it started a VM: it does not remove them itself, and only it may.
    left_by_libvirt: BTreeSet<String>,
    jobs: u64,
    kills: u64,
}

impl Campaign {
    async fn start(seed: u64) -> Self {
        println!("seed {seed}");
        let node = Node::start().await;
        let images = node.host.directory.join("run/images");
        std::fs::write(images.join("halt.bin"), halting_kernel()).unwrap();
        std::fs::write(images.join("halt.cpio"), b"070701 nobody reads on").unwrap();
        std::fs::write(images.join("halt.raw"), halting_disk(1 << 20)).unwrap();
        std::fs::write(images.join("large.raw"), halting_disk(LARGE_BYTES)).unwrap();
        let mut model = Model::default();
        let mut import = async |name: &str, file: &str, format: &'static str| {
            let body = json!({"image_name": name, "url": format!("file:///run/images/{file}"), "format": format});
            let image = node.client.post("/v1/repository/image/create", body).await.ok()["image"].clone();
            let uuid: Uuid = image["image_uuid"].as_str().unwrap().parse().unwrap();
            let storage_bytes = image["storage_size"].as_u64().unwrap();
            model.images.insert(uuid, Image { image_name: name.to_owned(), format, storage_bytes });
            uuid
        };
        let kernel = import("kernel", "halt.bin", "kernel").await;
        let initrd = import("initrd", "halt.cpio", "initrd").await;
        let boot = import("boot", "halt.raw", "raw").await;
        let body = json!({"specification_name": "tiny", "cpu_cores": 1, "memory_size": 64 << 20, "description": "fixed"});
        let created = node.client.post("/v1/specification/create", body).await.ok();
        let tiny: Uuid = created["specification"]["specification_uuid"].as_str().unwrap().parse().unwrap();
        let specification =
            Specification { specification_name: "tiny".into(), description: "fixed".into(), cpu_cores: 1, memory_bytes: 64 << 20 };
        model.specifications.insert(tiny, specification);
        let large_url = "file:///run/images/large.raw".to_owned();
        let fixed = Fixed { kernel, initrd, boot, tiny, large_url };
        Self {
            node,
            seed,
            round: 0,
            fixed,
            model,
            sent: BTreeMap::new(),
            applied: BTreeSet::new(),
            left_by_libvirt: BTreeSet::new(),
            jobs: 0,
            kills: 0,
        }
    }

    async fn round(&mut self, round: u64) {
        let began = std::time::Instant::now();
        self.round = round;
        let mut random = Random::new(&[self.seed, round]);
        let victim = random.weighted(&[(40, Victim::Daemon), (25, Victim::DaemonTwice), (20, Victim::Libvirtd), (15, Victim::Both)]);
        self.model.begin();
        let sent = self.ask_and_kill(&mut random, victim).await;
        self.wait_for_jobs().await;
        let mut faults = Faults::default();
        let (asked, retried) = (sent.len(), self.retry(sent, &mut faults).await);
        self.wait_for_jobs().await;
        let applied = self.apply_jobs(&mut faults).await;
        if matches!(victim, Victim::Libvirtd | Victim::Both) {
            let outside = block_in_place(|| Outside::read(&self.node));
            self.left_by_libvirt.extend(outside.sockets_of_no_domain());
        }
        let told = self.compare(&mut faults).await;
        self.compare_with_store(&told, &mut faults).await;
        self.give_up_on(&faults);
        let seconds = began.elapsed().as_secs_f64();
        let vms = self.model.vms.len();
        println!("round {round}: {victim:?}, asked {asked}, retried {retried}, jobs {applied}, vms {vms}, {seconds:.1} s");
    }

    /// Lets the askers ask, kills in the middle of it, starts again what was killed.
    async fn ask_and_kill(&mut self, random: &mut Random, victim: Victim) -> Vec<Sent> {
        let known = Arc::new(Mutex::new(self.model.known(&self.fixed)));
        let askers: Vec<_> = (0..ASKERS)
            .map(|number| {
                let random = Random::new(&[self.seed, self.round, 1 + number]);
                tokio::spawn(ask(self.node.client.clone(), random, known.clone(), self.fixed.clone()))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.below(KILL_MILLISECONDS_MAX))).await;
        self.kill_and_start(random, victim).await;
        let mut sent = Vec::new();
        for asker in askers {
            sent.extend(asker.await.unwrap());
        }
        sent
    }

    async fn kill_and_start(&mut self, random: &mut Random, victim: Victim) {
        let pause = Duration::from_millis(random.below(SECOND_KILL_MILLISECONDS_MAX));
        let libvirtd_first = random.chance(50);
        self.kills += if matches!(victim, Victim::Daemon | Victim::Libvirtd) { 1 } else { 2 };
        if victim == Victim::Libvirtd || (victim == Victim::Both && libvirtd_first) {
            block_in_place(|| self.node.host.kill_libvirtd());
        }
        if victim != Victim::Libvirtd {
            block_in_place(|| self.node.kill_daemon());
        }
        if victim == Victim::Both && !libvirtd_first {
            block_in_place(|| self.node.host.kill_libvirtd());
        }
        match victim {
            Victim::Daemon => self.node.spawn_daemon(),
            Victim::DaemonTwice => {
                self.node.spawn_daemon();
                tokio::time::sleep(pause).await;
                block_in_place(|| self.node.kill_daemon());
                self.node.spawn_daemon();
            }
            Victim::Libvirtd => {
                tokio::time::sleep(pause).await;
                block_in_place(|| self.node.host.restart_libvirtd());
            }
            Victim::Both => {
                self.node.spawn_daemon();
                tokio::time::sleep(pause).await;
                block_in_place(|| self.node.host.restart_libvirtd());
            }
        }
        self.node.wait_until_ready().await;
    }

    async fn wait_for_jobs(&self) {
        let client = &self.node.client;
        let open = async |status: &str| client.get(&format!("/v1/job/list?status={status}")).await.ok()["list"].clone();
        let start = std::time::Instant::now();
        loop {
            // Queued ones first: a job goes from there to running, never back.
            let (queued, running) = (open("queued").await, open("running").await);
            if queued == json!([]) && running == json!([]) {
                break;
            }
            if start.elapsed() > PATIENCE {
                let mut faults = Faults::default();
                faults.lost(format!("jobs have not ended after {PATIENCE:?}: {queued:#} {running:#}"));
                self.give_up_on(&faults);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Jobs of the node by their `request_uuid`; more than one for a key is a fault.
    async fn jobs_by_request(&self, faults: &mut Faults) -> BTreeMap<Uuid, Value> {
        let list = self.node.client.get("/v1/job/list?page_size=1000").await.ok()["list"].as_array().unwrap().clone();
        let mut jobs = BTreeMap::new();
        for job in list {
            let Some(key) = job["request_uuid"].as_str().map(|text| text.parse().unwrap()) else { continue };
            if let Some(other) = jobs.insert(key, job.clone()) {
                faults.leak(format!("two jobs for one request_uuid: {job:#} and {other:#}"));
            }
        }
        jobs
    }

    /// Sends again every change whose answer was lost, and some of the others. Gives how many were lost.
    async fn retry(&mut self, mut sent: Vec<Sent>, faults: &mut Faults) -> usize {
        let mut random = Random::new(&[self.seed, self.round, 0]);
        let accepted = self.jobs_by_request(faults).await;
        let mut lost = 0;
        for one in &mut sent {
            let earlier = accepted.get(&one.request.request_uuid).map(uuid_of_job);
            let is_lost = one.outcome == Outcome::Lost;
            match (&one.outcome, earlier) {
                (Outcome::Accepted(job, _), earlier) if earlier != Some(*job) => {
                    faults.lost(format!("{} was answered with job {job}; the node now has {earlier:?} for it", one.request.path));
                }
                (Outcome::Refused(code, message), Some(job)) => {
                    faults.leak(format!("{} was refused with {code} {message} and there is the job {job}", one.request.path));
                }
                _ => {}
            }
            let is_repeated = is_lost || (matches!(one.outcome, Outcome::Accepted(..)) && random.chance(20));
            if is_repeated {
                lost += usize::from(is_lost);
                let again = send(&self.node.client, &one.request).await;
                match (&again, earlier) {
                    (Outcome::Accepted(job, _), Some(earlier)) if *job == earlier => {}
                    (_, Some(earlier)) => faults.lost(format!("{}: sent again, job {earlier} became {again:?}", one.request.path)),
                    (Outcome::Lost, None) => faults.lost(format!("{}: sent again, no answer", one.request.path)),
                    _ => {}
                }
                if is_lost {
                    one.outcome = again;
                }
            }
        }
        for one in sent {
            if let Outcome::Refused(code, message) = &one.outcome
                && !REFUSALS.contains(code)
            {
                faults.lost(format!("{} {} was refused with {code} {message}", one.request.path, one.request.body));
            }
            self.sent.insert(one.request.request_uuid, one);
        }
        lost
    }

    /// Applies the jobs of the round to the model in the order in which they were accepted. Gives how many there were.
    async fn apply_jobs(&mut self, faults: &mut Faults) -> usize {
        let jobs = self.jobs_by_request(faults).await;
        let new = jobs.into_iter().map(|(key, job)| (uuid_of_job(&job), key, job)).filter(|(uuid, _, _)| !self.applied.contains(uuid));
        // Their uuids are version 7: sorted by them is sorted by acceptance.
        let new: BTreeMap<Uuid, (Uuid, Value)> = new.map(|(uuid, key, job)| (uuid, (key, job))).collect();
        let count = new.len();
        for (job_uuid, (key, job)) in new {
            let Some(sent) = self.sent.get(&key) else {
                faults.leak(format!("job {job_uuid} has the request_uuid {key} that nobody sent"));
                continue;
            };
            let has_succeeded = job["status"] == "succeeded";
            if let Outcome::Accepted(_, Some(told)) = &sent.outcome
                && *told != has_succeeded
            {
                faults.lost(format!("job {job_uuid} was answered with success {told} and is {}", job["status"]));
            }
            if !has_succeeded && !may_fail(&job, &sent.request) {
                faults.lost(format!("job {job_uuid} should not have failed: {} {job:#}", sent.request.body));
            }
            if let Err(text) = self.model.apply(&sent.request, has_succeeded, LARGE_BYTES) {
                faults.lost(format!("job {job_uuid}: {text}"));
            }
            self.applied.insert(job_uuid);
            self.jobs += 1;
        }
        for sent in self.sent.values() {
            if let Outcome::Accepted(job, _) = &sent.outcome
                && !self.applied.contains(job)
            {
                faults.lost(format!("{}: the node has forgotten job {job}", sent.request.path));
            }
        }
        count
    }

    /// Compares everything. What the node sees of libvirt follows by events, so it has a moment.
    async fn compare(&mut self, faults: &mut Faults) -> Told {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            let (mut outside, told) = (block_in_place(|| Outside::read(&self.node)), Told::read(&self.node).await);
            outside.sockets.retain(|folder| !self.left_by_libvirt.contains(folder));
            let found = check(&self.model, &outside, &told);
            if found.0.is_empty() || std::time::Instant::now() > deadline {
                faults.0.extend(found.0);
                self.learn(&outside, &told);
                return told;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Takes over what the model cannot know: the node's choices.
    fn learn(&mut self, outside: &Outside, told: &Told) {
        for (uuid, vm) in &mut self.model.vms {
            vm.qemu = outside.qemus.get(uuid).copied();
        }
        for (name, disk) in &mut self.model.disks {
            disk.uuid = told.disks.get(name).and_then(|view| view["usd_uuid"].as_str()?.parse().ok());
        }
    }

    /// Another kill, at rest: what the node says afterwards comes from the store alone, and must be the same.
    async fn compare_with_store(&mut self, before: &Told, faults: &mut Faults) {
        block_in_place(|| self.node.kill_daemon());
        self.kills += 1;
        self.node.start_daemon().await;
        let must = before.stored_part();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            let is = Told::read(&self.node).await.stored_part();
            if is == must {
                return;
            }
            if std::time::Instant::now() > deadline {
                for (must, is) in must.iter().zip(&is).filter(|(must, is)| must != is) {
                    faults.lost(format!("after a restart at rest {must:#} became {is:#}"));
                }
                faults.lost(format!("after a restart at rest {} objects became {}", must.len(), is.len()));
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Removes everything that the campaign made: nothing may be left.
    async fn clear(&mut self) {
        let mut faults = Faults::default();
        for (vm_uuid, vm) in self.model.vms.clone() {
            let path = if vm.is_trashed { "/v1/vm/expunge" } else { "/v1/vm/delete" };
            let body =
                if vm.is_trashed { json!({"vm_uuid": vm_uuid}) } else { json!({"vm_uuid": vm_uuid, "force": true, "delete_usd": true}) };
            self.must_succeed(path, body, &mut faults).await;
        }
        let free: Vec<Uuid> = self.model.disks.values().filter(|disk| disk.owner.is_none()).filter_map(|disk| disk.uuid).collect();
        for uuid in free {
            self.must_succeed("/v1/usd/delete", json!({"usd_uuid": uuid}), &mut faults).await;
        }
        for uuid in self.model.known(&self.fixed).images {
            self.must_succeed("/v1/repository/image/delete", json!({"image_uuid": uuid}), &mut faults).await;
        }
        self.compare(&mut faults).await;
        self.give_up_on(&faults);
    }

    async fn must_succeed(&mut self, path: &'static str, mut body: Value, faults: &mut Faults) {
        let request_uuid = Random::new(&[self.seed, u64::MAX, self.sent.len() as u64]).uuid();
        body["request_uuid"] = json!(request_uuid);
        let request = Request { path, body, request_uuid };
        let outcome = send(&self.node.client, &request).await;
        if matches!(outcome, Outcome::Accepted(_, Some(true))) {
            self.model.apply(&request, true, LARGE_BYTES).unwrap_or_else(|text| faults.lost(text));
        } else {
            faults.lost(format!("{path} {}: {outcome:?}", request.body));
        }
        self.sent.insert(request_uuid, Sent { request, outcome });
    }

    /// Ends the campaign if something is wrong.
    fn give_up_on(&self, faults: &Faults) {
        if faults.0.is_empty() {
            return;
        }
        for fault in &faults.0 {
            println!("{fault:?}");
        }
        let leaks = faults.0.iter().filter(|fault| matches!(fault, Fault::Leak(_))).count();
        let (rounds, lost) = (self.round, faults.0.len() - leaks);
        println!("rounds {rounds}, jobs {}, kills {}, leaks {leaks}, lost {lost}", self.jobs, self.kills);
        panic!("{leaks} leaks, {lost} lost");
    }

    /// Keeps what helps to find out what went wrong.
    fn keep_logs(&self) -> PathBuf {
        let target = crate::support::host::repository().join("target/crash");
        let kept = target.join(format!("seed-{}-round-{}", self.seed, self.round));
        std::fs::create_dir_all(&kept).unwrap();
        let directory = &self.node.host.directory;
        for file in ["hvnoded.log", "libvirt/log/libvirtd.log", "hvnode/state/state.db", "hvnode/state/state.db-wal"] {
            let from = directory.join(file);
            let _ = std::fs::copy(&from, kept.join(from.file_name().unwrap()));
        }
        let mut text = std::fs::File::create(kept.join("sent")).unwrap();
        for sent in self.sent.values() {
            writeln!(text, "{} {} {:?}", sent.request.path, sent.request.body, sent.outcome).unwrap();
        }
        std::fs::write(kept.join("model"), format!("{:#?}", self.model)).unwrap();
        kept
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}, round {}: see {}", self.seed, self.round, self.keep_logs().display());
        }
    }
}

fn uuid_of_job(job: &Value) -> Uuid {
    job["job_uuid"].as_str().unwrap().parse().unwrap()
}

/// May this job have failed? Not because something died: the daemon takes its jobs up again, and jobs wait for libvirt.
fn may_fail(job: &Value, request: &Request) -> bool {
    let is_canceled = job["status"] == "canceled";
    // What cloud-init is told is kept in memory only, so such a create is undone.
    let is_undone = request.body["password"].is_string() && job["after_restart"] == true && job["status_code"] == 13003;
    is_canceled || is_undone
}

/// Asks for one random change after the other, until there is no answer any more.
async fn ask(client: Client, mut random: Random, known: Arc<Mutex<Known>>, fixed: Fixed) -> Vec<Sent> {
    let mut all = Vec::new();
    let mut accepted_left = 1 + random.below(ACCEPTED_MAX);
    while accepted_left > 0 && all.len() < ASKED_MAX {
        let request = {
            let mut known = known.lock().unwrap();
            let request = known.next_request(&mut random, &fixed);
            known.expect(&request);
            request
        };
        let outcome = send(&client, &request).await;
        match &outcome {
            Outcome::Accepted(job, end) => {
                known.lock().unwrap().note(&request);
                accepted_left -= 1;
                if end.is_none() && random.chance(10) {
                    // Refused where it came too late or the change knows no cancel; either way the job says how it ended.
                    client.try_post("/v1/job/cancel", &json!({"job_uuid": job})).await;
                }
            }
            Outcome::Refused(..) => tokio::time::sleep(Duration::from_millis(random.below(60))).await,
            Outcome::Lost => {}
        }
        let is_lost = outcome == Outcome::Lost;
        all.push(Sent { request, outcome });
        if is_lost {
            break;
        }
    }
    all
}

async fn send(client: &Client, request: &Request) -> Outcome {
    let answer = tokio::time::timeout(ANSWER_DEADLINE, client.try_post(request.path, &request.body)).await;
    let answer: Option<Answer> = answer.unwrap_or_else(|_| panic!("{} {}: no answer in {ANSWER_DEADLINE:?}", request.path, request.body));
    let Some(answer) = answer else { return Outcome::Lost };
    match (answer.code(), answer.job_uuid()) {
        (0, Some(job)) => Outcome::Accepted(job.parse().unwrap(), (answer.data()["job_status"] != "running").then_some(true)),
        (_, Some(job)) => Outcome::Accepted(job.parse().unwrap(), Some(false)),
        (code, None) => Outcome::Refused(code, answer.message().to_owned()),
    }
}

/// `sti; hlt; jmp -4`: a guest that costs no processor time.
const HALT: [u8; 4] = [0xfb, 0xf4, 0xeb, 0xfc];

/// A disk whose boot sector halts.
fn halting_disk(bytes: u64) -> Vec<u8> {
    let mut disk = vec![0; usize::try_from(bytes).unwrap()];
    disk[..4].copy_from_slice(&HALT);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// The smallest thing that a boot loader takes for a Linux kernel: its header, and setup code that halts.
fn halting_kernel() -> Vec<u8> {
    let mut kernel = vec![0; 16 << 10];
    kernel[0x1f1] = 4; // sectors of setup code
    kernel[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    kernel[0x200..0x202].copy_from_slice(&[0xeb, 0x7e]); // jump over the header to 0x280
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x206..0x208].copy_from_slice(&[0x06, 0x02]); // protocol 2.06
    kernel[0x211] = 1; // loaded high
    kernel[0x22c..0x230].copy_from_slice(&0x37ff_ffff_u32.to_le_bytes()); // highest address of the initial RAM disk
    kernel[0x280..0x284].copy_from_slice(&HALT);
    kernel
}
