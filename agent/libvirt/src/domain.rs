//! Changes to domains. Each is an *ensure*: done twice is done once.

use crate::balloon;
use crate::fault::refused;
use crate::ffi;
use crate::observe::{find, is_missing};
use crate::state::RawState;
use crate::xml::{self, METADATA_NAMESPACE, METADATA_PREFIX};
use hvnode_core::error::AgentError;
use hvnode_core::model::VmOrigin;
use hvnode_core::port::{DisplayAddress, DomainSpec};
use hvnode_core::{Result, at, fail};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt_sys as sys;

/// Everything libvirt keeps beside a definition.
const UNDEFINE_ALL: u32 = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | sys::VIR_DOMAIN_UNDEFINE_NVRAM
    | sys::VIR_DOMAIN_UNDEFINE_TPM;

fn existing(connect: &Connect, vm_uuid: Uuid) -> Result<Domain> {
    find(connect, vm_uuid)?.ok_or_else(|| fail!(VmNotExist))
}

fn state_of(domain: &Domain) -> Result<RawState> {
    ffi::domain_state(domain).map_err(refused!(Internal))
}

fn must_be_off(domain: &Domain) -> Result<()> {
    if state_of(domain)?.is_active() {
        return Err(fail!(VmStateNotAllowed, "it is on; switch it off first"; "虚拟机已开机,请先关机"));
    }
    Ok(())
}

fn must_be_on(domain: &Domain) -> Result<RawState> {
    let state = state_of(domain)?;
    if state.is_active() {
        return Ok(state);
    }
    Err(fail!(VmStateNotAllowed, "it is off; start it first"; "虚拟机未开机,请先开机"))
}

/// Defines the domain, or redefines it where it is off. One that is on is left as it is: a create that was cut off after its start runs
/// this step again.
///
/// # Errors
/// `VmNameExist` if another domain has the name, `VmCreateFailed`.
pub(crate) fn ensure_defined(connect: &Connect, spec: &DomainSpec, xml: &str) -> Result<()> {
    let before = find(connect, spec.vm_uuid)?;
    if let Some(domain) = &before
        && state_of(domain)?.is_active()
    {
        return Ok(());
    }
    let domain = connect.define_domain_xml(xml).map_err(|error| define_error(connect, spec, error))?;
    // A new one does not start by itself.
    if before.is_some() || spec.auto_start {
        set_auto_start(&domain, spec.auto_start).map_err(refused!(VmCreateFailed))?;
    }
    Ok(())
}

/// libvirt has no number of its own for a taken name, so we look.
fn define_error(connect: &Connect, spec: &DomainSpec, error: Error) -> AgentError {
    let holder = connect.lookup_domain_by_name(&spec.domain_name).and_then(|domain| domain.uuid());
    if holder.is_ok_and(|uuid| uuid != spec.vm_uuid) {
        return fail!(VmNameExist, "another domain of libvirt has this name"; "libvirt 中已有同名域").caused_by(error);
    }
    refused!(VmCreateFailed)(error)
}

fn set_auto_start(domain: &Domain, wanted: bool) -> Result<(), Error> {
    if domain.autostart()? != wanted {
        domain.set_autostart(wanted)?;
    }
    Ok(())
}

/// Changes title, autostart flag and our metadata, in the running domain and in the definition.
///
/// # Errors
/// `VmNotExist`, `VmUpdateFailed`.
pub(crate) fn update_description(connect: &Connect, spec: &DomainSpec) -> Result<()> {
    let domain = existing(connect, spec.vm_uuid)?;
    let (flags, is_persistent) = everywhere(&domain)?;
    let title = xml::title_of(&spec.title);
    let element = xml::metadata_xml(&spec.metadata)?;
    let set = |kind: u32, text: &str, key, uri| domain.set_metadata(kind.cast_signed(), Some(text), key, uri, flags);
    set(sys::VIR_DOMAIN_METADATA_TITLE, &title, None, None).map_err(refused!(VmUpdateFailed))?;
    set(sys::VIR_DOMAIN_METADATA_ELEMENT, &element, Some(METADATA_PREFIX), Some(METADATA_NAMESPACE)).map_err(refused!(VmUpdateFailed))?;
    if is_persistent {
        set_auto_start(&domain, spec.auto_start).map_err(refused!(VmUpdateFailed))?;
    }
    if spec.metadata.record.origin == VmOrigin::Adopted {
        // Only for statistics, so it is no reason to fail; the sampler tries again when the VM runs.
        let _ = balloon::ensure_reports(connect, spec.vm_uuid);
    }
    Ok(())
}

