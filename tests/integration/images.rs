//! Images on a real node: where they may come from, what becomes of a transfer that breaks, is cut off or canceled, and what boots from them.

use crate::support::host::Host;
use crate::support::node::light_vm;
use crate::support::{Answer, Node, PATIENCE, wait_for};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

// ---- an image server inside the private host -------------------------------------------------------------------------------------------

/// What the server does after the first half of the bytes of an answer that begins at their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// Sends the other half.
    GoesOn,
    /// Closes the connection.
    BreaksOff,
    /// Sends nothing more and keeps the connection open.
    Stalls,
}

/// A server with one file, in the network of a private host. It answers ranges, with a strong tag.
struct ImageServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl ImageServer {
    async fn start(host: &Host, bytes: Vec<u8>, half: Half) -> Self {
        let listener = TcpListener::from_std(listener_inside(host)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (bytes, seen) = (Arc::new(bytes), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&bytes), half, Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://me:{SECRET}@{}/demo.qcow2?signature={SECRET}", self.address)
    }

    /// First bytes of all requests so far; `None` for a request without a range.
    fn ranges(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().iter().map(|request| range_start(request)).collect()
    }
}

const SECRET: &str = "do-not-show-me";

fn listener_inside(host: &Host) -> std::net::TcpListener {
    let listener = host.in_network(|| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listener.set_nonblocking(true).unwrap();
    listener
}

fn range_start(request: &str) -> Option<usize> {
    let line = request.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned))?;
    line.split('-').next()?.parse().ok()
}

async fn answer(mut stream: TcpStream, bytes: Arc<Vec<u8>>, half: Half, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        request.push(byte);
    }
    let request = String::from_utf8(request).unwrap();
    let start = range_start(&request);
    seen.lock().unwrap().push(request);
    let (from, all) = (start.unwrap_or(0), bytes.len());
    let status = match start {
        Some(start) => format!("206 Partial Content\r\ncontent-range: bytes {start}-{}/{all}", all - 1),
        None => "200 OK".to_owned(),
    };
    let head = format!("HTTP/1.1 {status}\r\netag: \"one\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", all - from);
    let end = if from == 0 && half != Half::GoesOn { all / 2 } else { all };
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&bytes[from..end]).await
    };
    if sent.await.is_ok() && end < all && half == Half::Stalls {
        std::future::pending::<()>().await;
    }
}

// ---- shorthand -------------------------------------------------------------------------------------------------------------------------

/// A node that may fetch from loopback, and the bytes of the demo disk.
async fn node_with_loopback() -> (Node, Vec<u8>) {
    let mut node = Node::start().await;
    let file = node.host.directory.join("hvnode/etc/hvnode.toml");
    let configuration = std::fs::read_to_string(&file).unwrap().replace("[images]\n", "[images]\nallow_private_addresses = true\n");
    std::fs::write(&file, configuration).unwrap();
    node.end_daemon("TERM");
    node.start_daemon().await;
    let bytes = std::fs::read(node.host.directory.join("run/images/demo.qcow2")).unwrap();
    (node, bytes)
}

fn import(url: &str, wait_seconds: u64) -> Value {
    json!({"image_name": "fetched", "url": url, "format": "qcow2", "wait_seconds": wait_seconds})
}

async fn create_image(node: &Node, body: Value) -> Answer {
    node.client.post("/v1/repository/image/create", body).await
}

async fn job(node: &Node, job_uuid: &Value) -> Value {
    let path = format!("/v1/job/inspect?job_uuid={}", job_uuid.as_str().unwrap());
    node.client.get(&path).await.ok()["job"].clone()
}

/// Waits until the transfer has its first half, and gives its job.
async fn wait_for_half(node: &Node, job_uuid: &Value) -> Value {
    let ask = || async {
        let job = job(node, job_uuid).await;
        (job["progress"].as_u64()? >= 40).then_some(job)
    };
    wait_for("half of the image", PATIENCE, ask).await.0
}

async fn wait_for_end(node: &Node, job_uuid: &Value) -> Value {
    let ask = || async {
        let job = job(node, job_uuid).await;
        job["finish_time"].is_u64().then_some(job)
    };
    wait_for("the end of the import", PATIENCE, ask).await.0
}

fn image_files(node: &Node) -> String {
    node.host.run(&["ls", "/var/lib/hvnode/images"]).trim().to_owned()
}

