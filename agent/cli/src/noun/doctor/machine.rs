//! What can be seen of the node by looking at the machine itself, with or without hvnoded.

use super::api::{Node, space};
use super::config::NodeConfig;
use super::report::Check;
use crate::client::{Client, Endpoint, Session};
use crate::text;
use crate::text::Language;
use crate::units::{format_time, now_seconds};
use nix::sys::statvfs::statvfs;
use nix::unistd::{Gid, Group, User, getgroups};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

/// Account that an installed hvnoded runs as.
const DAEMON_USER: &str = "hvnode";
/// Programs that keep a clock.
const TIME_SERVICES: [&str; 5] = ["chronyd", "ntpd", "systemd-timesyn", "openntpd", "ptp4l"];
/// How long a listener on this machine may take.
const LISTENER_PATIENCE: Duration = Duration::from_secs(3);
/// A certificate that ends sooner is told.
const EXPIRY_WARN_DAYS: i64 = 14;

/// The files of this machine, below a root that tests choose.
pub(super) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Self {
        Self { root: "/".into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    fn has(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// A figure of `/proc/meminfo`.
    fn memory(&self, name: &str) -> Option<u64> {
        let text = self.read("/proc/meminfo");
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok())
    }

    fn is_running(&self, programs: &[&str]) -> Option<String> {
        let entries = fs::read_dir(self.at("/proc")).ok()?;
        let names = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).find(|name| programs.contains(&name.as_str()))
    }
}

/// Everything that needs no connection.
pub(super) fn look(machine: &Machine, config: &NodeConfig, node: &Node) -> Vec<Check> {
    let mut checks = vec![kernel(machine, node), hugepages(machine), time_service(machine)];
    if config.is_known {
        checks.push(state_folder(config));
        checks.push(permissions(config));
        if !node.is_up {
            checks.push(libvirt_socket(config));
        }
        checks.extend(certificate_file(config));
    }
    checks
}

/// Modules, and whether the processor can do it.
fn kernel(machine: &Machine, node: &Node) -> Check {
    let has = |module: &str| machine.has(&format!("/sys/module/{module}"));
    let flags = machine.read("/proc/cpuinfo");
    let can =
        |flag: &str| flags.lines().filter(|line| line.starts_with("flags")).any(|line| line.split_whitespace().any(|word| word == flag));
    let is_x86 = flags.contains("vendor_id");
    let is_capable = !is_x86 || can("vmx") || can("svm");
    let is_kvm_there = machine.has("/dev/kvm");
    if !is_capable {
        return Check::ok(
            "kernel",
            text!("this processor shows no VT-x or AMD-V, so no module is needed; see the kvm check"; "处理器未提供 VT-x 或 AMD-V, 不需要内核模块; 见 kvm 检查项"),
        );
    }
    if !is_kvm_there {
        let module = if can("svm") { "kvm_amd" } else { "kvm_intel" };
        return Check::warn(
            "kernel",
            text!("there is no /dev/kvm although the processor can do it"; "处理器支持硬件虚拟化, 但没有 /dev/kvm"),
            text!("modprobe {module}; then systemctl restart libvirtd hvnoded"; "modprobe {module}, 然后 systemctl restart libvirtd hvnoded"),
        );
    }
    let is_vhost_there = has("vhost_net") || machine.has("/dev/vhost-net");
    if !is_vhost_there && node.is_emulated == Some(false) {
        return Check::warn(
            "kernel",
            text!("module vhost_net is not loaded: networks of guests are slower than need be"; "未加载 vhost_net 模块: 虚拟机网络性能受限"),
            text!("modprobe vhost_net; echo vhost_net > /etc/modules-load.d/vhost.conf"; "modprobe vhost_net; echo vhost_net > /etc/modules-load.d/vhost.conf"),
        );
    }
    Check::ok("kernel", text!("/dev/kvm is there"; "/dev/kvm 可用"))
}

fn hugepages(machine: &Machine) -> Check {
    match (machine.memory("HugePages_Total"), machine.memory("HugePages_Free")) {
        (Some(all @ 1..), Some(0)) => Check::warn(
            "hugepages",
            text!("none of {all} huge pages is free"; "{all} 个大页已全部用完"),
            text!("raise vm.nr_hugepages"; "请增大 vm.nr_hugepages"),
        ),
        (Some(all @ 1..), free) => {
            let free = free.unwrap_or(0);
            Check::ok("hugepages", text!("{free} of {all} huge pages are free"; "大页空闲 {free}/{all}"))
        }
        _ => Check::ok("hugepages", text!("none are set aside"; "未配置大页")),
    }
}

