//! Log-in attempts, slowed down per account and client, per client, and per account.
//!
//! Each has a count of failures; above a limit it is locked, for longer with every further failure. Who logged in from an address before
//! is held to the first count alone: nobody elsewhere, and no other account there, can lock him out.

use hvnode_core::model::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Entries that each table remembers at most.
const ENTRIES_MAX: usize = 4096;
/// Failures of a client address, whatever the account, in multiples of those of one account there.
const ADDRESS_FACTOR: u32 = 4;
/// Failures of an account, wherever from, in multiples of those from one address.
const ACCOUNT_FACTOR: u32 = 10;
/// Attempts at the same time of somebody who logged in from there before.
const AT_ONCE_MAX: u32 = 64;
/// How often a lock doubles at most.
const DOUBLINGS_MAX: u32 = 16;

/// What is counted; hashed, so that long names cost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct AttemptKey([u8; 32]);

impl AttemptKey {
    /// IPv6 clients count by their /64: one client owns all of it.
    pub(super) fn new(user_name: &str, client_address: &str) -> Self {
        let mut hash = Sha256::new();
        match client_address.parse::<Ipv6Addr>().map(|address| (address, address.to_ipv4_mapped())) {
            Ok((_, Some(mapped))) => hash.update(mapped.to_string()),
            Ok((address, None)) => hash.update(&address.octets()[..8]),
            Err(_) => hash.update(client_address),
        }
        hash.update([0]);
        hash.update(user_name);
        Self(hash.finalize().into())
    }
}

/// Why an attempt is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many failures; try again later.
    Locked,
    /// As many attempts as may still fail are under way; try again at once.
    Busy,
}

/// When to lock and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Failures that lock.
    pub(super) failures_max: u32,
    /// For how long at first; doubled with every further failure.
    pub(super) lock_time: Duration,
    /// Longest lock.
    pub(super) lock_time_max: Duration,
}

impl Limits {
    fn times(self, factor: u32) -> Self {
        Self { failures_max: self.failures_max.saturating_mul(factor), ..self }
    }

    fn longest(self) -> Duration {
        self.lock_time_max.max(self.lock_time)
    }
}

/// Who tries, from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pair: AttemptKey,
    address: Option<AttemptKey>,
    account: Option<AttemptKey>,
    at_once_max: u32,
}

impl Attempt {
    /// `is_known`: this account has logged in from there. What comes from this machine itself counts for no other.
    pub(super) fn new(user_name: &str, client_address: &str, is_known: bool) -> Self {
        let is_near =
            client_address == "unix" || client_address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        let is_free = is_known || is_near;
        Self {
            pair: AttemptKey::new(user_name, client_address),
            address: (!is_free).then(|| AttemptKey::new("", client_address)),
            account: (!is_free).then(|| AttemptKey::new(user_name, "")),
            at_once_max: if is_known { AT_ONCE_MAX } else { 0 },
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    failures: u32,
    in_flight: u32,
    last_time: Timestamp,
}

impl Entry {
    /// How long it is locked after its last failure.
    fn lock(&self, limits: Limits) -> Duration {
        match self.failures.checked_sub(limits.failures_max) {
            None => Duration::ZERO,
            Some(more) => limits.lock_time.saturating_mul(1 << more.min(DOUBLINGS_MAX)).min(limits.longest()),
        }
    }

    /// A few failures are forgotten soon; what led to a lock is remembered, so that the next lock is longer.
    fn is_over(&self, now: Timestamp, limits: Limits) -> bool {
        let lock = self.lock(limits);
        let memory = if lock.is_zero() { limits.lock_time } else { lock.saturating_add(limits.longest()) };
        now.since(self.last_time) >= memory
    }
}

/// One kind of count. An attempt counts as failed while it is under way, so that many at once get no more tries than one after the other.
#[derive(Debug, Default)]
struct Table {
    entries: HashMap<AttemptKey, Entry>,
}

impl Table {
    fn begin(&mut self, key: AttemptKey, now: Timestamp, limits: Limits, at_once_max: u32) -> Result<(), Refusal> {
        if !self.entries.contains_key(&key) {
            self.make_room(now, limits);
        }
        let entry = self.entries.entry(key).or_insert(Entry { last_time: now, ..Entry::default() });
        // A clock that went back must not make a lock longer than it is.
        entry.last_time = entry.last_time.min(now);
        if entry.is_over(now, limits) {
            entry.failures = 0;
        }
        let lock = entry.lock(limits);
        if !lock.is_zero() && now.since(entry.last_time) < lock {
            return Err(Refusal::Locked);
        }
        let may_run = match entry.failures {
            0 => limits.failures_max.max(at_once_max),
            // After a lock one at a time.
            failures => limits.failures_max.saturating_sub(failures).max(1),
        };
        if entry.in_flight >= may_run {
            return Err(Refusal::Busy);
        }
        entry.in_flight += 1;
        Ok(())
    }

    fn failed(&mut self, key: AttemptKey, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&key) {
            *entry = Entry { failures: entry.failures.saturating_add(1), in_flight: entry.in_flight.saturating_sub(1), last_time: now };
        }
    }

    /// It does not count; with `is_right`, nor does what came before.
    fn ended(&mut self, key: AttemptKey, is_right: bool) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        if is_right {
            entry.failures = 0;
        }
        if entry.failures == 0 && entry.in_flight == 0 {
            self.entries.remove(&key);
        }
    }

