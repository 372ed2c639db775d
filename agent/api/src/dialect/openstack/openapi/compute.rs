//! Nova without its servers.

use super::super::version::since;
use super::identity::{limits, links, maybe_text, quota};
use super::shape::Kind::{Any, Count, Null, Number, Ref, Text, Truth, Uuid, Whole, Word};
use super::shape::{Field, Kind, Named, either, f, list_of, map_of, nullable, object_of, opt};
use super::spec::{Gives, Spec, delete, empty, get, ok, post, put};

fn list_query() -> Vec<Field> {
    vec![opt("limit", Whole), opt("marker", Text), opt("sort_key", Text), opt("sort_dir", Word(&["asc", "desc"]))]
}
fn flavors() -> Vec<Field> {
    vec![
        opt("minRam", Whole).about("MiB."),
        opt("minDisk", Whole).about("GiB."),
        opt("is_public", Text),
        opt("limit", Whole),
        opt("marker", Text),
        opt("sort_key", Text),
        opt("sort_dir", Word(&["asc", "desc"])),
    ]
}

fn brief_flavor() -> Vec<Field> {
    vec![f("id", Text), f("name", Text), f("links", links()), f("description", maybe_text()).since(since::FLAVOR_DESCRIPTION)]
}

static BRIEF_FLAVOR: Named = Named { name: "FlavorBrief", fields: brief_flavor, others: None };
static FLAVOR: Named = Named {
    name: "Flavor",
    fields: || {
        let more = [
            f("ram", Whole).about("MiB."),
            f("disk", Whole).about("GiB."),
            f("vcpus", Whole),
            f("swap", either(vec![Whole, Word(&[""])])),
            f("OS-FLV-EXT-DATA:ephemeral", Whole),
            f("OS-FLV-DISABLED:disabled", Truth),
            f("os-flavor-access:is_public", Truth),
            f("rxtx_factor", Number),
            f("extra_specs", map_of(Text)).since(since::FLAVOR_EXTRA_SPECS),
        ];
        brief_flavor().into_iter().chain(more).collect()
    },
    others: None,
};
fn new_flavor() -> Kind {
    object_of(vec![f(
        "flavor",
        object_of(vec![
            f("name", Text),
            f("ram", Count(1, 1 << 31)).about("MiB."),
            f("vcpus", Count(1, 1 << 31)),
            f("disk", Count(0, 1 << 31)).about("GiB."),
            opt("id", Any).about("One is made where it is null or auto."),
            opt("description", maybe_text()).about("From 2.55."),
            opt("swap", Any).about("Only 0."),
            opt("OS-FLV-EXT-DATA:ephemeral", Any).about("Only 0."),
            opt("os-flavor-access:is_public", Any).about("Only true."),
            opt("rxtx_factor", Any),
        ]),
    )])
}

fn hypervisor_list() -> Vec<Field> {
    vec![
        opt("limit", Text),
        opt("marker", Text),
        opt("hypervisor_hostname_pattern", Text).about("From 2.53."),
        opt("with_servers", Text).about("From 2.53."),
    ]
}
fn server_ref() -> Kind {
    object_of(vec![f("uuid", Uuid), f("name", Text)])
}

fn brief_hypervisor() -> Vec<Field> {
    vec![
        f("id", either(vec![Whole, Uuid])).about("A uuid from 2.53."),
        f("hypervisor_hostname", Text),
        f("state", Word(&["up", "down"])),
        f("status", Word(&["enabled", "disabled"])),
        opt("servers", list_of(server_ref())).about("Where it is asked for."),
    ]
}

fn numbers() -> Vec<Field> {
    let names = [
        "vcpus",
        "vcpus_used",
        "memory_mb",
        "memory_mb_used",
        "free_ram_mb",
        "local_gb",
        "local_gb_used",
        "free_disk_gb",
        "disk_available_least",
        "running_vms",
        "current_workload",
    ];
    names.into_iter().map(|name| f(name, Whole)).collect()
}

static BRIEF_HYPERVISOR: Named = Named { name: "HypervisorBrief", fields: brief_hypervisor, others: None };
static HYPERVISOR: Named = Named {
    name: "Hypervisor",
    fields: || {
        let more = [
            f("host_ip", Text),
            f("hypervisor_type", Text),
            f("hypervisor_version", Whole),
            f("cpu_info", either(vec![Text, map_of(Any)])).about("An object from 2.28, its text before."),
            f("service", object_of(vec![f("id", either(vec![Whole, Uuid])), f("host", Text), f("disabled_reason", Null)])),
        ];
        brief_hypervisor().into_iter().chain(more).chain(numbers()).collect()
    },
    others: None,
};
static STATISTICS: Named =
    Named { name: "HypervisorStatistics", fields: || numbers().into_iter().chain([f("count", Whole)]).collect(), others: None };
