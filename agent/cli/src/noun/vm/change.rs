//! `hvctl vm update` and `hvctl vm resize`.

use super::dry_run::{self, DryRunArgs};
use crate::args::{WaitArgs, parse_pair};
use crate::client::Body;
use crate::context::{Change, Context};
use crate::error::{CliError, Result};
use crate::resolve::{self, SPECIFICATION, VM};
use crate::text;
use crate::units::parse_size;
use clap::Args;
use serde_json::json;

/// What to change about a VM; what is not said stays.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").multiple(true).required(true)
    .args(["new_name", "description", "auto_start", "lock", "unlock", "restart_on_crash", "metadata", "no_metadata"]))]
pub(crate) struct UpdateArgs {
    /// Name or uuid
    #[arg(add = crate::complete::named())]
    name: String,
    /// New name
    #[arg(long, value_name = "NAME")]
    new_name: Option<String>,
    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Start it whenever the host starts
    #[arg(long, value_name = "yes|no", value_parser = clap::builder::BoolishValueParser::new())]
    auto_start: Option<bool>,
    /// Refuse to stop or delete it
    #[arg(long)]
    lock: bool,
    /// Allow to stop and delete it
    #[arg(long, conflicts_with = "lock")]
    unlock: bool,
    /// Start it again, after a growing pause, when its QEMU died
    #[arg(long, value_name = "yes|no", value_parser = clap::builder::BoolishValueParser::new())]
    restart_on_crash: Option<bool>,
    /// A pair to keep with it; may be repeated. Together they replace all earlier pairs
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    metadata: Vec<(String, String)>,
    /// Remove all pairs
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// The new shape of a VM.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("shape").multiple(true).required(true).args(["specification", "cpus", "memory"]))]
pub(crate) struct ResizeArgs {
    /// Name or uuid
    #[arg(add = crate::complete::named())]
    name: String,
    /// As a specification says
    #[arg(long, alias = "spec", value_name = "SPECIFICATION", add = crate::complete::specifications(), conflicts_with_all = ["cpus", "memory"])]
    specification: Option<String>,
    /// Virtual processors
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    cpus: Option<u32>,
    /// Memory, such as 512M or 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Restart it if it runs: ask its guest to shut down, and pull the plug if it takes too long
    #[arg(long)]
    restart: bool,
    /// Remember what it was, until: hvctl vm resize-confirm, or resize-revert
    #[arg(long)]
    keep_previous: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Changes what is said about a VM.
pub(crate) async fn update(context: &mut Context, args: UpdateArgs) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &VM, &args.name).await?;
    let mut body = target.body(&VM);
    body.extend(update_fields(&args));
    let name = &target.name;
    let change = Change {
        path: "/v1/vm/update",
        body,
        name: name.clone(),
        doing: text!("{name}: updating"; "{name}: 正在更新"),
        done: text!("{name}: updated"; "{name}: 已更新"),
    };
    context.change(change, &args.wait).await
}

fn update_fields(args: &UpdateArgs) -> Body {
    let mut body = Body::new();
    body.extend(args.new_name.as_ref().map(|name| ("new_name".to_owned(), json!(name))));
    body.extend(args.description.as_ref().map(|text| ("description".to_owned(), json!(text))));
    body.extend(args.auto_start.map(|is_on| ("auto_start".to_owned(), json!(is_on))));
    body.extend(args.restart_on_crash.map(|is_on| ("restart_on_crash".to_owned(), json!(is_on))));
    body.extend((args.lock || args.unlock).then(|| ("locked".to_owned(), json!(args.lock))));
    if args.no_metadata || !args.metadata.is_empty() {
        let pairs: Body = args.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        body.insert("metadata".into(), json!(pairs));
    }
    body
}

/// Changes cpu and memory.
pub(crate) async fn resize(context: &mut Context, args: ResizeArgs) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &VM, &args.name).await?;
    if target.entry["status"].as_str() == Some("running") && !args.restart && !args.dry_run.dry_run {
        let name = &target.name;
        return Err(CliError::usage(text!("{name} runs; resizing it needs a restart"; "{name} 正在运行, 调整规格须重启"))
            .hint(text!("let it be restarted: --restart, or stop it first: hvctl vm stop {name}"; "请加 --restart 允许重启, 或先停止: hvctl vm stop {name}")));
    }
    let mut body = target.body(&VM);
    if let Some(wanted) = &args.specification {
        let specification = resolve::resolve(&mut context.client, &SPECIFICATION, wanted).await?;
        body.insert("specification_uuid".into(), specification.uuid.into());
    }
    body.extend(args.cpus.map(|count| ("cpu_cores".to_owned(), json!(count))));
    body.extend(args.memory.map(|bytes| ("memory_size".to_owned(), json!(bytes))));
    body.extend(args.restart.then(|| ("restart".to_owned(), json!(true))));
    body.extend(args.keep_previous.then(|| ("keep_previous".to_owned(), json!(true))));
    let name = &target.name;
    if args.dry_run.dry_run {
        return dry_run::run(context, "/v1/vm/resize", body, name, &args.dry_run).await;
    }
    let change = Change {
        path: "/v1/vm/resize",
        body,
        name: name.clone(),
        doing: text!("{name}: resizing"; "{name}: 正在调整规格"),
        done: text!("{name}: resized"; "{name}: 已调整规格"),
    };
    context.change(change, &args.wait).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::noun::vm::VmCommand;
    use clap::Parser;
    use serde_json::Value;

    fn fields(text: &[&str]) -> Option<Value> {
        let cli = Cli::try_parse_from(["hvctl", "vm", "update", "web"].iter().chain(text)).ok()?;
        match cli.command {
            Command::Vm(VmCommand::Update(args)) => Some(Value::Object(update_fields(&args))),
            _ => None,
        }
    }

    #[test]
    fn only_what_is_said_is_changed() {
        assert_eq!(fields(&["--unlock"]), Some(json!({"locked": false})));
        assert_eq!(fields(&["--auto-start", "no", "--new-name", "x"]), Some(json!({"auto_start": false, "new_name": "x"})));
        assert_eq!(fields(&["--metadata", "a=1", "--metadata", "b="]), Some(json!({"metadata": {"a": "1", "b": ""}})));
        assert_eq!(fields(&["--no-metadata"]), Some(json!({"metadata": {}})));
    }

    #[test]
    fn an_update_of_nothing_is_a_usage_error() {
        assert_eq!(fields(&[]), None);
        assert_eq!(fields(&["--lock", "--unlock"]), None);
    }
}
