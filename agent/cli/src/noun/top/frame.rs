//! How one look is written: lines about the host, then a table of VMs.

use super::load::{Load, VmLoad};
use crate::output::{Content, Output, Table, Tone, column};
use crate::text::Language;
use crate::units::{format_clock, format_rate, format_size, now_seconds};
use crate::view::{self, dash, entries};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Lines of a screen that are no VMs: two about the host, a blank one, the heading, the note at the end.
pub(super) const LINES_BESIDE: usize = 5;

/// For a file or a pipe.
pub(super) fn plain(load: &Load, out: &Output, rows_max: usize) -> String {
    let mut text = head(load, out.language);
    text.push('\n');
    text.push_str(&table(&load.vms, rows_max).render(out.width(), out.has_colour()));
    text
}

/// For a screen of `width` columns: no line is longer, and `note` stands at the end.
pub(super) fn live(load: &Load, out: &Output, width: u16, rows_max: usize, note: &str, is_trouble: bool) -> String {
    let mut text: String = head(load, out.language).lines().map(|line| cut(line, width) + "\n").collect();
    text.push('\n');
    text.push_str(&table(&load.vms, rows_max).render(Some(width), out.has_colour()));
    let hidden = load.vms.len().saturating_sub(rows_max);
    let more = match (hidden, out.language) {
        (0, _) => String::new(),
        (_, Language::En) => format!("{hidden} more; "),
        (_, Language::Cn) => format!("另有 {hidden} 台; "),
    };
    let note = cut(&format!("{more}{}", crate::output::plain(note)), width);
    let colour = match (out.has_colour(), is_trouble) {
        (true, true) => "\x1b[31m",
        (true, false) => "\x1b[2m",
        (false, _) => "",
    };
    let end = if colour.is_empty() { "" } else { "\x1b[0m" };
    let _ = write!(text, "{colour}{note}{end}");
    text
}

/// The beginning of a line that fits. Wide characters count for two.
fn cut(line: &str, width: u16) -> String {
    let mut left = usize::from(width);
    let fits = |c: &char| {
        let needed = if c.is_ascii() { 1 } else { 2 };
        let is_room = left >= needed;
        left = left.saturating_sub(needed);
        is_room
    };
    line.chars().take_while(fits).collect()
}

/// Two lines about the host.
fn head(load: &Load, language: Language) -> String {
    let host = &load.host;
    let cpu = newest(&host["cpu_statistics"]);
    let memory = newest(&host["mem_statistics"]);
    let percent = |key: &str| dash(cpu[key].as_f64().map(|value| format!("{value:.1}%")).unwrap_or_default());
    let bytes = |key: &str| dash(memory[key].as_u64().map(format_size).unwrap_or_default());
    let rate = |series: &str, key: &str| {
        let sum = entries(&host[series]).filter_map(|point| point[key].as_f64()).reduce(|a, b| a + b);
        dash(sum.map(format_rate).unwrap_or_default())
    };
    let averages: Vec<String> = entries(&host["load_average"]).filter_map(Value::as_f64).map(|load| format!("{load:.2}")).collect();
    let averages = dash(averages.join(" "));
    let running = load.vms.iter().filter(|vm| vm.status == "running").count();
    let (name, clock) = (crate::output::plain(&dash(view::text(host, "host_name"))), format_clock(now_seconds()));
    let total = load.vms.len();
    let (vms, load_word, memory_word) = match language {
        Language::En => (format!("{total} VMs, {running} running"), "load", "memory"),
        Language::Cn => (format!("{total} 台虚拟机, {running} 台运行中"), "负载", "内存"),
    };
    let (usage, user, system) = (percent("cpu_usage"), percent("user_usage"), percent("system_usage"));
    let (iowait, steal) = (percent("iowait_usage"), percent("steal_usage"));
    let (used, size) = (bytes("used_memory_size"), bytes("memory_size"));
    let (read, write) = (rate("disk_statistics", "read_bytes"), rate("disk_statistics", "write_bytes"));
    format!(
        "{name}  {clock}  {vms}  {load_word} {averages}  {memory_word} {used} / {size}\n\
         cpu {usage} (user {user}, system {system}, iowait {iowait}, steal {steal})  disk read {read}, write {write}\n"
    )
}

/// The last point of a series.
fn newest(series: &Value) -> Value {
    entries(series).last().cloned().unwrap_or_else(|| json!({}))
}

