//! The connections to libvirt: opening, watching, and opening again.
//!
//! One session holds every connection: one for events, several for calls, a few for samples. When one of them breaks, all are given up
//! and a new session is opened, with a growing rest between tries. A session is only shown once it listens to events and knows its host.

use crate::capability;
use crate::config::LibvirtConfig;
use crate::event::{EventSink, Listener, Notice, ensure_loop};
use crate::fault::refused;
use crate::ffi::Registration;
use crate::sample::Handles;
use crate::sweep::SampleLimits;
use hvnode_core::model::HostCapabilities;
use hvnode_core::port::{ConnectionState, HypervisorEvent};
use hvnode_core::{ErrorCode, Result, fail};
use parking_lot::{Condvar, Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use virt::connect::Connect;
use virt::error::ErrorNumber;

/// First rest after a failed try; doubled each time.
const REST_MIN: Duration = Duration::from_millis(100);
/// Longest rest between tries.
const REST_MAX: Duration = Duration::from_secs(3);
/// A session that lived this long ends the growing of rests.
const SESSION_IS_STABLE: Duration = Duration::from_secs(10);
/// How often the sockets are looked at even if nobody complained.
const CHECK_PERIOD: Duration = Duration::from_secs(10);
/// libvirt asks after the peer when it was silent this many seconds …
const KEEPALIVE_SECONDS: i32 = 5;
/// … and gives the connection up after this many unanswered questions.
const KEEPALIVE_COUNT: u32 = 3;

/// A flag that one thread waits for.
#[derive(Default)]
struct Signal {
    is_set: Mutex<bool>,
    wake: Condvar,
}

impl Signal {
    fn set(&self) {
        *self.is_set.lock() = true;
        self.wake.notify_all();
    }

    /// Waits until it is set or the time is over, and takes it back.
    fn wait(&self, timeout: Duration) {
        let mut is_set = self.is_set.lock();
        self.wake.wait_while_for(&mut is_set, |is_set| !*is_set, timeout);
        *is_set = false;
    }
}

/// One connection with the number of calls on it.
#[derive(Debug)]
struct Lane {
    handles: Handles,
    connect: Connect,
    busy: AtomicUsize,
}

/// A use of one of several connections.
#[derive(Debug)]
pub(crate) struct LaneUse<'a>(&'a Lane);

impl LaneUse<'_> {
    /// The connection.
    pub(crate) fn connect(&self) -> &Connect {
        &self.0.connect
    }

    /// Handles for statistics, kept on the connection.
    pub(crate) fn handles(&self) -> &Handles {
        &self.0.handles
    }
}

impl Drop for LaneUse<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connections of one life of libvirtd.
#[derive(Debug)]
pub(crate) struct Session {
    /// Taken back first: callbacks hold the connections' memory.
    registrations: Vec<Registration>,
    _listener: Listener,
    lanes: Vec<Lane>,
    sample_lanes: Vec<Lane>,
    events: Connect,
    capabilities: Arc<HostCapabilities>,
}

impl Session {
    fn open(config: &LibvirtConfig, sink: &Arc<EventSink>, link: &Weak<Link>) -> Result<Self> {
        ensure_loop()?;
        let (sink, link) = (sink.clone(), link.clone());
        let listener = Listener::new(move |notice| match (notice, link.upgrade()) {
            (Notice::Closed, Some(link)) => link.report_closed(),
            (notice, _) => sink.notice(notice),
        });
        let mut registrations = Vec::new();
        let mut open = |with_events| -> Result<Connect> {
            let connect = open_one(&config.uri)?;
            let registration = Registration::new(&connect, listener.token(), with_events);
            registrations.push(registration.map_err(refused!(HypervisorUnavailable))?);
            Ok(connect)
        };
        let events = open(true)?;
        let mut open_lanes = |count: usize| -> Result<Vec<Lane>> {
            (0..count.max(1)).map(|_| Ok(Lane { handles: Handles::default(), connect: open(false)?, busy: AtomicUsize::new(0) })).collect()
        };
        let lanes = open_lanes(config.connections)?;
        let sample_lanes = open_lanes(SampleLimits::new(config).connections())?;
        let capabilities = Arc::new(capability::read(&events, config.virt_type)?);
        Ok(Self { registrations, _listener: listener, lanes, sample_lanes, events, capabilities })
    }

    /// A connection for calls.
    ///
    /// # Errors
    /// `HypervisorUnavailable` if there is none.
    pub(crate) fn lane(&self) -> Result<LaneUse<'_>> {
        least_busy(&self.lanes)
    }

    /// A connection for statistics.
    ///
    /// # Errors
    /// `HypervisorUnavailable` if there is none.
    pub(crate) fn sample_lane(&self) -> Result<LaneUse<'_>> {
        least_busy(&self.sample_lanes)
    }

    /// Facts about the host, read when the session was opened.
    pub(crate) fn capabilities(&self) -> &Arc<HostCapabilities> {
        &self.capabilities
    }

    fn is_alive(&self) -> bool {
        let mut lanes = self.lanes.iter().chain(&self.sample_lanes);
        let is_alive = |connect: &Connect| connect.is_alive().unwrap_or(false);
        is_alive(&self.events) && lanes.all(|lane| is_alive(&lane.connect))
    }
}

