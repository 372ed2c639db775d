//! What values must be beyond their type.

use super::{ClientCertificates, Config, Purpose, Statistics};
use crate::tls;
use hvnode_core::model::Timestamp;
use std::collections::BTreeSet;
use std::path::Path;

/// A value that will not do.
pub(super) struct Problem {
    pub(super) key: &'static str,
    pub(super) text: String,
}

/// Longest path of a unix socket that the kernel takes.
const SOCKET_PATH_MAX: usize = 107;

/// Longest name of a client certificate.
const CLIENT_NAME_MAX: usize = 253;

/// Every problem, so that one run shows them all. `credentials` is where the service manager put secrets.
pub(super) fn check(config: &Config, purpose: Purpose, credentials: Option<&Path>) -> Vec<Problem> {
    let mut report = Report(Vec::new());
    node(config, &mut report);
    libvirt(config, &mut report);
    images(config, &mut report);
    numbers(config, &mut report);
    listeners(config, &mut report);
    tls_keys(config, &mut report);
    tls_files(config, purpose, credentials, &mut report);
    log(config, &mut report);
    report.0
}

struct Report(Vec<Problem>);

impl Report {
    fn unless(&mut self, is_right: bool, key: &'static str, text: impl Into<String>) {
        if !is_right {
            self.0.push(Problem { key, text: text.into() });
        }
    }

    fn range<T: PartialOrd + Copy + std::fmt::Display>(&mut self, key: &'static str, value: T, least: T, most: T) {
        self.unless(value >= least && value <= most, key, format!("must be from {least} to {most}, is {value}"));
    }

    fn absolute(&mut self, key: &'static str, path: &Path) {
        self.unless(is_plain_absolute(path), key, format!("must be an absolute path without '..', is {:?}", path.display().to_string()));
    }
}

fn is_plain_absolute(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == std::path::Component::ParentDir)
}

fn node(config: &Config, report: &mut Report) {
    let node = &config.node;
    let is_name = node.name.is_empty() || hvnode_core::model::check_name(&node.name).is_ok();
    report.unless(is_name, "node.name", "must be 1 to 128 letters, digits, spaces or _-.+@:()");
    report.absolute("node.state_dir", &node.state_dir);
    report.absolute("node.runtime_dir", &node.runtime_dir);
    report.range("node.cpu_ratio", node.cpu_ratio, 0.1, 1000.0);
    report.range("node.memory_ratio", node.memory_ratio, 0.1, 100.0);
    report.range("node.storage_ratio", node.storage_ratio, 0.1, 10_000.0);
}

fn libvirt(config: &Config, report: &mut Report) {
    let libvirt = &config.libvirt;
    let is_uri = libvirt.uri.contains(':') && !libvirt.uri.chars().any(|c| c.is_whitespace() || c.is_control());
    report.unless(is_uri, "libvirt.uri", "must be a libvirt URI such as qemu:///system");
    report.range("libvirt.connections", libvirt.connections, 1, 32);
    report.range("libvirt.change_threads", libvirt.change_threads, 1, 128);
    report.range("libvirt.read_threads", libvirt.read_threads, 1, 128);
    report.range("libvirt.call_timeout_seconds", libvirt.call_timeout_seconds, 1, 3600);
    report.range("libvirt.read_timeout_seconds", libvirt.read_timeout_seconds, 1, 600);
    for bridge in &config.network.bridges {
        let is_name =
            (1..=15).contains(&bridge.len()) && bridge.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'));
        report.unless(is_name, "network.bridges", format!("{bridge:?} is no interface name: 1 to 15 of A-Z a-z 0-9 _ - ."));
    }
}

fn images(config: &Config, report: &mut Report) {
    let images = &config.images;
    for scheme in &images.url_schemes {
        let is_known = matches!(scheme.as_str(), "file" | "http" | "https");
        report.unless(is_known, "images.url_schemes", format!("{scheme:?} is not one of \"file\", \"http\", \"https\""));
    }
    for folder in &images.allowed_folders {
        report.absolute("images.allowed_folders", folder);
        report.unless(folder != Path::new("/"), "images.allowed_folders", "must not be \"/\": that allows every file of the host");
    }
    report.range("images.size_max_bytes", images.size_max_bytes, 1 << 20, 1 << 50);
    report.range("images.virtual_size_max_bytes", images.virtual_size_max_bytes, 1 << 20, 1 << 60);
    report.range("images.keep_free_bytes", images.keep_free_bytes, 0, 1 << 50);
    report.range("images.transfers_max", images.transfers_max, 1, 256);
    report.range("images.total_timeout_seconds", images.total_timeout_seconds, 1, 30 * 86_400);
    report.absolute("images.qemu_img", &images.qemu_img);
    report.absolute("images.prlimit", &images.prlimit);
    report.range("images.connect_timeout_seconds", images.connect_timeout_seconds, 1, 600);
    report.range("images.idle_timeout_seconds", images.idle_timeout_seconds, 1, 3600);
}

