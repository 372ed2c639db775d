//! Servers and their parts.

use super::super::compute::view::{KEYS, Key};
use super::super::version::since;
use super::compute::group;
use super::identity::{links, maybe_text};
use super::shape::Kind::{Any, Count, Null, Ref, Text, Truth, Uuid, Whole, Word};
use super::shape::{Field, Kind, Named, either, f, list_of, map_of, nullable, object_of, opt};
use super::spec::{Gives, Spec, delete, empty, get, ok, post, put};

const STATUSES: &[&str] = &[
    "ACTIVE",
    "BUILD",
    "ERROR",
    "HARD_REBOOT",
    "MIGRATING",
    "PAUSED",
    "REBOOT",
    "REBUILD",
    "RESIZE",
    "REVERT_RESIZE",
    "SHUTOFF",
    "SUSPENDED",
    "UNKNOWN",
    "VERIFY_RESIZE",
];
fn addresses() -> Kind {
    map_of(list_of(object_of(vec![f("version", Whole), f("addr", Text), f("OS-EXT-IPS:type", Text), f("OS-EXT-IPS-MAC:mac_addr", Text)])))
}
fn flavor() -> Kind {
    either(vec![
        object_of(vec![f("id", Text), f("links", links())]),
        object_of(vec![
            f("vcpus", Whole),
            f("ram", Whole),
            f("disk", Whole),
            f("ephemeral", Whole),
            f("swap", Whole),
            f("original_name", Text),
            f("extra_specs", map_of(Text)),
        ]),
    ])
}
fn fault() -> Kind {
    object_of(vec![f("code", Whole), f("created", Text), f("message", Text), f("details", Text)])
}
fn group_names() -> Kind {
    list_of(object_of(vec![f("name", Text)]))
}
fn disk_config() -> Kind {
    Word(&["AUTO", "MANUAL"])
}

/// What stands under a key of a server.
fn kind_of(key: Key) -> Kind {
    match key {
        Key::Id => Uuid,
        Key::Status => Word(STATUSES),
        Key::Image => either(vec![Word(&[""]), object_of(vec![f("id", Uuid), f("links", links())])]),
        Key::Flavor => flavor(),
        Key::Metadata => map_of(Text),
        Key::Links => links(),
        Key::Addresses => addresses(),
        Key::DiskConfig => disk_config(),
        Key::Progress | Key::PowerState | Key::LaunchIndex => Whole,
        Key::Fault => fault(),
        Key::LoginPair | Key::LaunchedAt | Key::TaskState | Key::Description => maybe_text(),
        Key::SecurityGroups => group_names(),
        Key::Volumes => list_of(object_of(vec![f("id", Uuid), f("delete_on_termination", Truth).since(since::EXTENDED_ATTRIBUTES)])),
        Key::Locked => Truth,
        Key::HostStatus => Word(&["UP", "UNKNOWN"]),
        Key::Tags | Key::ServerGroups => list_of(Text),
        Key::TerminatedAt | Key::UserData | Key::TrustedCertificates => Null,
        Key::Name | Key::UserId | Key::TenantId | Key::Created | Key::Updated | Key::HostId | Key::AccessIpv4 | Key::AccessIpv6 => Text,
        Key::ConfigDrive | Key::Zone | Key::VmState | Key::Host | Key::InstanceName | Key::HypervisorHostname => Text,
        Key::ReservationId | Key::Hostname | Key::KernelId | Key::RamdiskId | Key::RootDevice => Text,
    }
}

/// The keys of the one table that servers are written from.
fn server_fields(is_change: bool) -> Vec<Field> {
    let shown = KEYS.iter().filter(|(_, _, _, is_in_change)| *is_in_change || !is_change);
    shown
        .map(|(key, name, since, _)| {
            let field = f(name, kind_of(*key)).since(*since);
            match key {
                Key::Progress => field.optional().about("While it is ACTIVE or changes."),
                Key::Fault => field.optional().about("Where the status is ERROR."),
                _ => field,
            }
        })
        .collect()
}

