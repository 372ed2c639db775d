//! `hvctl top`: what the node and its VMs do, again and again.

mod frame;
mod load;
mod screen;

use crate::context::Context;
use crate::error::{CliError, Kind, Result};
use crate::output::Output;
use crate::text;
use crate::text::Text;
use crate::units::{now_seconds, parse_duration};
use clap::{Args, ValueEnum};
use load::Load;
use screen::{Input, Screen};
use serde_json::json;
use std::io::{self, IsTerminal};
use std::time::Duration;
use tokio::time::Instant;

/// How to look.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// What comes first: the most of it, or A of names
    #[arg(long, value_enum, default_value_t = Order::Cpu)]
    sort: Order,
    /// Time between two looks
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_interval)]
    interval: u64,
    /// Look so many times, then end
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Show at most so many VMs
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    rows: Option<u32>,
}

/// What VMs are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    Cpu,
    Memory,
    Disk,
    Network,
    Name,
}

/// Reads a pause of 1 s to 1 day.
fn parse_interval(input: &str) -> std::result::Result<u64, String> {
    match parse_duration(input)? {
        seconds @ 1..=86400 => Ok(seconds),
        _ => Err(format!("'{input}': the time between two looks must be 1s to 1d")),
    }
}

impl TopArgs {
    fn rows_max(&self) -> usize {
        self.rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(usize::MAX)
    }

    /// True after the last look.
    fn is_done(&self, looks: u32) -> bool {
        self.count.is_some_and(|count| looks >= count)
    }
}

/// Runs it until it has looked as often as asked for, or is told to end.
pub(crate) async fn run(context: &mut Context, args: &TopArgs) -> Result<()> {
    if !context.out.is_json && io::stdout().is_terminal() {
        return watch(context, args).await;
    }
    tokio::select! {
        outcome = print(context, args) => outcome,
        // looking is all there was to do: to stop it is no failure
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// One table or one JSON document after another.
async fn print(context: &mut Context, args: &TopArgs) -> Result<()> {
    let mut looks = 0;
    loop {
        let next = Instant::now() + Duration::from_secs(args.interval);
        let mut load = Load::read(&mut context.client).await?;
        load.sort(args.sort);
        if context.out.is_json {
            context.out.raw(&format!("{}\n", document(&load, args.rows_max())))?;
        } else {
            let gap = if looks == 0 { "" } else { "\n" };
            context.out.raw(&format!("{gap}{}", frame::plain(&load, &context.out, args.rows_max())))?;
        }
        looks += 1;
        if args.is_done(looks) {
            return Ok(());
        }
        tokio::time::sleep_until(next).await;
    }
}

/// One look as one line of JSON.
fn document(load: &Load, rows_max: usize) -> serde_json::Value {
    let list: Vec<_> = load.vms.iter().take(rows_max).collect();
    json!({ "time": now_seconds(), "total_count": load.vms.len(), "host": load.host, "list": list })
}

/// Redraws the same screen until `q`, Ctrl-C or the last look.
async fn watch(context: &mut Context, args: &TopArgs) -> Result<()> {
    let mut screen = Screen::open()?;
    let mut view = View { order: args.sort, rows_max: args.rows_max(), load: None, trouble: None };
    let mut looks = 0;
    loop {
        let next = Instant::now() + Duration::from_secs(args.interval);
        let looked = tokio::select! {
            looked = Load::read(&mut context.client) => looked,
            () = screen.quit() => return Ok(()),
        };
        view.take(looked)?;
        view.draw(&mut screen, &context.out)?;
        looks += 1;
        if args.is_done(looks) {
            drop(screen);
            return view.leave(&context.out);
        }
        loop {
            let input = tokio::select! {
                input = screen.input() => input,
                () = tokio::time::sleep_until(next) => break,
            };
            match input {
                Input::Quit => return Ok(()),
                Input::Sort(order) => view.order = order,
                Input::Redraw => {}
            }
            view.draw(&mut screen, &context.out)?;
        }
    }
}

/// What the screen shows.
struct View {
    order: Order,
    rows_max: usize,
    load: Option<Load>,
    /// Why the figures are not new.
    trouble: Option<Text>,
}

impl View {
    /// A node that was seen before may go away for a while: the last figures stay, with a word about it.
    fn take(&mut self, looked: Result<Load>) -> Result<()> {
        match looked {
            Ok(load) => (self.load, self.trouble) = (Some(load), None),
            Err(error) if self.load.is_some() && is_passing(&error) => self.trouble = Some(error.text().clone()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn draw(&mut self, screen: &mut Screen, out: &Output) -> Result<()> {
        let Some(load) = &mut self.load else { return Ok(()) };
        load.sort(self.order);
        let (width, height) = screen.size();
        let help =
            text!("q quits; sort: c cpu, m memory, d disk, n network, a name"; "q 退出; 排序: c CPU, m 内存, d 磁盘, n 网络, a 名称");
        let (note, is_trouble) = self.trouble.as_ref().map_or((&help, false), |trouble| (trouble, true));
        let rows_max = self.rows_max.min(usize::from(height).saturating_sub(frame::LINES_BESIDE));
        let text = frame::live(load, out, width, rows_max, note.pick(out.language), is_trouble);
        screen.draw(&text)?;
        Ok(())
    }

    /// Leaves the last look where the screen was.
    fn leave(&self, out: &Output) -> Result<()> {
        self.load.as_ref().map_or(Ok(()), |load| out.raw(&frame::plain(load, out, self.rows_max)))
    }
}

/// May it be over at the next look?
fn is_passing(error: &CliError) -> bool {
    matches!(error.kind(), Kind::Unreachable | Kind::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_looks_is_bounded() {
        assert_eq!(parse_interval("1s"), Ok(1));
        assert_eq!(parse_interval("2m"), Ok(120));
        assert!(parse_interval("0").is_err() && parse_interval("2d").is_err() && parse_interval("soon").is_err());
    }

    #[test]
    fn a_node_that_goes_away_keeps_its_last_figures_on_the_screen() {
        let lost = || CliError::new(Kind::Unreachable, text!("gone"; "失联"));
        let mut view = View { order: Order::Cpu, rows_max: 5, load: None, trouble: None };
        assert!(view.take(Err(lost())).is_err(), "what was never there is no interruption");
        view.take(Ok(Load::default())).unwrap();
        view.take(Err(lost())).unwrap();
        assert!(view.load.is_some() && view.trouble.as_ref().is_some_and(|trouble| trouble.en == "gone"));
        assert!(view.take(Err(CliError::new(Kind::Denied, text!("no"; "否")))).is_err());
        view.take(Ok(Load::default())).unwrap();
        assert_eq!(view.trouble, None);
    }
}
