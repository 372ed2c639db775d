//! Zones, clusters, disk offerings and tags; and what this node says of itself.

use super::bench::Bench;
use serde_json::json;

const ZONE: &str = "org.zstack.header.zone.API";
const CLUSTER: &str = "org.zstack.header.cluster.API";
const TAG: &str = "org.zstack.header.tag.API";

#[tokio::test]
async fn zones_and_clusters_are_made_changed_and_removed_as_records() {
    let bench = Bench::new().await;
    let zone = bench.ok(&format!("{ZONE}CreateZoneMsg"), json!({"name": "z", "description": "first"})).await["inventory"].clone();
    let fields = json!({"name": "c", "zoneUuid": zone["uuid"], "hypervisorType": "KVM"});
    let cluster = bench.ok(&format!("{CLUSTER}CreateClusterMsg"), fields).await["inventory"].clone();
    assert_eq!(cluster["zoneUuid"], zone["uuid"]);
    let changed = bench.ok(&format!("{ZONE}UpdateZoneMsg"), json!({"uuid": zone["uuid"], "name": "z2"})).await;
    assert_eq!((&changed["inventory"]["name"], &changed["inventory"]["description"]), (&json!("z2"), &json!("first")));
    let changed = bench.ok(&format!("{ZONE}ChangeZoneStateMsg"), json!({"uuid": zone["uuid"], "stateEvent": "disable"})).await;
    assert_eq!(changed["inventory"]["state"], "Disabled");
    let by_zone = json!([{"name": "zone.name", "op": "=", "value": "z2"}]);
    assert_eq!(bench.query(&format!("{CLUSTER}QueryClusterMsg"), by_zone.clone()).await.len(), 1);
    let bench = bench.restarted().await;
    assert_eq!(bench.query(&format!("{ZONE}QueryZoneMsg"), json!([])).await.len(), 2);
    bench.ok(&format!("{ZONE}DeleteZoneMsg"), json!({"uuid": zone["uuid"], "deleteMode": "Permissive"})).await;
    assert_eq!(bench.query(&format!("{CLUSTER}QueryClusterMsg"), json!([])).await.len(), 1);
    assert_eq!(bench.refused(&format!("{ZONE}DeleteZoneMsg"), json!({"uuid": zone["uuid"]})).await.0, "SYS.1003");
}

#[tokio::test]
async fn the_zone_and_cluster_of_this_node_stay() {
    let bench = Bench::new().await;
    let zone = bench.query(&format!("{ZONE}QueryZoneMsg"), json!([])).await[0]["uuid"].clone();
    let cluster = bench.query(&format!("{CLUSTER}QueryClusterMsg"), json!([])).await[0]["uuid"].clone();
    assert_eq!(bench.refused(&format!("{ZONE}DeleteZoneMsg"), json!({ "uuid": zone })).await.0, "SYS.1014");
    assert_eq!(bench.refused(&format!("{CLUSTER}UpdateClusterMsg"), json!({"uuid": cluster, "name": "x"})).await.0, "SYS.1014");
    let hosts = bench.query("org.zstack.header.host.APIQueryHostMsg", json!([])).await;
    assert_eq!((hosts.len(), &hosts[0]["zoneUuid"], &hosts[0]["clusterUuid"]), (1, &zone, &cluster));
    assert_eq!(hosts[0]["status"], "Connected");
}

