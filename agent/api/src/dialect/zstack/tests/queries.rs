//! The query language over real inventories.

use super::super::inventory::Scene;
use super::super::query::Kind;
use super::bench::Bench;
use crate::context::{ApiContext, NodeIdentity};
use serde_json::{Value, json};
use std::sync::Arc;

const QUERY_VM: &str = "org.zstack.header.vm.APIQueryVmInstanceMsg";

fn names(found: &[Value]) -> Vec<&str> {
    found.iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_operator_has_its_meaning_in_sql() {
    let bench = Bench::new().await;
    for name in ["web-1", "web-2", "db"] {
        bench.vm(name).await;
    }
    let db = bench.query(QUERY_VM, json!([{"name": "name", "op": "=", "value": "db"}])).await[0]["uuid"].as_str().unwrap().to_owned();
    bench.ok("org.zstack.header.vm.APIStopVmInstanceMsg", json!({"uuid": db, "type": "cold"})).await;
    bench.ok("org.zstack.header.vm.APIUpdateVmInstanceMsg", json!({"uuid": db, "description": "base"})).await;
    let all = ["web-1", "web-2", "db"];
    for (name, op, value, expected) in [
        ("name", "=", json!("web-1"), vec!["web-1"]),
        ("name", "!=", json!("web-1"), vec!["web-2", "db"]),
        ("name", "in", json!("web-1,db"), vec!["web-1", "db"]),
        ("name", "in", json!(["web-1", "db"]), vec!["web-1", "db"]),
        ("name", "not in", json!("web-1,db"), vec!["web-2"]),
        ("name", "like", json!("web%"), vec!["web-1", "web-2"]),
        ("name", "like", json!("web-_"), vec!["web-1", "web-2"]),
        ("name", "not like", json!("web%"), vec!["db"]),
        ("name", ">", json!("web-1"), vec!["web-2"]),
        ("name", "<=", json!("web-1"), vec!["web-1", "db"]),
        ("description", "is null", Value::Null, vec!["web-1", "web-2"]),
        ("description", "is not null", json!(""), vec!["db"]),
        ("description", "!=", json!("x"), vec!["db"]),
        ("hostUuid", "is null", Value::Null, vec!["db"]),
        ("memorySize", ">=", json!(256_u32 << 20), all.to_vec()),
        ("memorySize", "<", json!(256_u32 << 20), vec![]),
        ("cpuNum", "=", json!("1"), all.to_vec()),
        ("cpuNum", "=", json!("many"), vec![]),
        ("state", "=", json!("Running"), vec!["web-1", "web-2"]),
        ("createDate", ">", json!("2020-01-01 00:00:00"), all.to_vec()),
        ("createDate", ">", json!("Jan 1, 2199 12:00:00 AM"), vec![]),
        ("vmNics.ip", "is not null", Value::Null, all.to_vec()),
        ("vmNics.ip", "like", json!("10.99.%"), vec![]),
        ("vmNics.l3Network.name", "=", json!("default"), all.to_vec()),
        ("image.name", "=", json!("image of db"), vec!["db"]),
        ("host.status", "=", json!("Connected"), vec!["web-1", "web-2"]),
        ("zone.name", "=", json!("default"), all.to_vec()),
        ("rootVolume.type", "=", json!("Root"), all.to_vec()),
        ("allVolumes.type", "=", json!("Data"), vec![]),
        ("cluster.hypervisorType", "not in", json!("KVM"), vec![]),
    ] {
        let found = bench.query(QUERY_VM, json!([{"name": name, "op": op, "value": value}])).await;
        assert_eq!(names(&found), expected, "{name} {op} {value}");
    }
    // A uuid is the same with dashes; a condition by a NIC's own uuid reaches its VM.
    let dashed = uuid::Uuid::try_parse(&db).unwrap().to_string();
    let nics = bench.query("org.zstack.header.vm.APIQueryVmNicMsg", json!([{"name": "vmInstanceUuid", "op": "=", "value": dashed}])).await;
    let found = bench.query(QUERY_VM, json!([{"name": "vmNics.uuid", "op": "=", "value": nics[0]["uuid"]}])).await;
    assert_eq!(names(&found), ["db"]);
    let found =
        bench.query("org.zstack.header.vm.APIQueryVmNicMsg", json!([{"name": "vmInstance.state", "op": "=", "value": "Stopped"}])).await;
    assert_eq!(found.len(), 1);
    let two = json!([{"name": "name", "op": "like", "value": "web%"}, {"name": "name", "op": "!=", "value": "web-2"}]);
    assert_eq!(names(&bench.query(QUERY_VM, two).await), ["web-1"]);
}

#[tokio::test]
async fn pages_counts_order_and_fields() {
    let bench = Bench::new().await;
    for name in ["b", "c", "a"] {
        bench.vm(name).await;
    }
    let run = async |mut fields: Value| {
        fields["conditions"] = json!([]);
        bench.ok(QUERY_VM, fields).await
    };
    let rows = |content: &serde_json::Map<String, Value>| names(content["inventories"].as_array().unwrap()).join(" ");
    assert_eq!(rows(&run(json!({})).await), "b c a");
    assert_eq!(rows(&run(json!({"sortBy": "name"})).await), "a b c");
    assert_eq!(rows(&run(json!({"sortBy": "name", "sortDirection": "desc"})).await), "c b a");
    assert_eq!(rows(&run(json!({"sortBy": "createDate", "groupBy": "uuid", "filterName": "x:y"})).await), "b c a");
    assert_eq!(rows(&run(json!({"sortBy": "name", "start": 1, "limit": 1})).await), "b");
    assert_eq!(rows(&run(json!({"start": 99})).await), "");
    let counted = run(json!({"count": true, "limit": 1})).await;
    assert_eq!((counted.get("total"), counted.get("inventories")), (Some(&json!(3)), None));
    let both = run(json!({"replyWithCount": true, "limit": 1})).await;
    assert_eq!((both["total"].as_u64(), rows(&both).as_str()), (Some(3), "b"));
    assert!(!run(json!({})).await.contains_key("total"));
    let few = run(json!({"fields": ["name", "vmNics"]})).await;
    let keys: Vec<&String> = few["inventories"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["name", "vmNics"]);
}

#[tokio::test]
async fn what_a_query_does_not_know_it_refuses() {
    let bench = Bench::new().await;
    let condition = |name: &str, op: &str| json!({"conditions": [{"name": name, "op": op, "value": "1"}]});
    for fields in [
        json!({}),
        json!({"conditions": "all"}),
        json!({"conditions": ["name=a"]}),
        json!({"conditions": [{"name": "name"}]}),
        json!({"conditions": [{"name": "name", "op": "="}]}),
        json!({"conditions": [{"op": "=", "value": "1"}]}),
        condition("colour", "="),
        condition("vmNics", "="),
        condition("vmNics.colour", "="),
        condition("nothing.name", "="),
        condition("host.zone.cluster.host.zone.cluster.name", "="),
        condition("", "="),
        condition("name", "~"),
        condition("name", "=="),
        json!({"conditions": [], "limit": -1}),
        json!({"conditions": [], "start": -1}),
        json!({"conditions": [], "limit": "many"}),
        json!({"conditions": [], "sortBy": "colour"}),
        json!({"conditions": [], "sortBy": "vmNics"}),
        json!({"conditions": [], "sortDirection": "up"}),
        json!({"conditions": [], "fields": ["colour"]}),
        json!({"conditions": [], "count": "perhaps"}),
        json!({"conditions": [{"name": "name", "op": "like", "value": "%".repeat(100_000)}]}),
    ] {
        let (code, details) = bench.refused(QUERY_VM, fields.clone()).await;
        assert_eq!(code, "SYS.1007", "{fields}: {details}");
    }
}

#[tokio::test]
async fn no_inventory_has_a_field_that_its_kind_does_not_know() {
    let bench = Bench::new().await;
    let vm = bench.vm("a").await;
    bench.ok("org.zstack.header.configuration.APICreateDiskOfferingMsg", json!({"name": "d", "diskSize": 1, "description": "x"})).await;
    bench
        .ok("org.zstack.header.configuration.APICreateInstanceOfferingMsg", json!({"name": "o", "cpuNum": 1, "memorySize": 1 << 30}))
        .await;
    for class in ["System", "User"] {
        let fields = json!({"resourceType": "VmInstanceVO", "resourceUuid": vm, "tag": "a::b"});
        bench.ok(&format!("org.zstack.header.tag.APICreate{class}TagMsg"), fields).await;
    }
    let scene = Scene::of(&ApiContext {
        records: crate::records::Records::start(
            bench.store.clone(),
            hvnode_core::port::Store::load(&*bench.store).await.unwrap().dialect_records,
            Arc::new(hvnode_core::port::SystemClock),
        ),
        engine: bench.engine.clone(),
        accounts: bench.accounts.clone(),
        node: Arc::new(NodeIdentity { ip_address: String::new(), process_id: 1, program: String::new() }),
        body_bytes_max: 1,
    });
    for kind in Kind::ALL {
        let rows = kind.rows(&scene);
        let is_empty_here = matches!(kind, Kind::VolumeSnapshot | Kind::Vip | Kind::SecurityGroup);
        assert_eq!(rows.is_empty(), is_empty_here, "{kind:?}");
        for row in rows {
            for (name, value) in row.as_object().unwrap() {
                assert!(!value.is_null(), "{kind:?}.{name}");
                let known = if value.is_array() { kind.nested() } else { kind.scalars() };
                assert!(known.contains(&name.as_str()), "{kind:?}.{name}");
            }
        }
        for name in kind.scalars().iter().chain(kind.nested()) {
            assert!(!kind.scalars().contains(name) || !kind.nested().contains(name), "{kind:?}.{name}");
        }
    }
}

#[tokio::test]
async fn every_query_message_answers_with_a_list() {
    let bench = Bench::new().await;
    for offered in super::super::offered() {
        if offered.path.contains(".APIQuery") {
            let content = bench.ok(offered.path, json!({"conditions": [], "replyWithCount": true})).await;
            assert!(content["inventories"].is_array() && content["total"].is_u64(), "{}", offered.path);
        }
    }
}
