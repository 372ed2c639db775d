//! `POST /servers/{id}/action`: one table of what can be done to a server.

use super::super::auth;
use super::super::call::{Call, Outcome, Reply};
use super::super::change;
use super::super::decode::Fields;
use super::super::errors::Fault;
use super::super::state::ServerState;
use super::super::version::since;
use super::servers::{in_the_way, remove};
use super::{console, find, flavors};
use crate::access::Access;
use crate::dialect::Offered;
use futures_util::future::BoxFuture;
use hvnode_core::model::{VerbKind, Vm, VmStatus};
use hvnode_core::verb::{ChangeInput, RebootVmInput, ResizeVmInput, Shape, StopVmInput, UpdateVmInput, VmOnlyInput};
use serde_json::Value;
use std::sync::Arc;

/// A request to do one thing to one server.
struct Act {
    call: Call,
    vm: Arc<Vm>,
    name: &'static str,
    argument: Value,
}

type Run = fn(Act) -> BoxFuture<'static, Outcome>;

struct Action {
    name: &'static str,
    verbs: &'static [VerbKind],
    /// Who may do it.
    access: Access,
    summary: &'static str,
    /// None: this node does not do it.
    run: Option<Run>,
}

const fn action(name: &'static str, verbs: &'static [VerbKind], summary: &'static str, run: Run) -> Action {
    Action { name, verbs, access: Access::Change, summary, run: Some(run) }
}

const fn not_built(name: &'static str, summary: &'static str) -> Action {
    Action { name, verbs: &[], access: Access::Change, summary, run: None }
}

/// Every action.
const ACTIONS: &[Action] = &[
    action("os-start", &[VerbKind::StartVm], "Switch a server on", |act| Box::pin(act.plain(&["stopped"], ChangeInput::StartVm))),
    action("os-stop", &[VerbKind::StopVm], "Ask a server's guest to shut down, and switch it off if it takes too long", |act| {
        Box::pin(act.stop())
    }),
    action("reboot", &[VerbKind::RebootVm, VerbKind::ResetVm], "Restart a server through its guest, or reset it", |act| {
        Box::pin(act.reboot())
    }),
    action("pause", &[VerbKind::PauseVm], "Hold a server's processors", |act| Box::pin(act.plain(&["active"], ChangeInput::PauseVm))),
    action("unpause", &[VerbKind::ResumeVm], "Let them run", |act| Box::pin(act.plain(&["paused"], ChangeInput::ResumeVm))),
    action("resume", &[VerbKind::StartVm], "Start a server from its saved memory", |act| {
        Box::pin(act.plain(&["suspended"], ChangeInput::StartVm))
    }),
    action("lock", &[VerbKind::UpdateVm], "Refuse stop, resize and delete", |act| Box::pin(act.lock(true))),
    action("unlock", &[VerbKind::UpdateVm], "Allow them again", |act| Box::pin(act.lock(false))),
    action("forceDelete", &[VerbKind::DeleteVm], "Remove a server", |act| Box::pin(act.delete())),
    action("resize", &[VerbKind::ResizeVm], "Give a server another flavor", |act| Box::pin(act.resize())),
    action("confirmResize", &[VerbKind::ConfirmResize], "Give up the way back from a resize", |act| Box::pin(act.confirm())),
    action("revertResize", &[VerbKind::RevertResize], "Go back to the flavor from before", |act| {
        Box::pin(act.plain(&["resized"], ChangeInput::RevertResize))
    }),
    Action {
        access: Access::Console,
        ..action("os-getConsoleOutput", &[], "What the serial console said", |act| Box::pin(act.console_output()))
    },
    Action {
        access: Access::Console,
        ..action("os-getVNCConsole", &[], "Where the screen is; before 2.6", |act| Box::pin(act.vnc_console()))
    },
    not_built("os-getSPICEConsole", "Screens are VNC here"),
    not_built("os-getSerialConsole", "The serial console is read with os-getConsoleOutput"),
    not_built("suspend", "Save a server's memory to disk"),
    not_built("createImage", "Make an image of a server"),
    not_built("createBackup", "Make an image of a server now and then"),
    not_built("rebuild", "Give a server a new disk from an image"),
    not_built("rescue", "Boot a server from a rescue image"),
    not_built("unrescue", "End that"),
    not_built("changePassword", "Set the password in a running guest"),
    not_built("shelve", "Put a server away"),
    not_built("unshelve", "Take it back"),
    not_built("shelveOffload", "Put it further away"),
    not_built("restore", "Take back a soft delete"),
    not_built("os-resetState", "Say that a server is in another state"),
    not_built("resetNetwork", "Nothing to reset"),
    not_built("injectNetworkInfo", "Nothing to inject"),
    not_built("addSecurityGroup", "Security groups"),
    not_built("removeSecurityGroup", "Security groups"),
    not_built("addFixedIp", "More addresses"),
    not_built("removeFixedIp", "Fewer addresses"),
    not_built("addFloatingIp", "Floating addresses"),
    not_built("removeFloatingIp", "Floating addresses"),
    not_built("trigger_crash_dump", "Crash a guest for its dump"),
    not_built("os-migrateLive", "There is no other host"),
    not_built("migrate", "There is no other host"),
    not_built("evacuate", "There is no other host"),
];

