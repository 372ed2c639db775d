//! The route table: everything this dialect serves, documents and offers comes from it.

use super::field::{Field, Kind, LIST, body, query};
use super::resource::{self, host, image, metrics, network, session, spec, statistic, vm, vm_change, volume, zone};
use super::route::{Handler, Offer, Reply, Resource, Route, Shape};
use super::shape::{
    ALERT, AZS, BUCKET, CLIENT, CLUSTERS, CPU_STATS, DISK_STATS, HOST_COUNTS, HOSTS, IMAGE, IMAGE_COUNTS, INSTANCE_SPEC, MEMORY_STATS,
    NET_STATS, NETWORK, NIC, OPERATION_LOG, POOL, POOL_COUNTS, SCREEN, SECURITY_GROUP, SESSION, SNAPSHOT, STATE_COUNTS, SUBNET, USER,
    USER_DEFAULT, VM, VM_COUNTS, VOLUME, VOLUME_SPEC,
};
use crate::access::Access;
use http::Method;
use hvnode_core::model::VerbKind as Verb;

const ONE_NODE: &str = "This is a single-node endpoint: it has one az, one cluster, one host and one storage pool";
const NO_HOTPLUG: &str = "Attaching and detaching is not in this version: volumes and NICs are made with their VM";
const NO_SNAPSHOTS: &str = "Snapshots are not in this version";
const NO_GROUPS: &str = "Security groups are not in this version: nothing is filtered";
const NO_NETWORKS: &str = "Networks are made by the operator of the node, not through this API";
const NO_SPECS: &str = "Volume specifications are not in this version: there is one, without limits";
const NO_SETTINGS: &str = "Changing the host is not in this version";
const NO_VOLUMES: &str = "Making and changing volumes is not in this version: they are made with their VM";
const NO_BUCKETS: &str = "This node has one image bucket";
const LABEL: &[Field] = &[body("name", Kind::Text(128)), body("description", Kind::Text(1024))];
const FORCE: &[Field] = &[query("force_del", Kind::Truth).about("true: also while it runs, and its data volumes with it.")];

macro_rules! to {
    ($handler:path) => {
        (|call, input| Box::pin($handler(call, input))) as Handler
    };
    ($handler:path, $figure:expr) => {
        (|call, input| Box::pin($handler(call, input, $figure))) as Handler
    };
}

/// `C` in the documents: the path of the one cluster.
macro_rules! cluster {
    ($rest:literal) => {
        concat!("/v1/az/{AzUuid}/cluster/{ClusterUuid}", $rest)
    };
}

fn row(method: Method, path: &'static str, offer: Offer, reply: Reply, fields: &[Field], summary: &'static str, handler: Handler) -> Route {
    let access = Route::access_of(offer, &method);
    Route { method, path, summary, offer, access, fields: fields.to_vec(), reply, handler }
}

fn read(path: &'static str, summary: &'static str, reply: Reply, handler: Handler) -> Route {
    row(Method::GET, path, Offer::Read, reply, &[], summary, handler)
}

fn list(path: &'static str, summary: &'static str, resource: &'static Resource, handler: Handler) -> Route {
    row(Method::GET, path, Offer::Read, Reply::List(resource), &[LIST, resource.filters].concat(), summary, handler)
}

fn change(
    method: Method,
    path: &'static str,
    verb: Verb,
    reply: Reply,
    fields: &[Field],
    summary: &'static str,
    handler: Handler,
) -> Route {
    row(method, path, Offer::Change(verb), reply, fields, summary, handler)
}

fn action(method: Method, path: &'static str, reply: Reply, fields: &[Field], summary: &'static str, handler: Handler) -> Route {
    row(method, path, Offer::Action, reply, fields, summary, handler)
}

fn refused(method: Method, path: &'static str, why: &'static str) -> Route {
    row(method, path, Offer::Refused(why), Reply::Never, &[], why, to!(resource::refused))
}

fn stats(path: &'static str, fields: &[Field], shape: Shape, handler: Handler) -> Route {
    row(Method::GET, path, Offer::Read, Reply::Points(shape), fields, "Usage over time", handler)
}

