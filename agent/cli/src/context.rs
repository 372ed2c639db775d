//! What every command works with, and the one way a change is carried through: submit, follow, report.

use crate::args::WaitArgs;
use crate::client::{Answer, Body, Client, JobState};
use crate::error::{CliError, Kind, Result};
use crate::output::Output;
use crate::profile::Profile;
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
    /// The profile that said which node, if one did.
    pub(crate) profile: Option<Profile>,
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
        let started = self.start(change).await;
        let mut pending: Vec<String> = started.job_uuid().into_iter().collect();
        self.finish(started, &mut pending, wait).await
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
            submitted.push(match target {
                Ok(target) => self.start(make(&target)).await,
                Err(error) => Started { name: String::new(), doing: Text::default(), done: Text::default(), answer: Err(error) },
            });
        }
        let mut pending: Vec<String> = submitted.iter().filter_map(Started::job_uuid).collect();
        let mut results = Vec::new();
        let mut first_failure = None;
        for started in submitted {
            let (name, done) = (started.name.clone(), started.done.clone());
            match self.finish(started, &mut pending, wait).await {
                Ok(outcome) => {
                    let data = serde_json::from_str::<Value>(&outcome.raw()).unwrap_or_default();
                    results.push(json!({"status_code": 0, "name": name, "data": data}));
                    if !self.out.is_json {
                        self.report(&outcome, wait, &done)?;
                    }
                }
                Err(error) => {
                    let text = error.text();
                    results.push(json!({"status_code": error.code(), "name": name, "message": text.en, "message_cn": text.cn}));
                    self.out.failure(&error, self.is_verbose);
                    let is_end_of_patience = error.code().is_none() && !matches!(error.kind(), Kind::Usage | Kind::NotFound);
                    first_failure.get_or_insert(error);
                    if is_end_of_patience {
                        break;
                    }
                }
            }
        }
        self.conclude(&results, first_failure)
    }

    async fn start(&mut self, change: Change) -> Started {
        let answer = self.client.submit(change.path, change.body).await;
        Started { name: change.name, doing: change.doing, done: change.done, answer }
    }

    /// Follows a submitted change, whose job is the first of `pending` if it has one, and takes it from there.
    async fn finish(&mut self, started: Started, pending: &mut Vec<String>, wait: &WaitArgs) -> Result<Outcome> {
        let job_uuid = started.job_uuid();
        let answer = started.answer.map_err(|error| error.about(&started.name))?;
        if job_uuid.is_none() || wait.no_wait {
            return Ok(Outcome { answer, job: None });
        }
        let followed = self.follow_one(&started.doing, pending).await;
        pending.remove(0);
        let job = followed?;
        job.outcome().map_err(|error| error.about(&started.name))?;
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

/// A change that was submitted, or refused at once.
struct Started {
    name: String,
    doing: Text,
    done: Text,
    answer: Result<Answer>,
}

impl Started {
    fn job_uuid(&self) -> Option<String> {
        self.answer.as_ref().ok().and_then(job_uuid_of)
    }
}

/// The job an answer names.
pub(crate) fn job_uuid_of(answer: &Answer) -> Option<String> {
    answer.value["job_uuid"].as_str().filter(|uuid| !uuid.is_empty()).map(str::to_owned)
}
