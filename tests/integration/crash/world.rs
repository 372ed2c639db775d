//! What is there: as libvirt has it, as the files lie in the folders, as the node says.

use crate::support::Node;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Prints everything in sections that start with `=====name argument@`; virsh's echo ends no line.
const SCRIPT: &str = r#"
ask() { virsh -q -c qemu:///system "$1"; }
uuids=$(ask 'list --all --uuid') || exit 1
commands=''
for uuid in $uuids; do commands="$commands echo =====domain $uuid@; domstate $uuid; echo =====definition $uuid@; dumpxml --inactive $uuid;"; done
ask "$commands echo =====live@; net-dumpxml default; echo =====stored@; net-dumpxml --inactive default; echo =====listed@; vol-list hvnode-volumes" || exit 1
echo =====started-with-host@; ls /etc/libvirt/qemu/autostart 2>/dev/null
for folder in volumes images console; do echo "=====folder $folder@"; find /var/lib/hvnode/$folder -mindepth 1 -printf '%f %s\n'; done
echo =====sockets@; ls /run/libvirt/qemu/channel /var/lib/libvirt/qemu/channel/target 2>/dev/null | grep -v '^/'
echo =====taps@; ls /sys/class/net | grep '^vnet'
echo =====processes@
for process in /proc/[0-9]*; do
    { tr '\0' ' ' <"$process/cmdline"; echo; } 2>/dev/null | sed -n "s|.*[q]emu-system.* -uuid \([^ ]*\) .*|${process#/proc/} \1|p"
done
true
"#;

#[derive(Debug, Default, Clone)]
pub(super) struct Domain {
    /// running, paused, shut off, crashed, …
    pub(super) state: String,
    /// The stored definition.
    pub(super) xml: String,
}

/// Everything outside of the daemon.
#[derive(Debug, Default)]
pub(super) struct Outside {
    pub(super) domains: BTreeMap<Uuid, Domain>,
    /// Reservations (Ethernet address, IPv4 address) of the running network and of its definition.
    pub(super) live: BTreeSet<(String, String)>,
    pub(super) stored: BTreeSet<(String, String)>,
    /// Volumes that libvirt knows without looking.
    pub(super) listed: BTreeSet<String>,
    /// Sizes of files by folder and name.
    pub(super) files: BTreeMap<String, BTreeMap<String, u64>>,
    /// QEMUs: VM and pid.
    pub(super) qemus: BTreeMap<Uuid, u32>,
    /// Folders with the sockets of guest agents: one for each domain that is on.
    pub(super) sockets: Vec<String>,
    /// Network devices of NICs of domains that are on.
    pub(super) taps: Vec<String>,
    /// Domain names that libvirt starts with the host.
    pub(super) started_with_host: BTreeSet<String>,
}

impl Outside {
    pub(super) fn read(node: &Node) -> Self {
        let text = node.host.run(&["sh", "-c", SCRIPT]);
        let mut outside = Self::default();
        for section in text.split("=====").skip(1) {
            let (head, body) = section.split_once('@').unwrap();
            let (name, argument) = head.split_once(' ').unwrap_or((head, ""));
            outside.take(name.trim(), argument.trim(), body);
        }
        outside
    }

    /// Folders of sockets without a domain that is on; of several for one domain the one of its last start is its own.
    pub(super) fn sockets_of_no_domain(&self) -> Vec<String> {
        let number_and_name = |folder: &str| folder.split_once('-').map(|(number, name)| (number.parse::<u64>().unwrap(), name.to_owned()));
        let on = self.domains.iter().filter(|(uuid, _)| self.qemus.contains_key(uuid)).map(|(_, domain)| domain.part("<name>", "</name>"));
        let own: Vec<String> = on
            .filter_map(|name| {
                let folders = self.sockets.iter().filter_map(|folder| number_and_name(folder));
                let last = folders.filter(|(_, of)| of == name).max()?;
                Some(format!("{}-{}", last.0, last.1))
            })
            .collect();
        self.sockets.iter().filter(|folder| !own.contains(folder)).cloned().collect()
    }

    fn take(&mut self, name: &str, argument: &str, body: &str) {
        let uuid = || argument.parse::<Uuid>().unwrap();
        let lines = || body.lines().map(str::trim).filter(|line| !line.is_empty());
        match name {
            "domain" => self.domains.entry(uuid()).or_default().state = body.trim().to_owned(),
            "definition" => self.domains.entry(uuid()).or_default().xml = body.to_owned(),
            "live" => self.live = reservations(body),
            "stored" => self.stored = reservations(body),
            "listed" => self.listed = lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect(),
            "started-with-host" => self.started_with_host = lines().map(|line| line.trim_end_matches(".xml").to_owned()).collect(),
            "sockets" => self.sockets = lines().map(str::to_owned).collect(),
            "taps" => self.taps = lines().map(str::to_owned).collect(),
            "folder" => {
                let file = |line: &str| line.rsplit_once(' ').map(|(name, size)| (name.to_owned(), size.parse().unwrap()));
                self.files.insert(argument.to_owned(), lines().filter_map(file).collect());
            }
            "processes" => {
                let process = |line: &str| line.split_once(' ').map(|(pid, uuid)| (uuid.parse().unwrap(), pid.parse().unwrap()));
                self.qemus = lines().filter_map(process).collect();
            }
            other => panic!("section {other}"),
        }
    }
}

impl Domain {
    /// What stands between the first `before` and the next `after`.
    pub(super) fn part(&self, before: &str, after: &str) -> &str {
        let rest = self.xml.split_once(before).map_or("", |(_, rest)| rest);
        rest.split_once(after).map_or("", |(part, _)| part)
    }

    pub(super) fn title(&self) -> &str {
        self.part("<title>", "</title>")
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.part("<memory unit='KiB'>", "<").parse::<u64>().unwrap_or(0) * 1024
    }

    pub(super) fn cpu_cores(&self) -> u64 {
        self.part("<vcpu placement='static'>", "<").parse().unwrap_or(0)
    }
}

fn reservations(xml: &str) -> BTreeSet<(String, String)> {
    let attribute = |line: &str, name: &str| {
        let rest = line.split_once(&format!("{name}='"))?.1;
        Some(rest.split_once('\'')?.0.to_owned())
    };
    xml.lines().filter(|line| line.contains("<host ")).filter_map(|line| Some((attribute(line, "mac")?, attribute(line, "ip")?))).collect()
}

/// What the node says there is.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) vms: BTreeMap<Uuid, Value>,
    pub(super) disks: BTreeMap<String, Value>,
    pub(super) images: BTreeMap<Uuid, Value>,
    pub(super) specifications: BTreeMap<Uuid, Value>,
}

