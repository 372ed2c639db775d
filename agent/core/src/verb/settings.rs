//! Limits and defaults that plans and steps go by; the daemon fills them from its configuration.

use std::time::Duration;

/// Limits and defaults of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerbSettings {
    /// Directory of the images pool.
    pub images_directory: String,
    /// Directory of the volumes pool.
    pub volumes_directory: String,
    /// Network a VM gets a NIC on if none is named; empty for none.
    pub default_network: String,
    /// How long a guest may take to shut down before it is switched off.
    pub stop_timeout: Duration,
    /// How long a guest may take to shut down before its VM is deleted.
    pub delete_grace: Duration,
    /// How long a guest may take to reboot before it is reset.
    pub reboot_timeout: Duration,
    /// Days that a deleted VM is kept where the request does not say; 0 removes at once.
    pub trash_keep_days: u32,
    /// Bytes of disks promised per byte of the pool, at most, in percent: disks grow as they are written.
    pub storage_percent_max: u32,
    /// Space that must be free in a pool before a disk is made in it.
    pub storage_bytes_min: u64,
    /// Most virtual processors of one VM; the hypervisor's own limit counts too.
    pub cpu_cores_max: u32,
    /// Least bytes of memory of one VM.
    pub memory_bytes_min: u64,
    /// Most bytes of one disk.
    pub disk_bytes_max: u64,
    /// Most data disks made with a VM.
    pub volumes_max: usize,
    /// Most NICs of a VM.
    pub nics_max: usize,
    /// Most VMs on the node.
    pub vms_max: usize,
    /// Most images.
    pub images_max: usize,
    /// Most specifications.
    pub specifications_max: usize,
}

impl Default for VerbSettings {
    fn default() -> Self {
        Self {
            images_directory: "/var/lib/hvnode/images".into(),
            volumes_directory: "/var/lib/hvnode/volumes".into(),
            default_network: "default".into(),
            stop_timeout: Duration::from_secs(60),
            delete_grace: Duration::from_secs(10),
            reboot_timeout: Duration::from_secs(60),
            trash_keep_days: 0,
            storage_percent_max: 1000,
            storage_bytes_min: 64 << 20,
            cpu_cores_max: 256,
            memory_bytes_min: 16 << 20,
            disk_bytes_max: 64 << 40,
            volumes_max: 16,
            nics_max: 8,
            vms_max: 5000,
            images_max: 1000,
            specifications_max: 1000,
        }
    }
}
