//! Limits and quotas. A node has no quotas but its own size: -1 says so.

use super::super::call::{Call, Outcome, Reply};
use super::super::convert::{is_project, mebibytes};
use super::super::errors::Fault;
use super::super::version::since;
use super::is_shown;
use super::view::shape;
use hvnode_core::engine::Snapshot;
use serde_json::{Map, Value, json};

const UNLIMITED: i64 = -1;
/// What the engine takes.
const METADATA_PAIRS: i64 = 128;

/// Servers, processors and MiB of memory in use.
fn used(snapshot: &Snapshot) -> (u64, u64, u64) {
    let shown = || snapshot.vms.values().filter(|vm| is_shown(vm) && vm.record.is_some());
    let cores = shown().map(|vm| u64::from(shape(vm).0)).sum();
    (shown().count() as u64, cores, shown().map(|vm| mebibytes(shape(vm).1)).sum())
}

pub(in super::super) async fn limits(call: Call) -> Outcome {
    let (instances, cores, memory_mib) = used(&call.snapshot());
    // Name, value, the version it ends with.
    let all: [(&str, i64, u16); 19] = [
        ("maxTotalInstances", UNLIMITED, u16::MAX),
        ("maxTotalCores", UNLIMITED, u16::MAX),
        ("maxTotalRAMSize", UNLIMITED, u16::MAX),
        ("maxTotalKeypairs", UNLIMITED, u16::MAX),
        ("maxServerMeta", METADATA_PAIRS, u16::MAX),
        ("maxServerGroups", 0, u16::MAX),
        ("maxServerGroupMembers", 0, u16::MAX),
        ("maxImageMeta", METADATA_PAIRS, since::NO_IMAGE_METADATA),
        ("maxPersonality", 0, since::NO_FLOATING_LIMITS),
        ("maxPersonalitySize", 0, since::NO_FLOATING_LIMITS),
        ("maxTotalFloatingIps", 0, since::NO_NETWORK_PROXY),
        ("maxSecurityGroups", 1, since::NO_NETWORK_PROXY),
        ("maxSecurityGroupRules", 0, since::NO_NETWORK_PROXY),
        ("totalFloatingIpsUsed", 0, since::NO_NETWORK_PROXY),
        ("totalSecurityGroupsUsed", 1, since::NO_NETWORK_PROXY),
        ("totalServerGroupsUsed", 0, u16::MAX),
        ("totalInstancesUsed", number(instances), u16::MAX),
        ("totalCoresUsed", number(cores), u16::MAX),
        ("totalRAMUsed", number(memory_mib), u16::MAX),
    ];
    let absolute: Map<String, Value> =
        all.iter().filter(|(_, _, end)| call.version < *end).map(|(name, value, _)| ((*name).to_owned(), json!(value))).collect();
    Reply::ok(&json!({ "limits": { "rate": [], "absolute": absolute } }))
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Name, limit, in use.
fn quota_rows(call: &Call) -> Vec<(&'static str, i64, u64)> {
    let (instances, cores, memory_mib) = used(&call.snapshot());
    let mut rows = vec![
        ("instances", UNLIMITED, instances),
        ("cores", UNLIMITED, cores),
        ("ram", UNLIMITED, memory_mib),
        ("metadata_items", METADATA_PAIRS, 0),
        ("key_pairs", UNLIMITED, 0),
        ("server_groups", 0, 0),
        ("server_group_members", 0, 0),
    ];
    if call.version < since::NO_NETWORK_PROXY {
        rows.extend([("fixed_ips", UNLIMITED, 0), ("floating_ips", 0, 0), ("security_groups", 1, 0), ("security_group_rules", 0, 0)]);
    }
    if call.version < since::NO_FLOATING_LIMITS {
        rows.extend([("injected_files", 0, 0), ("injected_file_content_bytes", 0, 0), ("injected_file_path_bytes", 0, 0)]);
    }
    rows
}

fn quota_set(call: &Call, view: impl Fn(i64, u64) -> Value) -> Outcome {
    if !is_project(call.param(0)) {
        return Err(Fault::bad_request("Project ID is not a valid project."));
    }
    let rows = quota_rows(call);
    let mut set: Map<String, Value> = rows.into_iter().map(|(name, limit, used)| (name.to_owned(), view(limit, used))).collect();
    set.insert("id".into(), call.param(0).into());
    Reply::ok(&json!({ "quota_set": set }))
}

pub(in super::super) async fn quotas(call: Call) -> Outcome {
    quota_set(&call, |limit, _| limit.into())
}

pub(in super::super) async fn quotas_detail(call: Call) -> Outcome {
    quota_set(&call, |limit, used| json!({ "limit": limit, "in_use": used, "reserved": 0 }))
}
