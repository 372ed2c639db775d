//! What is read: every list and object, paging, counts, usage, sessions.

use super::super::route::Reply;
use super::super::table::routes;
use super::bench::{Bench, text};
use crate::test_support::measured;
use http::Method;
use hvnode_core::model::Role;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn every_list_has_the_documented_form_and_can_be_sorted_and_filtered() {
    let bench = Bench::new().await;
    bench.vm("web-1").await;
    let cluster = bench.cluster().await;
    let network = bench.get(&format!("{cluster}/network")).await.result()["elements"][0].clone();
    let volume = bench.get(&format!("{cluster}/volume")).await.result()["elements"][0].clone();
    let prefix = cluster.clone();
    let mut count = 0;
    for route in routes() {
        let Reply::List(_) = route.reply else { continue };
        let path = route.path.replace("/v1/az/{AzUuid}/cluster/{ClusterUuid}", &prefix).replace("{AzUuid}", &bench.az().await);
        let path = path.replace("{NetworkUuid}", &text(&network["uuid"])).replace("{VolumeUuid}", &text(&volume["uuid"]));
        let answer = bench.get(&path).await;
        assert!(answer.result()["elements"].is_array(), "{path}");
        assert_eq!(bench.get(&format!("{path}?sort=created_at&order=desc&page=1&size=1")).await.status, 200, "{path}");
        assert_eq!(bench.get(&format!("{path}?page=9&size=1000&name=nothing")).await.result()["size"], 0, "{path}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[tokio::test]
async fn every_object_of_a_list_can_be_read_by_its_identity() {
    let bench = Bench::new().await;
    bench.vm("web-1").await;
    let cluster = bench.cluster().await;
    for (path, key) in [
        ("/v1/vm", "vm"),
        ("/v1/nic", "nic"),
        ("/v1/image", "image"),
        ("/v1/instance_spec", "instance_spec"),
        ("/v1/volume_spec", "volume_spec"),
        ("/v1/securitygroup", "securitygroup"),
        ("/v1/user", "user"),
        ("/v1/az", "az"),
        (&format!("{cluster}/host"), "host"),
        (&format!("{cluster}/network"), "network"),
        (&format!("{cluster}/volume"), "volume"),
    ] {
        let entry = bench.get(path).await.result()["elements"][0].clone();
        let shown = bench.get(&format!("{path}/{}", text(&entry["uuid"]))).await.result()[key].clone();
        assert_eq!((&shown["uuid"], &shown["name"]), (&entry["uuid"], &entry["name"]), "{path}");
        let foreign = bench.get(&format!("{path}/{}", Uuid::from_u128(9))).await;
        assert_eq!(foreign.failure().0, 404, "{path}: {}", foreign.body);
    }
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let bench = Bench::new().await;
    let (one, _two) = (bench.vm("web-1").await, bench.vm("db-1").await);
    bench.call("PUT", &format!("/v1/vm/{one}/stop"), Value::Null).await.result();
    bench.settled(&one, 4).await;
    assert_eq!(bench.only("/v1/vm?state=4").await["name"], "web-1");
    assert_eq!(bench.only("/v1/vm?name=db").await["name"], "db-1");
    assert_eq!(bench.only(&format!("/v1/vm?uuid={one}")).await["name"], "web-1");
    let page = bench.get("/v1/vm?sort=name&order=asc&page=2&size=1").await;
    assert_eq!((&page.result()["elements"][0]["name"], &page.result()["total"]), (&json!("web-1"), &json!(2)));
    let elsewhere = bench.get(&format!("/v1/vm?host_uuid={}", Uuid::from_u128(9))).await;
    assert_eq!(elsewhere.result()["total"], 0);
}

#[tokio::test]
async fn counts_tell_what_there_is() {
    let bench = Bench::new().await;
    bench.vm("web-1").await;
    let vms = bench.get("/v1/vm_statistic").await;
    assert_eq!((&vms.result()["total"], &vms.result()["running"]), (&json!(1), &json!(1)));
    assert_eq!(bench.get("/v1/volume_statistic").await.result()["attached"], 2);
    assert_eq!(bench.get("/v1/nic_statistic").await.result()["attached"], 1);
    assert_eq!(bench.get("/v1/image_statistic").await.result()["available"], 1);
    let host = bench.get("/v1/host_statistic").await;
    assert_eq!((&host.result()["vm_running_count"], &host.result()["used_vcpus"]), (&json!(1), &json!(1)));
    assert_eq!(bench.get("/v1/storage_pool_statistic").await.result()["total"], 1);
    assert_eq!(bench.get(&format!("/v1/host_statistic?host_uuid={}", Uuid::from_u128(9))).await.failure().0, 404);
}

#[tokio::test]
async fn usage_of_vm_disk_nic_and_host_comes_from_the_history() {
    let bench = Bench::new().await;
    let uuid = bench.vm("web-1").await;
    let vm_uuid = Uuid::try_parse(&uuid).unwrap();
    measured(&bench.engine, vm_uuid).await;
    let vm = bench.get(&format!("/v1/vm/{uuid}")).await.result()["vm"].clone();
    let host = text(&vm["host_name"]);
    let (volume, nic) = (text(&vm["volumes"][0]["uuid"]), text(&vm["nics"][0]["uuid"]));
    for (figure, subject) in [
        ("cpu", format!("&vm_uuid={uuid}")),
        ("memory", format!("&vm_uuid={uuid}")),
        ("disk_io", format!("&vm_uuid={uuid}")),
        ("net_io", format!("&vm_uuid={uuid}")),
        ("volume_disk_io", format!("&volume_uuid={volume}")),
        ("interface_net_io", format!("&interface_uuid={nic}")),
        ("host_cpu", format!("&host_name={host}")),
        ("host_memory", format!("&host_name={host}")),
        ("total_cpu", String::new()),
        ("total_memory", String::new()),
        ("total_disk_io", String::new()),
        ("total_net_io", String::new()),
        ("user_cpu", String::new()),
        ("user_memory", String::new()),
    ] {
        let answer = bench.get(&format!("/v1/metrics/{figure}?range=3600&window=10{subject}")).await;
        assert!(!answer.result()["stats"].as_array().unwrap().is_empty(), "{figure}");
    }
    let memory = bench.get(&format!("/v1/metrics/memory?range=3600&window=10&vm_uuid={uuid}")).await;
    assert_eq!(memory.result()["stats"][0]["total"], 256 << 20);
    let refused = bench.get(&format!("/v1/metrics/cpu?range=2678400&window=1&vm_uuid={}", Uuid::from_u128(9))).await;
    assert_eq!(refused.failure().0, 404);
    assert_eq!(bench.get("/v1/metrics/host_cpu?range=60&window=10&host_name=other").await.failure().0, 404);
    assert_eq!(bench.get("/v1/metrics/total_cpu?range=60").await.failure(), (400, 10002, "INVALID_ARGUMENT"));
}

#[tokio::test]
async fn images_and_specifications_are_made_changed_and_deleted() {
    let bench = Bench::new().await;
    let image = bench.image("debian", "/srv/images/debian.raw").await;
    let path = format!("/v1/image/{image}");
    let shown = bench.get(&path).await.result()["image"].clone();
    assert_eq!((&shown["format"], &shown["install_url"]), (&json!("raw"), &json!("file:///srv/images/debian.raw")));
    let change = json!({"name": "debian-13", "os_type": "linux", "os_detail": "13", "boot_type": "uefi"});
    assert_eq!(bench.call("PATCH", &path, change).await.result(), &json!({"image": "ok"}));
    let shown = bench.get(&path).await.result()["image"].clone();
    assert_eq!((&shown["name"], &shown["os_detail"], &shown["boot_type"]), (&json!("debian-13"), &json!("13"), &json!("uefi")));
    bench.call("DELETE", &path, Value::Null).await.result();
    bench.gone(&path).await;

    let body = json!({"name": "small", "vcpus": 1, "memory": 1 << 30, "type": 0});
    let spec = bench.call("POST", "/v1/instance_spec", body).await.result()["instance_spec"].clone();
    assert!(spec["created_at"].is_string());
    let path = format!("/v1/instance_spec/{}", text(&spec["uuid"]));
    assert_eq!(bench.call("PATCH", &path, json!({"name": "big", "vcpus": 2})).await.result(), &json!({"instance_spec": "ok"}));
    let shown = bench.get(&path).await.result()["instance_spec"].clone();
    assert_eq!((&shown["name"], &shown["vcpus"], &shown["memory"]), (&json!("big"), &json!(2), &json!(1 << 30)));
    assert_eq!(bench.call("DELETE", &path, Value::Null).await.result(), &json!({"instance_spec": "ok"}));
    assert_eq!(bench.get(&path).await.failure(), (404, 17000, "NOT_FOUND"));
}

#[tokio::test]
async fn az_and_cluster_keep_the_names_they_are_given() {
    let bench = Bench::new().await;
    let az = format!("/v1/az/{}", bench.az().await);
    bench.call("PATCH", &az, json!({"description": "first floor"})).await.result();
    let shown = bench.get(&az).await.result()["az"].clone();
    assert_eq!((&shown["name"], &shown["description"]), (&json!("Default"), &json!("first floor")));
    bench.vm("web-1").await;
    assert_eq!(bench.get(&az).await.result()["az"]["description"], "first floor", "making a VM forgets no names");
}

#[tokio::test]
async fn the_screen_of_a_running_vm_is_told() {
    let bench = Bench::new().await;
    let uuid = bench.vm("web-1").await;
    let screen = bench.get(&format!("/v1/vm/{uuid}/vnc")).await.result()["vnc"].clone();
    assert_eq!(screen["protocol"], "vnc");
    bench.call("PUT", &format!("/v1/vm/{uuid}/stop"), Value::Null).await.result();
    bench.settled(&uuid, 4).await;
    assert_eq!(bench.get(&format!("/v1/vm/{uuid}/vnc")).await.failure(), (400, 13002, "FAILED_PRECONDITION"));
}

#[tokio::test]
async fn a_reader_reads_and_changes_nothing() {
    let bench = Bench::new().await;
    let reader = bench.account("rita", Role::Reader).await;
    let before = bench.everything();
    for route in routes().into_iter().filter(|route| !route.is_open()) {
        let path = route.path.split('/').map(|part| if part.starts_with('{') { "00000000-0000-0000-0000-000000000009" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let answer = bench.with_token(route.method.as_str(), &path, &reader, Value::Null).await;
        if route.method != Method::GET {
            assert_eq!(answer.failure(), (403, 10103, "PERMISSION_DENIED"), "{} {}", route.method, route.path);
        }
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn head_is_answered_as_get() {
    let bench = Bench::new().await;
    assert_eq!(bench.status("HEAD", "/v1/az").await, 200);
}
