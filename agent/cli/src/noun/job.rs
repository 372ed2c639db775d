//! `hvctl job …`.

use crate::args::PageArgs;
use crate::client::JobState;
use crate::context::Context;
use crate::error::{CliError, Kind, Result};
use crate::output::{Content, Table, Tone, column};
use crate::text;
use crate::text::Language;
use crate::units::{format_duration, now_seconds};
use crate::view::{self, ago_cell, cell, entries};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List jobs, newest first
    List(JobListArgs),
    /// Show everything about a job
    #[command(alias = "inspect")]
    Show {
        /// Its uuid
        #[arg(add = crate::complete::jobs())]
        job: Uuid,
    },
    /// Ask jobs to stop at their next safe point; what they did is undone
    Cancel {
        /// Their uuids
        #[arg(required = true, value_name = "JOB", add = crate::complete::jobs())]
        jobs: Vec<Uuid>,
    },
    /// Wait until jobs have ended; fails if one of them failed
    Wait {
        /// Their uuids
        #[arg(required = true, value_name = "JOB", add = crate::complete::jobs())]
        jobs: Vec<Uuid>,
    },
}

/// Which jobs.
#[derive(Debug, Args)]
pub(crate) struct JobListArgs {
    /// Only those in this state: queued, running, succeeded, failed, canceled
    #[arg(long, value_name = "STATUS", value_parser = ["queued", "running", "succeeded", "failed", "canceled"])]
    status: Option<String>,
    /// Only those about the object with this uuid
    #[arg(long, value_name = "UUID")]
    resource: Option<Uuid>,
    #[command(flatten)]
    page: PageArgs,
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: JobCommand) -> Result<()> {
    match command {
        JobCommand::List(args) => list(context, args).await,
        JobCommand::Show { job } => show(context, job).await,
        JobCommand::Cancel { jobs } => cancel(context, &jobs).await,
        JobCommand::Wait { jobs } => wait(context, &jobs).await,
    }
}

async fn list(context: &mut Context, args: JobListArgs) -> Result<()> {
    let mut query = args.page.query();
    query.extend(args.status.map(|status| ("status", status)));
    query.extend(args.resource.map(|uuid| ("resource_uuid", uuid.to_string())));
    let answer = context.client.get("/v1/job/list", &query).await?;
    let language = context.out.language;
    context.list(&answer, &text!("no jobs"; "没有任务"), |list| table(list, language))
}

fn table(list: &Value, language: Language) -> Table {
    let mut table = Table::new(&[
        column("UUID").whole(),
        column("ACTION"),
        column("ON"),
        column("STATUS"),
        column("STARTED").spare(3),
        column("TOOK").number().spare(2),
        column("MESSAGE").spare(1),
    ]);
    for job in entries(list) {
        table.row(vec![
            cell(job, "job_uuid"),
            cell(job, "action"),
            view::dash(about(job)).into(),
            progress(job),
            ago_cell(job, "create_time", language),
            view::dash(took(job, language)).into(),
            failure(job, language).into(),
        ]);
    }
    table
}

/// What it is about: the name, else the uuid.
fn about(job: &Value) -> String {
    match view::text(job, "resource_name") {
        name if name.is_empty() => view::text(job, "resource_uuid"),
        name => name,
    }
}

/// The state, with how far it is while it runs.
fn progress(job: &Value) -> Content {
    match (view::text(job, "status").as_str(), job["progress"].as_u64()) {
        ("running", Some(percent)) => Content::toned(format!("running {percent}%"), Tone::Busy),
        ("running", None) => Content::toned("running", Tone::Busy),
        _ => view::status(job),
    }
}

fn took(job: &Value, language: Language) -> String {
    let end = job["finish_time"].as_i64().filter(|time| *time > 0).unwrap_or_else(now_seconds);
    match job["start_time"].as_i64().filter(|time| *time > 0) {
        Some(start) => format_duration(u64::try_from(end - start).unwrap_or(0), language),
        None => String::new(),
    }
}

/// Why it failed, if it did.
fn failure(job: &Value, language: Language) -> String {
    match (job["status_code"].as_u64().unwrap_or(0), language) {
        (0, _) => String::new(),
        (_, Language::En) => view::text(job, "message"),
        (_, Language::Cn) => view::text(job, "message_cn"),
    }
}

