//! Takes up the jobs that a former run of the daemon left: each is run again or undone, by its verb's own rule, and ends.

use super::{Inner, inventory, runner};
use crate::model::Job;
use crate::verb::{AfterRestart, Carried, Change};
use std::sync::Arc;
use tokio::sync::watch;

/// Starts a task for every open job, in the order they were accepted.
pub(super) async fn take_up(inner: &Arc<Inner>, jobs: Vec<Job>) {
    for job in runner::in_order(jobs) {
        let change = match Change::from_job(&job) {
            Ok(change) => change,
            Err(error) => {
                tracing::error!(job_uuid = %job.job_uuid, error = %error.chain(), "A job of a former run cannot be read");
                runner::end_unreadable(inner, job, &error).await;
                continue;
            }
        };
        let mode = match change.verb().after_restart() {
            AfterRestart::Resume => runner::Mode::Resume,
            AfterRestart::Undo => runner::Mode::Undo,
        };
        tracing::info!(job_uuid = %job.job_uuid, verb = job.verb.word(), ?mode, "Taking up a job of a former run");
        let job = Arc::new(job);
        let (entry, cancel) = runner::entry_of(&job);
        inner.world.update(|snapshot| {
            inner.lanes.lock().enter_quietly(job.resource, entry);
            inventory::show_job(snapshot, &job);
        });
        inner.waiting.lock().insert(job.job_uuid, watch::Sender::new(job.clone()));
        runner::spawn(inner, runner::Assignment { job, operation: None, change, cancel, carried: Carried::default(), mode });
    }
}
