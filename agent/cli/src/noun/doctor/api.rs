//! What the node itself tells.

use super::report::{Check, Verdict};
use crate::client::Client;
use crate::error::{CliError, Kind};
use crate::text;
use crate::text::Text;
use crate::units::{format_size, now_seconds};
use crate::view::{entries, text as member};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Clocks further apart than this are told, and beyond the second that is a failure: certificates and tokens depend on them.
const SKEW_WARN: Duration = Duration::from_secs(2);
const SKEW_FAIL: Duration = Duration::from_secs(120);
/// Oldest libvirt that was thought of.
const LIBVIRT_MAJOR_MIN: u32 = 9;
/// Jobs that failed within so long are told.
const LATELY_SECONDS: i64 = 86_400;
/// Names told of many.
const NAMES_MAX: usize = 3;

/// What later checks need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Node {
    /// It answers.
    pub(super) is_up: bool,
    /// Guests are emulated, or run on the hardware; `None` where that is not known.
    pub(super) is_emulated: Option<bool>,
}

/// Asks the node, and adds what is found.
pub(super) async fn look(client: &mut Client, checks: &mut Vec<Check>) -> Node {
    let before = now();
    let health = match client.get("/v1/host/health/inspect", &[]).await {
        Ok(mut answer) => answer.value["health"].take(),
        Err(error) => {
            let is_up = error.code().is_some();
            checks.push(unreachable(&error));
            return Node { is_up, is_emulated: None };
        }
    };
    let after = now();
    checks.push(daemon(&health));
    if let Ok((_, ready)) = client.get_plain("/readyz").await {
        checks.push(readiness(&serde_json::from_str(&ready).unwrap_or_default()));
    }
    checks.push(clock(&health, before, after));
    let host = client.get("/v1/host/inspect", &[]).await.map(|mut answer| answer.value["host"].take()).unwrap_or_default();
    checks.push(libvirt(&health, &host));
    let is_emulated = host["virtualization_type"].as_str().map(|kind| kind != "kvm");
    checks.extend(virtualization(&host));
    checks.extend(pools(&health));
    checks.push(listed(client, "/v1/network/list", &[], networks).await.unwrap_or_else(|error| not_told("networks", &error)));
    let errors = [("status", "error".to_owned()), ("page_size", "100".to_owned())];
    checks.push(listed(client, "/v1/vm/list", &errors, vms).await.unwrap_or_else(|error| not_told("vms", &error)));
    let crashed = [("status", "crashed".to_owned()), ("page_size", "100".to_owned())];
    checks.extend(listed(client, "/v1/vm/list", &crashed, crashes).await.unwrap_or_default());
    let wrong = [("status", "error".to_owned()), ("page_size", "100".to_owned())];
    checks.push(listed(client, "/v1/repository/image/list", &wrong, images).await.unwrap_or_else(|error| not_told("images", &error)));
    let failed = [("status", "failed".to_owned()), ("page_size", "200".to_owned())];
    checks.push(listed(client, "/v1/job/list", &failed, jobs).await.unwrap_or_else(|error| not_told("jobs", &error)));
    Node { is_up: true, is_emulated }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

async fn listed<T>(client: &mut Client, path: &str, query: &[(&str, String)], judge: fn(&Value) -> T) -> Result<T, CliError> {
    client.get(path, query).await.map(|answer| judge(&answer.value["list"]))
}

fn not_told(name: &'static str, error: &CliError) -> Check {
    Check { name, verdict: Verdict::Warn, found: error.text().clone(), advice: None }
}

fn unreachable(error: &CliError) -> Check {
    let (Text { en, cn }, code) = (error.text(), error.code().unwrap_or_default());
    let is_old = matches!(code, 10004 | 10005) || (error.kind() == Kind::Failed && code == 0);
    let advice = if is_old {
        text!("hvnoded there is older than this hvctl: upgrade it"; "节点上的 hvnoded 版本低于 hvctl: 请升级")
    } else {
        error.advice().cloned().unwrap_or_else(|| text!("journalctl -u hvnoded says why"; "原因见 journalctl -u hvnoded"))
    };
    Check::fail("daemon", text!("{en}"; "{cn}"), advice)
}

fn daemon(health: &Value) -> Check {
    let (version, own) = (member(health, "version"), env!("CARGO_PKG_VERSION"));
    if version == own {
        return Check::ok("daemon", text!("hvnoded {version} answers"; "hvnoded {version} 应答正常"));
    }
    let found = text!("hvnoded is version {version}, hvctl is {own}"; "hvnoded 版本为 {version}, hvctl 版本为 {own}");
    Check::warn(
        "daemon",
        found,
        text!("upgrade the older one, or restart hvnoded after an upgrade"; "请升级较旧的一方, 或在升级后重启 hvnoded"),
    )
}

fn readiness(ready: &Value) -> Check {
    let components = ready["components"].as_object().into_iter().flatten();
    let unready: Vec<String> = components
        .filter(|(_, component)| component["ready"] == false)
        .map(|(name, component)| format!("{name} {}", member(component, "state")))
        .collect();
    if ready["ready"] == true && unready.is_empty() {
        return Check::ok("ready", text!("all parts are ready"; "所有组件就绪"));
    }
    let unready = unready.join(", ");
    let advice = text!("journalctl -u hvnoded says why"; "原因见 journalctl -u hvnoded");
    Check::fail("ready", text!("not ready: {unready}"; "未就绪: {unready}"), advice)
}

fn clock(health: &Value, before: Duration, after: Duration) -> Check {
    let Some(node) = health["time_milliseconds"].as_u64().map(Duration::from_millis) else {
        return Check::skip("clock", text!("the node does not tell its time"; "节点未提供时间"));
    };
    // it read its clock some time between the two, to the millisecond
    let ahead = node.saturating_sub(after);
    let behind = before.saturating_sub(node + Duration::from_millis(1));
    let (skew, is_ahead) = if ahead > Duration::ZERO { (ahead, true) } else { (behind, false) };
    let seconds = skew.as_secs();
    if skew < SKEW_WARN {
        return Check::ok("clock", text!("the node's clock agrees with this one"; "节点时钟与本机一致"));
    }
    let found = if is_ahead {
        text!("the node's clock is {seconds} s ahead of this one"; "节点时钟比本机快 {seconds} 秒")
    } else {
        text!("the node's clock is {seconds} s behind this one"; "节点时钟比本机慢 {seconds} 秒")
    };
    let advice = text!("let a time service keep both: timedatectl set-ntp true"; "请启用时间同步: timedatectl set-ntp true");
    if skew < SKEW_FAIL { Check::warn("clock", found, advice) } else { Check::fail("clock", found, advice) }
}

fn libvirt(health: &Value, host: &Value) -> Check {
    let reason = member(health, "connection_message");
    let advice = text!("on the node: systemctl status libvirtd virtqemud; journalctl -u hvnoded"; "在节点上执行: systemctl status libvirtd virtqemud; journalctl -u hvnoded");
    match member(health, "connection").as_str() {
        "up" => {}
        "connecting" => return Check::fail("libvirt", text!("libvirt was not reached yet"; "尚未连接到 libvirt"), advice),
        _ => return Check::fail("libvirt", text!("libvirt does not answer: {reason}"; "libvirt 无应答: {reason}"), advice),
    }
    let (version, hypervisor) = (member(host, "libvirt_version"), member(host, "hypervisor_version"));
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < LIBVIRT_MAJOR_MIN) {
        let found = text!("libvirt {version} is older than {LIBVIRT_MAJOR_MIN}.0"; "libvirt {version} 低于 {LIBVIRT_MAJOR_MIN}.0");
        return Check::warn("libvirt", found, text!("upgrade libvirt"; "请升级 libvirt"));
    }
    Check::ok("libvirt", text!("libvirt {version} with QEMU {hypervisor} answers"; "libvirt {version} (QEMU {hypervisor}) 应答正常"))
}

