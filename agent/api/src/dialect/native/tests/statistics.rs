//! Statistics: series from history, lists of many VMs, their bounds, and what is said about age.

use super::super::route::Offer;
use super::super::table::routes;
use super::bench::Bench;
use crate::test_support::{SOON, wait_for};
use hvnode_core::fake::FakeMonitor;
use hvnode_core::model::{DiskRates, MemoryView, Resolution, Timestamp, UsagePoint};
use hvnode_core::port::{HistoryPoint, HistoryStore};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// Start of the minute this many minutes ago.
fn minutes_ago(minutes: i64) -> i64 {
    (Timestamp::now().seconds() / 60 - minutes) * 60
}

fn minute(time: i64, cpu: f64, used: u64) -> UsagePoint {
    let rates =
        |device: &str| DiskRates { device: device.into(), read_bytes: cpu, write_bytes: 0.0, read_requests: 1.0, write_requests: 0.0 };
    UsagePoint {
        time: Timestamp::from_seconds(time),
        cpu_usage_percent: Some(cpu),
        memory_bytes: Some(1 << 30),
        memory_used_bytes: Some(used),
        memory_view: MemoryView::Guest,
        disks: vec![rates("vda"), rates("vdb")],
        ..UsagePoint::default()
    }
}

impl Bench {
    /// Minutes that the store has from before the daemon started: one for each figure, the first one so many minutes ago.
    async fn remember(&self, vm_uuid: &str, first_minutes_ago: i64, figures: &[(f64, u64)]) {
        let subject_uuid: Uuid = vm_uuid.parse().unwrap();
        let row = |(index, (cpu, used)): (usize, &(f64, u64))| {
            let time = minutes_ago(first_minutes_ago - i64::try_from(index).unwrap());
            HistoryPoint { subject_uuid, point: Arc::new(minute(time, *cpu, *used)) }
        };
        self.history.append(Resolution::Minute, figures.iter().enumerate().map(row).collect()).await.unwrap();
    }

    /// A VM with a point of usage.
    async fn busy_vm(&self, vm_name: &str) -> String {
        let vm_uuid = self.vm(vm_name).await;
        self.measured(vm_uuid.parse().unwrap()).await;
        vm_uuid
    }
}

fn field<'a>(series: &'a Value, key: &str) -> Vec<&'a Value> {
    series.as_array().unwrap().iter().map(|point| &point[key]).collect()
}

#[tokio::test]
async fn every_statistics_route_has_both_spellings() {
    let bench = Bench::new().await;
    let vm_uuid = bench.busy_vm("web").await;
    let paths: Vec<_> = routes().iter().filter(|route| route.offer == Offer::Read).map(|route| route.path).collect();
    let is_about = |path: &&&str| path.split('/').any(|word| word.starts_with("statistic"));
    let statistics: Vec<_> = paths.iter().filter(is_about).collect();
    assert_eq!(statistics.len(), 14);
    for path in statistics {
        let singular = path.replace("statistics", "statistic");
        let other = if *path == singular { path.replace("statistic", "statistics") } else { singular };
        assert!(paths.contains(&other.as_str()), "{path} without {other}");
        let needs_vm = path.starts_with("/v1/vm/") || path.ends_with("/vm/inspect");
        let query = if needs_vm { format!("?vm_uuid={vm_uuid}&latest=true") } else { String::new() };
        bench.get(&format!("{path}{query}")).await.data();
    }
}

