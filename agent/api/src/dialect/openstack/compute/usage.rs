//! What the project has used, of the servers that still are: a node keeps no books.

use super::super::call::{Call, Outcome, Reply};
use super::super::convert::{is_project, mebibytes, micro, project_id};
use super::super::errors::Fault;
use super::super::state::ServerState;
use super::filter::is_true;
use super::is_shown;
use super::view::{own_disk_gibibytes, shape};
use hvnode_core::model::Timestamp;
use serde_json::{Value, json};

/// From the query; a month up to now where it does not say.
fn span(call: &Call) -> Result<(Timestamp, Timestamp), Fault> {
    let now = Timestamp::now();
    let read = |name: &str, default: Timestamp| match call.query(name) {
        None => Ok(default),
        Some(text) => {
            let text = text.replace(' ', "T");
            let civil = text.parse::<jiff::civil::DateTime>().ok();
            let zoned = civil.and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok());
            let time = zoned.map(|zoned| Timestamp::from_seconds(zoned.timestamp().as_second()));
            time.ok_or_else(|| Fault::bad_request(format!("Datetime of {name} is in invalid format")))
        }
    };
    let start = read("start", Timestamp::from_seconds(now.seconds() - 28 * 86_400))?;
    let end = read("end", now)?;
    if start > end {
        return Err(Fault::bad_request("Invalid start time. The start time cannot occur after the end time."));
    }
    Ok((start, end))
}

fn usage(call: &Call, is_detailed: bool) -> Result<Value, Fault> {
    let (start, end) = span(call)?;
    let snapshot = call.snapshot();
    let until = end.min(Timestamp::now());
    let (mut hours, mut core_hours, mut memory_hours, mut disk_hours) = (0.0, 0.0, 0.0, 0.0);
    let mut servers = Vec::new();
    for vm in snapshot.vms.values().filter(|vm| is_shown(vm)) {
        let Some(record) = vm.record.as_ref().filter(|record| record.create_time < until) else { continue };
        let own = until.since(record.create_time.max(start)).as_secs_f64() / 3600.0;
        let ((cpu_cores, memory_bytes), disk) = (shape(vm), own_disk_gibibytes(&snapshot, vm));
        hours += own;
        core_hours += own * f64::from(cpu_cores);
        memory_hours += own * mebibytes(memory_bytes) as f64;
        disk_hours += own * disk as f64;
        servers.push(json!({
            "instance_id": vm.uuid(), "name": vm.name(), "hours": own, "vcpus": cpu_cores, "memory_mb": mebibytes(memory_bytes), "local_gb": disk,
            "flavor": record.specification.as_ref().map_or("", |named| named.name.as_str()), "state": ServerState::of(vm).vm_state,
            "started_at": micro(record.create_time), "ended_at": null, "uptime": Timestamp::now().since(record.create_time).as_secs(),
            "tenant_id": project_id(),
        }));
    }
    let mut usage = json!({
        "tenant_id": project_id(), "start": micro(start), "stop": micro(end), "total_hours": hours, "total_vcpus_usage": core_hours,
        "total_memory_mb_usage": memory_hours, "total_local_gb_usage": disk_hours,
    });
    if is_detailed {
        usage["server_usages"] = servers.into();
    }
    Ok(usage)
}

pub(in super::super) async fn list(call: Call) -> Outcome {
    let usage = usage(&call, call.query("detailed").is_some_and(is_true))?;
    Reply::ok(&json!({ "tenant_usages": [usage] }))
}

pub(in super::super) async fn show(call: Call) -> Outcome {
    if !is_project(call.param(0)) {
        return Reply::ok(&json!({ "tenant_usage": {} }));
    }
    Reply::ok(&json!({ "tenant_usage": usage(&call, true)? }))
}
