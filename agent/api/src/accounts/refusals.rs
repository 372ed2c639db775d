//! Who was refused: counted, told in the log, and kept in memory, all within bounds that a flood cannot break.
//!
//! Refusals of the same kind (dialect, client, user, action, reason) are one entry with a count. Each entry writes a line when it begins
//! and then at most once a minute; the operation log takes a row of a refusal only while its hourly budget lasts.

use crate::strict;
use hvnode_core::model::{Role, Timestamp};
use hvnode_core::{AgentError, ErrorCode};
use parking_lot::Mutex;
use prometheus::IntCounterVec;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

/// Entries kept at most.
const ENTRIES_MAX: usize = 1024;
/// Entries of one client; what else it does is counted as one.
const ENTRIES_PER_CLIENT_MAX: usize = 64;
/// Stands for everything a client did beyond that.
const ANYTHING: &str = "*";
/// Between two lines of one entry.
const LINE_PAUSE: Duration = Duration::from_secs(60);
/// Lines at once, and per minute in the long run.
const LINES: Bucket = Bucket::new(120, Duration::from_millis(500));
/// Rows of the operation log at once, and per hour in the long run.
const ROWS: Bucket = Bucket::new(240, Duration::from_secs(60));
/// Longest text of a client that is kept.
const TEXT_LENGTH_MAX: usize = 64;

/// A request that was refused.
#[derive(Debug, Clone, Copy)]
pub struct RefusedCall<'a> {
    /// Which API.
    pub dialect: &'a str,
    /// From where.
    pub client_address: &'a str,
    /// Who, as far as is known or claimed.
    pub user_name: &'a str,
    /// Route or message: a word of the program, never what the client sent.
    pub action: &'a str,
    /// Stands in the answer and the log lines.
    pub request_id: &'a str,
    /// Was it a log-in?
    pub is_log_in: bool,
}

/// Refusals of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which API.
    pub dialect: String,
    /// From where.
    pub client_address: String,
    /// Who, as far as is known or claimed; `*` for many.
    pub user_name: String,
    /// Route or message; `*` for many.
    pub action: String,
    /// Why, in one word of a closed set.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// When it began.
    pub first_time: Timestamp,
    /// The newest.
    pub last_time: Timestamp,
    /// Of the newest.
    pub request_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    dialect: String,
    client_address: String,
    user_name: String,
    action: String,
    reason: &'static str,
}

#[derive(Debug)]
struct Entry {
    refusal: Refusal,
    line_time: Timestamp,
    untold: u64,
}

/// Something that may happen often at once, but not for long.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    size: u32,
    left: u32,
    refill: Duration,
    time: Timestamp,
}

impl Bucket {
    const fn new(size: u32, refill: Duration) -> Self {
        Self { size, left: size, refill, time: Timestamp(0) }
    }

    fn take(&mut self, now: Timestamp) -> bool {
        if now < self.time {
            self.time = now;
        }
        let new = now.since(self.time).as_nanos() / self.refill.as_nanos().max(1);
        if new > 0 {
            self.left = self.left.saturating_add(u32::try_from(new).unwrap_or(u32::MAX)).min(self.size);
            self.time = now;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

#[derive(Debug)]
struct State {
    entries: HashMap<Key, Entry>,
    lines: Bucket,
    rows: Bucket,
}

/// All refusals since the start.
#[derive(Debug)]
pub struct Refusals {
    state: Mutex<State>,
    counter: OnceLock<IntCounterVec>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { state: Mutex::new(State { entries: HashMap::new(), lines: LINES, rows: ROWS }), counter: OnceLock::new() }
    }
}

/// The word for why a request was refused; `None` for errors that are no matter of who asks.
fn reason_of(code: ErrorCode, is_log_in: bool) -> Option<&'static str> {
    match code {
        ErrorCode::TokenMissing => Some("token_missing"),
        ErrorCode::TokenInvalid => Some("token_invalid"),
        ErrorCode::TokenExpired => Some("token_expired"),
        ErrorCode::PermissionDenied => Some("permission"),
        ErrorCode::UserDisabled => Some("disabled"),
        ErrorCode::PasswordWrong => Some("password"),
        ErrorCode::UserNotExist if is_log_in => Some("user"),
        ErrorCode::UserLocked => Some("locked"),
        ErrorCode::TooManyRequests if is_log_in => Some("overload"),
        _ => None,
    }
}

impl Refusals {
    /// Counts here from now on.
    pub fn count_in(&self, counter: IntCounterVec) {
        let _first_wins = self.counter.set(counter);
    }

