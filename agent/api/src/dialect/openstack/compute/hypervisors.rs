//! The one hypervisor, its service and its availability zone.

use super::super::call::{Call, Outcome, Reply};
use super::super::convert::{ZONE, gibibytes, mebibytes, micro, version_number};
use super::super::errors::Fault;
use super::super::paging::page;
use super::super::version::since;
use super::filter::is_true;
use super::is_shown;
use super::view::shape;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{ConnectionState, PowerState, ResourceType, Timestamp, Vm};
use hvnode_core::port::VOLUMES_POOL;
use serde_json::{Value, json};

/// The node in numbers, in this API's units.
struct Numbers {
    vcpus: u64,
    vcpus_used: u64,
    memory_mb: u64,
    memory_mb_used: u64,
    local_gb: u64,
    free_disk_gb: u64,
    running_vms: usize,
    current_workload: usize,
}

impl Numbers {
    fn of(snapshot: &Snapshot) -> Self {
        let is_on = |vm: &&Vm| {
            let power = vm.observed.as_ref().map(|observed| observed.power);
            matches!(power, Some(PowerState::Running | PowerState::Paused | PowerState::ShuttingDown))
        };
        let on: Vec<&Vm> = snapshot.vms.values().map(AsRef::as_ref).filter(is_on).collect();
        let pool = snapshot.pools.iter().find(|pool| pool.pool_name == VOLUMES_POOL);
        let bytes: u64 = on.iter().map(|vm| shape(vm).1).sum();
        Self {
            vcpus: snapshot.capabilities.as_ref().map_or(0, |c| u64::from(c.cpu_threads)),
            vcpus_used: on.iter().map(|vm| u64::from(shape(vm).0)).sum(),
            memory_mb: mebibytes(snapshot.facts.memory_bytes),
            memory_mb_used: mebibytes(bytes.saturating_add(snapshot.settings.reserved_memory_bytes)),
            local_gb: pool.map_or(0, |pool| gibibytes(pool.capacity_bytes)),
            free_disk_gb: pool.map_or(0, |pool| gibibytes(pool.available_bytes)),
            running_vms: on.len(),
            current_workload: snapshot.open_jobs.values().filter(|job| job.resource.kind == ResourceType::Vm).count(),
        }
    }

    fn value(&self) -> Value {
        json!({
            "vcpus": self.vcpus, "vcpus_used": self.vcpus_used,
            "memory_mb": self.memory_mb, "memory_mb_used": self.memory_mb_used, "free_ram_mb": self.memory_mb.saturating_sub(self.memory_mb_used),
            "local_gb": self.local_gb, "local_gb_used": self.local_gb.saturating_sub(self.free_disk_gb), "free_disk_gb": self.free_disk_gb,
            "disk_available_least": self.free_disk_gb, "running_vms": self.running_vms, "current_workload": self.current_workload,
        })
    }
}

/// A number before ids were UUIDs.
fn id(call: &Call, snapshot: &Snapshot) -> Value {
    if call.version >= since::HYPERVISOR_UUID { json!(snapshot.host_uuid()) } else { json!(1) }
}

fn state(snapshot: &Snapshot) -> &'static str {
    if snapshot.connection == ConnectionState::Up { "up" } else { "down" }
}

fn brief(call: &Call, snapshot: &Snapshot) -> Value {
    let mut hypervisor = json!({
        "id": id(call, snapshot), "hypervisor_hostname": snapshot.facts.host_name, "state": state(snapshot), "status": "enabled",
    });
    if call.version >= since::HYPERVISOR_UUID && call.query("with_servers").is_some_and(is_true) {
        hypervisor["servers"] = servers_of(snapshot);
    }
    hypervisor
}

fn servers_of(snapshot: &Snapshot) -> Value {
    snapshot.vms.values().filter(|vm| is_shown(vm)).map(|vm| json!({ "uuid": vm.uuid(), "name": vm.name() })).collect()
}

