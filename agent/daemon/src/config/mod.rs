//! The configuration: every key, its type and its default. `config/hvnode.toml` documents each of them; a test keeps the two equal.
//!
//! Strict: a key that is not here is an error. Reading is in `load`, what a value must be beyond its type in `check`.

mod check;
mod load;
#[cfg(test)]
mod tests;

pub(crate) use load::{ConfigError, Purpose, load, load_defaults};

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the configuration is unless `--config` says otherwise.
pub(crate) const DEFAULT_PATH: &str = "/etc/hvnode/hvnode.toml";

macro_rules! section {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $key_doc:literal])* $key:ident: $type:ty = $default:expr,)* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name { $($(#[doc = $key_doc])* pub(crate) $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }
    };
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) node: Node,
    pub(crate) libvirt: Libvirt,
    pub(crate) network: Network,
    pub(crate) images: Images,
    pub(crate) vm: Vm,
    pub(crate) engine: Engine,
    pub(crate) statistics: Statistics,
    pub(crate) auth: Auth,
    pub(crate) tls: Tls,
    pub(crate) listen: Listen,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
}

section! {
    /// The node itself.
    Node {
        /// Name shown to clients; empty: the host's name.
        name: String = String::new(),
        /// Databases, lock, first password, storage pools.
        state_dir: PathBuf = "/var/lib/hvnode".into(),
        /// Sockets.
        runtime_dir: PathBuf = "/run/hvnode".into(),
        /// Virtual processors promised per hardware thread, until an operator sets another value through the API.
        cpu_ratio: f64 = 8.0,
        /// Guest memory promised per byte of host memory, until an operator sets another value.
        memory_ratio: f64 = 1.0,
        /// Memory kept for the host itself, until an operator sets another value.
        reserved_memory_bytes: u64 = 512 << 20,
        /// Disk space promised per byte of the volumes pool.
        storage_ratio: f64 = 10.0,
    }
}

/// Which kind of execution guests get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VirtType {
    Auto,
    Kvm,
    Qemu,
}

/// How screens are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Display {
    Loopback,
    Unix,
    None,
}

/// How QEMU uses the host's page cache for disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DiskCache {
    Writeback,
    None,
}

section! {
    /// How libvirt is reached and used.
    Libvirt {
        /// Which libvirt.
        uri: String = "qemu:///system".into(),
        /// Connections that share the calls.
        connections: usize = 4,
        /// Threads for changes.
        change_threads: usize = 8,
        /// Threads for reads.
        read_threads: usize = 4,
        /// Deadline of a change.
        call_timeout_seconds: u64 = 30,
        /// Deadline of a read of one object.
        read_timeout_seconds: u64 = 5,
        /// Kind of execution.
        virt_type: VirtType = VirtType::Auto,
        /// Screens.
        display: Display = Display::Loopback,
        /// Page cache.
        disk_cache: DiskCache = DiskCache::Writeback,
    }
}

section! {
    /// Networks.
    Network {
        /// Network a VM gets a NIC on if the request names none; empty: no NIC.
        default: String = "default".into(),
        /// Host bridges offered as networks besides libvirt's.
        bridges: Vec<String> = Vec::new(),
    }
}

section! {
    /// Where images come from.
    Images {
        /// URL schemes.
        url_schemes: Vec<String> = vec!["file".into(), "http".into(), "https".into()],
        /// Folders that `file:` URLs may point into.
        allowed_folders: Vec<PathBuf> = vec!["/var/lib/hvnode/import".into()],
        /// Most bytes of one image.
        size_max_bytes: u64 = 256 << 30,
        /// May an URL lead to a loopback, private or link-local address?
        allow_private_addresses: bool = false,
        /// Most bytes of the disk that an image describes.
        virtual_size_max_bytes: u64 = 16 << 40,
        /// Space that a transfer leaves free in the pool.
        keep_free_bytes: u64 = 256 << 20,
        /// Transfers at the same time.
        transfers_max: usize = 4,
        /// Time to reach a server.
        connect_timeout_seconds: u64 = 15,
        /// Longest silence of a server.
        idle_timeout_seconds: u64 = 60,
        /// Longest time for one image.
        total_timeout_seconds: u64 = 6 * 3600,
        /// The program that looks at untrusted images.
        qemu_img: PathBuf = "/usr/bin/qemu-img".into(),
        /// The program that puts it under limits.
        prlimit: PathBuf = "/usr/bin/prlimit".into(),
    }
}