fn virtualization(host: &Value) -> Option<Check> {
    let reason = member(host, "emulation_reason");
    Some(match host["virtualization_type"].as_str()? {
        "kvm" => Check::ok("kvm", text!("guests run on the hardware (KVM)"; "虚拟机使用硬件虚拟化 (KVM)")),
        _ => Check::warn(
            "kvm",
            text!("guests are emulated, many times slower: {reason}"; "虚拟机以模拟方式运行, 速度慢很多: {reason}"),
            text!("switch on VT-x or AMD-V in the firmware, or nested virtualization where the node is a VM itself"; "请在固件中启用 VT-x 或 AMD-V; 若节点本身是虚拟机, 请启用嵌套虚拟化"),
        ),
    })
}

fn pools(health: &Value) -> Vec<Check> {
    let mut told: Vec<String> = Vec::new();
    let mut checks = Vec::new();
    for pool in entries(&health["pools"]) {
        let (name, path) = (member(pool, "pool_name"), member(pool, "path"));
        let (all, free) = (pool["storage_size"].as_u64().unwrap_or(0), pool["available_storage_size"].as_u64().unwrap_or(0));
        checks.extend(space("pools", &format!("{name} ({path})"), all, free));
        told.push(format!("{name} {}", format_size(free)));
    }
    if told.is_empty() {
        let advice = text!("they come with libvirt; see the libvirt check"; "存储池由 libvirt 提供, 见 libvirt 检查项");
        return vec![Check::fail("pools", text!("no storage pool is known"; "没有可用的存储池"), advice)];
    }
    if checks.is_empty() {
        let told = told.join(", ");
        checks.push(Check::ok("pools", text!("free: {told}"; "可用空间: {told}")));
    }
    checks
}