    /// Forgets entries past their time and, if that is not enough, the oldest: one that is not locked if there is one.
    fn make_room(&mut self, now: Timestamp, limits: Limits) {
        if self.entries.len() < ENTRIES_MAX {
            return;
        }
        self.entries.retain(|_, entry| {
            entry.last_time = entry.last_time.min(now);
            entry.in_flight > 0 || !entry.is_over(now, limits)
        });
        if self.entries.len() < ENTRIES_MAX {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| (!entry.lock(limits).is_zero(), entry.last_time)).map(|(key, _)| *key);
        oldest.and_then(|key| self.entries.remove(&key));
    }
}

/// All counts.
#[derive(Debug, Default)]
pub(super) struct LockOut {
    pairs: Table,
    addresses: Table,
    accounts: Table,
}

impl LockOut {
    /// Lets an attempt through, or not. One that is let through must end with one of the other three.
    pub(super) fn begin(&mut self, attempt: Attempt, now: Timestamp, limits: Limits) -> Result<(), Refusal> {
        self.pairs.begin(attempt.pair, now, limits, attempt.at_once_max)?;
        let Attempt { pair, address, account, .. } = attempt;
        let of_address = address.map_or(Ok(()), |key| self.addresses.begin(key, now, limits.times(ADDRESS_FACTOR), 0));
        let of_account = of_address.and_then(|()| {
            let begun = account.map_or(Ok(()), |key| self.accounts.begin(key, now, limits.times(ACCOUNT_FACTOR), 0));
            begun.inspect_err(|_| address.into_iter().for_each(|key| self.addresses.ended(key, false)))
        });
        of_account.inspect_err(|_| self.pairs.ended(pair, false))
    }

    /// The password was wrong.
    pub(super) fn failed(&mut self, attempt: Attempt, now: Timestamp) {
        self.pairs.failed(attempt.pair, now);
        attempt.address.into_iter().for_each(|key| self.addresses.failed(key, now));
        attempt.account.into_iter().for_each(|key| self.accounts.failed(key, now));
    }

    /// It was right. The other counts stay: an account of one's own is no way to try more passwords of others.
    pub(super) fn succeeded(&mut self, attempt: Attempt) {
        self.end(attempt, true);
    }

    /// It could not be judged: it does not count.
    pub(super) fn withdrawn(&mut self, attempt: Attempt) {
        self.end(attempt, false);
    }