section! {
    /// Defaults and limits of VMs and what belongs to them.
    Vm {
        /// How long a guest may take to shut down before it is switched off.
        stop_timeout_seconds: u64 = 60,
        /// The same where its VM is deleted.
        delete_grace_seconds: u64 = 10,
        /// How long a guest may take to reboot before it is reset.
        reboot_timeout_seconds: u64 = 60,
        /// Days a deleted VM stays in the trash where the request does not say.
        trash_keep_days: u32 = 0,
        /// Crashes in a row after which a VM with restart_on_crash is left alone.
        restarts_max: u32 = 10,
        /// Let VMs go on that a full pool stopped, once there is space.
        resume_after_full_pool: bool = true,
        /// Most virtual processors of one VM.
        cpu_cores_max: u32 = 256,
        /// Least memory of one VM.
        memory_min_bytes: u64 = 16 << 20,
        /// Most bytes of one disk.
        disk_max_bytes: u64 = 64 << 40,
        /// Most data disks made with a VM.
        volumes_max: usize = 16,
        /// Most NICs of a VM.
        nics_max: usize = 8,
        /// Most VMs.
        vms_max: usize = 5000,
        /// Most images.
        images_max: usize = 1000,
        /// Most specifications.
        specifications_max: usize = 1000,
    }
}

section! {
    /// Jobs and the picture of the node.
    Engine {
        /// Most jobs that have not ended.
        jobs_open_max: usize = 1000,
        /// Most steps at a time that are heavy on disks.
        disk_steps_max: usize = 4,
        /// Most steps at a time that boot a guest.
        start_steps_max: usize = 8,
        /// How often everything is read from libvirt again, events or not.
        relist_interval_seconds: u64 = 60,
        /// How often networks, leases and pools are read.
        network_interval_seconds: u64 = 15,
        /// How long a repeated `request_uuid` gives the first answer.
        idempotency_hours: u64 = 24,
        /// How long ended jobs are kept.
        job_retention_days: u64 = 30,
        /// How long operation rows are kept.
        operation_retention_days: u64 = 180,
        /// How long events are kept.
        event_retention_days: u64 = 7,
        /// Space that must be free in the volumes pool before a disk is made in it.
        storage_free_min_bytes: u64 = 64 << 20,
        /// How long a job waits in all for a libvirt that went away, and after that each step of its undo.
        libvirt_patience_seconds: u64 = 600,
        /// How long running jobs may take to end when the daemon stops.
        stop_timeout_seconds: u64 = 20,
    }
}

section! {
    /// Usage samples.
    Statistics {
        /// Pause between samples of the host's kernel: of the host, and of every VM's process.
        kernel_interval_seconds: u64 = 10,
        /// Pause between questions to libvirt about every VM.
        hypervisor_interval_seconds: u64 = 30,
        /// How long every point is kept, in memory.
        fine_seconds: u64 = 300,
        /// How long averages of a minute are kept.
        minute_hours: u64 = 24,
        /// How long averages of fifteen minutes are kept.
        coarse_days: u64 = 31,
    }
}

section! {
    /// Accounts and sessions.
    Auth {
        /// How long a token is valid.
        token_lifetime_seconds: u64 = 12 * 3600,
        /// Most tokens of one account.
        tokens_per_user_max: usize = 64,
        /// Failures after which a user is locked out for a client address.
        login_failures_max: u32 = 5,
        /// For how long at first; twice as long with every further failure.
        login_lock_seconds: u64 = 300,
        /// Longest lock.
        login_lock_max_seconds: u64 = 3600,
        /// Least characters of a password.
        password_min_length: usize = 8,
        /// Most API tokens of one account.
        api_tokens_per_user_max: usize = 32,
        /// Longest life of an API token.
        api_token_days_max: u64 = 366,
        /// May API tokens be valid for ever?
        api_tokens_without_expiry: bool = false,
        /// File with the first password of `admin`; empty: make one.
        admin_password_file: PathBuf = PathBuf::new(),
    }
}

