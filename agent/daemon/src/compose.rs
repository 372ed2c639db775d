//! Putting the parts together: from the configuration to an engine, accounts and listeners.

use crate::cli::Simulation;
use crate::config::{self, Config};
use crate::first_password::ensure_first_account;
use crate::identity::host_uuid;
use crate::metered_store::MeteredStore;
use crate::simulate;
use crate::sockets::{Inherited, Wanted};
use crate::tls::{self, Listener};
use arc_swap::ArcSwap;
use hvnode_api::accounts::{Accounts, AccountsConfig};
use hvnode_api::context::{ApiContext, FrameErrors, NodeIdentity};
use hvnode_api::dialect::{chimestack, native, openstack, zstack};
use hvnode_api::frame::{Frame, FrameLimits, FrameParts, routes_of};
use hvnode_api::health::{Health, SnapshotSource};
use hvnode_api::listener::{Admission, BoundSocket, PeerTrust};
use hvnode_api::metrics::{self, Metrics, PlainErrors, ReadingsSource};
use hvnode_api::records::Records;
use hvnode_api::tls::Tls;
use hvnode_core::AgentError;
use hvnode_core::engine::{Engine, EngineConfig, EnginePorts, PolicySettings, StatisticsSettings};
use hvnode_core::model::HostSettings;
use hvnode_core::port::{Clock, HostProbe, Hypervisor, ImageTransfer, Store, SystemClock};
use hvnode_core::verb::VerbSettings;
use hvnode_image::{ImageConfig, ImageFetcher};
use hvnode_libvirt::{CallObserver, DiskCache, Display, LibvirtConfig, LibvirtHypervisor, PoolDirectories, VirtPreference};
use hvnode_probe::ProcProbe;
use hvnode_store::{SqliteHistory, SqliteStore};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Name of the listener for Prometheus.
pub(crate) const METRICS: &str = "metrics";
/// Name of the listeners of the native dialect.
pub(crate) const NATIVE: &str = "native";

/// A running node, not yet reachable.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) store: Arc<MeteredStore>,
    pub(crate) health: Arc<Health>,
    pub(crate) limits: Arc<ArcSwap<FrameLimits>>,
    /// Set where a listener speaks TLS.
    pub(crate) tls: Option<Arc<Tls>>,
    records: Arc<Records>,
    metrics: Arc<Metrics>,
    snapshot: SnapshotSource,
    readings: ReadingsSource,
}

/// A socket and what answers on it.
pub(crate) struct Door {
    pub(crate) socket: BoundSocket,
    pub(crate) frame: Arc<Frame>,
    pub(crate) admission: Admission,
}

/// Starts everything behind the listeners. With a simulation, a node in memory takes the place of libvirt.
pub(crate) async fn start_node(config: &Config, simulation: Option<&Simulation>) -> Result<Node, String> {
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION")).map_err(|error| reason(&error))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tls = start_tls(config, &metrics, &clock).await?;
    let database = config.node.state_dir.join("state.db");
    let sqlite = blocking(move || SqliteStore::open(database)).await?.map_err(|error| reason(&error))?;
    let store = MeteredStore::new(sqlite, metrics.clone());
    let mut stored = store.load().await.map_err(|error| reason(&error))?;
    let (accounts, tokens) = (std::mem::take(&mut stored.accounts), std::mem::take(&mut stored.tokens));
    let records = Records::start(store.clone(), std::mem::take(&mut stored.dialect_records), clock.clone());
    let (accounts_store, accounts_config, accounts_clock) = (store.clone(), accounts_config(config), clock.clone());
    let accounts = blocking(move || Accounts::start(accounts_store, accounts, tokens, accounts_config, accounts_clock)).await?;
    let accounts = accounts.map_err(|error| reason(&error))?;
    accounts.refusals().count_in(metrics.refusals());
    ensure_first_account(&accounts, &config.auth, &config.node.state_dir).await?;

    let outside = match simulation {
        Some(simulation) => simulate::start(simulation, config, &*store, &mut stored, &clock).await?,
        None => real(config, &metrics).await?,
    };
    let Outside { hypervisor, images, probe } = outside;
    // Opens whatever happens: a node without history is better than no node.
    let database = config.node.state_dir.join("statistics.db");
    let history = blocking(move || SqliteHistory::open(database)).await?;
    let probe = Arc::new(NamedProbe { inner: probe, name: config.node.name.clone() });
    let ports = EnginePorts { hypervisor, store: store.clone(), images, probe, history, clock };
    let state_dir = config.node.state_dir.clone();
    let host_uuid = blocking(move || host_uuid(&state_dir)).await??;
    let engine_config = EngineConfig { host_uuid: Some(host_uuid), ..engine_config(config) };
    let engine = Engine::start(engine_config, ports, stored).await.map_err(|error| reason(&error))?;

    let source = engine.clone();
    let snapshot: SnapshotSource = Arc::new(move || source.snapshot());
    let source = engine.clone();
    let readings: ReadingsSource = Arc::new(move || source.readings());
    let health = Health::new(snapshot.clone());
    store.report_to(&health);
    if let Some(tls) = tls.clone() {
        health.add(Arc::new(move || tls.component()));
    }
    let limits = Arc::new(ArcSwap::from_pointee(frame_limits(config)));
    Ok(Node { engine, accounts, store, health, limits, tls, records, metrics, snapshot, readings })
}

