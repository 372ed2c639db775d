//! `hvctl vm …`.

mod change;
mod console;
mod create;
mod dry_run;
mod show;

use super::usage::{self, UsageArgs};
use crate::args::{DeleteArgs, ListArgs, ManyArgs, WaitArgs};
use crate::context::{Change, Context};
use crate::error::Result;
use crate::resolve::{self, Target, VM};
use crate::terminal::confirm;
use crate::text;
use crate::text::Text;
use clap::{Args, Subcommand};
use serde_json::json;

/// What can be done with virtual machines.
#[derive(Debug, Subcommand)]
pub(crate) enum VmCommand {
    /// Create a VM, and start it unless told otherwise
    Create(Box<create::CreateArgs>),
    /// List VMs
    List(ListArgs),
    /// Show everything about a VM
    #[command(alias = "inspect")]
    Show {
        /// Name or uuid
        #[arg(add = crate::complete::named())]
        name: String,
    },
    /// Switch VMs on
    Start(ManyArgs),
    /// Switch VMs off: ask the guest, and pull the plug if it takes too long
    Stop(StopArgs),
    /// Restart VMs through their guest
    Reboot(RebootArgs),
    /// Press the reset button of VMs: the guest is not asked
    Reset(ManyArgs),
    /// Hold the processors of VMs
    Pause(ManyArgs),
    /// Let paused VMs go on
    Resume(ManyArgs),
    /// Delete VMs and their root disks, or put them into the trash
    Delete(DeleteVmArgs),
    /// Take VMs out of the trash
    Recover(ManyArgs),
    /// Remove VMs that are in the trash, disks included
    Expunge(DeleteArgs),
    /// Take over a VM that somebody else made, as it is
    Adopt {
        /// Name or uuid
        #[arg(add = crate::complete::named())]
        name: String,
        /// Name it gets [default: its own]
        #[arg(long, value_name = "NAME")]
        new_name: Option<String>,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Give up VMs: they run on with their disks, and the node leaves them alone
    Release(DeleteArgs),
    /// Change name, description, flags or metadata of a VM
    Update(change::UpdateArgs),
    /// Change cpu and memory of a VM
    Resize(change::ResizeArgs),
    /// Keep what VMs were resized to; there is no way back then
    ResizeConfirm(ManyArgs),
    /// Go back to what VMs were before they were resized; those that run are restarted
    ResizeRevert(ManyArgs),
    /// Print the last lines of a VM's serial console
    ConsoleLog(console::ConsoleArgs),
    /// Show where the screen of a running VM is
    Console {
        /// Name or uuid
        #[arg(add = crate::complete::named())]
        name: String,
    },
    /// List the VMs that were busiest, by their averages
    Busiest(usage::BusiestArgs),
    /// Show cpu, memory, disk and network use; of every running VM if none is named
    Stats {
        /// Names or uuids
        #[arg(add = crate::complete::named())]
        names: Vec<String>,
        #[command(flatten)]
        usage: UsageArgs,
    },
}

/// How to stop. Its `--timeout` is the guest's.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    many: ManyArgs,
    /// Pull the plug at once; the guest loses what it has not written
    #[arg(long)]
    force: bool,
    /// How long the guest may take before the plug is pulled [default: the node's]. To end only the waiting: hvctl --timeout SECONDS vm stop …
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600), conflicts_with = "force")]
    timeout: Option<u32>,
}

/// How to reboot.
#[derive(Debug, Args)]
pub(crate) struct RebootArgs {
    #[command(flatten)]
    many: ManyArgs,
    /// Reset instead of asking the guest
    #[arg(long)]
    force: bool,
}