/// Every route.
pub(super) fn routes() -> Vec<Route> {
    let groups = [sessions(), zones(), hosts(), vms(), specs(), volumes(), images(), networks(), nics(), statistics(), usage()];
    groups.into_iter().flatten().collect()
}

fn sessions() -> Vec<Route> {
    let open = |path, reply, fields, summary, handler| row(Method::POST, path, Offer::Session, reply, fields, summary, handler);
    vec![
        open("/v1/login", Reply::Keyed("user", SESSION), session::LOGIN, "Open a session; `user.uuid` is the token", to!(session::log_in)),
        open("/v1/logout", Reply::Ok("user"), session::TOKEN, "End the session of this token", to!(session::log_out)),
        open("/v1/auth", Reply::Keyed("user", SESSION), session::TOKEN, "Is this token valid?", to!(session::check_token)),
        list("/v1/user", "Accounts; for others than administrators the own one", &USER, to!(session::list_users)),
        read("/v1/user/{UserUuid}", "One account", Reply::One(&USER), to!(session::show_user)),
        read("/v1/user/{UserUuid}/default", "Where its VMs go", Reply::Plain(USER_DEFAULT), to!(session::show_default)),
        list("/v1/operation_log", "Every change anybody asked for", &OPERATION_LOG, to!(session::list_operations)).access(Access::Log),
        list("/v1/alert", "Always empty: this node has no alerts of its own", &ALERT, to!(resource::empty)),
    ]
}

fn zones() -> Vec<Route> {
    const AZ: &str = "/v1/az/{AzUuid}";
    const CLUSTER: &str = cluster!("");
    vec![
        list("/v1/az", "The availability zone", &AZS, to!(zone::list_azs)),
        refused(Method::POST, "/v1/az", ONE_NODE),
        read(AZ, "The availability zone", Reply::One(&AZS), to!(zone::show_az)),
        action(Method::PATCH, AZ, Reply::Ok("az"), LABEL, "Rename the availability zone", to!(zone::rename_az)),
        refused(Method::DELETE, AZ, ONE_NODE),
        list("/v1/az/{AzUuid}/cluster", "The cluster", &CLUSTERS, to!(zone::list_clusters)),
        refused(Method::POST, "/v1/az/{AzUuid}/cluster", ONE_NODE),
        read(CLUSTER, "The cluster", Reply::One(&CLUSTERS), to!(zone::show_cluster)),
        action(Method::PATCH, CLUSTER, Reply::Ok("cluster"), LABEL, "Rename the cluster", to!(zone::rename_cluster)),
        refused(Method::DELETE, CLUSTER, ONE_NODE),
    ]
}

fn hosts() -> Vec<Route> {
    const HOST: &str = cluster!("/host/{HostUuid}");
    vec![
        list(cluster!("/host"), "This node", &HOSTS, to!(host::list_hosts)),
        refused(Method::POST, cluster!("/host"), ONE_NODE),
        read(HOST, "This node", Reply::One(&HOSTS), to!(host::show)),
        refused(Method::PATCH, HOST, NO_SETTINGS),
        refused(Method::DELETE, HOST, ONE_NODE),
        refused(Method::PUT, cluster!("/host/{HostUuid}/enable"), NO_SETTINGS),
        refused(Method::PUT, cluster!("/host/{HostUuid}/disable"), NO_SETTINGS),
        refused(Method::PUT, cluster!("/host/{HostUuid}/suspend"), NO_SETTINGS),
        refused(Method::PUT, cluster!("/host/{HostUuid}/drain"), ONE_NODE),
        refused(Method::PUT, cluster!("/host/{HostUuid}/migrate"), ONE_NODE),
        refused(Method::PUT, cluster!("/host/{HostUuid}/rebuild"), ONE_NODE),
        list("/v1/client", "This machine", &CLIENT, to!(host::list_clients)),
        list(cluster!("/storage_pool"), "The storage pool", &POOL, to!(host::list_pools)),
        refused(Method::POST, cluster!("/storage_pool"), ONE_NODE),
        list("/v1/storage_pool", "The storage pool", &POOL, to!(host::list_pools)),
    ]
}

