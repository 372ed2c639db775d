//! What can be queried: the fields of each inventory, and which other inventories a dotted name reaches from it.

use super::super::inventory::{self, Scene};
use hvnode_core::{Result, fail};
use serde_json::Value;

/// One step of a dotted name: the objects of `kind` whose `theirs` is equal to `ours`.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) ours: &'static str,
    pub(super) theirs: &'static str,
}

macro_rules! kinds {
    ($($kind:ident $rows:path, [$($field:literal)*], [$($nested:literal)*], [$($join:literal $to:ident $ours:literal $theirs:literal;)*];)*) => {
        /// A kind of inventory.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in super::super) enum Kind { $($kind,)* }

        impl Kind {
            /// Every kind.
            #[cfg(test)]
            pub(in super::super) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Every object, oldest first.
            pub(in super::super) fn rows(self, scene: &Scene) -> Vec<Value> {
                match self { $(Self::$kind => $rows(scene),)* }
            }

            /// Fields that hold one value.
            pub(in super::super) fn scalars(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &[$($field,)*],)* }
            }

            /// Fields that hold lists.
            pub(in super::super) fn nested(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &[$($nested,)*],)* }
            }

            pub(super) fn joins(self) -> &'static [Join] {
                match self { $(Self::$kind => &[$(Join { name: $join, kind: Kind::$to, ours: $ours, theirs: $theirs },)*],)* }
            }
        }
    };
}

