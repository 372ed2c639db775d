//! Tests on real files.

mod durability;
mod events;
mod listing;
mod model;
mod opening;

use crate::SqliteStore;
use hvnode_core::model::{
    Account, BootSource, Caller, Event, EventKind, Firmware, HostSettings, Image, ImageFormat, ImageStatus, Job, JobStatus, Operation,
    ResourceKey, ResourceType, Role, Specification, Timestamp, TokenRecord, VerbKind, VmOrigin, VmPhase, VmRecord, Volume, VolumeStatus,
};
use hvnode_core::port::{Page, SortOrder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use uuid::Uuid;

const ALL: Page = Page { offset: 0, limit: u64::MAX, order: SortOrder::Descending };

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    (folder, path)
}

fn store() -> (TempDir, Arc<SqliteStore>) {
    let (folder, path) = folder();
    (folder, SqliteStore::open(path).unwrap())
}

/// A file that belongs to the database at `path`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn time(seconds: u128) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(seconds).unwrap())
}

/// Created at second `number`; ended ones end then too.
fn job(number: u128, status: JobStatus) -> Job {
    Job {
        job_uuid: Uuid::from_u128(number),
        verb: VerbKind::StartVm,
        resource: ResourceKey { kind: ResourceType::Vm, uuid: Uuid::from_u128(1000) },
        resource_name: format!("vm {number}"),
        input: json!({"deep": [1, {"x": null}]}),
        caller: Caller::system(),
        request_uuid: None,
        request_hash: None,
        operation_uuid: Uuid::from_u128(number + 1),
        status,
        progress_percent: 3,
        steps: vec![],
        is_cancel_requested: false,
        is_after_restart: false,
        error: None,
        result: None,
        create_time: time(number),
        start_time: None,
        finish_time: status.is_ended().then_some(time(number)),
    }
}

fn operation(number: u128) -> Operation {
    Operation {
        operation_uuid: Uuid::from_u128(number),
        caller: Caller::system(),
        action: "/v1/vm/start".into(),
        resource_type: Some(ResourceType::Vm),
        resource_uuid: Some(Uuid::from_u128(1000)),
        resource_name: format!("vm {number}"),
        request: Value::Null,
        error: None,
        job_uuid: None,
        create_time: time(number),
        finish_time: None,
    }
}

fn vm(number: u128) -> VmRecord {
    VmRecord {
        vm_uuid: Uuid::from_u128(number),
        vm_name: format!("数据库 {number}"),
        domain_name: "d".into(),
        description: "a\nb".into(),
        cpu_cores: 1,
        memory_bytes: u64::MAX,
        specification: None,
        resized_from: None,
        image: None,
        tenant_uuid: Uuid::nil(),
        user_name: "u".into(),
        boot: BootSource::Kernel { kernel_path: "/k".into(), initrd_path: None, command_line: "console=ttyS0".into() },
        firmware: Firmware::Uefi,
        architecture: "x86_64".into(),
        auto_start: true,
        locked: false,
        restart_on_crash: false,
        has_seed: false,
        desired_power: hvnode_core::model::DesiredPower::On,
        expire_time: None,
        volumes: vec![Uuid::from_u128(7)],
        nics: vec![],
        metadata: BTreeMap::from([("k".into(), "v".into())]),
        origin: VmOrigin::Adopted,
        phase: VmPhase::Ready,
        create_time: time(1),
        update_time: time(2),
        start_time: None,
        error: Some(Box::new(hvnode_core::fail!(VmStartFailed, "no"; "不").record())),
    }
}

fn volume(number: u128) -> Volume {
    Volume {
        volume_uuid: Uuid::from_u128(number),
        volume_name: "root".into(),
        description: String::new(),
        status: VolumeStatus::InUse,
        storage_bytes: 1 << 30,
        format: "qcow2".into(),
        pool_name: "hvnode-volumes".into(),
        file_name: "a.qcow2".into(),
        path: "/a.qcow2".into(),
        image_uuid: None,
        is_root: true,
        vm_uuid: Some(Uuid::from_u128(1)),
        device: "vda".into(),
        bus: "virtio".into(),
        tenant_uuid: Uuid::nil(),
        create_time: time(1),
        update_time: time(1),
    }
}

fn image(number: u128) -> Image {
    Image {
        image_uuid: Uuid::from_u128(number),
        image_name: "debian".into(),
        description: String::new(),
        status: ImageStatus::Ready,
        format: ImageFormat::Qcow2,
        storage_bytes: 5,
        virtual_bytes: 6,
        checksum: "sha256:00".into(),
        firmware: None,
        os_type: String::new(),
        os_version: String::new(),
        architecture: "x86_64".into(),
        url: "http://images/a".into(),
        path: "/i".into(),
        create_time: time(1),
        update_time: time(1),
        error: None,
    }
}

fn specification(number: u128) -> Specification {
    Specification {
        specification_uuid: Uuid::from_u128(number),
        specification_name: "small".into(),
        description: String::new(),
        cpu_cores: 1,
        memory_bytes: 1 << 30,
        storage_bytes: 0,
        create_time: time(1),
    }
}

fn account(number: u128) -> Account {
    Account {
        user_uuid: Uuid::from_u128(number),
        user_name: format!("user{number}"),
        role: Role::Operator,
        password_hash: "$argon2id$".into(),
        create_time: time(1),
        is_enabled: true,
        update_time: None,
    }
}

/// Expires at second `number`.
fn token(number: u128, user: u128) -> TokenRecord {
    TokenRecord {
        token_hash: format!("{number:064x}"),
        user_uuid: Uuid::from_u128(user),
        dialect: "native".into(),
        create_time: time(0),
        expire_time: time(number),
        client_address: "192.0.2.1".into(),
        api: None,
    }
}

/// The VM's new status, at a second.
fn vm_event(vm: u128, new: &str, second: u128) -> Event {
    Event {
        cursor: 0,
        time: time(second),
        kind: EventKind::VmStatus,
        resource: Some(ResourceKey { kind: ResourceType::Vm, uuid: Uuid::from_u128(vm) }),
        resource_name: format!("数据库 {vm}"),
        old: "stopped".into(),
        new: new.into(),
        reason: "request".into(),
        job_uuid: Some(Uuid::from_u128(5)),
        request_id: "r".into(),
    }
}

fn settings(cpu_ratio: f64) -> HostSettings {
    HostSettings { description: "d".into(), cpu_ratio, memory_ratio: 1.5, reserved_memory_bytes: 1 }
}
