//! Following a job until it ends: through restarts of the node, until the user's patience ends or Ctrl-C.

use super::Client;
use crate::error::{CliError, Kind, Result};
use crate::text;
use crate::text::Text;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// First pause between two looks; it grows to [`PAUSE_MAX`], so that short changes feel instant and long ones cost nothing.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a node may be away while a job is followed. Jobs outlive a restart of the node.
const ABSENCE_MAX: Duration = Duration::from_secs(120);

/// A job as the node last told it.
#[derive(Debug, Clone)]
pub(crate) struct JobState(pub(crate) Value);

impl JobState {
    /// `queued`, `running`, `succeeded`, `failed`, `canceled`.
    pub(crate) fn status(&self) -> &str {
        self.0["status"].as_str().unwrap_or("unknown")
    }

    /// 0-100.
    pub(crate) fn progress_percent(&self) -> u64 {
        self.0["progress"].as_u64().unwrap_or(0).min(100)
    }

    /// Identity of what it changes.
    pub(crate) fn resource_uuid(&self) -> Option<&str> {
        self.0["resource_uuid"].as_str()
    }

    /// True once it cannot change any more.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.status(), "succeeded" | "failed" | "canceled")
    }

    /// Success, or why not.
    pub(crate) fn outcome(&self) -> Result<()> {
        if self.status() == "succeeded" {
            return Ok(());
        }
        let word = |name: &str| self.0[name].as_str().unwrap_or_default().to_owned();
        let code = self.0["status_code"].as_u64().and_then(|code| u32::try_from(code).ok()).filter(|code| *code != 0);
        let stack = self.0["stack"].as_array().into_iter().flatten().filter_map(|place| place.as_str().map(str::to_owned)).collect();
        Err(match (code, self.status()) {
            (Some(code), _) => CliError::from_node(code, Text { en: word("message"), cn: word("message_cn") }, stack),
            (None, "canceled") => CliError::new(Kind::Failed, text!("the job was canceled"; "任务已取消")),
            (None, status) => CliError::new(Kind::Failed, text!("the job ended as '{status}'"; "任务结束状态: {status}")),
        })
    }
}

/// Is told what happens while a job is followed.
pub(crate) trait Observer {
    /// The node told this.
    fn seen(&mut self, job: &JobState);
    /// The node does not answer at present.
    fn absent(&mut self);
}

impl Client {
    /// Follows `pending[0]` until it has ended, however it ended. The rest of `pending` is only named in advice.
    ///
    /// # Errors
    /// Timeout, interruption, a node that stays away; each says that the job goes on and how to follow it. Any refusal of the node.
    pub(crate) async fn follow(&mut self, pending: &[String], observer: &mut dyn Observer) -> Result<JobState> {
        let deadline = self.deadline();
        tokio::select! {
            biased;
            done = self.poll_until_ended(pending, observer) => done,
            _ = tokio::signal::ctrl_c() => {
                Err(CliError::new(Kind::Interrupted, text!("interrupted"; "已中断")).hint(how_to_go_on(pending)))
            }
            () = until(deadline) => {
                Err(CliError::new(Kind::Timeout, text!("not finished in time"; "未在规定时间内完成")).hint(how_to_go_on(pending)))
            }
        }
    }

    async fn poll_until_ended(&mut self, pending: &[String], observer: &mut dyn Observer) -> Result<JobState> {
        let job_uuid = pending.first().map(String::as_str).unwrap_or_default();
        let mut pause = PAUSE_MIN;
        let mut last_contact = Instant::now();
        loop {
            match self.job(job_uuid).await {
                Ok(job) => {
                    last_contact = Instant::now();
                    observer.seen(&job);
                    if job.is_ended() {
                        return Ok(job);
                    }
                }
                Err(error) if error.kind() == Kind::Unreachable && last_contact.elapsed() < ABSENCE_MAX => observer.absent(),
                Err(error) if matches!(error.kind(), Kind::Unreachable | Kind::Timeout) => return Err(error.hint(how_to_go_on(pending))),
                Err(error) => return Err(error),
            }
            sleep(pause).await;
            pause = (pause * 5 / 4).min(PAUSE_MAX);
        }
    }

    /// One job.
    pub(crate) async fn job(&mut self, job_uuid: &str) -> Result<JobState> {
        let mut answer = self.get("/v1/job/inspect", &[("job_uuid", job_uuid.to_owned())]).await?;
        Ok(JobState(answer.value["job"].take()))
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn how_to_go_on(pending: &[String]) -> Text {
    let all = pending.join(" ");
    text!("it goes on at the node; follow it with: hvctl job wait {all}"; "任务仍在节点上执行, 继续等待: hvctl job wait {all}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_job_tells_the_nodes_reason() {
        let job =
            JobState(json!({"status": "failed", "status_code": 13004, "message": "Vm start failed: x", "message_cn": "c", "stack": ["s"]}));
        let error = job.outcome().unwrap_err();
        assert_eq!((error.code(), error.text().en.as_str()), (Some(13004), "Vm start failed: x"));
    }

    #[test]
    fn a_canceled_job_is_a_failure_even_without_a_code() {
        assert!(JobState(json!({"status": "canceled", "status_code": 0})).outcome().is_err());
        assert!(JobState(json!({"status": "succeeded"})).outcome().is_ok());
    }

    #[test]
    fn nonsense_from_the_node_is_neither_ended_nor_a_panic() {
        let job = JobState(json!(null));
        assert!(!job.is_ended());
        assert_eq!(job.progress_percent(), 0);
    }
}