/// The connection with the least to do, so that calls avoid one that holds stuck calls.
fn least_busy(lanes: &[Lane]) -> Result<LaneUse<'_>> {
    let lane = lanes.iter().min_by_key(|lane| lane.busy.load(Ordering::Relaxed));
    let lane = lane.ok_or_else(|| fail!(HypervisorUnavailable, "no connection to libvirt"; "没有到 libvirt 的连接"))?;
    lane.busy.fetch_add(1, Ordering::Relaxed);
    Ok(LaneUse(lane))
}

fn open_one(uri: &str) -> Result<Connect> {
    if uri.contains('\0') {
        return Err(fail!(ParameterInvalid, "the libvirt URI holds a null byte"; "libvirt URI 含空字节"));
    }
    let connect = Connect::open(Some(uri)).map_err(refused!(HypervisorUnavailable))?;
    match connect.set_keep_alive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT) {
        Ok(()) => Ok(connect),
        // In-process drivers have no connection to keep.
        Err(error) if error.code().is(ErrorNumber::NoSupport) => Ok(connect),
        Err(error) => Err(refused!(HypervisorUnavailable)(error)),
    }
}

/// Keeps a session open in the background.
pub(crate) struct Link {
    config: LibvirtConfig,
    sink: Arc<EventSink>,
    state: watch::Sender<ConnectionState>,
    session: RwLock<Option<Arc<Session>>>,
    sessions: AtomicU64,
    signal: Signal,
    was_closed: AtomicBool,
    is_stopped: AtomicBool,
}

impl Link {
    /// Starts connecting and returns at once.
    ///
    /// # Errors
    /// `Internal` if no thread can be made.
    pub(crate) fn start(config: LibvirtConfig, sink: EventSink) -> Result<Arc<Self>> {
        let link = Arc::new(Self {
            config,
            sink: Arc::new(sink),
            state: watch::Sender::new(ConnectionState::Connecting),
            session: RwLock::new(None),
            sessions: AtomicU64::new(0),
            signal: Signal::default(),
            was_closed: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        });
        let supervised = link.clone();
        let spawned = std::thread::Builder::new().name("libvirt-link".into()).spawn(move || supervised.supervise());
        spawned.map_err(|e| fail!(Internal, "no thread for libvirt's connections"; "无法创建 libvirt 连接线程").caused_by(e))?;
        Ok(link)
    }

    /// Whether libvirt answers, and changes of that.
    pub(crate) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.subscribe()
    }

    /// The current session.
    ///
    /// # Errors
    /// `HypervisorUnavailable`, at once, if there is none.
    pub(crate) fn session(&self) -> Result<Arc<Session>> {
        self.session
            .read()
            .clone()
            .ok_or_else(|| fail!(HypervisorUnavailable, "not connected to libvirt; trying again"; "未连接到 libvirt,正在重试"))
    }

    /// How often it was connected again.
    pub(crate) fn reconnects(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// The result of a call; if it has found its connection broken, the supervisor looks at all of them now.
    pub(crate) fn watched<T>(&self, result: Result<T>) -> Result<T> {
        if result.as_ref().is_err_and(|error| error.code() == ErrorCode::HypervisorUnavailable) {
            self.signal.set();
        }
        result
    }

    /// Ends the supervisor and closes the connections; calls in flight keep theirs until they end.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.signal.set();
    }

    fn report_closed(&self) {
        self.was_closed.store(true, Ordering::Release);
        self.signal.set();
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    fn supervise(self: Arc<Self>) {
        let mut rest = REST_MIN;
        while !self.is_stopped() {
            self.was_closed.store(false, Ordering::Release);
            match Session::open(&self.config, &self.sink, &Arc::downgrade(&self)) {
                Ok(session) => {
                    let start = Instant::now();
                    self.hold(session);
                    if start.elapsed() >= SESSION_IS_STABLE {
                        rest = REST_MIN;
                    }
                }
                Err(error) => self.show_down(&error.chain()),
            }
            if !self.is_stopped() {
                self.signal.wait(rest);
                rest = (rest * 2).min(REST_MAX);
            }
        }
    }

    /// Offers a session until it breaks.
    fn hold(&self, session: Session) {
        let session = Arc::new(session);
        tracing::info!(uri = %self.config.uri, libvirt = %session.capabilities.libvirt_version, "connected to libvirt");
        *self.session.write() = Some(session.clone());
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.state.send_replace(ConnectionState::Up);
        self.sink.send(HypervisorEvent::Connected);
        while !self.is_stopped() && !self.was_closed.load(Ordering::Acquire) && session.is_alive() {
            self.signal.wait(CHECK_PERIOD);
        }
        *self.session.write() = None;
        if !self.is_stopped() {
            self.show_down("libvirt closed the connection");
        }
    }

    fn show_down(&self, why: &str) {
        let state = ConnectionState::Down(why.to_owned());
        let has_changed = self.state.send_if_modified(|current| {
            let differs = *current != state;
            if differs {
                *current = state;
            }
            differs
        });
        if has_changed {
            tracing::warn!(uri = %self.config.uri, why, "libvirt cannot be reached");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.registrations.clear();
    }
}
