//! `hvctl tls …`: an authority of the site's own, certificates made by it, and a look at any certificate. It needs no node.

mod authority;
mod certificate;

use crate::error::{CliError, Result};
use crate::output::{Content, Output, Table, Tone, column};
use crate::text;
use crate::units::{format_duration, now_seconds};
use authority::{Authority, Kind};
use certificate::Certificate;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// From how many days before its end a certificate is shown as one to look after.
const SOON_DAYS: i64 = 30;
/// Interfaces of bridges and guests: their addresses are no names for clients.
const INNER_INTERFACES: &[&str] = &["virbr", "vnet", "veth", "docker", "cni", "tap"];

/// What can be done about certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// Make an authority and the node's certificate; prints what to write into the configuration
    Init(InitArgs),
    /// Make the node's certificate anew with the authority that is there; a running hvnoded takes it up by itself
    Renew(RenewArgs),
    /// Make a certificate for a client: a controller, Prometheus, a person
    Client(ClientArgs),
    /// Show certificates: names, and when they expire
    Show(ShowArgs),
}

/// Where the files are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Folder of the authority and the node's certificate
    #[arg(long, value_name = "FOLDER", default_value = "/etc/hvnode/tls")]
    directory: PathBuf,
}

/// How long a certificate is valid.
#[derive(Debug, Args)]
pub(crate) struct Validity {
    /// How many days the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 825, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    place: Place,
    /// A name or address that clients use for this node, besides localhost; may be repeated [default: host name and addresses]
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    validity: Validity,
    /// Replace what is there: every client then needs the new ca.crt, and every client certificate is void
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    #[command(flatten)]
    place: Place,
    /// A name or address that clients use for this node, besides localhost; may be repeated [default: those of the present certificate]
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    validity: Validity,
}

/// What the configuration is to let the client do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientRole {
    Admin,
    Operator,
    Reader,
    Login,
}

#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// Name of the client: letters, digits and . _ - @
    name: String,
    #[command(flatten)]
    place: Place,
    /// Folder for the client's certificate and key [default: clients in the folder of the authority]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The role in the line for the configuration that is printed
    #[arg(long, value_enum, default_value = "operator")]
    role: ClientRole,
    #[command(flatten)]
    validity: Validity,
    /// Replace a certificate of that name
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Certificate files [default: all in the folder of the authority]
    files: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Runs one of the commands.
pub(crate) fn run(command: &TlsCommand, out: &Output) -> Result<()> {
    match command {
        TlsCommand::Init(args) => init(args, out),
        TlsCommand::Renew(args) => renew(args, out),
        TlsCommand::Client(args) => client(args, out),
        TlsCommand::Show(args) => show(args, out),
    }
}

fn init(args: &InitArgs, out: &Output) -> Result<()> {
    let folder = &args.place.directory;
    let names = if args.names.is_empty() { own_names() } else { with_loopback(&args.names) };
    authority::make_folder(folder, 0o755)?;
    if !args.force {
        authority::must_be_absent(folder, &["ca.crt", "ca.key", "server.crt", "server.key"])?;
    }
    let authority = Authority::make(folder, &host_name())?;
    authority.issue(&Kind::Server(names.clone()), args.validity.days, folder, "server")?;
    let shown = folder.display();
    let listen = "# beyond loopback: tcp = [\"0.0.0.0:7070\"]";
    let configuration = format!(
        "[tls]\ncertificate_file = \"{shown}/server.crt\"\nkey_file = \"{shown}/server.key\"\n\n[listen.native]\n{listen}\ntls = true\n"
    );
    if out.is_json {
        let paths = ["ca.crt", "ca.key", "server.crt", "server.key"].map(|name| folder.join(name));
        return out.json(&json!({ "files": paths, "names": names, "configuration": configuration }).to_string());
    }
    let names = names.join(", ");
    out.say(&text!("made {shown}/ca.crt and {shown}/server.crt for {names}";
                   "已生成 {shown}/ca.crt 和 {shown}/server.crt, 名称: {names}"))?;
    out.say(&text!("\nWrite this into /etc/hvnode/hvnode.toml, then: systemctl restart hvnoded\n";
                   "\n请将以下内容写入 /etc/hvnode/hvnode.toml, 然后执行: systemctl restart hvnoded\n"))?;
    out.raw(&configuration)?;
    out.say(&text!("\nClients need {shown}/ca.crt: hvctl --url https://NODE:7070 --ca-file ca.crt whoami\nKeep {shown}/ca.key secret: whoever has it can make certificates that this node and its clients believe.";
                   "\n客户端需要 {shown}/ca.crt: hvctl --url https://节点:7070 --ca-file ca.crt whoami\n请妥善保管 {shown}/ca.key: 持有者可以签发受信任的证书。"))
}

fn renew(args: &RenewArgs, out: &Output) -> Result<()> {
    let folder = &args.place.directory;
    let authority = Authority::open(folder)?;
    let present = folder.join("server.crt");
    let names = match (args.names.as_slice(), present.exists()) {
        ([], true) => Certificate::read(&present)?.names,
        ([], false) => own_names(),
        (given, _) => with_loopback(given),
    };
    authority.issue(&Kind::Server(names.clone()), args.validity.days, folder, "server")?;
    if out.is_json {
        let paths = ["server.crt", "server.key"].map(|name| folder.join(name));
        return out.json(&json!({ "files": paths, "names": names }).to_string());
    }
    let (shown, names) = (present.display(), names.join(", "));
    out.say(&text!("made {shown} for {names}; a running hvnoded that uses it takes it up within seconds";
                   "已生成 {shown}, 名称: {names}; 正在使用它的 hvnoded 会在数秒内自动加载"))
}

