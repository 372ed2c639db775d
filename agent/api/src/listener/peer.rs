//! Which peers of the unix socket need no token: root, the daemon's own user, and members of one group.

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::CString;
use std::time::{Duration, Instant};

/// How long a membership is believed: a change in the group takes at most this long to count.
const CACHE_TIME: Duration = Duration::from_secs(60);
/// Users remembered.
const CACHE_MAX: usize = 1024;
/// Longest wait for the user database; it may be on a network.
const LOOKUP_TIME: Duration = Duration::from_secs(5);

/// Decides by peer credentials, which the kernel vouches for.
#[derive(Debug)]
pub struct PeerTrust {
    own_user: Uid,
    group: Option<Gid>,
    members: Mutex<HashMap<Uid, (Instant, bool)>>,
}

impl PeerTrust {
    /// Trusts root, the daemon's own user and members of the group, if there is one of that name. Asks the user database: call it
    /// where blocking is allowed.
    pub fn new(group_name: &str) -> Self {
        let group = if group_name.is_empty() { None } else { lookup_group(group_name) };
        Self { own_user: geteuid(), group, members: Mutex::default() }
    }

    /// The group of trusted users.
    pub fn group(&self) -> Option<Gid> {
        self.group
    }

    /// `uid:N` for a peer that is trusted.
    pub(super) async fn trusted_user(&self, uid: u32, gid: u32) -> Option<String> {
        let (user, primary) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let is_trusted =
            user.is_root() || user == self.own_user || self.group == Some(primary) || self.is_member_cached(user, primary).await;
        is_trusted.then(|| format!("uid:{uid}"))
    }

    async fn is_member_cached(&self, user: Uid, primary: Gid) -> bool {
        let Some(group) = self.group else { return false };
        if let Some((time, is_member)) = self.members.lock().get(&user)
            && time.elapsed() < CACHE_TIME
        {
            return *is_member;
        }
        let lookup = tokio::task::spawn_blocking(move || is_member(user, primary, group));
        let Ok(Ok(is_member)) = tokio::time::timeout(LOOKUP_TIME, lookup).await else {
            tracing::warn!(uid = user.as_raw(), "the user database did not answer; the peer needs a token");
            return false;
        };
        let mut members = self.members.lock();
        if members.len() >= CACHE_MAX {
            members.clear();
        }
        members.insert(user, (Instant::now(), is_member));
        is_member
    }
}

fn lookup_group(name: &str) -> Option<Gid> {
    match Group::from_name(name) {
        Ok(Some(group)) => Some(group.gid),
        Ok(None) => {
            tracing::warn!(group = name, "there is no such group; only root and the daemon's own user need no token on the unix socket");
            None
        }
        Err(error) => {
            tracing::warn!(group = name, %error, "the group cannot be looked up; only root and the daemon's own user are trusted");
            None
        }
    }
}

fn is_member(user: Uid, primary: Gid, group: Gid) -> bool {
    let Ok(Some(record)) = User::from_uid(user) else { return false };
    let Ok(name) = CString::new(record.name) else { return false };
    getgrouplist(&name, primary).is_ok_and(|groups| groups.contains(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn root_and_the_own_user_are_trusted_and_strangers_are_not() {
        let trust = PeerTrust { own_user: Uid::from_raw(4242), group: None, members: Mutex::default() };
        assert_eq!(trust.trusted_user(0, 0).await.as_deref(), Some("uid:0"));
        assert_eq!(trust.trusted_user(4242, 4242).await.as_deref(), Some("uid:4242"));
        assert_eq!(trust.trusted_user(65534, 65534).await, None);
    }

    #[tokio::test]
    async fn members_are_trusted_by_primary_and_by_supplementary_group() {
        let trust = PeerTrust { own_user: Uid::from_raw(4242), group: Some(Gid::from_raw(77)), members: Mutex::default() };
        assert!(trust.trusted_user(65534, 77).await.is_some(), "primary group of the process");
        // The user `nobody` exists everywhere; getgrouplist always gives the primary group handed in.
        assert!(trust.trusted_user(65534, 65534).await.is_none());
        assert_eq!(trust.members.lock().len(), 1, "remembered");
    }

    #[test]
    fn a_group_that_is_not_there_is_nobody() {
        assert_eq!(PeerTrust::new("no-such-group-here").group(), None);
        assert_eq!(PeerTrust::new("").group(), None);
        assert_eq!(PeerTrust::new("root").group(), Some(Gid::from_raw(0)));
    }
}