/// Removes title and our metadata; what is not there is fine.
///
/// # Errors
/// `VmNotExist`, `VmUpdateFailed`.
pub(crate) fn remove_description(connect: &Connect, vm_uuid: Uuid) -> Result<()> {
    let domain = existing(connect, vm_uuid)?;
    let (flags, _) = everywhere(&domain)?;
    let remove = |kind: u32, key, uri| domain.set_metadata(kind.cast_signed(), None, key, uri, flags);
    remove(sys::VIR_DOMAIN_METADATA_TITLE, None, None).map_err(refused!(VmUpdateFailed))?;
    remove(sys::VIR_DOMAIN_METADATA_ELEMENT, Some(METADATA_PREFIX), Some(METADATA_NAMESPACE)).map_err(refused!(VmUpdateFailed))
}

/// Flags for a change of both the running domain and its stored definition, where it has them, and whether it has the latter.
pub(crate) fn everywhere(domain: &Domain) -> Result<(u32, bool)> {
    let is_persistent = domain.is_persistent().map_err(refused!(VmUpdateFailed))?;
    let mut flags = 0;
    if state_of(domain)?.is_active() {
        flags |= sys::VIR_DOMAIN_AFFECT_LIVE;
    }
    if is_persistent {
        flags |= sys::VIR_DOMAIN_AFFECT_CONFIG;
    }
    Ok((flags, is_persistent))
}

/// Changes cpu and memory in the stored definition and leaves the rest of it alone.
///
/// # Errors
/// `VmNotExist`, `VmStateNotAllowed` if it is on, `VmResizeFailed`.
pub(crate) fn resize(connect: &Connect, spec: &DomainSpec) -> Result<()> {
    let domain = existing(connect, spec.vm_uuid)?;
    must_be_off(&domain)?;
    // With secrets: what is left out here would be lost by defining it again.
    let flags = sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE;
    let current = domain.xml_desc(flags).map_err(refused!(VmResizeFailed))?;
    let changed = xml::resized(&current, spec.cpu_cores, spec.memory_bytes)?;
    connect.define_domain_xml(&changed).map_err(refused!(VmResizeFailed))?;
    Ok(())
}

/// Removes the definition and all that libvirt keeps beside it.
///
/// # Errors
/// `VmStateNotAllowed` if it is on, `VmDeleteFailed`.
pub(crate) fn ensure_undefined(connect: &Connect, vm_uuid: Uuid) -> Result<()> {
    let Some(domain) = find(connect, vm_uuid)? else { return Ok(()) };
    must_be_off(&domain)?;
    let undefined = match domain.undefine_flags(UNDEFINE_ALL) {
        // Drivers that keep less beside a definition know fewer flags.
        Err(error) if error.code().is(ErrorNumber::InvalidArg) => domain.undefine_flags(sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE),
        other => other,
    };
    match undefined {
        Err(error) if is_missing(&error) => Ok(()),
        other => other.map_err(refused!(VmDeleteFailed)),
    }
}

/// Switches on.
///
/// # Errors
/// `VmNotExist`, `VmStartFailed`, `HostInsufficient`.
pub(crate) fn ensure_started(connect: &Connect, vm_uuid: Uuid) -> Result<()> {
    let domain = existing(connect, vm_uuid)?;
    let state = state_of(&domain)?;
    // `create` waits until it is decided what becomes of one that somebody is starting.
    if state.is_active() && !state.is_starting() {
        return Ok(());
    }
    match domain.create() {
        // Somebody else was faster; a start that fails leaves nothing active.
        Err(_) if state_of(&domain)?.is_active() => Ok(()),
        other => other.map_err(refused!(VmStartFailed)),
    }
}

/// Switches off without asking the guest, and forgets saved memory.
///
/// # Errors
/// `VmStopFailed`.
pub(crate) fn ensure_destroyed(connect: &Connect, vm_uuid: Uuid) -> Result<()> {
    let Some(domain) = find(connect, vm_uuid)? else { return Ok(()) };
    if !state_of(&domain)?.is_active() {
        return forget_saved_memory(&domain);
    }
    match domain.destroy() {
        Ok(()) => Ok(()),
        Err(error) if is_missing(&error) => Ok(()),
        // It went off by itself in between.
        Err(error) if error.code().is(ErrorNumber::OperationInvalid) && !state_of(&domain)?.is_active() => Ok(()),
        Err(error) => Err(refused!(VmStopFailed)(error)),
    }
}

fn forget_saved_memory(domain: &Domain) -> Result<()> {
    if domain.has_managed_save(0).unwrap_or(false) {
        domain.managed_save_remove(0).map_err(refused!(VmStopFailed))?;
    }
    Ok(())
}