/// A complaint, where little is left.
pub(super) fn space(name: &'static str, place: &str, all: u64, free: u64) -> Option<Check> {
    let percent = free.saturating_mul(100).checked_div(all).unwrap_or(0);
    let left = format_size(free);
    let found = text!("{place}: {left} free, {percent}%"; "{place}: 剩余 {left}, {percent}%");
    let advice = text!("make room: hvctl vm list --status deleted, hvctl image list, hvctl disk list"; "请释放空间: hvctl vm list --status deleted, hvctl image list, hvctl disk list");
    match () {
        () if all == 0 => None,
        // a small part of a big disk may still be plenty
        () if free < 256 << 20 || (percent < 3 && free < 2 << 30) => Some(Check::fail(name, found, advice)),
        () if percent < 10 && free < 10 << 30 => Some(Check::warn(name, found, advice)),
        () => None,
    }
}

fn networks(list: &Value) -> Check {
    let names = |is_wanted: fn(&Value) -> bool| {
        entries(list).filter(|network| is_wanted(network)).map(|n| member(n, "network_name")).collect::<Vec<_>>()
    };
    let active = names(|network| network["status"] == "active").join(", ");
    let inactive = names(|network| network["status"] != "active").join(", ");
    let start = text!("virsh net-start NAME, virsh net-autostart NAME"; "virsh net-start 名称, virsh net-autostart 名称");
    if active.is_empty() {
        let Text { en, cn } = start;
        let advice = text!("without one VMs have no NIC: {en}"; "没有网络时虚拟机无法联网: {cn}");
        return Check::warn("networks", text!("no network is active"; "没有已启用的网络"), advice);
    }
    if inactive.is_empty() {
        return Check::ok("networks", text!("active: {active}"; "已启用: {active}"));
    }
    Check::warn("networks", text!("not active: {inactive}"; "未启用: {inactive}"), start)
}

/// The first names of a list, and how many more there are.
fn some_of(list: &Value, key: &str) -> (usize, String) {
    let names: Vec<String> = entries(list).map(|entry| member(entry, key)).collect();
    let mut told = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX {
        told.push_str(", …");
    }
    (names.len(), told)
}

fn vms(list: &Value) -> Check {
    match some_of(list, "vm_name") {
        (0, _) => Check::ok("vms", text!("every VM agrees with its record"; "所有虚拟机与记录一致")),
        (count, names) => Check::warn(
            "vms",
            text!("{count} VMs contradict their records: {names}"; "{count} 台虚拟机与记录不符: {names}"),
            text!("hvctl vm show NAME says how; hvctl vm release NAME or hvctl vm delete NAME ends it"; "hvctl vm show 查看详情; 用 hvctl vm release 或 hvctl vm delete 处理"),
        ),
    }
}

fn crashes(list: &Value) -> Option<Check> {
    let (count, names) = some_of(list, "vm_name");
    (count > 0).then(|| {
        Check::warn(
            "crashed",
            text!("{count} VMs crashed: {names}"; "{count} 台虚拟机已崩溃: {names}"),
            text!("hvctl vm start NAME; hvctl event list says when"; "hvctl vm start 启动; hvctl event list 查看时间"),
        )
    })
}

fn images(list: &Value) -> Check {
    match some_of(list, "image_name") {
        (0, _) => Check::ok("images", text!("every image is whole"; "所有镜像完好")),
        (count, names) => Check::warn(
            "images",
            text!("{count} images are damaged: {names}"; "{count} 个镜像已损坏: {names}"),
            text!("hvctl image show NAME says how; delete it and bring it in anew"; "hvctl image show 查看详情; 请删除后重新导入"),
        ),
    }
}

