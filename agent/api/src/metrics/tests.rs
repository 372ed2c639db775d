//! The whole page, for a node with VMs in all conditions.

use super::*;
use crate::test_support::{empty_snapshot, snapshot_source};
use axum::body::Body;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING};
use http_body_util::BodyExt;
use hvnode_core::fake::plain_domain;
use hvnode_core::model::*;
use std::collections::BTreeSet;
use tower::ServiceExt;
use uuid::Uuid;

fn at(seconds: u64) -> SampleTime {
    SampleTime { time: Timestamp::from_seconds(seconds.cast_signed()), elapsed: Duration::from_secs(seconds) }
}

fn observed(number: u128, domain_name: &str) -> Arc<Vm> {
    let observed = ObservedVm { reason: StateReason::Unknown, cpu_cores: 2, ..plain_domain(Uuid::from_u128(number), domain_name) };
    Arc::new(Vm::from_observed(Arc::new(observed), Timestamp(0)))
}

fn everywhere() -> Pressure {
    let stall = Some(Stall { some_microseconds: 1_500_000, full_microseconds: 0 });
    Pressure { cpu: stall, memory: stall, io: stall }
}

fn kernel_sample(vm_uuid: Uuid) -> KernelSample {
    KernelSample {
        vm_uuid,
        at: at(100),
        process_id: 7,
        run_id: 1,
        cpu_time_nanoseconds: 2_500_000_000,
        vcpus: vec![VcpuThread { index: 0, time_nanoseconds: 1_000_000_000, delay_nanoseconds: 20_000_000 }],
        memory_resident_bytes: 300 << 20,
        memory_swapped_bytes: Some(0),
        disk_read_bytes: Some(11),
        disk_write_bytes: Some(12),
        pressure: everywhere(),
        oom_kills: Some(0),
        nics: vec![NicCounters { interface_name: "vnet3".into(), receive_bytes: 5, ..NicCounters::default() }],
    }
}

fn hypervisor_sample(vm_uuid: Uuid) -> HypervisorSample {
    HypervisorSample {
        vm_uuid,
        at: at(90),
        run_id: 4,
        is_complete: true,
        cpu_time_nanoseconds: Some(2_000_000_000),
        cpu_user_nanoseconds: Some(1),
        cpu_system_nanoseconds: Some(1),
        cpu_cores: 2,
        cpu_cores_max: 4,
        vcpus: vec![VcpuCounters {
            index: 0,
            state: 1,
            time_nanoseconds: Some(1),
            wait_nanoseconds: Some(3_000_000_000),
            delay_nanoseconds: None,
        }],
        memory: MemorySample {
            actual_bytes: Some(1 << 30),
            maximum_bytes: Some(1 << 30),
            available_bytes: Some(1 << 29),
            unused_bytes: Some(1 << 28),
            usable_bytes: Some(1 << 28),
            disk_cache_bytes: Some(1 << 20),
            resident_bytes: Some(1 << 28),
            swap_in_bytes: Some(0),
            swap_out_bytes: Some(0),
            major_faults: Some(12),
            minor_faults: Some(13),
            hugetlb_allocations: Some(0),
            hugetlb_failures: Some(0),
            last_update: Some(Timestamp::from_seconds(88)),
        },
        disks: vec![DiskCounters {
            device: "vda".into(),
            read_bytes: 4096,
            read_time_nanoseconds: Some(500_000_000),
            write_time_nanoseconds: Some(1),
            flush_requests: Some(1),
            flush_time_nanoseconds: Some(1),
            capacity_bytes: Some(1 << 30),
            allocation_bytes: Some(1 << 20),
            physical_bytes: Some(1 << 20),
            ..DiskCounters::default()
        }],
        nics: vec![NicCounters { interface_name: "vnet3".into(), receive_bytes: 4, ..NicCounters::default() }],
    }
}

