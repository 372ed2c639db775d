//! The configuration of hvnoded, as far as doctor needs it: is it right, and where does it say things are?

use super::report::Check;
use crate::text;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use toml_edit::{DocumentMut, Item};

/// Where an installed node has it.
pub(super) const DEFAULT_PATH: &str = "/etc/hvnode/hvnode.toml";
/// How long hvnoded may take to check it.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// Its exit code for a wrong one.
const EXIT_CONFIG: i32 = 78;
/// Longest file read.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// What of it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct NodeConfig {
    /// False where there is none: hvnoded is not installed here as a service, or belongs to somebody else.
    pub(super) is_known: bool,
    /// `node.state_dir`.
    pub(super) state_dir: PathBuf,
    /// libvirt's socket.
    pub(super) libvirt_socket: PathBuf,
    /// `listen.native.unix`, if there is one.
    pub(super) socket: Option<PathBuf>,
    /// `listen.native.unix_group`.
    pub(super) group: String,
    /// TCP listeners by name.
    pub(super) listeners: Vec<(String, SocketAddr)>,
    /// `tls.certificate_file`, if there is one.
    pub(super) certificate: Option<PathBuf>,
}

impl NodeConfig {
    /// Reads what matters, with hvnoded's defaults for what is not said. What is wrong is hvnoded's to tell.
    fn of(document: &DocumentMut) -> Self {
        let item = |path: &[&str]| path.iter().try_fold(document.as_item(), |item, key| item.get(key));
        let text = |path: &[&str], default: &str| item(path).and_then(Item::as_str).unwrap_or(default).to_owned();
        let addresses = |path: &[&str], default: &[&str]| -> Vec<SocketAddr> {
            match item(path).and_then(Item::as_array) {
                Some(list) => list.iter().filter_map(|value| value.as_str()?.parse().ok()).collect(),
                None => default.iter().filter_map(|address| address.parse().ok()).collect(),
            }
        };
        let mut listeners = Vec::new();
        for (name, default) in [("native", &["127.0.0.1:7070"][..]), ("openstack", &[]), ("zstack", &[]), ("chimestack", &[])] {
            listeners.extend(addresses(&["listen", name, "tcp"], default).into_iter().map(|address| (name.to_owned(), address)));
        }
        let metrics = addresses(&["metrics", "listen"], &["127.0.0.1:9177"]);
        listeners.extend(metrics.into_iter().map(|address| ("metrics".to_owned(), address)));
        let uri = text(&["libvirt", "uri"], "qemu:///system");
        let libvirt_socket =
            uri.split_once("socket=").map_or("/run/libvirt/libvirt-sock", |(_, rest)| rest.split('&').next().unwrap_or(rest));
        let some = |path: String| (!path.is_empty()).then(|| PathBuf::from(path));
        Self {
            is_known: true,
            state_dir: text(&["node", "state_dir"], "/var/lib/hvnode").into(),
            libvirt_socket: libvirt_socket.into(),
            socket: some(text(&["listen", "native", "unix"], "/run/hvnode/hvnode.sock")),
            group: text(&["listen", "native", "unix_group"], "hvnode"),
            listeners,
            certificate: some(text(&["tls", "certificate_file"], "")),
        }
    }
}

/// Reads the configuration and lets hvnoded check it.
pub(super) async fn look(path: &Path) -> (NodeConfig, Vec<Check>) {
    let shown = path.display();
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let found =
                text!("there is no {shown}: hvnoded is not installed here as a service"; "没有 {shown}: 本机未将 hvnoded 安装为服务");
            let check = if path == Path::new(DEFAULT_PATH) {
                Check::skip("config", found)
            } else {
                Check::fail("config", found, text!("name the right file with --config"; "请用 --config 指定正确的文件"))
            };
            return (NodeConfig::default(), vec![check]);
        }
        Err(error) => {
            let check = Check::warn(
                "config",
                text!("cannot read {shown}: {error}"; "无法读取 {shown}: {error}"),
                text!("run hvctl doctor with sudo"; "请使用 sudo 执行 hvctl doctor"),
            );
            return (NodeConfig::default(), vec![check]);
        }
    };
    let config = text.parse::<DocumentMut>().map(|document| NodeConfig::of(&document)).unwrap_or_default();
    (config, vec![check_by_daemon(path).await])
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(CONFIG_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// `hvnoded --check-config`, with the hvnoded beside this hvctl, else the one on the path.
async fn check_by_daemon(path: &Path) -> Check {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("hvnoded")).filter(|program| program.exists());
    let program = beside.unwrap_or_else(|| "hvnoded".into());
    #[expect(clippy::disallowed_methods, reason = "our own daemon, which reads one file and ends; with a deadline")]
    let mut command = tokio::process::Command::new(program);
    command.arg("--check-config").arg("--config").arg(path).stdin(Stdio::null()).kill_on_drop(true);
    let shown = path.display();
    let output = match tokio::time::timeout(CHECK_TIMEOUT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            return Check::skip(
                "config",
                text!("{shown}: no hvnoded to check it with: {error}"; "{shown}: 没有可用于检查的 hvnoded: {error}"),
            );
        }
        Err(_) => return Check::skip("config", text!("{shown}: hvnoded took too long to check it"; "{shown}: hvnoded 检查超时")),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let problem =
        said.lines().map(|line| line.trim_start_matches("hvnoded: ")).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    match output.status.code() {
        Some(0) => Check::ok("config", text!("{shown} is right"; "{shown} 正确")),
        Some(EXIT_CONFIG) => Check::fail(
            "config",
            text!("{shown} is wrong: {problem}"; "{shown} 有误: {problem}"),
            text!("repair it; hvnoded --check-config shows each problem"; "请修正, hvnoded --check-config 会列出所有问题"),
        ),
        _ => Check::warn(
            "config",
            text!("{shown} could not be checked: {problem}"; "{shown} 无法检查: {problem}"),
            text!("run hvctl doctor with sudo"; "请使用 sudo 执行 hvctl doctor"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noun::doctor::report::Verdict;

    #[test]
    fn what_is_not_said_is_as_hvnoded_has_it() {
        let config = NodeConfig::of(&"".parse().unwrap());
        assert_eq!(config.state_dir, Path::new("/var/lib/hvnode"));
        assert_eq!(config.listeners.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["native", "metrics"]);
        assert_eq!(config.libvirt_socket, Path::new("/run/libvirt/libvirt-sock"));
    }

    #[test]
    fn what_is_said_counts() {
        let text = "[node]\nstate_dir = \"/s\"\n[libvirt]\nuri = \"qemu+unix:///system?socket=/l/sock\"\n[listen.native]\ntcp = []\nunix = \"\"\n\
                    [listen.zstack]\ntcp = [\"127.0.0.1:8080\"]\n[metrics]\nlisten = []\n[tls]\ncertificate_file = \"/c.pem\"\n";
        let config = NodeConfig::of(&text.parse().unwrap());
        assert_eq!((config.state_dir.as_path(), config.libvirt_socket.as_path()), (Path::new("/s"), Path::new("/l/sock")));
        assert_eq!(config.listeners, [("zstack".to_owned(), "127.0.0.1:8080".parse().unwrap())]);
        assert_eq!((config.socket, config.certificate), (None, Some("/c.pem".into())));
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_a_failure_only_if_it_was_named() {
        let (config, checks) = look(Path::new("/nowhere/hvnode.toml")).await;
        assert!(!config.is_known);
        assert_eq!(checks[0].verdict, Verdict::Fail);
    }
}