fn client(args: &ClientArgs, out: &Output) -> Result<()> {
    let name = &args.name;
    let is_name = (1..=64).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte));
    if !is_name {
        return Err(CliError::usage(text!("'{name}' is no name for a client"; "'{name}' 不能作为客户端名称"))
            .hint(text!("1 to 64 letters, digits and . _ - @, beginning with a letter or digit"; "1 至 64 个字母, 数字或 . _ - @, 以字母或数字开头")));
    }
    let authority = Authority::open(&args.place.directory)?;
    let folder = args.out.clone().unwrap_or_else(|| args.place.directory.join("clients"));
    authority::make_folder(&folder, 0o700)?;
    let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
    if !args.force {
        authority::must_be_absent(&folder, &[&certificate, &key])?;
    }
    authority.issue(&Kind::Client(name.clone()), args.validity.days, &folder, name)?;
    let role = args.role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let shown = args.place.directory.display();
    let configuration = format!(
        "[tls]\nclient_ca_file = \"{shown}/ca.crt\"\nclient_certificates = \"optional\"\nclient_names = {{ \"{name}\" = \"{role}\" }}\n"
    );
    let (certificate, key) = (folder.join(certificate), folder.join(key));
    if out.is_json {
        return out.json(&json!({ "files": [certificate, key], "configuration": configuration }).to_string());
    }
    let (certificate, key) = (certificate.display(), key.display());
    out.say(&text!("made {certificate} and {key}"; "已生成 {certificate} 和 {key}"))?;
    out.say(&text!("\nAdd this to [tls] in /etc/hvnode/hvnode.toml, then: systemctl reload hvnoded\n";
                   "\n请将以下内容加入 /etc/hvnode/hvnode.toml 的 [tls], 然后执行: systemctl reload hvnoded\n"))?;
    out.raw(&configuration)?;
    out.say(&text!("\nThe client needs both files and {shown}/ca.crt:\nhvctl --url https://NODE:7070 --ca-file ca.crt --client-certificate {name}.crt --client-key {name}.key whoami";
                   "\n客户端需要这两个文件和 {shown}/ca.crt:\nhvctl --url https://节点:7070 --ca-file ca.crt --client-certificate {name}.crt --client-key {name}.key whoami"))
}

fn show(args: &ShowArgs, out: &Output) -> Result<()> {
    let files = if args.files.is_empty() { found_in(&args.place.directory) } else { args.files.clone() };
    let certificates = files.iter().map(|path| Certificate::read(path)).collect::<Result<Vec<_>>>()?;
    if out.is_json {
        let list: Vec<_> = certificates.iter().map(Certificate::json).collect();
        return out.json(&json!({ "list": list }).to_string());
    }
    let now = now_seconds();
    let mut table =
        Table::new(&[column("FILE"), column("FOR"), column("EXPIRES"), column("LEFT"), column("NAMES"), column("MADE BY").spare(1)]);
    for certificate in &certificates {
        let left = certificate.not_after - now;
        let left = match left {
            ..=0 => Content::toned("expired", Tone::Bad),
            left => {
                let tone = if left < SOON_DAYS * 86_400 { Tone::Busy } else { Tone::Good };
                Content::toned(format_duration(left.unsigned_abs(), out.language), tone)
            }
        };
        table.row(vec![
            certificate.path.display().to_string().into(),
            certificate.purpose.into(),
            certificate.expires().into(),
            left,
            certificate.shown_names().into(),
            certificate.issuer.clone().into(),
        ]);
    }
    let shown = args.place.directory.display();
    out.table(&table, &text!("no certificates in {shown}; hvctl tls init makes some"; "{shown} 中没有证书; 可使用 hvctl tls init 生成"))
}

/// Certificates in the folder and its `clients`.
fn found_in(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = [folder.to_owned(), folder.join("clients")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "crt"))
        .collect();
    found.sort();
    found
}

fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "node".into())
}

/// What clients may call this node: its host name and its addresses.
fn own_names() -> Vec<String> {
    let mut names = vec![host_name()];
    for interface in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let is_inner = INNER_INTERFACES.iter().any(|prefix| interface.interface_name.starts_with(prefix));
        let address = interface.address.and_then(|address| {
            let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            four.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        });
        if let Some(address) = address.filter(|address| !is_inner && is_reachable(address)) {
            names.push(address.to_string());
        }
    }
    with_loopback(&names)
}

fn is_reachable(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !is_link_local
}

/// Clients on the node itself are always served. Each name once, in order.
fn with_loopback(names: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    names.iter().chain(&loopback).filter(|name| seen.insert((*name).clone())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_always_answers_to_its_loopback_names() {
        assert_eq!(with_loopback(&["a".into(), "127.0.0.1".into(), "a".into()]), ["a", "127.0.0.1", "localhost", "::1"]);
        let own = own_names();
        assert!(own[0] == host_name() && own.contains(&"localhost".to_owned()), "{own:?}");
    }

    #[test]
    fn addresses_nobody_else_can_use_are_no_names() {
        for address in ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "0.0.0.0"] {
            assert!(!is_reachable(&address.parse().unwrap()), "{address}");
        }
        assert!(is_reachable(&"192.0.2.1".parse().unwrap()) && is_reachable(&"2001:db8::1".parse().unwrap()));
    }
}