#[rustfmt::skip] // a table: kind, rows; fields; lists; other kinds that names reach
kinds! {
    VmInstance inventory::vms,
        ["uuid" "name" "description" "zoneUuid" "clusterUuid" "hostUuid" "lastHostUuid" "imageUuid" "instanceOfferingUuid" "rootVolumeUuid"
         "defaultL3NetworkUuid" "platform" "architecture" "type" "hypervisorType" "cpuNum" "cpuSpeed" "memorySize" "allocatorStrategy" "state"
         "createDate" "lastOpDate"],
        ["vmNics" "allVolumes"],
        ["vmNics" VmNic "uuid" "vmInstanceUuid"; "allVolumes" Volume "uuid" "vmInstanceUuid"; "rootVolume" Volume "rootVolumeUuid" "uuid";
         "host" Host "hostUuid" "uuid"; "zone" Zone "zoneUuid" "uuid"; "cluster" Cluster "clusterUuid" "uuid"; "image" Image "imageUuid" "uuid";
         "instanceOffering" InstanceOffering "instanceOfferingUuid" "uuid";];
    VmNic inventory::nics,
        ["uuid" "vmInstanceUuid" "l3NetworkUuid" "ip" "mac" "netmask" "gateway" "deviceId" "internalName" "hypervisorType" "metaData"
         "driverType" "type" "state" "createDate" "lastOpDate"],
        ["usedIps"],
        ["vmInstance" VmInstance "vmInstanceUuid" "uuid"; "l3Network" L3Network "l3NetworkUuid" "uuid";];
    Volume inventory::volumes,
        ["uuid" "name" "description" "primaryStorageUuid" "vmInstanceUuid" "diskOfferingUuid" "rootImageUuid" "installPath" "type" "format"
         "size" "actualSize" "deviceId" "state" "status" "isShareable" "createDate" "lastOpDate"],
        [],
        ["vmInstance" VmInstance "vmInstanceUuid" "uuid"; "primaryStorage" PrimaryStorage "primaryStorageUuid" "uuid";
         "image" Image "rootImageUuid" "uuid";];
    VolumeSnapshot inventory::none,
        ["uuid" "name" "description" "type" "volumeUuid" "treeUuid" "parentUuid" "format" "size" "volumeType" "latest" "state" "status"
         "primaryStorageUuid" "primaryStorageInstallPath" "createDate" "lastOpDate"],
        [], ["volume" Volume "volumeUuid" "uuid";];
    Host inventory::hosts,
        ["uuid" "name" "description" "zoneUuid" "clusterUuid" "managementIp" "hypervisorType" "state" "status" "totalCpuCapacity"
         "availableCpuCapacity" "cpuNum" "cpuSockets" "totalMemoryCapacity" "availableMemoryCapacity" "architecture" "username" "sshPort"
         "createDate" "lastOpDate"],
        [],
        ["zone" Zone "zoneUuid" "uuid"; "cluster" Cluster "clusterUuid" "uuid"; "vmInstance" VmInstance "uuid" "hostUuid";];
    Zone inventory::zones,
        ["uuid" "name" "description" "state" "type" "createDate" "lastOpDate"],
        [], ["cluster" Cluster "uuid" "zoneUuid"; "host" Host "uuid" "zoneUuid"; "vmInstance" VmInstance "uuid" "zoneUuid";];
    Cluster inventory::clusters,
        ["uuid" "name" "description" "state" "hypervisorType" "zoneUuid" "type" "createDate" "lastOpDate"],
        [], ["zone" Zone "zoneUuid" "uuid"; "host" Host "uuid" "clusterUuid"; "vmInstance" VmInstance "uuid" "clusterUuid";];
    Image inventory::images,
        ["uuid" "name" "description" "state" "status" "size" "actualSize" "md5Sum" "url" "mediaType" "guestOsType" "type" "platform"
         "architecture" "format" "system" "exportUrl" "createDate" "lastOpDate"],
        ["backupStorageRefs"], ["vmInstance" VmInstance "uuid" "imageUuid";];
    InstanceOffering inventory::offerings,
        ["uuid" "name" "description" "cpuNum" "cpuSpeed" "memorySize" "type" "allocatorStrategy" "sortKey" "state" "createDate" "lastOpDate"],
        [], ["vmInstance" VmInstance "uuid" "instanceOfferingUuid";];
    DiskOffering inventory::disk_offerings,
        ["uuid" "name" "description" "diskSize" "type" "allocatorStrategy" "sortKey" "state" "createDate" "lastOpDate"],
        [], [];
    PrimaryStorage inventory::primary_storages,
        ["uuid" "name" "url" "zoneUuid" "type" "totalCapacity" "availableCapacity" "totalPhysicalCapacity" "availablePhysicalCapacity"
         "systemUsedCapacity" "mountPath" "state" "status" "createDate" "lastOpDate"],
        ["attachedClusterUuids"], ["zone" Zone "zoneUuid" "uuid"; "volume" Volume "uuid" "primaryStorageUuid";];
    BackupStorage inventory::backup_storages,
        ["uuid" "name" "url" "type" "totalCapacity" "availableCapacity" "state" "status" "createDate" "lastOpDate"],
        ["attachedZoneUuids"], [];
    L3Network inventory::l3_networks,
        ["uuid" "name" "description" "type" "zoneUuid" "l2NetworkUuid" "state" "dnsDomain" "system" "category" "createDate" "lastOpDate"],
        ["dns" "ipRanges" "networkServices" "hostRoute"],
        ["l2Network" L2Network "l2NetworkUuid" "uuid"; "zone" Zone "zoneUuid" "uuid"; "ipRanges" IpRange "uuid" "l3NetworkUuid";
         "vmNic" VmNic "uuid" "l3NetworkUuid";];
    L2Network inventory::l2_networks,
        ["uuid" "name" "description" "zoneUuid" "physicalInterface" "type" "createDate" "lastOpDate"],
        ["attachedClusterUuids"], ["l3Network" L3Network "uuid" "l2NetworkUuid"; "zone" Zone "zoneUuid" "uuid";];
    IpRange inventory::ip_ranges,
        ["uuid" "l3NetworkUuid" "name" "startIp" "endIp" "netmask" "gateway" "networkCidr" "createDate" "lastOpDate"],
        [], ["l3Network" L3Network "l3NetworkUuid" "uuid";];
    Vip inventory::none,
        ["uuid" "name" "description" "ip" "l3NetworkUuid" "netmask" "gateway" "state" "useFor" "serviceProvider" "createDate" "lastOpDate"],
        [], [];
    SecurityGroup inventory::none, ["uuid" "name" "description" "state" "createDate" "lastOpDate"], ["rules" "attachedL3NetworkUuids"], [];
    Account inventory::accounts, ["uuid" "name" "description" "type" "createDate" "lastOpDate"], [], [];
    ManagementNode inventory::management_nodes, ["uuid" "hostName" "joinDate" "heartBeat"], [], [];
    GlobalConfig inventory::global_configs, ["category" "name" "description" "defaultValue" "value"], [], [];
    SystemTag inventory::system_tags, ["uuid" "resourceUuid" "resourceType" "tag" "type" "inherent" "createDate" "lastOpDate"], [], [];
    UserTag inventory::user_tags, ["uuid" "resourceUuid" "resourceType" "tag" "type" "createDate" "lastOpDate"], [], [];
}

