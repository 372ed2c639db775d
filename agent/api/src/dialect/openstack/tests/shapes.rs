//! Strict clients take exactly the keys of the version that was negotiated.

use super::bench::Bench;
use serde_json::{Value, json};

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_server_gains_its_keys_version_by_version() {
    let bench = Bench::new().await;
    let id = bench.server("a").await;
    let path = format!("/compute/v2.1/servers/{id}");
    let mut before: Vec<String> = Vec::new();
    let mut gained = Vec::new();
    for minor in 1..=72 {
        let answer = bench.call_at(&format!("2.{minor}"), "GET", &path, None).await;
        assert_eq!(answer.header("openstack-api-version"), format!("compute 2.{minor}"));
        assert_eq!(answer.header("x-openstack-nova-api-version"), format!("2.{minor}"));
        let now: Vec<String> = keys(&answer.is(200)["server"]).into_iter().map(str::to_owned).collect();
        assert!(before.iter().all(|key| now.contains(key)), "2.{minor} lost a key");
        let new: Vec<_> = now.iter().filter(|key| !before.contains(key)).cloned().collect();
        if !new.is_empty() {
            gained.push(format!("2.{minor}: {}", new.join(" ")));
        }
        before = now;
    }
    insta::assert_snapshot!(gained.join("\n"));
}

#[tokio::test]
async fn the_flavor_of_a_server_is_a_reference_first_and_a_whole_later() {
    let bench = Bench::new().await;
    let id = bench.server("a").await;
    let path = format!("/compute/v2.1/servers/{id}");
    let old = bench.call_at("2.46", "GET", &path, None).await;
    assert_eq!(keys(&old.is(200)["server"]["flavor"]), ["id", "links"]);
    let new = bench.call_at("2.47", "GET", &path, None).await;
    assert_eq!(keys(&new.is(200)["server"]["flavor"]), ["disk", "ephemeral", "extra_specs", "original_name", "ram", "swap", "vcpus"]);
    let changed = bench.call_at("2.1", "PUT", &path, Some(json!({"server": {"name": "b"}}))).await;
    let expected = [
        "OS-DCF:diskConfig",
        "accessIPv4",
        "accessIPv6",
        "addresses",
        "created",
        "flavor",
        "hostId",
        "id",
        "image",
        "links",
        "metadata",
        "name",
        "progress",
        "status",
        "tenant_id",
        "updated",
        "user_id",
    ];
    assert_eq!(keys(&changed.is(200)["server"]), expected);
    let brief = bench.get("/compute/v2.1/servers").await;
    assert_eq!(keys(&brief.is(200)["servers"][0]), ["id", "links", "name"]);
}

