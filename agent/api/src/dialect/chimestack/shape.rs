//! Every object of this API: its fields in the order of the documents, and what its lists can be filtered by.

use super::field::{Field, Kind, query};
use super::route::Type::{Any, List, Null, Number, Text, Texts, Time, Uuid, UuidOrNone, Whole};
use super::route::{Resource, Shape};

const ANY: Kind = Kind::Text(128);
const STATE: Field = query("state", Kind::Whole(0, 9999));
const UUID: Field = query("uuid", Kind::Uuid);
const AZ: Field = query("az_uuid", Kind::Uuid);
const CLUSTER: Field = query("cluster_uuid", Kind::Uuid);
const HOST: Field = query("host_uuid", Kind::Uuid);

pub(super) const NAMED: Shape = &[("uuid", Uuid), ("name", Text)];

pub(super) const TASK: Shape = &[
    ("uuid", Uuid),
    ("request_id", Uuid),
    ("operation_name", Text),
    ("description", Text),
    ("resource_type", Text),
    ("resource_uuid", Uuid),
    ("state", Whole),
    ("created_at", Time),
    ("updated_at", Time),
    ("finished_at", Time),
];

pub(super) const NIC_SHAPE: Shape = &[
    ("uuid", Uuid),
    ("name", Text),
    ("description", Text),
    ("mac", Text),
    ("ip", Text),
    ("gateway", Text),
    ("netmask", Text),
    ("primary", Whole),
    ("state", Whole),
    ("network_name", Text),
    ("network_type", Whole),
    ("subnet_uuid", UuidOrNone),
    ("subnet_name", Text),
    ("subnet_cidr", Text),
    ("operation", Text),
    ("last_operation_name", Text),
    ("last_operation_state", Whole),
    ("last_operation_created_at", Time),
    ("last_operation_finished_at", Time),
    ("created_at", Time),
    ("attached_vms", List(NAMED)),
    ("tasks", List(TASK)),
];

pub(super) static NIC: Resource = Resource { key: "nic", title: "Nic", shape: NIC_SHAPE, filters: &[UUID, STATE] };

pub(super) const VOLUME_SHAPE: Shape = &[
    ("uuid", Uuid),
    ("name", Text),
    ("description", Text),
    ("az_uuid", Uuid),
    ("cluster_uuid", Uuid),
    ("host_uuid", Uuid),
    ("host_ip", Text),
    ("host_name", Text),
    ("size", Whole),
    ("format", Text),
    ("root", Whole),
    ("cdrom", Whole),
    ("type", Whole),
    ("state", Whole),
    ("image_uuid", UuidOrNone),
    ("image_name", Text),
    ("iops", Whole),
    ("throughput", Whole),
    ("volume_spec_uuid", Uuid),
    ("spec_name", Text),
    ("storage_pool_name", Text),
    ("storage_pool_type", Whole),
    ("version", Whole),
    ("parent_version", Whole),
    ("snapshot_count", Whole),
    ("snapshots", List(&[])),
    ("user_uuid", UuidOrNone),
    ("operation", Text),
    ("last_operation_name", Text),
    ("last_operation_state", Whole),
    ("last_operation_created_at", Time),
    ("last_operation_finished_at", Time),
    ("created_at", Time),
    ("attached_vms", List(NAMED)),
    ("tasks", List(TASK)),
];

pub(super) static VOLUME: Resource =
    Resource { key: "volume", title: "Volume", shape: VOLUME_SHAPE, filters: &[UUID, STATE, HOST, query("root", Kind::Flag)] };

pub(super) static SNAPSHOT: Resource = Resource {
    key: "snapshot",
    title: "Snapshot",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("state", Whole),
        ("operation", Text),
        ("volume_uuid", Uuid),
        ("volume_version", Whole),
        ("parent_volume_version", Whole),
        ("user_uuid", UuidOrNone),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

pub(super) static VM: Resource = Resource {
    key: "vm",
    title: "Vm",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("az_uuid", Uuid),
        ("cluster_uuid", Uuid),
        ("host_uuid", Uuid),
        ("host_name", Text),
        ("host_ip", Text),
        ("state", Whole),
        ("vcpus", Whole),
        ("memory", Whole),
        ("spec_type", Whole),
        ("hyper_type", Text),
        ("boot_type", Text),
        ("image_name", Text),
        ("os_arch", Text),
        ("os_type", Text),
        ("os_detail", Text),
        ("tags", Null),
        ("operation", Text),
        ("last_operation_name", Text),
        ("last_operation_state", Whole),
        ("last_operation_created_at", Time),
        ("last_operation_finished_at", Time),
        ("created_at", Time),
        ("nics", List(NIC_SHAPE)),
        ("volumes", List(VOLUME_SHAPE)),
        ("tasks", List(TASK)),
    ],
    filters: &[UUID, STATE, AZ, CLUSTER, HOST],
};

