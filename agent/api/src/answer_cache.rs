//! Encoded answers of reads, valid as long as the picture of the node does not change. Bounded in bytes.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};

/// Most bytes kept.
const BYTES_MAX: usize = 8 << 20;
/// What an entry takes beside its query and its answer.
const ENTRY_BYTES: usize = 256;

/// Answers by path and query, all of the same picture.
#[derive(Debug, Default)]
pub(crate) struct AnswerCache(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    generation: u64,
    by_path: HashMap<&'static str, HashMap<String, Bytes>>,
    /// Oldest first.
    order: VecDeque<(&'static str, String)>,
    bytes: usize,
}

impl AnswerCache {
    /// The answer to this query on this picture, if it was encoded before.
    pub(crate) fn get(&self, generation: u64, path: &'static str, query: &str) -> Option<Bytes> {
        let answers = self.0.lock();
        if answers.generation != generation {
            return None;
        }
        answers.by_path.get(path)?.get(query).cloned()
    }

    /// Keeps an answer; those of an older picture go, then the oldest until it fits.
    pub(crate) fn put(&self, generation: u64, path: &'static str, query: &str, answer: &Bytes) {
        let mut answers = self.0.lock();
        if answers.generation > generation {
            return;
        }
        if answers.generation < generation {
            *answers = Answers { generation, ..Answers::default() };
        }
        answers.put(path, query, answer);
    }
}

impl Answers {
    fn put(&mut self, path: &'static str, query: &str, answer: &Bytes) {
        let bytes = size(query, answer);
        let is_known = self.by_path.get(path).is_some_and(|answers| answers.contains_key(query));
        if is_known || bytes > BYTES_MAX {
            return;
        }
        while self.bytes + bytes > BYTES_MAX {
            let Some((path, query)) = self.order.pop_front() else { break };
            let gone = self.by_path.get_mut(path).and_then(|answers| answers.remove(&query));
            self.bytes -= gone.map_or(0, |gone| size(&query, &gone));
        }
        self.bytes += bytes;
        self.order.push_back((path, query.to_owned()));
        self.by_path.entry(path).or_default().insert(query.to_owned(), answer.clone());
    }
}

fn size(query: &str, answer: &Bytes) -> usize {
    2 * query.len() + answer.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_only_on_its_own_picture_path_and_query() {
        let cache = AnswerCache::default();
        cache.put(1, "/a", "x=1", &Bytes::from_static(b"one"));
        assert_eq!(cache.get(1, "/a", "x=1"), Some(Bytes::from_static(b"one")));
        assert_eq!(cache.get(2, "/a", "x=1"), None);
        assert_eq!(cache.get(1, "/b", "x=1"), None);
        assert_eq!(cache.get(1, "/a", ""), None);
        cache.put(2, "/a", "", &Bytes::from_static(b"two"));
        assert_eq!(cache.get(1, "/a", "x=1"), None);
        assert_eq!(cache.get(2, "/a", ""), Some(Bytes::from_static(b"two")));
    }

    #[test]
    fn who_was_slow_to_encode_an_older_picture_spoils_nothing() {
        let cache = AnswerCache::default();
        cache.put(2, "/a", "", &Bytes::from_static(b"new"));
        cache.put(1, "/a", "", &Bytes::from_static(b"old"));
        assert_eq!(cache.get(2, "/a", ""), Some(Bytes::from_static(b"new")));
        assert_eq!(cache.get(1, "/a", ""), None);
    }

    #[test]
    fn it_never_grows_past_its_bound_and_the_oldest_goes_first() {
        let cache = AnswerCache::default();
        for n in 0..100 {
            cache.put(1, "/a", &n.to_string(), &Bytes::from(vec![0; 1 << 20]));
            cache.put(1, "/a", &n.to_string(), &Bytes::from(vec![0; 1 << 20]));
        }
        let kept: Vec<bool> = (0..100).map(|n| cache.get(1, "/a", &n.to_string()).is_some()).collect();
        assert_eq!(kept.iter().filter(|is_kept| **is_kept).count(), 7);
        assert!(kept.is_sorted(), "the newest are kept: {kept:?}");
        assert!(cache.0.lock().bytes <= BYTES_MAX);
        cache.put(1, "/a", "huge", &Bytes::from(vec![0; 2 * BYTES_MAX]));
        assert_eq!(cache.get(1, "/a", "huge"), None);
        assert!(cache.get(1, "/a", "99").is_some(), "what cannot be kept drives nothing out");
    }
}