/// The names of the actions, who may do them, and whether this node does them.
pub(in super::super) fn names() -> impl Iterator<Item = (&'static str, Access, bool)> {
    ACTIONS.iter().map(|action| (action.name, action.access, action.run.is_some()))
}

/// Name, what it does and the verbs behind it, of each action; none of the last where this node does not do it.
pub(in super::super) fn shown() -> impl Iterator<Item = (&'static str, &'static str, Option<Vec<&'static str>>)> {
    let verbs = |action: &Action| action.run.map(|_| action.verbs.iter().map(|verb| verb.word()).collect());
    ACTIONS.iter().map(move |action| (action.name, action.summary, verbs(action)))
}

/// The actions, for the table of what is offered.
pub(in super::super) fn offered() -> impl Iterator<Item = Offered> {
    ACTIONS.iter().flat_map(|action| {
        let Action { name, verbs, summary, access, run } = *action;
        let verbs: Vec<Option<VerbKind>> = if verbs.is_empty() { vec![None] } else { verbs.iter().copied().map(Some).collect() };
        verbs.into_iter().map(move |verb| Offered { method: "POST", path: name, verb, is_built: run.is_some(), access, summary })
    })
}

pub(in super::super) async fn run(mut call: Call) -> Outcome {
    let vm = find(&call, &call.snapshot())?.clone();
    let body = call.body.as_object().filter(|object| object.len() == 1);
    let (name, argument) =
        body.and_then(|object| object.iter().next()).ok_or_else(|| Fault::bad_request("The body must name one action."))?;
    let known = ACTIONS.iter().find(|action| action.name == name).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        Fault::bad_request(format!("There is no such action: {shown}"))
    })?;
    let argument = argument.clone();
    call.action = format!("{} {}", call.action, known.name);
    let note = (known.access == Access::Change).then(|| change::Note::of(&call));
    let context = call.shared.context.clone();
    let outcome = match (auth::check(known.access, &call.caller), known.run) {
        (Err(fault), _) => Err(fault),
        (Ok(()), Some(run)) => run(Act { call, vm, name: known.name, argument }).await,
        (Ok(()), None) => Err(refusal(known.name)),
    };
    let refused = outcome.as_ref().err().filter(|fault| !fault.is_recorded).map(Fault::as_error);
    if let (Some(note), Some(error)) = (note, refused) {
        note.record(&context, Some(&error)).await;
    }
    outcome
}

/// What this node does not do, in Nova's words.
fn refusal(name: &str) -> Fault {
    match name {
        "os-migrateLive" | "migrate" | "evacuate" => Fault::bad_request("No valid host was found. There is no other host."),
        _ => Fault::not_implemented(&format!("The action '{name}'")),
    }
}

impl Act {
    /// A change that needs to know only which server; the API allows it in these states, the engine has the last word.
    async fn plain(self, states: &[&str], change: fn(VmOnlyInput) -> ChangeInput) -> Outcome {
        self.check_no_argument()?;
        self.check_state(states)?;
        let change = change(VmOnlyInput { vm_uuid: self.vm.uuid() });
        self.submit(change).await
    }

    fn check_no_argument(&self) -> Result<(), Fault> {
        match &self.argument {
            Value::Null => Ok(()),
            Value::Object(object) if object.is_empty() => Ok(()),
            _ => Err(Fault::bad_request(format!("Invalid input for field/attribute {}. It takes null.", self.name))),
        }
    }

    fn check_state(&self, states: &[&str]) -> Result<(), Fault> {
        let state = ServerState::of(&self.vm);
        if states.contains(&state.vm_state) {
            return Ok(());
        }
        let (name, uuid) = (self.name, self.vm.uuid());
        Err(Fault::new(409, format!("Cannot '{name}' instance {uuid} while it is in vm_state {}", state.vm_state)))
    }

