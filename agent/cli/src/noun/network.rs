//! `hvctl network …`.

use crate::args::ListArgs;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Table, column};
use crate::resolve::{self, NETWORK};
use crate::text;
use crate::view::{self, cell, entries};
use clap::Subcommand;
use serde_json::Value;

/// What can be asked about networks.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// List networks
    List(ListArgs),
    /// Show everything about a network
    #[command(alias = "inspect")]
    Show {
        /// Name or uuid
        #[arg(add = crate::complete::named())]
        name: String,
    },
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: NetworkCommand) -> Result<()> {
    match command {
        NetworkCommand::List(args) => {
            let answer = context.client.get("/v1/network/list", &args.query()).await?;
            context.list(&answer, &text!("no networks"; "没有网络"), table)
        }
        NetworkCommand::Show { name } => show(context, &name).await,
    }
}

fn table(list: &Value) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("STATUS"),
        column("TYPE"),
        column("BRIDGE"),
        column("ADDRESSES"),
        column("DHCP"),
        column("UUID").whole().spare(1),
    ]);
    for network in entries(list) {
        table.row(vec![
            cell(network, "network_name"),
            view::status(network),
            cell(network, "network_type"),
            cell(network, "bridge_name"),
            cell(network, "address_range"),
            cell(network, "dhcp_enabled"),
            cell(network, "network_uuid"),
        ]);
    }
    table
}

async fn show(context: &mut Context, wanted: &str) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &NETWORK, wanted).await?;
    let answer = context.client.get("/v1/network/inspect", &[("network_uuid", target.uuid)]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let network = &answer.value["network"];
    let text = |key: &str| view::text(network, key);
    let used = match (network["used_address_count"].as_u64(), network["address_count"].as_u64()) {
        (Some(used), Some(all)) if all > 0 => format!("{used} of {all}"),
        _ => String::new(),
    };
    context.out.fields(&[
        ("Name", text("network_name").into()),
        ("UUID", text("network_uuid").into()),
        ("Status", view::status(network)),
        ("Description", text("description").into()),
        ("Type", text("network_type").into()),
        ("Bridge", text("bridge_name").into()),
        ("Uplink", text("interface_name").into()),
        ("Addresses", text("address_range").into()),
        ("Addresses used", used.into()),
        ("Gateway", text("gateway").into()),
        ("Netmask", text("netmask").into()),
        ("DNS", text("dns_servers").into()),
        ("DHCP", text("dhcp_enabled").into()),
        ("MTU", text("mtu").into()),
        ("Created", view::time(network, "create_time", context.out.language).into()),
    ])
}
