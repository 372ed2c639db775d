//! `hvctl vm create`.

use super::dry_run::{self, DryRunArgs};
use crate::args::{WaitArgs, parse_pair};
use crate::client::Body;
use crate::context::{Change, Context};
use crate::error::{CliError, Kind, Result};
use crate::resolve::{self, IMAGE, NETWORK, SPECIFICATION, Target};
use crate::text;
use crate::units::parse_size;
use crate::view;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Longest user-data or key file read; the node has a limit of its own below this.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The VM to make.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("root").args(["image", "iso", "kernel"]).required(true),
    after_help = "Example: hvctl vm create web --image debian-12 --specification small --disk 20G --ssh-key-file ~/.ssh/id_ed25519.pub"
)]
pub(crate) struct CreateArgs {
    /// Its name
    name: String,
    /// Image its root disk is made from
    #[arg(long, value_name = "IMAGE", add = crate::complete::images())]
    image: Option<String>,
    /// ISO image to boot from; --disk adds an empty root disk
    #[arg(long, value_name = "IMAGE", add = crate::complete::images())]
    iso: Option<String>,
    /// Kernel image to boot directly; --disk adds an empty root disk
    #[arg(long, value_name = "IMAGE", add = crate::complete::images())]
    kernel: Option<String>,
    /// Initial RAM disk image, with --kernel
    #[arg(long, value_name = "IMAGE", add = crate::complete::images(), requires = "kernel", conflicts_with_all = ["image", "iso"])]
    initrd: Option<String>,
    /// Kernel command line, with --kernel
    #[arg(long, value_name = "TEXT", requires = "kernel", conflicts_with_all = ["image", "iso"])]
    cmdline: Option<String>,
    /// Its cpu and memory, as a specification says
    #[arg(long, alias = "spec", value_name = "SPECIFICATION", add = crate::complete::specifications(), conflicts_with_all = ["cpus", "memory"])]
    #[arg(required_unless_present_all = ["cpus", "memory"])]
    specification: Option<String>,
    /// Virtual processors
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..), requires = "memory")]
    cpus: Option<u32>,
    /// Memory, such as 512M or 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "cpus")]
    memory: Option<u64>,
    /// Size of the root disk, such as 20G [default: the specification's, else the image's]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    disk: Option<u64>,
    /// One more disk; may be repeated
    #[arg(long, value_name = "NAME=SIZE", value_parser = parse_data_disk)]
    data_disk: Vec<(String, u64)>,
    /// Network of a NIC; may be repeated [default: one NIC on the node's default network]
    #[arg(long, value_name = "NETWORK", add = crate::complete::networks())]
    network: Vec<String>,
    /// No NIC at all
    #[arg(long, conflicts_with = "network")]
    no_network: bool,
    /// IPv4 address on the --network at the same place; may be repeated
    #[arg(long, value_name = "ADDRESS", requires = "network")]
    ip: Vec<Ipv4Addr>,
    /// MAC address on the --network at the same place; may be repeated
    #[arg(long, value_name = "ADDRESS", requires = "network")]
    mac: Vec<String>,
    /// Firmware [default: what the image wants]
    #[arg(long, value_enum)]
    firmware: Option<Firmware>,
    /// Start it once it is made (the default)
    #[arg(long)]
    start: bool,
    /// Leave it off
    #[arg(long, conflicts_with = "start")]
    no_start: bool,
    /// Start it whenever the host starts
    #[arg(long)]
    auto_start: bool,
    /// Start it again, after a growing pause, when its QEMU died
    #[arg(long)]
    restart_on_crash: bool,
    /// Public key for the image's default account, from a file
    #[arg(long, value_name = "FILE")]
    ssh_key_file: Option<PathBuf>,
    /// Password for the image's default account, from the first line of a file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// User data for the image's cloud-init, from a file
    #[arg(long, value_name = "FILE")]
    user_data_file: Option<PathBuf>,
    /// Free text
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A pair to keep with it; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    metadata: Vec<(String, String)>,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Firmware {
    Bios,
    Uefi,
}

impl Firmware {
    fn word(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }
}

fn parse_data_disk(input: &str) -> std::result::Result<(String, u64), String> {
    let (name, size) = parse_pair(input).map_err(|_| format!("'{input}' is no disk: write NAME=SIZE, as in data=50G"))?;
    Ok((name, parse_size(&size)?))
}

/// Makes the VM and says where it is.
pub(crate) async fn run(context: &mut Context, args: CreateArgs) -> Result<()> {
    let mut body = plain_fields(&args)?;
    body.extend(root_fields(context, &args).await?);
    if let Some(wanted) = &args.specification {
        let specification = resolve::resolve(&mut context.client, &SPECIFICATION, wanted).await?;
        body.insert("specification_uuid".into(), specification.uuid.into());
    }
    body.extend(network_fields(context, &args).await?);
    let name = &args.name;
    if args.dry_run.dry_run {
        return dry_run::run(context, "/v1/vm/create", body, name, &args.dry_run).await;
    }
    let change = Change {
        path: "/v1/vm/create",
        body,
        name: name.clone(),
        doing: text!("{name}: creating"; "{name}: 正在创建"),
        done: text!("{name}: created"; "{name}: 已创建"),
    };
    let done = change.done.clone();
    let outcome = context.carry(change, &args.wait).await?;
    let vm_uuid = outcome.job.as_ref().and_then(|job| job.resource_uuid()).map(str::to_owned);
    match vm_uuid {
        Some(vm_uuid) => show_created(context, &vm_uuid).await,
        None if context.out.is_json => context.out.json(&outcome.raw()),
        None => context.report(&outcome, &args.wait, &done),
    }
}

