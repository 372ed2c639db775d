//! More than the node can take, and a sick outside: reads go on, changes get a clear answer that they may be tried again, memory and
//! threads stay bounded, and once the cause is gone everything goes on by itself.

use crate::support::metrics::{METRICS, connections};
use crate::support::node::light_vm;
use crate::support::{Answer, Client, Node, PATIENCE, wait_for};
use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const NATIVE: &str = "127.0.0.1:7070";
const OVER_TCP: &str = r#"HVNODE__LISTEN__NATIVE__TCP=["127.0.0.1:7070"]"#;
/// Slowest answer of a read on a machine that is busy with other tests too.
const READ_TIME_MAX: Duration = Duration::from_secs(1);

const TOO_MANY: i64 = 10012;
const STORE_FAILED: i64 = 10008;
const NO_HYPERVISOR: i64 = 10007;

async fn log_in(node: &Node) -> String {
    let password = node.host.run(&["cat", "/var/lib/hvnode/initial-password"]);
    let body = json!({"user_name": "admin", "password": password.trim()});
    let stream = connections(&node.host, NATIVE, 1).pop().unwrap();
    node.client.call_over(stream, "/v1/user/login", Some(&body)).await.unwrap().ok()["token"].as_str().unwrap().to_owned()
}

/// Reads that are answered from memory; each must be quick and right.
async fn assert_reads_go_on(node: &Node) {
    for path in ["/v1/vm/list", "/v1/host/list", "/v1/specification/list", "/v1/network/list"] {
        let start = Instant::now();
        node.client.get(path).await.ok();
        assert!(start.elapsed() < READ_TIME_MAX, "{path} took {:?}", start.elapsed());
    }
    assert_eq!(status(node, "/healthz").await, StatusCode::OK);
    let stream = connections(&node.host, METRICS, 1).pop().unwrap();
    let (status, page) = node.client.raw_over(stream, "/metrics").await.unwrap();
    assert!(status == StatusCode::OK && String::from_utf8_lossy(&page).contains("hvnode_vms{"));
}

async fn status(node: &Node, path: &str) -> StatusCode {
    node.client.raw(Method::GET, path, None, Vec::new()).await.unwrap().0
}

async fn wait_until_ready_says(node: &Node, wanted: StatusCode) -> Duration {
    let ask = || async { (status(node, "/readyz").await == wanted).then_some(()) };
    wait_for(&format!("/readyz to say {wanted}"), PATIENCE, ask).await.1
}

/// The refusal says in both languages what is wrong, and that it may be tried again.
#[track_caller]
fn assert_told(answer: &Answer, code: i64, en: &str, cn: &str) {
    assert_eq!(answer.code(), code, "{:#}", answer.0);
    let (message_en, message_cn) = (answer.0["message_en"].as_str().unwrap(), answer.0["message_cn"].as_str().unwrap());
    assert!(message_en.contains(en) && message_cn.contains(cn), "{message_en} | {message_cn}");
}

fn specification(name: &str) -> Value {
    json!({"specification_name": name, "cpu_cores": 1, "memory_size": 64 << 20})
}

async fn specification_names(node: &Node) -> Vec<String> {
    let list = node.client.get("/v1/specification/list?page_size=0").await.ok();
    list["list"].as_array().unwrap().iter().map(|s| s["specification_name"].as_str().unwrap().to_owned()).collect()
}

/// A VM that is defined and not started.
async fn create_stopped_vm(node: &Node, uuids: &Value, name: &str) -> String {
    let mut body = light_vm(uuids, name);
    body["start"] = json!(false);
    node.client.post("/v1/vm/create", body).await.ok()["vm"]["vm_uuid"].as_str().unwrap().to_owned()
}