/// Are clients asked for a certificate?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientCertificates {
    None,
    Optional,
    Required,
}

/// What the holder of a client certificate may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientRole {
    Admin,
    Operator,
    Reader,
    Login,
}

/// The oldest version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

section! {
    /// TLS, for every listener that has `tls = true`.
    Tls {
        /// Certificate and those between it and its authority; empty: the systemd credential.
        certificate_file: PathBuf = PathBuf::new(),
        /// Its private key; empty: the systemd credential.
        key_file: PathBuf = PathBuf::new(),
        /// Authorities of client certificates; empty: the systemd credential.
        client_ca_file: PathBuf = PathBuf::new(),
        /// Are clients asked for a certificate?
        client_certificates: ClientCertificates = ClientCertificates::None,
        /// What the holder of a client certificate may do, by a name in it.
        client_names: BTreeMap<String, ClientRole> = BTreeMap::new(),
        /// The oldest version that is accepted.
        minimum_version: TlsVersion = TlsVersion::Tls12,
        /// How long before the certificate's end warnings begin.
        expiry_warning_days: u64 = 14,
        /// Listeners that may speak plain HTTP where other machines reach them.
        insecure_plain_http_off_loopback: Vec<String> = Vec::new(),
    }
}

/// Where clients reach the daemon.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listen {
    pub(crate) native: ListenNative,
    pub(crate) openstack: ListenOpenstack,
    pub(crate) zstack: ListenZstack,
    pub(crate) chimestack: ListenChimestack,
}

section! {
    /// Listeners of the native dialect.
    ListenNative {
        /// TCP addresses.
        tcp: Vec<SocketAddr> = vec![SocketAddr::from(([127, 0, 0, 1], 7070))],
        /// Do the TCP addresses speak TLS?
        tls: bool = false,
        /// Unix socket; empty: none.
        unix: PathBuf = "/run/hvnode/hvnode.sock".into(),
        /// Group whose members need no token on the unix socket; empty: root only.
        unix_group: String = "hvnode".into(),
        /// Does every answer carry its English message a second time, as `message_en`?
        envelope_message_en: bool = true,
    }
}

section! {
    /// Listeners of the OpenStack dialect.
    ListenOpenstack {
        /// TCP addresses; none: the dialect is off.
        tcp: Vec<SocketAddr> = Vec::new(),
        /// Do they speak TLS?
        tls: bool = false,
        /// Where clients reach it, for the catalog; empty: as each client says in its Host header.
        public_url: String = String::new(),
        /// How long a token is valid.
        token_lifetime_seconds: u64 = 3600,
    }
}

section! {
    /// Listeners of the ZStack dialect.
    ListenZstack {
        /// TCP addresses; none: the dialect is off.
        tcp: Vec<SocketAddr> = Vec::new(),
        /// Do they speak TLS?
        tls: bool = false,
        /// How long a session is valid.
        token_lifetime_seconds: u64 = 72_000,
    }
}

section! {
    /// Listeners of the ChimeStack dialect.
    ListenChimestack {
        /// TCP addresses; none: the dialect is off.
        tcp: Vec<SocketAddr> = Vec::new(),
        /// Do they speak TLS?
        tls: bool = false,
        /// How long a token is valid.
        token_lifetime_seconds: u64 = 43_200,
        /// Numbers of VM states in place of the built-in ones, by the native API's word: { stopped = 4 }.
        vm_states: BTreeMap<String, i64> = BTreeMap::new(),
        /// The same for everything else that has a state.
        volume_states: BTreeMap<String, i64> = BTreeMap::new(),
        /// NICs.
        nic_states: BTreeMap<String, i64> = BTreeMap::new(),
        /// Images.
        image_states: BTreeMap<String, i64> = BTreeMap::new(),
        /// Networks and their subnets.
        network_states: BTreeMap<String, i64> = BTreeMap::new(),
        /// The host.
        host_states: BTreeMap<String, i64> = BTreeMap::new(),
        /// Whether the host is watched over.
        monitor_states: BTreeMap<String, i64> = BTreeMap::new(),
        /// Tasks, and last operations.
        task_states: BTreeMap<String, i64> = BTreeMap::new(),
    }
}

