//! libvirt's event loop and the bounded stream of events it feeds.
//!
//! There is one loop thread per process, because libvirt has one loop per process. It is registered before the first connection is
//! opened and runs as long as the process does. Callbacks reach their receiver through a number (see `ffi`), so a late callback of a
//! closed connection finds nobody and is dropped.

use crate::ffi::Token;
use hvnode_core::port::HypervisorEvent;
use hvnode_core::{Result, fail};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;
use virt::event::{event_register_default_impl, event_run_default_impl};
use virt_sys as sys;

/// Events kept for a slow receiver.
pub(crate) const EVENTS_MAX: usize = 1024;
/// Rest after the loop failed, so that a persistent fault does not burn a processor.
const LOOP_FAULT_REST: Duration = Duration::from_millis(200);

/// What a libvirt callback says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A lifecycle event with libvirt's numbers.
    Lifecycle {
        /// Which domain.
        uuid: Uuid,
        /// `VIR_DOMAIN_EVENT_STARTED`, …
        event: u32,
        /// Its meaning depends on `event`.
        detail: u32,
    },
    /// A domain was reset.
    Reboot(Uuid),
    /// A domain's watchdog resets it.
    WatchdogReset(Uuid),
    /// A disk error stopped a domain.
    IoError(Uuid),
    /// Anything else about a domain.
    Other(Uuid),
    /// A network was defined, undefined, started or stopped.
    Network,
    /// The connection is gone.
    Closed,
}

type Receiver = Arc<dyn Fn(Notice) + Send + Sync>;

static RECEIVERS: RwLock<BTreeMap<Token, Receiver>> = RwLock::new(BTreeMap::new());
static NEXT_TOKEN: AtomicUsize = AtomicUsize::new(1);

/// Hands a notice to the receiver of `token`, if it still exists.
pub(crate) fn deliver(token: Token, notice: Notice) {
    let receiver = RECEIVERS.read().get(&token).cloned();
    if let Some(receiver) = receiver {
        receiver(notice);
    }
}

/// A receiver of notices; it hears nothing more once this is dropped.
#[derive(Debug)]
pub(crate) struct Listener(Token);

impl Listener {
    /// Calls `receiver`, which must not block, for every notice to this listener's token.
    pub(crate) fn new(receiver: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
        RECEIVERS.write().insert(token, Arc::new(receiver));
        Self(token)
    }

    /// The number to give to libvirt.
    pub(crate) fn token(&self) -> Token {
        self.0
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        RECEIVERS.write().remove(&self.0);
    }
}

/// Starts the loop thread; later calls do nothing. Also silences libvirt's habit of printing every error.
///
/// # Errors
/// `Internal` if libvirt has no event loop or no thread can be made.
pub(crate) fn ensure_loop() -> Result<()> {
    static STARTED: OnceLock<Result<()>> = OnceLock::new();
    STARTED.get_or_init(start_loop).clone()
}

fn start_loop() -> Result<()> {
    virt::error::clear_error_callback();
    event_register_default_impl().map_err(crate::fault::refused!(Internal))?;
    let run = || {
        loop {
            if let Err(error) = event_run_default_impl() {
                tracing::warn!(error = %error, "libvirt's event loop failed once");
                std::thread::park_timeout(LOOP_FAULT_REST);
            }
        }
    };
    let spawned = std::thread::Builder::new().name("libvirt-events".into()).spawn(run);
    spawned.map(drop).map_err(|e| fail!(Internal, "no thread for libvirt's events"; "无法创建 libvirt 事件线程").caused_by(e))
}

/// The sending end of the event stream. When the receiver is slow, what does not fit is replaced by one `Lagged`.
pub(crate) struct EventSink {
    sender: mpsc::Sender<HypervisorEvent>,
    /// A place kept free for `Lagged`. If there is none and none can be had, a `Lagged` still waits in the stream and covers the loss.
    spare: Mutex<Option<mpsc::OwnedPermit<HypervisorEvent>>>,
}

impl EventSink {
    /// A stream that keeps `capacity` events.
    pub(crate) fn new(capacity: usize) -> (Self, mpsc::Receiver<HypervisorEvent>) {
        let (sender, receiver) = mpsc::channel(capacity);
        let spare = Mutex::new(sender.clone().try_reserve_owned().ok());
        (Self { sender, spare }, receiver)
    }

    /// Sends without waiting.
    pub(crate) fn send(&self, event: HypervisorEvent) {
        let mut spare = self.spare.lock();
        if spare.is_none() {
            *spare = self.sender.clone().try_reserve_owned().ok();
        }
        if self.sender.try_send(event).is_err()
            && let Some(permit) = spare.take()
        {
            permit.send(HypervisorEvent::Lagged);
        }
    }