    /// Notes a refusal; errors that are none are passed over.
    pub fn note(&self, call: RefusedCall<'_>, error: &AgentError, now: Timestamp) {
        let Some(reason) = reason_of(error.code(), call.is_log_in) else { return };
        if let Some(counter) = self.counter.get() {
            counter.with_label_values(&[call.dialect, reason]).inc();
        }
        let Some(told) = self.state.lock().enter(&call, reason, now) else { return };
        let RefusedCall { dialect, client_address, action, request_id, .. } = call;
        let user = bounded(call.user_name);
        tracing::warn!(request_id, dialect, client = client_address, user, action, reason, count = told, "refused");
    }

    /// May this error of a request have a row of its own in the operation log? Those of operators may; refusals, and whatever strangers
    /// and readers send, while there is budget; and none where the account is locked anyway.
    pub fn may_have_row(&self, role: Role, error: &AgentError, now: Timestamp) -> bool {
        match error.code() {
            ErrorCode::TooManyRequests | ErrorCode::UserLocked => false,
            code if role < Role::Operator || reason_of(code, true).is_some() => self.state.lock().rows.take(now),
            _ => true,
        }
    }

    /// Every kind, the newest first.
    pub fn list(&self) -> Vec<Refusal> {
        let mut all: Vec<Refusal> = self.state.lock().entries.values().map(|entry| entry.refusal.clone()).collect();
        all.sort_by(|a, b| b.last_time.cmp(&a.last_time).then_with(|| a.client_address.cmp(&b.client_address)));
        all
    }
}

impl State {
    /// Counts it; gives how many the line is to tell of, where there is to be one.
    fn enter(&mut self, call: &RefusedCall<'_>, reason: &'static str, now: Timestamp) -> Option<u64> {
        let key = self.key(call, reason);
        if !self.entries.contains_key(&key) && self.entries.len() >= ENTRIES_MAX {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.refusal.last_time).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.entries.remove(&key));
        }
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry::new(key, now));
        let is_due = entry.refusal.count == 0 || now.since(entry.line_time) >= LINE_PAUSE;
        entry.refusal.count += 1;
        entry.untold += 1;
        entry.refusal.last_time = now;
        call.request_id.clone_into(&mut entry.refusal.request_id);
        if !is_due || !self.lines.take(now) {
            return None;
        }
        entry.line_time = now;
        Some(std::mem::take(&mut entry.untold))
    }

    fn key(&self, call: &RefusedCall<'_>, reason: &'static str) -> Key {
        let key = |user_name: &str, action: &str| Key {
            dialect: call.dialect.to_owned(),
            client_address: call.client_address.to_owned(),
            user_name: user_name.to_owned(),
            action: action.to_owned(),
            reason,
        };
        let exact = key(&bounded(call.user_name), call.action);
        if self.entries.contains_key(&exact) {
            return exact;
        }
        let of_client = self.entries.keys().filter(|key| key.client_address == call.client_address).count();
        if of_client < ENTRIES_PER_CLIENT_MAX { exact } else { key(ANYTHING, ANYTHING) }
    }
}

impl Entry {
    fn new(key: Key, now: Timestamp) -> Self {
        let Key { dialect, client_address, user_name, action, reason } = key;
        let request_id = String::new();
        let refusal = Refusal { dialect, client_address, user_name, action, reason, count: 0, first_time: now, last_time: now, request_id };
        Self { refusal, line_time: now, untold: 0 }
    }
}