impl ListenChimestack {
    /// Its keys that hold numbers of states.
    pub(crate) fn states(&self) -> [(&'static str, &BTreeMap<String, i64>); 8] {
        [
            ("listen.chimestack.vm_states", &self.vm_states),
            ("listen.chimestack.volume_states", &self.volume_states),
            ("listen.chimestack.nic_states", &self.nic_states),
            ("listen.chimestack.image_states", &self.image_states),
            ("listen.chimestack.network_states", &self.network_states),
            ("listen.chimestack.host_states", &self.host_states),
            ("listen.chimestack.monitor_states", &self.monitor_states),
            ("listen.chimestack.task_states", &self.task_states),
        ]
    }
}

section! {
    /// Prometheus.
    Metrics {
        /// TCP addresses of `/metrics`.
        listen: Vec<SocketAddr> = vec![SocketAddr::from(([127, 0, 0, 1], 9177))],
        /// Do they speak TLS?
        tls: bool = false,
    }
}

section! {
    /// What clients may take.
    Limits {
        /// Most bytes of a request body.
        body_max_bytes: usize = 1 << 20,
        /// Time for a body to arrive.
        body_timeout_seconds: u64 = 30,
        /// Time for the head of a request to arrive.
        header_timeout_seconds: u64 = 10,
        /// Time for a TLS handshake.
        handshake_timeout_seconds: u64 = 10,
        /// Longest time for one request, waiting for its job included.
        request_timeout_seconds: u64 = 330,
        /// Time a connection may stay without a request.
        idle_timeout_seconds: u64 = 75,
        /// Requests at the same time, per listener.
        requests_max: usize = 512,
        /// Connections at the same time, per socket.
        connections_max: usize = 1024,
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Auto,
    Journald,
    Text,
}

section! {
    /// Log.
    Log {
        /// `error`, `warn`, `info`, `debug`, `trace`, or directives as in RUST_LOG.
        level: String = "info".into(),
        /// Where to.
        format: LogFormat = LogFormat::Auto,
    }
}

/// Keys (or sections, with a trailing dot) that a reload applies; all others need a restart.
const LIVE: &[&str] = &["auth.", "limits.", "log.level", "tls."];
/// Exceptions from [`LIVE`].
const NOT_LIVE: &[&str] = &["auth.admin_password_file", "limits.body_max_bytes", "tls.insecure_plain_http_off_loopback"];

/// Keys that differ between two configurations.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Difference {
    /// Applied by a reload.
    pub(crate) live: Vec<String>,
    /// Not before the next start.
    pub(crate) needs_restart: Vec<String>,
}

impl Config {
    /// Every key with its value.
    fn leaves(&self) -> Vec<(String, toml::Value)> {
        let mut leaves = Vec::new();
        if let Ok(tree) = toml::Value::try_from(self) {
            flatten(String::new(), tree, &mut leaves);
        }
        leaves
    }

    /// What differs in `new`.
    pub(crate) fn difference(&self, new: &Self) -> Difference {
        let mut difference = Difference::default();
        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (self.leaves().into_iter().collect(), new.leaves().into_iter().collect());
        // A table of free keys may have more of them in one than in the other.
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned() {
            let is_live = LIVE.iter().any(|live| key.starts_with(live)) && !NOT_LIVE.contains(&key.as_str());
            if is_live { difference.live.push(key) } else { difference.needs_restart.push(key) }
        }
        difference
    }
}

fn flatten(path: String, value: toml::Value, leaves: &mut Vec<(String, toml::Value)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                flatten(if path.is_empty() { key } else { format!("{path}.{key}") }, value, leaves);
            }
        }
        leaf => leaves.push((path, leaf)),
    }
}