/// What to delete.
#[derive(Debug, Args)]
pub(crate) struct DeleteVmArgs {
    #[command(flatten)]
    delete: DeleteArgs,
    /// Also those that run: the plug is pulled first
    #[arg(long)]
    force: bool,
    /// Delete their data disks, too; else those stay and can be given to another VM
    #[arg(long)]
    delete_disks: bool,
    /// Days to keep them in the trash, from where they can be recovered; 0 removes at once [default: the node's]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=3650))]
    keep_days: Option<u32>,
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: VmCommand) -> Result<()> {
    match command {
        VmCommand::Create(args) => create::run(context, *args).await,
        VmCommand::List(args) => show::list(context, &args).await,
        VmCommand::Show { name } => show::show(context, &name).await,
        VmCommand::Start(many) => power(context, &many, &START).await,
        VmCommand::Stop(args) => stop(context, &args).await,
        VmCommand::Reboot(args) => reboot(context, &args).await,
        VmCommand::Reset(many) => power(context, &many, &RESET).await,
        VmCommand::Pause(many) => power(context, &many, &PAUSE).await,
        VmCommand::Resume(many) => power(context, &many, &RESUME).await,
        VmCommand::Delete(args) => delete(context, &args).await,
        VmCommand::Recover(many) => power(context, &many, &RECOVER).await,
        VmCommand::Expunge(args) => expunge(context, &args).await,
        VmCommand::Adopt { name, new_name, wait } => adopt(context, &name, new_name, &wait).await,
        VmCommand::Release(args) => release(context, &args).await,
        VmCommand::Update(args) => change::update(context, args).await,
        VmCommand::Resize(args) => change::resize(context, args).await,
        VmCommand::ResizeConfirm(many) => power(context, &many, &CONFIRM_RESIZE).await,
        VmCommand::ResizeRevert(many) => power(context, &many, &REVERT_RESIZE).await,
        VmCommand::ConsoleLog(args) => console::run(context, &args).await,
        VmCommand::Console { name } => console::place(context, &name).await,
        VmCommand::Busiest(args) => usage::busiest(context, &args).await,
        VmCommand::Stats { names, usage } => usage::of_vms(context, &names, &usage).await,
    }
}

/// A change that needs only to know which VM, and its words.
struct Power {
    path: &'static str,
    doing: (&'static str, &'static str),
    done: (&'static str, &'static str),
}

const START: Power = Power { path: "/v1/vm/start", doing: ("starting", "正在启动"), done: ("started", "已启动") };
const STOP: Power = Power { path: "/v1/vm/stop", doing: ("stopping", "正在停止"), done: ("stopped", "已停止") };
const REBOOT: Power = Power { path: "/v1/vm/reboot", doing: ("rebooting", "正在重启"), done: ("rebooted", "已重启") };
const RESET: Power = Power { path: "/v1/vm/reset", doing: ("resetting", "正在复位"), done: ("reset", "已复位") };
const PAUSE: Power = Power { path: "/v1/vm/pause", doing: ("pausing", "正在暂停"), done: ("paused", "已暂停") };
const RESUME: Power = Power { path: "/v1/vm/resume", doing: ("resuming", "正在恢复"), done: ("resumed", "已恢复") };
const CONFIRM_RESIZE: Power = Power {
    path: "/v1/vm/resize/confirm",
    doing: ("confirming the resize", "正在确认规格调整"),
    done: ("resize confirmed", "已确认规格调整"),
};
const REVERT_RESIZE: Power =
    Power {
        path: "/v1/vm/resize/revert", doing: ("reverting the resize", "正在回退规格"), done: ("resize reverted", "已回退规格")
    };
const DELETE: Power = Power { path: "/v1/vm/delete", doing: ("deleting", "正在删除"), done: ("deleted", "已删除") };

const TRASH: Power =
    Power { path: "/v1/vm/delete", doing: ("moving to the trash", "正在移入回收站"), done: ("in the trash", "已移入回收站") };
const RECOVER: Power =
    Power { path: "/v1/vm/recover", doing: ("recovering", "正在恢复"), done: ("recovered", "已从回收站恢复") };
const EXPUNGE: Power = Power { path: "/v1/vm/expunge", doing: ("removing", "正在清除"), done: ("removed", "已清除") };
const ADOPT: Power = Power { path: "/v1/vm/adopt", doing: ("adopting", "正在纳管"), done: ("adopted", "已纳管") };
const RELEASE: Power = Power { path: "/v1/vm/release", doing: ("releasing", "正在释放"), done: ("released", "已释放") };

