//! Checks that several plans share: names, targets, locks, state.

use super::PlanView;
use crate::model::{
    DESCRIPTION_LENGTH_MAX, Image, Job, Management, NAME_LENGTH_MAX, NameFault, Specification, VerbKind, Verdict, Vm, VmRecord, VmStatus,
    check_name, is_description, legal_states, verdict,
};
use crate::port::ConnectionState;
use crate::{AgentError, Result, fail};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Most key-value pairs of a VM.
const METADATA_PAIRS_MAX: usize = 128;
/// Most characters of a metadata key or value.
const METADATA_TEXT_MAX: usize = 255;

/// Is the text a name?
pub(super) fn name(field: &str, text: &str) -> Result<()> {
    match check_name(text) {
        Ok(()) => Ok(()),
        Err(NameFault::Empty) => Err(fail!(ParameterInvalid, "{field} must not be empty"; "{field} 不能为空")),
        Err(NameFault::TooLong) => {
            Err(fail!(ParameterInvalid, "{field} must have at most {NAME_LENGTH_MAX} characters"; "{field} 最多 {NAME_LENGTH_MAX} 个字符"))
        }
        Err(NameFault::Edge) => Err(fail!(ParameterInvalid,
            "{field} must not start or end with a space, or start with a dot or a dash"; "{field} 首尾不能有空格，且不能以点或短横线开头")),
        Err(NameFault::Character(c)) => {
            let shown = c.escape_default();
            Err(fail!(ParameterInvalid,
                "{field} must not contain '{shown}'; letters, digits, spaces and _ - . + @ : ( ) are allowed";
                "{field} 不能包含 '{shown}'；只允许字母、数字、空格和 _ - . + @ : ( )"))
        }
    }
}

/// Is the text a description?
pub(super) fn description(text: &str) -> Result<()> {
    if is_description(text) {
        return Ok(());
    }
    Err(fail!(ParameterInvalid,
        "description must have at most {DESCRIPTION_LENGTH_MAX} characters and no control characters";
        "description 最多 {DESCRIPTION_LENGTH_MAX} 个字符，且不能包含控制字符"))
}

/// A short free text such as an os type.
pub(super) fn short_text(field: &str, text: &str) -> Result<()> {
    if text.chars().count() <= NAME_LENGTH_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(fail!(ParameterInvalid,
        "{field} must have at most {NAME_LENGTH_MAX} characters and no control characters"; "{field} 最多 {NAME_LENGTH_MAX} 个字符，且不能包含控制字符"))
}

/// Are the pairs within bounds and printable?
pub(super) fn metadata(pairs: &BTreeMap<String, String>) -> Result<()> {
    if pairs.len() > METADATA_PAIRS_MAX {
        return Err(
            fail!(ParameterInvalid, "metadata must have at most {METADATA_PAIRS_MAX} pairs"; "metadata 最多 {METADATA_PAIRS_MAX} 项"),
        );
    }
    for (key, value) in pairs {
        let is_fine = |text: &str| text.chars().count() <= METADATA_TEXT_MAX && !text.chars().any(char::is_control);
        if key.is_empty() || !is_fine(key) || !is_fine(value) {
            return Err(fail!(ParameterInvalid,
                "metadata keys must have 1 to {METADATA_TEXT_MAX} characters, values at most {METADATA_TEXT_MAX}, none of them control characters";
                "metadata 的键须为 1 到 {METADATA_TEXT_MAX} 个字符，值最多 {METADATA_TEXT_MAX} 个字符，且不能包含控制字符"));
        }
    }
    Ok(())
}

/// Does the hypervisor answer?
pub(super) fn hypervisor_is_up(view: &PlanView<'_>) -> Result<()> {
    match &view.snapshot.connection {
        ConnectionState::Up => Ok(()),
        ConnectionState::Connecting => {
            Err(fail!(HypervisorUnavailable, "not reached yet since the daemon started, try again"; "守护进程启动后尚未连接，请重试"))
        }
        ConnectionState::Down(_) => {
            Err(fail!(HypervisorUnavailable, "the connection to libvirt is lost, try again"; "与 libvirt 的连接已断开，请重试"))
        }
    }
}

/// A VM with its record, for a change.
pub(super) struct Target<'a> {
    pub(super) vm: &'a Arc<Vm>,
    pub(super) record: &'a Arc<VmRecord>,
    pub(super) verdict: Verdict,
}

/// Finds a VM that is ours, not locked against `verb`, and in a state that `verb` is legal in.
pub(super) fn vm<'a>(view: &PlanView<'a>, vm_uuid: Uuid, verb: VerbKind) -> Result<Target<'a>> {
    let vm = view.snapshot.vms.get(&vm_uuid).ok_or_else(|| fail!(VmNotExist))?;
    let Some(record) = &vm.record else {
        return Err(fail!(VmUnmanaged,
            "it was not made by this node and is only shown; adopt it first"; "该虚拟机不是由本节点创建，仅供查看；请先纳管"));
    };
    if vm.management == Management::Quarantined && verb != VerbKind::ReleaseVm {
        return Err(
            fail!(VmQuarantined, "its definition contradicts its record; an operator must release it"; "其定义与记录矛盾，须由管理员解除隔离"),
        );
    }
    if record.locked && matches!(verb, VerbKind::StopVm | VerbKind::DeleteVm | VerbKind::ResizeVm | VerbKind::RevertResize) {
        return Err(fail!(VmLocked));
    }
    hypervisor_is_up(view)?;
    let verdict = verdict(verb, vm.status);
    if verdict == Verdict::Refused {
        return Err(state_not_allowed(vm.status, verb));
    }
    Ok(Target { vm, record, verdict })
}

