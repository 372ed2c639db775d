//! `hvctl repository …`: where images lie.

use crate::args::ListArgs;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Table, column};
use crate::resolve::{self, REPOSITORY};
use crate::text;
use crate::view::{self, cell, entries, size_cell};
use clap::Subcommand;
use serde_json::Value;

/// What can be asked about repositories.
#[derive(Debug, Subcommand)]
pub(crate) enum RepositoryCommand {
    /// List repositories
    List(ListArgs),
    /// Show everything about a repository
    #[command(alias = "inspect")]
    Show {
        /// Name or uuid
        #[arg(add = crate::complete::named())]
        name: String,
    },
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: RepositoryCommand) -> Result<()> {
    match command {
        RepositoryCommand::List(args) => {
            let answer = context.client.get("/v1/repository/list", &args.query()).await?;
            context.list(&answer, &text!("no repositories"; "没有镜像仓库"), table)
        }
        RepositoryCommand::Show { name } => show(context, &name).await,
    }
}

fn table(list: &Value) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("STATUS"),
        column("SIZE").number(),
        column("FREE").number(),
        column("IMAGES").number(),
        column("PATH").spare(2),
        column("UUID").whole().spare(1),
    ]);
    for repository in entries(list) {
        table.row(vec![
            cell(repository, "repository_name"),
            view::status(repository),
            size_cell(repository, "storage_size"),
            size_cell(repository, "available_storage_size"),
            cell(repository, "image_count"),
            cell(repository, "path"),
            cell(repository, "repository_uuid"),
        ]);
    }
    table
}

async fn show(context: &mut Context, wanted: &str) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &REPOSITORY, wanted).await?;
    let answer = context.client.get("/v1/repository/inspect", &[("repository_uuid", target.uuid)]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let repository = &answer.value["repository"];
    context.out.fields(&[
        ("Name", view::text(repository, "repository_name").into()),
        ("UUID", view::text(repository, "repository_uuid").into()),
        ("Status", view::status(repository)),
        ("Description", view::text(repository, "description").into()),
        ("Size", view::size(repository, "storage_size").into()),
        ("Free", view::size(repository, "available_storage_size").into()),
        ("Images", view::text(repository, "image_count").into()),
        ("Path", view::text(repository, "path").into()),
    ])
}