async fn show(context: &mut Context, job: Uuid) -> Result<()> {
    let answer = context.client.get("/v1/job/inspect", &[("job_uuid", job.to_string())]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let job = &answer.value["job"];
    let language = context.out.language;
    let code = job["status_code"].as_u64().filter(|code| *code != 0).map(|code| format!("{} [{code}]", failure(job, language)));
    context.out.fields(&[
        ("UUID", view::text(job, "job_uuid").into()),
        ("Action", view::text(job, "action").into()),
        ("On", format!("{} {}", view::text(job, "resource_type"), view::named(job, "resource_name", "resource_uuid")).into()),
        ("Status", progress(job)),
        ("Error", Content::toned(code.unwrap_or_default(), Tone::Bad)),
        ("Asked for by", view::text(job, "user_name").into()),
        ("Created", view::time(job, "create_time", language).into()),
        ("Started", view::time(job, "start_time", language).into()),
        ("Finished", view::time(job, "finish_time", language).into()),
        ("Took", took(job, language).into()),
        ("After a restart", if job["after_restart"] == true { "yes" } else { "" }.into()),
        ("Request", view::text(job, "request_uuid").into()),
    ])?;
    if context.is_verbose {
        for place in entries(&job["stack"]).filter_map(Value::as_str) {
            context.out.raw(&format!("  at {}\n", crate::output::plain(place)))?;
        }
    }
    Ok(())
}

async fn cancel(context: &mut Context, jobs: &[Uuid]) -> Result<()> {
    let mut first_failure: Option<CliError> = None;
    for job in jobs {
        match context.client.post_repeatable("/v1/job/cancel", &json!({"job_uuid": job.to_string()})).await {
            Ok(answer) if context.out.is_json => context.out.json(&answer.raw)?,
            Ok(_) => context.out.say(&text!("{job}: asked to stop"; "{job}: 已请求取消"))?,
            Err(error) if error.code().is_none() => return Err(error),
            Err(error) => {
                let error = error.about(&job.to_string());
                context.out.failure(&error, context.is_verbose);
                first_failure.get_or_insert(error);
            }
        }
    }
    first_failure.map_or(Ok(()), |error| Err(error.already_told()))
}

async fn wait(context: &mut Context, jobs: &[Uuid]) -> Result<()> {
    let mut pending: Vec<String> = jobs.iter().map(Uuid::to_string).collect();
    let mut first_failure: Option<CliError> = None;
    while let Some(uuid) = pending.first().cloned() {
        let job = match context.follow_one(&text!("{uuid}"; "{uuid}"), &pending).await {
            Ok(job) => job,
            Err(error) if error.code().is_some() && error.kind() == Kind::Failed => {
                let error = error.about(&uuid);
                context.out.failure(&error, context.is_verbose);
                first_failure.get_or_insert(error);
                pending.remove(0);
                continue;
            }
            Err(error) => return Err(error),
        };
        pending.remove(0);
        if let Err(error) = told(context, &uuid, &job) {
            if error.kind() == Kind::OutputClosed {
                return Err(error);
            }
            first_failure.get_or_insert(error);
        }
    }
    first_failure.map_or(Ok(()), |error| Err(error.already_told()))
}

/// Reports an ended job and gives its outcome.
fn told(context: &Context, uuid: &str, job: &JobState) -> Result<()> {
    if context.out.is_json {
        context.out.json(&json!({"job": job.0}).to_string())?;
    }
    let (action, about) = (view::text(&job.0, "action"), about(&job.0));
    match job.outcome() {
        Ok(()) if context.out.is_json => Ok(()),
        Ok(()) => context.out.say(&text!("{uuid}: {action} {about}: succeeded"; "{uuid}: {action} {about}: 已成功")),
        Err(error) => {
            let error = error.about(&format!("{uuid}: {action} {about}"));
            context.out.failure(&error, context.is_verbose);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_job_shows_how_far_it_is() {
        assert_eq!(progress(&json!({"status": "running", "progress": 40})), Content::toned("running 40%", Tone::Busy));
        assert_eq!(progress(&json!({"status": "succeeded", "progress": 100})), Content::toned("succeeded", Tone::Good));
    }

    #[test]
    fn the_time_a_job_took_needs_that_it_started() {
        assert_eq!(took(&json!({"start_time": 100, "finish_time": 142}), Language::En), "42 s");
        assert_eq!(took(&json!({"start_time": null}), Language::En), "");
    }

    #[test]
    fn only_a_failure_has_a_message() {
        assert_eq!(failure(&json!({"status_code": 0, "message": "Success"}), Language::En), "");
        assert_eq!(failure(&json!({"status_code": 1, "message": "m", "message_cn": "c"}), Language::Cn), "c");
    }
}