const HOST_SHAPE: Shape = &[
    ("uuid", Uuid),
    ("name", Text),
    ("description", Text),
    ("az_uuid", Uuid),
    ("cluster_uuid", Uuid),
    ("cluster_name", Text),
    ("manage_ip", Text),
    ("node_ip", Text),
    ("storage_ip", Text),
    ("reserved_ip1", Text),
    ("reserved_ip2", Text),
    ("rack_name", Text),
    ("state", Whole),
    ("monitor_state", Whole),
    ("heartbeat_at", Time),
    ("physical_vcpus", Whole),
    ("physical_memory", Whole),
    ("total_vcpus", Whole),
    ("total_memory", Whole),
    ("used_vcpus", Whole),
    ("used_memory", Whole),
    ("reserved_vcpus", Whole),
    ("reserved_memory", Whole),
    ("domains", Whole),
    ("active_domains", Whole),
    ("vm_count", Whole),
    ("vm_running_count", Whole),
    ("operation", Text),
    ("last_operation_name", Text),
    ("last_operation_state", Whole),
    ("last_operation_created_at", Time),
    ("last_operation_finished_at", Time),
    ("created_at", Time),
    ("networks", List(&[])),
    ("storage_pools", List(&[])),
    ("vms", List(&[])),
    ("tasks", List(TASK)),
];

pub(super) static HOSTS: Resource = Resource {
    key: "host",
    title: "Host",
    shape: HOST_SHAPE,
    filters: &[UUID, STATE, query("monitor_state", Kind::Whole(0, 9999)), query("rack_name", ANY), query("manage_ip", ANY)],
};

