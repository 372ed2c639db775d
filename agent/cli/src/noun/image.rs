//! `hvctl image …`.

use crate::args::{DeleteArgs, ListArgs, WaitArgs};
use crate::client::{Body, percent_encode};
use crate::context::{Change, Context};
use crate::error::{CliError, Result};
use crate::output::{Content, Table, Tone, column};
use crate::progress::Progress;
use crate::resolve::{self, IMAGE};
use crate::terminal::confirm;
use crate::text;
use crate::text::Language;
use crate::view::{self, ago_cell, cell, entries, size_cell};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Bring an image into the node's repository
    Create(CreateArgs),
    /// Send an image file of this machine to the node
    Upload(UploadArgs),
    /// List images
    List(ListArgs),
    /// Show everything about an image
    #[command(alias = "inspect")]
    Show {
        /// Name or uuid
        #[arg(add = crate::complete::named())]
        name: String,
    },
    /// Change what is said about an image
    Update(UpdateArgs),
    /// Delete images that no VM depends on
    Delete(DeleteArgs),
}

/// The image to bring in.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").args(["url", "file"]).required(true))]
pub(crate) struct CreateArgs {
    /// Its name
    name: String,
    /// Where the node fetches it: http://…, https://… or file:///… (The node itself: hvctl --url URL image create …)
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file on the node itself, in a folder its configuration allows
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// What its bytes are [default: what its file name says]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What they must add up to: sha256:HEX or sha512:HEX
    #[arg(long, value_name = "CHECKSUM")]
    checksum: Option<String>,
    /// Firmware it wants
    #[arg(long, value_name = "bios|uefi", value_parser = ["bios", "uefi"])]
    firmware: Option<String>,
    /// Operating system, such as linux
    #[arg(long, value_name = "TEXT")]
    os_type: Option<String>,
    /// Free text
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// The file to send.
#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// A file on this machine
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The image's name [default: that of the file, without its ending]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What its bytes are [default: what its file name says]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What they must add up to: sha256:HEX or sha512:HEX
    #[arg(long, value_name = "CHECKSUM")]
    checksum: Option<String>,
    /// Firmware it wants
    #[arg(long, value_name = "bios|uefi", value_parser = ["bios", "uefi"])]
    firmware: Option<String>,
    /// Operating system, such as linux
    #[arg(long, value_name = "TEXT")]
    os_type: Option<String>,
    /// Free text
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// What the bytes of an image are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Qcow2,
    Raw,
    Iso,
    Kernel,
    Initrd,
}

impl Format {
    fn word(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
            Self::Iso => "iso",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        }
    }

    /// From a file name, where it leaves no doubt: `.img` may be anything.
    fn guess(url: &str) -> Option<Self> {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let file = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        match file.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "qcow2" => Some(Self::Qcow2),
            "raw" => Some(Self::Raw),
            "iso" => Some(Self::Iso),
            _ if file.starts_with("vmlinuz") || file.starts_with("bzimage") => Some(Self::Kernel),
            _ if file.starts_with("initrd") || file.starts_with("initramfs") => Some(Self::Initrd),
            _ => None,
        }
    }
}

/// What to change about an image; what is not said stays.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").multiple(true).required(true).args(["new_name", "description", "firmware", "os_type"]))]
pub(crate) struct UpdateArgs {
    /// Name or uuid
    #[arg(add = crate::complete::named())]
    name: String,
    /// New name
    #[arg(long, value_name = "NAME")]
    new_name: Option<String>,
    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Firmware it wants
    #[arg(long, value_name = "bios|uefi", value_parser = ["bios", "uefi"])]
    firmware: Option<String>,
    /// Operating system, such as linux
    #[arg(long, value_name = "TEXT")]
    os_type: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Create(args) => create(context, args).await,
        ImageCommand::Upload(args) => upload(context, args).await,
        ImageCommand::List(args) => list(context, &args).await,
        ImageCommand::Show { name } => show(context, &name).await,
        ImageCommand::Update(args) => update(context, args).await,
        ImageCommand::Delete(args) => delete(context, &args).await,
    }
}

