//! TLS on the TCP listeners: one certificate and one set of rules for all of them, taken up anew while running.
//!
//! Everything that a handshake needs hangs on one pointer ([`Current`]): certificate, key, client authority, client names and oldest
//! version change together or not at all. Connections that stand keep what they were opened with; only clients whose certificate is no
//! longer accepted are cut off. Files that cannot be used change nothing: the old pair serves on, and log, metrics and `/readyz` say so.

mod clients;
mod files;

use crate::health::Component;
use crate::metrics::Metrics;
use arc_swap::{ArcSwap, ArcSwapOption};
pub use clients::{ClientCertificates, ClientRight, Standing};
use files::{Fingerprint, Material};
pub use files::{Source, TlsFiles, TlsPart, TlsProblem, Validity};
use hvnode_core::model::Timestamp;
use hvnode_core::port::Clock;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{RootCertStore, SupportedProtocolVersion};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The only protocol that is spoken here.
const ALPN: &[u8] = b"http/1.1";
/// Between two looks at the files.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Between two log lines about a certificate that expires soon, or has.
const REMINDER_INTERVAL: Duration = Duration::from_secs(86_400);

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The oldest version that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => TLS13_ONLY,
        }
    }
}

/// What an operator may set; all of it can change while running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Where certificate, key and client authority are.
    pub files: TlsFiles,
    /// Are clients asked for a certificate?
    pub client_certificates: ClientCertificates,
    /// What the holder of a client certificate may do, by a name in it.
    pub client_names: BTreeMap<String, ClientRight>,
    /// The oldest version that is accepted.
    pub minimum_version: TlsVersion,
    /// How long before the certificate's end warnings begin.
    pub expiry_warning: Duration,
}

/// What is in force.
struct Current {
    settings: TlsSettings,
    config: Arc<ServerConfig>,
    clients: clients::Clients,
    validity: Validity,
}

impl Current {
    fn load(settings: &TlsSettings) -> Result<Self, TlsProblem> {
        let Material { chain, key, client_roots, validity } = files::load(&settings.files, settings.client_certificates)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = settings.minimum_version.versions();
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
        let builder = builder.map_err(|error| settings.files.problem(TlsPart::Certificate, error))?;
        let verifier = if settings.client_certificates == ClientCertificates::None {
            WebPkiClientVerifier::no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for root in client_roots {
                roots.add(root).map_err(|error| settings.files.problem(TlsPart::ClientCa, format!("cannot be used: {error}")))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let is_optional = settings.client_certificates == ClientCertificates::Optional;
            let verifier = if is_optional { verifier.allow_unauthenticated() } else { verifier };
            verifier.build().map_err(|error| settings.files.problem(TlsPart::ClientCa, format!("cannot be used: {error}")))?
        };
        let clients = clients::Clients::new(settings.client_certificates, settings.client_names.clone(), verifier.clone());
        let config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key);
        let mut config = config.map_err(|error| {
            let text = match error {
                rustls::Error::InconsistentKeys(_) => format!("does not belong to {}", settings.files.certificate.path().display()),
                error => format!("cannot be used with {}: {error}", settings.files.certificate.path().display()),
            };
            settings.files.problem(TlsPart::Key, text)
        })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { settings: settings.clone(), config: Arc::new(config), clients, validity })
    }
}

/// Checks that certificate, key and client authority can be used. Gives how long the certificate is valid.
///
/// # Errors
/// The file that is wrong, and why. A certificate that has expired is none: whether to serve with it is the caller's choice.
pub fn check(settings: &TlsSettings) -> Result<Validity, TlsProblem> {
    Current::load(settings).map(|current| current.validity)
}

/// Which state of the files was looked at last.
#[derive(Default)]
struct Looks {
    /// What was tried last, with success or not.
    tried: Fingerprint,
    /// What the last look saw.
    seen: Fingerprint,
    /// When the log was told last that the certificate ends.
    reminded: Option<Timestamp>,
}

