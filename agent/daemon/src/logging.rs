//! Log lines: to journald with all their fields where the journal is at the other end of stderr, else as text to stderr.

use crate::config::{Log, LogFormat};
use crate::journal::Journal;
use nix::sys::stat::fstat;
use std::io::IsTerminal;
use std::str::FromStr;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

/// Overrides `log.level`.
const LEVEL_VARIABLE: &str = "RUST_LOG";

/// The means to change the level while running.
pub(crate) struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
    /// Where RUST_LOG rules, the configuration does not.
    is_fixed: bool,
}

impl LogControl {
    /// Another level from now on. False where RUST_LOG fixes it.
    pub(crate) fn set_level(&self, level: &str) -> bool {
        if self.is_fixed {
            return false;
        }
        parse_level(level).is_ok_and(|filter| self.filter.reload(filter).is_ok())
    }
}

/// Checks `log.level`: one level, or comma-separated directives.
pub(crate) fn parse_level(level: &str) -> Result<EnvFilter, String> {
    let mut filter = EnvFilter::new("off");
    for part in level.split(',').map(str::trim) {
        let wrong = || format!("{part:?} is neither error, warn, info, debug, trace, off nor a directive like hvnode_core=debug");
        let is_level = matches!(part, "error" | "warn" | "info" | "debug" | "trace" | "off");
        if !is_level && !part.contains('=') {
            return Err(wrong());
        }
        filter = filter.add_directive(Directive::from_str(part).map_err(|_| wrong())?);
    }
    Ok(filter)
}

/// Starts logging for the whole process.
pub(crate) fn start(config: &Log) -> Result<LogControl, String> {
    let from_variable = std::env::var(LEVEL_VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = match &from_variable {
        Some(text) => parse_level(text).map_err(|problem| format!("variable {LEVEL_VARIABLE}: {problem}"))?,
        None => parse_level(&config.level).map_err(|problem| format!("log.level: {problem}"))?,
    };
    let (filter, handle) = reload::Layer::new(filter);
    let use_journal = match config.format {
        LogFormat::Auto => stderr_is_journal(),
        LogFormat::Journald => true,
        LogFormat::Text => false,
    };
    let output: Box<dyn Layer<_> + Send + Sync> = if use_journal {
        Box::new(Journal::connect().map_err(|error| format!("log.format: the journal cannot be reached: {error}"))?)
    } else {
        Box::new(
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_target(false),
        )
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(output);
    subscriber.try_init().map_err(|error| format!("logging cannot be started: {error}"))?;
    log_panics();
    Ok(LogControl { filter: handle, is_fixed: from_variable.is_some() })
}

/// systemd says in JOURNAL_STREAM which file is the journal; stderr may have been redirected since.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(std::io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Panics become log lines with the fields of the request they happened in.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let trace = std::backtrace::Backtrace::capture();
        tracing::error!(place, backtrace = %trace, "panic: {}", text.unwrap_or("no text"));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_accepted_and_anything_else_is_named() {
        for level in ["info", "debug", "off", "info,hvnode_core=debug", "warn, hvnode_api::listener=trace"] {
            assert!(parse_level(level).is_ok(), "{level}");
        }
        for level in ["", "loud", "info,", "info,hvnode_core=loud", "INFO "] {
            assert!(parse_level(level).unwrap_err().contains("is neither"), "{level}");
        }
    }
}
