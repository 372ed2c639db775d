//! `hvctl doctor`: can the node do its work? First through the API, then, on the node itself, by looking at the machine: that works while
//! hvnoded is down, too.

mod api;
mod config;
mod machine;
mod report;

use crate::client::Endpoint;
use crate::context::Context;
use crate::error::{CliError, Kind, Result};
use crate::output::{Content, plain};
use crate::text;
use clap::Args;
use config::NodeConfig;
use machine::Machine;
use report::{Check, Verdict, count};
use std::path::PathBuf;

/// How long the node may take for each look.
const PATIENCE_SECONDS: u32 = 20;

/// What to look at.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line is one check: ok, warn (it works, and should be looked at), fail (it does not work), or skip (it cannot be looked at from here).
What is on the machine itself is looked at only where the node is this machine. Ends with 1 if a check failed.")]
pub(crate) struct DoctorArgs {
    /// Configuration of hvnoded
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// Leave out what is well
    #[arg(long)]
    problems: bool,
}

/// Looks at everything and tells.
pub(crate) async fn run(context: &mut Context, args: &DoctorArgs) -> Result<()> {
    context.client.limit(Some(PATIENCE_SECONDS));
    let is_here = is_here(context.client.endpoint());
    let (config, mut checks) = if is_here { config::look(&args.config).await } else { (NodeConfig::default(), Vec::new()) };
    let node = api::look(&mut context.client, &mut checks).await;
    if is_here {
        let machine = Machine::this();
        checks.extend(machine::look(&machine, &config, &node));
        checks.extend(machine::look_at_listeners(&machine, &config, node.is_up).await);
    } else {
        checks.push(Check::skip(
            "machine",
            text!("the node is another machine: run hvctl doctor there for the rest"; "节点是另一台机器: 其余检查请在节点上执行 hvctl doctor"),
        ));
    }
    tell(context, &checks, args.problems)
}

/// Is the node on this machine?
fn is_here(endpoint: &Endpoint) -> bool {
    let host = match endpoint {
        Endpoint::Unix(_) => return true,
        other => other.host(),
    };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn tell(context: &Context, checks: &[Check], is_problems_only: bool) -> Result<()> {
    let out = &context.out;
    if out.is_json {
        out.json(&report::as_json(checks).to_string())?;
    } else {
        let shown = checks.iter().filter(|check| !is_problems_only || matches!(check.verdict, Verdict::Warn | Verdict::Fail));
        let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in shown {
            let word = out.toned(&Content::toned(format!("{:<4}", check.verdict.word()), check.verdict.tone()));
            out.raw(&format!("{word}  {:<width$}  {}\n", check.name, plain(&check.line(out.language))))?;
        }
        let (ok, warn, fail) = (count(checks, Verdict::Ok), count(checks, Verdict::Warn), count(checks, Verdict::Fail));
        out.say(&text!("{ok} ok, {warn} to look at, {fail} failed"; "{ok} 项正常, {warn} 项需关注, {fail} 项失败"))?;
    }
    if count(checks, Verdict::Fail) == 0 {
        return Ok(());
    }
    Err(CliError::new(Kind::Failed, text!("the node needs repair"; "节点需要修复")).already_told())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_and_a_socket_are_this_machine() {
        for url in ["unix:/run/x.sock", "http://127.0.0.1:7070", "http://[::1]:7070", "http://localhost"] {
            assert!(is_here(&Endpoint::parse(url).unwrap()), "{url}");
        }
        for url in ["http://10.0.0.1:7070", "http://node7:7070"] {
            assert!(!is_here(&Endpoint::parse(url).unwrap()), "{url}");
        }
    }
}
