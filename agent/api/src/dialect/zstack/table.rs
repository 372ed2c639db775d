//! The table of messages: what is served, what is offered and what the operation log calls it all come from here.

use super::call::{Ask, Decode, Look};
use super::errors::{NO_CAPABILITY, NOT_IMPLEMENTED};
use super::query::Kind;
use super::{change, change_object, create_vm, metric, read, record, session, tag};
use crate::access::Access;
use crate::dialect::Offered;
use hvnode_core::model::VerbKind;

/// What a message does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// Inventories by conditions.
    Query(Kind),
    /// Something read from memory.
    Look(Look),
    /// Something that takes a wait.
    Ask(Ask),
    /// Log in: like `Ask`, and refusals go into the operation log.
    Session(Ask),
    /// A change by the engine; true where the result shows the object.
    Change(VerbKind, Decode, bool),
    /// A change of what only this API knows.
    Record(Ask),
    /// Always refused: code and reason in both languages.
    Missing(&'static str, &'static str, &'static str),
}

const NOT_BUILT: Act = Act::Missing(NOT_IMPLEMENTED, "this version does not do this", "当前版本不支持此操作");
const ONE_NODE: Act = Act::Missing(NO_CAPABILITY, "this node is the only host", "本节点是唯一的物理机");
const OTHER_HOST: Act = Act::Missing(NOT_IMPLEMENTED, "this node manages itself and no other host", "本节点仅管理自身，不能添加其他物理机");

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    /// Full class name.
    pub(super) class: &'static str,
    session: bool,
    pub(super) act: Act,
    /// Fields that it takes beside those of every message, for people; `*` marks those that must be sent.
    fields: &'static str,
    summary: &'static str,
}

impl Message {
    /// Must somebody be logged in?
    pub(super) fn needs_session(&self) -> bool {
        self.session
    }

    /// The class of its answer.
    pub(super) fn reply_class(&self) -> String {
        let stem = self.class.strip_suffix("Msg").unwrap_or(self.class);
        match self.act {
            // The one exception to the rule of names.
            Act::Session(_) => "org.zstack.header.identity.APILogInReply".to_owned(),
            _ if self.is_sync() => format!("{stem}Reply"),
            _ => format!("{stem}Event"),
        }
    }

    /// Is it answered at once, in the words of its API? The name tells.
    fn is_sync(&self) -> bool {
        let name = self.class.rsplit(".API").next().unwrap_or_default();
        ["Query", "Get", "Is", "Validate", "LogOut"].iter().any(|verb| name.starts_with(verb))
    }

    /// Who may send it.
    pub(super) fn access(&self) -> Access {
        match self.act {
            _ if !self.session => Access::Public,
            Act::Query(Kind::Account) => Access::Administer,
            Act::Change(..) | Act::Record(_) => Access::Change,
            Act::Query(_) | Act::Look(_) => Access::Read,
            // Its screen.
            Act::Ask(_) if self.class.contains("Console") => Access::Console,
            Act::Missing(..) if !self.is_sync() => Access::Change,
            Act::Ask(_) | Act::Session(_) | Act::Missing(..) => Access::Read,
        }
    }

    /// What stands beside `success` in its answer.
    fn answer(&self) -> &'static str {
        let name = self.class.rsplit(".API").next().unwrap_or_default();
        match self.act {
            Act::Query(_) => "inventories, or total",
            Act::Session(_) | Act::Change(_, _, true) => "inventory",
            Act::Change(_, _, false) | Act::Missing(..) => "",
            Act::Record(_) if name.starts_with("Delete") => "",
            Act::Record(_) => "inventory",
            Act::Look(_) | Act::Ask(_) => "its own fields",
        }
    }

    /// Does it change something?
    pub(super) fn is_change(&self) -> bool {
        matches!(self.act, Act::Change(..) | Act::Record(_))
    }
}

/// The message of this class.
pub(super) fn find(class: &str) -> Option<&'static Message> {
    MESSAGES.iter().find(|message| message.class == class)
}

