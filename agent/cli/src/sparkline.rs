//! Curves of one line: `▁▂▃▄▅▆▇█`, a space where nothing was measured.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Figures over a span of time, in Unix seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// First.
    pub(crate) start: i64,
    /// Behind the last.
    pub(crate) end: i64,
    /// Seconds that one figure stands for.
    pub(crate) period: i64,
}

impl Span {
    /// As many columns as there can be figures, at most `most`.
    pub(crate) fn columns(self, most: usize) -> usize {
        let figures = (self.end - self.start).max(0) / self.period.max(1);
        usize::try_from(figures).unwrap_or(most).clamp(1, most.max(1))
    }

    /// Averages of `figures` (time and value, ascending) for each column; none where nothing was measured.
    pub(crate) fn buckets(self, figures: &[(i64, f64)], columns: usize) -> Vec<Option<f64>> {
        let length = (self.end - self.start).max(1) as f64 / columns as f64;
        // a figure may come late by a bit without leaving a hole
        let reach = self.period as f64 * 1.5;
        let bucket = |column: usize| {
            let from = self.start as f64 + length * column as f64;
            let is_last = column + 1 == columns;
            let inside = |time: i64| time as f64 >= from && ((time as f64) < from + length || is_last);
            let values: Vec<f64> = figures.iter().filter(|(time, _)| inside(*time)).map(|(_, value)| *value).collect();
            if !values.is_empty() {
                return Some(values.iter().sum::<f64>() / values.len() as f64);
            }
            let before = figures.iter().rev().find(|(time, _)| (*time as f64) < from);
            before.filter(|(time, _)| from - (*time as f64) < reach - length).map(|(_, value)| *value)
        };
        (0..columns).map(bucket).collect()
    }
}

/// One character for each bucket, from nothing to `top`; to the highest bucket where that is not given.
pub(crate) fn sparkline(buckets: &[Option<f64>], top: Option<f64>) -> String {
    let highest = buckets.iter().flatten().copied().fold(0.0, f64::max);
    let top = top.unwrap_or(highest);
    let level = |value: f64| {
        let part = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
        LEVELS[((part * 8.0) as usize).min(7)]
    };
    buckets.iter().map(|bucket| bucket.map_or(' ', level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_heights_and_gaps_become_spaces() {
        let values: Vec<Option<f64>> = (0..8).map(|n| Some(f64::from(n))).collect();
        assert_eq!(sparkline(&values, Some(8.0)), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[Some(0.0), None, Some(100.0)], None), "▁ █");
        assert_eq!(sparkline(&[Some(0.0), Some(0.0)], None), "▁▁");
        assert_eq!(sparkline(&[Some(500.0), Some(-1.0)], Some(100.0)), "█▁");
        assert_eq!(sparkline(&[], None), "");
    }

    #[test]
    fn many_figures_are_averaged_into_few_columns() {
        let span = Span { start: 0, end: 100, period: 10 };
        let figures: Vec<(i64, f64)> = (0..10).map(|n| (n * 10, n as f64)).collect();
        assert_eq!(span.buckets(&figures, 2), [Some(2.0), Some(7.0)]);
        assert_eq!(span.columns(60), 10);
        assert_eq!(span.columns(5), 5);
    }

    #[test]
    fn a_gap_is_seen_and_a_late_figure_is_none() {
        let span = Span { start: 0, end: 60, period: 10 };
        let late = [(0, 1.0), (10, 1.0), (21, 1.0), (32, 1.0), (41, 1.0), (50, 1.0)];
        assert!(span.buckets(&late, 6).iter().all(Option::is_some));
        let skipped = [(1, 1.0), (23, 1.0), (33, 1.0), (43, 1.0), (53, 1.0)];
        assert_eq!(span.buckets(&skipped, 6).iter().filter(|bucket| bucket.is_none()).count(), 1);
        let gap = [(0, 1.0), (50, 1.0)];
        assert_eq!(sparkline(&span.buckets(&gap, 6), Some(8.0)), "▂    ▂");
    }

    #[test]
    fn no_span_is_too_strange() {
        for (start, end, period) in [(0, 0, 0), (10, 0, 5), (0, i64::from(u32::MAX), 1)] {
            let span = Span { start, end, period };
            let columns = span.columns(40);
            assert_eq!(span.buckets(&[(start, 1.0)], columns).len(), columns);
        }
    }
}