impl Node {
    /// Opens every listener of the configuration, handed-over sockets first.
    pub(crate) async fn open_doors(&self, config: &Config, mut inherited: Inherited) -> Result<Vec<Door>, String> {
        let whole = config.clone();
        let opened = blocking(move || -> hvnode_core::Result<_> {
            let native = &whole.listen.native;
            let trust = PeerTrust::new(&native.unix_group);
            let unix = (!native.unix.as_os_str().is_empty()).then_some(native.unix.as_path());
            let mut sockets = Vec::new();
            for Listener { name, tcp, speaks_tls, .. } in tls::listeners(&whole) {
                let (unix, group) = if name == NATIVE { (unix, trust.group()) } else { (None, None) };
                sockets.push((name, speaks_tls, inherited.open(&Wanted { name, tcp, unix, group })?));
            }
            Ok((trust, sockets, inherited.left()))
        });
        let (trust, sockets, left) = opened.await?.map_err(|error| reason(&error))?;
        for socket in left {
            tracing::warn!(socket, "the service manager handed over a socket that belongs to no listener; it is closed");
        }
        let trust = Arc::new(trust);
        let mut doors = Vec::new();
        for (name, speaks_tls, sockets) in sockets.into_iter().filter(|(_, _, sockets)| !sockets.is_empty()) {
            let frame = self.frame_of(name, config);
            let admission = Admission { trust: trust.clone(), tls: self.tls.clone().filter(|_| speaks_tls) };
            doors.extend(sockets.into_iter().map(|socket| Door { socket, frame: frame.clone(), admission: admission.clone() }));
        }
        Ok(doors)
    }