static UPTIME: Named =
    Named { name: "HypervisorUptime", fields: || brief_hypervisor().into_iter().chain([f("uptime", Text)]).collect(), others: None };
static SERVICE: Named = Named {
    name: "ComputeService",
    fields: || {
        vec![
            f("id", either(vec![Whole, Uuid])),
            f("binary", Text),
            f("host", Text),
            f("zone", Text),
            f("status", Text),
            f("state", Word(&["up", "down"])),
            f("updated_at", Text),
            f("disabled_reason", Null),
            f("forced_down", Truth).since(since::SERVICE_FORCED_DOWN),
        ]
    },
    others: None,
};
fn zone() -> Kind {
    object_of(vec![
        f("zoneName", Text),
        f("zoneState", object_of(vec![f("available", Truth)])),
        f("hosts", either(vec![Null, map_of(map_of(object_of(vec![f("active", Truth), f("available", Truth), f("updated_at", Text)])))])),
    ])
}

fn absolute() -> Vec<Field> {
    vec![
        f("maxTotalInstances", Whole),
        f("maxTotalCores", Whole),
        f("maxTotalRAMSize", Whole),
        f("maxTotalKeypairs", Whole),
        f("maxServerMeta", Whole),
        f("maxServerGroups", Whole),
        f("maxServerGroupMembers", Whole),
        f("maxImageMeta", Whole).before(since::NO_IMAGE_METADATA),
        f("maxPersonality", Whole).before(since::NO_FLOATING_LIMITS),
        f("maxPersonalitySize", Whole).before(since::NO_FLOATING_LIMITS),
        f("maxTotalFloatingIps", Whole).before(since::NO_NETWORK_PROXY),
        f("maxSecurityGroups", Whole).before(since::NO_NETWORK_PROXY),
        f("maxSecurityGroupRules", Whole).before(since::NO_NETWORK_PROXY),
        f("totalFloatingIpsUsed", Whole).before(since::NO_NETWORK_PROXY),
        f("totalSecurityGroupsUsed", Whole).before(since::NO_NETWORK_PROXY),
        f("totalServerGroupsUsed", Whole),
        f("totalInstancesUsed", Whole),
        f("totalCoresUsed", Whole),
        f("totalRAMUsed", Whole),
    ]
}
fn all_limits() -> Vec<Field> {
    limits(absolute())
}
fn quota_set() -> Vec<Field> {
    vec![
        f("id", Text),
        f("instances", quota()),
        f("cores", quota()),
        f("ram", quota()),
        f("metadata_items", quota()),
        f("key_pairs", quota()),
        f("server_groups", quota()),
        f("server_group_members", quota()),
        f("fixed_ips", quota()).before(since::NO_NETWORK_PROXY),
        f("floating_ips", quota()).before(since::NO_NETWORK_PROXY),
        f("security_groups", quota()).before(since::NO_NETWORK_PROXY),
        f("security_group_rules", quota()).before(since::NO_NETWORK_PROXY),
        f("injected_files", quota()).before(since::NO_FLOATING_LIMITS),
        f("injected_file_content_bytes", quota()).before(since::NO_FLOATING_LIMITS),
        f("injected_file_path_bytes", quota()).before(since::NO_FLOATING_LIMITS),
    ]
}
fn quotas() -> Vec<(u16, Gives)> {
    ok!(f("quota_set", object_of(quota_set())))
}
/// The one security group as compute shows it.
pub(super) fn group() -> Kind {
    object_of(vec![f("id", Uuid), f("name", Text), f("description", Text), f("tenant_id", Text), f("rules", list_of(Any))])
}

fn brief_pair() -> Vec<Field> {
    vec![f("name", Text), f("public_key", Text), f("fingerprint", Text), f("type", Text).since(since::KEYPAIR_TYPE)]
}

static BRIEF_PAIR: Named = Named { name: "KeypairBrief", fields: brief_pair, others: None };
static NEW_PAIR: Named =
    Named { name: "KeypairMade", fields: || brief_pair().into_iter().chain([f("user_id", Text)]).collect(), others: None };
static PAIR: Named = Named {
    name: "Keypair",
    fields: || {
        let more =
            [f("user_id", Text), f("created_at", Text), f("updated_at", Null), f("deleted_at", Null), f("deleted", Truth), f("id", Whole)];
        brief_pair().into_iter().chain(more).collect()
    },
    others: None,
};
fn wanted_pair() -> Kind {
    object_of(vec![f(
        "keypair",
        object_of(vec![
            f("name", Text),
            f("public_key", Text),
            opt("type", maybe_text()).about("From 2.2: ssh."),
            opt("user_id", maybe_text()),
        ]),
    )])
}
fn of_user() -> Vec<Field> {
    vec![opt("user_id", Text).about("From 2.10.")]
}