fn ended_job() -> Job {
    Job {
        job_uuid: Uuid::nil(),
        verb: VerbKind::CreateVm,
        resource: ResourceKey { kind: ResourceType::Vm, uuid: Uuid::nil() },
        resource_name: String::new(),
        input: serde_json::Value::Null,
        caller: Caller::system(),
        request_uuid: None,
        request_hash: None,
        operation_uuid: Uuid::nil(),
        status: JobStatus::Succeeded,
        progress_percent: 100,
        steps: Vec::new(),
        is_cancel_requested: false,
        is_after_restart: false,
        error: None,
        result: None,
        create_time: Timestamp::from_seconds(1),
        start_time: None,
        finish_time: Some(Timestamp::from_seconds(3)),
    }
}

/// One VM that answers, one whose monitor hangs and that libvirt never described, one that is off.
fn node() -> (Snapshot, Readings) {
    let mut snapshot = empty_snapshot();
    for (number, name) in [(1, "web"), (2, "frozen \"x\""), (3, "off")] {
        snapshot.vms.insert(Uuid::from_u128(number), observed(number, name));
    }
    snapshot.pools = Arc::new(vec![PoolSpace { pool_name: "volumes".into(), path: "/x".into(), capacity_bytes: 100, available_bytes: 40 }]);
    let mut readings = Readings { kernel: Sweep { end: Some(at(100)), ..Sweep::default() }, ..Readings::default() };
    let reading = |number: u128, hypervisor: Option<HypervisorSample>| {
        let vm_uuid = Uuid::from_u128(number);
        let memory_bytes = Some(1 << 30);
        let point = UsagePoint { cpu_usage_percent: Some(25.0), memory_bytes, memory_used_bytes: memory_bytes, ..UsagePoint::default() };
        let is_answering = hypervisor.is_some();
        let (kernel, hypervisor) = (Some(Arc::new(kernel_sample(vm_uuid))), hypervisor.map(Arc::new));
        (vm_uuid, Arc::new(VmReading { vm_uuid, kernel, hypervisor, is_answering, point: Some(Arc::new(point)) }))
    };
    let both = [reading(1, Some(hypervisor_sample(Uuid::from_u128(1)))), reading(2, None)];
    readings.vms.extend(both);
    let sample = HostSample {
        cores: vec![CpuTimes { user_nanoseconds: 1_000_000_000, ..CpuTimes::default() }],
        memory: HostMemory { huge_pages: vec![HugePages { page_bytes: 2 << 20, total_pages: 8, free_pages: 3 }], ..HostMemory::default() },
        pressure: everywhere(),
        file_systems: vec![
            FileSystem { mount_point: "/dead".into(), device: "srv:/x".into(), kind: "nfs4".into(), space: None },
            FileSystem { mount_point: "/".into(), device: "vda1".into(), kind: "ext4".into(), space: Some(FileSystemSpace::default()) },
        ],
        disks: vec![DiskCounters { device: "vda".into(), ..DiskCounters::default() }],
        nics: vec![NicCounters { interface_name: "eth0".into(), ..NicCounters::default() }],
        ..HostSample::default()
    };
    readings.host = Some(HostReading { sample: Arc::new(sample), point: Arc::new(UsagePoint::default()) });
    (snapshot, readings)
}

fn page(format: Format) -> String {
    let (mut snapshot, readings) = node();
    snapshot.capabilities = Some(Arc::new(crate::test_support::capabilities()));
    let metrics = Metrics::new("1.2.3").unwrap();
    let labels = RequestLabels { dialect: "native", route: "/v1/vm/list", method: &Method::GET, code: 0 };
    metrics.observe_request(labels, Duration::from_millis(2));
    metrics.observe_commit("durable", true, Duration::from_millis(1));
    metrics.observe_hypervisor_call("start", "success", Duration::from_millis(400));
    metrics.observe_job(&ended_job());
    metrics.set_certificate_expiry("native", Timestamp::from_seconds(1000));
    metrics.handshake_failed("native", "timeout");
    metrics.tls_reloaded(true);
    metrics.panicked("native");
    metrics.refusals().with_label_values(&["native", "password"]).inc();
    metrics.in_flight("native").inc();
    metrics.connections("native").inc();
    metrics.connection_refused("native");
    metrics.render(format, &snapshot, &readings, at(103))
}