/// A name as a log line can hold it.
fn bounded(text: &str) -> String {
    if text.is_empty() { String::new() } else { strict::shown(text).chars().take(TEXT_LENGTH_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::fail;

    fn call<'a>(client_address: &'a str, user_name: &'a str) -> RefusedCall<'a> {
        RefusedCall { dialect: "native", client_address, user_name, action: "/v1/user/login", request_id: "r", is_log_in: true }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    #[test]
    fn the_same_refusal_again_is_counted_and_others_are_kept_apart() {
        let refusals = Refusals::default();
        for second in 0..5 {
            refusals.note(call("192.0.2.1", "anna"), &fail!(PasswordWrong), at(second));
        }
        refusals.note(call("192.0.2.1", "anna"), &fail!(UserLocked), at(9));
        refusals.note(call("192.0.2.1", "anna"), &fail!(VmNotExist), at(10));
        let list = refusals.list();
        assert_eq!(list.iter().map(|r| (r.reason, r.count)).collect::<Vec<_>>(), [("locked", 1), ("password", 5)]);
        assert_eq!((list[1].first_time, list[1].last_time, list[1].user_name.as_str()), (at(0), at(4), "anna"));
    }

    #[test]
    fn a_flood_of_names_and_addresses_stays_bounded_and_leaves_others_visible() {
        let refusals = Refusals::default();
        refusals.note(call("203.0.113.9", "anna"), &fail!(PasswordWrong), at(0));
        for n in 0..5000 {
            refusals.note(call("192.0.2.1", &format!("name{n}")), &fail!(UserNotExist), at(1));
        }
        let list = refusals.list();
        assert_eq!(list.len(), ENTRIES_PER_CLIENT_MAX + 2);
        assert!(list.iter().any(|r| r.user_name == "anna"));
        assert_eq!(list.iter().find(|r| r.user_name == ANYTHING).unwrap().count, 5000 - ENTRIES_PER_CLIENT_MAX as u64);
        for n in 0..5000 {
            refusals.note(call(&format!("2001:db8::{n:x}"), "anna"), &fail!(PasswordWrong), at(2));
        }
        assert_eq!(refusals.list().len(), ENTRIES_MAX);
    }

    #[test]
    fn lines_come_once_at_first_and_then_once_a_minute_with_the_count_in_between() {
        let mut state = State { entries: HashMap::new(), lines: LINES, rows: ROWS };
        let told: Vec<_> = (0..125).filter_map(|second| state.enter(&call("192.0.2.1", "anna"), "password", at(second))).collect();
        assert_eq!(told, [1, 60, 60]);
    }

    #[test]
    fn rows_of_the_operation_log_have_a_budget_that_comes_back() {
        let refusals = Refusals::default();
        let may = |role, error, second| refusals.may_have_row(role, &error, at(second));
        let rows = |second| (0..1000).filter(|_| may(Role::Admin, fail!(PasswordWrong), second)).count();
        assert_eq!((rows(0), rows(1), rows(3601)), (240, 0, 60));
        assert!(may(Role::Operator, fail!(VmNotExist), 3601), "what is no refusal has its row");
        assert!(!may(Role::Reader, fail!(ParameterMissing), 3601), "but not whatever a stranger sends");
        assert!(!Refusals::default().may_have_row(Role::Reader, &fail!(UserLocked), at(0)), "a locked account fills nothing");
    }

    #[test]
    fn a_name_with_line_breaks_stays_one_line() {
        let refusals = Refusals::default();
        refusals.note(call("192.0.2.1", "a\nFAKE line\u{1b}[31m"), &fail!(UserNotExist), at(0));
        let name = &refusals.list()[0].user_name;
        assert!(!name.chars().any(char::is_control), "{name}");
    }
}
