use super::bench::Bench;
use axum::body::Body;
use futures_util::StreamExt;
use http::{Request, header};
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
    bench.call("PUT", &format!("{path}/tags/blue"), None).await.is(204);
    bench.call("PUT", &format!("{path}/tags/blue"), None).await.is(204);
    bench.call("DELETE", &format!("{path}/tags/t"), None).await.is(204);
    bench.call("DELETE", &format!("{path}/tags/t"), None).await.is(404);
    assert_eq!(bench.get(&path).await.is(200)["tags"], json!(["blue"]));
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

const BYTES: &[u8] = b"the bytes of a disk";

/// An image that was announced, by its path.
async fn announced(bench: &Bench, name: &str) -> String {
    let body = json!({"name": name, "disk_format": "raw", "container_format": "bare"});
    format!("/image/v2/images/{}", bench.post("/image/v2/images", body).await.is(201)["id"].as_str().unwrap())
}

fn put(bench: &Bench, path: &str, kind: &str, body: Body) -> Request<Body> {
    let request = Request::put(format!("{path}/file")).header("x-auth-token", &bench.token).header(header::CONTENT_TYPE, kind);
    request.body(body).unwrap()
}

#[tokio::test]
async fn bytes_come_in_with_their_digests_and_go_out_whole_and_in_part() {
    let bench = Bench::new().await;
    let path = announced(&bench, "a").await;
    assert_eq!(bench.bytes("GET", &format!("{path}/file"), &[]).await.0, 204, "there are no bytes yet");
    bench.raw(put(&bench, &path, "application/octet-stream", Body::from(BYTES))).await.is(204);
    let image = bench.get(&path).await;
    assert_eq!((&image.is(200)["status"], &image.body["size"]), (&json!("active"), &json!(BYTES.len())));
    assert_eq!(image.body["checksum"], "a6421c91f1f1055fe6958937d8699675");
    assert_eq!((&image.body["os_hash_algo"], image.body["os_hash_value"].as_str().map(str::len)), (&json!("sha256"), Some(64)));
    let (status, headers, body) = bench.bytes("GET", &format!("{path}/file"), &[]).await;
    assert_eq!((status, body.len(), headers["content-length"].to_str().unwrap()), (200, BYTES.len(), "19"));
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(headers["content-md5"], "a6421c91f1f1055fe6958937d8699675");
    let (status, headers, body) = bench.bytes("GET", &format!("{path}/file"), &[("range", "bytes=4-8")]).await;
    assert_eq!((status, body.len(), headers["content-range"].to_str().unwrap()), (206, 5, "bytes 4-8/19"));
    assert_eq!(bench.bytes("GET", &format!("{path}/file"), &[("range", "bytes=99-")]).await.0, 416);
    bench.raw(put(&bench, &path, "application/octet-stream", Body::from(BYTES))).await.is(409);
    let patch = json!([{"op": "replace", "path": "/name", "value": "b"}]);
    assert_eq!(bench.call("PATCH", &path, Some(patch)).await.is(200)["checksum"], image.body["checksum"], "a change keeps it");
    bench.call("DELETE", &path, None).await.is(204);
    bench.get(&path).await.is(404);
    assert!(bench.node.files().is_empty());
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_the_image_announced_and_may_be_sent_again() {
    let bench = Bench::new().await;
    let path = announced(&bench, "a").await;
    let before = bench.everything();
    let pieces = [Ok(bytes::Bytes::from_static(BYTES)), Err(std::io::Error::other("gone"))];
    let broken = Body::from_stream(futures_util::stream::iter(pieces));
    bench.raw(put(&bench, &path, "application/octet-stream", broken)).await.is(400);
    assert_eq!(bench.everything(), before);
    assert!(bench.node.files().is_empty());
    // A client that goes away takes its request with it: nobody waits for the answer.
    let endless = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(BYTES)), ()))
    });
    let request = put(&bench, &path, "application/octet-stream", Body::from_stream(Box::pin(endless)));
    let is_saving = async || (bench.get(&path).await.body["status"] == "saving").then_some(());
    tokio::select! {
        answer = bench.raw(request) => panic!("answered: {answer:?}"),
        () = crate::test_support::wait_for("the image to be saved", crate::test_support::SOON, is_saving) => {}
    }
    let is_back = async || (bench.get(&path).await.body["status"] == "queued").then_some(());
    crate::test_support::wait_for("the image to be announced again", crate::test_support::SOON, is_back).await;
    assert!(bench.node.files().is_empty());
    bench.raw(put(&bench, &path, "application/octet-stream", Body::from(BYTES))).await.is(204);
}

#[tokio::test]
async fn an_image_that_is_deleted_while_it_comes_in_ends_its_upload() {
    let bench = Bench::new().await;
    let path = announced(&bench, "a").await;
    let endless = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(BYTES)), ()))
    });
    let request = put(&bench, &path, "application/octet-stream", Body::from_stream(Box::pin(endless.take(5000))));
    let delete = async {
        let is_saving = async || (bench.get(&path).await.body["status"] == "saving").then_some(());
        crate::test_support::wait_for("the image to be saved", crate::test_support::SOON, is_saving).await;
        bench.raw(put(&bench, &path, "application/octet-stream", Body::from(BYTES))).await.is(409);
        bench.call("DELETE", &path, None).await.is(204);
    };
    let (answer, ()) = tokio::join!(bench.raw(request), delete);
    answer.is(410);
    bench.get(&path).await.is(404);
    assert!(bench.node.files().is_empty());
}

#[tokio::test]
async fn uploads_that_are_wrong_are_refused_and_change_nothing() {
    let bench = Bench::new().await;
    let path = announced(&bench, "a").await;
    let reader = bench.account("r", hvnode_core::model::Role::Reader).await;
    let bare = bench.post("/image/v2/images", json!({"name": "bare"})).await.is(201)["id"].as_str().unwrap().to_owned();
    let before = bench.everything();
    bench.raw(put(&bench, &path, "application/json", Body::from(BYTES))).await.is(415);
    bench.raw(put(&bench, "/image/v2/images/x", "application/octet-stream", Body::from(BYTES))).await.is(404);
    bench.raw(put(&bench, &format!("/image/v2/images/{bare}"), "application/octet-stream", Body::from(BYTES))).await.is(400);
    let mut request = put(&bench, &path, "application/octet-stream", Body::from(BYTES));
    request.headers_mut().insert("x-auth-token", reader.parse().unwrap());
    bench.raw(request).await.is(403);
    let mut request = put(&bench, &path, "application/octet-stream", Body::from(BYTES));
    request.headers_mut().remove("x-auth-token");
    bench.raw(request).await.is(401);
    bench.get("/image/v2/images/x/file").await.is(404);
    assert_eq!(bench.everything(), before);
    // Who may read may take the bytes.
    bench.raw(put(&bench, &path, "application/octet-stream", Body::from(BYTES))).await.is(204);
    assert_eq!(bench.bytes("GET", &format!("{path}/file"), &[("x-auth-token", &reader)]).await.0, 200);
}
