//! Consoles: what the serial port said, where the screen is.

use super::super::call::{Call, Outcome, Reply};
use super::super::decode::Fields;
use super::super::errors::Fault;
use super::find;
use super::servers::in_the_way;
use hvnode_core::model::Vm;
use serde_json::{Value, json};
use uuid::Uuid;

/// Most lines of one answer.
const LINES_MAX: i64 = 100_000;

pub(super) async fn output(call: &Call, vm_uuid: Uuid, argument: &Value) -> Outcome {
    let nothing = json!({});
    let mut fields = Fields::of("os-getConsoleOutput", if argument.is_null() { &nothing } else { argument })?;
    // -1 asks for all of it.
    let lines = fields.integer("length", -1, i64::MAX)?.filter(|lines| *lines >= 0).unwrap_or(LINES_MAX).min(LINES_MAX);
    fields.end()?;
    let output = call.shared.context.engine.console_log(vm_uuid, usize::try_from(lines).unwrap_or(0)).await?;
    Reply::ok(&json!({ "output": output }))
}

pub(super) async fn vnc(call: &Call, vm: &Vm, argument: &Value) -> Outcome {
    let mut fields = Fields::of("os-getVNCConsole", argument)?;
    let kind = fields.required("type")?;
    check_type(kind)?;
    fields.end()?;
    let url = screen(call, vm).await?;
    Reply::ok(&json!({ "console": { "type": kind, "url": url } }))
}

pub(in super::super) async fn remote(call: Call) -> Outcome {
    let vm = find(&call, &call.snapshot())?.clone();
    let mut fields = Fields::wrapped(&call.body, "remote_console", &[])?;
    let protocol = fields.required("protocol")?;
    let kind = fields.required("type")?;
    if protocol != "vnc" {
        return Err(fields.wrong("protocol", "is not one of ['vnc']: other consoles are not offered by this node"));
    }
    check_type(kind)?;
    fields.end()?;
    let url = screen(&call, &vm).await?;
    Reply::ok(&json!({ "remote_console": { "protocol": protocol, "type": kind, "url": url } }))
}

fn check_type(kind: &str) -> Result<(), Fault> {
    match kind {
        "novnc" | "xvpvnc" => Ok(()),
        _ => Err(Fault::bad_request("Invalid console type: this node has 'novnc' only.")),
    }
}

/// Where the screen is, as an address for a VNC viewer: there is no web page in front of it.
async fn screen(call: &Call, vm: &Vm) -> Result<String, Fault> {
    let display = call.shared.context.engine.display(vm.uuid()).await;
    let display = display.map_err(|error| in_the_way(error.into(), "get_vnc_console", vm.uuid(), vm))?;
    let kind = &display.kind;
    Ok(match display.socket.as_str() {
        "" => format!("{kind}://{}:{}", display.ip_address, display.port),
        socket => format!("{kind}+unix://{socket}"),
    })
}