fn time_service(machine: &Machine) -> Check {
    if machine.has("/run/systemd/timesync/synchronized") {
        return Check::ok("time", text!("the clock is synchronized"; "时钟已同步"));
    }
    if let Some(service) = machine.is_running(&TIME_SERVICES) {
        return Check::ok("time", text!("{service} keeps the clock"; "{service} 正在维护时钟"));
    }
    if !machine.has("/run/systemd/system") {
        return Check::skip(
            "time",
            text!("no time service is seen here; a container's clock is its host's"; "未发现时间服务; 容器的时钟由宿主机维护"),
        );
    }
    Check::warn(
        "time",
        text!("nothing keeps the clock of this machine"; "没有服务维护本机时钟"),
        text!("timedatectl set-ntp true, or install chrony"; "timedatectl set-ntp true, 或安装 chrony"),
    )
}

fn state_folder(config: &NodeConfig) -> Check {
    let folder = &config.state_dir;
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let advice = text!("it is made when hvnoded starts: systemctl start hvnoded"; "hvnoded 启动时创建: systemctl start hvnoded");
            return Check::fail("state", text!("there is no {shown}"; "没有 {shown}"), advice);
        }
        Err(error) => {
            let advice = text!("run hvctl doctor with sudo"; "请使用 sudo 执行 hvctl doctor");
            return Check::warn("state", text!("cannot look at {shown}: {error}"; "无法查看 {shown}: {error}"), advice);
        }
    };
    let mode = metadata.mode() & 0o7777;
    if mode & 0o002 != 0 {
        let advice = text!("chmod 750 {shown}"; "chmod 750 {shown}");
        return Check::fail(
            "state",
            text!("everybody may write to {shown} (mode {mode:o})"; "所有用户均可写入 {shown} (权限 {mode:o})"),
            advice,
        );
    }
    if let Ok(disk) = statvfs(folder) {
        let (all, free) =
            (disk.blocks().saturating_mul(disk.fragment_size()), disk.blocks_available().saturating_mul(disk.fragment_size()));
        if let Some(check) = space("state", &shown.to_string(), all, free) {
            return check;
        }
    }
    Check::ok("state", text!("{shown} is there and has space"; "{shown} 存在且空间充足"))
}

/// May this person use the socket, and the daemon libvirt's?
fn permissions(config: &NodeConfig) -> Check {
    if let Ok(Some(daemon)) = User::from_name(DAEMON_USER) {
        let is_member = |name: &str| {
            let group = Group::from_name(name).ok().flatten();
            group.is_none_or(|group| group.mem.contains(&daemon.name) || group.gid == daemon.gid)
        };
        if !is_member("libvirt") {
            return Check::fail(
                "permissions",
                text!("user {DAEMON_USER} is not in group libvirt"; "用户 {DAEMON_USER} 不在 libvirt 组中"),
                text!("usermod -aG libvirt {DAEMON_USER}; systemctl restart hvnoded"; "usermod -aG libvirt {DAEMON_USER}; systemctl restart hvnoded"),
            );
        }
    }
    let group_name = &config.group;
    if nix::unistd::geteuid().is_root() || group_name.is_empty() {
        return Check::ok("permissions", text!("the socket is yours to use"; "可以使用套接字"));
    }
    let own: Vec<Gid> = getgroups().unwrap_or_default();
    match Group::from_name(group_name) {
        Ok(Some(group)) if own.contains(&group.gid) => {
            Check::ok("permissions", text!("you are in group {group_name}"; "您在 {group_name} 组中"))
        }
        Ok(Some(_)) => Check::warn(
            "permissions",
            text!("you are not in group {group_name}: the socket needs sudo"; "您不在 {group_name} 组中: 使用套接字需要 sudo"),
            text!("sudo usermod -aG {group_name} $USER, and log in anew"; "sudo usermod -aG {group_name} $USER, 然后重新登录"),
        ),
        _ => Check::warn(
            "permissions",
            text!("there is no group {group_name}: only root can use the socket"; "没有 {group_name} 组: 只有 root 可以使用套接字"),
            text!("groupadd --system {group_name}; systemctl restart hvnoded"; "groupadd --system {group_name}; systemctl restart hvnoded"),
        ),
    }
}

/// Asked only where hvnoded is down: otherwise it knows better.
fn libvirt_socket(config: &NodeConfig) -> Check {
    let path = &config.libvirt_socket;
    let shown = path.display();
    let start = text!("systemctl enable --now libvirtd"; "systemctl enable --now libvirtd");
    match fs::metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Check::ok("libvirt", text!("something listens at {shown}"; "{shown} 有服务监听")),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Check::skip("libvirt", text!("{shown} is not yours to use"; "您无权使用 {shown}"))
            }
            Err(error) => {
                Check::fail("libvirt", text!("libvirt does not answer at {shown}: {error}"; "libvirt 在 {shown} 无应答: {error}"), start)
            }
        },
        Ok(_) => Check::fail("libvirt", text!("{shown} is no socket"; "{shown} 不是套接字"), start),
        Err(_) => Check::fail("libvirt", text!("there is no {shown}: libvirt is not running"; "没有 {shown}: libvirt 未运行"), start),
    }
}