async fn create(context: &mut Context, args: CreateArgs) -> Result<()> {
    let body = create_fields(&args)?;
    let name = &args.name;
    let change = Change {
        path: "/v1/repository/image/create",
        body,
        name: name.clone(),
        doing: text!("{name}: fetching"; "{name}: 正在获取"),
        done: text!("{name}: ready"; "{name}: 已就绪"),
    };
    let done = change.done.clone();
    let outcome = context.carry(change, &args.wait).await?;
    let image_uuid = outcome.job.as_ref().and_then(|job| job.resource_uuid()).map(str::to_owned);
    if let (true, Some(image_uuid)) = (context.out.is_json, image_uuid) {
        let answer = context.client.get("/v1/repository/image/inspect", &[("image_uuid", image_uuid)]).await?;
        return context.out.json(&answer.raw);
    }
    if context.out.is_json { context.out.json(&outcome.raw()) } else { context.report(&outcome, &args.wait, &done) }
}

fn create_fields(args: &CreateArgs) -> Result<Body> {
    let url = match (&args.url, &args.file) {
        (Some(url), _) => url.clone(),
        (None, Some(path)) if path.starts_with('/') => {
            format!("file://{}", path.split('/').map(percent_encode).collect::<Vec<_>>().join("/"))
        }
        _ => {
            return Err(CliError::usage(text!("--file takes an absolute path on the node"; "--file 需要节点上的绝对路径")));
        }
    };
    let format = format_of(args.format, &url)?;
    let mut body = Body::new();
    body.insert("image_name".into(), json!(args.name));
    body.insert("url".into(), json!(url));
    body.insert("format".into(), json!(format.word()));
    body.extend(args.checksum.as_ref().map(|text| ("checksum".to_owned(), json!(text))));
    body.extend(args.firmware.as_ref().map(|text| ("boot_type".to_owned(), json!(text))));
    body.extend(args.os_type.as_ref().map(|text| ("os_type".to_owned(), json!(text))));
    body.extend(args.description.as_ref().map(|text| ("description".to_owned(), json!(text))));
    Ok(body)
}

fn format_of(said: Option<Format>, url: &str) -> Result<Format> {
    said.or_else(|| Format::guess(url)).ok_or_else(|| {
        CliError::usage(text!("its name does not say what the image is"; "无法从文件名判断镜像格式"))
            .hint(text!("say --format qcow2, raw, iso, kernel or initrd"; "请使用 --format 指定 qcow2, raw, iso, kernel 或 initrd"))
    })
}

async fn upload(context: &mut Context, args: UploadArgs) -> Result<()> {
    let file_name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let format = format_of(args.format, &file_name)?;
    let stem = file_name.rsplit_once('.').map_or(file_name.as_str(), |(stem, _)| stem);
    let name = args.name.unwrap_or_else(|| stem.to_owned());
    let mut query = vec![("image_name", name.clone()), ("format", format.word().to_owned())];
    let said = [("checksum", args.checksum), ("boot_type", args.firmware), ("os_type", args.os_type), ("description", args.description)];
    query.extend(said.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let total = std::fs::metadata(&args.file).map_or(0, |metadata| metadata.len());
    let progress = Progress::start(&text!("{name}: sending"; "{name}: 正在上传"), context.out.language).of_bytes(total);
    let answer = context.client.upload("/v1/repository/image/upload", &query, &args.file, progress).await;
    let answer = answer.map_err(|error| error.about(&name))?;
    if context.out.is_json { context.out.json(&answer.raw) } else { context.out.say(&text!("{name}: ready"; "{name}: 已就绪")) }
}

async fn list(context: &mut Context, args: &ListArgs) -> Result<()> {
    let answer = context.client.get("/v1/repository/image/list", &args.query()).await?;
    let language = context.out.language;
    let nothing = text!("no images; bring one in: hvctl image create"; "没有镜像, 可使用 hvctl image create 添加");
    context.list(&answer, &nothing, |list| table(list, language))
}

fn table(list: &Value, language: Language) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("STATUS"),
        column("FORMAT"),
        column("FILE SIZE").number(),
        column("DISK SIZE").number(),
        column("CREATED").spare(2),
        column("UUID").whole().spare(1),
    ]);
    for image in entries(list) {
        table.row(vec![
            cell(image, "image_name"),
            view::status(image),
            cell(image, "format"),
            size_cell(image, "storage_size"),
            size_cell(image, "virtual_size"),
            ago_cell(image, "create_time", language),
            cell(image, "image_uuid"),
        ]);
    }
    table
}

