//! What the frame's own tests share: an empty node, a frame around any router, a raw HTTP client.

pub(crate) mod authority;

use crate::accounts::{AccountChange, Accounts, AccountsConfig, NewToken};
use crate::context::FrameErrors;
use crate::frame::{Frame, FrameLimits, FrameParts, Routes, routes_of};
use crate::health::{Health, SnapshotSource};
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use axum::Router;
use axum::response::{IntoResponse, Response};
use hvnode_core::engine::Engine;
use hvnode_core::model::{ConnectionState, HostCapabilities, HostFacts, HostSettings, Role, Snapshot, Timestamp, VirtType};
use hvnode_core::port::{JobFilter, OperationFilter, Page, SortOrder};
use hvnode_core::{AgentError, ErrorCode};
use std::sync::Arc;
use std::time::Duration;

/// Answers as a dialect that says everything with HTTP 200.
pub(crate) struct NumberErrors;

impl FrameErrors for NumberErrors {
    fn respond(&self, error: &AgentError, request_id: &str) -> Response {
        let mut response = format!("{} {request_id}", error.code().number()).into_response();
        response.extensions_mut().insert(crate::context::ResultCode(error.code().number()));
        response
    }
}

/// A node with nothing on it that has not reached libvirt yet.
pub(crate) fn empty_snapshot() -> Snapshot {
    let facts = HostFacts {
        host_name: "node".into(),
        ip_address: "127.0.0.1".into(),
        kernel_version: "6.1".into(),
        boot_time: Timestamp(0),
        memory_bytes: 1 << 30,
    };
    Snapshot {
        vms: Default::default(),
        volumes: Default::default(),
        images: Default::default(),
        specifications: Default::default(),
        networks: Default::default(),
        open_jobs: Default::default(),
        leased_addresses: Default::default(),
        capabilities: None,
        facts: Arc::new(facts),
        event_drafts: Vec::new(),
        settings: Arc::new(HostSettings { description: String::new(), cpu_ratio: 1.0, memory_ratio: 1.0, reserved_memory_bytes: 0 }),
        pools: Arc::default(),
        connection: ConnectionState::Connecting,
        daemon_start_time: Timestamp(0),
        generation: 0,
    }
}

pub(crate) fn snapshot_source(snapshot: Snapshot) -> SnapshotSource {
    let snapshot = Arc::new(snapshot);
    Arc::new(move || snapshot.clone())
}

/// Parts of a frame for tests, with short times.
pub(crate) fn frame_parts(router: Router, limits: FrameLimits) -> FrameParts {
    parts_of(routes_of(router), limits)
}

fn parts_of(routes: Arc<dyn Routes>, limits: FrameLimits) -> FrameParts {
    FrameParts {
        dialect: "native",
        routes,
        errors: Arc::new(NumberErrors),
        limits: Arc::new(ArcSwap::from_pointee(limits)),
        metrics: Metrics::new("0.0.0").unwrap(),
        health: Health::new(snapshot_source(empty_snapshot())),
        is_logged_at_info: true,
        is_upload: |_, _| false,
    }
}

pub(crate) fn frame(router: Router, limits: FrameLimits) -> Arc<Frame> {
    frame_of(routes_of(router), limits)
}

pub(crate) fn frame_of(routes: Arc<dyn Routes>, limits: FrameLimits) -> Arc<Frame> {
    Frame::new(parts_of(routes, limits))
}

/// What libvirt says of a host that emulates.
pub(crate) fn capabilities() -> HostCapabilities {
    HostCapabilities {
        host_uuid: uuid::Uuid::from_u128(1),
        virt_type: VirtType::Qemu,
        emulation_reason: None,
        hypervisor_type: "QEMU".into(),
        hypervisor_version: "10.0.2".into(),
        libvirt_version: "11.3.0".into(),
        architecture: "x86_64".into(),
        cpu_model: "any".into(),
        cpu_sockets: 1,
        cpu_cores: 1,
        cpu_threads: 1,
        has_uefi: false,
        vcpus_max: 8,
    }
}