#[test]
fn what_the_kernel_tier_knows_comes_from_there_and_the_rest_from_libvirt() {
    let page = page(Format::Text);
    for line in [
        "libvirt_domain_info_cpu_time_seconds_total{domain=\"web\"} 2.5",
        "libvirt_domain_info_virtual_cpus{domain=\"web\"} 2",
        "libvirt_domain_info_memory_usage_bytes{domain=\"web\"} 1073741824",
        "libvirt_domain_vcpu_time_seconds_total{domain=\"web\",vcpu=\"0\"} 1",
        "libvirt_domain_vcpu_delay_seconds_total{domain=\"web\",vcpu=\"0\"} 0.02",
        "libvirt_domain_vcpu_wait_seconds_total{domain=\"web\",vcpu=\"0\"} 3",
        "libvirt_domain_memory_stats_rss_bytes{domain=\"web\"} 314572800",
        "libvirt_domain_block_stats_read_bytes_total{domain=\"web\",target_device=\"vda\"} 4096",
        "libvirt_domain_block_stats_read_time_seconds_total{domain=\"web\",target_device=\"vda\"} 0.5",
        "libvirt_domain_interface_stats_receive_bytes_total{domain=\"web\",target_device=\"vnet3\"} 5",
        "hvnode_vm_pressure_waiting_seconds_total{domain=\"web\",resource=\"cpu\"} 1.5",
        "hvnode_vm_cpu_usage_ratio{domain=\"web\"} 0.25",
        "hvnode_vm_sample_age_seconds{domain=\"web\",tier=\"hypervisor\"} 13",
        "hvnode_sample_age_seconds{tier=\"kernel\"} 3",
        "hvnode_pool_available_bytes{pool=\"volumes\"} 40",
        "hvnode_host_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1",
        "hvnode_build_info{version=\"1.2.3\"} 1",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is missing in\n{page}");
    }
}

#[test]
fn a_vm_that_hangs_keeps_its_kernel_series_and_is_told_apart() {
    let page = page(Format::Text);
    let frozen = "domain=\"frozen \\\"x\\\"\"";
    assert!(page.contains(&format!("hvnode_vm_answering{{{frozen}}} 0")));
    assert!(page.contains("hvnode_vm_answering{domain=\"web\"} 1"));
    assert!(page.contains(&format!("libvirt_domain_info_cpu_time_seconds_total{{{frozen}}} 2.5")));
    assert!(!page.contains(&format!("libvirt_domain_memory_stats_usable_bytes{{{frozen}")));
}

#[test]
fn a_vm_that_is_off_has_a_name_and_a_status_and_no_other_series() {
    let page = page(Format::Text);
    let lines: BTreeSet<&str> = page.lines().filter(|l| l.contains("domain=\"off\"")).map(|l| l.split('{').next().unwrap()).collect();
    assert_eq!(lines, BTreeSet::from(["hvnode_vm_info", "hvnode_vm_status"]));
}

#[test]
fn a_file_system_that_hangs_is_told_and_has_no_size() {
    let page = page(Format::Text);
    let labels = "mount_point=\"/dead\",device=\"srv:/x\",type=\"nfs4\"";
    assert!(page.contains(&format!("hvnode_host_file_system_answering{{{labels}}} 0")));
    assert!(!page.contains(&format!("hvnode_host_file_system_size_bytes{{{labels}}}")));
    assert!(page.contains("hvnode_host_file_system_size_bytes{mount_point=\"/\",device=\"vda1\",type=\"ext4\"} 0"));
}

