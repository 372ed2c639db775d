//! Where tests say which calls go wrong, and read which calls were made.

use crate::error::AgentError;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How a call goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Fails; nothing was done.
    FailBefore(AgentError),
    /// Fails although it was done, like an answer lost on its way.
    FailAfter(AgentError),
    /// Takes so much longer.
    Delay(Duration),
    /// Waits for [`Faults::release`], then does it.
    HoldBefore,
    /// Does it, then waits for [`Faults::release`].
    HoldAfter,
    /// The connection to the hypervisor goes down instead; other ports fail with `HypervisorUnavailable`.
    Disconnect,
    /// It is done, then the connection to the hypervisor goes down and takes the answer with it; other ports take no notice.
    DisconnectAfter,
    /// The process dies before it is done: this call and every later one never return and do nothing.
    CrashBefore,
    /// The process dies right after it was done: this call and every later one never return.
    CrashAfter,
}

/// One call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Name of the port's method.
    pub method: &'static str,
    /// What it was about, for people: a uuid, a file name, the kinds of writes.
    pub about: String,
}

/// Rules and call log, shared by the sessions it was given to. Clones are the same object.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts releases; a held call waits for the next one.
    released: watch::Sender<u64>,
    /// Counts calls, so that tests can wait for one.
    called: watch::Sender<u64>,
    /// True once the process is "dead".
    crashed: watch::Sender<bool>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), released: watch::Sender::new(0), called: watch::Sender::new(0), crashed: watch::Sender::new(false) }
    }
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    calls: VecDeque<Call>,
    counts: std::collections::BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct Rule {
    method: String,
    /// Calls still to come before it strikes; `None` strikes every time.
    countdown: Option<u64>,
    /// Where it strikes again and again: at every so-manieth call.
    every: Option<u64>,
    fault: Fault,
}

/// The log keeps this many calls. A simulated node runs for days, and its memory is to be that of the daemon.
const CALLS_MAX: usize = 4096;

/// Any method, as a rule's method name.
const ANY: &str = "*";

/// What a call that may go ahead has to do; given by [`Faults::enter`].
#[derive(Debug)]
pub(super) struct Pass {
    after: Option<Fault>,
    /// Made before the call was logged, so that a release after [`Faults::wait_for_calls`] is never missed.
    released: watch::Receiver<u64>,
    /// The connection is to be cut and the call to fail.
    pub(super) is_disconnect: bool,
    /// The same, once it is done.
    pub(super) is_disconnect_after: bool,
}

impl Faults {
    /// No faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The `nth` call of `method` from now on (1 is the next; `*` counts calls of every method) goes wrong once.
    pub fn on(&self, method: &str, nth: u64, fault: Fault) {
        self.0.state.lock().rules.push(Rule { method: method.to_owned(), countdown: Some(nth.max(1)), every: None, fault });
    }

    /// Every call of `method` (`*` for all) goes wrong until [`Faults::clear`].
    pub fn on_every(&self, method: &str, fault: Fault) {
        self.0.state.lock().rules.push(Rule { method: method.to_owned(), countdown: None, every: None, fault });
    }

    /// Each `nth` call of `method` (`*` counts calls of every method) goes wrong until [`Faults::clear`].
    pub fn on_each(&self, method: &str, nth: u64, fault: Fault) {
        let nth = nth.max(1);
        self.0.state.lock().rules.push(Rule { method: method.to_owned(), countdown: Some(nth), every: Some(nth), fault });
    }

    /// Forgets all rules. Calls that are held stay held.
    pub fn clear(&self) {
        self.0.state.lock().rules.clear();
    }

    /// Lets every call go on that is held now.
    pub fn release(&self) {
        self.0.released.send_modify(|count| *count += 1);
    }