    /// What answers on the listeners of one name.
    fn frame_of(&self, name: &'static str, config: &Config) -> Arc<Frame> {
        let context = self.context(config);
        let identity = context.node.clone();
        let (routes, errors): (_, Arc<dyn FrameErrors>) = match name {
            METRICS => {
                let router = metrics::router(self.metrics.clone(), self.snapshot.clone(), self.readings.clone());
                (routes_of(router), Arc::new(PlainErrors))
            }
            openstack::DIALECT => {
                let options = openstack::OpenStackOptions { public_url: config.listen.openstack.public_url.clone() };
                (routes_of(openstack::router(context, options)), Arc::new(openstack::OpenStackErrors))
            }
            zstack::DIALECT => {
                let options = zstack::ZStackOptions { trash_keep_days: config.vm.trash_keep_days.max(1) };
                (routes_of(zstack::router(context, options)), Arc::new(zstack::ZStackErrors))
            }
            chimestack::DIALECT => {
                // Checked with the configuration.
                let states = chimestack::States::new(config.listen.chimestack.states()).unwrap_or_default();
                let options = chimestack::ChimeStackOptions { states };
                (routes_of(chimestack::router(context, options)), Arc::new(chimestack::ChimeStackErrors))
            }
            _ => {
                let options = native::NativeOptions { has_message_en: config.listen.native.envelope_message_en };
                (native::routes(context, options), Arc::new(native::NativeErrors::new(identity, options)))
            }
        };
        Frame::new(FrameParts {
            dialect: name,
            routes,
            errors,
            limits: self.limits.clone(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            is_logged_at_info: name != METRICS,
            is_upload: match name {
                openstack::DIALECT => openstack::is_upload,
                METRICS | zstack::DIALECT | chimestack::DIALECT => |_, _| false,
                _ => native::is_upload,
            },
        })
    }

    fn context(&self, config: &Config) -> ApiContext {
        let identity = Arc::new(NodeIdentity {
            ip_address: (self.snapshot)().facts.ip_address.clone(),
            process_id: std::process::id(),
            program: "hvnoded".to_owned(),
        });
        ApiContext {
            engine: self.engine.clone(),
            accounts: self.accounts.clone(),
            records: self.records.clone(),
            node: identity,
            body_bytes_max: config.limits.body_max_bytes,
        }
    }
}

/// What the engine deals with outside this process.
pub(crate) struct Outside {
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) images: Arc<dyn ImageTransfer>,
    pub(crate) probe: Box<dyn HostProbe>,
}

async fn start_tls(config: &Config, metrics: &Arc<Metrics>, clock: &Arc<dyn Clock>) -> Result<Option<Arc<Tls>>, String> {
    let settings = tls::settings(config, tls::credentials_directory().as_deref()).map_err(|(key, text)| format!("{key}: {text}"))?;
    let Some(settings) = settings else { return Ok(None) };
    let names = tls::listeners(config).into_iter().filter(|listener| listener.speaks_tls).map(|listener| listener.name).collect();
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    let (metrics, clock) = (metrics.clone(), clock.clone());
    let started = blocking(move || Tls::start(&settings, names, threads, metrics, clock)).await?;
    started.map(Some).map_err(|problem| format!("{}: {}", tls::key_of(problem.part), problem.text))
}

async fn real(config: &Config, metrics: &Arc<Metrics>) -> Result<Outside, String> {
    let libvirt = libvirt_config(config);
    let hypervisor = blocking(move || LibvirtHypervisor::start(libvirt)).await?.map_err(|error| reason(&error))?;
    let metrics = metrics.clone();
    let observer: CallObserver = Arc::new(move |call, outcome, duration| metrics.observe_hypervisor_call(call, outcome, duration));
    hypervisor.observe_calls(&observer);
    Ok(Outside { hypervisor, images: ImageFetcher::new(image_config(config)), probe: Box::new(ProcProbe::default()) })
}

/// The kernel's facts under the name that the operator chose.
struct NamedProbe {
    inner: Box<dyn HostProbe>,
    name: String,
}

impl HostProbe for NamedProbe {
    fn facts(&self) -> hvnode_core::Result<hvnode_core::model::HostFacts> {
        let mut facts = self.inner.facts()?;
        if !self.name.is_empty() {
            facts.host_name.clone_from(&self.name);
        }
        Ok(facts)
    }

    fn sample(&self) -> hvnode_core::Result<hvnode_core::model::HostSample> {
        self.inner.sample()
    }

    fn sample_vms(&self, targets: &[hvnode_core::model::VmTarget]) -> hvnode_core::Result<Vec<hvnode_core::model::KernelSample>> {
        self.inner.sample_vms(targets)
    }
}

/// What went wrong in words for the operator: the detail and every cause, without the API's own text for the code.
pub(crate) fn reason(error: &AgentError) -> String {
    if error.detail().en.is_empty() {
        return error.chain();
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.detail().en.clone(), |text, cause| text + ": " + &cause.to_string())
}

/// Runs what may block away from the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("a part of the start broke off: {error}"))
}

