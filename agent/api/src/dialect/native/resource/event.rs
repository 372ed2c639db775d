//! What happened on the node: `GET /v1/event/list`, and the one event as list and stream show it.

use super::super::call::Call;
use super::super::check::{self, SIZE_MAX};
use super::super::envelope::Data;
use super::kind_word;
use hvnode_core::model::Event;
use hvnode_core::{Result, at, fail};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use utoipa::ToSchema;
use uuid::Uuid;

/// Events of an answer where the caller does not say.
const LIMIT_DEFAULT: u64 = 100;
/// Most events of an answer.
const LIMIT_MAX: u64 = 1000;
/// Most seconds that an answer waits for an event.
const WAIT_SECONDS_MAX: u64 = 60;
/// Most answers that wait for an event at the same time: they hold a place of a read, and reads must go on.
pub(in super::super) const LONG_POLLS_MAX: usize = 64;

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(in super::super) struct EventView<'a> {
    /// Position in the stream: grows, is never used twice.
    cursor: u64,
    /// Unix seconds.
    time: i64,
    /// vm_status, vm_reboot, vm_management, image_status, job_status, hypervisor_connection, capacity or daemon. vm_reboot: a VM was reset
    /// and ran on, without anybody having asked for it here; the reason is guest_reboot or watchdog.
    kind: &'static str,
    /// What it is about: vm, image, …; null for the node itself.
    resource_type: Option<&'static str>,
    resource_uuid: Option<Uuid>,
    resource_name: &'a str,
    /// Word for what was before; empty where there was nothing. A vm_status with the reason host_restart may have running here and in
    /// `new`: the host was started again, and the VM with it.
    old: &'a str,
    /// Word for what is now; empty where it is gone.
    new: &'a str,
    /// Why, as a word; of a job, what it does.
    reason: &'a str,
    /// The job that did it, if one did.
    job_uuid: Option<Uuid>,
    /// The request that asked for it, if one did.
    request_id: Option<&'a str>,
}

impl<'a> EventView<'a> {
    pub(in super::super) fn of(event: &'a Event) -> Self {
        Self {
            cursor: event.cursor,
            time: event.time.seconds(),
            kind: event.kind.word(),
            resource_type: event.resource.map(|resource| kind_word(resource.kind)),
            resource_uuid: event.resource.map(|resource| resource.uuid),
            resource_name: &event.resource_name,
            old: &event.old,
            new: &event.new,
            reason: &event.reason,
            job_uuid: event.job_uuid,
            request_id: Some(event.request_id.as_str()).filter(|id| !id.is_empty()),
        }
    }
}

/// Which events.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct EventListQuery {
    /// Only events after this one: the `next_cursor` of the answer before. 0 for all that are kept.
    #[schema(maximum = 9_007_199_254_740_991_u64, default = 0)]
    cursor: Option<u64>,
    /// Most events of the answer.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// Where there is no event yet, wait so many seconds for one. At most 64 requests wait at the same time; others are refused with 10012.
    #[schema(maximum = 60, default = 0)]
    wait_seconds: Option<u64>,
}

/// Some events in order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventList)]
pub(in super::super) struct EventListData<'a> {
    /// How many this answer holds.
    total_count: u64,
    list: Vec<EventView<'a>>,
    /// Where to go on.
    next_cursor: u64,
    /// True where events after `cursor` are not kept any more, or `cursor` is not of this node: look at everything once, then go on.
    has_gap: bool,
}

pub(in super::super) async fn list(call: Call, query: EventListQuery) -> Result<Data> {
    let cursor = check::within("cursor", query.cursor.unwrap_or(0), 0, SIZE_MAX)?;
    let limit = check::within("limit", query.limit.unwrap_or(LIMIT_DEFAULT), 1, LIMIT_MAX)?;
    let wait = Duration::from_secs(check::within("wait_seconds", query.wait_seconds.unwrap_or(0), 0, WAIT_SECONDS_MAX)?);
    let _turn = if wait.is_zero() { None } else { Some(turn(&call)?) };
    let page = call.context.engine.events(cursor, usize::try_from(limit).unwrap_or(1), wait).await.map_err(at!())?;
    let list: Vec<_> = page.events.iter().map(|event| EventView::of(event)).collect();
    Data::of(&EventListData { total_count: list.len() as u64, list, next_cursor: page.next_cursor, has_gap: page.has_gap })
}

/// A place among those who wait for an event.
fn turn(call: &Call) -> Result<SemaphorePermit<'_>> {
    call.long_polls.try_acquire().map_err(|_| {
        fail!(TooManyRequests, "{LONG_POLLS_MAX} requests wait for events already, try again later"; "已有 {LONG_POLLS_MAX} 个请求在等待事件, 请稍后重试")
    })
}

/// Where to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct EventStreamQuery {
    /// Only events after this one; the header Last-Event-ID goes before it. Without either the stream begins now.
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub(in super::super) cursor: Option<u64>,
}