fn vms() -> Vec<Route> {
    const PATH: &str = "/v1/vm/{VmUuid}";
    let ok = Reply::Ok("vm");
    vec![
        change(Method::POST, "/v1/vm", Verb::CreateVm, Reply::One(&VM), vm_change::CREATE, "Make and start a VM", to!(vm_change::create)),
        list("/v1/vm", "VMs", &VM, to!(vm::list)),
        read(PATH, "One VM", Reply::One(&VM), to!(vm::show)),
        change(Method::PATCH, PATH, Verb::UpdateVm, ok, vm_change::RENAME, "Rename a VM", to!(vm_change::rename)),
        change(Method::DELETE, PATH, Verb::DeleteVm, ok, FORCE, "Delete a VM", to!(vm_change::delete)),
        change(Method::PUT, "/v1/vm/{VmUuid}/start", Verb::StartVm, ok, &[], "Start a VM", to!(vm_change::start)),
        change(Method::PUT, "/v1/vm/{VmUuid}/stop", Verb::StopVm, ok, &[], "Stop a VM", to!(vm_change::stop)),
        read("/v1/vm/{VmUuid}/vnc", "Where the screen is", Reply::Keyed("vnc", SCREEN), to!(vm_change::screen)).access(Access::Console),
        refused(Method::PUT, "/v1/vm/{VmUuid}/attach_disk", NO_HOTPLUG),
        refused(Method::PUT, "/v1/vm/{VmUuid}/detach_disk", NO_HOTPLUG),
        refused(Method::PUT, "/v1/vm/{VmUuid}/attach_nic", NO_HOTPLUG),
        refused(Method::PUT, "/v1/vm/{VmUuid}/detach_nic", NO_HOTPLUG),
        refused(Method::PUT, "/v1/vm/{VmUuid}/migrate", ONE_NODE),
    ]
}

fn specs() -> Vec<Route> {
    const SPEC: &str = "/v1/instance_spec/{InstanceSpecUuid}";
    const DISK_SPEC: &str = "/v1/volume_spec/{VolumeSpecUuid}";
    let (ok, one) = (Reply::Ok("instance_spec"), Reply::One(&INSTANCE_SPEC));
    vec![
        list("/v1/instance_spec", "Instance specifications", &INSTANCE_SPEC, to!(spec::list)),
        change(Method::POST, "/v1/instance_spec", Verb::CreateSpecification, one, spec::CREATE, "Make one", to!(spec::create)),
        read(SPEC, "One instance specification", one, to!(spec::show)),
        change(Method::PATCH, SPEC, Verb::UpdateSpecification, ok, spec::UPDATE, "Change one", to!(spec::update)),
        change(Method::DELETE, SPEC, Verb::DeleteSpecification, ok, &[], "Remove one", to!(spec::delete)),
        list(cluster!("/instance_spec_relation"), "Those of the cluster: all", &INSTANCE_SPEC, to!(spec::list)),
        refused(Method::POST, cluster!("/instance_spec_relation"), ONE_NODE),
        list("/v1/volume_spec", "The volume specification", &VOLUME_SPEC, to!(volume::list_specs)),
        refused(Method::POST, "/v1/volume_spec", NO_SPECS),
        read(DISK_SPEC, "The volume specification", Reply::One(&VOLUME_SPEC), to!(volume::show_spec)),
        refused(Method::PATCH, DISK_SPEC, NO_SPECS),
        refused(Method::DELETE, DISK_SPEC, NO_SPECS),
        list(cluster!("/volume_spec_relation"), "That of the cluster", &VOLUME_SPEC, to!(volume::list_specs)),
        refused(Method::POST, cluster!("/volume_spec_relation"), ONE_NODE),
    ]
}