fn numbers(config: &Config, report: &mut Report) {
    let (vm, engine, auth, limits) = (&config.vm, &config.engine, &config.auth, &config.limits);
    report.range("vm.stop_timeout_seconds", vm.stop_timeout_seconds, 1, 3600);
    report.range("vm.delete_grace_seconds", vm.delete_grace_seconds, 0, 3600);
    report.range("vm.reboot_timeout_seconds", vm.reboot_timeout_seconds, 1, 3600);
    report.range("vm.trash_keep_days", vm.trash_keep_days, 0, 3650);
    report.range("vm.restarts_max", vm.restarts_max, 0, 1_000_000);
    report.range("vm.cpu_cores_max", vm.cpu_cores_max, 1, 4096);
    report.range("vm.memory_min_bytes", vm.memory_min_bytes, 1 << 20, 1 << 40);
    report.range("vm.disk_max_bytes", vm.disk_max_bytes, 1 << 20, 1 << 60);
    report.range("vm.volumes_max", vm.volumes_max, 0, 200);
    report.range("vm.nics_max", vm.nics_max, 0, 64);
    report.range("vm.vms_max", vm.vms_max, 1, 100_000);
    report.range("vm.images_max", vm.images_max, 1, 100_000);
    report.range("vm.specifications_max", vm.specifications_max, 1, 100_000);
    report.range("engine.jobs_open_max", engine.jobs_open_max, 1, 100_000);
    report.range("engine.disk_steps_max", engine.disk_steps_max, 1, 256);
    report.range("engine.start_steps_max", engine.start_steps_max, 1, 256);
    report.range("engine.relist_interval_seconds", engine.relist_interval_seconds, 1, 86_400);
    report.range("engine.network_interval_seconds", engine.network_interval_seconds, 1, 3600);
    report.range("engine.idempotency_hours", engine.idempotency_hours, 1, 24 * 30);
    report.range("engine.job_retention_days", engine.job_retention_days, 1, 3650);
    report.range("engine.operation_retention_days", engine.operation_retention_days, 1, 3650);
    report.range("engine.event_retention_days", engine.event_retention_days, 1, 3650);
    report.range("engine.storage_free_min_bytes", engine.storage_free_min_bytes, 0, 1 << 50);
    report.range("engine.libvirt_patience_seconds", engine.libvirt_patience_seconds, 0, 86_400);
    report.range("engine.stop_timeout_seconds", engine.stop_timeout_seconds, 0, 3600);
    statistics(&config.statistics, report);
    report.range("auth.token_lifetime_seconds", auth.token_lifetime_seconds, 60, 365 * 86_400);
    report.range("auth.tokens_per_user_max", auth.tokens_per_user_max, 1, 10_000);
    report.range("auth.login_failures_max", auth.login_failures_max, 1, 1000);
    report.range("auth.login_lock_seconds", auth.login_lock_seconds, 1, 86_400);
    report.range("auth.login_lock_max_seconds", auth.login_lock_max_seconds, 1, 30 * 86_400);
    report.range("auth.password_min_length", auth.password_min_length, 8, 128);
    report.range("auth.api_tokens_per_user_max", auth.api_tokens_per_user_max, 0, 1000);
    report.range("auth.api_token_days_max", auth.api_token_days_max, 1, 36_500);
    report.range("limits.body_max_bytes", limits.body_max_bytes, 1 << 10, 64 << 20);
    report.range("limits.body_timeout_seconds", limits.body_timeout_seconds, 1, 3600);
    report.range("limits.header_timeout_seconds", limits.header_timeout_seconds, 1, 600);
    report.range("limits.handshake_timeout_seconds", limits.handshake_timeout_seconds, 1, 600);
    report.range("limits.request_timeout_seconds", limits.request_timeout_seconds, 1, 86_400);
    report.range("limits.idle_timeout_seconds", limits.idle_timeout_seconds, 1, 86_400);
    report.range("limits.requests_max", limits.requests_max, 1, 1_000_000);
    report.range("limits.connections_max", limits.connections_max, 1, 1_000_000);
}

fn statistics(statistics: &Statistics, report: &mut Report) {
    report.range("statistics.kernel_interval_seconds", statistics.kernel_interval_seconds, 1, 60);
    report.range("statistics.hypervisor_interval_seconds", statistics.hypervisor_interval_seconds, 1, 3600);
    report.range("statistics.fine_seconds", statistics.fine_seconds, 120, 3600);
    report.range("statistics.minute_hours", statistics.minute_hours, 1, 31 * 24);
    report.range("statistics.coarse_days", statistics.coarse_days, 1, 366);
    let (kernel, hypervisor) = (statistics.kernel_interval_seconds, statistics.hypervisor_interval_seconds);
    let text = format!("must be at least statistics.kernel_interval_seconds ({kernel}), is {hypervisor}: asking libvirt costs more");
    report.unless(hypervisor >= kernel, "statistics.hypervisor_interval_seconds", text);
    let (hours, days) = (statistics.minute_hours, statistics.coarse_days);
    let text = format!("must not be shorter than statistics.minute_hours ({hours}), is {days}");
    report.unless(days.saturating_mul(24) >= hours, "statistics.coarse_days", text);
}