#[tokio::test]
async fn tags_hang_on_objects_and_are_found_by_them() {
    let bench = Bench::new().await;
    let (a, _b) = (bench.vm("a").await, bench.vm("b").await);
    let fields = json!({"resourceType": "VmInstanceVO", "resourceUuid": a, "tag": "role::web"});
    let tag = bench.ok(&format!("{TAG}CreateSystemTagMsg"), fields).await["inventory"].clone();
    let condition = json!([{"name": "__systemTag__", "op": "=", "value": "role::web"}]);
    let query = "org.zstack.header.vm.APIQueryVmInstanceMsg";
    let found = bench.query(query, condition.clone()).await;
    assert_eq!((found.len(), &found[0]["uuid"]), (1, &json!(a)));
    let nics = json!([{"name": "vmInstance.__systemTag__", "op": "like", "value": "role::%"}]);
    assert_eq!(bench.query("org.zstack.header.vm.APIQueryVmNicMsg", nics).await.len(), 1);
    assert!(bench.query(query, json!([{"name": "__userTag__", "op": "is not null"}])).await.is_empty());
    bench.ok(&format!("{TAG}DeleteTagMsg"), json!({"uuid": tag["uuid"]})).await;
    assert!(bench.query(query, condition).await.is_empty());
    let nowhere = json!({"resourceType": "VmInstanceVO", "resourceUuid": uuid::Uuid::new_v4(), "tag": "x"});
    assert_eq!(bench.refused(&format!("{TAG}CreateUserTagMsg"), nowhere).await.0, "SYS.1003");
}

#[tokio::test]
async fn the_node_tells_of_itself() {
    let bench = Bench::new().await;
    let ok = async |class: &str, fields: serde_json::Value| bench.ok(&format!("org.zstack.header.{class}Msg"), fields).await;
    assert_eq!(ok("host.APIGetHypervisorTypes", json!({})).await["hypervisorTypes"], json!(["KVM"]));
    let capacity = ok("allocator.APIGetCpuMemoryCapacity", json!({"all": true})).await;
    assert!(capacity["totalMemory"].as_u64() >= capacity["availableMemory"].as_u64() && capacity["managedCpuNum"].as_u64() == Some(16));
    let elsewhere = json!({"zoneUuids": [uuid::Uuid::new_v4()]});
    assert_eq!(ok("allocator.APIGetCpuMemoryCapacity", elsewhere).await["totalMemory"], 0);
    assert!(ok("managementnode.APIGetVersion", json!({})).await["version"].is_string());
    assert!(ok("managementnode.APIGetCurrentTime", json!({})).await["currentTime"]["Seconds"].is_i64());
    assert!(ok("apimediator.APIIsReadyToGo", json!({})).await["managementNodeId"].is_string());
    let valid = ok("identity.APIValidateSession", json!({"sessionUuid": bench.session})).await;
    assert_eq!(valid["validSession"], true);
    assert_eq!(ok("identity.APIValidateSession", json!({"sessionUuid": "x"})).await["validSession"], false);
    assert!(ok("storage.primary.APIGetPrimaryStorageCapacity", json!({})).await["totalCapacity"].as_u64() > Some(0));
    let accounts = bench.query("org.zstack.header.identity.APIQueryAccountMsg", json!([])).await;
    assert_eq!(accounts[0]["uuid"], "36c27e8ff05c4780bf6d2fa65700f22e");
}

/// The pages of this API are made from the table of messages: what it says must be sent is what is asked for.
#[tokio::test]
async fn the_fields_that_the_table_marks_are_the_ones_that_are_missed() {
    let bench = Bench::new().await;
    let marked = |fields: &str| -> Vec<String> {
        let words = fields.split(|c: char| !c.is_ascii_alphanumeric() && c != '*');
        words.filter_map(|word| word.strip_suffix('*')).map(str::to_owned).collect()
    };
    for message in super::super::messages().filter(|message| message.is_built) {
        let marked = marked(message.fields);
        let (_, content) = bench.run(message.class, json!({})).await;
        let details = content.get("error").map_or("", |error| error["details"].as_str().unwrap_or(""));
        let is_named = marked.iter().any(|name| details.contains(name.as_str()));
        assert_eq!(is_named, !marked.is_empty(), "{}: {details} of {marked:?}", message.class);
        assert_eq!(details.contains("mandatory"), !marked.is_empty(), "{}: {details}", message.class);
    }
}
