//! The distribution's Prometheus reads what the node tells, with the files that come with hvnode.

use crate::support::guest::start_empty_vms;
use crate::support::host::repository;
use crate::support::metrics::{Scraper, connections};
use crate::support::node::light_vm;
use crate::support::{Node, PATIENCE, wait_for};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const PROMETHEUS: &str = "127.0.0.1:9090";
/// Not the usual address, so that the file's own is really replaced.
const METRICS: &str = "127.0.0.1:9178";

fn file(name: &str) -> PathBuf {
    repository().join("packaging/prometheus").join(name)
}

/// Runs promtool. Gives what it printed, both streams; it must succeed.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(file("")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("promtool: {e}; install package prometheus"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {}\n{text}", output.status);
    text
}

#[test]
fn the_alert_rules_are_valid_and_do_what_their_tests_say() {
    let checked = promtool(&["check", "rules", "alerts.yml"], "");
    assert!(checked.contains("SUCCESS") && !checked.contains("FAILED"), "{checked}");
    let tested = promtool(&["test", "rules", "alerts_test.yml"], "");
    assert!(tested.contains("SUCCESS") && !tested.contains("FAILED"), "{tested}");
}

/// A Prometheus on the node's host; ends when dropped.
struct Prometheus<'a> {
    node: &'a Node,
    process: Child,
}

impl<'a> Prometheus<'a> {
    /// With the files of the package, but each second, and for this node's address.
    async fn start(node: &'a Node) -> Self {
        let scrape = std::fs::read_to_string(file("scrape.yml")).unwrap();
        let (usual, ours) =
            (("127.0.0.1:9177", "scrape_interval: 15s", "scrape_timeout: 5s"), (METRICS, "scrape_interval: 1s", "scrape_timeout: 1s"));
        for part in [usual.0, usual.1, usual.2] {
            assert_eq!(scrape.matches(part).count(), 1, "{part} in {scrape}");
        }
        let scrape = scrape.replace(usual.0, ours.0).replace(usual.1, ours.1).replace(usual.2, ours.2);
        let directory = node.host.directory.join("run/prometheus");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::copy(file("alerts.yml"), directory.join("alerts.yml")).unwrap();
        let whole = format!("global: {{evaluation_interval: 1s}}\nrule_files: [alerts.yml]\n{scrape}");
        std::fs::write(directory.join("prometheus.yml"), whole).unwrap();
        promtool(&["check", "config", directory.join("prometheus.yml").to_str().unwrap()], "");
        let listen = format!("--web.listen-address={PROMETHEUS}");
        let words = ["prometheus", "--config.file=/run/prometheus/prometheus.yml", "--storage.tsdb.path=/run/prometheus/data", &listen];
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let process = node.host.command(&words).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let prometheus = Self { node, process };
        let is_up = || async {
            prometheus
                .node
                .host
                .command(&["curl", "-sf", "-o", "/dev/null", &format!("http://{PROMETHEUS}/-/ready")])
                .status()
                .unwrap()
                .success()
                .then_some(())
        };
        wait_for("Prometheus to be ready", PATIENCE, is_up).await;
        prometheus
    }

    /// Its own API.
    async fn get(&self, path: &str) -> Value {
        let stream = connections(&self.node.host, PROMETHEUS, 1).pop().unwrap();
        let (status, body) = self.node.client.raw_over(stream, path).await.unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert!(status.is_success() && answer["status"] == "success", "{path}: {answer:#}");
        answer["data"].clone()
    }