fn whole(call: &Call, snapshot: &Snapshot) -> Value {
    let mut hypervisor = brief(call, snapshot);
    let capabilities = snapshot.capabilities.as_deref();
    let host_name = &snapshot.facts.host_name;
    let more = json!({
        "host_ip": snapshot.facts.ip_address,
        "hypervisor_type": "QEMU",
        "hypervisor_version": capabilities.map_or(0, |c| version_number(&c.hypervisor_version)),
        "cpu_info": cpu_info(call, snapshot),
        "service": { "id": id(call, snapshot), "host": host_name, "disabled_reason": null },
    });
    if let (Value::Object(hypervisor), Value::Object(more), Value::Object(numbers)) = (&mut hypervisor, more, Numbers::of(snapshot).value())
    {
        hypervisor.extend(more);
        hypervisor.extend(numbers);
    }
    hypervisor
}

/// An object, as text before [`since::CPU_INFO_OBJECT`].
fn cpu_info(call: &Call, snapshot: &Snapshot) -> Value {
    let info = match snapshot.capabilities.as_deref() {
        None => json!({}),
        Some(c) => {
            let (sockets, cores) = (c.cpu_sockets.max(1), c.cpu_cores.max(1));
            json!({
                "arch": c.architecture, "model": c.cpu_model, "vendor": "", "features": [],
                "topology": { "sockets": sockets, "cores": cores.div_ceil(sockets), "threads": c.cpu_threads.max(1).div_ceil(cores) },
            })
        }
    };
    if call.version >= since::CPU_INFO_OBJECT { info } else { info.to_string().into() }
}

fn listed(call: &Call, view: fn(&Call, &Snapshot) -> Value) -> Outcome {
    let snapshot = call.snapshot();
    if let Some(pattern) = call.query("hypervisor_hostname_pattern").filter(|_| call.version >= since::HYPERVISOR_UUID)
        && !snapshot.facts.host_name.contains(pattern)
    {
        let shown: String = pattern.chars().take(64).collect();
        return Err(Fault::not_found(format!("No hypervisor matching '{shown}' could be found.")));
    }
    let items = vec![view(call, &snapshot)];
    if call.version < since::HYPERVISOR_PAGING {
        return Reply::ok(&json!({ "hypervisors": items }));
    }
    // The one entry is on the first page; a page after it is empty.
    let page = page(call, items, |item| item["id"].as_str().map_or_else(|| item["id"].to_string(), str::to_owned))?;
    Reply::ok(&json!({ "hypervisors": page.items }))
}

pub(in super::super) async fn list(call: Call) -> Outcome {
    listed(&call, brief)
}

pub(in super::super) async fn detail(call: Call) -> Outcome {
    listed(&call, whole)
}

pub(in super::super) async fn statistics(call: Call) -> Outcome {
    let mut statistics = Numbers::of(&call.snapshot()).value();
    statistics["count"] = 1.into();
    Reply::ok(&json!({ "hypervisor_statistics": statistics }))
}

fn check_id(call: &Call, snapshot: &Snapshot) -> Result<(), Fault> {
    let asked = call.param(0);
    let is_this = match id(call, snapshot) {
        Value::String(id) => id == asked,
        number => number.as_u64() == asked.parse().ok(),
    };
    let shown: String = asked.chars().take(64).collect();
    if is_this { Ok(()) } else { Err(Fault::not_found(format!("Hypervisor with ID '{shown}' could not be found."))) }
}

pub(in super::super) async fn show(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    check_id(&call, &snapshot)?;
    Reply::ok(&json!({ "hypervisor": whole(&call, &snapshot) }))
}

pub(in super::super) async fn uptime(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    check_id(&call, &snapshot)?;
    let load = call.readings().host.as_ref().map_or([0.0; 3], |host| host.sample.load_average);
    let mut hypervisor = brief(&call, &snapshot);
    hypervisor["uptime"] = uptime_text(snapshot.facts.boot_time, Timestamp::now(), load).into();
    Reply::ok(&json!({ "hypervisor": hypervisor }))
}