/// A message as its page shows it.
#[derive(Debug, Clone)]
pub struct MessageRow {
    /// Full class name.
    pub class: &'static str,
    /// False where it is always refused.
    pub is_built: bool,
    /// The verb of the engine behind it.
    pub verb: Option<VerbKind>,
    /// Fields it takes; `*` marks those that must be sent.
    pub fields: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What its answer holds beside `success`.
    pub answer: &'static str,
    /// Who may send it.
    pub role: &'static str,
}

/// Every message with what its page shows.
pub fn messages() -> impl Iterator<Item = MessageRow> {
    MESSAGES.iter().zip(offered()).map(|(message, Offered { path, verb, is_built, summary, .. })| MessageRow {
        class: path,
        is_built,
        verb,
        fields: message.fields,
        summary,
        answer: message.answer(),
        role: match message.needs_session() {
            false => "nobody",
            true if message.is_change() => "operator",
            true => "reader",
        },
    })
}

/// Every message as people see it.
pub(super) fn offered() -> Vec<Offered> {
    let offer = |message: &Message| Offered {
        method: "POST",
        path: message.class,
        verb: match message.act {
            Act::Change(verb, ..) => Some(verb),
            _ => None,
        },
        is_built: !matches!(message.act, Act::Missing(..)),
        access: message.access(),
        summary: message.summary,
    };
    MESSAGES.iter().map(offer).collect()
}

