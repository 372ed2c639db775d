//! The daemon's life: serve, watch over itself, reload, and leave without hurting anybody.

use crate::compose::{self, Door, Node, blocking, reason};
use crate::config::Purpose;
use crate::config::{self, Config};
use crate::logging::LogControl;
use crate::sockets::Inherited;
use crate::{Settings, state_dir, status, systemd, tls};
use hvnode_api::listener::{BoundSocket, serve};
use hvnode_core::engine::Engine;
use nix::sys::signal::Signal as SignalNumber;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Between two looks at ourselves, at most.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Between two looks for expired tokens.
const TOKEN_CLEANING: Duration = Duration::from_secs(300);
/// Longest wait for the first reading of libvirt before memory is given back, and the rest after it.
const MEMORY_FIRST: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1));
/// Between two times that memory is given back.
const MEMORY_INTERVAL: Duration = Duration::from_secs(600);
/// How long connections may take beyond the engine to end when the daemon stops.
const CONNECTIONS_END: Duration = Duration::from_secs(2);

/// Everything between the configuration and the exit code.
pub(crate) async fn run(settings: Settings, inherited: Inherited, log: LogControl) -> Result<ExitCode, String> {
    let start = Instant::now();
    let deaf = |error| format!("signals cannot be received: {error}");
    let mut stop_signals = StopSignals::new().map_err(deaf)?;
    let mut reload_signal = signal(SignalKind::hangup()).map_err(deaf)?;
    let node = compose::start_node(&settings.config, settings.simulation.as_ref()).await?;
    let doors = node.open_doors(&settings.config, inherited).await?;
    if let Some(tls) = node.tls.clone() {
        tokio::spawn(tls.watch());
    }
    let stop = watch::Sender::new(false);
    let mut serving = open(doors, &stop);
    let pid_path = settings.pid_file.clone();
    let _pid_file = match pid_path {
        Some(path) => Some(blocking(move || state_dir::write_pid(&path)).await??),
        None => None,
    };
    let start_milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), start_milliseconds, "hvnoded serves");
    systemd::ready(status::line(&node.engine.snapshot())).await;

    tokio::spawn(give_memory_back(node.engine.clone()));
    let mut daemon = Daemon { node, settings, log };
    let why = daemon.serve_until_told(&mut stop_signals, &mut reload_signal, &mut serving).await?;
    tracing::info!(signal = why.as_str(), "stopping: running requests and jobs may end");
    systemd::stopping().await;
    let left = daemon.drain(&stop, serving);
    tokio::select! {
        () = left => {}
        number = stop_signals.next() => {
            tracing::warn!(signal = number.as_str(), "second signal: leaving at once; unfinished jobs go on at the next start");
            return Ok(exit_at_once(number));
        }
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Gives memory back that only the start needed, and later what only a busy hour did.
async fn give_memory_back(engine: Engine) {
    engine.wait_until_ready(MEMORY_FIRST.0).await;
    tokio::time::sleep(MEMORY_FIRST.1).await;
    loop {
        if let Err(error) = blocking(hvnode_libvirt::give_memory_back).await {
            tracing::warn!(error, "memory could not be given back");
        }
        tokio::time::sleep(MEMORY_INTERVAL).await;
    }
}

fn exit_at_once(number: SignalNumber) -> ExitCode {
    ExitCode::from(128_u8.saturating_add(u8::try_from(number as i32).unwrap_or(0)))
}

fn open(doors: Vec<Door>, stop: &watch::Sender<bool>) -> JoinSet<Result<(), String>> {
    let mut serving = JoinSet::new();
    for Door { socket, frame, admission } in doors {
        let place = socket.describe();
        let is_tls = admission.tls.is_some() && matches!(socket, BoundSocket::Tcp(_));
        tracing::info!(listener = place, api = frame.name(), tls = is_tls, "listening");
        if !is_tls && socket.is_reachable_from_outside() {
            tracing::warn!(
                listener = place,
                api = frame.name(),
                "plain HTTP where other machines reach it, as tls.insecure_plain_http_off_loopback allows: everything crosses the network in clear text"
            );
        }
        let stop = stop.subscribe();
        serving.spawn(async move { serve(socket, frame, admission, stop).await.map_err(|error| reason(&error)) });
    }
    serving
}

struct Daemon {
    node: Node,
    settings: Settings,
    log: LogControl,
}

impl Daemon {
    /// Serves until a signal asks to stop. Gives that signal.
    async fn serve_until_told(
        &mut self,
        stop_signals: &mut StopSignals,
        reload_signal: &mut Signal,
        serving: &mut JoinSet<Result<(), String>>,
    ) -> Result<SignalNumber, String> {
        let watchdog = systemd::watchdog_interval();
        let mut heartbeat = tokio::time::interval(watchdog.map_or(HEARTBEAT, |interval| (interval / 3).min(HEARTBEAT)));
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut cleaning = tokio::time::interval(TOKEN_CLEANING);
        let mut shown = String::new();
        loop {
            tokio::select! {
                number = stop_signals.next() => return Ok(number),
                Some(()) = reload_signal.recv() => self.reload().await,
                _ = heartbeat.tick() => self.beat(watchdog, &mut shown).await,
                _ = cleaning.tick() => self.clean_tokens().await,
                Some(ended) = serving.join_next() => {
                    let why = ended.map_or_else(|error| error.to_string(), |outcome| outcome.err().unwrap_or_default());
                    return Err(format!("a listener ended: {why}"));
                }
            }
        }
    }

    /// The pulse: goes through the async runtime, the engine's picture and the store. A store that fails is an answer; while it hangs
    /// there is no pulse, and without one for long enough the service manager starts us anew.
    async fn beat(&self, watchdog: Option<Duration>, shown: &mut String) {
        let has_pulse = self.node.store.probe().await;
        let line = status::line(&self.node.engine.snapshot());
        if *shown != line {
            shown.clone_from(&line);
            systemd::status(line).await;
        }
        if has_pulse && watchdog.is_some() {
            systemd::alive().await;
        }
    }

    async fn clean_tokens(&self) {
        if let Err(error) = self.node.accounts.prune_expired().await {
            tracing::warn!(error = %error.chain(), "expired tokens stay in the store");
        }
        self.keep_token_uses().await;
    }

    /// When tokens were used last is written down now and then, not with every request.
    async fn keep_token_uses(&self) {
        if let Err(error) = self.node.accounts.flush_uses().await {
            tracing::warn!(error = %error.chain(), "when tokens were used last is not in the store");
        }
    }

    /// Reads the configuration again. What is wrong leaves everything as it is.
    async fn reload(&mut self) {
        systemd::reloading().await;
        let source = self.settings.source.clone();
        match blocking(move || source.load(Purpose::Run)).await {
            Ok(Ok(new)) => {
                self.reload_tls(Some(&new)).await;
                self.apply(new);
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "reload: the configuration is wrong, the old one stays");
                self.reload_tls(None).await;
            }
            Err(error) => tracing::error!(error, "reload failed, the old configuration stays"),
        }
        systemd::ready(status::line(&self.node.engine.snapshot())).await;
    }

    /// Reads certificate, key and client authority again, by the new rules if there are any. It says itself what came of it.
    async fn reload_tls(&self, new: Option<&Config>) {
        let Some(tls) = self.node.tls.clone() else { return };
        let settings = new.and_then(|new| tls::settings(new, tls::credentials_directory().as_deref()).ok().flatten());
        if let Err(error) = blocking(move || tls.reload(settings.as_ref())).await {
            tracing::error!(error, "reload: TLS stays as it was");
        }
    }

    fn apply(&mut self, new: Config) {
        let config::Difference { live, needs_restart } = self.settings.config.difference(&new);
        if live.is_empty() && needs_restart.is_empty() {
            tracing::info!("reload: nothing changed");
            return;
        }
        if !needs_restart.is_empty() {
            tracing::warn!(keys = needs_restart.join(", "), "reload: these keys count from the next start on");
        }
        if !live.is_empty() {
            tracing::info!(keys = live.join(", "), "reload: applied");
        }
        if new.log.level != self.settings.config.log.level && !self.log.set_level(&new.log.level) {
            tracing::warn!("reload: RUST_LOG fixes the log level");
        }
        self.node.accounts.reconfigure(compose::accounts_config(&new));
        let mut limits = compose::frame_limits(&new);
        limits.body_bytes_max = self.node.limits.load().body_bytes_max;
        self.node.limits.store(Arc::new(limits));
        self.settings.config.auth = new.auth;
        let insecure = std::mem::take(&mut self.settings.config.tls.insecure_plain_http_off_loopback);
        self.settings.config.tls = config::Tls { insecure_plain_http_off_loopback: insecure, ..new.tls };
        self.settings.config.limits = config::Limits { body_max_bytes: self.settings.config.limits.body_max_bytes, ..new.limits };
        self.settings.config.log.level = new.log.level;
    }

    /// Lets requests and jobs end, for a while. What is left of the jobs goes on at the next start.
    async fn drain(&self, stop: &watch::Sender<bool>, mut serving: JoinSet<Result<(), String>>) {
        self.node.health.set_draining();
        stop.send_replace(true);
        let deadline = Duration::from_secs(self.settings.config.engine.stop_timeout_seconds);
        let connections = async {
            let all = async { while serving.join_next().await.is_some() {} };
            if tokio::time::timeout(deadline + CONNECTIONS_END, all).await.is_err() {
                tracing::warn!("requests are left unanswered");
                serving.shutdown().await;
            }
        };
        let jobs = async {
            if !self.node.engine.shutdown(deadline).await {
                let open = self.node.engine.snapshot().open_jobs.len();
                tracing::warn!(jobs = open, "jobs are left; they go on at the next start");
            }
        };
        tokio::join!(connections, jobs);
        self.keep_token_uses().await;
    }
}

/// The signals that ask to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next of them.
    async fn next(&mut self) -> SignalNumber {
        tokio::select! {
            Some(()) = self.terminate.recv() => SignalNumber::SIGTERM,
            Some(()) = self.interrupt.recv() => SignalNumber::SIGINT,
            else => std::future::pending().await,
        }
    }
}