static SERVER: Named = Named { name: "Server", fields: || server_fields(false), others: None };
static CHANGED: Named = Named { name: "ServerChanged", fields: || server_fields(true), others: None };
static BRIEF: Named = Named { name: "ServerBrief", fields: || vec![f("id", Uuid), f("name", Text), f("links", links())], others: None };
static MADE: Named = Named {
    name: "ServerMade",
    fields: || {
        let common = [f("id", Uuid), f("links", links()), f("OS-DCF:diskConfig", disk_config())];
        common.into_iter().chain([f("security_groups", group_names()), opt("adminPass", Text)]).collect()
    },
    others: None,
};

static DISK: Named = Named {
    name: "BlockDevice",
    fields: || {
        vec![
            f("source_type", Word(&["image", "volume", "blank", "snapshot"])),
            opt("destination_type", nullable(Word(&["local", "volume"]))),
            opt("uuid", maybe_text()),
            opt("volume_size", nullable(Count(1, 1 << 20))).about("GiB."),
            opt("boot_index", nullable(Count(-1, 1000))).about("0: the root disk."),
            opt("delete_on_termination", Any),
            opt("device_name", Any),
            opt("disk_bus", Any),
            opt("device_type", Any),
            opt("guest_format", Any),
            opt("volume_type", Any),
            opt("tag", Any),
            opt("no_device", Any),
        ]
    },
    others: None,
};
fn nics() -> Kind {
    either(vec![
        Word(&["auto", "none"]),
        list_of(object_of(vec![opt("uuid", Text), opt("port", maybe_text()), opt("fixed_ip", maybe_text()), opt("tag", Any)])),
    ])
}
static WANTED: Named = Named {
    name: "WantedServer",
    fields: || {
        vec![
            f("name", Text),
            f("flavorRef", either(vec![Text, Whole])),
            opt("imageRef", maybe_text()).about("Or a block device with boot_index 0."),
            opt("networks", nullable(nics())).about("Must be sent from 2.37 on."),
            opt("block_device_mapping_v2", nullable(list_of(Ref(&DISK)))),
            opt("block_device_mapping", Null),
            opt("min_count", nullable(Count(1, 100))),
            opt("max_count", nullable(Count(1, 100))),
            opt("return_reservation_id", Any),
            opt("metadata", nullable(map_of(Text))),
            opt("user_data", maybe_text()).about("Base64."),
            opt("key_name", maybe_text()),
            opt("adminPass", maybe_text()),
            opt("config_drive", Any),
            opt("security_groups", nullable(group_names())),
            opt("availability_zone", maybe_text()),
            opt("accessIPv4", maybe_text()),
            opt("accessIPv6", maybe_text()),
            opt("OS-DCF:diskConfig", nullable(disk_config())),
            opt("description", maybe_text()).about("From 2.19."),
            opt("tags", nullable(list_of(Text))).about("From 2.52."),
            opt("personality", nullable(list_of(Any))).about("Until 2.56, empty."),
            opt("trusted_image_certificates", Null).about("From 2.63."),
        ]
    },
    others: None,
};
fn new_server() -> Kind {
    object_of(vec![f("server", Ref(&WANTED)), opt("os:scheduler_hints", Any), opt("OS-SCH-HNT:scheduler_hints", Any)])
}
fn change() -> Kind {
    object_of(vec![f(
        "server",
        object_of(vec![
            opt("name", maybe_text()),
            opt("description", maybe_text()).about("From 2.19."),
            opt("accessIPv4", maybe_text()),
            opt("accessIPv6", maybe_text()),
            opt("OS-DCF:diskConfig", nullable(disk_config())),
        ]),
    )])
}
fn list_query() -> Vec<Field> {
    vec![
        opt("name", Text).about("A regular expression: text, `^`, `$`, `.`, `.*`."),
        opt("status", Text),
        opt("image", Text),
        opt("flavor", Text),
        opt("host", Text),
        opt("ip", Text),
        opt("all_tenants", Text),
        opt("deleted", Text),
        opt("changes-since", Text),
        opt("limit", Text),
        opt("marker", Text),
        opt("sort_key", Text),
        opt("sort_dir", Text),
    ]
}

