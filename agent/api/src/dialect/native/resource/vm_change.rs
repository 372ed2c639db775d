//! Changes of a VM that exists.

use super::super::change::ChangeBody;
use super::super::check;
use super::{Resource, VM};
use hvnode_core::model::VerbKind;
use hvnode_core::verb::{ChangeInput, DeleteVmInput, RebootVmInput, ResizeVmInput, StopVmInput, UpdateVmInput, VmOnlyInput};
use hvnode_core::{Result, fail};
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Most seconds a guest is given to shut down.
const STOP_SECONDS_MAX: u64 = 3600;

macro_rules! vm_only {
    ($($(#[doc = $doc:literal])* $name:ident $verb:ident;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(in super::super) struct $name {
            #[schema(format = Uuid)]
            vm_uuid: String,
            /// For the operation log only.
            #[serde(rename = "vm_name")]
            _vm_name: Option<String>,
        }

        impl ChangeBody for $name {
            const RESOURCE: &'static Resource = &VM;
            const VERB: VerbKind = VerbKind::$verb;

            fn into_change(self) -> Result<ChangeInput> {
                Ok(ChangeInput::$verb(VmOnlyInput { vm_uuid: check::uuid("vm_uuid", &self.vm_uuid)? }))
            }
        }
    )*};
}

pub(super) use vm_only;

vm_only! {
    /// Switch a VM on.
    StartVm StartVm;
    /// Press the reset button of a VM.
    ResetVm ResetVm;
    /// Hold the processors of a VM.
    PauseVm PauseVm;
    /// Let the processors of a paused VM run.
    ResumeVm ResumeVm;
    /// Give up the way back from a resize.
    ConfirmResize ConfirmResize;
    /// Go back to cpu and memory from before a resize; a VM that runs is restarted.
    RevertResize RevertResize;
}

/// Switch a VM off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct StopVm {
    #[schema(format = Uuid)]
    vm_uuid: String,
    /// For the operation log only.
    #[serde(rename = "vm_name")]
    _vm_name: Option<String>,
    /// Without asking the guest.
    #[schema(default = false)]
    force: Option<bool>,
    /// How long the guest may take before it is switched off without asking.
    #[schema(minimum = 1, maximum = 3600)]
    timeout_seconds: Option<u32>,
}

impl ChangeBody for StopVm {
    const RESOURCE: &'static Resource = &VM;
    const VERB: VerbKind = VerbKind::StopVm;

    fn into_change(self) -> Result<ChangeInput> {
        if let Some(seconds) = self.timeout_seconds {
            check::within("timeout_seconds", u64::from(seconds), 1, STOP_SECONDS_MAX)?;
        }
        Ok(ChangeInput::StopVm(StopVmInput {
            vm_uuid: check::uuid("vm_uuid", &self.vm_uuid)?,
            is_forced: self.force.unwrap_or(false),
            timeout_seconds: self.timeout_seconds,
        }))
    }
}

/// Restart a VM through its guest.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RebootVm {
    #[schema(format = Uuid)]
    vm_uuid: String,
    /// For the operation log only.
    #[serde(rename = "vm_name")]
    _vm_name: Option<String>,
    /// Reset instead of asking the guest.
    #[schema(default = false)]
    force: Option<bool>,
}

impl ChangeBody for RebootVm {
    const RESOURCE: &'static Resource = &VM;
    const VERB: VerbKind = VerbKind::RebootVm;

    fn into_change(self) -> Result<ChangeInput> {
        let vm_uuid = check::uuid("vm_uuid", &self.vm_uuid)?;
        Ok(ChangeInput::RebootVm(RebootVmInput { vm_uuid, is_forced: self.force.unwrap_or(false) }))
    }
}

/// Remove a VM and its root disk.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct DeleteVm {
    #[schema(format = Uuid)]
    vm_uuid: String,
    /// For the operation log only.
    #[serde(rename = "vm_name")]
    _vm_name: Option<String>,
    /// Switch it off at once. Without it, the guest of a VM that runs is asked to shut down and given a few seconds.
    #[schema(default = false)]
    force: Option<bool>,
    /// Remove its data disks too; otherwise they become available.
    #[schema(default = false)]
    delete_usd: Option<bool>,
    /// Days in the trash; 0 removes at once, absent takes the node's default.
    #[schema(maximum = 3650)]
    keep_days: Option<u32>,
}

impl ChangeBody for DeleteVm {
    const RESOURCE: &'static Resource = &VM;
    const VERB: VerbKind = VerbKind::DeleteVm;