    /// The calls made so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.0.state.lock().calls.iter().cloned().collect()
    }

    /// How often `method` (`*` for all) was called.
    pub fn count(&self, method: &str) -> u64 {
        let state = self.0.state.lock();
        if method == ANY { state.counts.values().sum() } else { state.counts.get(method).copied().unwrap_or(0) }
    }

    /// Waits until `method` (`*` for all) was called `count` times in all.
    pub async fn wait_for_calls(&self, method: &str, count: u64) {
        let mut called = self.0.called.subscribe();
        // An error means the sender is gone, which cannot be: `self` holds it.
        let _ = called.wait_for(|_| self.count(method) >= count).await;
    }

    /// True once a crash rule struck.
    pub fn is_crashed(&self) -> bool {
        *self.0.crashed.borrow()
    }

    /// Waits until a crash rule struck.
    pub async fn wait_for_crash(&self) {
        let _ = self.0.crashed.subscribe().wait_for(|crashed| *crashed).await;
    }

    /// Every call through this object never returns and does nothing from now on: what is left of a dead process does no harm.
    pub fn crash(&self) {
        self.0.crashed.send_replace(true);
    }

    /// Logs the call and lets it go ahead, wait or fail as the rules say.
    pub(super) async fn enter(&self, method: &'static str, about: String) -> Result<Pass, AgentError> {
        if self.is_crashed() {
            std::future::pending::<()>().await;
        }
        let released = self.0.released.subscribe();
        let fault = self.note(method, about);
        let mut pass = Pass { after: None, released, is_disconnect: false, is_disconnect_after: false };
        match fault {
            None => {}
            Some(Fault::FailBefore(error)) => return Err(error),
            Some(Fault::Delay(duration)) => tokio::time::sleep(duration).await,
            Some(Fault::HoldBefore) => hold(&mut pass.released).await,
            Some(Fault::CrashBefore) => {
                self.crash();
                std::future::pending::<()>().await;
            }
            Some(Fault::Disconnect) => pass.is_disconnect = true,
            Some(Fault::DisconnectAfter) => pass.is_disconnect_after = true,
            Some(after @ (Fault::FailAfter(_) | Fault::HoldAfter | Fault::CrashAfter)) => pass.after = Some(after),
        }
        if self.is_crashed() {
            // It died while this call was held.
            std::future::pending::<()>().await;
        }
        Ok(pass)
    }

    /// What is left of the rule after the call took effect.
    pub(super) async fn leave(&self, mut pass: Pass) -> Result<(), AgentError> {
        match pass.after {
            Some(Fault::FailAfter(error)) => Err(error),
            Some(Fault::HoldAfter) => {
                hold(&mut pass.released).await;
                Ok(())
            }
            Some(Fault::CrashAfter) => {
                self.crash();
                std::future::pending().await
            }
            _ => Ok(()),
        }
    }

    /// Calls that are not async cannot be held: only failures count for them.
    pub(super) fn enter_blocking(&self, method: &'static str) -> Result<(), AgentError> {
        match self.note(method, String::new()) {
            Some(Fault::FailBefore(error) | Fault::FailAfter(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn note(&self, method: &'static str, about: String) -> Option<Fault> {
        let mut state = self.0.state.lock();
        *state.counts.entry(method).or_default() += 1;
        if state.calls.len() == CALLS_MAX {
            state.calls.pop_front();
        }
        state.calls.push_back(Call { method, about });
        let mut struck = None;
        state.rules.retain_mut(|rule| {
            if rule.method != ANY && rule.method != method {
                return true;
            }
            match &mut rule.countdown {
                None => {
                    struck.get_or_insert_with(|| rule.fault.clone());
                    true
                }
                Some(countdown) if *countdown == 1 => {
                    struck.get_or_insert_with(|| rule.fault.clone());
                    *countdown = rule.every.unwrap_or(0);
                    rule.every.is_some()
                }
                Some(countdown) => {
                    *countdown -= 1;
                    true
                }
            }
        });
        drop(state);
        self.0.called.send_modify(|count| *count += 1);
        struck
    }
}

async fn hold(released: &mut watch::Receiver<u64>) {
    // An error means that nobody can release any more: going on is all that is left.
    let _ = released.changed().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fail;

    #[tokio::test]
    async fn only_the_named_call_fails_and_only_once() {
        let faults = Faults::new();
        faults.on("start", 2, Fault::FailBefore(fail!(Timeout)));
        assert!(faults.enter("start", String::new()).await.is_ok());
        assert!(faults.enter("stop", String::new()).await.is_ok());
        assert!(faults.enter("start", String::new()).await.is_err());
        assert!(faults.enter("start", String::new()).await.is_ok());
        assert_eq!((faults.count("start"), faults.count("*")), (3, 4));
    }

    #[tokio::test]
    async fn each_third_call_fails_again_and_again() {
        let faults = Faults::new();
        faults.on_each("start", 3, Fault::FailBefore(fail!(Timeout)));
        let mut failed = Vec::new();
        for call in 1..=9 {
            assert!(faults.enter("stop", String::new()).await.is_ok());
            if faults.enter("start", String::new()).await.is_err() {
                failed.push(call);
            }
        }
        assert_eq!(failed, [3, 6, 9]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_call_goes_through_later() {
        let faults = Faults::new();
        faults.on_every("start", Fault::Delay(Duration::from_secs(30)));
        let begin = tokio::time::Instant::now();
        assert!(faults.enter("start", String::new()).await.is_ok());
        assert_eq!(begin.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_rule_for_every_call_strikes_until_cleared() {
        let faults = Faults::new();
        faults.on_every("*", Fault::FailBefore(fail!(StoreFailed)));
        assert!(faults.enter("a", String::new()).await.is_err());
        assert!(faults.enter("b", String::new()).await.is_err());
        faults.clear();
        assert!(faults.enter("a", String::new()).await.is_ok());
    }

    #[tokio::test]
    async fn a_failure_after_the_effect_is_told_when_leaving() {
        let faults = Faults::new();
        faults.on("define", 1, Fault::FailAfter(fail!(Timeout)));
        let pass = faults.enter("define", String::new()).await.unwrap();
        assert!(faults.leave(pass).await.is_err());
    }

    #[tokio::test]
    async fn a_held_call_goes_on_when_released() {
        let faults = Faults::new();
        faults.on("define", 1, Fault::HoldBefore);
        let held = tokio::spawn({
            let faults = faults.clone();
            async move { faults.enter("define", "x".into()).await.map(|_| ()) }
        });
        faults.wait_for_calls("define", 1).await;
        assert!(!held.is_finished());
        faults.release();
        assert!(held.await.unwrap().is_ok());
        assert_eq!(faults.calls(), [Call { method: "define", about: "x".into() }]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_crash_no_call_returns() {
        let faults = Faults::new();
        faults.on("*", 2, Fault::CrashAfter);
        let pass = faults.enter("first", String::new()).await.unwrap();
        assert!(faults.leave(pass).await.is_ok());
        let pass = faults.enter("second", String::new()).await.unwrap();
        assert!(!faults.is_crashed());
        assert!(tokio::time::timeout(Duration::from_secs(60), faults.leave(pass)).await.is_err());
        faults.wait_for_crash().await;
        assert!(tokio::time::timeout(Duration::from_secs(60), faults.enter("third", String::new())).await.is_err());
    }
}