fn listeners(config: &Config, report: &mut Report) {
    let native = &config.listen.native;
    if !native.unix.as_os_str().is_empty() {
        report.absolute("listen.native.unix", &native.unix);
        let length = native.unix.as_os_str().len();
        let text = format!("must have at most {SOCKET_PATH_MAX} bytes, has {length}: the kernel takes no longer socket path");
        report.unless(length <= SOCKET_PATH_MAX, "listen.native.unix", text);
    }
    let has_native = !native.tcp.is_empty() || !native.unix.as_os_str().is_empty();
    report.unless(has_native, "listen.native.tcp", "nobody could reach the API: give a TCP address here or a path in listen.native.unix");
    let mut seen = BTreeSet::new();
    let listen = &config.listen;
    for listener in tls::listeners(config) {
        for address in listener.tcp {
            report.unless(address.port() == 0 || seen.insert(*address), listener.tcp_key, format!("{address} is used twice"));
            let is_private = address.ip().is_loopback() || tls::may_be_plain(config, &listener);
            report.unless(is_private, listener.tcp_key, tls::plain_refusal(&listener, address));
        }
    }
    report.range("listen.openstack.token_lifetime_seconds", listen.openstack.token_lifetime_seconds, 60, 30 * 86_400);
    report.range("listen.zstack.token_lifetime_seconds", listen.zstack.token_lifetime_seconds, 60, 30 * 86_400);
    report.range("listen.chimestack.token_lifetime_seconds", listen.chimestack.token_lifetime_seconds, 60, 30 * 86_400);
    if let Err((key, problem)) = hvnode_api::dialect::chimestack::States::new(listen.chimestack.states()) {
        report.unless(false, key, problem);
    }
    let auth = &config.auth;
    if !auth.admin_password_file.as_os_str().is_empty() {
        report.absolute("auth.admin_password_file", &auth.admin_password_file);
    }
}

fn tls_keys(config: &Config, report: &mut Report) {
    let own = &config.tls;
    for (key, path) in
        [("tls.certificate_file", &own.certificate_file), ("tls.key_file", &own.key_file), ("tls.client_ca_file", &own.client_ca_file)]
    {
        if !path.as_os_str().is_empty() {
            report.absolute(key, path);
        }
    }
    report.range("tls.expiry_warning_days", own.expiry_warning_days, 0, 3650);
    let known = tls::listeners(config).map(|listener| listener.name);
    for name in &own.insecure_plain_http_off_loopback {
        let text = format!("{name:?} is not one of {known:?}");
        report.unless(known.contains(&name.as_str()), "tls.insecure_plain_http_off_loopback", text);
    }
    let (certificate, key) = (own.certificate_file.as_os_str(), own.key_file.as_os_str());
    let is_used = tls::listeners(config).iter().any(|listener| listener.speaks_tls);
    let text = "no listener uses it: set tls = true in [listen.native], [metrics] or where it is meant for";
    report.unless(certificate.is_empty() || is_used, "tls.certificate_file", text);
    report.unless(key.is_empty() || is_used, "tls.key_file", text);
    client_certificates(config, report);
}

fn client_certificates(config: &Config, report: &mut Report) {
    let own = &config.tls;
    for name in own.client_names.keys() {
        let is_name = (1..=CLIENT_NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        report.unless(is_name, "tls.client_names", format!("{name:?} must have 1 to {CLIENT_NAME_MAX} printable characters"));
    }
    if own.client_certificates == ClientCertificates::None {
        let text = "has no effect while tls.client_certificates is \"none\": set \"optional\" or \"required\"";
        report.unless(own.client_names.is_empty(), "tls.client_names", text);
        report.unless(own.client_ca_file.as_os_str().is_empty(), "tls.client_ca_file", text);
    } else {
        let text = "is empty, so every client certificate would be refused: { \"NAME IN THE CERTIFICATE\" = \"operator\" }, \
                    or \"*\" for every name";
        report.unless(!own.client_names.is_empty(), "tls.client_names", text);
    }
}

/// What the files hold. A certificate that has expired is told to who asks, and does not keep a node from serving its unix socket.
fn tls_files(config: &Config, purpose: Purpose, credentials: Option<&Path>, report: &mut Report) {
    match tls::settings(config, credentials) {
        Ok(None) => {}
        Err((key, text)) => report.unless(false, key, text),
        Ok(Some(settings)) => match hvnode_api::tls::check(&settings) {
            Err(problem) => report.unless(false, tls::key_of(problem.part), problem.text),
            Ok(validity) if purpose == Purpose::Check => {
                let file = settings.files.certificate.path().display();
                let problem = validity.problem(Timestamp::now()).map(|text| format!("{file}: {text}"));
                report.unless(problem.is_none(), "tls.certificate_file", problem.unwrap_or_default());
            }
            Ok(_) => {}
        },
    }
}

fn log(config: &Config, report: &mut Report) {
    let problem = crate::logging::parse_level(&config.log.level).err();
    report.unless(problem.is_none(), "log.level", problem.unwrap_or_default());
}