// ---- tests -----------------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_image_is_fetched_over_http_and_must_have_the_checksum_that_was_told() {
    let (node, bytes) = node_with_loopback().await;
    let server = ImageServer::start(&node.host, bytes.clone(), Half::GoesOn).await;
    let first = create_image(&node, import(&server.url(), 60)).await.ok()["image"].clone();
    assert_eq!((&first["status"], &first["storage_size"]), (&json!("ready"), &json!(bytes.len())));
    assert_eq!(first["url"], format!("http://{}/demo.qcow2", server.address), "a URL is shown without what may be secret");
    create_image(&node, import(&server.url(), 60)).await.refused(14011);

    let mut again = import(&server.url(), 60);
    again["image_name"] = json!("again");
    again["checksum"] = first["checksum"].clone();
    create_image(&node, again.clone()).await.ok();
    let both = image_files(&node);
    again["image_name"] = json!("wrong");
    again["checksum"] = json!(format!("sha256:{}", "0".repeat(64)));
    create_image(&node, again).await.refused(14014);
    assert_eq!(image_files(&node), both, "nothing is left of an image with the wrong checksum");

    let log = node.client.get("/v1/operation_log/list").await.ok();
    assert!(!log.to_string().contains(SECRET) && !node.log().contains(SECRET));
}

#[tokio::test]
async fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let (node, bytes) = node_with_loopback().await;
    let server = ImageServer::start(&node.host, bytes.clone(), Half::BreaksOff).await;
    let image = create_image(&node, import(&server.url(), 60)).await.ok()["image"].clone();
    assert_eq!(image["storage_size"], bytes.len());
    assert_eq!(server.ranges(), [None, Some(bytes.len() / 2)]);
}

#[tokio::test]
async fn a_transfer_shows_its_progress_and_leaves_nothing_when_it_is_canceled_or_its_image_deleted() {
    let (node, bytes) = node_with_loopback().await;
    let server = ImageServer::start(&node.host, bytes, Half::Stalls).await;
    let cancel = "/v1/job/cancel";
    for way in [cancel, "/v1/image/delete"] {
        let begun = create_image(&node, import(&server.url(), 0)).await.ok();
        assert_eq!(begun["job_status"], "running");
        let job = wait_for_half(&node, &begun["job_uuid"]).await;
        assert_eq!((&job["status"], &job["message"]), (&json!("running"), &Value::Null));
        let inspect = format!("/v1/image/inspect?image_uuid={}", begun["image_uuid"].as_str().unwrap());
        assert_eq!(node.client.get(&inspect).await.ok()["image"]["status"], "downloading");
        let early = json!({"vm_name": "early", "cpu_cores": 1, "memory_size": 64 << 20, "image_uuid": begun["image_uuid"]});
        node.client.post("/v1/vm/create", early).await.refused(14016);

        let target = if way == cancel { json!({"job_uuid": begun["job_uuid"]}) } else { json!({"image_uuid": begun["image_uuid"]}) };
        node.client.post(way, target).await.ok();
        let job = wait_for_end(&node, &begun["job_uuid"]).await;
        assert_eq!((&job["status"], &job["status_code"]), (&json!("canceled"), &json!(20001)), "{way}: {job:#}");
        node.client.get(&inspect).await.refused(14010);
        assert_eq!(image_files(&node), "", "{way}");
    }
}

#[tokio::test]
async fn a_transfer_cut_off_by_kill_nine_goes_on_where_it_was() {
    let (mut node, bytes) = node_with_loopback().await;
    let server = ImageServer::start(&node.host, bytes.clone(), Half::Stalls).await;
    let begun = create_image(&node, import(&server.url(), 0)).await.ok();
    wait_for_half(&node, &begun["job_uuid"]).await;
    node.end_daemon("KILL");
    node.start_daemon().await;
    let job = wait_for_end(&node, &begun["job_uuid"]).await;
    assert_eq!((&job["status"], &job["after_restart"], &job["progress"]), (&json!("succeeded"), &json!(true), &json!(100)), "{job:#}");
    assert_eq!(server.ranges(), [None, Some(bytes.len() / 2)]);
    let images = node.client.get("/v1/image/list?status=ready").await.ok();
    assert_eq!(images["list"][0]["storage_size"], bytes.len());
}

