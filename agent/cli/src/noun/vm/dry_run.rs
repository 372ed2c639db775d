//! `--dry-run`: what the node would say to a change, without making it.

use crate::client::Body;
use crate::context::Context;
use crate::error::{CliError, Kind, Result};
use crate::output::Output;
use crate::text;
use crate::text::Language;
use crate::view::{self, entries};
use clap::Args;
use serde_json::{Value, json};

/// Try, do not do.
#[derive(Debug, Default, Args)]
pub(crate) struct DryRunArgs {
    /// Change nothing: say whether the node would do it, and everything that speaks against it
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run, print the libvirt definition it would make
    #[arg(long, requires = "dry_run")]
    xml: bool,
}

/// Asks and shows the verdict; a change that is not possible is a failure.
pub(crate) async fn run(context: &mut Context, path: &str, mut body: Body, name: &str, args: &DryRunArgs) -> Result<()> {
    body.insert("dry_run".into(), json!(true));
    let answer = context.client.post_repeatable(path, &Value::Object(body)).await.map_err(|error| error.about(name))?;
    let verdict = &answer.value;
    if context.out.is_json {
        context.out.json(&answer.raw)?;
    } else {
        show(&context.out, name, verdict, args.xml)?;
    }
    let is_possible = verdict["is_possible"] == true;
    let refusal = || CliError::new(Kind::Failed, text!("{name}: the node would refuse it"; "{name}: 节点会拒绝该操作"));
    if is_possible { Ok(()) } else { Err(refusal().already_told()) }
}

fn show(out: &Output, name: &str, verdict: &Value, wants_xml: bool) -> Result<()> {
    let problems: Vec<&Value> = entries(&verdict["problems"]).collect();
    let xml = view::text(verdict, "domain_xml");
    if problems.is_empty() && wants_xml && !xml.is_empty() {
        return out.raw(&format!("{}\n", xml.trim_end()));
    }
    if problems.is_empty() {
        return out.say(&text!("{name}: possible; nothing was changed"; "{name}: 可以执行; 未做任何更改"));
    }
    out.say(&text!("{name}: not possible; nothing was changed"; "{name}: 无法执行; 未做任何更改"))?;
    for problem in problems {
        let key = if out.language == Language::Cn { "message_cn" } else { "message" };
        let (message, code) = (view::text(problem, key), view::text(problem, "status_code"));
        out.say(&text!("  {message} [{code}]"; "  {message} [{code}]"))?;
    }
    Ok(())
}