static USAGE: Named = Named {
    name: "Usage",
    fields: || {
        vec![
            opt("tenant_id", Text),
            opt("start", Text),
            opt("stop", Text),
            opt("total_hours", Number),
            opt("total_vcpus_usage", Number),
            opt("total_memory_mb_usage", Number),
            opt("total_local_gb_usage", Number),
            opt("server_usages", list_of(server_usage())),
        ]
    },
    others: None,
};
fn server_usage() -> Kind {
    object_of(vec![
        f("instance_id", Uuid),
        f("name", Text),
        f("hours", Number),
        f("vcpus", Whole),
        f("memory_mb", Whole),
        f("local_gb", Whole),
        f("flavor", Text),
        f("state", Text),
        f("started_at", Text),
        f("ended_at", Null),
        f("uptime", Whole),
        f("tenant_id", Text),
    ])
}
fn span() -> Vec<Field> {
    vec![opt("start", Text), opt("end", Text), opt("detailed", Text)]
}

fn described_flavor() -> Kind {
    object_of(vec![f("flavor", object_of(vec![f("description", nullable(Text))]))])
}

/// Below `/compute/v2.1`, beside those of servers.
pub(super) fn specs() -> Vec<Spec> {
    vec![
        get("/flavors", ok!(f("flavors", list_of(Ref(&BRIEF_FLAVOR))), opt("flavors_links", links()))).query(flavors()),
        get("/flavors/detail", ok!(f("flavors", list_of(Ref(&FLAVOR))), opt("flavors_links", links()))).query(flavors()),
        post("/flavors", new_flavor(), ok!(f("flavor", Ref(&FLAVOR)))),
        get("/flavors/{id}", ok!(f("flavor", Ref(&FLAVOR)))),
        put("/flavors/{id}", described_flavor(), ok!(f("flavor", Ref(&FLAVOR)))),
        delete("/flavors/{id}", empty!(202)),
        get("/flavors/{id}/os-extra_specs", ok!(f("extra_specs", map_of(Text)))),
        get("/flavors/{id}/os-flavor-access", vec![]),
        get("/os-hypervisors", ok!(f("hypervisors", list_of(Ref(&BRIEF_HYPERVISOR))))).query(hypervisor_list()),
        get("/os-hypervisors/detail", ok!(f("hypervisors", list_of(Ref(&HYPERVISOR))))).query(hypervisor_list()),
        get("/os-hypervisors/statistics", ok!(f("hypervisor_statistics", Ref(&STATISTICS)))),
        get("/os-hypervisors/{id}", ok!(f("hypervisor", Ref(&HYPERVISOR)))).query(vec![opt("with_servers", Text)]),
        get("/os-hypervisors/{id}/uptime", ok!(f("hypervisor", Ref(&UPTIME)))),
        get("/os-hypervisors/{id}/search", ok!(f("hypervisors", list_of(Ref(&BRIEF_HYPERVISOR))))),
        get("/os-hypervisors/{id}/servers", ok!(f("hypervisors", list_of(Ref(&BRIEF_HYPERVISOR))))),
        get("/os-services", ok!(f("services", list_of(Ref(&SERVICE))))).query(vec![opt("host", Text), opt("binary", Text)]),
        get("/os-availability-zone", ok!(f("availabilityZoneInfo", list_of(zone())))),
        get("/os-availability-zone/detail", ok!(f("availabilityZoneInfo", list_of(zone())))),
        get("/limits", ok!(f("limits", object_of(all_limits())))),
        get("/os-quota-sets/{project}", quotas()),
        get("/os-quota-sets/{project}/detail", quotas()),
        get("/os-quota-sets/{project}/defaults", quotas()),
        get("/os-aggregates", ok!(f("aggregates", list_of(Any)))),
        get("/os-server-groups", ok!(f("server_groups", list_of(Any)))),
        get("/os-migrations", ok!(f("migrations", list_of(Any)))),
        get("/os-security-groups", ok!(f("security_groups", list_of(group())))),
        get("/extensions", ok!(f("extensions", list_of(Any)))),
        get("/os-keypairs", ok!(f("keypairs", list_of(object_of(vec![f("keypair", Ref(&BRIEF_PAIR))]))), opt("keypairs_links", links())))
            .query(list_query()),
        post("/os-keypairs", wanted_pair(), pair_made()),
        get("/os-keypairs/{name}", ok!(f("keypair", Ref(&PAIR)))).query(of_user()),
        delete("/os-keypairs/{name}", empty!(202, 204)).query(of_user()),
        get("/os-simple-tenant-usage", ok!(f("tenant_usages", list_of(Ref(&USAGE))))).query(span()),
        get("/os-simple-tenant-usage/{project}", ok!(f("tenant_usage", Ref(&USAGE)))).query(span()),
    ]
}
fn made() -> Kind {
    object_of(vec![f("keypair", Ref(&NEW_PAIR))])
}
/// 200 before 2.2.
fn pair_made() -> Vec<(u16, Gives)> {
    vec![(200, Gives::Body(made())), (201, Gives::Body(made()))]
}
