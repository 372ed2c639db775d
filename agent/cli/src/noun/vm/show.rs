//! `hvctl vm list` and `hvctl vm show`.

use crate::args::ListArgs;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Content, Table, Tone, column};
use crate::resolve::{self, VM};
use crate::text;
use crate::text::Language;
use crate::view::{self, ago_cell, cell, entries, named, size, size_cell};
use serde_json::Value;

/// Lists.
pub(crate) async fn list(context: &mut Context, args: &ListArgs) -> Result<()> {
    let answer = context.client.get("/v1/vm/list", &args.query()).await?;
    let language = context.out.language;
    context.list(&answer, &text!("no VMs"; "没有虚拟机"), |list| table(list, language))
}

fn table(list: &Value, language: Language) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("STATUS"),
        column("CPU").number(),
        column("MEMORY").number(),
        column("ADDRESS"),
        column("IMAGE").spare(3),
        column("CREATED").spare(2),
        column("UUID").whole().spare(1),
    ]);
    for vm in entries(list) {
        table.row(vec![
            cell(vm, "vm_name"),
            status(vm),
            cell(vm, "cpu_cores"),
            size_cell(vm, "memory_size"),
            cell(vm, "ip_address"),
            cell(vm, "image_name"),
            ago_cell(vm, "create_time", language),
            cell(vm, "vm_uuid"),
        ]);
    }
    table
}

/// The state, with what makes it less than it seems: somebody else's VM, or a state that libvirt has not confirmed for a while.
fn status(vm: &Value) -> Content {
    let base = view::status(vm);
    let mut marks = Vec::new();
    for key in ["management", "freshness"] {
        let word = view::text(vm, key);
        if !matches!(word.as_str(), "" | "managed" | "fresh") {
            marks.push(word);
        }
    }
    if marks.is_empty() {
        return base;
    }
    let tone = if marks.iter().any(|mark| mark == "quarantined") { Tone::Bad } else { Tone::Busy };
    Content::toned(format!("{} ({})", view::dash(view::text(vm, "status")), marks.join(", ")), tone)
}

/// Shows one.
pub(crate) async fn show(context: &mut Context, wanted: &str) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &VM, wanted).await?;
    let answer = context.client.get("/v1/vm/inspect", &[("vm_uuid", target.uuid)]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let vm = &answer.value["vm"];
    fields(context, vm)?;
    interfaces(context, &vm["interfaces"])?;
    disks(context, &vm["usds"])
}

fn fields(context: &Context, vm: &Value) -> Result<()> {
    let language = context.out.language;
    let message = match language {
        Language::Cn if !view::text(vm, "error_message_cn").is_empty() => view::text(vm, "error_message_cn"),
        _ => view::text(vm, "error_message"),
    };
    let metadata = vm["metadata"].as_object().into_iter().flatten();
    let metadata: Vec<String> = metadata.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let shape = format!("{} cpu, {}", view::text(vm, "cpu_cores"), view::dash(size(vm, "memory_size")));
    let former = &vm["resized_from"];
    let former = former
        .is_object()
        .then(|| format!("{} cpu, {}; not confirmed", view::text(former, "cpu_cores"), view::dash(size(former, "memory_size"))));
    let drift: Vec<&str> = entries(&vm["drift"]).filter_map(Value::as_str).collect();
    context.out.fields(&[
        ("Name", view::text(vm, "vm_name").into()),
        ("UUID", view::text(vm, "vm_uuid").into()),
        ("Status", status(vm)),
        ("Reason", view::text(vm, "status_reason").into()),
        ("Error", Content::toned(message, Tone::Bad)),
        ("Running job", view::text(vm, "job_uuid").into()),
        ("Description", view::text(vm, "description").into()),
        ("Shape", shape.into()),
        ("Resized from", Content::toned(former.unwrap_or_default(), Tone::Busy)),
        ("Specification", named(vm, "specification_name", "specification_uuid").into()),
        ("Image", named(vm, "image_name", "image_uuid").into()),
        ("Address", view::text(vm, "ip_address").into()),
        ("Firmware", view::text(vm, "boot_type").into()),
        ("Architecture", view::text(vm, "architecture").into()),
        ("Starts with host", view::text(vm, "auto_start").into()),
        ("Restarts on crash", view::text(vm, "restart_on_crash").into()),
        ("Removed for good", view::time(vm, "expire_time", language).into()),
        ("Drift", Content::toned(drift.join("; "), Tone::Bad)),
        ("Locked", view::text(vm, "locked").into()),
        ("Metadata", metadata.join(", ").into()),
        ("Host", named(vm, "host_name", "host_uuid").into()),
        ("Owner", view::text(vm, "user_name").into()),
        ("Created", view::time(vm, "create_time", language).into()),
        ("Updated", view::time(vm, "update_time", language).into()),
        ("Last start", view::time(vm, "start_time", language).into()),
        ("State as of", view::time(vm, "observed_time", language).into()),
    ])
}

fn interfaces(context: &Context, list: &Value) -> Result<()> {
    let mut table =
        Table::new(&[column("NETWORK"), column("MAC"), column("ADDRESS"), column("GATEWAY").spare(2), column("MODEL").spare(1)]);
    for nic in entries(list) {
        table.row(vec![
            cell(nic, "network_name"),
            cell(nic, "mac_address"),
            cell(nic, "ip_address"),
            cell(nic, "gateway"),
            cell(nic, "model"),
        ]);
    }
    if table.is_empty() {
        return Ok(());
    }
    context.out.heading("Network interfaces")?;
    context.out.table(&table, &crate::text::Text::default())
}

fn disks(context: &Context, list: &Value) -> Result<()> {
    let mut table = Table::new(&[
        column("DISK"),
        column("SIZE").number(),
        column("DEVICE"),
        column("BUS"),
        column("ROOT"),
        column("UUID").whole().spare(1),
    ]);
    for disk in entries(list) {
        table.row(vec![
            cell(disk, "usd_name"),
            size_cell(disk, "storage_size"),
            cell(disk, "device"),
            cell(disk, "bus"),
            cell(disk, "is_root"),
            cell(disk, "usd_uuid"),
        ]);
    }
    if table.is_empty() {
        return Ok(());
    }
    context.out.heading("Disks")?;
    context.out.table(&table, &crate::text::Text::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_vm_of_somebody_else_and_a_stale_state_are_marked() {
        assert_eq!(status(&json!({"status": "running"})), Content::toned("running", Tone::Good));
        let other = json!({"status": "running", "management": "unmanaged", "freshness": "stale"});
        assert_eq!(status(&other), Content::toned("running (unmanaged, stale)", Tone::Busy));
        let bad = json!({"status": "error", "management": "quarantined", "freshness": "fresh"});
        assert_eq!(status(&bad), Content::toned("error (quarantined)", Tone::Bad));
    }
}
