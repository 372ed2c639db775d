//! A row for each object, or for each sample.

use super::Subject;
use crate::output::{Content, Table, column};
use crate::units::{format_clock, format_rate, format_size};
use crate::view::{self, dash, entries};
use serde_json::Value;

/// One row per object, or one per sample. Disks, networks and freshness have columns only if anything is known about them.
pub(super) fn table(list: &[Subject], is_series: bool) -> Table {
    let mut columns = vec![column("NAME"), column("TIME"), column("CPU").number(), column("MEMORY USED").number(), column("OF").number()];
    let has_traffic = list.iter().any(|(_, usage)| !usage["disk_statistics"].is_null() || !usage["network_statistics"].is_null());
    let has_freshness = !is_series && list.iter().any(|(_, usage)| usage["freshness"].is_string());
    if has_traffic {
        columns.extend(["DISK READ", "DISK WRITE", "NET IN", "NET OUT"].map(|title| column(title).number()));
    }
    if has_freshness {
        columns.push(column("FRESHNESS").spare(1));
    }
    let mut table = Table::new(&columns);
    for (name, usage) in list {
        let times = times(usage);
        let shown = if is_series { times.as_slice() } else { times.last().map_or(&[][..], std::slice::from_ref) };
        for time in shown {
            let mut cells = row(name, usage, *time);
            cells.truncate(if has_traffic { cells.len() } else { 5 });
            if has_freshness {
                cells.push(view::freshness(usage));
            }
            table.row(cells);
        }
    }
    table
}

/// Every time at which anything was measured, ascending.
fn times(usage: &Value) -> Vec<i64> {
    let series = ["cpu_statistics", "mem_statistics", "disk_statistics", "network_statistics"];
    let mut times: Vec<i64> = series.iter().flat_map(|key| entries(&usage[*key])).filter_map(|point| point["time"].as_i64()).collect();
    times.sort_unstable();
    times.dedup();
    times
}

fn row(name: &str, usage: &Value, time: i64) -> Vec<Content> {
    let at = |series: &str| entries(&usage[series]).filter(|point| point["time"].as_i64() == Some(time)).collect::<Vec<_>>();
    let first = |series: &str, key: &str| at(series).first().map(|point| point[key].clone()).unwrap_or_default();
    let bytes = |value: Value| dash(value.as_u64().map(format_size).unwrap_or_default()).into();
    // absent is not zero: a sum of nothing is a dash
    let sum = |series: &str, key: &str| {
        let rates: Vec<f64> = at(series).iter().filter_map(|point| point[key].as_f64()).collect();
        dash(if rates.is_empty() { String::new() } else { format_rate(rates.iter().sum()) }).into()
    };
    let cpu = first("cpu_statistics", "cpu_usage").as_f64().map(|percent| format!("{percent:.1}%"));
    vec![
        name.into(),
        format_clock(time).into(),
        dash(cpu.unwrap_or_default()).into(),
        bytes(first("mem_statistics", "used_memory_size")),
        bytes(first("mem_statistics", "memory_size")),
        sum("disk_statistics", "read_bytes"),
        sum("disk_statistics", "write_bytes"),
        sum("network_statistics", "receive_bytes"),
        sum("network_statistics", "send_bytes"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Value {
        json!({
            "cpu_statistics": [{"time": 10, "cpu_usage": null}, {"time": 20, "cpu_usage": 12.34}],
            "mem_statistics": [{"time": 20, "used_memory_size": 1 << 20, "memory_size": 2 << 20}],
            "disk_statistics": [{"time": 20, "device": "vda", "read_bytes": 1024.0, "write_bytes": 0.0},
                                {"time": 20, "device": "vdb", "read_bytes": 1024.0, "write_bytes": 0.0}],
            "network_statistics": [],
        })
    }

    #[test]
    fn the_latest_sample_sums_disks_and_shows_absence_as_a_dash() {
        let cells = row("web", &sample(), 20);
        let expected = ["12.3%", "1 MiB", "2 MiB", "2 KiB/s", "0 B/s", "-", "-"].map(Content::from);
        assert_eq!(cells[2..], expected);
        assert_eq!(row("web", &sample(), 10)[2], "-".into());
    }

    #[test]
    fn a_series_has_a_row_per_time() {
        assert_eq!(times(&sample()), [10, 20]);
        assert!(table(&[("web".into(), json!({}))], true).is_empty());
    }
}
