//! Domains as libvirt has them.

use crate::fault::{is_broken_connection, refused};
use crate::ffi;
use crate::state::RawState;
use crate::xml::{self, FoundMetadata, ParsedDomain};
use hvnode_core::Result;
use hvnode_core::model::{Firmware, ObservedVm};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt_sys as sys;

/// The domain, `None` if there is none.
///
/// # Errors
/// libvirt's.
pub(crate) fn find(connect: &Connect, vm_uuid: Uuid) -> Result<Option<Domain>> {
    match connect.lookup_domain_by_uuid(vm_uuid) {
        Ok(domain) => Ok(Some(domain)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(refused!(Internal)(error)),
    }
}

/// True if libvirt says that the domain is not there.
pub(crate) fn is_missing(error: &Error) -> bool {
    error.code().is(ErrorNumber::NoDomain) && !is_broken_connection(error)
}

/// What is asked about a domain besides its definition.
#[derive(Debug, Clone, Copy)]
struct Facts {
    state: RawState,
    is_persistent: bool,
    auto_start: bool,
    has_saved_memory: bool,
}

/// One domain, `None` if there is none or it vanished while we looked.
///
/// # Errors
/// libvirt's.
pub(crate) fn observe(connect: &Connect, vm_uuid: Uuid) -> Result<Option<ObservedVm>> {
    let Some(domain) = find(connect, vm_uuid)? else { return Ok(None) };
    let read = || -> Result<ObservedVm, Error> {
        let state = ffi::domain_state(&domain)?;
        // What is off and still there has a definition.
        let is_persistent = state.state == sys::VIR_DOMAIN_SHUTOFF || domain.is_persistent()?;
        let facts = Facts {
            state,
            is_persistent,
            auto_start: is_persistent && domain.autostart()?,
            has_saved_memory: !state.is_active() && domain.has_managed_save(0).unwrap_or(false),
        };
        read_domain(&domain, vm_uuid, facts)
    };
    match read() {
        Ok(observed) => Ok(Some(observed)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(refused!(Internal)(error)),
    }
}

/// A handle to every domain, with what libvirt can tell about all of them in one call each.
#[derive(Debug)]
pub(crate) struct Listing {
    domains: Vec<(Domain, Uuid, Facts)>,
}

impl Listing {
    /// Asks five questions, however many domains there are.
    ///
    /// # Errors
    /// libvirt's.
    pub(crate) fn read(connect: &Connect) -> Result<Self> {
        let list = |flags| connect.list_all_domains(flags).map_err(refused!(Internal));
        let uuids = |flags| -> Result<HashSet<Uuid>> { Ok(list(flags)?.iter().filter_map(|domain| domain.uuid().ok()).collect()) };
        let persistent = uuids(sys::VIR_CONNECT_LIST_DOMAINS_PERSISTENT)?;
        let auto_start = uuids(sys::VIR_CONNECT_LIST_DOMAINS_AUTOSTART)?;
        let saved = uuids(sys::VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)?;
        let states = states(connect)?;
        let mut domains = Vec::new();
        // Last, so that a domain defined meanwhile is at worst shown as it was a moment ago; its event brings the rest.
        for domain in list(0)? {
            let Ok(uuid) = domain.uuid() else { continue };
            let state = match states.get(&uuid) {
                Some(state) => *state,
                None => match ffi::domain_state(&domain) {
                    Ok(state) => state,
                    Err(error) if is_missing(&error) => continue,
                    Err(error) => return Err(refused!(Internal)(error)),
                },
            };
            let facts = Facts {
                state,
                is_persistent: persistent.contains(&uuid),
                auto_start: auto_start.contains(&uuid),
                has_saved_memory: saved.contains(&uuid),
            };
            domains.push((domain, uuid, facts));
        }
        Ok(Self { domains })
    }

    /// Cuts it into parts that can be read at the same time.
    pub(crate) fn parts(mut self, size: usize) -> Vec<Self> {
        let mut parts = Vec::new();
        while !self.domains.is_empty() {
            let rest = self.domains.split_off(self.domains.len().min(size));
            parts.push(std::mem::replace(&mut self, Self { domains: rest }));
        }
        parts
    }

    /// Reads every definition. Domains that vanished meanwhile are left out.
    ///
    /// # Errors
    /// libvirt's.
    pub(crate) fn observe(self) -> Result<Vec<ObservedVm>> {
        let mut observed = Vec::with_capacity(self.domains.len());
        for (domain, uuid, facts) in self.domains {
            match read_domain(&domain, uuid, facts) {
                Ok(vm) => observed.push(vm),
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(refused!(Internal)(error)),
            }
        }
        Ok(observed)
    }
}

/// States of all domains in one call that waits for none of them.
fn states(connect: &Connect) -> Result<HashMap<Uuid, RawState>> {
    let flags = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
    let all = ffi::all_domain_stats(connect, sys::VIR_DOMAIN_STATS_STATE, flags).map_err(refused!(Internal))?;
    let number = |stats: &ffi::DomainStats, name: &str| match stats.values.get(name) {
        Some(ffi::StatValue::Number(n)) => u32::try_from(*n).ok(),
        _ => None,
    };
    let state = |stats: ffi::DomainStats| {
        let state = number(&stats, "state.state")?;
        Some((stats.uuid, RawState { state, reason: number(&stats, "state.reason").unwrap_or(0) }))
    };
    Ok(all.into_iter().filter_map(state).collect())
}

/// Live facts from the live definition, our metadata from the stored one.
fn read_domain(domain: &Domain, vm_uuid: Uuid, facts: Facts) -> Result<ObservedVm, Error> {
    let (power, reason) = facts.state.power(facts.has_saved_memory);
    let domain_name = domain.name()?;
    let live = domain.xml_desc(0)?;
    let stored = if facts.is_persistent && facts.state.is_active() { domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE).ok() } else { None };
    let parsed = xml::parse_domain(&live).unwrap_or_else(|error| {
        // Shown with what is known: a VM that cannot be read is still there.
        tracing::warn!(%vm_uuid, error = %error.chain(), "a definition cannot be read");
        ParsedDomain::unreadable()
    });
    let metadata = match stored {
        Some(stored) => xml::parse_domain(&stored).map_or(FoundMetadata::Broken, |stored| stored.metadata),
        None => parsed.metadata,
    };
    let metadata_is_broken = metadata == FoundMetadata::Broken;
    Ok(ObservedVm {
        vm_uuid,
        domain_name: domain_name.into(),
        power,
        reason,
        is_persistent: facts.is_persistent,
        auto_start: facts.auto_start,
        cpu_cores: parsed.cpu_cores,
        memory_bytes: parsed.memory_bytes,
        architecture: parsed.architecture.into(),
        firmware: parsed.firmware,
        disks: parsed.disks,
        nics: parsed.nics,
        metadata: if let FoundMetadata::Valid(metadata) = metadata { Some(metadata) } else { None },
        metadata_is_broken,
    })
}

impl ParsedDomain {
    fn unreadable() -> Self {
        Self {
            cpu_cores: 0,
            memory_bytes: 0,
            architecture: String::new(),
            firmware: Firmware::Bios,
            disks: Vec::new(),
            nics: Vec::new(),
            metadata: FoundMetadata::Broken,
            display: None,
            lacks_memory_reports: false,
        }
    }
}