    fn end(&mut self, attempt: Attempt, is_right: bool) {
        self.pairs.ended(attempt.pair, is_right);
        attempt.address.into_iter().for_each(|key| self.addresses.ended(key, false));
        attempt.account.into_iter().for_each(|key| self.accounts.ended(key, false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.1";

    fn limits(failures_max: u32) -> Limits {
        Limits { failures_max, lock_time: Duration::from_secs(300), lock_time_max: Duration::from_secs(3600) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    /// A wrong password.
    fn guess(table: &mut LockOut, attempt: Attempt, second: i64, limits: Limits) -> Result<(), Refusal> {
        table.begin(attempt, at(second), limits)?;
        table.failed(attempt, at(second));
        Ok(())
    }

    fn stranger(user_name: &str, address: &str) -> Attempt {
        Attempt::new(user_name, address, false)
    }

    #[test]
    fn the_last_allowed_failure_locks_until_the_time_is_over_and_each_further_one_for_longer() {
        let (mut table, admin, limits) = (LockOut::default(), stranger("admin", HERE), limits(3));
        for second in 0..3 {
            assert_eq!(guess(&mut table, admin, second, limits), Ok(()));
        }
        assert_eq!(guess(&mut table, admin, 301, limits), Err(Refusal::Locked));
        assert_eq!(guess(&mut table, admin, 302, limits), Ok(()), "300 seconds after the last counted failure");
        assert_eq!(guess(&mut table, admin, 302 + 599, limits), Err(Refusal::Locked));
        assert_eq!(guess(&mut table, admin, 302 + 600, limits), Ok(()), "then twice as long");
        let mut now = 902;
        for _ in 0..40 {
            now += 3600;
            assert_eq!(guess(&mut table, admin, now, limits), Ok(()), "but never longer than the longest");
        }
        assert_eq!(guess(&mut table, admin, now + 3599, limits), Err(Refusal::Locked));
        assert_eq!(guess(&mut table, admin, now + 7200, limits), Ok(()));
        assert_eq!(guess(&mut table, admin, now + 7201, limits), Ok(()), "a long silence is a new begin");
    }

    #[test]
    fn a_clock_that_jumps_back_makes_no_lock_longer_and_one_that_jumps_forward_ends_it() {
        let (mut table, admin, limits) = (LockOut::default(), stranger("admin", HERE), limits(1));
        assert_eq!(guess(&mut table, admin, 36_000, limits), Ok(()));
        assert_eq!(guess(&mut table, admin, 0, limits), Err(Refusal::Locked));
        assert_eq!(guess(&mut table, admin, 300, limits), Ok(()), "300 seconds by the new time, not ten hours");
        assert_eq!(guess(&mut table, admin, 72_000, limits), Ok(()));
    }

    #[test]
    fn another_client_is_not_locked_out_with_the_first() {
        let (mut table, limits) = (LockOut::default(), limits(1));
        assert_eq!(guess(&mut table, stranger("admin", "192.0.2.2"), 0, limits), Ok(()));
        assert_eq!(guess(&mut table, stranger("admin", "192.0.2.2"), 0, limits), Err(Refusal::Locked));
        assert_eq!(guess(&mut table, stranger("admin", HERE), 0, limits), Ok(()));
    }

    #[test]
    fn success_and_withdrawal_do_not_count() {
        let (mut table, attempt, limits) = (LockOut::default(), stranger("a", "unix"), limits(2));
        for _ in 0..10 {
            assert_eq!(table.begin(attempt, at(0), limits), Ok(()));
            table.withdrawn(attempt);
            assert_eq!(guess(&mut table, attempt, 0, limits), Ok(()));
            assert_eq!(table.begin(attempt, at(0), limits), Ok(()));
            table.succeeded(attempt);
        }
        assert!(table.pairs.entries.is_empty() && table.addresses.entries.is_empty() && table.accounts.entries.is_empty());
    }

    #[test]
    fn one_ipv6_network_is_one_client_and_a_mapped_address_is_its_ipv4_one() {
        assert_eq!(AttemptKey::new("a", "2001:db8::1"), AttemptKey::new("a", "2001:db8::ffff:1"));
        assert_ne!(AttemptKey::new("a", "2001:db8::1"), AttemptKey::new("a", "2001:db8:0:1::1"));
        assert_eq!(AttemptKey::new("a", "::ffff:192.0.2.1"), AttemptKey::new("a", "192.0.2.1"));
    }

    #[test]
    fn many_accounts_tried_from_one_address_lock_the_address_but_nobody_who_logged_in_from_there() {
        let (mut table, limits) = (LockOut::default(), limits(5));
        for n in 0..20 {
            assert_eq!(guess(&mut table, stranger(&format!("user{n}"), HERE), 0, limits), Ok(()));
        }
        assert_eq!(guess(&mut table, stranger("somebody", HERE), 1, limits), Err(Refusal::Locked));
        assert_eq!(table.begin(Attempt::new("admin", HERE, true), at(1), limits), Ok(()));
        assert_eq!(guess(&mut table, stranger("somebody", "192.0.2.2"), 1, limits), Ok(()));
    }

    #[test]
    fn an_account_tried_from_many_addresses_is_locked_but_not_for_who_is_known_or_near() {
        let (mut table, limits) = (LockOut::default(), limits(5));
        for n in 0..50 {
            assert_eq!(guess(&mut table, stranger("admin", &format!("198.51.100.{n}")), 0, limits), Ok(()));
        }
        assert_eq!(guess(&mut table, stranger("admin", "203.0.113.1"), 1, limits), Err(Refusal::Locked));
        for (address, is_known) in [(HERE, true), ("unix", false), ("127.0.0.1", false), ("::1", false), ("::ffff:127.0.0.1", false)] {
            let own = Attempt::new("admin", address, is_known);
            assert_eq!(table.begin(own, at(1), limits), Ok(()), "{address}");
            table.succeeded(own);
        }
        assert_eq!(guess(&mut table, stranger("admin", "203.0.113.1"), 1, limits), Err(Refusal::Locked), "success elsewhere opens nothing");
        assert_eq!(guess(&mut table, stranger("admin", "203.0.113.1"), 300, limits), Ok(()));
    }

    #[test]
    fn who_is_known_may_log_in_many_times_at_once_and_a_stranger_may_not() {
        let (mut table, limits) = (LockOut::default(), limits(5));
        let (own, other) = (Attempt::new("admin", HERE, true), stranger("admin", "192.0.2.2"));
        let begun = |table: &mut LockOut, attempt| (0..100).filter(|_| table.begin(attempt, at(0), limits).is_ok()).count();
        assert_eq!((begun(&mut table, own), begun(&mut table, other)), (64, 5));
        assert_eq!(table.begin(other, at(0), limits), Err(Refusal::Busy));
    }

    #[test]
    fn the_tables_are_bounded_and_a_flood_of_names_does_not_unlock_anybody() {
        let (mut table, limits) = (LockOut::default(), limits(2));
        let locked = stranger("admin", "unix");
        guess(&mut table, locked, 0, limits).unwrap();
        guess(&mut table, locked, 0, limits).unwrap();
        for n in 0..ENTRIES_MAX + 100 {
            guess(&mut table, stranger(&format!("user{n}"), "unix"), 1, limits).unwrap();
        }
        assert_eq!(table.pairs.entries.len(), ENTRIES_MAX);
        assert_eq!(guess(&mut table, locked, 2, limits), Err(Refusal::Locked));
    }

    #[test]
    fn where_everybody_is_locked_the_oldest_gives_way_so_that_a_flood_locks_nobody_out() {
        let (mut table, limits) = (LockOut::default(), limits(1));
        for n in 0..ENTRIES_MAX {
            guess(&mut table, stranger(&format!("user{n}"), "unix"), 0, limits).unwrap();
        }
        assert_eq!(guess(&mut table, stranger("fresh", "unix"), 1, limits), Ok(()));
        assert_eq!(table.pairs.entries.len(), ENTRIES_MAX);
    }
}
