//! Encoded answers of listings, valid as long as the picture of the node does not change. Bounded in bytes.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Most bytes kept.
const BYTES_MAX: usize = 8 << 20;

/// Answers by picture, path and query.
#[derive(Debug, Default)]
pub(crate) struct ListCache(Mutex<VecDeque<Entry>>);

#[derive(Debug)]
struct Entry {
    generation: u64,
    path: &'static str,
    query: String,
    answer: Bytes,
}

impl ListCache {
    /// The answer to this query on this picture, if it was encoded before.
    pub(crate) fn get(&self, generation: u64, path: &'static str, query: &str) -> Option<Bytes> {
        let entries = self.0.lock();
        entries.iter().find(|e| e.generation == generation && e.path == path && e.query == query).map(|e| e.answer.clone())
    }

    /// Keeps an answer; those of other pictures go, then the oldest until it fits.
    pub(crate) fn put(&self, generation: u64, path: &'static str, query: &str, answer: &Bytes) {
        let size = |entry: &Entry| entry.answer.len() + entry.query.len() + size_of::<Entry>();
        let entry = Entry { generation, path, query: query.to_owned(), answer: answer.clone() };
        let mut entries = self.0.lock();
        entries.retain(|e| e.generation == generation && !(e.path == path && e.query == query));
        entries.push_back(entry);
        let mut bytes: usize = entries.iter().map(size).sum();
        while bytes > BYTES_MAX {
            let Some(oldest) = entries.pop_front() else { break };
            bytes -= size(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_only_on_its_own_picture_path_and_query() {
        let cache = ListCache::default();
        cache.put(1, "/a", "x=1", &Bytes::from_static(b"one"));
        assert_eq!(cache.get(1, "/a", "x=1"), Some(Bytes::from_static(b"one")));
        assert_eq!(cache.get(2, "/a", "x=1"), None);
        assert_eq!(cache.get(1, "/b", "x=1"), None);
        assert_eq!(cache.get(1, "/a", ""), None);
        cache.put(2, "/a", "", &Bytes::from_static(b"two"));
        assert_eq!(cache.get(1, "/a", "x=1"), None);
    }

    #[test]
    fn it_never_grows_past_its_bound() {
        let cache = ListCache::default();
        for n in 0..100 {
            cache.put(1, "/a", &n.to_string(), &Bytes::from(vec![0; 1 << 20]));
        }
        assert!(cache.0.lock().len() < 8);
        cache.put(1, "/a", "huge", &Bytes::from(vec![0; 2 * BYTES_MAX]));
        assert!(cache.0.lock().is_empty());
    }
}