fn certificate_file(config: &NodeConfig) -> Option<Check> {
    let path = config.certificate.as_ref()?;
    let shown = path.display();
    Some(match fs::metadata(path) {
        Ok(_) => Check::ok("certificate", text!("{shown} is there"; "{shown} 存在")),
        Err(error) => Check::fail(
            "certificate",
            text!("cannot look at {shown}: {error}"; "无法查看 {shown}: {error}"),
            text!("put it there, or make one: hvctl tls init"; "请放置证书, 或生成: hvctl tls init"),
        ),
    })
}

/// Do the listeners of the configuration answer, and is it hvnoded that answers?
pub(super) async fn look_at_listeners(machine: &Machine, config: &NodeConfig, is_up: bool) -> Vec<Check> {
    if !config.is_known {
        return Vec::new();
    }
    if !is_up {
        return vec![ports_of_a_dead_node(machine, config)];
    }
    let (mut silent, mut answered) = (Vec::new(), Vec::new());
    let mut checks = Vec::new();
    for (name, address) in &config.listeners {
        let reachable = if address.ip().is_unspecified() { SocketAddr::new([127, 0, 0, 1].into(), address.port()) } else { *address };
        let endpoint = Endpoint::Tcp(reachable.to_string());
        let mut client = Client::new(endpoint.clone(), Session::open(&endpoint, None, |_| None));
        let is_metrics = name == "metrics";
        let path = if is_metrics { "/metrics" } else { "/healthz" };
        match tokio::time::timeout(LISTENER_PATIENCE, client.get_plain(path)).await {
            Ok(Ok((200, body))) if is_metrics => {
                answered.push(format!("{name} {address}"));
                checks.extend(certificate_end(&body));
            }
            Ok(Ok((200, body))) if body.trim() == "ok" => answered.push(format!("{name} {address}")),
            // a listener that speaks TLS breaks a plain connection off; that it listens is seen in the kernel's list
            _ if config.certificate.is_some() && listening(machine, address.port()) => answered.push(format!("{name} {address} (TLS)")),
            _ => silent.push(format!("{name} {address}")),
        }
    }
    checks.insert(0, if silent.is_empty() {
        let answered = answered.join(", ");
        Check::ok("listeners", text!("all answer: {answered}"; "全部应答: {answered}"))
    } else {
        let silent = silent.join(", ");
        Check::fail(
            "listeners",
            text!("no hvnoded answers at: {silent}"; "以下地址没有 hvnoded 应答: {silent}"),
            text!("restart hvnoded if its configuration was changed; else see who listens there: ss -ltnp"; "若修改过配置请重启 hvnoded; 否则查看占用者: ss -ltnp"),
        )
    });
    checks
}

fn ports_of_a_dead_node(machine: &Machine, config: &NodeConfig) -> Check {
    let taken: Vec<String> = config
        .listeners
        .iter()
        .filter(|(_, address)| listening(machine, address.port()))
        .map(|(name, address)| format!("{name} {address}"))
        .collect();
    if taken.is_empty() {
        return Check::ok("listeners", text!("the ports are free for hvnoded to start"; "端口空闲, hvnoded 可以启动"));
    }
    let taken = taken.join(", ");
    Check::fail(
        "listeners",
        text!("another program listens at: {taken}"; "以下端口被其他程序占用: {taken}"),
        text!("see who: ss -ltnp; end it, or choose another port"; "查看占用者: ss -ltnp; 请停止它或更换端口"),
    )
}

/// Does anything on this machine listen on this TCP port?
fn listening(machine: &Machine, port: u16) -> bool {
    let wanted = format!(":{port:04X}");
    let is_listening = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _, state) = (words.next(), words.next(), words.next());
        local.is_some_and(|local| local.ends_with(&wanted)) && state == Some("0A")
    };
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|path| machine.read(path).lines().any(is_listening))
}

