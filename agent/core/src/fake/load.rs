//! How busy a simulated guest or host is, as time goes by: a wave of its own for each, so that graphs have something to show.

use std::f64::consts::TAU;
use std::time::Duration;

/// The share of its processors that something uses, swinging around a mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    mean: f64,
    /// At most the mean, so that work never goes backwards.
    swing: f64,
    period_seconds: f64,
    phase: f64,
}

/// The share that the plain fake always uses; a loaded one's counters grow by how much it is above or below this.
const PLAIN_SHARE: f64 = 0.2;

impl Load {
    /// The wave that belongs to `seed`: from nearly idle to nearly full, with a period of two to twenty minutes.
    pub fn of(seed: u64) -> Self {
        let mut state = seed;
        let mean = 0.02 + 0.78 * unit(&mut state).powi(2);
        let swing = mean * unit(&mut state) * 0.9;
        let period_seconds = 120.0 + 1080.0 * unit(&mut state);
        Self { mean, swing: swing.min(1.0 - mean), period_seconds, phase: TAU * unit(&mut state) }
    }

    /// The time in which the plain fake would do as much as this does in `uptime`. It never goes backwards.
    pub(super) fn warp(self, uptime: Duration) -> Duration {
        let seconds = uptime.as_secs_f64();
        let wave = self.phase.cos() - (TAU * seconds / self.period_seconds + self.phase).cos();
        let work = self.mean * seconds + self.swing * self.period_seconds / TAU * wave;
        Duration::try_from_secs_f64(work.max(0.0) / PLAIN_SHARE).unwrap_or(uptime)
    }

    /// What it uses at a time, from 0 to 1.
    pub(super) fn level(self, uptime: Duration) -> f64 {
        (self.mean + self.swing * (TAU * uptime.as_secs_f64() / self.period_seconds + self.phase).sin()).clamp(0.0, 1.0)
    }
}

/// The next number from 0 to 1 that follows from `state` (splitmix64).
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_never_goes_backwards_and_never_exceeds_the_time() {
        for seed in 0..200 {
            let load = Load::of(seed);
            let mut before = Duration::ZERO;
            for second in (0..4000).step_by(7) {
                let uptime = Duration::from_secs(second);
                let work = load.warp(uptime);
                assert!(work >= before, "seed {seed}, second {second}");
                assert!(work.as_secs_f64() * PLAIN_SHARE <= uptime.as_secs_f64() + 1e-6, "seed {seed}, second {second}");
                assert!((0.0..=1.0).contains(&load.level(uptime)));
                before = work;
            }
        }
    }

    #[test]
    fn two_seeds_do_not_move_together_and_one_seed_always_moves_the_same() {
        let at = Duration::from_secs(1000);
        assert_ne!(Load::of(1).warp(at), Load::of(2).warp(at));
        assert_eq!(Load::of(1).warp(at), Load::of(1).warp(at));
    }
}