static INTERFACE: Named = Named {
    name: "InterfaceAttachment",
    fields: || {
        vec![
            f("port_id", Uuid),
            f("net_id", Uuid),
            f("mac_addr", Text),
            f("port_state", Text),
            f("fixed_ips", list_of(object_of(vec![f("subnet_id", nullable(Uuid)), f("ip_address", Text)]))),
            f("tag", Null).since(since::ATTACHMENT_TAG),
        ]
    },
    others: None,
};
static ATTACHMENT: Named = Named {
    name: "VolumeAttachment",
    fields: || {
        let common = [f("id", Uuid), f("volumeId", Uuid), f("serverId", Uuid), f("device", Text)];
        common.into_iter().chain([f("tag", Null).since(since::ATTACHMENT_TAG)]).collect()
    },
    others: None,
};

fn action_fields() -> Vec<Field> {
    vec![
        f("action", Text),
        f("instance_uuid", Uuid),
        f("request_id", Text),
        f("user_id", Text),
        f("project_id", Text),
        f("start_time", Text),
        f("message", maybe_text()),
        f("updated_at", Text).since(since::ACTION_UPDATED),
    ]
}

static ACTION: Named = Named { name: "InstanceAction", fields: action_fields, others: None };
fn event() -> Vec<Field> {
    vec![
        f("event", Text),
        f("start_time", Text),
        f("finish_time", maybe_text()),
        f("result", maybe_text()),
        opt("traceback", Null),
        f("hostId", Text).since(since::ACTION_HOST),
        f("host", Text).since(since::ACTION_HOST),
    ]
}
static WHOLE_ACTION: Named = Named {
    name: "InstanceActionWithEvents",
    fields: || action_fields().into_iter().chain([f("events", list_of(object_of(event())))]).collect(),
    others: None,
};
fn maybe_whole() -> Kind {
    nullable(Whole)
}
static DIAGNOSTICS: Named = Named {
    name: "Diagnostics",
    fields: || {
        vec![
            f("state", Text),
            f("driver", Text),
            f("hypervisor", Text),
            f("hypervisor_os", Text),
            f("uptime", maybe_whole()),
            f("config_drive", Truth),
            f("num_cpus", Whole),
            f("num_nics", Whole),
            f("num_disks", Whole),
            f("memory_details", object_of(vec![f("maximum", Whole), f("used", maybe_whole())])).about("MiB."),
            f("cpu_details", list_of(object_of(vec![f("id", Whole), f("time", maybe_whole()), f("utilisation", maybe_whole())]))),
            f("disk_details", list_of(object_of(disk_details()))),
            f("nic_details", list_of(object_of(nic_details()))),
        ]
    },
    others: None,
};
fn disk_details() -> Vec<Field> {
    vec![f("read_bytes", Whole), f("read_requests", Whole), f("write_bytes", Whole), f("write_requests", Whole), f("errors_count", Whole)]
}
fn nic_details() -> Vec<Field> {
    vec![
        f("mac_address", maybe_text()),
        f("rx_octets", Whole),
        f("rx_packets", Whole),
        f("rx_drop", Whole),
        f("rx_errors", Whole),
        f("rx_rate", maybe_whole()),
        f("tx_octets", Whole),
        f("tx_packets", Whole),
        f("tx_drop", Whole),
        f("tx_errors", Whole),
        f("tx_rate", maybe_whole()),
    ]
}
fn metadata() -> Kind {
    object_of(vec![f("metadata", map_of(Text))])
}
fn meta() -> Kind {
    object_of(vec![f("meta", map_of(Text))])
}
fn tags() -> Kind {
    object_of(vec![f("tags", list_of(Text))])
}
fn screen() -> Kind {
    object_of(vec![f("remote_console", object_of(vec![f("protocol", Word(&["vnc"])), f("type", Word(&["novnc", "xvpvnc"]))]))])
}
fn shown_screen() -> Kind {
    object_of(vec![f("protocol", Text), f("type", Text), f("url", Text)])
}
fn acted() -> Vec<(u16, Gives)> {
    vec![
        (
            200,
            Gives::Body(either(vec![
                object_of(vec![f("output", Text)]),
                object_of(vec![f("console", object_of(vec![f("type", Text), f("url", Text)]))]),
            ])),
        ),
        (202, Gives::Nothing),
        (204, Gives::Nothing),
    ]
}