/// TLS of all listeners that speak it.
pub struct Tls {
    current: ArcSwap<Current>,
    /// Why the files as they are now are not in force.
    trouble: ArcSwapOption<TlsProblem>,
    changes: watch::Sender<()>,
    looks: Mutex<Looks>,
    /// Turns at the costly part of handshakes: some threads are left to everything else.
    pub(crate) turns: Semaphore,
    pub(crate) metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Whose certificate this is: label of the metric.
    listeners: Vec<&'static str>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("listeners", &self.listeners).field("settings", &self.current.load().settings).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files; blocks. `threads` is the number of threads that serve.
    ///
    /// # Errors
    /// As [`check`].
    pub fn start(
        settings: &TlsSettings,
        listeners: Vec<&'static str>,
        threads: usize,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, TlsProblem> {
        let fingerprint = settings.files.fingerprint();
        let current = Current::load(settings)?;
        let tls = Self {
            current: ArcSwap::from_pointee(current),
            trouble: ArcSwapOption::empty(),
            changes: watch::Sender::new(()),
            looks: Mutex::new(Looks { tried: fingerprint.clone(), seen: fingerprint, reminded: None }),
            turns: Semaphore::new((threads / 2).max(1)),
            metrics,
            clock,
            listeners,
        };
        tls.publish();
        tls.remind();
        Ok(Arc::new(tls))
    }

    /// Reads the files again and takes up what is there, with other settings if they changed; blocks. What cannot be used changes
    /// nothing but what log, metrics and `/readyz` say.
    ///
    /// # Errors
    /// As [`check`], and a certificate that has expired where the one in force has not.
    pub fn reload(&self, settings: Option<&TlsSettings>) -> Result<(), TlsProblem> {
        let mut looks = self.looks.lock();
        let in_force = self.current.load_full();
        let settings = settings.unwrap_or(&in_force.settings);
        let fingerprint = settings.files.fingerprint();
        looks.seen.clone_from(&fingerprint);
        looks.tried = fingerprint;
        let loaded = Current::load(settings).and_then(|new| self.no_worse(&in_force, new));
        self.metrics.tls_reloaded(loaded.is_ok());
        match loaded {
            Ok(new) => {
                let valid_until = files::utc(new.validity.not_after);
                tracing::info!(valid_until, certificate = %new.validity.subject, "TLS: certificate, key and client authority are taken up");
                self.current.store(Arc::new(new));
                self.trouble.store(None);
                looks.reminded = None;
                drop(looks);
                self.publish();
                self.remind();
                self.changes.send_replace(());
                Ok(())
            }
            Err(problem) => {
                tracing::error!(%problem, "TLS: the files cannot be used, the old ones stay in force");
                self.trouble.store(Some(Arc::new(problem.clone())));
                Err(problem)
            }
        }
    }

    fn no_worse(&self, old: &Current, new: Current) -> Result<Current, TlsProblem> {
        let now = self.clock.now();
        match new.validity.problem(now) {
            Some(text) if old.validity.problem(now).is_none() => Err(new.settings.files.problem(TlsPart::Certificate, text)),
            _ => Ok(new),
        }
    }

    /// Looks at the files again and again, and reminds of what expires. Never ends by itself.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let tls = self.clone();
            if tokio::task::spawn_blocking(move || tls.look()).await.is_err() {
                tracing::error!("TLS: looking at the files broke off");
            }
        }
    }

    /// One look: takes up files that have changed and then stayed the same for one look, so that nobody is met in the middle of writing
    /// a pair.
    pub(crate) fn look(&self) {
        let now = self.current.load().settings.files.fingerprint();
        let is_due = {
            let mut looks = self.looks.lock();
            let is_steady = looks.seen == now;
            let is_new = looks.tried != now;
            looks.seen = now;
            is_steady && is_new
        };
        if is_due {
            let _told_already = self.reload(None);
        }
        self.remind();
    }

    fn publish(&self) {
        let not_after = self.current.load().validity.not_after;
        for listener in &self.listeners {
            self.metrics.set_certificate_expiry(listener, not_after);
        }
    }

    /// A line a day while the certificate is about to expire, or has.
    fn remind(&self) {
        let now = self.clock.now();
        let current = self.current.load();
        let Some(text) = current.warning(now) else { return };
        let mut looks = self.looks.lock();
        if looks.reminded.is_some_and(|last| now.since(last) < REMINDER_INTERVAL) {
            return;
        }
        looks.reminded = Some(now);
        if current.validity.problem(now).is_some() {
            tracing::error!(certificate = %current.validity.subject, "TLS: {text}");
        } else {
            tracing::warn!(certificate = %current.validity.subject, "TLS: {text}");
        }
    }

    /// For `/readyz`: the node works, but somebody should look.
    pub fn component(&self) -> Component {
        let now = self.clock.now();
        let current = self.current.load();
        let ready = |state, warning: Option<String>| Component { name: "tls", is_ready: true, state, warning };
        if let Some(text) = current.validity.problem(now) {
            return ready("certificate_invalid", Some(text));
        }
        // Names of files are not for everybody.
        if let Some(problem) = self.trouble.load_full() {
            let text = format!("{} on disk cannot be used, the old one stays in force; see the log", problem.part.what());
            return ready("reload_failed", Some(text));
        }
        match current.warning(now) {
            Some(text) => ready("expires_soon", Some(text)),
            None => ready("up", None),
        }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// What the holder of this certificate chain may do by the rules in force now; an empty chain is a client without a certificate.
    pub(crate) fn standing(&self, chain: &[CertificateDer<'_>]) -> Standing {
        self.current.load().clients.standing(chain, self.clock.now())
    }

    /// Wakes when the rules may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

impl Current {
    fn warning(&self, now: Timestamp) -> Option<String> {
        self.validity.problem(now).or_else(|| {
            let end = self.validity.not_after;
            (end <= now.plus(self.settings.expiry_warning)).then(|| {
                let days = end.since(now).as_secs() / 86_400;
                format!("the certificate expires in {days} days, on {}", files::utc(end))
            })
        })
    }
}

#[cfg(test)]
mod tests;