pub(super) static CLIENT: Resource = Resource {
    key: "client",
    title: "Client",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("manage_ip", Text),
        ("node_ip", Text),
        ("storage_ip", Text),
        ("reserved_ip1", Text),
        ("reserved_ip2", Text),
        ("rack_name", Text),
        ("state", Whole),
        ("monitor_state", Whole),
        ("heartbeat_at", Time),
        ("physical_vcpus", Whole),
        ("physical_memory", Whole),
        ("total_vcpus", Whole),
        ("total_memory", Whole),
        ("used_vcpus", Whole),
        ("used_memory", Whole),
        ("active_used_vcpus", Whole),
        ("active_used_memory", Whole),
        ("reserved_vcpus", Whole),
        ("reserved_memory", Whole),
        ("domains", Whole),
        ("active_domains", Whole),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

pub(super) static AZS: Resource = Resource {
    key: "az",
    title: "Az",
    shape: &[("uuid", Uuid), ("name", Text), ("description", Text), ("state", Whole), ("created_at", Time)],
    filters: &[UUID, STATE],
};

pub(super) static CLUSTERS: Resource = Resource {
    key: "cluster",
    title: "Cluster",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("arch", Text),
        ("hypervisor_type", Text),
        ("type", Whole),
        ("az_uuid", Uuid),
        ("az_name", Text),
        ("state", Whole),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

pub(super) static POOL: Resource = Resource {
    key: "storage_pool",
    title: "Storage pool",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("az_uuid", Uuid),
        ("cluster_uuid", Uuid),
        ("cluster_name", Text),
        ("type", Whole),
        ("meta", Text),
        ("physical_size", Whole),
        ("reserved_size", Whole),
        ("total_size", Whole),
        ("used_size", Whole),
        ("state", Whole),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

pub(super) static NETWORK: Resource = Resource {
    key: "network",
    title: "Network",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("interface_name", Text),
        ("type", Whole),
        ("vlan_id", Text),
        ("az_uuid", Uuid),
        ("cluster_uuid", Uuid),
        ("cluster_name", Text),
        ("state", Whole),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

pub(super) static SUBNET: Resource = Resource {
    key: "subnet",
    title: "Subnet",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("cidr", Text),
        ("gateway", Text),
        ("reserved_ips", Text),
        ("type", Whole),
        ("state", Whole),
        ("network_uuid", Uuid),
        ("network_name", Text),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

pub(super) static SECURITY_GROUP: Resource = Resource {
    key: "securitygroup",
    title: "Securitygroup",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("ingress_rules", List(RULE)),
        ("egress_rules", List(RULE)),
        ("nic_count", Whole),
        ("rule_count", Whole),
        ("state", Whole),
        ("operation", Text),
        ("last_operation_name", Text),
        ("last_operation_state", Whole),
        ("last_operation_created_at", Time),
        ("last_operation_finished_at", Time),
        ("tasks", List(TASK)),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

const RULE: Shape = &[
    ("uuid", Uuid),
    ("sg_uuid", Uuid),
    ("action", Text),
    ("protocol", Text),
    ("direction", Whole),
    ("sip", Text),
    ("sport", Text),
    ("dip", Text),
    ("dport", Text),
    ("priority", Whole),
    ("description", Text),
];

pub(super) static INSTANCE_SPEC: Resource = Resource {
    key: "instance_spec",
    title: "Instance spec",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("vcpus", Whole),
        ("memory", Whole),
        ("type", Whole),
        ("state", Whole),
        ("cluster_count", Whole),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

pub(super) static VOLUME_SPEC: Resource = Resource {
    key: "volume_spec",
    title: "Volume spec",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("min_iops", Whole),
        ("max_iops", Whole),
        ("step_iops", Whole),
        ("min_throughput", Whole),
        ("max_throughput", Whole),
        ("step_throughput", Whole),
        ("storage_pool_uuid", Uuid),
        ("storage_pool_name", Text),
        ("state", Whole),
        ("cluster_count", Whole),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

pub(super) static IMAGE: Resource = Resource {
    key: "image",
    title: "Image",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("description", Text),
        ("format", Text),
        ("boot_type", Text),
        ("os_arch", Text),
        ("os_type", Text),
        ("os_detail", Text),
        ("install_url", Text),
        ("bucket_uuid", Uuid),
        ("bucket_name", Text),
        ("shared", Whole),
        ("state", Whole),
        ("operation", Text),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE, query("os_type", ANY), query("format", ANY)],
};

pub(super) static BUCKET: Resource = Resource {
    key: "imagebucket",
    title: "Imagebucket",
    shape: &[
        ("uuid", Uuid),
        ("name", Text),
        ("bucket_name", Text),
        ("description", Text),
        ("type", Whole),
        ("image_count", Whole),
        ("state", Whole),
        ("user_name", Text),
        ("created_at", Time),
    ],
    filters: &[UUID, STATE],
};

pub(super) static ALERT: Resource =
    Resource { key: "alert", title: "Alert", shape: &[("uuid", Uuid), ("name", Text), ("created_at", Time)], filters: &[] };

pub(super) static USER: Resource = Resource {
    key: "user",
    title: "User",
    shape: &[("uuid", Uuid), ("name", Text), ("description", Text), ("role", Whole), ("state", Whole), ("created_at", Time)],
    filters: &[UUID, query("role", Kind::Whole(0, 3))],
};

pub(super) static OPERATION_LOG: Resource = Resource {
    key: "operation_log",
    title: "Operation log",
    shape: &[
        ("id", Uuid),
        ("user_uuid", Uuid),
        ("user_name", Text),
        ("ip", Text),
        ("method", Text),
        ("path", Text),
        ("input", Any),
        ("created_at", Time),
    ],
    filters: &[query("user_name", ANY)],
};

/// A session as log-in and its check show it.
pub(super) const SESSION: Shape = &[("uuid", Text), ("user_uuid", Uuid), ("created_at", Time), ("expired_at", Time)];
pub(super) const USER_DEFAULT: Shape = &[("az_uuid", Uuid), ("clusters_uuid", Texts)];
pub(super) const SCREEN: Shape = &[("host", Text), ("port", Whole), ("password", Text), ("protocol", Text)];
pub(super) const VM_COUNTS: Shape = &[
    ("total", Whole),
    ("running", Whole),
    ("stopped", Whole),
    ("paused", Whole),
    ("creating", Whole),
    ("error", Whole),
    ("unknown", Whole),
];
pub(super) const STATE_COUNTS: Shape =
    &[("total", Whole), ("available", Whole), ("attached", Whole), ("creating", Whole), ("error", Whole)];
pub(super) const IMAGE_COUNTS: Shape = &[("total", Whole), ("available", Whole), ("creating", Whole), ("error", Whole)];
pub(super) const HOST_COUNTS: Shape = &[
    ("total", Whole),
    ("healthy", Whole),
    ("total_vcpus", Whole),
    ("used_vcpus", Whole),
    ("total_memory", Whole),
    ("used_memory", Whole),
    ("vm_count", Whole),
    ("vm_running_count", Whole),
];
pub(super) const POOL_COUNTS: Shape = &[("total", Whole), ("total_size", Whole), ("used_size", Whole)];
pub(super) const CPU_STATS: Shape = &[("time", Time), ("usage", Number)];
pub(super) const MEMORY_STATS: Shape = &[("time", Time), ("total", Number), ("used", Number), ("available", Number), ("usage", Number)];
pub(super) const DISK_STATS: Shape =
    &[("time", Time), ("read_bytes", Number), ("write_bytes", Number), ("read_iops", Number), ("write_iops", Number)];
pub(super) const NET_STATS: Shape =
    &[("time", Time), ("rx_bytes", Number), ("tx_bytes", Number), ("rx_packets", Number), ("tx_packets", Number)];
