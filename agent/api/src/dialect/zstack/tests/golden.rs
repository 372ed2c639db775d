//! Inventories exactly as clients see them, but for what differs each time.

use super::bench::Bench;
use serde_json::{Value, json};

/// Uuids, dates and addresses that are chosen anew each time, replaced.
fn steady(value: &Value) -> Value {
    match value {
        Value::String(text) => steady_text(text).into(),
        Value::Array(items) => items.iter().map(steady).collect(),
        Value::Object(object) => Value::Object(object.iter().map(|(name, value)| (name.clone(), steady(value))).collect()),
        other => other.clone(),
    }
}

fn steady_text(text: &str) -> String {
    let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex(text) && !text.starts_with("7d5a2f1e") {
        return "<uuid>".to_owned();
    }
    if super::super::date::read_seconds(text).is_some() {
        return "<date>".to_owned();
    }
    if text.starts_with("52:54:00:") {
        return "<mac>".to_owned();
    }
    if text.starts_with("vnet") {
        return "<device>".to_owned();
    }
    let parts: Vec<&str> = text.split('/').collect();
    match parts.split_last() {
        // A file is named after its object.
        Some((file, folder)) if !folder.is_empty() && file.len() > 32 => format!("{}/<file>", folder.join("/")),
        _ => text.to_owned(),
    }
}

#[tokio::test]
async fn inventories_look_as_the_api_says() {
    let bench = Bench::new().await;
    let vm = bench.vm("数据库 主").await;
    bench.ok("org.zstack.header.vm.APIUpdateVmInstanceMsg", json!({"uuid": vm, "description": "main"})).await;
    let offering = json!({"name": "small", "cpuNum": 1, "memorySize": 1_u64 << 30, "description": "d"});
    bench.ok("org.zstack.header.configuration.APICreateInstanceOfferingMsg", offering).await;
    bench.ok("org.zstack.header.configuration.APICreateDiskOfferingMsg", json!({"name": "disk", "diskSize": 1_u64 << 30})).await;
    bench.ok("org.zstack.header.zone.APICreateZoneMsg", json!({"name": "zone1"})).await;
    let mut seen = serde_json::Map::new();
    for class in [
        "vm.APIQueryVmInstance",
        "volume.APIQueryVolume",
        "image.APIQueryImage",
        "configuration.APIQueryInstanceOffering",
        "configuration.APIQueryDiskOffering",
        "host.APIQueryHost",
        "zone.APIQueryZone",
        "cluster.APIQueryCluster",
        "network.l3.APIQueryL3Network",
        "network.l2.APIQueryL2Network",
        "storage.primary.APIQueryPrimaryStorage",
        "storage.backup.APIQueryBackupStorage",
        "identity.APIQueryAccount",
        "managementnode.APIQueryManagementNode",
    ] {
        let mut found = bench.query(&format!("org.zstack.header.{class}Msg"), json!([])).await;
        found.sort_by_key(|row| row["name"].to_string());
        seen.insert(class.to_owned(), found.iter().map(steady).collect());
    }
    insta::assert_json_snapshot!(Value::Object(seen));
}

#[test]
fn the_messages_that_are_offered_are_these() {
    let lines: Vec<String> = super::super::offered()
        .iter()
        .map(|message| {
            let verb = message.verb.map_or("", |verb| verb.word());
            format!("{}{} {verb}", if message.is_built { "" } else { "(refused) " }, message.path).trim_end().to_owned()
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}
