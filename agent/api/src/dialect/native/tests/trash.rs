//! The trash, adoption, and what an inspect tells about both.

use super::bench::Bench;
use crate::test_support::SOON;
use hvnode_core::model::Management;
use serde_json::{Value, json};
use uuid::Uuid;

async fn inspect(bench: &Bench, vm_uuid: &str) -> Value {
    bench.get(&format!("/v1/vm/inspect?vm_uuid={vm_uuid}")).await.data()["vm"].clone()
}

#[tokio::test]
async fn a_vm_in_the_trash_is_listed_until_it_is_recovered_or_expunged() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let target = json!({"vm_uuid": vm_uuid, "vm_name": "web"});
    let trash = json!({"vm_uuid": vm_uuid, "force": true, "keep_days": 3});
    bench.post("/v1/vm/delete", trash.clone()).await.data();
    let trashed = inspect(&bench, &vm_uuid).await;
    assert_eq!(trashed["status"], "deleted");
    let days = (trashed["expire_time"].as_i64().unwrap() - trashed["update_time"].as_i64().unwrap()) / 86_400;
    assert_eq!(days, 3);
    for path in ["/v1/vm/list", "/v1/vm/list?status=deleted"] {
        assert_eq!(bench.get(path).await.data()["total_count"], 1, "{path}");
    }
    assert_eq!(bench.get("/v1/vm/list?status=stopped").await.data()["total_count"], 0);
    assert_eq!(bench.post("/v1/vm/start", target.clone()).await.code(), 13002);

    bench.post("/v1/vm/recover", target.clone()).await.data();
    let recovered = inspect(&bench, &vm_uuid).await;
    assert_eq!((&recovered["status"], &recovered["expire_time"]), (&json!("stopped"), &Value::Null));
    assert_eq!(bench.post("/v1/vm/expunge", target.clone()).await.code(), 13002);
    bench.post("/v1/vm/delete", trash).await.data();
    bench.post("/v1/vm/expunge", target).await.data();
    assert_eq!(bench.get("/v1/vm/list").await.data()["total_count"], 0);
    assert_eq!(bench.node.domain_count(), 0);
}

#[tokio::test]
async fn a_vm_of_somebody_else_is_adopted_under_a_new_name_and_released() {
    let bench = Bench::new().await;
    let mine = bench.vm("mine").await;
    let mut foreign = bench.node.domain(mine.parse().unwrap()).unwrap();
    foreign.vm_uuid = Uuid::new_v4();
    foreign.domain_name = "foreign".into();
    foreign.metadata = None;
    foreign.nics.clear();
    foreign.disks.clear();
    let uuid = foreign.vm_uuid;
    let vm_uuid = uuid.to_string();
    bench.node.define_outside(foreign);
    assert!(bench.engine.wait_until(SOON, |snapshot| snapshot.vms.contains_key(&uuid)).await);
    let adopt = |name: &str| json!({"vm_uuid": vm_uuid, "vm_name": "foreign", "new_name": name});
    assert_eq!(bench.post("/v1/vm/adopt", adopt("a/b")).await.code(), 10003);
    bench.post("/v1/vm/adopt", adopt("ours")).await.data();
    let adopted = inspect(&bench, &vm_uuid).await;
    assert_eq!((&adopted["vm_name"], &adopted["management"]), (&json!("ours"), &json!("managed")));
    bench.post("/v1/vm/release", json!({"vm_uuid": vm_uuid})).await.data();
    assert_eq!(bench.engine.snapshot().vms[&uuid].management, Management::Unmanaged);
}

#[tokio::test]
async fn restart_on_crash_is_set_shown_and_changed() {
    let bench = Bench::new().await;
    let image = bench.image("debian").await;
    let body = json!({"vm_name": "web", "cpu_cores": 1, "memory_size": 256 << 20, "image_uuid": image, "restart_on_crash": true});
    let created = bench.post("/v1/vm/create", body).await.data()["vm"].clone();
    assert_eq!((&created["restart_on_crash"], &created["drift"]), (&json!(true), &json!([])));
    let vm_uuid = created["vm_uuid"].as_str().unwrap();
    bench.post("/v1/vm/update", json!({"vm_uuid": vm_uuid, "restart_on_crash": false})).await.data();
    assert_eq!(inspect(&bench, vm_uuid).await["restart_on_crash"], false);
}

#[tokio::test]
async fn a_definition_changed_outside_is_shown_as_drift() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let uuid: Uuid = vm_uuid.parse().unwrap();
    bench.node.change_outside(uuid, |observed| observed.cpu_cores = 7);
    assert!(bench.engine.wait_until(SOON, |snapshot| !snapshot.vms[&uuid].drift.is_empty()).await);
    assert_eq!(inspect(&bench, &vm_uuid).await["drift"], json!(["cpu_cores: 1 asked for, 7 in libvirt"]));
}