#[test]
fn every_metric_has_one_head_with_help_and_its_values_stand_together() {
    for format in [Format::Text, Format::OpenMetrics] {
        let page = page(format);
        let mut seen = BTreeSet::new();
        let mut current = String::new();
        for line in page.lines() {
            if let Some(head) = line.strip_prefix("# HELP ") {
                let (name, help) = head.split_once(' ').unwrap();
                assert!(seen.insert(name.to_owned()), "{name} has two heads");
                assert!(help.ends_with('.'), "{line}");
                current = name.to_owned();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(&current), "{line} stands under {current}");
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            }
        }
        assert_eq!(page.ends_with("# EOF\n"), format == Format::OpenMetrics);
    }
}

/// Names, kinds and helps of all metrics.
fn heads() -> Vec<(String, String, String)> {
    let page = page(Format::Text);
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
    let head = |pair: &[&str]| {
        let (name, help) = pair[0].strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        let kind = pair[1].rsplit(' ').next().unwrap();
        (name.to_owned(), kind.to_owned(), help.to_owned())
    };
    lines.chunks(2).map(head).collect()
}

fn project_file(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn dashboard_and_alerts_use_only_metrics_that_exist() {
    let known: BTreeSet<String> = heads().into_iter().map(|(name, _, _)| name).collect();
    for path in ["packaging/grafana/hvnode.json", "packaging/prometheus/alerts.yml", "packaging/prometheus/alerts_test.yml"] {
        let text = std::fs::read_to_string(project_file(path)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let used: BTreeSet<&str> = words
            .filter(|word| ["hvnode_", "libvirt_", "process_"].iter().any(|prefix| word.starts_with(prefix)))
            .map(|word| ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word))
            .collect();
        assert!(used.len() > 10, "{path} names {} metrics", used.len());
        let unknown: Vec<_> = used.into_iter().filter(|name| !known.contains(*name)).collect();
        assert!(unknown.is_empty(), "{path} names metrics that do not exist: {unknown:?}");
    }
}

#[test]
fn the_list_of_metrics_in_the_docs_is_true() {
    let mut text = String::from(
        "# Metrics\n\n`GET /metrics` on the metrics listener (`[metrics] listen`, 127.0.0.1:9177 where nothing is said). A scrape is answered from \
         memory and asks\nnobody. Text format 0.0.4 or OpenMetrics 1.0.0, gzip, as the scraper asks.\n\nSeries of a VM carry `domain` (its libvirt \
         name) and end with it; `hvnode_vm_info` joins names and owners.\nThis list is checked by a test; `UPDATE_GOLDEN=1 cargo nextest run -p \
         hvnode-api metrics` writes it anew.\n\n| metric | type | meaning |\n|---|---|---|\n",
    );
    let mut heads = heads();
    heads.sort();
    for (name, kind, help) in heads {
        text.push_str(&format!("| `{name}` | {kind} | {help} |\n"));
    }
    let path = project_file("docs/metrics.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "docs/metrics.md is not true any more; UPDATE_GOLDEN=1 cargo nextest run -p hvnode-api metrics writes it anew");
}

#[tokio::test]
async fn a_scrape_gets_the_format_it_asks_for_compressed_if_it_takes_that() {
    let router = router(Metrics::new("0").unwrap(), snapshot_source(node().0), Arc::new(|| Arc::new(node().1)));
    let request = http::Request::get("/metrics").header(ACCEPT, "application/openmetrics-text").header(ACCEPT_ENCODING, "gzip");
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let packed = response.into_body().collect().await.unwrap().to_bytes();
    let plain = router.oneshot(http::Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    assert!(!plain.headers().contains_key(CONTENT_ENCODING));
    assert_eq!(plain.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    let text = plain.into_body().collect().await.unwrap().to_bytes();
    assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() * 3 < text.len(), "{} of {}", packed.len(), text.len());
}

#[test]
fn numbers_are_written_in_decimal() {
    for number in [0, 7, 10, 200, 13010, u32::MAX] {
        assert_eq!(decimal(number, &mut [0; 10]), number.to_string());
    }
}

#[test]
fn methods_nobody_knows_share_one_label() {
    assert_eq!(method_word(&Method::from_bytes(b"BREW").unwrap()), "other");
}
