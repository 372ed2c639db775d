//! What every command works with, and the one way a change is carried through: submit, follow, report.

use crate::args::WaitArgs;
use crate::client::{Answer, Body, Client, JobState};
use crate::error::{CliError, Result};
use crate::output::Output;
use crate::progress::Progress;
use crate::resolve::Target;
use crate::text;
use crate::text::Text;
use serde_json::{Value, json};

/// The node, the terminal and the options that concern both.
pub(crate) struct Context {
    /// The node.
    pub(crate) client: Client,
    /// The terminal.
    pub(crate) out: Output,
    /// `--verbose`.
    pub(crate) is_verbose: bool,
}

/// One change to ask for.
pub(crate) struct Change {
    /// Route.
    pub(crate) path: &'static str,
    /// Parameters.
    pub(crate) body: Body,
    /// Name of what is changed.
    pub(crate) name: String,
    /// Shown while it runs: `web: starting`.
    pub(crate) doing: Text,
    /// Said when it is done: `web: started`.
    pub(crate) done: Text,
}

/// A change that ended well, or was not waited for.
pub(crate) struct Outcome {
    /// The node's answer to the request.
    pub(crate) answer: Answer,
    /// The ended job; absent if it was not waited for, or the node answered without one.
    pub(crate) job: Option<JobState>,
}

impl Outcome {
    /// The answer as if it had been waited for in the request: the job's end instead of `"running"`.
    pub(crate) fn raw(&self) -> String {
        match (&self.job, &self.answer.value) {
            (Some(job), Value::Object(members)) if members.contains_key("job_status") => {
                let mut members = members.clone();
                members.insert("job_status".into(), json!(job.status()));
                Value::Object(members).to_string()
            }
            _ => self.answer.raw.clone(),
        }
    }
}

impl Context {
    /// Carries one change through and gives how it ended. Says nothing on success unless it is not waited for.
    pub(crate) async fn carry(&mut self, change: Change, wait: &WaitArgs) -> Result<Outcome> {
        let answer = self.client.submit(change.path, change.body).await?;
        let Some(job_uuid) = job_uuid_of(&answer) else { return Ok(Outcome { answer, job: None }) };
        if wait.no_wait {
            return Ok(Outcome { answer, job: None });
        }
        let job = self.follow_one(&change.doing, &[job_uuid]).await?;
        job.outcome()?;
        Ok(Outcome { answer, job: Some(job) })
    }

    /// Carries one change through and reports it.
    pub(crate) async fn change(&mut self, change: Change, wait: &WaitArgs) -> Result<()> {
        let done = change.done.clone();
        let outcome = self.carry(change, wait).await?;
        if self.out.is_json {
            return self.out.json(&outcome.raw());
        }
        self.report(&outcome, wait, &done)
    }

    /// Says what became of a change that did not fail: its end, or the job to follow.
    pub(crate) fn report(&self, outcome: &Outcome, wait: &WaitArgs, done: &Text) -> Result<()> {
        match job_uuid_of(&outcome.answer).filter(|_| wait.no_wait) {
            Some(job_uuid) => self.out.raw(&format!("{job_uuid}\n")),
            None => self.out.say(done),
        }
    }

    /// Carries the same change through for each target. All are submitted first and run side by side; each is reported, the first
    /// failure decides how the command ends.
    pub(crate) async fn change_each(
        &mut self,
        targets: Vec<Result<Target>>,
        wait: &WaitArgs,
        make: impl Fn(&Target) -> Change,
    ) -> Result<()> {
        if let [Ok(target)] = targets.as_slice() {
            return self.change(make(target), wait).await;
        }
        let mut submitted = Vec::new();
        for target in targets {
            let started = match target {
                Ok(target) => {
                    let change = make(&target);
                    let (name, doing, done) = (change.name, change.doing, change.done);
                    let answer = self.client.submit(change.path, change.body).await;
                    Started { name, doing, done, answer }
                }
                Err(error) => Started { name: String::new(), doing: Text::default(), done: Text::default(), answer: Err(error) },
            };
            submitted.push(started);
        }
        let mut pending: Vec<String> = submitted.iter().filter_map(|s| s.answer.as_ref().ok().and_then(job_uuid_of)).collect();
        let mut results = Vec::new();
        let mut first_failure = None;
        for started in submitted {
            let (name, done) = (started.name.clone(), started.done.clone());
            match self.finish(started, &mut pending, wait).await {
                Ok(outcome) => {
                    results.push(json!({"status_code": 0, "data": serde_json::from_str::<Value>(&outcome.raw()).unwrap_or_default()}));
                    if !self.out.is_json {
                        self.report(&outcome, wait, &done)?;
                    }
                }
                Err(error) => {
                    let is_last = matches!(error.kind(), crate::error::Kind::Interrupted | crate::error::Kind::Timeout);
                    results.push(json!({"status_code": error.code(), "message": error.text().en, "message_cn": error.text().cn}));
                    self.out.failure(&error, self.is_verbose);
                    first_failure.get_or_insert(error);
                    if is_last {
                        break;
                    }
                }
            }
        }
        self.conclude(&results, first_failure)
    }

    async fn finish(&mut self, started: Started, pending: &mut Vec<String>, wait: &WaitArgs) -> Result<Outcome> {
        let answer = started.answer?;
        if job_uuid_of(&answer).is_none() || wait.no_wait {
            return Ok(Outcome { answer, job: None });
        }
        let job = self.follow_one(&started.doing, pending).await?;
        pending.remove(0);
        job.outcome()?;
        Ok(Outcome { answer, job: Some(job) })
    }

    fn conclude(&self, results: &[Value], first_failure: Option<CliError>) -> Result<()> {
        let fail = results.iter().filter(|result| result["status_code"] != 0).count();
        if self.out.is_json {
            let all = json!({"success": results.len() - fail, "fail": fail, "results": results});
            self.out.json(&all.to_string())?;
        }
        match first_failure {
            // each failure was told already: only the exit code is left to say
            Some(error) => Err(error.already_told()),
            None => Ok(()),
        }
    }

    /// Follows `pending[0]` with a sign of life on the terminal.
    pub(crate) async fn follow_one(&mut self, doing: &Text, pending: &[String]) -> Result<JobState> {
        let mut progress = Progress::start(doing, self.out.language);
        self.client.follow(pending, &mut progress).await
    }

    /// Prints a list: the data for `--json`, else what `show` makes of it and how many more there are.
    pub(crate) fn list(&self, answer: &Answer, nothing: &Text, mut show: impl FnMut(&Value) -> crate::output::Table) -> Result<()> {
        if self.out.is_json {
            return self.out.json(&answer.raw);
        }
        self.out.table(&show(&answer.value["list"]), nothing)?;
        let shown = answer.value["list"].as_array().map_or(0, Vec::len) as u64;
        let total = answer.value["total_count"].as_u64().unwrap_or(shown);
        if total > shown && shown > 0 {
            self.out.note(&text!("{shown} of {total} shown; all of them: --all"; "显示 {shown}/{total} 条, 显示全部: --all"));
        }
        Ok(())
    }
}

struct Started {
    name: String,
    doing: Text,
    done: Text,
    answer: Result<Answer>,
}

/// The job an answer names.
pub(crate) fn job_uuid_of(answer: &Answer) -> Option<String> {
    answer.value["job_uuid"].as_str().filter(|uuid| !uuid.is_empty()).map(str::to_owned)
}