/// Says the state and which ones would be right.
fn state_not_allowed(status: VmStatus, verb: VerbKind) -> AgentError {
    let (is, is_cn, verb_word) = (status.word(), status.word_cn(), verb.word());
    let needed = legal_states(verb).map(VmStatus::word).collect::<Vec<_>>().join(" or ");
    let needed_cn = legal_states(verb).map(VmStatus::word_cn).collect::<Vec<_>>().join("或");
    fail!(VmStateNotAllowed, "{is}; {verb_word} needs {needed}"; "{is_cn}；{verb_word} 要求{needed_cn}")
}

/// Refuses a VM name that another VM has.
pub(super) fn vm_name_is_free(view: &PlanView<'_>, vm_name: &str, except: Option<Uuid>) -> Result<()> {
    let is_taken = view.snapshot.vms.iter().any(|(uuid, vm)| Some(*uuid) != except && vm.name() == vm_name);
    if is_taken { Err(fail!(VmNameExist)) } else { Ok(()) }
}

/// Finds an image.
pub(super) fn image<'a>(view: &PlanView<'a>, image_uuid: Uuid) -> Result<&'a Arc<Image>> {
    view.snapshot.images.get(&image_uuid).ok_or_else(|| fail!(ImageNotExist))
}

/// Refuses an image name that another image has.
pub(super) fn image_name_is_free(view: &PlanView<'_>, image_name: &str, except: Option<Uuid>) -> Result<()> {
    let is_taken = view.snapshot.images.iter().any(|(uuid, image)| Some(*uuid) != except && image.image_name == image_name);
    if is_taken { Err(fail!(ImageAlreadyExist)) } else { Ok(()) }
}

/// Finds a specification.
pub(super) fn specification<'a>(view: &PlanView<'a>, specification_uuid: Uuid) -> Result<&'a Arc<Specification>> {
    view.snapshot.specifications.get(&specification_uuid).ok_or_else(|| fail!(SpecificationNotExist))
}

/// Refuses a specification name that another one has.
pub(super) fn specification_name_is_free(view: &PlanView<'_>, specification_name: &str, except: Option<Uuid>) -> Result<()> {
    let is_taken =
        view.snapshot.specifications.iter().any(|(uuid, spec)| Some(*uuid) != except && spec.specification_name == specification_name);
    if is_taken { Err(fail!(SpecificationAlreadyExist)) } else { Ok(()) }
}

/// Checks cpu and memory of a shape against the limits of this node.
pub(super) fn shape(view: &PlanView<'_>, cpu_cores: u32, memory_bytes: u64) -> Result<()> {
    let hypervisor_max = view.snapshot.capabilities.as_ref().map_or(u32::MAX, |c| c.vcpus_max);
    let cores_max = view.settings.cpu_cores_max.min(hypervisor_max);
    if cpu_cores == 0 || cpu_cores > cores_max {
        return Err(fail!(ParameterInvalid, "cpu_cores must be 1 to {cores_max}"; "cpu_cores 须为 1 到 {cores_max}"));
    }
    let least = view.settings.memory_bytes_min;
    if memory_bytes < least {
        return Err(fail!(ParameterInvalid, "memory_size must be at least {least} bytes"; "memory_size 至少为 {least} 字节"));
    }
    // libvirt counts KiB; a size that does not divide would silently become another one.
    if !memory_bytes.is_multiple_of(1024) || memory_bytes > i64::MAX as u64 {
        return Err(
            fail!(ParameterInvalid, "memory_size must be a multiple of 1024 bytes and less than 8 EiB"; "memory_size 须为 1024 字节的整数倍且小于 8 EiB"),
        );
    }
    Ok(())
}

/// Checks the size of a disk against the limits of this node.
pub(super) fn disk_size(view: &PlanView<'_>, field: &str, storage_bytes: u64) -> Result<()> {
    let most = view.settings.disk_bytes_max;
    if storage_bytes < 1 << 20 || storage_bytes > most || !storage_bytes.is_multiple_of(512) {
        return Err(fail!(ParameterInvalid,
            "{field} must be 1048576 to {most} bytes and a multiple of 512"; "{field} 须为 1048576 到 {most} 字节且为 512 的整数倍"));
    }
    Ok(())
}

/// A caller-chosen uuid must be one, and free.
pub(super) fn chosen_uuid(field: &str, uuid: Option<Uuid>, is_taken: impl Fn(Uuid) -> bool) -> Result<Uuid> {
    match uuid {
        None => Ok(Uuid::new_v4()),
        Some(uuid) if uuid.is_nil() || uuid.is_max() => {
            Err(fail!(ParameterInvalid, "{field} must not be all zeros or ones"; "{field} 不能全为 0 或全为 1"))
        }
        Some(uuid) if is_taken(uuid) => Err(fail!(AlreadyExist, "{field} {uuid}"; "{field} {uuid}")),
        Some(uuid) => Ok(uuid),
    }
}

/// The words for "this job is in the way".
pub(crate) fn busy_detail(job: &Job) -> crate::error::Detail {
    let (verb, uuid) = (job.verb.word(), job.job_uuid);
    crate::error::Detail::both(format!("{verb} job {uuid} is not finished"), format!("任务 {uuid} ({verb}) 尚未完成"))
}