/// Below `/compute/v2.1`. The body of an action is made of the table of actions.
pub(super) fn specs() -> Vec<Spec> {
    vec![
        get("/servers", ok!(f("servers", list_of(Ref(&BRIEF))), opt("servers_links", links()))).query(list_query()),
        post("/servers", new_server(), server_made()),
        get("/servers/detail", ok!(f("servers", list_of(Ref(&SERVER))), opt("servers_links", links()))).query(list_query()),
        get("/servers/{id}", ok!(f("server", Ref(&SERVER)))),
        put("/servers/{id}", change(), ok!(f("server", Ref(&CHANGED)))),
        delete("/servers/{id}", empty!(204)),
        post("/servers/{id}/action", Any, acted()),
        post("/servers/{id}/remote-consoles", screen(), ok!(f("remote_console", shown_screen()))),
        get("/servers/{id}/diagnostics", vec![(200, Gives::Body(either(vec![Ref(&DIAGNOSTICS), map_of(Whole)])))]),
        get("/servers/{id}/ips", ok!(f("addresses", addresses()))),
        get("/servers/{id}/ips/{network}", vec![(200, Gives::Body(addresses()))]),
        get("/servers/{id}/os-interface", ok!(f("interfaceAttachments", list_of(Ref(&INTERFACE))))),
        get("/servers/{id}/os-interface/{port}", ok!(f("interfaceAttachment", Ref(&INTERFACE)))),
        get("/servers/{id}/os-volume_attachments", ok!(f("volumeAttachments", list_of(Ref(&ATTACHMENT))))),
        get("/servers/{id}/os-volume_attachments/{volume}", ok!(f("volumeAttachment", Ref(&ATTACHMENT)))),
        get("/servers/{id}/os-security-groups", ok!(f("security_groups", list_of(group())))),
        get("/servers/{id}/os-instance-actions", ok!(f("instanceActions", list_of(Ref(&ACTION))), opt("links", links())))
            .query(vec![opt("limit", Whole), opt("marker", Text)]),
        get("/servers/{id}/os-instance-actions/{request}", ok!(f("instanceAction", Ref(&WHOLE_ACTION)))),
        get("/servers/{id}/migrations", ok!(f("migrations", list_of(Any)))),
        get("/servers/{id}/metadata", vec![(200, Gives::Body(metadata()))]),
        post("/servers/{id}/metadata", metadata(), vec![(200, Gives::Body(metadata()))]),
        put("/servers/{id}/metadata", metadata(), vec![(200, Gives::Body(metadata()))]),
        get("/servers/{id}/metadata/{key}", vec![(200, Gives::Body(meta()))]),
        put("/servers/{id}/metadata/{key}", meta(), vec![(200, Gives::Body(meta()))]),
        delete("/servers/{id}/metadata/{key}", empty!(204)),
        get("/servers/{id}/tags", vec![(200, Gives::Body(tags()))]),
        put("/servers/{id}/tags", tags(), vec![(200, Gives::Body(tags()))]),
        delete("/servers/{id}/tags", empty!(204)),
        get("/servers/{id}/tags/{tag}", empty!(204)),
        put("/servers/{id}/tags/{tag}", Any, empty!(201, 204)).bare(),
        delete("/servers/{id}/tags/{tag}", empty!(204)),
    ]
}
fn server_made() -> Vec<(u16, Gives)> {
    vec![(202, Gives::Body(either(vec![object_of(vec![f("server", Ref(&MADE))]), object_of(vec![f("reservation_id", Text)])])))]
}
