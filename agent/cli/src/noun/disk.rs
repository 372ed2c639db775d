//! `hvctl disk …`. The API's word for a disk is usd.

use crate::args::{DeleteArgs, ListArgs};
use crate::context::{Change, Context};
use crate::error::Result;
use crate::output::{Table, column};
use crate::resolve::{self, DISK, VM};
use crate::terminal::confirm;
use crate::text;
use crate::view::{self, cell, entries, named, size_cell};
use clap::{Args, Subcommand};
use serde_json::Value;

/// What can be done with disks.
#[derive(Debug, Subcommand)]
pub(crate) enum DiskCommand {
    /// List disks
    List(DiskListArgs),
    /// Show everything about a disk
    #[command(alias = "inspect")]
    Show {
        /// Name or uuid
        #[arg(add = crate::complete::named())]
        name: String,
    },
    /// Delete disks that no VM owns
    Delete(DeleteArgs),
}

/// Which disks.
#[derive(Debug, Args)]
pub(crate) struct DiskListArgs {
    /// Only those of this VM
    #[arg(long, value_name = "VM", add = crate::complete::vms())]
    vm: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: DiskCommand) -> Result<()> {
    match command {
        DiskCommand::List(args) => list(context, &args).await,
        DiskCommand::Show { name } => show(context, &name).await,
        DiskCommand::Delete(args) => delete(context, &args).await,
    }
}

async fn list(context: &mut Context, args: &DiskListArgs) -> Result<()> {
    let mut query = args.list.query();
    if let Some(wanted) = &args.vm {
        query.push(("vm_uuid", resolve::resolve(&mut context.client, &VM, wanted).await?.uuid));
    }
    let answer = context.client.get("/v1/usd/list", &query).await?;
    context.list(&answer, &text!("no disks"; "没有硬盘"), table)
}

fn table(list: &Value) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("STATUS"),
        column("SIZE").number(),
        column("VM"),
        column("DEVICE"),
        column("ROOT"),
        column("UUID").whole().spare(1),
    ]);
    for disk in entries(list) {
        table.row(vec![
            cell(disk, "usd_name"),
            view::status(disk),
            size_cell(disk, "storage_size"),
            cell(disk, "vm_name"),
            cell(disk, "device"),
            cell(disk, "is_root"),
            cell(disk, "usd_uuid"),
        ]);
    }
    table
}

async fn show(context: &mut Context, wanted: &str) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &DISK, wanted).await?;
    let answer = context.client.get("/v1/usd/inspect", &[("usd_uuid", target.uuid)]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let disk = &answer.value["usd"];
    let language = context.out.language;
    context.out.fields(&[
        ("Name", view::text(disk, "usd_name").into()),
        ("UUID", view::text(disk, "usd_uuid").into()),
        ("Status", view::status(disk)),
        ("Description", view::text(disk, "description").into()),
        ("Size", view::size(disk, "storage_size").into()),
        ("Used", view::size(disk, "used_size").into()),
        ("Format", view::text(disk, "format").into()),
        ("VM", named(disk, "vm_name", "vm_uuid").into()),
        ("Device", view::text(disk, "device").into()),
        ("Bus", view::text(disk, "bus").into()),
        ("Root disk", view::text(disk, "is_root").into()),
        ("Pool", view::text(disk, "pool_name").into()),
        ("Path", view::text(disk, "path").into()),
        ("Created", view::time(disk, "create_time", language).into()),
        ("Updated", view::time(disk, "update_time", language).into()),
    ])
}

async fn delete(context: &mut Context, args: &DeleteArgs) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &DISK, &args.many.names).await?;
    let names = targets.iter().flatten().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ");
    confirm(&text!("Delete disk {names} and what is on it, for ever"; "永久删除硬盘 {names} 及其数据"), args.yes, context.out.language)
        .await?;
    context
        .change_each(targets, &args.many.wait, |target| {
            let name = &target.name;
            Change {
                path: "/v1/usd/delete",
                body: target.body(&DISK),
                name: name.clone(),
                doing: text!("{name}: deleting"; "{name}: 正在删除"),
                done: text!("{name}: deleted"; "{name}: 已删除"),
            }
        })
        .await
}
