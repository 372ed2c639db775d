//! `hvctl host …`.

use super::usage::{self, UsageArgs};
use crate::context::Context;
use crate::error::Result;
use crate::units::format_size;
use crate::view::{self, dash, size};
use clap::Subcommand;
use serde_json::Value;

/// What can be asked about the host.
#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Show what the host is and what is left of it
    #[command(alias = "inspect")]
    Show,
    /// Show the node in numbers
    Summary,
    /// Show cpu, memory, disk and network use of the host
    Stats(UsageArgs),
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: HostCommand) -> Result<()> {
    match command {
        HostCommand::Show => show(context).await,
        HostCommand::Summary => summary(context).await,
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
    let cpu = format!("{}, {} threads on {} cores", text("cpu_model"), dash(text("cpu_threads")), dash(text("cpu_cores")));
    let vms = format!("{}, {} running", dash(text("vm_count")), dash(text("vm_running_count")));
    context.out.fields(&[
        ("Name", text("host_name").into()),
        ("UUID", text("host_uuid").into()),
        ("Status", view::status(host)),
        ("Description", text("description").into()),
        ("Address", text("ip_address").into()),
        ("VMs", vms.into()),
        ("Cpu", cpu.into()),
        ("Cpu given out", given_out(host).into()),
        ("Memory", part(host, "available_memory_size", "memory_size").into()),
        ("Memory kept back", size(host, "reserved_memory_size").into()),
        ("Memory for VMs", overcommitment(host).into()),
        ("Storage", part(host, "available_storage_size", "storage_size").into()),
        ("Architecture", text("architecture").into()),
        ("Hypervisor", format!("{} {}, libvirt {}", text("hypervisor_type"), text("hypervisor_version"), text("libvirt_version")).into()),
        ("Runs guests with", text("virtualization_type").into()),
        ("Emulated because", text("emulation_reason").into()),
        ("Kernel", text("kernel_version").into()),
        ("Booted", view::time(host, "boot_time", language).into()),
    ])
}

async fn summary(context: &mut Context) -> Result<()> {
    let answer = context.client.get("/v1/statistics/summary/inspect", &[]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let summary = &answer.value["summary"];
    let text = |key: &str| dash(view::text(summary, key));
    let vms = format!(
        "{}: {} running, {} stopped, {} need a person",
        text("vm_count"),
        text("vm_running_count"),
        text("vm_stopped_count"),
        text("vm_error_count")
    );
    let memory = match (size(summary, "used_memory_size"), size(summary, "memory_size")) {
        (used, all) if used.is_empty() => all,
        (used, all) => format!("{used} used of {all}"),
    };
    context.out.fields(&[
        ("VMs", vms.into()),
        ("Images", text("image_count").into()),
        ("Disks", text("usd_count").into()),
        ("Cpu given out", format!("{} for {} threads", text("used_cpu_cores"), text("cpu_cores")).into()),
        ("Memory", memory.into()),
        ("Storage", part(summary, "available_storage_size", "storage_size").into()),
    ])
}

/// `3 of 128 (8 for each thread)`.
fn given_out(host: &Value) -> String {
    match (host["used_cpu_cores"].as_u64(), host["cpu_threads"].as_u64(), host["cpu_ratio"].as_f64()) {
        (Some(used), Some(threads), Some(ratio)) => {
            // ratios are small numbers of the operator's choice
            format!("{used} of {} ({ratio} for each thread)", (threads as f64 * ratio) as u64)
        }
        _ => String::new(),
    }
}

/// `22.4 GiB free of 23.5 GiB`; only the whole where the free part is not known.
fn part(host: &Value, free: &str, all: &str) -> String {
    match (host[free].as_u64(), size(host, all)) {
        (_, all) if all.is_empty() => all,
        (Some(free), all) => format!("{} free of {all}", format_size(free)),
        (None, all) => all,
    }
}

/// What VMs may be promised, if it is not just what there is.
fn overcommitment(host: &Value) -> String {
    match host["memory_ratio"].as_f64() {
        Some(ratio) if (ratio - 1.0).abs() > 0.001 => format!("up to {ratio} times what there is"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn processors_given_out_are_told_against_what_may_be_given_out() {
        let host = json!({"used_cpu_cores": 3, "cpu_threads": 8, "cpu_ratio": 2.5});
        assert_eq!(given_out(&host), "3 of 20 (2.5 for each thread)");
        assert_eq!(given_out(&json!({"used_cpu_cores": 3})), "");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let host = json!({"all": 10_u64 << 30, "free": 4_u64 << 30, "memory_ratio": 1.0});
        assert_eq!(part(&host, "free", "all"), "4 GiB free of 10 GiB");
        assert_eq!(part(&host, "none", "all"), "10 GiB");
        assert_eq!(part(&host, "free", "none"), "");
        assert_eq!(overcommitment(&host), "");
        assert_eq!(overcommitment(&json!({"memory_ratio": 1.5})), "up to 1.5 times what there is");
    }
}
