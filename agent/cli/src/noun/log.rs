//! `hvctl log …`: the operation log.

use crate::args::PageArgs;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Content, Table, Tone, column};
use crate::text;
use crate::text::Language;
use crate::units::{now_seconds, parse_duration};
use crate::view::{self, ago_cell, cell, entries};
use clap::{Args, Subcommand};
use serde_json::Value;
use uuid::Uuid;

/// What can be asked of the log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// List who asked for what, newest first
    List(LogListArgs),
    /// Show everything about one entry
    #[command(alias = "inspect")]
    Show {
        /// Its uuid
        entry: Uuid,
    },
}

/// Which entries.
#[derive(Debug, Args)]
pub(crate) struct LogListArgs {
    /// Only since then, such as 30m, 2h or 1d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<u64>,
    /// Only by this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only about this kind of thing, such as vm or image
    #[arg(long, value_name = "TYPE")]
    resource_type: Option<String>,
    /// Only about the object with this uuid
    #[arg(long, value_name = "UUID")]
    resource: Option<Uuid>,
    #[command(flatten)]
    page: PageArgs,
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: LogCommand) -> Result<()> {
    match command {
        LogCommand::List(args) => list(context, args).await,
        LogCommand::Show { entry } => show(context, entry).await,
    }
}

async fn list(context: &mut Context, args: LogListArgs) -> Result<()> {
    let mut query = args.page.query();
    let start = |since: u64| now_seconds().saturating_sub(i64::try_from(since).unwrap_or(i64::MAX)).max(0);
    query.extend(args.since.map(|since| ("start_time", start(since).to_string())));
    query.extend(args.user.map(|user| ("user_name", user)));
    query.extend(args.resource_type.map(|kind| ("resource_type", kind)));
    query.extend(args.resource.map(|uuid| ("resource_uuid", uuid.to_string())));
    let answer = context.client.get("/v1/operation_log/list", &query).await?;
    let language = context.out.language;
    context.list(&answer, &text!("nothing was asked for"; "没有操作记录"), |list| table(list, language))
}

fn table(list: &Value, language: Language) -> Table {
    let mut table = Table::new(&[
        column("WHEN"),
        column("USER"),
        column("ACTION"),
        column("ON"),
        column("RESULT"),
        column("FROM").spare(2),
        column("UUID").whole().spare(1),
    ]);
    for entry in entries(list) {
        let about = match view::text(entry, "resource_name") {
            name if name.is_empty() => view::text(entry, "resource_uuid"),
            name => name,
        };
        table.row(vec![
            ago_cell(entry, "create_time", language),
            cell(entry, "user_name"),
            cell(entry, "action"),
            view::dash(about).into(),
            result(entry, language),
            cell(entry, "client_address"),
            cell(entry, "operation_log_uuid"),
        ]);
    }
    table
}

/// How it ended, if it did.
fn result(entry: &Value, language: Language) -> Content {
    let code = entry["status_code"].as_u64().unwrap_or(0);
    let is_ended = entry["finish_time"].as_i64().is_some_and(|time| time > 0);
    match (code, is_ended, language) {
        (0, true, Language::En) => Content::toned("done", Tone::Good),
        (0, true, Language::Cn) => Content::toned("成功", Tone::Good),
        (0, false, Language::En) => Content::toned("running", Tone::Busy),
        (0, false, Language::Cn) => Content::toned("执行中", Tone::Busy),
        (_, _, Language::En) => Content::toned(format!("{} [{code}]", view::text(entry, "message")), Tone::Bad),
        (_, _, Language::Cn) => Content::toned(format!("{} [{code}]", view::text(entry, "message_cn")), Tone::Bad),
    }
}

async fn show(context: &mut Context, entry: Uuid) -> Result<()> {
    let answer = context.client.get("/v1/operation_log/inspect", &[("operation_log_uuid", entry.to_string())]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let entry = &answer.value["operation_log"];
    let language = context.out.language;
    let request = if entry["request"].is_null() { String::new() } else { entry["request"].to_string() };
    context.out.fields(&[
        ("UUID", view::text(entry, "operation_log_uuid").into()),
        ("When", view::time(entry, "create_time", language).into()),
        ("Finished", view::time(entry, "finish_time", language).into()),
        ("User", view::text(entry, "user_name").into()),
        ("From", view::text(entry, "client_address").into()),
        ("API", view::text(entry, "dialect").into()),
        ("Action", view::text(entry, "action").into()),
        ("On", format!("{} {}", view::text(entry, "resource_type"), view::named(entry, "resource_name", "resource_uuid")).trim().into()),
        ("Result", result(entry, language)),
        ("Request id", view::text(entry, "request_id").into()),
        ("Job", view::text(entry, "job_uuid").into()),
        ("Request", request.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_tells_success_from_failure_from_not_yet() {
        assert_eq!(result(&json!({"status_code": 0, "finish_time": 5}), Language::En), Content::toned("done", Tone::Good));
        assert_eq!(result(&json!({"status_code": 0, "finish_time": null}), Language::En), Content::toned("running", Tone::Busy));
        let refused = json!({"status_code": 13014, "message": "Vm locked", "finish_time": 5});
        assert_eq!(result(&refused, Language::En), Content::toned("Vm locked [13014]", Tone::Bad));
    }
}