async fn job_end(node: &Node, job_uuid: &str) -> Value {
    let path = format!("/v1/job/inspect?job_uuid={job_uuid}");
    let ask = || async {
        let job = node.client.get(&path).await.ok()["job"].clone();
        matches!(job["status"].as_str(), Some("succeeded" | "failed" | "canceled")).then_some(job)
    };
    wait_for("a job to end", PATIENCE, ask).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_at_once_are_all_answered_and_cost_bounded_memory() {
    // Half of what is the default, so that many are refused.
    let mut node = Node::start_with(&[OVER_TCP, "HVNODE__LIMITS__REQUESTS_MAX=256"], |_| {}).await;
    let uuids = node.import_images().await;
    node.client.token = Some(log_in(&node).await);
    let reads = ["/v1/vm/list", "/v1/host/list", "/v1/specification/list?page_size=0", "/v1/job/list", "/v1/network/list"];
    let before_kib = node.daemon_figure("VmRSS");
    let streams = connections(&node.host, NATIVE, 1000);
    let asked = streams.into_iter().enumerate().map(|(number, stream)| {
        let (client, mut vm) = (&node.client, light_vm(&uuids, &format!("vm{number}")));
        async move {
            let start = Instant::now();
            vm["start"] = json!(false);
            let answer = match number % 40 {
                0 => client.call_over(stream, "/v1/vm/create", Some(&vm)).await,
                odd if odd % 2 == 1 => {
                    client.call_over(stream, "/v1/specification/create", Some(&specification(&format!("s{number}")))).await
                }
                even => client.call_over(stream, reads[even / 2 % reads.len()], None).await,
            };
            (number, answer.expect("an answer"), start.elapsed())
        }
    });
    let answers = tokio::time::timeout(PATIENCE, join_all(asked)).await.expect("nobody waits for ever");
    let after_kib = node.daemon_figure("VmHWM");
    let (mut made, mut refused) = (vec!["tiny".to_owned()], 0);
    for (number, answer, took) in &answers {
        match answer.code() {
            0 if number % 2 == 1 => made.push(format!("s{number}")),
            0 => {}
            TOO_MANY => {
                assert_told(answer, TOO_MANY, "try again", "请稍后重试");
                assert!(*took < Duration::from_secs(10), "{took:?}");
                refused += 1;
            }
            _ => panic!("{:#}", answer.0),
        }
    }
    let slowest = answers.iter().map(|(.., took)| *took).max().unwrap();
    println!("refused {refused}, slowest {slowest:?}, memory {before_kib} -> {after_kib} KiB");
    // 64 KiB for each connection: its buffers grow only with what is sent, the requests here have less than 1 KiB, and lists are encoded
    // once and shared. An answer or a body kept twice for each of them would break this.
    assert!(after_kib - before_kib < 1000 * 64, "{before_kib} -> {after_kib} KiB");

    // Exactly what was answered as done is there, and the node takes changes as before.
    let mut there = specification_names(&node).await;
    there.sort_unstable();
    made.sort_unstable();
    assert_eq!(there, made);
    assert_waiting_keeps_nobody_out(&node).await;
    let vm = node.create_light_vm(&uuids, "after").await;
    assert_eq!(node.vm(&vm).await["status"], "running");
    for vm in node.client.get("/v1/vm/list?page_size=0").await.ok()["list"].as_array().unwrap() {
        node.client.post("/v1/vm/delete", json!({"vm_uuid": vm["vm_uuid"], "force": true})).await.ok();
    }
    node.assert_nothing_is_left();
}

/// However many want to wait for events, some may and the others are told; everybody else is answered as ever.
async fn assert_waiting_keeps_nobody_out(node: &Node) {
    let cursor = node.client.get("/v1/event/list?cursor=999999999999999").await.ok()["next_cursor"].clone();
    // More than there are places for requests at all; some of them come again and again, so that no place to wait stays empty for long.
    let wait = |number| wait_for_events(node.client.clone(), cursor.clone(), number < 100);
    let waiting: Vec<_> = (0..300).map(|number| tokio::spawn(wait(number))).collect();
    let path = format!("/v1/event/list?cursor={cursor}&wait_seconds=1");
    let told = || async { node.client.try_get(&path).await.filter(|answer| answer.code() != 0) };
    let (answer, _) = wait_for("a wait too many to be refused", Duration::from_secs(20), told).await;
    assert_told(&answer, TOO_MANY, "try again", "请稍后重试");
    assert_reads_go_on(node).await;
    let start = Instant::now();
    node.client.post("/v1/specification/create", specification("meanwhile")).await.ok();
    assert!(start.elapsed() < READ_TIME_MAX, "{:?}", start.elapsed());
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

/// One who follows the events: what ends a wait is seen, and the next wait begins. Where there is no place to wait, he is told, and ends or
/// comes again a little later.
async fn wait_for_events(client: Client, mut cursor: Value, comes_again: bool) {
    loop {
        let answer = client.get(&format!("/v1/event/list?cursor={cursor}&wait_seconds=60")).await;
        if answer.code() == 0 {
            cursor = answer.ok()["next_cursor"].clone();
            continue;
        }
        assert_told(&answer, TOO_MANY, "try again", "请稍后重试");
        if !comes_again {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_libvirtd_that_hangs_under_load_costs_refusals_and_heals_and_so_does_one_that_dies_hanging() {
    let node = Node::start_with(&[OVER_TCP, "HVNODE__ENGINE__JOBS_OPEN_MAX=4"], |_| {}).await;
    let uuids = node.import_images().await;
    let steady = node.create_light_vm(&uuids, "steady").await;
    let mut vms = Vec::new();
    for number in 0..5 {
        vms.push(create_stopped_vm(&node, &uuids, &format!("vm{number}")).await);
    }
    let threads_before = node.daemon_figure("Threads");
    for dies in [false, true] {
        node.host.signal_libvirtd("STOP");
        let mut jobs = Vec::new();
        for vm in &vms[..4] {
            let start = Instant::now();
            let answer = node.client.post("/v1/vm/start", json!({"vm_uuid": vm, "wait_seconds": 0})).await;
            jobs.push(answer.job_uuid().unwrap().to_owned());
            assert!(start.elapsed() < READ_TIME_MAX);
        }
        let busy = node.client.post("/v1/vm/start", json!({"vm_uuid": vms[0], "wait_seconds": 60})).await;
        assert_told(&busy, 13010, "start", "");
        let full = node.client.post("/v1/vm/start", json!({"vm_uuid": vms[4], "wait_seconds": 60})).await;
        assert_told(&full, TOO_MANY, "try again", "请重试");
        if dies {
            node.host.kill_libvirtd();
        }
        // Until it is found out, and afterwards: everything but changes goes on.
        let asked = Instant::now();
        loop {
            assert_reads_go_on(&node).await;
            if node.vm(&steady).await["freshness"] == "stale" {
                break;
            }
            assert!(asked.elapsed() < Duration::from_secs(40), "nobody noticed");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!("dies {dies}: noticed after {:?}", asked.elapsed());
        assert_reads_go_on(&node).await;
        assert_eq!(node.vm(&steady).await["status"], "running");
        assert_eq!(status(&node, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        let start = Instant::now();
        let refused = node.act("pause", &steady).await;
        assert!(matches!(refused.code(), NO_HYPERVISOR | TOO_MANY), "{:#}", refused.0);
        assert!(start.elapsed() < READ_TIME_MAX);
        let threads = node.daemon_figure("Threads");
        println!("threads {threads_before} -> {threads}");
        // Each of the three pools may have as many threads stuck as it may, beside those that serve.
        assert!(threads <= threads_before + 8 + 16 + 4 + 16 + 2, "{threads_before} -> {threads}");

        if dies {
            node.host.restart_libvirtd();
        } else {
            node.host.signal_libvirtd("CONT");
        }
        let took = wait_until_ready_says(&node, StatusCode::OK).await;
        println!("ready again after {took:?}");
        for (job, vm) in jobs.iter().zip(&vms) {
            let job = job_end(&node, job).await;
            let is_running = job["status"] == "succeeded";
            assert!(is_running || [10006, NO_HYPERVISOR].contains(&job["error"]["status_code"].as_i64().unwrap()), "{job:#}");
            node.wait_for_status(vm, if is_running { "running" } else { "stopped" }, PATIENCE).await;
            if is_running {
                node.client.post("/v1/vm/stop", json!({"vm_uuid": vm, "force": true})).await.ok();
            }
        }
        assert_eq!(node.vm(&steady).await["freshness"], "fresh");
        assert_eq!(node.vm(&steady).await["status"], "running");
    }
    let wait = || async { (node.daemon_figure("Threads") <= threads_before + 14).then_some(()) };
    wait_for("stuck threads to end", PATIENCE, wait).await;
    for vm in vms.iter().chain([&steady]) {
        node.client.post("/v1/vm/delete", json!({"vm_uuid": vm, "force": true})).await.ok();
    }
    node.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_changes_whole_and_heals_and_a_damaged_database_is_left_alone() {
    let small = |host: &crate::support::host::Host| {
        host.run(&["sh", "-c", "mount -t tmpfs -o size=160m,mode=755 tmpfs /var/lib/hvnode && chown hvnode:hvnode /var/lib/hvnode"]);
    };
    let mut node = Node::start_with(&[OVER_TCP, "HVNODE__IMAGES__KEEP_FREE_BYTES=1"], small).await;
    let uuids = node.import_images().await;
    let vm = node.create_light_vm(&uuids, "steady").await;
    fill_the_disk(&node, &vm).await;
    damage_the_database(&mut node, &vm).await;
    node.client.post("/v1/vm/delete", json!({"vm_uuid": vm, "force": true})).await.ok();
    assert_eq!(node.domains(), Vec::<String>::new());
}

async fn fill_the_disk(node: &Node, vm: &str) {
    // A job that ends while nothing can be written: its end comes when there is space.
    let body = json!({"vm_uuid": vm, "timeout_seconds": 2, "wait_seconds": 0});
    let job = node.client.post("/v1/vm/stop", body).await.ok()["job_uuid"].as_str().unwrap().to_owned();
    node.host.run(&["sh", "-c", "dd if=/dev/zero of=/var/lib/hvnode/filler bs=4k 2>/dev/null || true"]);
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    while refused.len() < 20 {
        // Some room is left in the log at first.
        let name = format!("full{}", made.len() + refused.len());
        let start = Instant::now();
        let answer = node.client.post("/v1/specification/create", specification(&name)).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        if answer.code() == 0 {
            made.push(name);
            assert!(made.len() < 500, "the disk does not fill");
        } else {
            assert_told(&answer, STORE_FAILED, "the disk is full", "磁盘已满");
            refused.push(name);
        }
    }
    assert_reads_go_on(node).await;
    wait_until_ready_says(node, StatusCode::SERVICE_UNAVAILABLE).await;
    // The list from the database too: what could not be written does not keep anybody from reading.
    node.client.get("/v1/job/list").await.ok();
    println!("full: made {}, refused {}", made.len(), refused.len());

    node.host.run(&["rm", "/var/lib/hvnode/filler"]);
    node.client.post("/v1/specification/create", specification("roomy")).await.ok();
    wait_until_ready_says(node, StatusCode::OK).await;
    assert_eq!(job_end(node, &job).await["status"], "succeeded");
    node.wait_for_status(vm, "stopped", PATIENCE).await;
    made.extend(["roomy".to_owned(), "tiny".to_owned()]);
    made.sort_unstable();
    let mut there = specification_names(node).await;
    there.sort_unstable();
    assert_eq!(there, made, "what was refused is not there, what was accepted is");
}

async fn damage_the_database(node: &mut Node, vm: &str) {
    // Until the log has been moved into the file, so that what is overwritten is what will be read.
    let size = || node.host.run(&["stat", "-c", "%s", "/var/lib/hvnode/state.db"]).trim().parse::<u64>().unwrap();
    let mut number = 0;
    while size() < 100_000 {
        for _ in 0..20 {
            number += 1;
            node.client.post("/v1/specification/create", specification(&format!("many{number}"))).await.ok();
        }
        assert!(number < 900, "the log stays");
    }
    assert_eq!(node.end_daemon("TERM"), Some(0));
    node.start_daemon().await;
    let overwrite = "cd /var/lib/hvnode && dd if=/dev/urandom of=state.db bs=4096 seek=1 conv=notrunc count=$(($(stat -c %s state.db) / 4096 - 1)) 2>/dev/null";
    node.host.run(&["sh", "-c", overwrite]);
    let damaged = || async {
        // The long list is read from the file, where most of what is written first only touches what is in memory.
        let _right_or_refused = node.client.get("/v1/operation_log/list?page_size=0").await;
        let name = format!("d{}", uuid::Uuid::new_v4());
        Some(node.client.post("/v1/specification/create", specification(&name)).await).filter(|answer| answer.code() != 0)
    };
    let (answer, _) = wait_for("the damage to be found", PATIENCE, damaged).await;
    assert_told(&answer, STORE_FAILED, "/var/lib/hvnode/state.db is damaged", "/var/lib/hvnode/state.db 已损坏");
    assert_told(&node.client.get("/v1/job/list").await, STORE_FAILED, "damaged", "已损坏");
    assert_reads_go_on(node).await;
    wait_until_ready_says(node, StatusCode::SERVICE_UNAVAILABLE).await;

    // It refuses to start on it, says why, and leaves it as it is.
    node.end_daemon("KILL");
    let sums = |node: &Node| node.host.run(&["sh", "-c", "cd /var/lib/hvnode && md5sum state.db state.db-wal"]);
    let before = sums(node);
    node.spawn_daemon();
    assert_eq!(node.wait_until_daemon_ends().await, Some(1));
    assert_eq!(sums(node), before);
    let log = node.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("/var/lib/hvnode/state.db is damaged") && last.contains("restore a backup, or move the file"), "{last}");

    // What it advised works.
    node.host.run(&["sh", "-c", "cd /var/lib/hvnode && mkdir aside && mv state.db* aside/"]);
    node.start_daemon().await;
    let managed = || async { (node.vm(vm).await["management"] == "managed").then_some(()) };
    wait_for("the VM to be taken over", PATIENCE, managed).await;
}
