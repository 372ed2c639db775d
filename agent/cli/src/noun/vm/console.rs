//! `hvctl vm console-log`: the last lines of a serial console, and what is added to them.

use crate::context::Context;
use crate::error::{Kind, Result};
use crate::output::plain_lines;
use crate::resolve::{self, VM};
use crate::view;
use clap::Args;
use std::io::IsTerminal;
use std::time::Duration;

/// Pause between two looks with `--follow`.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
/// Lines asked for with `--follow`: as many as a guest may print between two looks and still lose none.
const FOLLOW_LINES: u32 = 2000;

/// What of the console.
#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    /// Name or uuid
    #[arg(add = crate::complete::named())]
    name: String,
    /// How many lines from the end
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    lines: u32,
    /// Go on with what is added, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// On a terminal, let the guest's control sequences through; a hostile guest can misuse them
    #[arg(long)]
    raw: bool,
}

/// Shows where the screen is.
pub(crate) async fn place(context: &mut Context, wanted: &str) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &VM, wanted).await?;
    let answer = context.client.get("/v1/vm/console/inspect", &[("vm_uuid", target.uuid)]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let console = &answer.value["console"];
    context.out.fields(&[
        ("Type", view::text(console, "console_type").into()),
        ("URL", view::text(console, "url").into()),
        ("Valid until", view::time(console, "expire_time", context.out.language).into()),
    ])
}

/// Prints, and goes on if asked to.
pub(crate) async fn run(context: &mut Context, args: &ConsoleArgs) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &VM, &args.name).await?;
    let query = |lines: u32| [("vm_uuid", target.uuid.clone()), ("line_count", lines.to_string())];
    // following compares two looks, which must be cut alike
    let asked = if args.follow { args.lines.max(FOLLOW_LINES) } else { args.lines };
    let answer = context.client.get("/v1/vm/console/log", &query(asked)).await?;
    if context.out.is_json && !args.follow {
        return context.out.json(&answer.raw);
    }
    let is_filtered = !args.raw && std::io::stdout().is_terminal();
    let seen = answer.value["output"].as_str().unwrap_or_default().to_owned();
    print(context, last_lines(&seen, args.lines), is_filtered)?;
    if !args.follow {
        return if seen.is_empty() || seen.ends_with('\n') { Ok(()) } else { context.out.raw("\n") };
    }
    // Ctrl-C is how following ends, and no failure
    let (query, out) = (query(asked), context.out.clone());
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => out.raw("\n"),
        ended = follow(context, &query, seen, is_filtered) => ended,
    }
}

/// Prints what is added, until the node refuses to tell more.
async fn follow(context: &mut Context, query: &[(&str, String)], mut seen: String, is_filtered: bool) -> Result<()> {
    loop {
        tokio::time::sleep(FOLLOW_PAUSE).await;
        let answer = match context.client.get("/v1/vm/console/log", query).await {
            Ok(answer) => answer,
            // the node restarts: the guest goes on, and so do we
            Err(error) if error.kind() == Kind::Unreachable => continue,
            Err(error) => return Err(error),
        };
        let now = answer.value["output"].as_str().unwrap_or_default();
        print(context, added(&seen, now), is_filtered)?;
        now.clone_into(&mut seen);
    }
}

fn print(context: &Context, text: &str, is_filtered: bool) -> Result<()> {
    if is_filtered { context.out.raw(&plain_lines(text)) } else { context.out.raw(text) }
}

/// The last `count` lines.
fn last_lines(text: &str, count: u32) -> &str {
    let breaks = text.trim_end_matches('\n').rmatch_indices('\n');
    let start = breaks.map(|(position, _)| position + 1).nth(usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(1));
    text.get(start.unwrap_or(0)..).unwrap_or_default()
}

/// What `now` has behind the end of `seen`. Both are ends of one growing text; its front may have been cut off further since.
fn added<'a>(seen: &str, now: &'a str) -> &'a str {
    match now.strip_prefix(seen) {
        Some(rest) => rest,
        None => now.get(overlap(seen.as_bytes(), now.as_bytes())..).unwrap_or_default(),
    }
}

/// Length of the longest end of `seen` that is also the beginning of `now`.
fn overlap(seen: &[u8], now: &[u8]) -> usize {
    let tail = seen.get(seen.len().saturating_sub(now.len())..).unwrap_or_default();
    // how much of `now`'s beginning ends at each place of it: Knuth, Morris and Pratt
    let mut border = vec![0_usize; now.len()];
    let extend = |border: &[usize], mut length: usize, byte: u8| {
        while length > 0 && now.get(length) != Some(&byte) {
            length = border.get(length - 1).copied().unwrap_or(0);
        }
        if now.get(length) == Some(&byte) { length + 1 } else { 0 }
    };
    let mut length = 0;
    for (index, byte) in now.iter().enumerate().skip(1) {
        length = extend(&border, length, *byte);
        if let Some(place) = border.get_mut(index) {
            *place = length;
        }
    }
    tail.iter().fold(0, |length, byte| extend(&border, length, *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_printed() {
        assert_eq!(added("a\nb\n", "a\nb\nc\n"), "c\n");
        assert_eq!(added("a\nb\n", "b\nc\nd\n"), "c\nd\n");
        assert_eq!(added("", "a\n"), "a\n");
        assert_eq!(added("a\n", "a\n"), "");
        assert_eq!(added("login: ", "login: root\n"), "root\n");
    }

    #[test]
    fn the_first_look_shows_as_many_lines_as_asked_for() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last_lines("a\nb\nlogin: ", 1), "login: ");
        assert_eq!(last_lines("a\nb", 9), "a\nb");
        assert_eq!(last_lines("", 1), "");
    }

    #[test]
    fn a_console_that_began_anew_is_printed_whole() {
        assert_eq!(added("old\n", "SeaBIOS\n"), "SeaBIOS\n");
        assert_eq!(added("old\n", ""), "");
    }

    #[test]
    fn text_in_any_script_is_cut_between_characters() {
        assert_eq!(added("启动\n完", "动\n完成\n"), "成\n");
    }

    #[test]
    fn a_long_repetitive_console_takes_no_long_time() {
        let seen = "ab".repeat(500_000);
        let now = format!("{}c", "ab".repeat(400_000));
        assert_eq!(added(&seen, &now), "c");
    }
}