/// True where the driver has no such way of asking and another may do.
fn is_no_way(error: &Error) -> bool {
    let number = error.code().known();
    use ErrorNumber as N;
    matches!(number, Some(N::NoSupport | N::OperationUnsupported | N::ArgumentUnsupported | N::ConfigUnsupported | N::InvalidArg))
}

/// Presses the power button. ACPI and not the guest agent: libvirt's agent call returns only when the guest is down, and holds a
/// connection's slot until then.
///
/// # Errors
/// `VmNotExist`, `VmStateNotAllowed`, `VmStopFailed`.
pub(crate) fn request_shutdown(connect: &Connect, vm_uuid: Uuid) -> Result<()> {
    let domain = existing(connect, vm_uuid)?;
    match domain.shutdown_flags(sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) {
        Err(error) if is_no_way(&error) => domain.shutdown().map_err(refused!(VmStopFailed)),
        other => other.map_err(refused!(VmStopFailed)),
    }
}

/// Presses the power button and starts again once the guest is down.
///
/// # Errors
/// `VmNotExist`, `VmStateNotAllowed`, `VmRebootFailed`.
pub(crate) fn request_reboot(connect: &Connect, vm_uuid: Uuid) -> Result<()> {
    let domain = existing(connect, vm_uuid)?;
    match domain.reboot(sys::VIR_DOMAIN_REBOOT_ACPI_POWER_BTN) {
        Err(error) if is_no_way(&error) => domain.reboot(sys::VIR_DOMAIN_REBOOT_DEFAULT).map_err(refused!(VmRebootFailed)),
        other => other.map_err(refused!(VmRebootFailed)),
    }
}

/// Presses the reset button.
///
/// # Errors
/// `VmNotExist`, `VmStateNotAllowed`, `VmRebootFailed`.
pub(crate) fn reset(connect: &Connect, vm_uuid: Uuid) -> Result<()> {
    existing(connect, vm_uuid)?.reset().map(drop).map_err(refused!(VmRebootFailed))
}

/// Holds the processors.
///
/// # Errors
/// `VmNotExist`, `VmStateNotAllowed` if it is off, `VmPauseFailed`.
pub(crate) fn ensure_paused(connect: &Connect, vm_uuid: Uuid) -> Result<()> {
    let domain = existing(connect, vm_uuid)?;
    match must_be_on(&domain)?.state {
        sys::VIR_DOMAIN_PAUSED => Ok(()),
        _ => domain.suspend().map(drop).map_err(refused!(VmPauseFailed)),
    }
}

/// Lets the processors run.
///
/// # Errors
/// `VmNotExist`, `VmStateNotAllowed` if it is off, `VmResumeFailed`.
pub(crate) fn ensure_resumed(connect: &Connect, vm_uuid: Uuid) -> Result<()> {
    let domain = existing(connect, vm_uuid)?;
    match must_be_on(&domain)?.state {
        sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED => Ok(()),
        sys::VIR_DOMAIN_PMSUSPENDED => domain.pm_wakeup(0).map_err(refused!(VmResumeFailed)),
        _ => domain.resume().map(drop).map_err(refused!(VmResumeFailed)),
    }
}

/// Where the screen is.
///
/// # Errors
/// `VmNotExist`, `VmConsoleUnavailable` if it is off or has no screen.
pub(crate) fn display(connect: &Connect, vm_uuid: Uuid) -> Result<DisplayAddress> {
    let domain = existing(connect, vm_uuid)?;
    if !state_of(&domain)?.is_active() {
        return Err(fail!(VmConsoleUnavailable, "it is off; a screen exists while it runs"; "虚拟机未开机,运行时才有显示"));
    }
    let xml = domain.xml_desc(0).map_err(refused!(VmConsoleUnavailable))?;
    let parsed = xml::parse_domain(&xml).map_err(at!())?;
    parsed.display.ok_or_else(|| fail!(VmConsoleUnavailable, "its definition has no screen"; "其定义中没有显示设备"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_that_runs_is_left_as_it_is_when_it_is_defined_once_more() {
        let connect = Connect::open(Some("test:///default")).unwrap();
        let minimal = "<domain type='test'><name>defined-twice</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>";
        let domain = connect.define_domain_xml(minimal).unwrap();
        domain.create().unwrap();
        let before = domain.xml_desc(0).unwrap();
        let spec = DomainSpec { vm_uuid: domain.uuid().unwrap(), auto_start: true, ..xml::tests::spec() };
        ensure_defined(&connect, &spec, "not even looked at").unwrap();
        assert_eq!(domain.xml_desc(0).unwrap(), before);
        assert!(!domain.autostart().unwrap());
        domain.destroy().unwrap();
        domain.undefine().unwrap();
    }
}
