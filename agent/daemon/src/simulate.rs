//! `hvnoded --simulate`: a node in memory takes the place of libvirt; it may be full of VMs, and things may go wrong in it.

use crate::cli::{Disturbance, Simulation};
use crate::compose::{Outside, blocking, reason};
use crate::config::Config;
use hvnode_core::fake::{FakeHypervisor, FakeImageTransfer, FakeNode, FakeProbe, Fault, Faults, Load, NodeOptions, Population};
use hvnode_core::model::Timestamp;
use hvnode_core::port::{Clock, Durability, Store, StoredState};
use hvnode_core::{AgentError, fail};
use std::sync::Arc;

/// Makes the world. On an empty store its VMs are recorded first; what was recorded before is there again, also after a restart.
///
/// # Errors
/// The store cannot be written.
pub(crate) async fn start(
    simulation: &Simulation,
    config: &Config,
    store: &dyn Store,
    stored: &mut StoredState,
    clock: &Arc<dyn Clock>,
) -> Result<Outside, String> {
    let directory = config.node.state_dir.to_string_lossy().into_owned();
    let population = Population { count: simulation.vms, directory: directory.clone(), now: Timestamp::now() };
    let is_new = stored.vms.is_empty() && stored.images.is_empty() && stored.specifications.is_empty();
    if is_new && simulation.vms > 0 {
        let writes = population.settle(stored);
        store.commit(writes, Durability::Durable).await.map_err(|error| reason(&error))?;
    }
    let options = if simulation.vms > 0 { population.host() } else { NodeOptions { directory, ..NodeOptions::default() } };
    let node = FakeNode::new(options, clock.clone());
    let (world, records) = (node.clone(), stored.clone());
    let furnish = move || world.furnish(&records, (population.count > 0).then_some(&population), is_new);
    blocking(furnish).await?.map_err(|error| reason(&error))?;
    tracing::warn!(vms = node.domain_count(), "simulation: no libvirt, no guests; everything but the databases is in memory");
    let faults = Faults::new();
    let hypervisor = FakeHypervisor::new(node.clone(), faults.clone());
    for disturbance in &simulation.faults {
        tracing::warn!(fault = ?disturbance, "simulation: this goes wrong");
        disturb(disturbance, &faults, &hypervisor);
    }
    let probe = Box::new(FakeProbe::of(&node, Load::of(u64::from(simulation.vms))));
    Ok(Outside { images: FakeImageTransfer::new(node, faults), hypervisor, probe })
}

fn disturb(disturbance: &Disturbance, faults: &Faults, hypervisor: &Arc<FakeHypervisor>) {
    let hypervisor = hypervisor.clone();
    match *disturbance {
        Disturbance::Fails { call, every } => faults.on_each(call, every, Fault::FailBefore(failure(call))),
        Disturbance::Slow { call, by } => faults.on_every(call, Fault::Delay(by)),
        Disturbance::Away { time, every } => {
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(every - time).await;
                    hypervisor.disconnect("the simulation has it away for a while");
                    tokio::time::sleep(time).await;
                    hypervisor.connect();
                }
            });
        }
        Disturbance::Crashes { every } => {
            tokio::spawn(async move {
                let mut turn = 0_usize;
                loop {
                    tokio::time::sleep(every).await;
                    // a prime step, so that it is not always the same ones
                    turn = turn.wrapping_add(7919);
                    if let Ok(vm_uuid) = hypervisor.node().kill_some_qemu(turn) {
                        tracing::info!(%vm_uuid, "simulation: the QEMU of a VM dies");
                    }
                }
            });
        }
    }
}

fn failure(call: &str) -> AgentError {
    match call {
        "ensure_started" => fail!(VmStartFailed, "the simulation lets it fail"; "模拟故障"),
        "fetch" => fail!(ImageDownloadFailed, "the simulation lets it fail"; "模拟故障"),
        _ => fail!(Internal, "the simulation lets it fail"; "模拟故障"),
    }
}