/// Longest wait for something that comes soon.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Asks again and again until there is an answer: what is waited for shows itself only to who asks.
pub(crate) async fn wait_for<T>(what: &str, timeout: Duration, ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(timeout, asking).await.unwrap_or_else(|_| panic!("{what}: not within {timeout:?}"))
}

/// Waits until the host and a VM have a point of usage.
pub(crate) async fn measured(engine: &Engine, vm_uuid: uuid::Uuid) {
    let ask = async || {
        let readings = engine.readings();
        (readings.vm_point(vm_uuid).is_some() && readings.host_point().is_some()).then_some(())
    };
    wait_for("samples of host and VM", SOON, ask).await;
}

/// Tokens that must open nothing in `dialect`: what each is, its text, and how it is refused. The absence of one is the caller's to try.
pub(crate) async fn bad_tokens(accounts: &Accounts, dialect: &str) -> Vec<(&'static str, String, ErrorCode)> {
    const PASSWORD: &str = "a long enough password";
    let other = if dialect == "native" { "openstack" } else { "native" };
    let new = |name: &str, dialect: &str| NewToken {
        token_name: name.into(),
        role: Role::Admin,
        dialects: vec![dialect.into()],
        lifetime: Some(Duration::from_secs(3600)),
    };
    let mallory = accounts.create_account("mallory", Role::Admin, PASSWORD).await.unwrap();
    let eve = accounts.create_account("eve", Role::Admin, PASSWORD).await.unwrap();
    let session = async |dialect: &str| accounts.log_in(dialect, "192.0.2.9", "mallory", PASSWORD).await.unwrap().token;
    let ended = session(dialect).await;
    accounts.log_out(dialect, &ended).await.unwrap();
    let (of_disabled, _) = accounts.create_token(eve.user_uuid, new("any", dialect)).await.unwrap();
    let of_ended_session = accounts.log_in(dialect, "192.0.2.9", "eve", PASSWORD).await.unwrap().token;
    accounts.change_account(eve.user_uuid, AccountChange { is_enabled: Some(false), ..Default::default() }).await.unwrap();
    let (foreign_api, _) = accounts.create_token(mallory.user_uuid, new("foreign", other)).await.unwrap();
    let (revoked, detail) = accounts.create_token(mallory.user_uuid, new("revoked", dialect)).await.unwrap();
    accounts.delete_token(detail.api.token_uuid, None).await.unwrap();
    let short = NewToken { lifetime: Some(Duration::from_nanos(1)), ..new("short", dialect) };
    let (short, _) = accounts.create_token(mallory.user_uuid, short).await.unwrap();
    let foreign = session(other).await;
    accounts.reconfigure(AccountsConfig { token_lifetime: Duration::ZERO, ..Default::default() });
    let expired = session(dialect).await;
    accounts.reconfigure(AccountsConfig::default());
    vec![
        ("nonsense", "nonsense".into(), ErrorCode::TokenInvalid),
        ("a session that was ended", ended, ErrorCode::TokenInvalid),
        ("the session of an account that was disabled", of_ended_session, ErrorCode::TokenInvalid),
        ("the API token of a disabled account", of_disabled, ErrorCode::UserDisabled),
        ("an API token for another dialect", foreign_api, ErrorCode::TokenInvalid),
        ("a revoked API token", revoked, ErrorCode::TokenInvalid),
        ("a session of another dialect", foreign, ErrorCode::TokenInvalid),
        ("an expired session", expired, ErrorCode::TokenExpired),
        ("an expired API token", short, ErrorCode::TokenExpired),
    ]
}

/// What refused requests must leave as it was, beside VMs: accounts, tokens, and how many rows of the operation log tell of a success.
pub(crate) async fn standing(engine: &Engine, accounts: &Accounts) -> String {
    let page = Page { offset: 0, limit: 1, order: SortOrder::Descending };
    let filter = OperationFilter { is_success: Some(true), ..OperationFilter::default() };
    let successes = engine.list_operations(filter, page).await.unwrap().total_count;
    let known: Vec<_> = accounts.list().iter().map(|a| (a.user_uuid, a.role, a.is_enabled, a.password_hash.clone())).collect();
    let jobs = engine.list_jobs(JobFilter::default(), page).await.unwrap().total_count;
    format!("{successes} {jobs} {known:?} {}", accounts.session_count())
}