    /// Waits until a query has as many results; gives them.
    async fn query(&self, query: &str, count: usize) -> Vec<Value> {
        let encoded: String = query
            .bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect();
        let path = format!("/api/v1/query?query={encoded}");
        let ask = || async { Some(self.get(&path).await["result"].as_array().unwrap().clone()).filter(|result| result.len() == count) };
        wait_for(query, PATIENCE, ask).await.0
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn number(result: &Value) -> f64 {
    result["value"][1].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_prometheus_reads_a_node_with_the_files_that_come_with_it() {
    let listen = format!(r#"HVNODE__METRICS__LISTEN=["{METRICS}"]"#);
    let often = ["HVNODE__STATISTICS__KERNEL_INTERVAL_SECONDS=1", "HVNODE__STATISTICS__HYPERVISOR_INTERVAL_SECONDS=2", &listen];
    let node = Node::start_with(&often, |host| start_empty_vms(host, 2)).await;
    let uuids = node.import_images().await;
    let mut odd = light_vm(&uuids, "odd");
    odd["description"] = json!("\"quoted\" \\ and\nbroken");
    odd["usds"] = json!([{"usd_name": "odd-data", "storage_size": 64 << 20}]);
    let odd = node.client.post("/v1/vm/create", odd).await.ok()["vm"]["vm_uuid"].as_str().unwrap().to_owned();
    let prometheus = Prometheus::start(&node).await;

    let up = prometheus.query(r#"up{job="hvnode"} == 1"#, 1).await;
    assert_eq!(up[0]["metric"]["instance"], METRICS);
    let cpu = prometheus.query("libvirt_domain_info_cpu_time_seconds_total", 3).await;
    assert!(cpu.iter().all(|result| number(result) > 0.0), "{cpu:#?}");
    let join = "rate(libvirt_domain_info_cpu_time_seconds_total[10s]) * on (instance, domain) group_left (vm_name, vm_uuid) hvnode_vm_info";
    let joined = prometheus.query(join, 3).await;
    assert!(joined.iter().any(|result| result["metric"]["vm_uuid"] == odd.as_str() && result["metric"]["vm_name"] == "odd"), "{joined:#?}");
    assert!(joined.iter().all(|result| (0.0..4.0).contains(&number(result))), "{joined:#?}");
    let ages = prometheus.query("hvnode_sample_age_seconds", 2).await;
    assert!(ages.iter().all(|result| number(result) < 10.0), "{ages:#?}");
    prometheus.query("libvirt_domain_block_stats_capacity_bytes", 3).await;
    prometheus.query("rate(libvirt_domain_interface_stats_receive_bytes_total[10s])", 1).await;

    // In the text format a counter is described under its whole name, in OpenMetrics without its end.
    let described = prometheus.get("/api/v1/targets/metadata?metric=libvirt_domain_info_cpu_time_seconds").await;
    assert_eq!(described[0]["type"], "counter", "{described:#}");
    assert_eq!(prometheus.get("/api/v1/targets/metadata?metric=libvirt_domain_info_cpu_time_seconds_total").await, json!([]));
    assert_rules_are_evaluated(&prometheus).await;

    // Promtool has nothing to say against any name, also after every kind of thing happened.
    node.client.get("/v1/vm/inspect?vm_uuid=nonsense").await;
    let page = Scraper::connect_to(&node, METRICS).await.page().await;
    assert!(page.0.lines().count() > 500, "{}", page.0);
    assert_eq!(promtool(&["check", "metrics"], &page.0), "");

    node.client.post("/v1/vm/delete", json!({"vm_uuid": odd, "force": true, "delete_usd": true})).await.ok();
    prometheus.query("libvirt_domain_info_cpu_time_seconds_total", 2).await;
}

async fn assert_rules_are_evaluated(prometheus: &Prometheus<'_>) {
    let evaluated = || async {
        let groups = prometheus.get("/api/v1/rules").await;
        let rules = groups["groups"][0]["rules"].as_array().unwrap().clone();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    };
    let (rules, _) = wait_for("the rules to be evaluated", PATIENCE, evaluated).await;
    let alerts = std::fs::read_to_string(file("alerts.yml")).unwrap().matches("- alert:").count();
    assert_eq!(rules.len(), alerts);
    assert!(rules.iter().all(|rule| rule["health"] == "ok"), "{rules:#?}");
    let firing: Vec<&Value> = rules.iter().filter(|rule| rule["state"] == "firing").map(|rule| &rule["name"]).collect();
    assert!(firing.is_empty(), "a node that is well: {firing:?}");
}