/// When the first certificate ends, as the metrics say.
fn certificate_end(metrics: &str) -> Option<Check> {
    let series = metrics.lines().filter(|line| line.starts_with("hvnode_tls_certificate_expiry_timestamp_seconds"));
    let end = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).reduce(f64::min)?;
    // seconds since 1970 fit
    let (end, now) = (end as i64, now_seconds());
    let (until, until_cn) = (format_time(end, now, Language::En), format_time(end, now, Language::Cn));
    let renew = text!("renew it; hvnoded takes the new file up by itself"; "请续期, hvnoded 会自动加载新文件");
    Some(match end - now {
        ..=0 => Check::fail("expiry", text!("the certificate ended {until}"; "证书已过期: {until_cn}"), renew),
        left if left < EXPIRY_WARN_DAYS * 86_400 => {
            Check::warn("expiry", text!("the certificate ends {until}"; "证书即将过期: {until_cn}"), renew)
        }
        _ => Check::ok("expiry", text!("the certificate is valid until {until}"; "证书有效期至 {until_cn}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noun::doctor::report::Verdict;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = folder.path().to_owned();
        (folder, Machine { root })
    }

    const CAPABLE: (&str, &str) = ("/proc/cpuinfo", "vendor_id : GenuineIntel\nflags : fpu vmx sse\n");

    #[test]
    fn the_kernel_is_judged_by_what_the_processor_can_do() {
        let node = Node { is_up: true, is_emulated: Some(false) };
        let verdict = |files: &[(&str, &str)], node: &Node| {
            let (_folder, machine) = machine(files);
            kernel(&machine, node).verdict
        };
        assert_eq!(verdict(&[("/proc/cpuinfo", "vendor_id : X\nflags : fpu sse\n"), ("/dev/kvm", "")], &node), Verdict::Ok);
        assert_eq!(verdict(&[CAPABLE], &node), Verdict::Warn);
        assert_eq!(verdict(&[CAPABLE, ("/dev/kvm", "")], &node), Verdict::Warn, "no vhost_net");
        assert_eq!(verdict(&[CAPABLE, ("/dev/kvm", ""), ("/sys/module/vhost_net/x", "")], &node), Verdict::Ok);
        assert_eq!(verdict(&[CAPABLE, ("/dev/kvm", "")], &Node { is_emulated: Some(true), ..node }), Verdict::Ok);
    }

    #[test]
    fn huge_pages_are_told_only_if_some_are_set_aside() {
        let of = |text: &str| {
            let (_folder, machine) = machine(&[("/proc/meminfo", text)]);
            hugepages(&machine)
        };
        assert_eq!(of("MemTotal: 5 kB\nHugePages_Total:       0\nHugePages_Free:        0\n").verdict, Verdict::Ok);
        assert!(of("HugePages_Total:    1024\nHugePages_Free:      512\n").found.en.contains("512 of 1024"));
        assert_eq!(of("HugePages_Total:    1024\nHugePages_Free:        0\n").verdict, Verdict::Warn);
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_told_only_where_somebody_should() {
        let of = |files: &[(&str, &str)]| {
            let (_folder, machine) = machine(files);
            time_service(&machine).verdict
        };
        assert_eq!(of(&[]), Verdict::Skip);
        assert_eq!(of(&[("/run/systemd/system/x", "")]), Verdict::Warn);
        assert_eq!(of(&[("/run/systemd/system/x", ""), ("/proc/7/comm", "chronyd\n")]), Verdict::Ok);
        assert_eq!(of(&[("/run/systemd/timesync/synchronized", "")]), Verdict::Ok);
    }

    #[test]
    fn a_port_counts_as_taken_only_if_somebody_listens() {
        let table =
            "  sl  local_address rem_address   st\n   0: 0100007F:1B9E 00000000:0000 0A 0\n   1: 0100007F:1B9F 0100007F:1234 01 0\n";
        let (_folder, machine) = machine(&[("/proc/net/tcp", table)]);
        assert!(listening(&machine, 7070) && !listening(&machine, 7071) && !listening(&machine, 80));
        let config = NodeConfig { listeners: vec![("native".into(), "127.0.0.1:7070".parse().unwrap())], ..NodeConfig::default() };
        assert_eq!(ports_of_a_dead_node(&machine, &config).verdict, Verdict::Fail);
    }

    #[test]
    fn a_state_folder_that_everybody_may_write_to_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let config = NodeConfig { state_dir: path.clone(), ..NodeConfig::default() };
        assert_eq!(state_folder(&config).verdict, Verdict::Fail, "it is not there");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let told = state_folder(&config);
        assert!(told.verdict == Verdict::Fail && told.advice.is_some_and(|advice| advice.en.starts_with("chmod 750")));
    }

    #[test]
    fn the_first_certificate_to_end_counts() {
        let line = |seconds: i64| format!("hvnode_tls_certificate_expiry_timestamp_seconds{{listener=\"native\"}} {seconds}\n");
        let now = now_seconds();
        assert!(certificate_end("hvnode_up 1\n").is_none());
        assert_eq!(certificate_end(&line(now + 90 * 86_400)).unwrap().verdict, Verdict::Ok);
        assert_eq!(certificate_end(&(line(now + 90 * 86_400) + &line(now + 86_400))).unwrap().verdict, Verdict::Warn);
        assert_eq!(certificate_end(&line(now - 5)).unwrap().verdict, Verdict::Fail);
    }
}
