//! `hvctl event …`: what happened on the node, and what happens.

use crate::client::StreamEvent;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Output, Table, column};
use crate::text;
use crate::text::{Language, Text};
use crate::view::{self, ago_cell, cell, entries};
use clap::{Args, Subcommand};
use serde_json::Value;

/// What can be asked of the event stream.
#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// List events, oldest first
    List(EventListArgs),
    /// Print events as they happen, through restarts of the node, until interrupted
    Follow {
        /// Begin after the event with this cursor instead of now
        #[arg(long, value_name = "CURSOR")]
        after: Option<u64>,
    },
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct EventListArgs {
    /// Only after the event with this cursor
    #[arg(long, value_name = "CURSOR")]
    after: Option<u64>,
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: EventCommand) -> Result<()> {
    match command {
        EventCommand::List(args) => list(context, &args).await,
        EventCommand::Follow { after } => {
            let out = context.out.clone();
            context.client.follow_events(after, &mut |event| show(&out, event)).await
        }
    }
}

async fn list(context: &mut Context, args: &EventListArgs) -> Result<()> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.after.map(|cursor| ("cursor", cursor.to_string())));
    let answer = context.client.get("/v1/event/list", &query).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    context.out.table(&table(&answer.value["list"], context.out.language), &text!("no events"; "没有事件"))?;
    if answer.value["has_gap"] == true {
        context.out.note(&gap());
    }
    let shown = answer.value["list"].as_array().map_or(0, Vec::len);
    if shown == usize::from(args.limit) {
        let next = view::text(&answer.value, "next_cursor");
        context.out.note(&text!("there may be more: --after {next}"; "可能还有更多: --after {next}"));
    }
    Ok(())
}

fn gap() -> Text {
    text!("events before these are not kept any more"; "更早的事件已不再保留")
}

fn table(list: &Value, language: Language) -> Table {
    let mut table = Table::new(&[
        column("WHEN"),
        column("KIND"),
        column("ON"),
        column("OLD"),
        column("NEW"),
        column("REASON"),
        column("JOB").whole().spare(2),
        column("CURSOR").spare(1),
    ]);
    for event in entries(list) {
        table.row(vec![
            ago_cell(event, "time", language),
            cell(event, "kind"),
            view::dash(about(event)).into(),
            cell(event, "old"),
            cell(event, "new"),
            cell(event, "reason"),
            cell(event, "job_uuid"),
            cell(event, "cursor"),
        ]);
    }
    table
}

/// What it is about.
fn about(event: &Value) -> String {
    match view::text(event, "resource_name") {
        name if name.is_empty() => view::text(event, "resource_uuid"),
        name => name,
    }
}

/// One line per event; its JSON on one line for `--json`.
fn show(out: &Output, event: &StreamEvent) -> Result<()> {
    if out.is_json {
        return out.raw(&format!("{}\n", event.data));
    }
    if event.kind == "gap" {
        out.note(&gap());
        return Ok(());
    }
    let event: Value = serde_json::from_str(&event.data).unwrap_or_default();
    out.say(&line(&event, out.language))
}

fn line(event: &Value, language: Language) -> Text {
    let (time, kind, about) = (view::time(event, "time", language), view::text(event, "kind"), view::dash(about(event)));
    let (old, new) = (view::dash(view::text(event, "old")), view::dash(view::text(event, "new")));
    let reason = view::text(event, "reason");
    let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
    text!("{time}  {kind}  {about}: {old} -> {new}{reason}"; "{time}  {kind}  {about}: {old} -> {new}{reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_line_that_says_what_changed_and_why() {
        let event = json!({"kind": "vm_status", "resource_name": "web", "old": "running", "new": "", "reason": "requested"});
        assert_eq!(line(&event, Language::En).en, "  vm_status  web: running -> - (requested)");
        let event = json!({"kind": "daemon", "resource_name": "", "resource_uuid": null, "old": "", "new": "started", "reason": ""});
        assert_eq!(line(&event, Language::En).en, "  daemon  -: - -> started");
    }
}
