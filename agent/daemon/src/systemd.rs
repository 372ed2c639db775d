//! Talking to the service manager. Without one, nothing is said and nothing fails.

use sd_notify::NotifyState;
use std::time::Duration;

/// The interval in which the service manager wants to hear that we live, if it does.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The node serves.
pub(crate) async fn ready(status: String) {
    send(move || sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)])).await;
}

/// A line for `systemctl status`.
pub(crate) async fn status(status: String) {
    send(move || sd_notify::notify(&[NotifyState::Status(&status)])).await;
}

/// We live.
pub(crate) async fn alive() {
    send(|| sd_notify::notify(&[NotifyState::Watchdog])).await;
}

/// The configuration is being read again; ends with [`ready`].
pub(crate) async fn reloading() {
    send(|| sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])).await;
}

/// On the way out.
pub(crate) async fn stopping() {
    send(|| sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("stopping")])).await;
}

/// Sending may block where the manager does not read: not on the async threads.
async fn send(message: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    if let Ok(Err(error)) = tokio::task::spawn_blocking(message).await {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
