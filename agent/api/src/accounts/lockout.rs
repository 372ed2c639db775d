//! Log-in attempts, limited per user and client.

use hvnode_core::model::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::time::Duration;

/// Pairs of user and client remembered at most.
const ENTRIES_MAX: usize = 4096;

/// Which user from which client; hashed, so that long names cost nothing.
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
    /// Too many users and clients are locked at once to remember one more.
    TableFull,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    last_time: Timestamp,
}

/// Counts attempts. An attempt counts as failed from its start, so that many at once get no more tries than one after the other.
#[derive(Debug, Default)]
pub(super) struct LockOut {
    entries: HashMap<AttemptKey, Entry>,
}

impl LockOut {
    /// Lets an attempt through, or not. `failures_max` failures lock for `lock_time` after the last of them.
    pub(super) fn begin(&mut self, key: AttemptKey, now: Timestamp, failures_max: u32, lock_time: Duration) -> Result<(), Refusal> {
        if let Some(entry) = self.entries.get_mut(&key) {
            // A clock that went back must not make a lock longer than it is.
            entry.last_time = entry.last_time.min(now);
            if now.since(entry.last_time) >= lock_time {
                *entry = Entry { failures: 1, last_time: now };
                return Ok(());
            }
            if entry.failures >= failures_max {
                return Err(Refusal::Locked);
            }
            *entry = Entry { failures: entry.failures + 1, last_time: now };
            return Ok(());
        }
        self.make_room(now, failures_max, lock_time)?;
        self.entries.insert(key, Entry { failures: 1, last_time: now });
        Ok(())
    }

    /// The attempt was right: its history is forgotten.
    pub(super) fn succeed(&mut self, key: AttemptKey) {
        self.entries.remove(&key);
    }

    /// The attempt could not be judged: it does not count.
    pub(super) fn withdraw(&mut self, key: AttemptKey) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.failures = entry.failures.saturating_sub(1);
        }
    }

    /// Forgets entries past their time and, if that is not enough, the oldest that is not locked.
    fn make_room(&mut self, now: Timestamp, failures_max: u32, lock_time: Duration) -> Result<(), Refusal> {
        if self.entries.len() < ENTRIES_MAX {
            return Ok(());
        }
        self.entries.retain(|_, entry| {
            entry.last_time = entry.last_time.min(now);
            now.since(entry.last_time) < lock_time
        });
        if self.entries.len() < ENTRIES_MAX {
            return Ok(());
        }
        let oldest = self.entries.iter().filter(|(_, e)| e.failures < failures_max).min_by_key(|(_, e)| e.last_time).map(|(key, _)| *key);
        oldest.map_or(Err(Refusal::TableFull), |key| {
            self.entries.remove(&key);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: Duration = Duration::from_secs(300);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    #[test]
    fn the_last_allowed_failure_locks_until_the_time_is_over() {
        let (mut table, key) = (LockOut::default(), AttemptKey::new("admin", "192.0.2.1"));
        for second in 0..3 {
            assert_eq!(table.begin(key, at(second), 3, LOCK), Ok(()));
        }
        assert_eq!(table.begin(key, at(3), 3, LOCK), Err(Refusal::Locked));
        assert_eq!(table.begin(key, at(301), 3, LOCK), Err(Refusal::Locked));
        assert_eq!(table.begin(key, at(302), 3, LOCK), Ok(()), "300 seconds after the last counted failure");
    }

    #[test]
    fn a_clock_that_jumps_back_makes_no_lock_longer_and_one_that_jumps_forward_ends_it() {
        let (mut table, key) = (LockOut::default(), AttemptKey::new("admin", "192.0.2.1"));
        assert_eq!(table.begin(key, at(36_000), 1, LOCK), Ok(()));
        assert_eq!(table.begin(key, at(0), 1, LOCK), Err(Refusal::Locked));
        assert_eq!(table.begin(key, at(300), 1, LOCK), Ok(()), "300 seconds by the new time, not ten hours");
        assert_eq!(table.begin(key, at(72_000), 1, LOCK), Ok(()));
    }

    #[test]
    fn another_client_is_not_locked_out_with_the_first() {
        let mut table = LockOut::default();
        let (mine, theirs) = (AttemptKey::new("admin", "192.0.2.1"), AttemptKey::new("admin", "192.0.2.2"));
        assert_eq!(table.begin(theirs, at(0), 1, LOCK), Ok(()));
        assert_eq!(table.begin(theirs, at(0), 1, LOCK), Err(Refusal::Locked));
        assert_eq!(table.begin(mine, at(0), 1, LOCK), Ok(()));
    }

    #[test]
    fn success_and_withdrawal_do_not_count() {
        let (mut table, key) = (LockOut::default(), AttemptKey::new("a", "unix"));
        for _ in 0..10 {
            assert_eq!(table.begin(key, at(0), 2, LOCK), Ok(()));
            table.withdraw(key);
            assert_eq!(table.begin(key, at(0), 2, LOCK), Ok(()));
            table.succeed(key);
        }
    }

    #[test]
    fn one_ipv6_network_is_one_client_and_a_mapped_address_is_its_ipv4_one() {
        assert_eq!(AttemptKey::new("a", "2001:db8::1"), AttemptKey::new("a", "2001:db8::ffff:1"));
        assert_ne!(AttemptKey::new("a", "2001:db8::1"), AttemptKey::new("a", "2001:db8:0:1::1"));
        assert_eq!(AttemptKey::new("a", "::ffff:192.0.2.1"), AttemptKey::new("a", "192.0.2.1"));
    }

    #[test]
    fn the_table_is_bounded_and_a_flood_of_names_does_not_unlock_anybody() {
        let (mut table, locked) = (LockOut::default(), AttemptKey::new("admin", "192.0.2.9"));
        table.begin(locked, at(0), 2, LOCK).unwrap();
        table.begin(locked, at(0), 2, LOCK).unwrap();
        for n in 0..ENTRIES_MAX + 100 {
            table.begin(AttemptKey::new(&format!("user{n}"), "192.0.2.9"), at(1), 2, LOCK).unwrap();
        }
        assert_eq!(table.entries.len(), ENTRIES_MAX);
        assert_eq!(table.begin(locked, at(2), 2, LOCK), Err(Refusal::Locked));
    }

    #[test]
    fn where_everybody_is_locked_a_new_client_waits_until_one_expires() {
        let mut table = LockOut::default();
        for n in 0..ENTRIES_MAX {
            table.begin(AttemptKey::new(&format!("user{n}"), "x"), at(0), 1, LOCK).unwrap();
        }
        let fresh = AttemptKey::new("fresh", "x");
        assert_eq!(table.begin(fresh, at(1), 1, LOCK), Err(Refusal::TableFull));
        assert_eq!(table.begin(fresh, at(300), 1, LOCK), Ok(()));
    }
}