/// Names that reach the tags of any object.
static TAGS: [(&str, Join); 2] = [
    ("__systemTag__", Join { name: "__systemTag__", kind: Kind::SystemTag, ours: "uuid", theirs: "resourceUuid" }),
    ("__userTag__", Join { name: "__userTag__", kind: Kind::UserTag, ours: "uuid", theirs: "resourceUuid" }),
];

/// The inventories that dotted names reach, each made once for a query.
#[derive(Debug)]
pub(super) struct Others<'a> {
    scene: &'a Scene,
    made: Vec<(Kind, Vec<Value>)>,
}

impl<'a> Others<'a> {
    pub(super) fn new(scene: &'a Scene) -> Self {
        Self { scene, made: Vec::new() }
    }

    pub(super) fn of(&mut self, kind: Kind) -> &[Value] {
        let at = self.made.iter().position(|(made, _)| *made == kind).unwrap_or_else(|| {
            self.made.push((kind, kind.rows(self.scene)));
            self.made.len() - 1
        });
        &self.made[at].1
    }
}

/// Most parts of a dotted name.
const PARTS_MAX: usize = 6;

/// A dotted name understood: the steps to other kinds, and the field at its end.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) joins: Vec<&'static Join>,
    pub(super) field: String,
}

impl Kind {
    /// Reads a dotted name.
    ///
    /// # Errors
    /// `ParameterInvalid` where there is no such field.
    pub(super) fn path(self, name: &str) -> Result<Path> {
        let unknown = || unknown_field("conditions", name);
        let parts: Vec<&str> = name.split('.').collect();
        let Some((last, steps)) = parts.split_last().filter(|_| parts.len() <= PARTS_MAX) else { return Err(unknown()) };
        let (mut kind, mut joins) = (self, Vec::new());
        for step in steps {
            let join = kind.joins().iter().find(|join| join.name == *step).ok_or_else(unknown)?;
            joins.push(join);
            kind = join.kind;
        }
        if let Some((_, join)) = TAGS.iter().find(|(word, _)| word == last) {
            joins.push(join);
            return Ok(Path { joins, field: "tag".to_owned() });
        }
        if !kind.scalars().contains(last) {
            return Err(unknown());
        }
        Ok(Path { joins, field: (*last).to_owned() })
    }

    /// Is it a field with one value?
    pub(super) fn check_scalar(self, place: &str, name: &str) -> Result<()> {
        if self.scalars().contains(&name) { Ok(()) } else { Err(unknown_field(place, name)) }
    }

    /// Is it a field?
    pub(super) fn check_field(self, place: &str, name: &str) -> Result<()> {
        if self.nested().contains(&name) { Ok(()) } else { self.check_scalar(place, name) }
    }
}

fn unknown_field(place: &str, name: &str) -> hvnode_core::AgentError {
    let shown: String = name.chars().take(64).collect::<String>().escape_debug().to_string();
    fail!(ParameterInvalid, "{place}: there is no field {shown} to use here"; "{place}: 没有可用的字段 {shown}")
}