#[tokio::test]
async fn the_latest_point_comes_from_memory_and_says_how_old_it_is() {
    let bench = Bench::new().await;
    let vm_uuid = bench.busy_vm("web").await;
    let answer = bench.get(&format!("/v1/vm/statistics?vm_uuid={vm_uuid}&latest=true")).await;
    let data = answer.data();
    assert_eq!((&data["vm_uuid"], &data["vm_name"], &data["period"]), (&json!(vm_uuid), &json!("web"), &json!(10)));
    assert_eq!((data["cpu_statistics"].as_array().unwrap().len(), data["mem_statistics"].as_array().unwrap().len()), (1, 1));
    assert!(data["mem_statistics"][0]["memory_size"].is_u64() && data["mem_statistics"][0]["memory_view"].is_string(), "{data}");
    assert!(data["cpu_statistics"][0]["core_usage"].is_array());
    assert!(data["kernel_sample_time"].is_i64() || data["hypervisor_sample_time"].is_i64(), "{data}");
    let host = bench.get("/v1/host/statistics?latest=true").await;
    assert_eq!(host.data()["mem_statistics"].as_array().unwrap().len(), 1);
    assert_eq!(host.data()["load_average"].as_array().unwrap().len(), 3);
    assert!(host.data()["sample_time"].as_i64().unwrap() > 0);
    let cpu = host.data()["cpu_statistics"][0].as_object().unwrap();
    assert!(["user_usage", "system_usage", "iowait_usage", "steal_usage"].iter().all(|key| cpu.contains_key(*key)), "{cpu:?}");
    let both = bench.get("/v1/host/statistics?latest=true&period=60").await;
    assert_eq!((both.code(), both.message().contains("latest")), (10003, true));
}

