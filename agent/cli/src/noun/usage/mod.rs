//! What VMs and the host use: the newest sample of each, or curves over a span of time. Shared by `vm stats` and `host stats`.

mod curves;
mod samples;

use crate::context::Context;
use crate::error::{CliError, Result};
use crate::resolve::{self, VM};
use crate::text;
use crate::units::{now_seconds, parse_duration};
use crate::view;
use clap::{Args, ValueEnum};
use serde_json::Value;

/// Curves of many VMs have about so many points each, unless a period is given.
const POINTS_OF_MANY: u64 = 60;
/// Averages over less are not kept for long.
const PERIOD_SECONDS_MIN: u64 = 60;

/// Which span of time.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Show curves from so long ago, such as 10m or 2h, until now, instead of only the newest sample
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<u64>,
    /// With --since: end the curves so long ago
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "since")]
    until: Option<u64>,
    /// With --since: one average per so much time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "since")]
    period: Option<u64>,
    /// With --since: a table with a row for each point instead of curves
    #[arg(long, requires = "since")]
    table: bool,
}

/// Which of the busiest.
#[derive(Debug, Args)]
pub(crate) struct BusiestArgs {
    /// Averages from so long ago until now
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1h")]
    since: u64,
    /// Busy with what
    #[arg(long, value_enum, default_value_t = BusyWith::Cpu)]
    by: BusyWith,
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BusyWith {
    Cpu,
    Memory,
}

/// `hvctl vm busiest`.
pub(crate) async fn busiest(context: &mut Context, args: &BusiestArgs) -> Result<()> {
    let start = now_seconds().saturating_sub(i64::try_from(args.since).unwrap_or(i64::MAX)).max(0);
    let by = if args.by == BusyWith::Cpu { "cpu" } else { "memory" };
    let query = [("start_time", start.to_string()), ("sort_by", by.to_owned()), ("top_count", args.limit.to_string())];
    let answer = context.client.get("/v1/statistics/vm/list", &query).await?;
    let nothing = text!("no samples; only running VMs have them"; "没有数据, 仅运行中的虚拟机有统计数据");
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let vms: Vec<Subject> = view::entries(&answer.value["list"]).map(|vm| (label(vm), vm.clone())).collect();
    context.out.table(&samples::table(&vms, false), &nothing)
}

/// One VM or the host, by name, and its statistics.
type Subject = (String, Value);

impl UsageArgs {
    /// First and last second asked for; none where only the newest sample is wanted.
    fn span(&self) -> Result<Option<(i64, i64)>> {
        let Some(since) = self.since else { return Ok(None) };
        let until = self.until.unwrap_or(0);
        if until >= since {
            return Err(CliError::usage(text!("--until must be less long ago than --since"; "--until 必须晚于 --since")));
        }
        let ago = |seconds: u64| now_seconds().saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX)).max(0);
        Ok(Some((ago(since), ago(until))))
    }

    fn query(&self, span: Option<(i64, i64)>) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if let Some((start, end)) = span {
            query.extend([("start_time", start.to_string()), ("end_time", end.to_string())]);
        }
        query.extend(self.period.map(|period| ("period", period.to_string())));
        query
    }
}

/// `hvctl vm stats`.
pub(crate) async fn of_vms(context: &mut Context, names: &[String], args: &UsageArgs) -> Result<()> {
    let span = args.span()?;
    let mut query = args.query(span);
    let answer = if names.is_empty() {
        query.extend([("page_size", "0".into()), ("with_traffic", "true".into())]);
        if let (Some((start, end)), None) = (span, args.period) {
            let period = (end.abs_diff(start) / POINTS_OF_MANY).max(PERIOD_SECONDS_MIN);
            query.push(("period", period.to_string()));
        }
        context.client.get("/v1/host/vm/statistics", &query).await?
    } else {
        let targets = resolve::resolve_each(&mut context.client, &VM, names).await?;
        let uuids: Vec<String> = targets.into_iter().map(|target| target.map(|target| target.uuid)).collect::<Result<_>>()?;
        if span.is_none() {
            query.push(("latest", "true".into()));
        }
        query.push(("vm_uuid", uuids.join(",")));
        context.client.get("/v1/vm/statistics", &query).await?
    };
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    // several VMs come as a list, one VM as itself
    let vms: Vec<Subject> = match answer.value {
        Value::Object(mut members) if members.contains_key("list") => match members.remove("list") {
            Some(Value::Array(list)) => list.into_iter().map(|vm| (label(&vm), vm)).collect(),
            _ => Vec::new(),
        },
        vm => vec![(label(&vm), vm)],
    };
    let nothing = text!("no samples; only running VMs have them"; "没有数据, 仅运行中的虚拟机有统计数据");
    show(context, &vms, args, span, &nothing)
}

/// `hvctl host stats`.
pub(crate) async fn of_host(context: &mut Context, args: &UsageArgs) -> Result<()> {
    let span = args.span()?;
    let mut query = args.query(span);
    if span.is_none() {
        query.push(("latest", "true".into()));
    }
    let answer = context.client.get("/v1/host/statistics", &query).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let name = match view::text(&answer.value, "host_name") {
        name if name.is_empty() => "host".to_owned(),
        name => name,
    };
    show(context, &[(name, answer.value)], args, span, &text!("no samples yet"; "暂无数据"))
}

fn show(context: &Context, list: &[Subject], args: &UsageArgs, span: Option<(i64, i64)>, nothing: &text::Text) -> Result<()> {
    match span {
        Some(span) if !args.table => curves::show(&context.out, list, span, nothing),
        _ => context.out.table(&samples::table(list, span.is_some()), nothing),
    }
}

fn label(vm: &Value) -> String {
    match view::text(vm, "vm_name") {
        name if name.is_empty() => view::text(vm, "vm_uuid"),
        name => name,
    }
}

/// Every time of a series with the sum over its devices, ascending. Absent is not zero: a time without a figure is left out.
fn figures(usage: &Value, series: &str, key: &str) -> Vec<(i64, f64)> {
    let mut sums: Vec<(i64, f64)> = Vec::new();
    for point in view::entries(&usage[series]) {
        let (Some(time), Some(value)) = (point["time"].as_i64(), point[key].as_f64()) else { continue };
        match sums.last_mut() {
            Some((last, sum)) if *last == time => *sum += value,
            _ => sums.push((time, value)),
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_of_several_devices_are_added_up_and_unknown_ones_left_out() {
        let usage = json!({"disk_statistics": [
            {"time": 10, "device": "vda", "read_bytes": 1.0}, {"time": 10, "device": "vdb", "read_bytes": 2.0},
            {"time": 20, "device": "vda", "read_bytes": null}, {"time": 30, "device": "vda", "read_bytes": 4}]});
        assert_eq!(figures(&usage, "disk_statistics", "read_bytes"), [(10, 3.0), (30, 4.0)]);
        assert_eq!(figures(&usage, "network_statistics", "read_bytes"), []);
    }

    #[test]
    fn a_span_must_not_end_before_it_begins() {
        let args = |since, until| UsageArgs { since, until, period: None, table: false };
        assert_eq!(args(None, None).span().unwrap(), None);
        let (start, end) = args(Some(3600), Some(600)).span().unwrap().unwrap();
        assert!((2999..=3001).contains(&(end - start)), "{start} {end}");
        assert_eq!(args(Some(600), Some(600)).span().unwrap_err().kind().exit_code(), 2);
    }
}
