//! The line that `systemctl status` shows.

use hvnode_core::model::{ConnectionState, Snapshot, VmStatus};

/// `3 VMs (2 running), 1 job, libvirt up`.
pub(crate) fn line(snapshot: &Snapshot) -> String {
    let running = snapshot.vms.values().filter(|vm| vm.status == VmStatus::Running).count();
    let libvirt = match &snapshot.connection {
        ConnectionState::Up => "up".to_owned(),
        ConnectionState::Connecting => "connecting".to_owned(),
        ConnectionState::Down(reason) => format!("down: {reason}"),
    };
    let (vms, jobs) = (snapshot.vms.len(), snapshot.open_jobs.len());
    let plural = |number: usize| if number == 1 { "" } else { "s" };
    format!("{vms} VM{} ({running} running), {jobs} job{}, libvirt {libvirt}", plural(vms), plural(jobs))
}