#[tokio::test]
async fn nothing_is_fetched_from_where_nothing_may_be_and_nothing_taken_that_is_not_what_it_says() {
    let node = Node::start().await;
    let folder = node.host.directory.join("run/images");
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
    node.host.run(&["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", "/run/images/child.qcow2", "1M"]);
    node.host.run(&["chmod", "644", "/run/images/child.qcow2"]);
    for (url, format, code) in [
        ("file:///etc/passwd", "raw", 10003),
        ("file:///run/images/../../etc/passwd", "raw", 10003),
        ("file:///run/images/%2e%2e/%2e%2e/etc/passwd", "raw", 10003),
        ("file:///run/images/link", "raw", 14013),
        ("file:///run/images/absent", "raw", 14013),
        ("file:///run/images/child.qcow2", "qcow2", 14012),
        ("file:///run/images/demo.qcow2", "raw", 14012),
        ("file:///run/images/demo.qcow2", "iso", 14012),
        ("file:///run/images/vmlinuz", "initrd", 14012),
        ("http://127.0.0.1:9/a", "raw", 10003),
        ("http://169.254.169.254/a", "raw", 10003),
    ] {
        let body = json!({"image_name": "x", "url": url, "format": format});
        let answer = create_image(&node, body).await.refused(code);
        assert!(!answer.0["message_cn"].as_str().unwrap().is_ascii(), "{url}: {}", answer.0);
    }
    assert_eq!(node.client.get("/v1/image/list").await.ok()["total_count"], 0);
    assert_eq!(image_files(&node), "");
}

#[tokio::test]
async fn a_vm_boots_from_a_disc_that_cannot_be_deleted_while_it_does() {
    let node = Node::start().await;
    std::fs::write(node.host.directory.join("run/images/disc.iso"), disc("hello from the disc\r\n")).unwrap();
    let body = json!({"image_name": "disc", "url": "file:///run/images/disc.iso", "format": "iso"});
    let image = create_image(&node, body).await.ok()["image"]["image_uuid"].clone();
    let body = json!({
        "vm_name": "installer", "cpu_cores": 1, "memory_size": 64 << 20, "image_uuid": image, "storage_size": 64 << 20, "interfaces": [],
    });
    let vm = node.client.post("/v1/vm/create", body).await.ok()["vm"].clone();
    let vm_uuid = vm["vm_uuid"].as_str().unwrap();
    assert_eq!((&vm["usds"][0]["storage_size"], &vm["usds"][0]["is_root"]), (&json!(64 << 20), &json!(true)));
    node.wait_for_console(vm_uuid, "hello from the disc").await;
    let xml = node.host.virsh(&["dumpxml", "installer"]);
    assert!(xml.contains("device='cdrom'") && xml.contains("<readonly/>"), "{xml}");
    node.client.post("/v1/image/delete", json!({"image_uuid": image})).await.refused(14015);
    node.client.post("/v1/vm/delete", json!({"vm_uuid": vm_uuid, "force": true})).await.ok();
    node.client.post("/v1/image/delete", json!({"image_uuid": image})).await.ok();
    node.assert_nothing_is_left();
    assert_eq!(image_files(&node), "");
}