    async fn submit(self, change: ChangeInput) -> Outcome {
        match self.call.submit(change).await {
            Ok(_) => Ok(Reply::empty(202)),
            Err(fault) => Err(self.reworded(fault)),
        }
    }

    /// With the state as it is now: it may have changed since the request was read.
    fn reworded(&self, fault: Fault) -> Fault {
        let (snapshot, uuid) = (self.call.snapshot(), self.vm.uuid());
        let vm = snapshot.vms.get(&uuid).unwrap_or(&self.vm);
        in_the_way(fault, self.name, uuid, vm)
    }

    async fn stop(self) -> Outcome {
        self.check_no_argument()?;
        self.check_state(&["active", "error"])?;
        let change = ChangeInput::StopVm(StopVmInput { vm_uuid: self.vm.uuid(), is_forced: false, timeout_seconds: None });
        self.submit(change).await
    }

    async fn reboot(self) -> Outcome {
        let mut fields = Fields::of("reboot", &self.argument)?;
        let kind = fields.required("type")?.to_ascii_uppercase();
        let wrong = fields.wrong("type", "is not one of ['HARD', 'SOFT']");
        fields.end()?;
        let vm_uuid = self.vm.uuid();
        let change = match kind.as_str() {
            "SOFT" => {
                self.check_state(&["active"])?;
                ChangeInput::RebootVm(RebootVmInput { vm_uuid, is_forced: false })
            }
            // A hard reboot of what is off switches it on.
            "HARD" if matches!(self.vm.status, VmStatus::Stopped | VmStatus::Crashed | VmStatus::Suspended) => {
                ChangeInput::StartVm(VmOnlyInput { vm_uuid })
            }
            "HARD" => ChangeInput::ResetVm(VmOnlyInput { vm_uuid }),
            _ => return Err(wrong),
        };
        self.submit(change).await
    }

    async fn lock(self, locked: bool) -> Outcome {
        let change = UpdateVmInput { vm_uuid: self.vm.uuid(), locked: Some(locked), ..UpdateVmInput::default() };
        match self.call.submit_and_wait(ChangeInput::UpdateVm(change)).await {
            Ok(_) => Ok(Reply::empty(202)),
            Err(fault) => Err(self.reworded(fault)),
        }
    }

    async fn delete(self) -> Outcome {
        self.check_no_argument()?;
        remove(&self.call).await?;
        Ok(Reply::empty(202))
    }

    async fn resize(self) -> Outcome {
        let mut fields = Fields::of("resize", &self.argument)?;
        let id = fields.required("flavorRef")?;
        fields.ignore(&["OS-DCF:diskConfig"]);
        let shape = flavors::shape(&self.call.shared.context.records, &self.call.snapshot(), id.rsplit('/').next().unwrap_or(id));
        fields.end()?;
        let (specification_uuid, cpu_cores, memory_bytes) = match shape {
            Some(Shape::Specification(uuid)) => (Some(uuid), None, None),
            Some(Shape::Custom { cpu_cores, memory_bytes }) => (None, Some(cpu_cores), Some(memory_bytes)),
            None => return Err(Fault::bad_request("Flavor could not be found.")),
        };
        let own = self.vm.record.as_ref().and_then(|record| record.specification.as_ref()).map(|named| named.uuid);
        if own.is_some() && own == specification_uuid {
            return Err(Fault::bad_request("When resizing, instances must change flavor!"));
        }
        self.check_state(&["active", "stopped"])?;
        let vm_uuid = self.vm.uuid();
        let change = ResizeVmInput { vm_uuid, specification_uuid, cpu_cores, memory_bytes, is_restarting: true, keeps_previous: true };
        self.submit(ChangeInput::ResizeVm(change)).await
    }

    async fn confirm(self) -> Outcome {
        self.check_no_argument()?;
        self.check_state(&["resized"])?;
        let change = ChangeInput::ConfirmResize(VmOnlyInput { vm_uuid: self.vm.uuid() });
        match self.call.submit_and_wait(change).await {
            Ok(_) => Ok(Reply::empty(204)),
            Err(fault) => Err(self.reworded(fault)),
        }
    }

    async fn console_output(self) -> Outcome {
        console::output(&self.call, self.vm.uuid(), &self.argument).await
    }

    async fn vnc_console(self) -> Outcome {
        if self.call.version >= since::REMOTE_CONSOLES {
            return Err(Fault::not_found("The resource could not be found."));
        }
        console::vnc(&self.call, &self.vm, &self.argument).await
    }
}