impl Told {
    pub(super) async fn read(node: &Node) -> Self {
        Self {
            vms: by_uuid(node, "vm", "vm").await,
            disks: list(node, "usd").await.into_iter().map(|disk| (disk["usd_name"].as_str().unwrap().to_owned(), disk)).collect(),
            images: by_uuid(node, "repository/image", "image").await,
            specifications: by_uuid(node, "specification", "specification").await,
        }
    }

    /// Only what is stored: without what is seen of the hypervisor at a moment.
    pub(super) fn stored_part(&self) -> Vec<Value> {
        let all = self.vms.values().chain(self.disks.values()).chain(self.images.values()).chain(self.specifications.values());
        let mut stored: Vec<Value> = all.cloned().collect();
        for object in &mut stored {
            let fields = object.as_object_mut().unwrap();
            for momentary in ["observed_time", "freshness", "status_reason"] {
                fields.remove(momentary);
            }
        }
        stored
    }
}

async fn by_uuid(node: &Node, kind: &str, word: &str) -> BTreeMap<Uuid, Value> {
    let uuid = |object: &Value| object[format!("{word}_uuid")].as_str().unwrap().parse().unwrap();
    list(node, kind).await.into_iter().map(|object| (uuid(&object), object)).collect()
}

async fn list(node: &Node, kind: &str) -> Vec<Value> {
    let answer = node.client.get(&format!("/v1/{kind}/list?page_size=0")).await.ok();
    let list = answer["list"].as_array().unwrap().clone();
    assert_eq!(answer["total_count"], list.len(), "{kind}");
    list
}