/// The VM as it is now: the same data object that a waiting create would have answered.
async fn show_created(context: &mut Context, vm_uuid: &str) -> Result<()> {
    let answer = context.client.get("/v1/vm/inspect", &[("vm_uuid", vm_uuid.to_owned())]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let vm = &answer.value["vm"];
    let (name, status, address) = (view::text(vm, "vm_name"), view::text(vm, "status"), view::text(vm, "ip_address"));
    let at = if address.is_empty() { String::new() } else { format!(" {address}") };
    context.out.say(&text!("{name}: created, {status}{at} {vm_uuid}"; "{name}: 已创建, {status}{at} {vm_uuid}"))
}

/// What needs no look-up. Files are read before anything is asked of the node.
fn plain_fields(args: &CreateArgs) -> Result<Body> {
    let mut body = Body::new();
    body.insert("vm_name".into(), json!(args.name));
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.into(), value);
        }
    };
    set("cpu_cores", args.cpus.map(|n| json!(n)));
    set("memory_size", args.memory.map(|n| json!(n)));
    set("storage_size", args.disk.map(|n| json!(n)));
    set("boot_type", args.firmware.map(|firmware| json!(firmware.word())));
    set("start", (args.no_start || args.start).then(|| json!(!args.no_start)));
    set("auto_start", args.auto_start.then_some(Value::Bool(true)));
    set("restart_on_crash", args.restart_on_crash.then_some(Value::Bool(true)));
    set("description", args.description.as_ref().map(|text| json!(text)));
    set("ssh_key", args.ssh_key_file.as_deref().map(read_public_key).transpose()?.map(|text| json!(text)));
    set("password", args.password_file.as_deref().map(read_first_line).transpose()?.map(|text| json!(text)));
    set("user_data", args.user_data_file.as_deref().map(read_file).transpose()?.map(|text| json!(text)));
    let usds: Vec<Value> = args.data_disk.iter().map(|(name, size)| json!({"usd_name": name, "storage_size": size})).collect();
    set("usds", (!usds.is_empty()).then(|| json!(usds)));
    let metadata: Body = args.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    set("metadata", (!metadata.is_empty()).then(|| json!(metadata)));
    Ok(body)
}

/// What it boots from.
async fn root_fields(context: &mut Context, args: &CreateArgs) -> Result<Body> {
    let mut body = Body::new();
    let client = &mut context.client;
    if let Some(wanted) = &args.image {
        let image = resolve::resolve(client, &IMAGE, wanted).await?;
        expect_format(&image, &["qcow2", "raw", "iso"], "--image")?;
        body.insert("image_uuid".into(), image.uuid.into());
    }
    if let Some(wanted) = &args.iso {
        let image = resolve::resolve(client, &IMAGE, wanted).await?;
        expect_format(&image, &["iso"], "--iso")?;
        body.insert("image_uuid".into(), image.uuid.into());
    }
    if let Some(wanted) = &args.kernel {
        let image = resolve::resolve(client, &IMAGE, wanted).await?;
        expect_format(&image, &["kernel"], "--kernel")?;
        body.insert("kernel_image_uuid".into(), image.uuid.into());
    }
    if let Some(wanted) = &args.initrd {
        let image = resolve::resolve(client, &IMAGE, wanted).await?;
        expect_format(&image, &["initrd"], "--initrd")?;
        body.insert("initrd_image_uuid".into(), image.uuid.into());
    }
    if let Some(text) = &args.cmdline {
        body.insert("kernel_command_line".into(), json!(text));
    }
    Ok(body)
}

/// Catches a kernel given as `--image` and the like before the node is asked for it. An image named by uuid is the node's to check.
fn expect_format(image: &Target, formats: &[&str], option: &str) -> Result<()> {
    match image.entry["format"].as_str() {
        Some(format) if !formats.contains(&format) => {
            let (name, fitting) = (&image.name, formats.join(", "));
            Err(CliError::usage(text!("{option} {name}: that image is of format {format}"; "{option} {name}: 该镜像的格式为 {format}"))
                .hint(text!("{option} takes: {fitting}"; "{option} 支持的格式: {fitting}")))
        }
        _ => Ok(()),
    }
}