    fn into_change(self) -> Result<ChangeInput> {
        Ok(ChangeInput::DeleteVm(DeleteVmInput {
            vm_uuid: check::uuid("vm_uuid", &self.vm_uuid)?,
            is_forced: self.force.unwrap_or(false),
            is_deleting_volumes: self.delete_usd.unwrap_or(false),
            keep_days: self.keep_days,
        }))
    }
}

/// Change what is said about a VM; absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct UpdateVm {
    #[schema(format = Uuid)]
    vm_uuid: String,
    /// For the operation log only.
    #[serde(rename = "vm_name")]
    _vm_name: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    new_name: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
    /// Start with the host.
    auto_start: Option<bool>,
    /// Refuse stop, resize and delete.
    locked: Option<bool>,
    /// Start again, after a growing pause, when its QEMU died.
    restart_on_crash: Option<bool>,
    /// Replaces all pairs.
    metadata: Option<BTreeMap<String, String>>,
}

impl ChangeBody for UpdateVm {
    const RESOURCE: &'static Resource = &VM;
    const VERB: VerbKind = VerbKind::UpdateVm;

    fn into_change(self) -> Result<ChangeInput> {
        let vm_uuid = check::uuid("vm_uuid", &self.vm_uuid)?;
        let is_empty = self.new_name.is_none() && self.description.is_none() && self.metadata.is_none();
        if is_empty && self.auto_start.is_none() && self.locked.is_none() && self.restart_on_crash.is_none() {
            return Err(fail!(ParameterMissing,
                "at least one of new_name, description, auto_start, locked, restart_on_crash, metadata";
                "new_name、description、auto_start、locked、restart_on_crash、metadata 至少一个"));
        }
        Ok(ChangeInput::UpdateVm(UpdateVmInput {
            vm_uuid,
            new_name: self.new_name.map(|name| check::name("new_name", name)).transpose()?,
            description: self.description.map(|text| check::description(Some(text))).transpose()?,
            auto_start: self.auto_start,
            locked: self.locked,
            restart_on_crash: self.restart_on_crash,
            metadata: self.metadata,
        }))
    }
}

/// Change cpu and memory of a VM.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ResizeVm {
    #[schema(format = Uuid)]
    vm_uuid: String,
    /// For the operation log only.
    #[serde(rename = "vm_name")]
    _vm_name: Option<String>,
    /// This, or `cpu_cores` and/or `memory_size`.
    #[schema(format = Uuid)]
    specification_uuid: Option<String>,
    /// For the operation log only.
    #[serde(rename = "specification_name")]
    _specification_name: Option<String>,
    #[schema(minimum = 1)]
    cpu_cores: Option<u32>,
    /// Bytes.
    #[schema(minimum = 1)]
    memory_size: Option<u64>,
    /// Restart it if it runs: its guest is asked to shut down, and switched off if it takes too long.
    #[schema(default = false)]
    restart: Option<bool>,
    /// Remember what it was, until the resize is confirmed or reverted.
    #[schema(default = false)]
    keep_previous: Option<bool>,
    /// While it runs. Only false in this version.
    #[schema(default = false)]
    live: Option<bool>,
}

impl ChangeBody for ResizeVm {
    const RESOURCE: &'static Resource = &VM;
    const VERB: VerbKind = VerbKind::ResizeVm;

    fn into_change(self) -> Result<ChangeInput> {
        let vm_uuid = check::uuid("vm_uuid", &self.vm_uuid)?;
        let specification_uuid = check::optional_uuid("specification_uuid", self.specification_uuid.as_deref())?;
        let has_own = self.cpu_cores.is_some() || self.memory_size.is_some();
        match (specification_uuid, has_own) {
            (Some(_), true) => return Err(check::exclusive("specification_uuid", "cpu_cores, memory_size")),
            (None, false) => {
                return Err(fail!(ParameterMissing,
                    "specification_uuid, or cpu_cores and/or memory_size"; "specification_uuid，或 cpu_cores 和/或 memory_size"));
            }
            _ => {}
        }
        if self.live == Some(true) {
            return Err(
                fail!(NotSupported, "live must be false: this version resizes with a restart"; "live 必须为 false: 当前版本须重启才能调整规格"),
            );
        }
        Ok(ChangeInput::ResizeVm(ResizeVmInput {
            vm_uuid,
            specification_uuid,
            cpu_cores: self.cpu_cores.map(|cores| check::cpu_cores("cpu_cores", cores)).transpose()?,
            memory_bytes: self.memory_size.map(|bytes| check::size("memory_size", bytes)).transpose()?,
            is_restarting: self.restart.unwrap_or(false),
            keeps_previous: self.keep_previous.unwrap_or(false),
        }))
    }
}
