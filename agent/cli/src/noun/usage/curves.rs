//! Curves: a line for each figure with its least, mean, highest and last value.

use super::{Subject, figures};
use crate::error::Result;
use crate::output::{Content, Output, Table, column};
use crate::sparkline::{Span, sparkline};
use crate::text;
use crate::text::Text;
use crate::units::{format_duration, format_rate, format_size, format_time_short};
use serde_json::Value;

/// Columns of a curve where the output has no width of its own.
const COLUMNS_DEFAULT: usize = 60;
/// Columns that the rest of a line takes at most.
const COLUMNS_BESIDE: usize = 64;

/// How a figure is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Percent,
    Bytes,
    Rate,
}

impl Unit {
    fn format(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{value:.1}%"),
            Self::Bytes => format_size(value.max(0.0) as u64),
            Self::Rate => format_rate(value),
        }
    }
}

/// One line of curves.
struct Line {
    title: &'static str,
    series: &'static str,
    key: &'static str,
    unit: Unit,
}

const fn line(title: &'static str, series: &'static str, key: &'static str, unit: Unit) -> Line {
    Line { title, series, key, unit }
}

const LINES: [Line; 10] = [
    line("cpu", "cpu_statistics", "cpu_usage", Unit::Percent),
    line("cpu delay", "cpu_statistics", "cpu_delay", Unit::Percent),
    line("cpu iowait", "cpu_statistics", "iowait_usage", Unit::Percent),
    line("cpu steal", "cpu_statistics", "steal_usage", Unit::Percent),
    line("memory used", "mem_statistics", "used_memory_size", Unit::Bytes),
    line("on the host", "mem_statistics", "resident_memory_size", Unit::Bytes),
    line("disk read", "disk_statistics", "read_bytes", Unit::Rate),
    line("disk write", "disk_statistics", "write_bytes", Unit::Rate),
    line("net in", "network_statistics", "receive_bytes", Unit::Rate),
    line("net out", "network_statistics", "send_bytes", Unit::Rate),
];

/// Prints the curves of each, or `nothing` where none has any.
pub(super) fn show(out: &Output, list: &[Subject], (start, end): (i64, i64), nothing: &Text) -> Result<()> {
    let most = out.width().map_or(COLUMNS_DEFAULT, |width| usize::from(width).saturating_sub(COLUMNS_BESIDE).clamp(8, 120));
    let mut shown = 0;
    for (name, usage) in list {
        let period = usage["period"].as_i64().filter(|period| *period > 0).unwrap_or(60);
        let table = table(usage, Span { start, end, period }, most);
        if table.is_empty() {
            continue;
        }
        if shown > 0 {
            out.raw("\n")?;
        }
        shown += 1;
        let (from, to) = (format_time_short(start), format_time_short(end));
        let spacing = format_duration(period.unsigned_abs(), out.language);
        out.say(&text!("{name}: {from} to {to}, a point every {spacing}"; "{name}: {from} 至 {to}, 每 {spacing} 一个点"))?;
        out.table(&table, nothing)?;
    }
    if shown == 0 {
        out.note(nothing);
    }
    Ok(())
}

fn table(usage: &Value, span: Span, most: usize) -> Table {
    let columns = span.columns(most);
    let mut table = Table::new(&[
        column("FIGURE"),
        column("CURVE"),
        column("MIN").number().spare(2),
        column("AVG").number(),
        column("MAX").number(),
        column("LAST").number().spare(1),
    ]);
    for line in &LINES {
        let figures = figures(usage, line.series, line.key);
        let Some((_, last)) = figures.last() else { continue };
        let curve = sparkline(&span.buckets(&figures, columns), top(usage, line));
        let values = figures.iter().map(|(_, value)| *value);
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let highest = values.clone().fold(f64::NEG_INFINITY, f64::max);
        let mean = values.sum::<f64>() / figures.len() as f64;
        let mut cells: Vec<Content> = vec![line.title.into(), curve.into()];
        cells.extend([least, mean, highest, *last].map(|value| Content::from(line.unit.format(value))));
        table.row(cells);
    }
    table
}

/// What a full column stands for: all processors, all memory; the highest value for rates.
fn top(usage: &Value, line: &Line) -> Option<f64> {
    match line.unit {
        Unit::Percent => Some(100.0),
        Unit::Bytes => figures(usage, "mem_statistics", "memory_size").iter().map(|(_, size)| *size).reduce(f64::max),
        Unit::Rate => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_curve_has_its_extremes_and_shows_where_nothing_was_measured() {
        let usage = json!({
            "cpu_statistics": [{"time": 0, "cpu_usage": 0.0, "cpu_delay": null}, {"time": 60, "cpu_usage": 50.0}, {"time": 180, "cpu_usage": 100.0}],
            "mem_statistics": [{"time": 0, "memory_size": 1024, "used_memory_size": 512}],
            "disk_statistics": [], "network_statistics": null,
        });
        let table = table(&usage, Span { start: 0, end: 240, period: 60 }, 40);
        let expected = "\
FIGURE       CURVE    MIN    AVG     MAX    LAST
cpu          ▁▅ █    0.0%  50.0%  100.0%  100.0%
memory used  ▅      512 B  512 B   512 B   512 B
";
        assert_eq!(table.render(None, false), expected);
    }

    #[test]
    fn who_has_no_figures_has_no_curves() {
        assert!(table(&json!({}), Span { start: 0, end: 60, period: 10 }, 40).is_empty());
    }
}
