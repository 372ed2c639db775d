//! Neutron. `fields` may leave out any key of an object, so none is required.

use super::identity::{links, maybe_text, quota};
use super::shape::Kind::{Any, Null, Ref, Text, Truth, Uuid, Whole};
use super::shape::{Field, Kind, Named, f, list_of, map_of, nullable, object_of, opt};
use super::spec::{Gives, Spec, get, ok};

fn list_query() -> Vec<Field> {
    vec![
        opt("id", Text),
        opt("name", Text),
        opt("fields", Text).about("Only these keys; repeatable."),
        opt("limit", Text),
        opt("marker", Text),
        opt("sort_key", Text),
        opt("sort_dir", Text),
    ]
}
fn fields_query() -> Vec<Field> {
    vec![opt("fields", Text).about("Only these keys; repeatable.")]
}
fn addresses() -> Kind {
    list_of(object_of(vec![f("subnet_id", nullable(Uuid)), f("ip_address", Text)]))
}

static NETWORK: Named = Named {
    name: "Network",
    fields: || {
        vec![
            opt("id", Uuid),
            opt("name", Text),
            opt("description", Text),
            opt("status", Text),
            opt("admin_state_up", Truth),
            opt("shared", Truth),
            opt("project_id", Text),
            opt("tenant_id", Text),
            opt("subnets", list_of(Uuid)),
            opt("router:external", Truth),
            opt("is_default", Truth),
            opt("mtu", Whole),
            opt("port_security_enabled", Truth),
            opt("provider:network_type", Text),
            opt("provider:physical_network", maybe_text()),
            opt("provider:segmentation_id", Null),
            opt("availability_zone_hints", list_of(Text)),
            opt("availability_zones", list_of(Text)),
            opt("ipv4_address_scope", Null),
            opt("ipv6_address_scope", Null),
            opt("tags", list_of(Text)),
            opt("revision_number", Whole),
        ]
    },
    others: None,
};
static SUBNET: Named = Named {
    name: "Subnet",
    fields: || {
        vec![
            opt("id", Uuid),
            opt("name", Text),
            opt("description", Text),
            opt("network_id", Uuid),
            opt("cidr", Text),
            opt("ip_version", Whole),
            opt("gateway_ip", Text),
            opt("enable_dhcp", Truth),
            opt("allocation_pools", list_of(object_of(vec![f("start", Text), f("end", Text)]))),
            opt("dns_nameservers", list_of(Text)),
            opt("host_routes", list_of(Any)),
            opt("project_id", Text),
            opt("tenant_id", Text),
            opt("ipv6_address_mode", Null),
            opt("ipv6_ra_mode", Null),
            opt("subnetpool_id", Null),
            opt("service_types", list_of(Text)),
            opt("segment_id", Null),
            opt("tags", list_of(Text)),
            opt("revision_number", Whole),
        ]
    },
    others: None,
};
static PORT: Named = Named {
    name: "Port",
    fields: || {
        vec![
            opt("id", Uuid),
            opt("name", Text),
            opt("description", Text),
            opt("network_id", Uuid),
            opt("mac_address", Text),
            opt("fixed_ips", addresses()),
            opt("device_id", Uuid),
            opt("device_owner", Text),
            opt("status", Text),
            opt("admin_state_up", Truth),
            opt("security_groups", list_of(Uuid)),
            opt("project_id", Text),
            opt("tenant_id", Text),
            opt("binding:host_id", Text),
            opt("binding:vif_type", Text),
            opt("binding:vnic_type", Text),
            opt("binding:vif_details", map_of(Any)),
            opt("binding:profile", map_of(Any)),
            opt("allowed_address_pairs", list_of(Any)),
            opt("extra_dhcp_opts", list_of(Any)),
            opt("port_security_enabled", Truth),
            opt("dns_name", Text),
            opt("dns_assignment", list_of(Any)),
            opt("tags", list_of(Text)),
            opt("revision_number", Whole),
            opt("created_at", maybe_text()),
            opt("updated_at", maybe_text()),
        ]
    },
    others: None,
};
static GROUP: Named = Named {
    name: "SecurityGroup",
    fields: || {
        vec![
            opt("id", Uuid),
            opt("name", Text),
            opt("description", Text),
            opt("security_group_rules", list_of(Any)),
            opt("stateful", Truth),
            opt("shared", Truth),
            opt("project_id", Text),
            opt("tenant_id", Text),
            opt("tags", list_of(Text)),
            opt("revision_number", Whole),
        ]
    },
    others: None,
};
fn quotas() -> Vec<(u16, Gives)> {
    ok!(f("quota", map_of(quota())))
}

/// Below `/networking/v2.0`.
pub(super) fn specs() -> Vec<Spec> {
    vec![
        get("/networks", ok!(f("networks", list_of(Ref(&NETWORK))), opt("networks_links", links()))).query(list_query()),
        get("/networks/{id}", ok!(f("network", Ref(&NETWORK)))).query(fields_query()),
        get("/subnets", ok!(f("subnets", list_of(Ref(&SUBNET))), opt("subnets_links", links()))).query(list_query()),
        get("/subnets/{id}", ok!(f("subnet", Ref(&SUBNET)))).query(fields_query()),
        get("/ports", ok!(f("ports", list_of(Ref(&PORT))), opt("ports_links", links()))).query(list_query()),
        get("/ports/{id}", ok!(f("port", Ref(&PORT)))).query(fields_query()),
        get("/security-groups", ok!(f("security_groups", list_of(Ref(&GROUP))), opt("security_groups_links", links()))).query(list_query()),
        get("/security-groups/{id}", ok!(f("security_group", Ref(&GROUP)))).query(fields_query()),
        get("/security-group-rules", ok!(f("security_group_rules", list_of(Any)))),
        get("/extensions", ok!(f("extensions", list_of(Any)))),
        get("/extensions/{alias}", vec![]),
        get("/availability_zones", ok!(f("availability_zones", list_of(Any)))),
        get("/agents", ok!(f("agents", list_of(Any)))),
        get("/routers", ok!(f("routers", list_of(Any)))),
        get("/quotas/{project}", quotas()),
        get("/quotas/{project}/details", quotas()),
        get("/quotas/{project}/details.json", quotas()),
        get("/quotas/{project}/default", quotas()),
        get("/floatingips", ok!(f("floatingips", list_of(Any)))),
    ]
}
