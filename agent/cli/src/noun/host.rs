//! `hvctl host …`.

use super::usage::{self, UsageArgs};
use crate::context::Context;
use crate::error::Result;
use crate::text;
use crate::view::{self, dash, size};
use clap::Subcommand;
use serde_json::Value;

/// What can be asked about the host.
#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Show what the host is and what is left of it
    Show,
    /// Show cpu, memory, disk and network use of the host
    Stats(UsageArgs),
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: HostCommand) -> Result<()> {
    match command {
        HostCommand::Show => show(context).await,
        HostCommand::Stats(args) => usage::of_host(context, &args).await,
    }
}

async fn show(context: &mut Context) -> Result<()> {
    let answer = context.client.get("/v1/host/inspect", &[]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let host = &answer.value["host"];
    let language = context.out.language;
    let text = |key: &str| view::text(host, key);
    let emulated = text("emulation_reason");
    let cpu =
        format!("{} ({} sockets, {} cores, {} threads)", text("cpu_model"), text("cpu_sockets"), text("cpu_cores"), text("cpu_threads"));
    let vms = format!("{}, {} running", dash(text("vm_count")), dash(text("vm_running_count")));
    context.out.fields(&[
        ("Name", text("host_name").into()),
        ("UUID", text("host_uuid").into()),
        ("Status", view::status(host)),
        ("Description", text("description").into()),
        ("Address", text("ip_address").into()),
        ("VMs", vms.into()),
        ("Cpu", cpu.into()),
        ("Cpu given out", share(host, "used_cpu_cores", "cpu_threads", "cpu_ratio", |n| n.to_string()).into()),
        ("Memory", size(host, "memory_size").into()),
        ("Memory given out", share(host, "used_memory_size", "memory_size", "memory_ratio", crate::units::format_size).into()),
        ("Memory available", size(host, "available_memory_size").into()),
        ("Memory kept back", size(host, "reserved_memory_size").into()),
        ("Storage", storage(host).into()),
        ("Architecture", text("architecture").into()),
        ("Hypervisor", format!("{} {}, libvirt {}", text("hypervisor_type"), text("hypervisor_version"), text("libvirt_version")).into()),
        ("Runs guests with", text("virtualization_type").into()),
        ("Emulated because", emulated.into()),
        ("Kernel", text("kernel_version").into()),
        ("Booted", view::time(host, "boot_time", language).into()),
    ])
}

/// `3 of 8, 2 times overcommitted at most`.
fn share(host: &Value, used: &str, all: &str, ratio: &str, format: impl Fn(u64) -> String) -> String {
    match (host[used].as_u64(), host[all].as_u64()) {
        (Some(used), Some(all)) => match host[ratio].as_f64() {
            Some(ratio) if (ratio - 1.0).abs() > 0.001 => format!("{} of {} (up to {ratio} times that)", format(used), format(all)),
            _ => format!("{} of {}", format(used), format(all)),
        },
        _ => String::new(),
    }
}

fn storage(host: &Value) -> String {
    let (all, left) = (size(host, "storage_size"), host["available_storage_size"].as_u64().map(crate::units::format_size));
    match left {
        Some(left) if !all.is_empty() => {
            let words = text!("{left} free of {all}"; "{left} 可用, 共 {all}");
            words.en
        }
        _ => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_given_out_names_the_overcommitment_only_if_there_is_one() {
        let host = json!({"used": 3, "all": 8, "one": 1.0, "two": 2.5});
        assert_eq!(share(&host, "used", "all", "one", |n| n.to_string()), "3 of 8");
        assert_eq!(share(&host, "used", "all", "two", |n| n.to_string()), "3 of 8 (up to 2.5 times that)");
        assert_eq!(share(&host, "used", "none", "two", |n| n.to_string()), "");
    }

    #[test]
    fn storage_says_what_is_free() {
        assert_eq!(storage(&json!({"storage_size": 10_u64 << 30, "available_storage_size": 4_u64 << 30})), "4 GiB free of 10 GiB");
        assert_eq!(storage(&json!({})), "");
    }
}