async fn show(context: &mut Context, wanted: &str) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &IMAGE, wanted).await?;
    let answer = context.client.get("/v1/repository/image/inspect", &[("image_uuid", target.uuid)]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let image = &answer.value["image"];
    let language = context.out.language;
    let text = |key: &str| view::text(image, key);
    context.out.fields(&[
        ("Name", text("image_name").into()),
        ("UUID", text("image_uuid").into()),
        ("Status", view::status(image)),
        ("Error", Content::toned(text("error_message"), Tone::Bad)),
        ("Description", text("description").into()),
        ("Format", text("format").into()),
        ("File size", view::size(image, "storage_size").into()),
        ("Disk size", view::size(image, "virtual_size").into()),
        ("Checksum", text("checksum").into()),
        ("Firmware", text("boot_type").into()),
        ("Operating system", format!("{} {}", text("os_type"), text("os_version")).trim().to_owned().into()),
        ("Architecture", text("architecture").into()),
        ("Source", text("url").into()),
        ("Created", view::time(image, "create_time", language).into()),
        ("Updated", view::time(image, "update_time", language).into()),
    ])
}

async fn update(context: &mut Context, args: UpdateArgs) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &IMAGE, &args.name).await?;
    let mut body = target.body(&IMAGE);
    body.extend(args.new_name.map(|text| ("new_name".to_owned(), json!(text))));
    body.extend(args.description.map(|text| ("description".to_owned(), json!(text))));
    body.extend(args.firmware.map(|text| ("boot_type".to_owned(), json!(text))));
    body.extend(args.os_type.map(|text| ("os_type".to_owned(), json!(text))));
    let name = &target.name;
    let change = Change {
        path: "/v1/repository/image/update",
        body,
        name: name.clone(),
        doing: text!("{name}: updating"; "{name}: 正在更新"),
        done: text!("{name}: updated"; "{name}: 已更新"),
    };
    context.change(change, &args.wait).await
}

async fn delete(context: &mut Context, args: &DeleteArgs) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &IMAGE, &args.many.names).await?;
    let names = targets.iter().flatten().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ");
    confirm(&text!("Delete image {names}, for ever"; "永久删除镜像 {names}"), args.yes, context.out.language).await?;
    context
        .change_each(targets, &args.many.wait, |target| {
            let name = &target.name;
            Change {
                path: "/v1/repository/image/delete",
                body: target.body(&IMAGE),
                name: name.clone(),
                doing: text!("{name}: deleting"; "{name}: 正在删除"),
                done: text!("{name}: deleted"; "{name}: 已删除"),
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_guessed_only_where_the_name_leaves_no_doubt() {
        for (url, format) in [
            ("https://x/debian-12.qcow2", Some(Format::Qcow2)),
            ("https://x/a.iso?token=1.raw", Some(Format::Iso)),
            ("file:///boot/vmlinuz-6.1.0-1-amd64", Some(Format::Kernel)),
            ("file:///boot/initrd.img-6.1.0-1-amd64", Some(Format::Initrd)),
            ("https://x/noble.img", None),
            ("https://x/", None),
        ] {
            assert_eq!(Format::guess(url), format, "{url}");
        }
    }
}