/// As the program of that name writes it; clients take it apart again.
fn uptime_text(boot_time: Timestamp, now: Timestamp, load: [f64; 3]) -> String {
    let seconds_of_day = now.seconds().rem_euclid(86_400);
    let (hour, minute, second) = (seconds_of_day / 3600, seconds_of_day / 60 % 60, seconds_of_day % 60);
    let up_minutes = now.since(boot_time).as_secs() / 60;
    let (days, hours, minutes) = (up_minutes / 1440, up_minutes / 60 % 24, up_minutes % 60);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let [one, five, fifteen] = load;
    format!(
        " {hour:02}:{minute:02}:{second:02} up {days}{hours:2}:{minutes:02},  0 users,  load average: {one:.2}, {five:.2}, {fifteen:.2}"
    )
}

/// Before ids were UUIDs, names were looked up here.
fn check_pattern(call: &Call, snapshot: &Snapshot) -> Result<(), Fault> {
    if call.version >= since::HYPERVISOR_UUID {
        return Err(Fault::not_found("The resource could not be found."));
    }
    let shown: String = call.param(0).chars().take(64).collect();
    let is_match = snapshot.facts.host_name.contains(call.param(0));
    if is_match { Ok(()) } else { Err(Fault::not_found(format!("No hypervisor matching '{shown}' could be found."))) }
}

pub(in super::super) async fn search(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    check_pattern(&call, &snapshot)?;
    Reply::ok(&json!({ "hypervisors": [brief(&call, &snapshot)] }))
}

pub(in super::super) async fn servers(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    check_pattern(&call, &snapshot)?;
    let mut hypervisor = brief(&call, &snapshot);
    hypervisor["servers"] = servers_of(&snapshot);
    Reply::ok(&json!({ "hypervisors": [hypervisor] }))
}

pub(in super::super) async fn services(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    let host_name = &snapshot.facts.host_name;
    let is_wanted =
        call.query("host").is_none_or(|host| host == host_name) && call.query("binary").is_none_or(|binary| binary == "nova-compute");
    let mut service = json!({
        "id": id(&call, &snapshot), "binary": "nova-compute", "host": host_name, "zone": ZONE, "status": "enabled", "state": state(&snapshot),
        "updated_at": micro(Timestamp::now()), "disabled_reason": null,
    });
    if call.version >= since::SERVICE_FORCED_DOWN {
        service["forced_down"] = false.into();
    }
    let services: Vec<Value> = is_wanted.then_some(service).into_iter().collect();
    Reply::ok(&json!({ "services": services }))
}

fn zone(hosts: &Value) -> Value {
    json!({ "availabilityZoneInfo": [{ "zoneName": ZONE, "zoneState": { "available": true }, "hosts": hosts }] })
}

pub(in super::super) async fn zones(_: Call) -> Outcome {
    Reply::ok(&zone(&Value::Null))
}

pub(in super::super) async fn zones_detail(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    let is_up = state(&snapshot) == "up";
    let compute = json!({ "nova-compute": { "active": true, "available": is_up, "updated_at": micro(Timestamp::now()) } });
    Reply::ok(&zone(&json!({ snapshot.facts.host_name.as_str(): compute })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uptime_has_the_form_that_clients_take_apart() {
        let at = |seconds| Timestamp::from_seconds(seconds);
        assert_eq!(uptime_text(at(0), at(63_434), [0.33, 0.36, 0.34]), " 17:37:14 up 17:37,  0 users,  load average: 0.33, 0.36, 0.34");
        assert_eq!(
            uptime_text(at(0), at(3 * 86_400 + 61), [1.0, 0.0, 12.5]),
            " 00:01:01 up 3 days,  0:01,  0 users,  load average: 1.00, 0.00, 12.50"
        );
    }
}
