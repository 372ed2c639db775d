//! Reads from memory against bare hyper with the same bytes and threads; OpenStack's list against the native one.

use crate::daemon::{Daemon, Floor, text_of};
use crate::http::{Address, Connection, Native, get, header, post};
use crate::load::{latency, throughput};
use crate::process::{Split, cpu_time};
use crate::report::{Row, Samples, Target};
use crate::{Outcome, Settings};
use serde_json::json;
use std::time::Duration;

/// VMs of the node that is read from.
const VMS: usize = 1000;
/// VMs that the OpenStack client lists.
const OPENSTACK_VMS: usize = 500;
/// Connections that ask at the same time.
const CONNECTIONS: usize = 16;

/// Every row of this group.
pub(crate) fn measure(settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
    let split = Split::of_this_machine();
    let folder = settings.folder("reads")?;
    let daemon = Daemon::simulated(&settings.daemon, &folder, &split.server_list())?;
    let uuids = daemon.fill(0, OPENSTACK_VMS)?;
    openstack_list(settings, &daemon, &uuids[0], rows)?;
    daemon.fill(OPENSTACK_VMS, VMS)?;
    let token = log_in(&daemon)?;
    let one = format!("/v1/vm/inspect?vm_uuid={}", uuids[0]);
    compare(settings, &daemon, &split, &Subject { name: "GET one VM", path: &one, token: &token }, rows)?;
    after_a_change(settings, &daemon, &one, &uuids[0], rows)?;
    let list = "/v1/vm/list?page_size=1000";
    compare(settings, &daemon, &split, &Subject { name: "GET list of 1000 VMs", path: list, token: &token }, rows)
}

fn log_in(daemon: &Daemon) -> Outcome<String> {
    let body = json!({"user_name": "admin", "password": daemon.password()?});
    Ok(text_of(&Native::open(&daemon.native())?.post("/v1/user/login", &body)?["token"]))
}

struct Subject<'a> {
    name: &'a str,
    path: &'a str,
    token: &'a str,
}

/// Throughput over both kinds of socket, ours and the floor's by turns, and what a request costs the server.
fn compare(settings: &Settings, daemon: &Daemon, split: &Split, subject: &Subject<'_>, rows: &mut Vec<Row>) -> Outcome<()> {
    let request = get(subject.path, &format!("Authorization: {}\r\n", subject.token));
    let body = Connection::open(&daemon.native())?.exchange(&request)?.body.to_vec();
    let folder = settings.folder("reads")?;
    let floor = Floor::start(&settings.program("floor-http")?, &folder, "floor", &body, &split.server_list(), split.server_threads())?;
    let (window, rounds) = if settings.is_quick { (Duration::from_millis(600), 3) } else { (Duration::from_secs(2), 7) };
    for (socket, ours, theirs) in [("TCP", daemon.native_tcp(), &floor.tcp), ("unix", daemon.native(), &floor.unix)] {
        let mut figures = [Samples::default(), Samples::default()];
        let mut costs = [Samples::default(), Samples::default()];
        for _ in 0..rounds {
            for (index, (address, pid)) in [(&ours, daemon.pid()), (theirs, floor.pid())].into_iter().enumerate() {
                let before = cpu_time(pid)?;
                let rate = throughput(address, &request, CONNECTIONS, window, &split.load)?;
                costs[index].push((cpu_time(pid)? - before).as_secs_f64() * 1e6 / (rate * window.as_secs_f64()));
                figures[index].push(rate);
            }
        }
        let note = format!("{} bytes, {CONNECTIONS} connections, server and load on processors of their own", body.len());
        let [ours, theirs] = figures;
        rows.push(Row::new(format!("{}, {socket}", subject.name), "1/s", ours).floor(theirs).target(Target::RatioAtLeast(0.8)).note(note));
        let [ours, theirs] = costs;
        rows.push(Row::new(format!("{}, {socket}: processor time", subject.name), "us", ours).floor(theirs));
    }
    Ok(())
}

/// One request for a VM whose answer must be encoded, against the next one, which is answered from the cache.
fn after_a_change(settings: &Settings, daemon: &Daemon, path: &str, vm_uuid: &str, rows: &mut Vec<Row>) -> Outcome<()> {
    let mut native = Native::open(&daemon.native())?;
    let mut connection = Connection::open(&daemon.native())?;
    let request = get(path, "");
    let (mut encoded, mut kept) = (Samples::default(), Samples::default());
    for round in 0..if settings.is_quick { 30 } else { 300 } {
        native.post("/v1/vm/update", &json!({"vm_uuid": vm_uuid, "description": format!("round {round}"), "wait_seconds": 60}))?;
        encoded.push(latency(&mut connection, &request, 1)?.median() * 1e3);
        kept.push(latency(&mut connection, &request, 1)?.median() * 1e3);
    }
    let row = Row::new("GET one VM after a change, alone", "us", encoded).floor(kept);
    rows.push(row.note("encoded anew; floor: the next request for it, whose answer is kept as long as the picture stays the same"));
    Ok(())
}

/// What `openstack server list` asks for, against the native list of the same VMs, neither from a cache.
fn openstack_list(settings: &Settings, daemon: &Daemon, vm_uuid: &str, rows: &mut Vec<Row>) -> Outcome<()> {
    let rounds = if settings.is_quick { 15 } else { 50 };
    let headers = format!("X-Auth-Token: {}\r\n", openstack_token(daemon)?);
    let mut native = Native::open(&daemon.native())?;
    let mut over_unix = Connection::open(&daemon.native())?;
    let mut over_tcp = Connection::open(&daemon.openstack())?;
    let native_list = get("/v1/vm/list?page_size=0", "");
    let servers = get("/compute/v2.1/servers/detail?deleted=False", &headers);
    let others = [get("/image/v2/images", &headers), get("/compute/v2.1/flavors/detail?is_public=None", &headers)];
    let (mut detail, mut whole, mut floor) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..rounds {
        // A change, so that no list is answered from the last one.
        native.post("/v1/vm/update", &json!({"vm_uuid": vm_uuid, "description": format!("round {round}"), "wait_seconds": 60}))?;
        floor.push(latency(&mut over_unix, &native_list, 1)?.median());
        let servers = latency(&mut over_tcp, &servers, 1)?.median();
        let mut sum = servers;
        for request in &others {
            sum += latency(&mut over_tcp, request, 1)?.median();
        }
        detail.push(servers);
        whole.push(sum);
    }
    let name = format!("OpenStack: servers/detail of {OPENSTACK_VMS} VMs");
    let note = "floor: the native list of the same VMs, not from its cache";
    rows.push(Row::new(name, "ms", detail).floor(floor.clone()).target(Target::RatioAtMost(3.0)).note(note));
    let name = format!("OpenStack: server list of {OPENSTACK_VMS} VMs, with images and flavors");
    rows.push(Row::new(name, "ms", whole).floor(floor).target(Target::RatioAtMost(3.0)).note(note));
    Ok(())
}

fn openstack_token(daemon: &Daemon) -> Outcome<String> {
    let user = json!({"name": "admin", "password": daemon.password()?, "domain": {"id": "default"}});
    let scope = json!({"project": {"name": "admin", "domain": {"id": "default"}}});
    let body = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}});
    let address: Address = daemon.openstack();
    let mut connection = Connection::open(&address)?;
    let reply = connection.exchange(&post("/identity/v3/auth/tokens", "", &body))?;
    let words = String::from_utf8_lossy(reply.body).into_owned();
    Ok(header(reply.head, "x-subject-token").ok_or_else(|| format!("no token: HTTP {} {words}", reply.status))?.to_owned())
}