#[tokio::test]
async fn a_kept_disk_becomes_the_root_disk_of_another_vm_and_outlives_it_too() {
    let (node, uuids) = Node::with_images().await;
    let mut body = light_vm(&uuids, "first");
    body["interfaces"] = json!([]);
    body["usds"] = json!([{"usd_name": "kept", "storage_size": 64 << 20}]);
    let first = node.client.post("/v1/vm/create", body).await.ok()["vm"].clone();
    let usd = first["usds"].as_array().unwrap().iter().find(|usd| usd["usd_name"] == "kept").unwrap()["usd_uuid"].clone();
    let inspect = format!("/v1/usd/inspect?usd_uuid={}", usd.as_str().unwrap());
    let mut delete = json!({"vm_uuid": first["vm_uuid"], "force": true});
    node.client.post("/v1/vm/delete", delete.clone()).await.ok();
    for name in ["second", "third"] {
        assert_eq!(node.client.get(&inspect).await.ok()["usd"]["status"], "available");
        let body = json!({"vm_name": name, "cpu_cores": 1, "memory_size": 64 << 20, "root_usd_uuid": usd, "interfaces": []});
        let vm = node.client.post("/v1/vm/create", body.clone()).await.ok()["vm"].clone();
        let view = node.client.get(&inspect).await.ok()["usd"].clone();
        assert_eq!((&view["status"], &view["is_root"], &view["vm_name"]), (&json!("in_use"), &json!(true), &json!(name)));
        node.client.post("/v1/usd/delete", json!({"usd_uuid": usd})).await.refused(16002);
        let mut rival = body;
        rival["vm_name"] = json!("rival");
        node.client.post("/v1/vm/create", rival).await.refused(16002);
        delete["vm_uuid"] = vm["vm_uuid"].clone();
        node.client.post("/v1/vm/delete", delete.clone()).await.ok();
    }
    node.client.post("/v1/usd/delete", json!({"usd_uuid": usd})).await.ok();
    node.client.get(&inspect).await.refused(16000);
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn what_cloud_init_is_told_stands_on_its_disk_and_nowhere_else() {
    let (node, uuids) = Node::with_images().await;
    let mut body = light_vm(&uuids, "told");
    body["interfaces"] = json!([]);
    body["start"] = json!(false);
    body["password"] = json!(SECRET);
    body["ssh_key"] = json!("ssh-ed25519 AAAA somebody@somewhere\n");
    let created = node.client.post("/v1/vm/create", body).await.ok();
    let vm_uuid = created["vm"]["vm_uuid"].as_str().unwrap();
    let disk = std::fs::read(node.host.directory.join(format!("hvnode/state/volumes/{vm_uuid}-seed.img"))).unwrap();
    let disk = String::from_utf8_lossy(&disk).into_owned();
    for text in ["CIDATA", "#cloud-config", SECRET, "\"ssh-ed25519 AAAA somebody@somewhere\"", vm_uuid] {
        assert!(disk.contains(text), "{text}");
    }
    let log = node.client.get("/v1/operation_log/list").await.ok();
    let jobs = node.client.get("/v1/job/list").await.ok();
    let domain = node.host.virsh(&["dumpxml", "told"]);
    let stored = node.host.run(&["sh", "-c", "cat /var/lib/hvnode/state.db*  | tr -d '\\0'"]);
    for place in [created.to_string(), log.to_string(), jobs.to_string(), domain, node.log(), stored] {
        assert!(!place.contains(SECRET));
    }
    node.client.post("/v1/vm/delete", json!({"vm_uuid": vm_uuid})).await.ok();
    node.assert_nothing_is_left();
}

// ---- a disc that boots -----------------------------------------------------------------------------------------------------------------

const SECTOR: usize = 2048;

/// An ISO 9660 disc with an El Torito boot program that prints `text` to the first serial port and stops.
fn disc(text: &str) -> Vec<u8> {
    let mut disc = vec![0; 22 * SECTOR];
    let mut put = |at: usize, bytes: &[u8]| disc[at..at + bytes.len()].copy_from_slice(bytes);
    let volume = 16 * SECTOR;
    put(volume, b"\x01CD001\x01");
    put(volume + 80, &both_ends(22));
    put(volume + 128, &[0, 8, 8, 0]);
    put(volume + 156, &root_record());
    put(volume + 881, &[1]);
    put(17 * SECTOR, b"\x00CD001\x01EL TORITO SPECIFICATION");
    put(17 * SECTOR + 71, &19_u32.to_le_bytes());
    put(18 * SECTOR, b"\xffCD001\x01");
    let catalog = 19 * SECTOR;
    // Validation entry: the sum of its 16-bit words is zero.
    put(catalog, &[1]);
    put(catalog + 28, &[0xaa, 0x55, 0x55, 0xaa]);
    // Boot entry: no emulation, four 512-byte sectors from sector 21.
    put(catalog + 32, &[0x88, 0, 0, 0, 0, 0, 4, 0, 21]);
    put(20 * SECTOR, &root_record());
    put(21 * SECTOR, &boot_program(text));
    disc
}

fn both_ends(number: u32) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

/// The directory record of the root directory, in sector 20.
fn root_record() -> Vec<u8> {
    [&[34, 0][..], &both_ends(20), &both_ends(2048), &[0; 7], &[2, 0, 0, 1, 0, 0, 1, 1, 0]].concat()
}

fn boot_program(text: &str) -> Vec<u8> {
    let code = [
        &[0x0e, 0x1f][..],         // ds = cs
        &[0xe8, 0x00, 0x00],       // si = address of the next instruction
        &[0x5e],                   //
        &[0x83, 0xc6, 31, 0xfc],   // si += distance of the text; forward
        &[0xac, 0x84, 0xc0],       // next: al = *si++; is it the end?
        &[0x74, 18],               //   stop
        &[0x88, 0xc3],             //   keep it
        &[0xba, 0xfd, 0x03],       //   line status register
        &[0xec, 0xa8, 0x20],       // wait: may we send?
        &[0x74, 0xfb],             //   not yet: wait
        &[0x88, 0xd8],             //
        &[0xba, 0xf8, 0x03, 0xee], //   send
        &[0xeb, 0xe9],             //   next
        &[0xf4, 0xeb, 0xfd],       // stop: for ever
    ]
    .concat();
    [&code[..], text.as_bytes(), b"\0"].concat()
}