#[rustfmt::skip] // one line per message
pub(super) const MESSAGES: &[Message] = &[
    // Sessions and accounts.
    Message { class: "org.zstack.header.identity.APILogInByAccountMsg", session: false, act: Act::Session(session::log_in), fields: "accountName*, password* (sha512 of it in hexadecimal)", summary: "Log in" },
    Message { class: "org.zstack.header.identity.APILogOutMsg", session: false, act: Act::Ask(session::log_out), fields: "sessionUuid*", summary: "End a session" },
    Message { class: "org.zstack.header.identity.APIValidateSessionMsg", session: false, act: Act::Ask(session::validate), fields: "sessionUuid*", summary: "Is a session valid" },
    Message { class: "org.zstack.header.identity.APIQueryAccountMsg", session: true, act: Act::Query(Kind::Account), fields: "conditions*, and the rest of the query language below", summary: "Query Account inventories" },
    // Virtual machines.
    Message { class: "org.zstack.header.vm.APICreateVmInstanceMsg", session: true, act: Act::Change(VerbKind::CreateVm, create_vm::decode, true), fields: "name*, imageUuid*, instanceOfferingUuid* (or cpuNum and memorySize in bytes), l3NetworkUuids (a list; none where it is empty, the default where it is absent), defaultL3NetworkUuid, rootDiskOfferingUuid or rootDiskSize (bytes), dataDiskOfferingUuids, dataDiskSizes (lists), strategy (InstantStart, JustCreate, CreateStopped), description, architecture, zoneUuid, clusterUuid, hostUuid, resourceUuid, systemTags (userdata::BASE64, sshkey::KEY, staticIp::NETWORK::ADDRESS)", summary: "Create a VM" },
    Message { class: "org.zstack.header.vm.APIStartVmInstanceMsg", session: true, act: Act::Change(VerbKind::StartVm, change::start, true), fields: "uuid*, hostUuid, clusterUuid", summary: "Start a VM" },
    Message { class: "org.zstack.header.vm.APIStopVmInstanceMsg", session: true, act: Act::Change(VerbKind::StopVm, change::stop, true), fields: "uuid*, type (grace, cold)", summary: "Stop a VM" },
    Message { class: "org.zstack.header.vm.APIRebootVmInstanceMsg", session: true, act: Act::Change(VerbKind::RebootVm, change::reboot, true), fields: "uuid*", summary: "Reboot a VM" },
    Message { class: "org.zstack.header.vm.APIPauseVmInstanceMsg", session: true, act: Act::Change(VerbKind::PauseVm, change::pause, true), fields: "uuid*", summary: "Pause a VM" },
    Message { class: "org.zstack.header.vm.APIResumeVmInstanceMsg", session: true, act: Act::Change(VerbKind::ResumeVm, change::resume, true), fields: "uuid*", summary: "Resume a paused VM" },
    Message { class: "org.zstack.header.vm.APIDestroyVmInstanceMsg", session: true, act: Act::Change(VerbKind::DeleteVm, change::destroy, false), fields: "uuid*, deleteMode (Permissive, Enforcing)", summary: "Put a VM into the trash" },
    Message { class: "org.zstack.header.vm.APIExpungeVmInstanceMsg", session: true, act: Act::Change(VerbKind::ExpungeVm, change::expunge, false), fields: "uuid*", summary: "Remove a destroyed VM for good" },
    Message { class: "org.zstack.header.vm.APIRecoverVmInstanceMsg", session: true, act: Act::Change(VerbKind::RecoverVm, change::recover, true), fields: "uuid*", summary: "Take a VM out of the trash" },
    Message { class: "org.zstack.header.vm.APIUpdateVmInstanceMsg", session: true, act: Act::Change(VerbKind::UpdateVm, change::update, true), fields: "uuid*, name and description, or cpuNum and memorySize (bytes)", summary: "Change name and description, or cpu and memory, of a VM" },
    Message { class: "org.zstack.header.vm.APIChangeInstanceOfferingMsg", session: true, act: Act::Change(VerbKind::ResizeVm, change::change_offering, true), fields: "vmInstanceUuid*, instanceOfferingUuid*", summary: "Give a stopped VM another offering" },
    Message { class: "org.zstack.header.vm.APIQueryVmInstanceMsg", session: true, act: Act::Query(Kind::VmInstance), fields: "conditions*, and the rest of the query language below", summary: "Query VmInstance inventories" },
    Message { class: "org.zstack.header.vm.APIQueryVmNicMsg", session: true, act: Act::Query(Kind::VmNic), fields: "conditions*, and the rest of the query language below", summary: "Query VmNic inventories" },
    Message { class: "org.zstack.header.vm.APIGetVmConsoleAddressMsg", session: true, act: Act::Ask(read::console_address), fields: "uuid*", summary: "Where the screen of a VM is" },
    Message { class: "org.zstack.header.console.APIRequestConsoleAccessMsg", session: true, act: Act::Ask(read::console_access), fields: "vmInstanceUuid*", summary: "Where the screen of a VM is, as console inventory" },
    Message { class: "org.zstack.header.vm.APIAttachL3NetworkToVmMsg", session: true, act: NOT_BUILT, fields: "", summary: "Add a NIC" },
    Message { class: "org.zstack.header.vm.APIDetachL3NetworkFromVmMsg", session: true, act: NOT_BUILT, fields: "", summary: "Remove a NIC" },
    Message { class: "org.zstack.header.vm.APISetVmStaticIpMsg", session: true, act: NOT_BUILT, fields: "", summary: "Set the address of a NIC" },
    Message { class: "org.zstack.header.vm.APIGetVmAttachableDataVolumeMsg", session: true, act: NOT_BUILT, fields: "", summary: "Disks that could be attached" },
    Message { class: "org.zstack.header.vm.APIMigrateVmMsg", session: true, act: ONE_NODE, fields: "", summary: "Move a VM to another host" },
    // Hosts, zones, clusters.
    Message { class: "org.zstack.header.host.APIQueryHostMsg", session: true, act: Act::Query(Kind::Host), fields: "conditions*, and the rest of the query language below", summary: "Query Host inventories" },
    Message { class: "org.zstack.header.host.APIGetHypervisorTypesMsg", session: true, act: Act::Look(read::hypervisor_types), fields: "", summary: "Kinds of hypervisors" },
    Message { class: "org.zstack.header.allocator.APIGetCpuMemoryCapacityMsg", session: true, act: Act::Look(read::capacity), fields: "zoneUuids*, clusterUuids*, hostUuids* or all* (one of them)", summary: "Cpu and memory of the node, all and free" },
    Message { class: "org.zstack.header.host.APIChangeHostStateMsg", session: true, act: ONE_NODE, fields: "", summary: "Take the host out of service" },
    Message { class: "org.zstack.header.host.APIReconnectHostMsg", session: true, act: ONE_NODE, fields: "", summary: "Reconnect the host" },
    Message { class: "org.zstack.kvm.APIAddKVMHostMsg", session: true, act: OTHER_HOST, fields: "", summary: "Add a host" },
    Message { class: "org.zstack.header.zone.APIQueryZoneMsg", session: true, act: Act::Query(Kind::Zone), fields: "conditions*, and the rest of the query language below", summary: "Query Zone inventories" },
    Message { class: "org.zstack.header.zone.APICreateZoneMsg", session: true, act: Act::Record(record::create_zone), fields: "name*, description, resourceUuid", summary: "Create a zone, a plain record" },
    Message { class: "org.zstack.header.zone.APIUpdateZoneMsg", session: true, act: Act::Record(record::update_zone), fields: "uuid*, name, description", summary: "Update a zone, a plain record" },
    Message { class: "org.zstack.header.zone.APIDeleteZoneMsg", session: true, act: Act::Record(record::delete_zone), fields: "uuid*, deleteMode", summary: "Delete a zone, a plain record" },
    Message { class: "org.zstack.header.zone.APIChangeZoneStateMsg", session: true, act: Act::Record(record::change_zone_state), fields: "uuid*, stateEvent* (enable, disable)", summary: "Enable or disable a zone" },
    Message { class: "org.zstack.header.cluster.APIQueryClusterMsg", session: true, act: Act::Query(Kind::Cluster), fields: "conditions*, and the rest of the query language below", summary: "Query Cluster inventories" },
    Message { class: "org.zstack.header.cluster.APICreateClusterMsg", session: true, act: Act::Record(record::create_cluster), fields: "name*, zoneUuid*, hypervisorType* (KVM), description, resourceUuid", summary: "Create a cluster, a plain record" },
    Message { class: "org.zstack.header.cluster.APIUpdateClusterMsg", session: true, act: Act::Record(record::update_cluster), fields: "uuid*, name, description", summary: "Update a cluster, a plain record" },
    Message { class: "org.zstack.header.cluster.APIDeleteClusterMsg", session: true, act: Act::Record(record::delete_cluster), fields: "uuid*, deleteMode", summary: "Delete a cluster, a plain record" },
    Message { class: "org.zstack.header.cluster.APIChangeClusterStateMsg", session: true, act: Act::Record(record::change_cluster_state), fields: "uuid*, stateEvent* (enable, disable)", summary: "Enable or disable a cluster" },
    // Images and offerings.
    Message { class: "org.zstack.header.image.APIQueryImageMsg", session: true, act: Act::Query(Kind::Image), fields: "conditions*, and the rest of the query language below", summary: "Query Image inventories" },
    Message { class: "org.zstack.header.image.APIAddImageMsg", session: true, act: Act::Change(VerbKind::CreateImage, change_object::add, true), fields: "name*, url* (http, https, file), format* (qcow2, raw, iso), mediaType (RootVolumeTemplate, ISO), backupStorageUuids, guestOsType, platform, architecture, description, resourceUuid", summary: "Fetch an image" },
    Message { class: "org.zstack.header.image.APIUpdateImageMsg", session: true, act: Act::Change(VerbKind::UpdateImage, change_object::update, true), fields: "uuid*, name, description, guestOsType", summary: "Change what is said about an image" },
    Message { class: "org.zstack.header.image.APIDeleteImageMsg", session: true, act: Act::Change(VerbKind::DeleteImage, change_object::delete, false), fields: "uuid*, backupStorageUuids, deleteMode", summary: "Remove an image at once" },
    Message { class: "org.zstack.header.image.APIExpungeImageMsg", session: true, act: Act::Change(VerbKind::DeleteImage, change_object::expunge, false), fields: "imageUuid*, backupStorageUuids", summary: "Remove an image" },
    Message { class: "org.zstack.header.image.APICreateRootVolumeTemplateFromRootVolumeMsg", session: true, act: NOT_BUILT, fields: "", summary: "Make an image of a root disk" },
    Message { class: "org.zstack.header.configuration.APIQueryInstanceOfferingMsg", session: true, act: Act::Query(Kind::InstanceOffering), fields: "conditions*, and the rest of the query language below", summary: "Query InstanceOffering inventories" },
    Message { class: "org.zstack.header.configuration.APICreateInstanceOfferingMsg", session: true, act: Act::Change(VerbKind::CreateSpecification, change_object::create_offering, true), fields: "name*, cpuNum*, memorySize* (bytes), description, type (UserVm), resourceUuid", summary: "Make a cpu and memory shape" },
    Message { class: "org.zstack.header.configuration.APIUpdateInstanceOfferingMsg", session: true, act: Act::Change(VerbKind::UpdateSpecification, change_object::update_offering, true), fields: "uuid*, name, description", summary: "Change name or description of a shape" },
    Message { class: "org.zstack.header.configuration.APIDeleteInstanceOfferingMsg", session: true, act: Act::Change(VerbKind::DeleteSpecification, change_object::delete_offering, false), fields: "uuid*, deleteMode", summary: "Remove a shape" },
    Message { class: "org.zstack.header.configuration.APIQueryDiskOfferingMsg", session: true, act: Act::Query(Kind::DiskOffering), fields: "conditions*, and the rest of the query language below", summary: "Query DiskOffering inventories" },
    Message { class: "org.zstack.header.configuration.APICreateDiskOfferingMsg", session: true, act: Act::Record(record::create_disk_offering), fields: "name*, diskSize* (bytes), description, sortKey, resourceUuid", summary: "Make a disk size" },
    Message { class: "org.zstack.header.configuration.APIUpdateDiskOfferingMsg", session: true, act: Act::Record(record::update_disk_offering), fields: "uuid*, name, description", summary: "Change name or description of a disk size" },
    Message { class: "org.zstack.header.configuration.APIDeleteDiskOfferingMsg", session: true, act: Act::Record(record::delete_disk_offering), fields: "uuid*, deleteMode", summary: "Remove a disk size" },
    // Disks.
    Message { class: "org.zstack.header.volume.APIQueryVolumeMsg", session: true, act: Act::Query(Kind::Volume), fields: "conditions*, and the rest of the query language below", summary: "Query Volume inventories" },
    Message { class: "org.zstack.header.volume.APIDeleteDataVolumeMsg", session: true, act: Act::Change(VerbKind::DeleteVolume, change_object::delete_volume, false), fields: "uuid*, deleteMode", summary: "Remove a disk no VM owns, at once" },
    Message { class: "org.zstack.header.volume.APIExpungeDataVolumeMsg", session: true, act: Act::Change(VerbKind::DeleteVolume, change_object::delete_volume, false), fields: "uuid*", summary: "Remove a disk no VM owns" },
    Message { class: "org.zstack.header.volume.APICreateDataVolumeMsg", session: true, act: NOT_BUILT, fields: "", summary: "Make a disk" },
    Message { class: "org.zstack.header.volume.APIAttachDataVolumeToVmMsg", session: true, act: NOT_BUILT, fields: "", summary: "Attach a disk" },
    Message { class: "org.zstack.header.volume.APIDetachDataVolumeFromVmMsg", session: true, act: NOT_BUILT, fields: "", summary: "Detach a disk" },
    Message { class: "org.zstack.header.volume.APIResizeDataVolumeMsg", session: true, act: NOT_BUILT, fields: "", summary: "Grow a disk" },
    Message { class: "org.zstack.header.volume.APIResizeRootVolumeMsg", session: true, act: NOT_BUILT, fields: "", summary: "Grow a root disk" },
    Message { class: "org.zstack.header.volume.APICreateVolumeSnapshotMsg", session: true, act: NOT_BUILT, fields: "", summary: "Snapshot a disk" },
    Message { class: "org.zstack.header.storage.snapshot.APIQueryVolumeSnapshotMsg", session: true, act: Act::Query(Kind::VolumeSnapshot), fields: "conditions*, and the rest of the query language below", summary: "Query VolumeSnapshot inventories" },
    Message { class: "org.zstack.header.storage.snapshot.APIDeleteVolumeSnapshotMsg", session: true, act: NOT_BUILT, fields: "", summary: "Remove a snapshot" },
    Message { class: "org.zstack.header.storage.snapshot.APIRevertVolumeFromSnapshotMsg", session: true, act: NOT_BUILT, fields: "", summary: "Go back to a snapshot" },
    Message { class: "org.zstack.header.storage.primary.APIQueryPrimaryStorageMsg", session: true, act: Act::Query(Kind::PrimaryStorage), fields: "conditions*, and the rest of the query language below", summary: "Query PrimaryStorage inventories" },
    Message { class: "org.zstack.header.storage.primary.APIGetPrimaryStorageCapacityMsg", session: true, act: Act::Look(read::primary_storage_capacity), fields: "", summary: "Space for disks" },
    Message { class: "org.zstack.header.storage.backup.APIQueryBackupStorageMsg", session: true, act: Act::Query(Kind::BackupStorage), fields: "conditions*, and the rest of the query language below", summary: "Query BackupStorage inventories" },
    // Networks.
    Message { class: "org.zstack.header.network.l3.APIQueryL3NetworkMsg", session: true, act: Act::Query(Kind::L3Network), fields: "conditions*, and the rest of the query language below", summary: "Query L3Network inventories" },
    Message { class: "org.zstack.header.network.l2.APIQueryL2NetworkMsg", session: true, act: Act::Query(Kind::L2Network), fields: "conditions*, and the rest of the query language below", summary: "Query L2Network inventories" },
    Message { class: "org.zstack.header.network.l3.APIQueryIpRangeMsg", session: true, act: Act::Query(Kind::IpRange), fields: "conditions*, and the rest of the query language below", summary: "Query IpRange inventories" },
    Message { class: "org.zstack.network.service.vip.APIQueryVipMsg", session: true, act: Act::Query(Kind::Vip), fields: "conditions*, and the rest of the query language below", summary: "Query Vip inventories" },
    Message { class: "org.zstack.network.securitygroup.APIQuerySecurityGroupMsg", session: true, act: Act::Query(Kind::SecurityGroup), fields: "conditions*, and the rest of the query language below", summary: "Query SecurityGroup inventories" },
    Message { class: "org.zstack.network.service.flat.APIGetL3NetworkDhcpIpAddressMsg", session: true, act: Act::Look(read::dhcp_address), fields: "l3NetworkUuid*", summary: "Address of the DHCP server of a network" },
    Message { class: "org.zstack.header.network.l3.APICreateL3NetworkMsg", session: true, act: NOT_BUILT, fields: "", summary: "Make a network" },
    Message { class: "org.zstack.header.network.l3.APIDeleteL3NetworkMsg", session: true, act: NOT_BUILT, fields: "", summary: "Remove a network" },
    Message { class: "org.zstack.header.network.l3.APIAddIpRangeMsg", session: true, act: NOT_BUILT, fields: "", summary: "Give a network addresses" },
    Message { class: "org.zstack.header.network.l3.APIGetFreeIpMsg", session: true, act: NOT_BUILT, fields: "", summary: "Free addresses of a network" },
    Message { class: "org.zstack.header.network.l2.APICreateL2NoVlanNetworkMsg", session: true, act: NOT_BUILT, fields: "", summary: "Make a bridge" },
    Message { class: "org.zstack.network.service.vip.APICreateVipMsg", session: true, act: NOT_BUILT, fields: "", summary: "Make a virtual address" },
    Message { class: "org.zstack.network.service.vip.APIDeleteVipMsg", session: true, act: NOT_BUILT, fields: "", summary: "Remove a virtual address" },
    Message { class: "org.zstack.network.securitygroup.APICreateSecurityGroupMsg", session: true, act: NOT_BUILT, fields: "", summary: "Make a security group" },
    // The node itself, tags, statistics.
    Message { class: "org.zstack.header.managementnode.APIGetVersionMsg", session: false, act: Act::Look(read::version), fields: "", summary: "Version of this node" },
    Message { class: "org.zstack.header.managementnode.APIGetCurrentTimeMsg", session: true, act: Act::Look(read::current_time), fields: "", summary: "Time of this node" },
    Message { class: "org.zstack.header.managementnode.APIQueryManagementNodeMsg", session: true, act: Act::Query(Kind::ManagementNode), fields: "conditions*, and the rest of the query language below", summary: "Query ManagementNode inventories" },
    Message { class: "org.zstack.header.apimediator.APIIsReadyToGoMsg", session: false, act: Act::Look(read::is_ready), fields: "", summary: "Does the node serve" },
    Message { class: "org.zstack.core.config.APIQueryGlobalConfigMsg", session: true, act: Act::Query(Kind::GlobalConfig), fields: "conditions*, and the rest of the query language below", summary: "Query GlobalConfig inventories" },
    Message { class: "org.zstack.core.config.APIGetGlobalConfigMsg", session: true, act: Act::Look(read::global_config), fields: "category*, name*", summary: "One setting" },
    Message { class: "org.zstack.header.tag.APIQuerySystemTagMsg", session: true, act: Act::Query(Kind::SystemTag), fields: "conditions*, and the rest of the query language below", summary: "Query SystemTag inventories" },
    Message { class: "org.zstack.header.tag.APIQueryUserTagMsg", session: true, act: Act::Query(Kind::UserTag), fields: "conditions*, and the rest of the query language below", summary: "Query UserTag inventories" },
    Message { class: "org.zstack.header.tag.APICreateSystemTagMsg", session: true, act: Act::Record(tag::create_system), fields: "resourceType*, resourceUuid*, tag*", summary: "Tag an object for the system" },
    Message { class: "org.zstack.header.tag.APICreateUserTagMsg", session: true, act: Act::Record(tag::create_user), fields: "resourceType*, resourceUuid*, tag*", summary: "Tag an object" },
    Message { class: "org.zstack.header.tag.APIDeleteTagMsg", session: true, act: Act::Record(tag::delete), fields: "uuid*, deleteMode", summary: "Remove a tag" },
    Message { class: "org.zstack.zwatch.api.APIGetMetricDataMsg", session: true, act: Act::Ask(metric::get), fields: "namespace* (ZStack/VM, ZStack/Host), metricName* (below), startTime, endTime (seconds; above 100000000000 milliseconds; the last hour if absent), period (seconds), labels (VMUuid=UUID or HostUuid=UUID)", summary: "Usage over time" },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn classes_are_named_by_the_rules_and_unique() {
        let mut classes = BTreeSet::new();
        for message in MESSAGES {
            let name = message.class.rsplit('.').next().unwrap_or_default();
            assert!(name.starts_with("API") && name.ends_with("Msg"), "{}", message.class);
            assert!(classes.insert(message.class), "{}", message.class);
            assert!(!message.is_change() || message.reply_class().ends_with("Event"), "{}", message.class);
        }
        assert_eq!(find("org.zstack.header.zone.APICreateZoneMsg").unwrap().reply_class(), "org.zstack.header.zone.APICreateZoneEvent");
    }
}
