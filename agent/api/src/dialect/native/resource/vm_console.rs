//! Console of a VM: what its serial port said, where its screen is.

use super::super::call::Call;
use super::super::check;
use super::super::envelope::Data;
use hvnode_core::{Result, at, fail};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Lines where the caller does not say.
const LINE_COUNT_DEFAULT: u64 = 200;
/// Most lines of one answer.
const LINE_COUNT_MAX: u64 = 100_000;

/// Which VM, and how much.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ConsoleLogQuery {
    #[schema(format = Uuid)]
    vm_uuid: String,
    /// Last lines wanted.
    #[schema(minimum = 1, maximum = 100000, default = 200)]
    line_count: Option<u64>,
}

/// What the serial console said.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct ConsoleLog {
    /// The last lines, oldest first; at most 1 MiB.
    output: String,
}

pub(in super::super) async fn log(call: Call, query: ConsoleLogQuery) -> Result<Data> {
    let vm_uuid = check::uuid("vm_uuid", &query.vm_uuid)?;
    let lines = check::within("line_count", query.line_count.unwrap_or(LINE_COUNT_DEFAULT), 1, LINE_COUNT_MAX)?;
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let output = call.context.engine.console_log(vm_uuid, lines).await.map_err(at!())?;
    Data::of(&ConsoleLog { output })
}

/// Kinds of consoles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ConsoleType {
    Vnc,
    Spice,
    Serial,
}

impl ConsoleType {
    fn word(self) -> &'static str {
        match self {
            Self::Vnc => "vnc",
            Self::Spice => "spice",
            Self::Serial => "serial",
        }
    }
}

/// Which VM, and which console.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ConsoleQuery {
    #[schema(format = Uuid)]
    vm_uuid: String,
    /// The one the VM has if absent.
    console_type: Option<ConsoleType>,
}

/// Where a console is.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Console {
    /// vnc or spice.
    console_type: String,
    /// Empty where it is a unix socket.
    ip_address: String,
    /// 0 where it is a unix socket.
    port: u16,
    /// Null: none is needed on the host itself.
    password: Option<String>,
    /// `vnc://127.0.0.1:5900`, or `vnc+unix:///path`.
    url: String,
    /// Null: it does not expire.
    expire_time: Option<i64>,
}

pub(in super::super) async fn inspect(call: Call, query: ConsoleQuery) -> Result<Data> {
    let vm_uuid = check::uuid("vm_uuid", &query.vm_uuid)?;
    if query.console_type == Some(ConsoleType::Serial) {
        super::vm::find(&call.snapshot(), vm_uuid)?;
        return Err(fail!(VmConsoleUnavailable,
            "the serial console has no address, read it with /v1/vm/console/log"; "串口控制台没有地址，请使用 /v1/vm/console/log 读取"));
    }
    let display = call.context.engine.display(vm_uuid).await.map_err(at!())?;
    let kind = display.kind.clone();
    if query.console_type.is_some_and(|wanted| wanted.word() != kind) {
        return Err(fail!(VmConsoleUnavailable, "the VM has a {kind} console"; "该虚拟机的控制台类型为 {kind}"));
    }
    let url = if display.socket.is_empty() {
        format!("{kind}://{}:{}", display.ip_address, display.port)
    } else {
        format!("{kind}+unix://{}", display.socket)
    };
    let (ip_address, port) = (display.ip_address, display.port);
    Data::of(&InspectedConsole { console: Console { console_type: kind, ip_address, port, password: None, url, expire_time: None } })
}

#[derive(Debug, Serialize)]
struct InspectedConsole {
    console: Console,
}