/// Its NICs; nothing said leaves the choice to the node.
async fn network_fields(context: &mut Context, args: &CreateArgs) -> Result<Body> {
    let mut body = Body::new();
    if args.no_network {
        body.insert("interfaces".into(), json!([]));
    }
    let count = args.network.len();
    if args.ip.len() > count || args.mac.len() > count {
        return Err(CliError::usage(text!("there are more --ip or --mac than --network"; "--ip 或 --mac 的数量多于 --network"))
            .hint(text!("give each NIC its --network"; "请为每个网卡指定 --network")));
    }
    let mut interfaces = Vec::new();
    for (index, wanted) in args.network.iter().enumerate() {
        let network = resolve::resolve(&mut context.client, &NETWORK, wanted).await?;
        let mut interface = json!({"network_uuid": network.uuid});
        if let Some(address) = args.ip.get(index) {
            interface["ip_address"] = json!(address);
        }
        if let Some(address) = args.mac.get(index) {
            interface["mac_address"] = json!(address);
        }
        interfaces.push(interface);
    }
    if !interfaces.is_empty() {
        body.insert("interfaces".into(), json!(interfaces));
    }
    Ok(body)
}

/// A small text file.
fn read_file(path: &Path) -> Result<String> {
    let shown = path.display();
    let wrong = |reason: &str| CliError::new(Kind::Usage, text!("cannot read {shown}: {reason}"; "无法读取 {shown}: {reason}"));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(&error.to_string()))?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| wrong(&error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX { Err(wrong("it is larger than 1 MiB")) } else { Ok(text) }
}

fn read_first_line(path: &Path) -> Result<String> {
    let shown = path.display();
    let text = read_file(path)?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(line.to_owned()),
        None => Err(CliError::usage(text!("the first line of {shown} is empty"; "{shown} 的第一行为空"))),
    }
}

/// Refuses a private key, which is one tab completion away from the public one.
fn read_public_key(path: &Path) -> Result<String> {
    let shown = path.display();
    let text = read_file(path)?;
    if text.contains("PRIVATE KEY") {
        return Err(CliError::usage(text!("{shown} is a private key"; "{shown} 是私钥"))
            .hint(text!("give the public one: {shown}.pub"; "请使用公钥: {shown}.pub")));
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::noun::vm::VmCommand;
    use clap::Parser;

    fn parse(text: &[&str]) -> std::result::Result<CreateArgs, clap::Error> {
        let cli = Cli::try_parse_from(["hvctl", "vm", "create"].iter().chain(text))?;
        match cli.command {
            Command::Vm(VmCommand::Create(args)) => Ok(*args),
            _ => panic!("not a create"),
        }
    }

    #[test]
    fn what_is_not_said_is_left_to_the_node() {
        let args = parse(&["web", "--image", "i", "--specification", "s"]).unwrap();
        assert_eq!(Value::Object(plain_fields(&args).unwrap()), json!({"vm_name": "web"}));
    }

    #[test]
    fn everything_said_reaches_the_node_in_its_words() {
        let args = parse(&[
            "web",
            "--image",
            "i",
            "--cpus",
            "2",
            "--memory",
            "512M",
            "--disk",
            "10G",
            "--no-start",
            "--auto-start",
            "--firmware",
            "uefi",
            "--data-disk",
            "data=1G",
            "--metadata",
            "a=b",
            "--description",
            "d",
        ])
        .unwrap();
        let expected = json!({
            "vm_name": "web", "cpu_cores": 2, "memory_size": 512 << 20, "storage_size": 10_u64 << 30, "boot_type": "uefi", "start": false,
            "auto_start": true, "description": "d", "usds": [{"usd_name": "data", "storage_size": 1 << 30}], "metadata": {"a": "b"},
        });
        assert_eq!(Value::Object(plain_fields(&args).unwrap()), expected);
    }

    #[test]
    fn contradictory_or_incomplete_command_lines_are_usage_errors() {
        for wrong in [
            &["web", "--image", "i"][..],
            &["web", "--specification", "s"],
            &["web", "--image", "i", "--iso", "j", "--specification", "s"],
            &["web", "--image", "i", "--cpus", "2"],
            &["web", "--image", "i", "--specification", "s", "--memory", "1G", "--cpus", "1"],
            &["web", "--image", "i", "--specification", "s", "--initrd", "x"],
            &["web", "--image", "i", "--specification", "s", "--no-network", "--network", "n"],
            &["web", "--image", "i", "--specification", "s", "--ip", "10.0.0.1"],
            &["web", "--image", "i", "--specification", "s", "--start", "--no-start"],
            &["web", "--image", "i", "--specification", "s", "--disk", "10"],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn a_private_key_is_never_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        std::fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n").unwrap();
        let error = read_public_key(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(!error.describe(crate::text::Language::En, true).contains("secret"));
    }

    #[test]
    fn an_image_of_the_wrong_kind_is_told_before_the_node_is_asked() {
        let image = Target { uuid: "u".into(), name: "k".into(), is_named: true, entry: json!({"format": "kernel"}) };
        assert!(expect_format(&image, &["kernel"], "--kernel").is_ok());
        assert_eq!(expect_format(&image, &["qcow2"], "--image").unwrap_err().kind(), Kind::Usage);
    }
}