fn volumes() -> Vec<Route> {
    const VOLUME_PATH: &str = cluster!("/volume/{VolumeUuid}");
    const SNAPSHOTS: &str = "/v1/volume/{VolumeUuid}/snapshot";
    const ONE_SNAPSHOT: &str = "/v1/volume/{VolumeUuid}/snapshot/{SnapshotUuid}";
    let delete = to!(volume::delete);
    vec![
        list(cluster!("/volume"), "Volumes", &VOLUME, to!(volume::list)),
        refused(Method::POST, cluster!("/volume"), NO_VOLUMES),
        read(VOLUME_PATH, "One volume", Reply::One(&VOLUME), to!(volume::show)),
        refused(Method::PATCH, VOLUME_PATH, NO_VOLUMES),
        change(Method::DELETE, VOLUME_PATH, Verb::DeleteVolume, Reply::Ok("volume"), FORCE, "Delete a volume that no VM has", delete),
        list(SNAPSHOTS, "Always empty: snapshots are not in this version", &SNAPSHOT, to!(volume::list_snapshots)),
        refused(Method::POST, SNAPSHOTS, NO_SNAPSHOTS),
        read(ONE_SNAPSHOT, "Always 404: snapshots are not in this version", Reply::One(&SNAPSHOT), to!(volume::show_snapshot)),
        refused(Method::PATCH, ONE_SNAPSHOT, NO_SNAPSHOTS),
        refused(Method::DELETE, ONE_SNAPSHOT, NO_SNAPSHOTS),
        refused(Method::PUT, "/v1/volume/{VolumeUuid}/snapshot/{SnapshotUuid}/restore", NO_SNAPSHOTS),
        list("/v1/snapshot", "Always empty: snapshots are not in this version", &SNAPSHOT, to!(resource::empty)),
    ]
}

fn images() -> Vec<Route> {
    const PATH: &str = "/v1/image/{ImageUuid}";
    let (ok, one) = (Reply::Ok("image"), Reply::One(&IMAGE));
    let create = |path| change(Method::POST, path, Verb::CreateImage, one, image::CREATE, "Fetch an image", to!(image::create));
    vec![
        list("/v1/image", "Images", &IMAGE, to!(image::list)),
        create("/v1/image/public"),
        create("/v1/image/user"),
        read(PATH, "One image", one, to!(image::show)),
        change(Method::PATCH, PATH, Verb::UpdateImage, ok, image::UPDATE, "Change what is said about an image", to!(image::update)),
        change(Method::DELETE, PATH, Verb::DeleteImage, ok, &[], "Delete an image", to!(image::delete)),
        list("/v1/imagebucket", "The image bucket", &BUCKET, to!(image::list_buckets)),
        refused(Method::POST, "/v1/imagebucket", NO_BUCKETS),
    ]
}

fn networks() -> Vec<Route> {
    const PATH: &str = cluster!("/network/{NetworkUuid}");
    const SUBNETS: &str = cluster!("/network/{NetworkUuid}/subnet");
    const ONE_SUBNET: &str = cluster!("/network/{NetworkUuid}/subnet/{SubnetUuid}");
    vec![
        list(cluster!("/network"), "Networks", &NETWORK, to!(network::list_networks)),
        refused(Method::POST, cluster!("/network"), NO_NETWORKS),
        read(PATH, "One network", Reply::One(&NETWORK), to!(network::show_network)),
        refused(Method::PATCH, PATH, NO_NETWORKS),
        refused(Method::DELETE, PATH, NO_NETWORKS),
        list(SUBNETS, "The subnet of a network", &SUBNET, to!(network::list_subnets)),
        refused(Method::POST, SUBNETS, NO_NETWORKS),
        read(ONE_SUBNET, "The subnet of a network", Reply::One(&SUBNET), to!(network::show_subnet)),
        refused(Method::PATCH, ONE_SUBNET, NO_NETWORKS),
        refused(Method::DELETE, ONE_SUBNET, NO_NETWORKS),
    ]
}