#[tokio::test]
async fn a_vm_that_does_not_answer_is_stale_and_one_that_is_off_unavailable() {
    let bench = Bench::new().await;
    let vm_uuid = bench.busy_vm("web").await;
    let freshness = || async {
        let answer = bench.get(&format!("/v1/vm/statistics?vm_uuid={vm_uuid}&latest=true")).await;
        answer.data()["freshness"].as_str().unwrap().to_owned()
    };
    let becomes = |wanted: &'static str| async move {
        wait_for(wanted, 4 * SOON, async || (freshness().await == wanted).then_some(())).await;
    };
    becomes("fresh").await;
    bench.node.set_monitor(vm_uuid.parse().unwrap(), FakeMonitor::Hangs);
    becomes("stale").await;
    bench.post("/v1/vm/stop", json!({"vm_uuid": vm_uuid, "force": true})).await.data();
    becomes("unavailable").await;
    let list = bench.get("/v1/host/vm/statistics").await;
    let entry = &list.data()["list"][0];
    assert_eq!((&entry["kernel_sample_time"], &entry["cpu_statistics"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn a_range_is_a_series_and_a_period_averages_it() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    // whole periods of ten minutes
    let start = (Timestamp::now().seconds() / 600 - 4) * 600;
    let ago = (minutes_ago(0) - start) / 60;
    let figures: Vec<(f64, u64)> = (0_u64..20).filter(|n| *n != 5).map(|n| (n as f64, 100 * n)).collect();
    bench.remember(&vm_uuid, ago, &figures[..5]).await;
    bench.remember(&vm_uuid, ago - 6, &figures[5..]).await;
    let path = format!("/v1/vm/statistics?vm_uuid={vm_uuid}&start_time={start}&end_time={}", start + 1199);
    let fine = bench.get(&path).await;
    let data = fine.data();
    assert_eq!(data["period"], 60);
    let times = field(&data["cpu_statistics"], "time");
    assert_eq!(times.len(), 19, "the minute without a point is absent: {times:?}");
    assert!(times.windows(2).all(|pair| pair[0].as_i64() < pair[1].as_i64()));
    assert_eq!(field(&data["mem_statistics"], "used_memory_size")[..3], [&json!(0), &json!(100), &json!(200)]);
    let disks = data["disk_statistics"].as_array().unwrap();
    assert_eq!((disks.len(), &disks[0]["device"], &disks[1]["device"]), (38, &json!("vda"), &json!("vdb")));
    assert_eq!(disks[0]["time"], disks[1]["time"]);
    let averaged = bench.get(&format!("{path}&period=600")).await;
    let data = averaged.data();
    assert_eq!((&data["period"], field(&data["cpu_statistics"], "time")), (&json!(600), vec![&json!(start), &json!(start + 600)]));
    // 0 to 9 without 5, 10 to 19
    assert_eq!(field(&data["cpu_statistics"], "cpu_usage"), [&json!(4.444), &json!(14.5)]);
    let inspected = bench.get(&path.replace("/v1/vm/statistics", "/v1/statistics/vm/inspect")).await;
    assert_eq!(&inspected.data()["statistics"]["cpu_statistics"], &fine.data()["cpu_statistics"]);
}

#[tokio::test]
async fn ranges_and_periods_that_make_no_sense_are_refused() {
    let bench = Bench::new().await;
    let vm_uuid = bench.busy_vm("web").await;
    let past = bench.get(&format!("/v1/vm/statistics?vm_uuid={vm_uuid}&start_time=0&end_time=10")).await;
    assert_eq!((&past.data()["cpu_statistics"], &past.data()["disk_statistics"]), (&json!([]), &json!([])));
    let vm = format!("vm_uuid={vm_uuid}&");
    for (path, subject) in [
        ("/v1/vm/statistics", vm.as_str()),
        ("/v1/host/statistic", ""),
        ("/v1/host/vm/statistics", ""),
        ("/v1/statistics/vm/list", ""),
        ("/v1/statistic/vm/inspect", &vm),
        ("/v1/statistics/host/inspect", ""),
    ] {
        let code = |times: &'static str| {
            let bench = &bench;
            async move { bench.get(&format!("{path}?{subject}{times}")).await.code() }
        };
        assert_eq!(code("start_time=9&end_time=1").await, 19000, "{path}");
        assert_eq!(code("start_time=0").await, 19000, "{path}");
        assert_eq!(code("start_time=soon").await, 10003, "{path}");
        assert_eq!(code("period=0").await, 10003, "{path}");
        let short = bench.get(&format!("{path}?{subject}period=9")).await;
        assert_eq!(short.code(), 10003, "{path}");
        assert!(short.message().contains("period") && short.message().contains("10 seconds"), "{path}: {}", short.message());
    }
}

#[tokio::test]
async fn a_list_of_vms_has_one_point_each_unless_a_period_is_given() {
    let bench = Bench::new().await;
    let web = bench.busy_vm("web").await;
    let newest = bench.get("/v1/host/vm/statistics").await;
    let entry = &newest.data()["list"][0];
    assert_eq!((&newest.data()["total_count"], &entry["vm_name"]), (&json!(1), &json!("web")));
    assert_eq!(entry["cpu_statistics"].as_array().unwrap().len(), 1);
    assert!(entry["cpu_statistics"][0].get("core_usage").is_none() && entry.get("disk_statistics").is_none(), "{entry}");
    let traffic = bench.get("/v1/host/vm/statistics?with_traffic=true").await;
    assert!(traffic.data()["list"][0]["disk_statistics"].is_array() && traffic.data()["list"][0]["network_statistics"].is_array());
    bench.remember(&web, 40, &[(10.0, 1000), (20.0, 2000), (30.0, 3000)]).await;
    let (start, end) = (minutes_ago(40), minutes_ago(37));
    let mean = bench.get(&format!("/v1/host/vm/statistics?start_time={start}&end_time={end}&with_traffic=true")).await;
    let entry = &mean.data()["list"][0];
    assert_eq!((field(&entry["cpu_statistics"], "cpu_usage"), &entry["period"]), (vec![&json!(20.0)], &json!(180)));
    assert_eq!(entry["mem_statistics"][0]["used_memory_size"], 2000);
    assert_eq!((&entry["cpu_statistics"][0]["time"], entry["disk_statistics"].as_array().unwrap().len()), (&json!(start), 2));
    let series = bench.get(&format!("/v1/host/vm/statistics?start_time={start}&end_time={end}&period=60")).await;
    assert_eq!(field(&series.data()["list"][0]["cpu_statistics"], "cpu_usage"), [&json!(10.0), &json!(20.0), &json!(30.0)]);
    let nobody = bench.get("/v1/host/vm/statistics?name=nobody").await;
    assert_eq!(nobody.data(), &json!({"total_count": 0, "list": []}));
}

#[tokio::test]
async fn the_busiest_vms_are_sorted_by_their_average_over_the_range() {
    let bench = Bench::new().await;
    let (a, b, idle) = (bench.vm("a").await, bench.vm("b").await, bench.vm("idle").await);
    // busy once, and busy all the time
    bench.remember(&a, 40, &[(100.0, 10), (0.0, 10), (0.0, 10)]).await;
    bench.remember(&b, 40, &[(50.0, 5), (60.0, 5), (40.0, 5)]).await;
    let range = format!("start_time={}&end_time={}", minutes_ago(40), minutes_ago(37));
    let names = |answer: &super::bench::Answer| -> Vec<String> {
        answer.data()["list"].as_array().unwrap().iter().map(|vm| vm["vm_name"].as_str().unwrap().to_owned()).collect()
    };
    let by_cpu = bench.get(&format!("/v1/statistics/vm/list?{range}")).await;
    assert_eq!(names(&by_cpu), ["b", "a"], "{idle} has no point there");
    assert_eq!(field(&by_cpu.data()["list"][0]["cpu_statistics"], "cpu_usage"), [&json!(50.0)]);
    assert_eq!(names(&bench.get(&format!("/v1/statistics/vm/list?{range}&sort_by=memory")).await), ["a", "b"]);
    let top = bench.get(&format!("/v1/statistic/vm/list?{range}&top_count=1&period=60")).await;
    assert_eq!((names(&top), &top.data()["total_count"]), (vec!["b".to_owned()], &json!(2)));
    assert_eq!(field(&top.data()["list"][0]["cpu_statistics"], "cpu_usage"), [&json!(50.0), &json!(60.0), &json!(40.0)]);
}

#[tokio::test]
async fn an_answer_that_would_be_too_large_is_refused_with_what_would_do() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    bench.remember(&vm_uuid, 60, &vec![(1.0, 1); 58]).await;
    let many = |count: usize| format!("/v1/vm/statistics?vm_uuid={}", vec![vm_uuid.as_str(); count].join(","));
    let answer = bench.get(&many(1000)).await;
    assert_eq!(answer.code(), 10003, "{}", answer.body);
    assert!(answer.message().contains("VMs at a time") && answer.message().contains("period of at least"), "{}", answer.message());
    assert!(answer.body["message_cn"].as_str().unwrap().contains("period"));
    let told = answer.message().split("at most ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    assert_eq!(bench.get(&many(told)).await.data()["total_count"], told);
    assert_eq!(bench.get(&(many(1000) + "&latest=true")).await.data()["total_count"], 1000);
    assert_eq!(bench.get(&many(1001)).await.code(), 10003);
}

#[tokio::test]
async fn the_summary_counts_what_is_there() {
    let bench = Bench::new().await;
    let vm_uuid = bench.busy_vm("web").await;
    bench.vm("other").await;
    bench.post("/v1/vm/stop", json!({"vm_uuid": vm_uuid, "force": true})).await.data();
    let answer = bench.get("/v1/statistic/summary/inspect").await;
    let summary = &answer.data()["summary"];
    for (key, value) in
        [("vm_count", 2), ("vm_running_count", 1), ("vm_stopped_count", 1), ("vm_error_count", 0), ("image_count", 2), ("usd_count", 2)]
    {
        assert_eq!(summary[key], value, "{key}");
    }
    assert_eq!(summary["used_cpu_cores"], 1);
    for key in ["cpu_cores", "memory_size", "used_memory_size", "storage_size", "available_storage_size"] {
        assert!(summary[key].as_u64().is_some_and(|number| number > 0), "{key}: {summary}");
    }
}