fn token_lifetimes(config: &Config) -> BTreeMap<String, Duration> {
    let listen = &config.listen;
    let lifetimes = [
        (openstack::DIALECT, listen.openstack.token_lifetime_seconds),
        (zstack::DIALECT, listen.zstack.token_lifetime_seconds),
        (chimestack::DIALECT, listen.chimestack.token_lifetime_seconds),
    ];
    lifetimes.map(|(dialect, seconds)| (dialect.to_owned(), Duration::from_secs(seconds))).into()
}

/// The part of the configuration that accounts need.
pub(crate) fn accounts_config(config: &Config) -> AccountsConfig {
    let auth = &config.auth;
    AccountsConfig {
        token_lifetime: Duration::from_secs(auth.token_lifetime_seconds),
        token_lifetime_of: token_lifetimes(config),
        tokens_per_user_max: auth.tokens_per_user_max,
        login_failures_max: auth.login_failures_max,
        login_lock_time: Duration::from_secs(auth.login_lock_seconds),
        login_lock_time_max: Duration::from_secs(auth.login_lock_max_seconds),
        password_length_min: auth.password_min_length,
        api_tokens_per_user_max: auth.api_tokens_per_user_max,
        api_token_lifetime_max: Duration::from_secs(auth.api_token_days_max * 86_400),
        has_endless_api_tokens: auth.api_tokens_without_expiry,
    }
}

/// The part of the configuration that listeners need.
pub(crate) fn frame_limits(config: &Config) -> FrameLimits {
    let limits = &config.limits;
    FrameLimits {
        request_timeout: Duration::from_secs(limits.request_timeout_seconds),
        requests_max: limits.requests_max,
        body_bytes_max: limits.body_max_bytes,
        body_timeout: Duration::from_secs(limits.body_timeout_seconds),
        header_timeout: Duration::from_secs(limits.header_timeout_seconds),
        handshake_timeout: Duration::from_secs(limits.handshake_timeout_seconds),
        idle_timeout: Duration::from_secs(limits.idle_timeout_seconds),
        connections_max: limits.connections_max,
    }
}

fn pool_directories(state_dir: &Path) -> PoolDirectories {
    PoolDirectories { images: state_dir.join("images"), volumes: state_dir.join("volumes"), console: state_dir.join("console") }
}

fn libvirt_config(config: &Config) -> LibvirtConfig {
    let libvirt = &config.libvirt;
    LibvirtConfig {
        uri: libvirt.uri.clone(),
        connections: libvirt.connections,
        change_threads: libvirt.change_threads,
        read_threads: libvirt.read_threads,
        call_deadline: Duration::from_secs(libvirt.call_timeout_seconds),
        read_deadline: Duration::from_secs(libvirt.read_timeout_seconds),
        virt_type: match libvirt.virt_type {
            config::VirtType::Auto => VirtPreference::Auto,
            config::VirtType::Kvm => VirtPreference::Kvm,
            config::VirtType::Qemu => VirtPreference::Qemu,
        },
        pools: pool_directories(&config.node.state_dir),
        bridges: config.network.bridges.clone(),
        display: match libvirt.display {
            config::Display::Loopback => Display::Loopback,
            config::Display::Unix => Display::UnixSocket { directory: None },
            config::Display::None => Display::None,
        },
        disk_cache: match libvirt.disk_cache {
            config::DiskCache::Writeback => DiskCache::Writeback,
            config::DiskCache::None => DiskCache::None,
        },
    }
}

fn image_config(config: &Config) -> ImageConfig {
    let images = &config.images;
    let allows = |scheme: &str| images.url_schemes.iter().any(|allowed| allowed == scheme);
    ImageConfig {
        allowed_folders: if allows("file") { images.allowed_folders.clone() } else { Vec::new() },
        allow_http: allows("http"),
        allow_https: allows("https"),
        allow_private_addresses: images.allow_private_addresses,
        size_max_bytes: images.size_max_bytes,
        virtual_size_max_bytes: images.virtual_size_max_bytes,
        keep_free_bytes: images.keep_free_bytes,
        transfers_max: images.transfers_max,
        connect_timeout: Duration::from_secs(images.connect_timeout_seconds),
        idle_timeout: Duration::from_secs(images.idle_timeout_seconds),
        total_timeout: Duration::from_secs(images.total_timeout_seconds),
        qemu_img: images.qemu_img.clone(),
        prlimit: images.prlimit.clone(),
        ..ImageConfig::default()
    }
}

