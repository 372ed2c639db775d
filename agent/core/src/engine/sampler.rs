//! Reads usage of host and VMs in the background, never in a request.

use super::{Inner, usage};
use crate::model::{ConnectionState, HostSample, Snapshot, UsagePoint, VmSample};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Pause after which a first sample gets its second.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The last reading of each, to compute rates from.
#[derive(Default)]
struct Last {
    host: Option<HostSample>,
    vms: HashMap<Uuid, VmSample>,
}

/// Starts the sampler.
pub(super) fn spawn(inner: &Arc<Inner>) {
    let inner = inner.clone();
    tokio::spawn(async move {
        let mut last = Last::default();
        loop {
            sample_host(&inner, &mut last).await;
            if inner.world.load().connection == ConnectionState::Up {
                sample_vms(&inner, &mut last).await;
            }
            // A reading that took long is not made up for: the next one comes a whole pause later.
            tokio::time::sleep(pause(&inner)).await;
        }
    });
}

/// The interval, or less while there is something to say soon: a VM's first rates need two samples.
fn pause(inner: &Inner) -> Duration {
    let snapshot = inner.world.load();
    let lacks_rates = |point: &Arc<UsagePoint>| point.cpu_usage_percent.is_none() && point.cpu_time_nanoseconds.is_some();
    let is_new = snapshot.host_usage.iter().chain(snapshot.vm_usage.values()).any(lacks_rates);
    if is_new { FIRST_PAUSE.min(inner.config.sample_interval) } else { inner.config.sample_interval }
}

async fn sample_host(inner: &Inner, last: &mut Last) {
    let probe = inner.ports.probe.clone();
    let sample = match tokio::task::spawn_blocking(move || probe.sample()).await {
        Ok(Ok(sample)) => sample,
        Ok(Err(error)) => return tracing::warn!(error = %error.chain(), "The host's counters could not be read"),
        Err(error) => return tracing::error!(%error, "Reading the host's counters panicked"),
    };
    let point = Arc::new(usage::of_host(last.host.as_ref(), &sample));
    last.host = Some(sample);
    inner.world.update(|snapshot| snapshot.host_usage = Some(point));
}

async fn sample_vms(inner: &Inner, last: &mut Last) {
    let samples = match inner.ports.hypervisor.sample_all().await {
        Ok(samples) => samples,
        Err(error) => return tracing::warn!(error = %error.chain(), "The VMs' counters could not be read"),
    };
    let mut now = HashMap::with_capacity(samples.len());
    let mut points = imbl::OrdMap::new();
    let snapshot = inner.world.load();
    for mut sample in samples {
        name_nics(&snapshot, &mut sample);
        points.insert(sample.vm_uuid, Arc::new(usage::of_vm(last.vms.get(&sample.vm_uuid), &sample)));
        now.insert(sample.vm_uuid, sample);
    }
    last.vms = now;
    inner.world.update(|snapshot| snapshot.vm_usage = points);
}

/// Samples know a NIC by its tap on the host; the definition knows which address sits behind it.
fn name_nics(snapshot: &Snapshot, sample: &mut VmSample) {
    let Some(observed) = snapshot.vms.get(&sample.vm_uuid).and_then(|vm| vm.observed.as_ref()) else { return };
    for nic in sample.nics.iter_mut().filter(|nic| nic.mac_address.is_none()) {
        let behind = observed.nics.iter().find(|o| o.target_device.as_deref() == Some(nic.interface_name.as_str()));
        nic.mac_address = behind.map(|o| o.mac_address);
    }
}
