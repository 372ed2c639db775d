//! Statistics of all running VMs in one call.

use crate::fault::refused;
use crate::ffi::{DomainStats, StatValue, all_domain_stats};
use crate::state::RawState;
use hvnode_core::Result;
use hvnode_core::model::{DiskCounters, NicCounters, Timestamp, VmSample};
use virt::connect::Connect;
use virt_sys as sys;

const GROUPS: u32 = sys::VIR_DOMAIN_STATS_STATE
    | sys::VIR_DOMAIN_STATS_CPU_TOTAL
    | sys::VIR_DOMAIN_STATS_BALLOON
    | sys::VIR_DOMAIN_STATS_VCPU
    | sys::VIR_DOMAIN_STATS_INTERFACE
    | sys::VIR_DOMAIN_STATS_BLOCK;
/// A domain whose monitor is busy gives what it can without it, so none holds up the others.
const FLAGS: u32 = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
/// Most disks or NICs read of one VM, whatever its record claims.
const DEVICES_MAX: u64 = 1024;

/// One reading of every VM that is on.
///
/// # Errors
/// libvirt's as `Internal`.
pub(crate) fn sample_all(connect: &Connect) -> Result<Vec<VmSample>> {
    let all = all_domain_stats(connect, GROUPS, FLAGS).map_err(refused!(Internal))?;
    let time = Timestamp::now();
    Ok(all.iter().filter(|stats| is_active(stats)).map(|stats| sample(stats, time)).collect())
}

/// Some drivers ignore the filter.
fn is_active(stats: &DomainStats) -> bool {
    let state = stats.number("state.state").and_then(|n| u32::try_from(n).ok());
    state.is_none_or(|state| RawState { state, reason: 0 }.is_active())
}

fn sample(stats: &DomainStats, time: Timestamp) -> VmSample {
    VmSample {
        vm_uuid: stats.uuid,
        time,
        cpu_time_nanoseconds: stats.number("cpu.time"),
        cpu_cores: stats.number("vcpu.current").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        memory_actual_bytes: stats.kibibytes("balloon.current"),
        memory_available_bytes: stats.kibibytes("balloon.available"),
        memory_unused_bytes: stats.kibibytes("balloon.unused"),
        memory_usable_bytes: stats.kibibytes("balloon.usable"),
        memory_rss_bytes: stats.kibibytes("balloon.rss"),
        swap_in_bytes: stats.kibibytes("balloon.swap_in"),
        swap_out_bytes: stats.kibibytes("balloon.swap_out"),
        disks: stats.devices("block").filter_map(|prefix| disk(stats, &prefix)).collect(),
        nics: stats.devices("net").filter_map(|prefix| nic(stats, &prefix)).collect(),
    }
}

fn disk(stats: &DomainStats, prefix: &str) -> Option<DiskCounters> {
    let counter = |name: &str| stats.number(&format!("{prefix}.{name}")).unwrap_or(0);
    // A drive that is empty, or whose VM's monitor is busy, has a name and no counters: absence, not zero.
    stats.number(&format!("{prefix}.rd.bytes"))?;
    Some(DiskCounters {
        device: stats.text(&format!("{prefix}.name"))?.to_owned(),
        read_bytes: counter("rd.bytes"),
        write_bytes: counter("wr.bytes"),
        read_requests: counter("rd.reqs"),
        write_requests: counter("wr.reqs"),
    })
}

fn nic(stats: &DomainStats, prefix: &str) -> Option<NicCounters> {
    let counter = |name: &str| stats.number(&format!("{prefix}.{name}")).unwrap_or(0);
    stats.number(&format!("{prefix}.rx.bytes"))?;
    Some(NicCounters {
        interface_name: stats.text(&format!("{prefix}.name"))?.to_owned(),
        mac_address: None,
        receive_bytes: counter("rx.bytes"),
        send_bytes: counter("tx.bytes"),
        receive_packets: counter("rx.pkts"),
        send_packets: counter("tx.pkts"),
        receive_errors: counter("rx.errs"),
        send_errors: counter("tx.errs"),
        receive_drops: counter("rx.drop"),
        send_drops: counter("tx.drop"),
    })
}

impl DomainStats {
    fn number(&self, name: &str) -> Option<u64> {
        match self.values.get(name)? {
            StatValue::Number(number) => Some(*number),
            StatValue::Text(_) => None,
        }
    }

    fn kibibytes(&self, name: &str) -> Option<u64> {
        self.number(name).map(|n| n.saturating_mul(1024))
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            StatValue::Text(text) => Some(text),
            StatValue::Number(_) => None,
        }
    }

    /// `block.0`, `block.1`, … as many as the record counts.
    fn devices(&self, group: &str) -> impl Iterator<Item = String> {
        let count = self.number(&format!("{group}.count")).unwrap_or(0).min(DEVICES_MAX);
        (0..count).map(move |index| format!("{group}.{index}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn stats(values: &[(&str, StatValue)]) -> DomainStats {
        DomainStats { uuid: Uuid::from_u128(1), values: values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect() }
    }

    #[test]
    fn what_a_busy_vm_does_not_tell_is_absent_and_not_zero() {
        let number = StatValue::Number;
        let name = |text: &str| StatValue::Text(text.into());
        let stats = stats(&[
            ("state.state", number(1)),
            ("cpu.time", number(77)),
            ("balloon.current", number(1024)),
            ("block.count", number(2)),
            ("block.0.name", name("vda")),
            ("block.0.rd.bytes", number(5)),
            ("block.1.name", name("sda")),
            ("net.count", number(u64::MAX)),
            ("net.0.name", name("vnet0")),
            ("net.0.rx.bytes", number(9)),
        ]);
        let sample = sample(&stats, Timestamp(3));
        assert_eq!((sample.cpu_time_nanoseconds, sample.memory_actual_bytes), (Some(77), Some(1 << 20)));
        assert_eq!((sample.memory_unused_bytes, sample.memory_rss_bytes), (None, None));
        assert_eq!(sample.disks, [DiskCounters { device: "vda".into(), read_bytes: 5, ..DiskCounters::default() }]);
        assert_eq!(sample.nics.len(), 1);
    }

    #[test]
    fn vms_that_are_off_are_not_sampled() {
        assert!(!is_active(&stats(&[("state.state", StatValue::Number(5))])));
        assert!(is_active(&stats(&[("state.state", StatValue::Number(3))])));
    }
}
