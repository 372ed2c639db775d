//! Makes guests report their memory: a guest's balloon driver tells what the guest uses only if it is asked to, every so many seconds.
//!
//! VMs that this node creates are asked by their definition. An adopted one may not be, so it is asked when it is adopted, and once per
//! run while its reports are missing. VMs that are not ours are left alone.

use crate::domain::everywhere;
use crate::fault::refused;
use crate::observe::find;
use crate::xml::{FoundMetadata, MEMORY_REPORT_SECONDS, parse_domain};
use hvnode_core::Result;
use hvnode_core::model::HypervisorSample;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;
use virt::connect::Connect;

/// VMs looked at after one sweep of samples.
const DUE_MAX: usize = 8;

/// Asks the guest of a VM of ours to report its memory, now and in later runs, unless it is asked already. True if that was needed.
///
/// # Errors
/// libvirt's as `VmUpdateFailed`.
pub(crate) fn ensure_reports(connect: &Connect, vm_uuid: Uuid) -> Result<bool> {
    let Some(domain) = find(connect, vm_uuid)? else { return Ok(false) };
    let definition = parse_domain(&domain.xml_desc(0).map_err(refused!(VmUpdateFailed))?)?;
    let is_ours = matches!(&definition.metadata, FoundMetadata::Valid(metadata) if metadata.record.vm_uuid == vm_uuid);
    if !is_ours || !definition.lacks_memory_reports {
        return Ok(false);
    }
    let (flags, _) = everywhere(&domain)?;
    let seconds = MEMORY_REPORT_SECONDS.cast_signed();
    domain.set_memory_stats_period(seconds, flags).map_err(refused!(VmUpdateFailed))?;
    Ok(true)
}

/// Which VMs were looked at, each with its run.
#[derive(Debug, Default)]
pub(crate) struct MemoryReports(Mutex<HashMap<Uuid, u64>>);

impl MemoryReports {
    /// VMs that answer without a report of their guest, each once per run. Those that are not among `all` are forgotten.
    pub(crate) fn due(&self, all: &[Uuid], samples: &[HypervisorSample]) -> Vec<Uuid> {
        let mut seen = self.0.lock();
        let all: HashSet<_> = all.iter().collect();
        seen.retain(|vm_uuid, _| all.contains(vm_uuid));
        let is_silent = |sample: &&HypervisorSample| sample.is_complete && sample.memory.last_update.is_none();
        let silent: Vec<_> = samples.iter().filter(is_silent).filter(|s| seen.get(&s.vm_uuid) != Some(&s.run_id)).take(DUE_MAX).collect();
        seen.extend(silent.iter().map(|sample| (sample.vm_uuid, sample.run_id)));
        silent.into_iter().map(|sample| sample.vm_uuid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::model::{MemorySample, SampleTime, Timestamp};

    fn sample(vm: u128, run_id: u64, is_complete: bool, has_report: bool) -> HypervisorSample {
        let last_update = has_report.then(|| Timestamp::from_seconds(1));
        HypervisorSample {
            vm_uuid: Uuid::from_u128(vm),
            at: SampleTime::now(),
            run_id,
            is_complete,
            cpu_time_nanoseconds: None,
            cpu_user_nanoseconds: None,
            cpu_system_nanoseconds: None,
            cpu_cores: 1,
            cpu_cores_max: 1,
            vcpus: vec![],
            memory: MemorySample { last_update, ..MemorySample::default() },
            disks: vec![],
            nics: vec![],
        }
    }

    #[test]
    fn a_vm_without_reports_is_looked_at_once_per_run_and_only_while_it_answers() {
        let reports = MemoryReports::default();
        let all: Vec<_> = (1..=3).map(Uuid::from_u128).collect();
        let samples = [sample(1, 5, true, false), sample(2, 6, true, true), sample(3, 7, false, false)];
        assert_eq!(reports.due(&all, &samples), [all[0]]);
        assert!(reports.due(&all, &samples).is_empty());
        assert_eq!(reports.due(&all, &[sample(1, 9, true, false), sample(3, 7, true, false)]), [all[0], all[2]]);
    }

    #[test]
    fn many_are_looked_at_a_few_at_a_time_and_those_that_are_gone_are_forgotten() {
        let reports = MemoryReports::default();
        let all: Vec<_> = (0..20).map(Uuid::from_u128).collect();
        let samples: Vec<_> = (0..20).map(|vm| sample(vm, 1, true, false)).collect();
        let counts: Vec<_> = (0..4).map(|_| reports.due(&all, &samples).len()).collect();
        assert_eq!(counts, [8, 8, 4, 0]);
        assert!(reports.due(&all[..3], &[]).is_empty());
        assert_eq!(reports.0.lock().len(), 3);
    }
}