impl Power {
    fn change(&self, target: &Target) -> Change {
        let name = &target.name;
        let sentence = |words: (&str, &str)| Text { en: format!("{name}: {}", words.0), cn: format!("{name}: {}", words.1) };
        Change { path: self.path, body: target.body(&VM), name: name.clone(), doing: sentence(self.doing), done: sentence(self.done) }
    }
}

async fn power(context: &mut Context, many: &ManyArgs, power: &Power) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &VM, &many.names).await?;
    context.change_each(targets, &many.wait, |target| power.change(target)).await
}

async fn stop(context: &mut Context, args: &StopArgs) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &VM, &args.many.names).await?;
    let make = |target: &Target| {
        let mut change = STOP.change(target);
        if args.force {
            change.body.insert("force".into(), json!(true));
        }
        if let Some(seconds) = args.timeout {
            change.body.insert("timeout_seconds".into(), json!(seconds));
        }
        change
    };
    context.change_each(targets, &args.many.wait, make).await
}

async fn reboot(context: &mut Context, args: &RebootArgs) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &VM, &args.many.names).await?;
    let make = |target: &Target| {
        let mut change = REBOOT.change(target);
        if args.force {
            change.body.insert("force".into(), json!(true));
        }
        change
    };
    context.change_each(targets, &args.many.wait, make).await
}

async fn expunge(context: &mut Context, args: &DeleteArgs) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &VM, &args.many.names).await?;
    let names = names_of(&targets);
    confirm(&text!("Remove {names} with all disks, for ever"; "永久清除 {names} 及其全部硬盘"), args.yes, context.out.language).await?;
    context.change_each(targets, &args.many.wait, |target| EXPUNGE.change(target)).await
}

async fn adopt(context: &mut Context, wanted: &str, new_name: Option<String>, wait: &WaitArgs) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &VM, wanted).await?;
    let mut change = ADOPT.change(&target);
    change.body.extend(new_name.map(|name| ("new_name".to_owned(), json!(name))));
    context.change(change, wait).await
}

async fn release(context: &mut Context, args: &DeleteArgs) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &VM, &args.many.names).await?;
    let names = names_of(&targets);
    let question = text!("Give up {names}; the node forgets them and their disks, which stay as they are"; "释放 {names}; 节点将不再管理它们及其硬盘, 但不会改动");
    confirm(&question, args.yes, context.out.language).await?;
    context.change_each(targets, &args.many.wait, |target| RELEASE.change(target)).await
}

fn names_of(targets: &[Result<Target>]) -> String {
    targets.iter().flatten().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ")
}

async fn delete(context: &mut Context, args: &DeleteVmArgs) -> Result<()> {
    let many = &args.delete.many;
    let targets = resolve::resolve_each(&mut context.client, &VM, &many.names).await?;
    let names = names_of(&targets);
    let is_kept = args.keep_days.is_some_and(|days| days > 0);
    let question = if let Some(days) = args.keep_days.filter(|_| is_kept) {
        text!("Put {names} into the trash for {days} days"; "将 {names} 移入回收站, 保留 {days} 天")
    } else if args.delete_disks {
        text!("Delete {names} with all data disks, for ever"; "永久删除 {names} 及其全部数据硬盘")
    } else {
        text!("Delete {names} with the root disk, for ever"; "永久删除 {names} 及其系统盘")
    };
    confirm(&question, args.delete.yes, context.out.language).await?;
    let make = |target: &Target| {
        let mut change = if is_kept { TRASH.change(target) } else { DELETE.change(target) };
        if args.force {
            change.body.insert("force".into(), json!(true));
        }
        if args.delete_disks {
            change.body.insert("delete_usd".into(), json!(true));
        }
        change.body.extend(args.keep_days.map(|days| ("keep_days".to_owned(), json!(days))));
        change
    };
    context.change_each(targets, &many.wait, make).await
}