    /// Sends what a notice means. `Closed` means nothing here.
    pub(crate) fn notice(&self, notice: Notice) {
        match notice {
            Notice::Lifecycle { uuid, event, detail } => {
                let is_panic = event == sys::VIR_DOMAIN_EVENT_CRASHED && detail == sys::VIR_DOMAIN_EVENT_CRASHED_PANICKED;
                if is_panic {
                    self.send(HypervisorEvent::DomainPanicked(uuid));
                }
                self.send(HypervisorEvent::DomainChanged(uuid));
            }
            Notice::Reboot(uuid) => self.send(HypervisorEvent::DomainRebooted(uuid)),
            Notice::WatchdogReset(uuid) => self.send(HypervisorEvent::DomainWatchdogReset(uuid)),
            Notice::IoError(uuid) => {
                self.send(HypervisorEvent::DomainIoError(uuid));
                self.send(HypervisorEvent::DomainChanged(uuid));
            }
            Notice::Other(uuid) => self.send(HypervisorEvent::DomainChanged(uuid)),
            Notice::Network => self.send(HypervisorEvent::NetworksChanged),
            Notice::Closed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(n: u128) -> HypervisorEvent {
        HypervisorEvent::DomainChanged(Uuid::from_u128(n))
    }

    fn drain(receiver: &mut mpsc::Receiver<HypervisorEvent>) -> Vec<HypervisorEvent> {
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    #[test]
    fn what_a_slow_receiver_misses_is_replaced_by_one_lagged() {
        let (sink, mut receiver) = EventSink::new(4);
        (0..100).for_each(|n| sink.send(changed(n)));
        assert_eq!(drain(&mut receiver), [changed(0), changed(1), changed(2), HypervisorEvent::Lagged]);
        (100..103).for_each(|n| sink.send(changed(n)));
        assert_eq!(drain(&mut receiver), [changed(100), changed(101), changed(102)]);
    }

    #[test]
    fn a_loss_after_lagged_was_read_brings_another_lagged() {
        let (sink, mut receiver) = EventSink::new(2);
        (0..10).for_each(|n| sink.send(changed(n)));
        assert_eq!(receiver.try_recv(), Ok(changed(0)));
        // One place is free and is kept for `Lagged`: this event is lost, and said to be.
        sink.send(changed(10));
        assert_eq!(drain(&mut receiver), [HypervisorEvent::Lagged, HypervisorEvent::Lagged]);
    }

    #[test]
    fn a_closed_listener_hears_nothing() {
        let heard = Arc::new(AtomicUsize::new(0));
        let count = heard.clone();
        let listener = Listener::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let token = listener.token();
        deliver(token, Notice::Network);
        drop(listener);
        deliver(token, Notice::Network);
        assert_eq!(heard.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_guest_panic_is_told_beside_the_change() {
        let (sink, mut receiver) = EventSink::new(8);
        let uuid = Uuid::from_u128(7);
        let (event, detail) = (sys::VIR_DOMAIN_EVENT_CRASHED, sys::VIR_DOMAIN_EVENT_CRASHED_PANICKED);
        sink.notice(Notice::Lifecycle { uuid, event, detail });
        assert_eq!(drain(&mut receiver), [HypervisorEvent::DomainPanicked(uuid), HypervisorEvent::DomainChanged(uuid)]);
    }

    #[test]
    fn whatever_else_happens_to_a_domain_has_it_read_again_and_only_a_reboot_changes_nothing_to_read() {
        let uuid = Uuid::from_u128(7);
        let crash = Notice::Lifecycle { uuid, event: sys::VIR_DOMAIN_EVENT_CRASHED, detail: sys::VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED };
        let stop = Notice::Lifecycle { uuid, event: sys::VIR_DOMAIN_EVENT_STOPPED, detail: sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED };
        let read_again = HypervisorEvent::DomainChanged(uuid);
        for (notice, expected) in [
            (crash, vec![read_again.clone()]),
            (stop, vec![read_again.clone()]),
            (Notice::IoError(uuid), vec![HypervisorEvent::DomainIoError(uuid), read_again.clone()]),
            // Also a watchdog that pauses or ends a VM; where it resets it, a reboot is told after it.
            (Notice::Other(uuid), vec![read_again]),
            (Notice::WatchdogReset(uuid), vec![HypervisorEvent::DomainWatchdogReset(uuid)]),
            (Notice::Reboot(uuid), vec![HypervisorEvent::DomainRebooted(uuid)]),
            (Notice::Network, vec![HypervisorEvent::NetworksChanged]),
            (Notice::Closed, vec![]),
        ] {
            let (sink, mut receiver) = EventSink::new(8);
            sink.notice(notice);
            assert_eq!(drain(&mut receiver), expected, "{notice:?}");
        }
    }
}
