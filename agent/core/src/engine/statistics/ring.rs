//! The newest points of one subject, packed, in memory.
//!
//! A point of a VM with four processors, two disks and two NICs takes some 110 bytes packed and 56 more to find it. At the default
//! settings (every 10 s for 5 min) that is at most 6 KiB a VM, which a test holds true. The averages being made and the last samples
//! come on top.

use crate::model::{SampleTime, Timestamp, UsagePoint, codec};
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Debug)]
struct Entry {
    at: SampleTime,
    bytes: Box<[u8]>,
}

/// The newest points of one subject; wall times are unique and in order.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
}

impl Ring {
    /// Keeps a point. Where the wall clock was set back, the points that it now repeats go: each time has one truth, the later one.
    pub(super) fn push(&mut self, at: SampleTime, point: &UsagePoint, points_max: usize) {
        if self.entries.back().is_some_and(|entry| entry.at.elapsed >= at.elapsed) {
            return;
        }
        while self.entries.back().is_some_and(|entry| entry.at.time >= at.time) {
            self.entries.pop_back();
        }
        while self.entries.len() >= points_max.max(1) {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at, bytes: codec::encode(point).into_boxed_slice() });
    }

    /// Lets go what is older than `retention`, by the steady clock.
    pub(super) fn expire(&mut self, now: SampleTime, retention: Duration) {
        while self.entries.front().is_some_and(|entry| now.since(entry.at) > retention) {
            self.entries.pop_front();
        }
        if self.entries.capacity() > 64 && self.entries.len() * 4 < self.entries.capacity() {
            self.entries.shrink_to_fit();
        }
    }

    /// Points with `start` ≤ time ≤ `end`, oldest first.
    pub(super) fn range(&self, start: Timestamp, end: Timestamp) -> Vec<UsagePoint> {
        let first = self.entries.partition_point(|entry| entry.at.time < start);
        let entries = self.entries.iter().skip(first).take_while(|entry| entry.at.time <= end);
        entries.filter_map(|entry| codec::decode(&entry.bytes, entry.at.time)).collect()
    }

    /// True if it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory it takes, the allocator's own apart.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.entries.iter().map(|entry| entry.bytes.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, elapsed: u64) -> SampleTime {
        SampleTime { time: Timestamp::from_seconds(wall), elapsed: Duration::from_secs(elapsed) }
    }

    fn times(ring: &Ring) -> Vec<i64> {
        ring.range(Timestamp(i64::MIN), Timestamp(i64::MAX)).iter().map(|point| point.time.seconds()).collect()
    }

    #[test]
    fn a_clock_set_back_leaves_no_time_twice_and_none_out_of_order() {
        let mut ring = Ring::default();
        for (index, wall) in [100, 110, 120, 105, 115].into_iter().enumerate() {
            ring.push(at(wall, index as u64), &UsagePoint::default(), 100);
        }
        assert_eq!(times(&ring), [100, 105, 115]);
    }

    #[test]
    fn age_is_measured_on_the_steady_clock_and_the_number_is_bounded() {
        let mut ring = Ring::default();
        for second in 0..100 {
            ring.push(at(1000 + second, second.unsigned_abs()), &UsagePoint::default(), 10);
        }
        assert_eq!(times(&ring).len(), 10);
        ring.expire(at(0, 96), Duration::from_secs(5));
        assert_eq!(times(&ring), (1091..1100).collect::<Vec<_>>());
        ring.expire(at(0, 1000), Duration::from_secs(5));
        assert!(ring.is_empty());
    }

    #[test]
    fn both_ends_of_a_range_belong_to_it() {
        let mut ring = Ring::default();
        (0..5).for_each(|second| ring.push(at(second, second.unsigned_abs()), &UsagePoint::default(), 10));
        let range = ring.range(Timestamp::from_seconds(1), Timestamp::from_seconds(3));
        assert_eq!(range.iter().map(|point| point.time.seconds()).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