fn table(vms: &[VmLoad], rows_max: usize) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("STATUS"),
        column("CPUS").number().spare(6),
        column("CPU").number(),
        column("DELAY").number().spare(4),
        column("MEMORY").number(),
        column("OF").number().spare(5),
        column("DISK READ").number().spare(3),
        column("DISK WRITE").number().spare(3),
        column("NET IN").number().spare(2),
        column("NET OUT").number().spare(2),
        column("FRESHNESS").spare(1),
    ]);
    for vm in vms.iter().take(rows_max) {
        table.row(row(vm));
    }
    table
}

fn row(vm: &VmLoad) -> Vec<Content> {
    let percent = |value: Option<f64>| dash(value.map(|value| format!("{value:.1}%")).unwrap_or_default());
    let bytes = |value: Option<u64>| Content::from(dash(value.map(format_size).unwrap_or_default()));
    let rate = |value: Option<f64>| Content::from(dash(value.map(format_rate).unwrap_or_default()));
    // a guest that often waits for the host is slowed down by its neighbours
    let is_held_up = vm.cpu_delay.is_some_and(|delay| delay >= 10.0);
    vec![
        dash(vm.vm_name.clone()).into(),
        view::status(&json!({ "status": vm.status })),
        dash(vm.cpu_cores.map(|cores| cores.to_string()).unwrap_or_default()).into(),
        percent(vm.cpu_usage).into(),
        Content::toned(percent(vm.cpu_delay), if is_held_up { Tone::Busy } else { Tone::Plain }),
        bytes(vm.used_memory_size),
        bytes(vm.memory_size),
        rate(vm.read_bytes),
        rate(vm.write_bytes),
        rate(vm.receive_bytes),
        rate(vm.send_bytes),
        view::freshness(&json!({ "freshness": vm.freshness })),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Load {
        let web = VmLoad {
            vm_name: "web".into(),
            status: "running".into(),
            freshness: "fresh".into(),
            cpu_cores: Some(2),
            cpu_usage: Some(12.34),
            used_memory_size: Some(1 << 30),
            memory_size: Some(2 << 30),
            read_bytes: Some(2048.0),
            ..VmLoad::default()
        };
        let host = json!({"host_name": "node-1", "load_average": [0.5, 1.0, 1.25],
            "cpu_statistics": [{"time": 1, "cpu_usage": 40.0, "user_usage": 30.0, "system_usage": 10.0, "iowait_usage": 2.0, "steal_usage": null}],
            "mem_statistics": [{"time": 1, "memory_size": 8_u64 << 30, "used_memory_size": 2_u64 << 30}]});
        Load { host, vms: vec![web, VmLoad { vm_name: "off".into(), status: "stopped".into(), ..VmLoad::default() }] }
    }

    #[test]
    fn the_host_has_its_modes_load_and_memory() {
        let head = head(&load(), Language::En);
        assert!(head.starts_with("node-1  "), "{head}");
        assert!(head.contains("2 VMs, 1 running  load 0.50 1.00 1.25  memory 2 GiB / 8 GiB\n"), "{head}");
        assert!(head.contains("cpu 40.0% (user 30.0%, system 10.0%, iowait 2.0%, steal -)  disk read -, write -\n"), "{head}");
        assert!(super::head(&Load::default(), Language::Cn).contains("0 台虚拟机"));
    }

    #[test]
    fn vms_have_a_row_each_with_dashes_for_what_is_not_known() {
        let expected = "\
NAME  STATUS   CPUS    CPU  DELAY  MEMORY     OF  DISK READ  DISK WRITE  NET IN  NET OUT  FRESHNESS
web   running     2  12.3%      -   1 GiB  2 GiB    2 KiB/s           -       -        -  fresh
off   stopped     -      -      -       -      -          -           -       -        -  -
";
        assert_eq!(table(&load().vms, 9).render(None, false), expected);
        assert_eq!(table(&load().vms, 1).render(None, false).lines().count(), 2);
    }

    #[test]
    fn no_line_of_a_screen_is_longer_than_the_screen() {
        let out = Output::new(false, Language::En, true);
        for width in [200, 80, 40] {
            let text = live(&load(), &out, width, 1, "q quits", false);
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}: {text}");
            assert!(text.lines().count() <= 1 + LINES_BESIDE && text.contains("web") && !text.contains("off"), "{text}");
            assert!(text.ends_with("1 more; q quits"), "{text}");
        }
        assert_eq!(cut("数据库", 5), "数据");
    }
}
