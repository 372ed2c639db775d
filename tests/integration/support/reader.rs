//! A reader of the event stream.

use super::{Node, PATIENCE};
use serde_json::Value;
use std::time::Instant;

/// A reader of events that remembers where it is.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    cursor: u64,
    pub(crate) events: Vec<Value>,
}

impl Reader {
    /// Reads until `is_enough` of all events so far.
    pub(crate) async fn read_until(&mut self, node: &Node, what: &str, is_enough: impl Fn(&[Value]) -> bool) {
        let start = Instant::now();
        while !is_enough(&self.events) {
            assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
            let path = format!("/v1/event/list?cursor={}&limit=3&wait_seconds=1", self.cursor);
            let page = node.client.get(&path).await.ok();
            assert_eq!(page["has_gap"], false, "{page:#}");
            self.cursor = page["next_cursor"].as_u64().unwrap();
            self.events.extend(page["list"].as_array().unwrap().iter().cloned());
        }
    }

    /// What the VM was told to be, one after the other: status, and why.
    pub(crate) fn told(&self, vm_uuid: &str) -> Vec<(String, String)> {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        self.of_vm(vm_uuid).map(|event| (word(&event["new"]), word(&event["reason"]))).collect()
    }

    /// Every event of the stream comes after the one before, and each of a VM begins where the last one ended.
    #[track_caller]
    pub(crate) fn assert_once_and_in_order(&self, vm_uuids: &[&str]) {
        let cursors: Vec<u64> = self.events.iter().map(|event| event["cursor"].as_u64().unwrap()).collect();
        assert!(cursors.windows(2).all(|pair| pair[0] < pair[1]), "{cursors:?}");
        for vm_uuid in vm_uuids {
            let told: Vec<&Value> = self.of_vm(vm_uuid).collect();
            assert!(told.windows(2).all(|pair| pair[0]["new"] == pair[1]["old"]), "{told:#?}");
        }
    }

    fn of_vm(&self, vm_uuid: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["kind"] == "vm_status" && event["resource_uuid"] == vm_uuid)
    }
}

/// How often the VM was told to be this.
pub(crate) fn times_told(events: &[Value], vm_uuid: &str, status: &str) -> usize {
    let is_it = |event: &&Value| event["kind"] == "vm_status" && event["resource_uuid"] == vm_uuid && event["new"] == status;
    events.iter().filter(is_it).count()
}

/// Was the VM told to be this?
pub(crate) fn is_told<'a>(vm_uuid: &'a str, status: &'a str) -> impl Fn(&[Value]) -> bool + 'a {
    move |events| times_told(events, vm_uuid, status) > 0
}
