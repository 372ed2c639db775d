//! What is shown on a terminal while a change is under way. Nothing at all where standard error is no terminal.

use crate::client::{JobState, Observer};
use crate::text;
use crate::text::{Language, Text};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// A spinner that becomes a bar once there is progress to show; gone without trace when dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    label: String,
    language: Language,
    is_bar: bool,
}

impl Progress {
    /// Starts with what is being done, such as `web: starting`.
    pub(crate) fn start(label: &Text, language: Language) -> Self {
        let target = if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(100), target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        let label = label.pick(language).to_owned();
        bar.set_message(label.clone());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, label, language, is_bar: false }
    }
}

impl Progress {
    /// Shows how far `total` bytes are, from wherever they are counted.
    pub(crate) fn of_bytes(self, total: u64) -> Box<dyn FnMut(u64) + Send> {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {bar:24.cyan} {bytes}/{total_bytes} {bytes_per_sec}  {elapsed}") {
            self.bar.set_style(style.progress_chars("━╸─"));
        }
        self.bar.set_length(total);
        Box::new(move |done| self.bar.set_position(done))
    }
}

impl Observer for Progress {
    fn seen(&mut self, job: &JobState) {
        let percent = job.progress_percent();
        if percent > 0 && !self.is_bar {
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {bar:24.cyan} {percent:>3}%  {elapsed}") {
                self.bar.set_style(style.progress_chars("━╸─"));
            }
            self.is_bar = true;
        }
        self.bar.set_position(percent);
        let label = &self.label;
        let message = match job.status() {
            "queued" => text!("{label} (queued)"; "{label} (排队中)").pick(self.language).to_owned(),
            _ => self.label.clone(),
        };
        self.bar.set_message(message);
    }

    fn absent(&mut self) {
        let label = &self.label;
        let message = text!("{label} (the node does not answer, trying again)"; "{label} (节点无应答, 正在重试)");
        self.bar.set_message(message.pick(self.language).to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