/// A ratio as whole percent. The configuration keeps it within what fits.
fn percent(ratio: f64) -> u32 {
    (ratio * 100.0).round() as u32
}

fn engine_config(config: &Config) -> EngineConfig {
    let (engine, vm) = (&config.engine, &config.vm);
    let pools = pool_directories(&config.node.state_dir);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (hours, days) = (|hours| Duration::from_secs(hours * 3600), |days| Duration::from_secs(days * 86_400));
    EngineConfig {
        host_uuid: None,
        verb: VerbSettings {
            images_directory: text(&pools.images),
            volumes_directory: text(&pools.volumes),
            default_network: config.network.default.clone(),
            stop_timeout: Duration::from_secs(vm.stop_timeout_seconds),
            delete_grace: Duration::from_secs(vm.delete_grace_seconds),
            reboot_timeout: Duration::from_secs(vm.reboot_timeout_seconds),
            trash_keep_days: vm.trash_keep_days,
            storage_percent_max: percent(config.node.storage_ratio),
            storage_bytes_min: engine.storage_free_min_bytes,
            cpu_cores_max: vm.cpu_cores_max,
            memory_bytes_min: vm.memory_min_bytes,
            disk_bytes_max: vm.disk_max_bytes,
            volumes_max: vm.volumes_max,
            nics_max: vm.nics_max,
            vms_max: vm.vms_max,
            images_max: vm.images_max,
            specifications_max: vm.specifications_max,
        },
        host: HostSettings {
            description: String::new(),
            cpu_ratio: config.node.cpu_ratio,
            memory_ratio: config.node.memory_ratio,
            reserved_memory_bytes: config.node.reserved_memory_bytes,
        },
        jobs_open_max: engine.jobs_open_max,
        disk_steps_max: engine.disk_steps_max,
        start_steps_max: engine.start_steps_max,
        relist_interval: Duration::from_secs(engine.relist_interval_seconds),
        network_interval: Duration::from_secs(engine.network_interval_seconds),
        statistics: StatisticsSettings {
            kernel_interval: Duration::from_secs(config.statistics.kernel_interval_seconds),
            hypervisor_interval: Duration::from_secs(config.statistics.hypervisor_interval_seconds),
            fine_retention: Duration::from_secs(config.statistics.fine_seconds),
            minute_retention: hours(config.statistics.minute_hours),
            coarse_retention: days(config.statistics.coarse_days),
        },
        idempotency_window: hours(engine.idempotency_hours),
        job_retention: days(engine.job_retention_days),
        operation_retention: days(engine.operation_retention_days),
        event_retention: days(engine.event_retention_days),
        policy: PolicySettings {
            resumes_after_full_pool: vm.resume_after_full_pool,
            restarts_max: vm.restarts_max,
            ..PolicySettings::default()
        },
        hypervisor_patience: Duration::from_secs(engine.libvirt_patience_seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The configuration's defaults are written down twice: where operators read them, and where the parts can be used alone.
    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_parts() {
        let config = Config::default();
        let accounts = AccountsConfig { token_lifetime_of: token_lifetimes(&config), ..AccountsConfig::default() };
        assert_eq!(accounts_config(&config), accounts);
        assert_eq!(frame_limits(&config), FrameLimits::default());
        assert_eq!(format!("{:?}", engine_config(&config)), format!("{:?}", EngineConfig::default()));
        let folders = vec!["/var/lib/hvnode/import".into()];
        assert_eq!(image_config(&config), ImageConfig { allowed_folders: folders, ..ImageConfig::default() });
        assert_eq!(libvirt_config(&config), LibvirtConfig::new("qemu:///system", pool_directories(Path::new("/var/lib/hvnode"))));
    }
}
