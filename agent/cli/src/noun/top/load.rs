//! One look at the node: the newest figures of host and VMs.

use super::Order;
use crate::client::Client;
use crate::error::Result;
use crate::view::{self, entries};
use serde::Serialize;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::HashMap;

/// Host and VMs at one time.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// The host's statistics as the node gave them.
    pub(super) host: Value,
    /// VMs, in the order asked for.
    pub(super) vms: Vec<VmLoad>,
}

/// One VM. What is not known is absent; rates are per second, over all its devices.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(super) struct VmLoad {
    pub(super) vm_uuid: String,
    pub(super) vm_name: String,
    pub(super) status: String,
    pub(super) freshness: String,
    pub(super) cpu_cores: Option<u64>,
    pub(super) cpu_usage: Option<f64>,
    pub(super) cpu_delay: Option<f64>,
    pub(super) used_memory_size: Option<u64>,
    pub(super) memory_size: Option<u64>,
    pub(super) read_bytes: Option<f64>,
    pub(super) write_bytes: Option<f64>,
    pub(super) receive_bytes: Option<f64>,
    pub(super) send_bytes: Option<f64>,
}

impl Load {
    /// Asks the node.
    pub(super) async fn read(client: &mut Client) -> Result<Self> {
        let all = || ("page_size", "0".to_owned());
        let host = client.get("/v1/host/statistics", &[("latest", "true".into())]).await?.value;
        let vms = client.get("/v1/vm/list", &[all()]).await?.value;
        let usage = client.get("/v1/host/vm/statistics", &[all(), ("with_traffic", "true".into())]).await?.value;
        Ok(Self { host, vms: join(&vms["list"], &usage["list"]) })
    }

    /// Puts the VMs in order; ties, and those of which nothing is known, by name.
    pub(super) fn sort(&mut self, order: Order) {
        self.vms.sort_by(|a, b| a.compare(b, order));
    }
}

/// VMs that exist, with what is known of each. Those in the trash do nothing.
fn join(vms: &Value, usage: &Value) -> Vec<VmLoad> {
    let by_uuid: HashMap<&str, &Value> = entries(usage).filter_map(|usage| Some((usage["vm_uuid"].as_str()?, usage))).collect();
    let nothing = Value::Null;
    let of = |vm: &Value| VmLoad::of(vm, by_uuid.get(vm["vm_uuid"].as_str().unwrap_or_default()).copied().unwrap_or(&nothing));
    entries(vms).filter(|vm| vm["status"] != "deleted").map(of).collect()
}

impl VmLoad {
    fn of(vm: &Value, usage: &Value) -> Self {
        let last = |series: &str, key: &str| entries(&usage[series]).last().map(|point| point[key].clone()).unwrap_or_default();
        let sum = |series: &str, key: &str| entries(&usage[series]).filter_map(|point| point[key].as_f64()).reduce(|a, b| a + b);
        Self {
            vm_uuid: view::text(vm, "vm_uuid"),
            vm_name: view::text(vm, "vm_name"),
            status: view::text(vm, "status"),
            freshness: view::text(usage, "freshness"),
            cpu_cores: vm["cpu_cores"].as_u64(),
            cpu_usage: last("cpu_statistics", "cpu_usage").as_f64(),
            cpu_delay: last("cpu_statistics", "cpu_delay").as_f64(),
            used_memory_size: last("mem_statistics", "used_memory_size").as_u64(),
            memory_size: last("mem_statistics", "memory_size").as_u64(),
            read_bytes: sum("disk_statistics", "read_bytes"),
            write_bytes: sum("disk_statistics", "write_bytes"),
            receive_bytes: sum("network_statistics", "receive_bytes"),
            send_bytes: sum("network_statistics", "send_bytes"),
        }
    }

    /// What it is sorted by, most first.
    fn weight(&self, order: Order) -> f64 {
        let both = |a: Option<f64>, b: Option<f64>| a.or(b).map(|_| a.unwrap_or(0.0) + b.unwrap_or(0.0));
        let weight = match order {
            Order::Cpu => self.cpu_usage,
            Order::Memory => self.used_memory_size.map(|bytes| bytes as f64),
            Order::Disk => both(self.read_bytes, self.write_bytes),
            Order::Network => both(self.receive_bytes, self.send_bytes),
            Order::Name => None,
        };
        weight.unwrap_or(-1.0)
    }

    fn compare(&self, other: &Self, order: Order) -> Ordering {
        let by_weight = other.weight(order).total_cmp(&self.weight(order));
        by_weight.then_with(|| self.vm_name.cmp(&other.vm_name)).then_with(|| self.vm_uuid.cmp(&other.vm_uuid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vm(name: &str, cpu: Option<f64>, used: Option<u64>, read: Option<f64>, send: Option<f64>) -> VmLoad {
        VmLoad { vm_name: name.into(), cpu_usage: cpu, used_memory_size: used, read_bytes: read, send_bytes: send, ..VmLoad::default() }
    }

    #[test]
    fn the_most_comes_first_and_what_is_not_known_last() {
        let mut load = Load {
            host: Value::Null,
            vms: vec![
                vm("b", Some(1.0), Some(9), None, Some(7.0)),
                vm("d", None, None, None, None),
                vm("a", Some(5.0), Some(3), Some(2.0), None),
                vm("c", None, None, Some(0.0), None),
            ],
        };
        let mut names = |order| {
            load.sort(order);
            load.vms.iter().map(|vm| vm.vm_name.clone()).collect::<String>()
        };
        assert_eq!(names(Order::Cpu), "abcd");
        assert_eq!(names(Order::Memory), "bacd");
        assert_eq!(names(Order::Disk), "acbd");
        assert_eq!(names(Order::Network), "bacd");
        assert_eq!(names(Order::Name), "abcd");
    }

    #[test]
    fn a_vm_has_its_newest_figures_summed_over_its_devices() {
        let vms = json!([
            {"vm_uuid": "1", "vm_name": "web", "status": "running", "cpu_cores": 2},
            {"vm_uuid": "2", "vm_name": "off", "status": "stopped", "cpu_cores": 1},
            {"vm_uuid": "3", "vm_name": "gone", "status": "deleted"},
        ]);
        let usage = json!([{"vm_uuid": "1", "freshness": "stale", "cpu_statistics": [{"time": 1, "cpu_usage": 12.5, "cpu_delay": null}],
            "mem_statistics": [{"time": 1, "memory_size": 2048, "used_memory_size": 1024}],
            "disk_statistics": [{"time": 1, "device": "vda", "read_bytes": 1.0, "write_bytes": 2.0},
                                {"time": 1, "device": "vdb", "read_bytes": 3.0, "write_bytes": 4.0}],
            "network_statistics": []}]);
        let joined = join(&vms, &usage);
        assert_eq!(joined.len(), 2);
        let web = &joined[0];
        assert_eq!((web.cpu_usage, web.cpu_delay, web.used_memory_size, web.freshness.as_str()), (Some(12.5), None, Some(1024), "stale"));
        assert_eq!((web.read_bytes, web.write_bytes, web.receive_bytes), (Some(4.0), Some(6.0), None));
        assert_eq!((joined[1].cpu_usage, joined[1].freshness.as_str()), (None, ""));
    }
}
