//! Taking over and giving up VMs; the trash.

use super::super::change::ChangeBody;
use super::super::check;
use super::vm_change::vm_only;
use super::{Resource, VM};
use hvnode_core::Result;
use hvnode_core::model::VerbKind;
use hvnode_core::verb::{AdoptVmInput, ChangeInput, VmOnlyInput};
use serde::Deserialize;
use utoipa::ToSchema;

vm_only! {
    /// Give up a VM: it runs on, unmanaged, with its disks.
    ReleaseVm ReleaseVm;
    /// Take a VM out of the trash.
    RecoverVm RecoverVm;
    /// Remove a VM that is in the trash, disks included.
    ExpungeVm ExpungeVm;
}

/// Take over an unmanaged VM as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct AdoptVm {
    #[schema(format = Uuid)]
    vm_uuid: String,
    /// For the operation log only.
    #[serde(rename = "vm_name")]
    _vm_name: Option<String>,
    /// Name it gets; its own one if absent.
    #[schema(min_length = 1, max_length = 128)]
    new_name: Option<String>,
}

impl ChangeBody for AdoptVm {
    const RESOURCE: &'static Resource = &VM;
    const VERB: VerbKind = VerbKind::AdoptVm;

    fn into_change(self) -> Result<ChangeInput> {
        Ok(ChangeInput::AdoptVm(AdoptVmInput {
            vm_uuid: check::uuid("vm_uuid", &self.vm_uuid)?,
            new_name: self.new_name.map(|name| check::name("new_name", name)).transpose()?,
        }))
    }
}