#[tokio::test]
async fn flavors_hypervisors_and_limits_have_the_keys_of_their_version() {
    let bench = Bench::new().await;
    let id = bench.flavor("f", 256).await;
    let path = format!("/compute/v2.1/flavors/{id}");
    let mut lines = Vec::new();
    for minor in [1, 55, 61] {
        let answer = bench.call_at(&format!("2.{minor}"), "GET", &path, None).await;
        lines.push(format!("flavor 2.{minor}: {}", keys(&answer.is(200)["flavor"]).join(" ")));
    }
    for minor in [1, 53] {
        let answer = bench.call_at(&format!("2.{minor}"), "GET", "/compute/v2.1/os-hypervisors/detail", None).await;
        let hypervisor = &answer.is(200)["hypervisors"][0];
        assert_eq!(hypervisor["id"].is_number(), minor < 53);
        assert_eq!(hypervisor["cpu_info"].is_string(), minor < 28);
        lines.push(format!("hypervisor 2.{minor}: {}", keys(hypervisor).join(" ")));
    }
    for minor in [1, 36, 39, 57] {
        let answer = bench.call_at(&format!("2.{minor}"), "GET", "/compute/v2.1/limits", None).await;
        lines.push(format!("limits 2.{minor}: {}", keys(&answer.is(200)["limits"]["absolute"]).join(" ")));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn lists_are_paged_filtered_and_sorted() {
    let bench = Bench::new().await;
    for name in ["web-1", "web-2", "db"] {
        bench.server(name).await;
    }
    let names =
        |body: &Value| body["servers"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let first = bench.get("/compute/v2.1/servers?limit=2&sort_key=display_name&sort_dir=asc").await;
    assert_eq!(names(first.is(200)), ["db", "web-1"]);
    let next = first.body["servers_links"][0]["href"].as_str().unwrap().strip_prefix("http://cloud.test:5000").unwrap().to_owned();
    let second = bench.get(&next).await;
    assert_eq!(names(second.is(200)), ["web-2"]);
    assert!(second.body.get("servers_links").is_none());
    assert_eq!(names(bench.get("/compute/v2.1/servers?name=^web").await.is(200)).len(), 2);
    assert_eq!(names(bench.get("/compute/v2.1/servers?status=SHUTOFF").await.is(200)).len(), 0);
    assert_eq!(names(bench.get("/compute/v2.1/servers?deleted=True").await.is(200)).len(), 0);
    assert_eq!(names(bench.get("/compute/v2.1/servers/detail?deleted=False&all_tenants=1").await.is(200)).len(), 3);
}

#[tokio::test]
async fn names_are_looked_up_as_the_command_line_does() {
    let bench = Bench::new().await;
    let id = bench.server("a").await;
    for path in [
        "/compute/v2.1/servers/a",
        "/compute/v2.1/flavors/a",
        "/compute/v2.1/os-hypervisors/node",
        "/image/v2/images/a",
        "/networking/v2.0/networks/default",
        "/volume/v3/volumes/a",
    ] {
        bench.get(path).await.is(404);
    }
    assert_eq!(bench.get("/compute/v2.1/servers/detail?name=a").await.is(200)["servers"][0]["id"], id);
    assert_eq!(bench.get("/compute/v2.1/flavors/detail?is_public=None").await.is(200)["flavors"].as_array().unwrap().len(), 1);
    let image = bench.get("/image/v2/images?name=image%20of%20a").await;
    let image_id = image.is(200)["images"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(bench.get(&format!("/image/v2/images?id=in:{image_id},x")).await.is(200)["images"].as_array().unwrap().len(), 1);
    assert_eq!(bench.get("/networking/v2.0/networks?name=default&fields=id").await.is(200)["networks"][0].as_object().unwrap().len(), 1);
    assert_eq!(bench.get("/compute/v2.1/os-aggregates").await.is(200), &json!({"aggregates": []}));
}

#[tokio::test]
async fn one_entry_stands_for_the_node() {
    let bench = Bench::new().await;
    let list = bench.get("/compute/v2.1/os-hypervisors").await;
    let id = list.is(200)["hypervisors"][0]["id"].as_str().unwrap().to_owned();
    assert!(
        bench.get(&format!("/compute/v2.1/os-hypervisors/{id}/uptime")).await.is(200)["hypervisor"]["uptime"]
            .as_str()
            .unwrap()
            .contains("load average")
    );
    assert_eq!(bench.get("/compute/v2.1/os-hypervisors/statistics").await.is(200)["hypervisor_statistics"]["count"], 1);
    for path in [
        "os-services",
        "os-availability-zone/detail",
        "os-quota-sets/7d5a2f1e000040008000000000000001",
        "os-simple-tenant-usage",
        "extensions",
        "os-server-groups",
    ] {
        bench.get(&format!("/compute/v2.1/{path}")).await.is(200);
    }
    bench.get("/compute/v2.1/7d5a2f1e000040008000000000000001/servers/").await.is(200);
    bench.get("/volume/v3/7d5a2f1e000040008000000000000001/volumes/detail").await.is(200);
}
