//! Waiting that ends: by cancel, by silence, by the deadline; and threads for what blocks.

use hvnode_core::port::TransferControl;
use hvnode_core::{AgentError, Result, fail};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// How often a waiting transfer looks whether it was canceled.
const CANCEL_POLL: Duration = Duration::from_millis(100);

/// Why a try ended.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Another try may do better.
    Retry(AgentError),
    /// It will not.
    Final(AgentError),
}

impl From<AgentError> for Stop {
    fn from(error: AgentError) -> Self {
        Self::Final(error)
    }
}

/// Refuses to go on once cancel was asked for.
pub(crate) fn check_cancel(control: &TransferControl) -> Result<()> {
    if control.is_canceled.load(Ordering::Relaxed) { Err(fail!(JobCanceled)) } else { Ok(()) }
}

/// What bounds every wait of one transfer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch<'a> {
    pub(crate) control: &'a TransferControl,
    /// When the whole transfer must have ended.
    pub(crate) deadline: Instant,
    /// Longest single wait.
    pub(crate) idle_timeout: Duration,
}

impl Watch<'_> {
    /// Waits for `future`, but not past cancel, deadline or idle timeout.
    pub(crate) async fn on<T>(&self, future: impl Future<Output = T>) -> Result<T, Stop> {
        let mut future = pin!(future);
        let idle_end = Instant::now() + self.idle_timeout;
        loop {
            check_cancel(self.control)?;
            let now = Instant::now();
            if now >= self.deadline {
                return Err(fail!(ImageDownloadFailed, "it took too long in all"; "总耗时过长").into());
            }
            if now >= idle_end {
                let seconds = self.idle_timeout.as_secs();
                return Err(Stop::Retry(fail!(ImageDownloadFailed, "nothing came for {seconds} s"; "{seconds} 秒内没有收到数据")));
            }
            tokio::select! {
                value = &mut future => return Ok(value),
                () = sleep_until(idle_end.min(self.deadline).min(now + CANCEL_POLL)) => {}
            }
        }
    }
}

/// Runs `work` on a thread of its own, begun before the future is first polled.
pub(crate) fn on_thread<T: Send + 'static, W: FnOnce() -> Result<T> + Send + 'static>(
    name: &str,
    work: W,
) -> impl Future<Output = Result<T>> + Send + use<T, W> {
    let (answer, answered) = oneshot::channel();
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody waits any more: the transfer was dropped.
        let _ = answer.send(work());
    });
    async move {
        spawned.map_err(|error| fail!(Internal, "no thread for an image transfer"; "无法创建镜像传输线程").caused_by(error))?;
        answered.await.unwrap_or_else(|_| Err(fail!(Internal, "the thread of an image transfer has ended"; "镜像传输线程异常结束")))
    }
}