fn nics() -> Vec<Route> {
    const PATH: &str = "/v1/nic/{NicUuid}";
    const GROUP: &str = "/v1/securitygroup/{SgUuid}";
    vec![
        list("/v1/nic", "NICs", &NIC, to!(network::list_nics)),
        refused(Method::POST, "/v1/nic", NO_HOTPLUG),
        read(PATH, "One NIC", Reply::One(&NIC), to!(network::show_nic)),
        action(Method::PATCH, PATH, Reply::Ok("vm"), LABEL, "Rename a NIC; the answer's key is vm", to!(network::rename_nic)),
        refused(Method::DELETE, PATH, NO_HOTPLUG),
        list("/v1/securitygroup", "The security group, which lets everything pass", &SECURITY_GROUP, to!(network::list_security_groups)),
        refused(Method::POST, "/v1/securitygroup", NO_GROUPS),
        read(GROUP, "The security group", Reply::One(&SECURITY_GROUP), to!(network::show_security_group)),
        refused(Method::PATCH, GROUP, NO_GROUPS),
        refused(Method::DELETE, GROUP, NO_GROUPS),
    ]
}

fn statistics() -> Vec<Route> {
    const HOST: &[Field] = &[query("cluster_uuid", Kind::Uuid), query("host_uuid", Kind::Uuid)];
    let counts = |path, summary, shape: Shape, handler| read(path, summary, Reply::Plain(shape), handler);
    vec![
        counts("/v1/vm_statistic", "VMs by state", VM_COUNTS, to!(statistic::vms)),
        counts("/v1/volume_statistic", "Volumes by state", STATE_COUNTS, to!(statistic::volumes)),
        counts("/v1/nic_statistic", "NICs by state", STATE_COUNTS, to!(statistic::nics)),
        counts("/v1/image_statistic", "Images by state", IMAGE_COUNTS, to!(statistic::images)),
        row(
            Method::GET,
            "/v1/host_statistic",
            Offer::Read,
            Reply::Plain(HOST_COUNTS),
            HOST,
            "What the host has left",
            to!(statistic::hosts),
        ),
        counts("/v1/storage_pool_statistic", "What the pool has left", POOL_COUNTS, to!(statistic::pools)),
    ]
}

fn usage() -> Vec<Route> {
    use metrics::Figure::{Cpu, Disk, Memory, Net};
    use metrics::{OF_HOST, OF_INTERFACE, OF_NODE, OF_VM, OF_VOLUME, of_host, of_interface, of_node, of_user, of_vm, of_volume};
    vec![
        stats("/v1/metrics/cpu", OF_VM, CPU_STATS, to!(of_vm, Cpu)),
        stats("/v1/metrics/memory", OF_VM, MEMORY_STATS, to!(of_vm, Memory)),
        stats("/v1/metrics/disk_io", OF_VM, DISK_STATS, to!(of_vm, Disk(None))),
        stats("/v1/metrics/net_io", OF_VM, NET_STATS, to!(of_vm, Net(None))),
        stats("/v1/metrics/host_cpu", OF_HOST, CPU_STATS, to!(of_host, Cpu)),
        stats("/v1/metrics/host_memory", OF_HOST, MEMORY_STATS, to!(of_host, Memory)),
        stats("/v1/metrics/volume_disk_io", OF_VOLUME, DISK_STATS, to!(of_volume)),
        stats("/v1/metrics/interface_net_io", OF_INTERFACE, NET_STATS, to!(of_interface)),
        stats("/v1/metrics/total_cpu", OF_NODE, CPU_STATS, to!(of_node, Cpu)),
        stats("/v1/metrics/total_memory", OF_NODE, MEMORY_STATS, to!(of_node, Memory)),
        stats("/v1/metrics/total_disk_io", OF_NODE, DISK_STATS, to!(of_node, Disk(None))),
        stats("/v1/metrics/total_net_io", OF_NODE, NET_STATS, to!(of_node, Net(None))),
        stats("/v1/metrics/user_cpu", OF_NODE, CPU_STATS, to!(of_user, Cpu)),
        stats("/v1/metrics/user_memory", OF_NODE, MEMORY_STATS, to!(of_user, Memory)),
    ]
}
