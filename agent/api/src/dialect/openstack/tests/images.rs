use super::bench::Bench;
use serde_json::{Value, json};

fn names(body: &Value) -> Vec<&str> {
    body["images"].as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_image_is_announced_imported_changed_and_removed() {
    let bench = Bench::new().await;
    let body =
        json!({"name": "a", "disk_format": "qcow2", "container_format": "bare", "visibility": "public", "os_type": "linux", "tags": ["t"]});
    let announced = bench.post("/image/v2/images", body).await;
    assert_eq!((announced.is(201)["status"].as_str(), announced.body["os_type"].as_str()), (Some("queued"), Some("linux")));
    let id = announced.body["id"].as_str().unwrap().to_owned();
    let path = format!("/image/v2/images/{id}");
    assert_eq!(announced.header("location"), format!("http://cloud.test:5000{path}"));
    let import = json!({"method": {"name": "web-download", "uri": "http://images.test/a.qcow2"}});
    bench.post(&format!("{path}/import"), import.clone()).await.is(202);
    let uuid: uuid::Uuid = id.parse().unwrap();
    let is_ready =
        move |s: &hvnode_core::engine::Snapshot| s.images.get(&uuid).is_some_and(|i| i.status == hvnode_core::model::ImageStatus::Ready);
    assert!(bench.engine.wait_until(crate::test_support::SOON, is_ready).await);
    bench.post(&format!("{path}/import"), import).await.is(409);
    let patch = json!([{"op": "replace", "path": "/name", "value": "b"}, {"op": "add", "path": "/min_ram", "value": 64}, {"op": "add", "path": "/mine", "value": "x"}]);
    let changed = bench.call("PATCH", &path, Some(patch)).await;
    assert_eq!((&changed.is(200)["name"], &changed.body["min_ram"], &changed.body["mine"]), (&json!("b"), &json!(64), &json!("x")));
    assert_eq!((&changed.body["status"], &changed.body["tags"]), (&json!("active"), &json!(["t"])));
    bench.call("PATCH", &path, Some(json!([{"op": "add", "path": "/protected", "value": true}]))).await.is(200);
    bench.call("DELETE", &path, None).await.is(403);
    bench.call("PATCH", &path, Some(json!([{"op": "replace", "path": "/protected", "value": false}]))).await.is(200);
    bench.call("DELETE", &path, None).await.is(204);
    bench.get(&path).await.is(404);
}

#[tokio::test]
async fn images_are_paged_and_filtered() {
    let bench = Bench::new().await;
    for name in ["a", "b", "c"] {
        bench.image(name).await;
    }
    let first = bench.get("/image/v2/images?limit=2&sort=name:asc").await;
    assert_eq!(names(first.is(200)), ["a", "b"]);
    let next = format!("/image{}", first.body["next"].as_str().unwrap());
    assert_eq!(names(bench.get(&next).await.is(200)), ["c"]);
    assert_eq!(names(bench.get("/image/v2/images?name=b").await.is(200)), ["b"]);
    assert_eq!(names(bench.get("/image/v2/images?name=in:a,c&sort=name:asc").await.is(200)), ["a", "c"]);
    assert!(names(bench.get("/image/v2/images?status=queued").await.is(200)).is_empty());
}

#[tokio::test]
async fn an_image_in_use_and_a_wrong_image_are_refused() {
    let bench = Bench::new().await;
    bench.server("a").await;
    let image = bench.get("/image/v2/images").await;
    let id = image.is(200)["images"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(bench.call("DELETE", &format!("/image/v2/images/{id}"), None).await.is(409)["title"], "Conflict");
    let before = bench.everything();
    for body in [
        json!([]),
        json!({"name": "a/b"}),
        json!({"disk_format": "vmdk"}),
        json!({"container_format": "ova"}),
        json!({"id": "x"}),
        json!({"min_ram": "a"}),
        json!({"visibility": "all"}),
    ] {
        bench.post("/image/v2/images", body.clone()).await.is(400);
    }
    bench.post("/image/v2/images", json!({"name": "a", "status": "active"})).await.is(403);
    bench.call("PATCH", &format!("/image/v2/images/{id}"), Some(json!([{"op": "move", "path": "/name"}]))).await.is(400);
    assert_eq!(bench.everything(), before);
}