fn jobs(list: &Value) -> Check {
    let since = now_seconds() - LATELY_SECONDS;
    let lately: Vec<&Value> = entries(list).filter(|job| job["finish_time"].as_i64().is_some_and(|time| time > since)).collect();
    let Some(newest) = lately.first() else {
        return Check::ok("jobs", text!("no job failed within a day"; "一天内没有失败的任务"));
    };
    let (count, action, about, message) =
        (lately.len(), member(newest, "action"), member(newest, "resource_name"), member(newest, "message"));
    let message_cn = member(newest, "message_cn");
    Check::warn(
        "jobs",
        text!("{count} jobs failed within a day; the newest: {action} {about}: {message}"; "一天内有 {count} 个任务失败, 最近: {action} {about}: {message_cn}"),
        text!("hvctl job list --status failed"; "hvctl job list --status failed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_clock_is_judged_by_what_it_can_have_been_during_the_request() {
        let at =
            |milliseconds: u64| clock(&json!({"time_milliseconds": milliseconds}), Duration::from_secs(1000), Duration::from_secs(1003));
        assert_eq!(at(1_001_500).verdict, Verdict::Ok, "the answer took three seconds");
        assert_eq!(at(1_004_000).verdict, Verdict::Ok);
        assert_eq!(at(1_010_000).verdict, Verdict::Warn);
        assert_eq!(at(2_000_000).verdict, Verdict::Fail);
        assert!(at(500_000).found.en.contains("499 s behind") || at(500_000).found.en.contains("500 s behind"));
        assert_eq!(clock(&json!({}), Duration::ZERO, Duration::ZERO).verdict, Verdict::Skip);
    }

    #[test]
    fn emulation_is_told_from_hardware_with_its_reason() {
        let kvm = virtualization(&json!({"virtualization_type": "kvm"})).unwrap();
        assert_eq!(kvm.verdict, Verdict::Ok);
        let emulated = virtualization(&json!({"virtualization_type": "qemu", "emulation_reason": "no vmx"})).unwrap();
        assert_eq!(emulated.verdict, Verdict::Warn);
        assert!(emulated.found.en.contains("no vmx"));
        assert!(virtualization(&json!({})).is_none());
    }

    #[test]
    fn an_old_libvirt_and_an_absent_one_are_told() {
        let with = |connection: &str, version: &str| {
            libvirt(&json!({"connection": connection, "connection_message": "refused"}), &json!({"libvirt_version": version})).verdict
        };
        assert_eq!(with("up", "11.3.0"), Verdict::Ok);
        assert_eq!(with("up", "8.0.0"), Verdict::Warn);
        assert_eq!(with("down", "11.3.0"), Verdict::Fail);
        assert_eq!(with("connecting", ""), Verdict::Fail);
    }

    #[test]
    fn little_space_is_a_warning_and_hardly_any_a_failure() {
        let verdict = |all: u64, free: u64| space("pools", "x", all << 30, free << 30).map(|check| check.verdict);
        assert_eq!(verdict(100, 50), None);
        assert_eq!(verdict(100, 8), Some(Verdict::Warn));
        assert_eq!(verdict(100, 1), Some(Verdict::Fail));
        assert_eq!(verdict(1000, 30), None, "30 GiB are plenty");
        assert_eq!(verdict(0, 0), None);
        assert_eq!(pools(&json!({"pools": []}))[0].verdict, Verdict::Fail);
    }

    #[test]
    fn only_jobs_that_failed_lately_are_told() {
        let job = |finish: i64| json!({"finish_time": finish, "action": "start_vm", "resource_name": "web", "message": "m"});
        assert_eq!(jobs(&json!([job(now_seconds() - 90_000)])).verdict, Verdict::Ok);
        let told = jobs(&json!([job(now_seconds() - 60), job(now_seconds() - 90_000)]));
        assert_eq!(told.verdict, Verdict::Warn);
        assert!(told.found.en.starts_with("1 jobs failed") && told.found.en.contains("start_vm web: m"), "{}", told.found.en);
    }

    #[test]
    fn parts_that_are_not_ready_are_named() {
        let ready =
            json!({"ready": false, "components": {"store": {"ready": false, "state": "down"}, "daemon": {"ready": true, "state": "up"}}});
        let told = readiness(&ready);
        assert_eq!((told.verdict, told.found.en.as_str()), (Verdict::Fail, "not ready: store down"));
    }

    #[test]
    fn of_many_names_the_first_are_told() {
        let list = json!([{"vm_name": "a"}, {"vm_name": "b"}, {"vm_name": "c"}, {"vm_name": "d"}]);
        assert_eq!(some_of(&list, "vm_name"), (4, "a, b, c, …".to_owned()));
    }
}
