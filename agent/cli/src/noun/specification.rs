//! `hvctl spec …`.

use crate::args::{DeleteArgs, ListArgs, WaitArgs};
use crate::client::Body;
use crate::context::{Change, Context};
use crate::error::Result;
use crate::output::{Table, column};
use crate::resolve::{self, SPECIFICATION};
use crate::terminal::confirm;
use crate::text;
use crate::text::Language;
use crate::units::parse_size;
use crate::view::{self, ago_cell, cell, entries, size_cell};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// What can be done with specifications.
#[derive(Debug, Subcommand)]
pub(crate) enum SpecificationCommand {
    /// Create a specification
    Create(CreateArgs),
    /// List specifications
    List(ListArgs),
    /// Show a specification
    #[command(alias = "inspect")]
    Show {
        /// Name or uuid
        #[arg(add = crate::complete::named())]
        name: String,
    },
    /// Change a specification; VMs made from it stay as they are
    Update(UpdateArgs),
    /// Delete specifications that no VM was made from
    Delete(DeleteArgs),
}

/// The specification to make.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its name
    name: String,
    /// Virtual processors
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    cpus: u32,
    /// Memory, such as 512M or 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: u64,
    /// Root disk, such as 20G [default: the image's own size]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    disk: Option<u64>,
    /// Free text
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// What to change; what is not said stays.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").multiple(true).required(true).args(["new_name", "description", "cpus", "memory", "disk"]))]
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
    /// Virtual processors
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    cpus: Option<u32>,
    /// Memory, such as 512M or 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Root disk, such as 20G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    disk: Option<u64>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: SpecificationCommand) -> Result<()> {
    match command {
        SpecificationCommand::Create(args) => create(context, args).await,
        SpecificationCommand::List(args) => list(context, &args).await,
        SpecificationCommand::Show { name } => show(context, &name).await,
        SpecificationCommand::Update(args) => update(context, args).await,
        SpecificationCommand::Delete(args) => delete(context, &args).await,
    }
}

async fn create(context: &mut Context, args: CreateArgs) -> Result<()> {
    let mut body = Body::new();
    body.insert("specification_name".into(), json!(args.name));
    body.extend(shape(Some(args.cpus), Some(args.memory), args.disk, args.description));
    let name = &args.name;
    let change = Change {
        path: "/v1/specification/create",
        body,
        name: name.clone(),
        doing: text!("{name}: creating"; "{name}: 正在创建"),
        done: text!("{name}: created"; "{name}: 已创建"),
    };
    context.change(change, &args.wait).await
}

fn shape(cpus: Option<u32>, memory: Option<u64>, disk: Option<u64>, description: Option<String>) -> Body {
    let mut body = Body::new();
    body.extend(cpus.map(|count| ("cpu_cores".to_owned(), json!(count))));
    body.extend(memory.map(|bytes| ("memory_size".to_owned(), json!(bytes))));
    body.extend(disk.map(|bytes| ("storage_size".to_owned(), json!(bytes))));
    body.extend(description.map(|text| ("description".to_owned(), json!(text))));
    body
}

async fn list(context: &mut Context, args: &ListArgs) -> Result<()> {
    let answer = context.client.get("/v1/specification/list", &args.query()).await?;
    let language = context.out.language;
    let nothing = text!("no specifications; make one: hvctl spec create"; "没有规格, 可使用 hvctl spec create 创建");
    context.list(&answer, &nothing, |list| table(list, language))
}

fn table(list: &Value, language: Language) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("CPU").number(),
        column("MEMORY").number(),
        column("DISK").number(),
        column("CREATED").spare(2),
        column("UUID").whole().spare(1),
    ]);
    for entry in entries(list) {
        table.row(vec![
            cell(entry, "specification_name"),
            cell(entry, "cpu_cores"),
            size_cell(entry, "memory_size"),
            size_cell(entry, "storage_size"),
            ago_cell(entry, "create_time", language),
            cell(entry, "specification_uuid"),
        ]);
    }
    table
}

async fn show(context: &mut Context, wanted: &str) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &SPECIFICATION, wanted).await?;
    let answer = context.client.get("/v1/specification/inspect", &[("specification_uuid", target.uuid)]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let entry = &answer.value["specification"];
    let disk = match view::size(entry, "storage_size") {
        size if size.is_empty() => "the image's own size".to_owned(),
        size => size,
    };
    context.out.fields(&[
        ("Name", view::text(entry, "specification_name").into()),
        ("UUID", view::text(entry, "specification_uuid").into()),
        ("Description", view::text(entry, "description").into()),
        ("Cpu", view::text(entry, "cpu_cores").into()),
        ("Memory", view::size(entry, "memory_size").into()),
        ("Root disk", disk.into()),
        ("Created", view::time(entry, "create_time", context.out.language).into()),
    ])
}

async fn update(context: &mut Context, args: UpdateArgs) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &SPECIFICATION, &args.name).await?;
    let mut body = target.body(&SPECIFICATION);
    body.extend(args.new_name.map(|text| ("new_name".to_owned(), json!(text))));
    body.extend(shape(args.cpus, args.memory, args.disk, args.description));
    let name = &target.name;
    let change = Change {
        path: "/v1/specification/update",
        body,
        name: name.clone(),
        doing: text!("{name}: updating"; "{name}: 正在更新"),
        done: text!("{name}: updated"; "{name}: 已更新"),
    };
    context.change(change, &args.wait).await
}

async fn delete(context: &mut Context, args: &DeleteArgs) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &SPECIFICATION, &args.many.names).await?;
    let names = targets.iter().flatten().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ");
    confirm(&text!("Delete specification {names}"; "删除规格 {names}"), args.yes, context.out.language).await?;
    context
        .change_each(targets, &args.many.wait, |target| {
            let name = &target.name;
            Change {
                path: "/v1/specification/delete",
                body: target.body(&SPECIFICATION),
                name: name.clone(),
                doing: text!("{name}: deleting"; "{name}: 正在删除"),
                done: text!("{name}: deleted"; "{name}: 已删除"),
            }
        })
        .await
}
