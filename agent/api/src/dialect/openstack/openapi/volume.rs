//! Cinder.

use super::identity::{limits, links, maybe_text, quota};
use super::shape::Kind::{Any, Null, Ref, Text, Truth, Uuid, Whole, Word};
use super::shape::{Field, Kind, Named, f, list_of, map_of, object_of, opt};
use super::spec::{Gives, Spec, delete, empty, get, ok};

fn list_query() -> Vec<Field> {
    vec![
        opt("limit", Whole),
        opt("marker", Text),
        opt("name", Text),
        opt("status", Text),
        opt("sort", Text).about("`key:direction`"),
        opt("sort_key", Text),
        opt("sort_dir", Word(&["asc", "desc"])),
    ]
}
static BRIEF: Named = Named { name: "VolumeBrief", fields: || vec![f("id", Uuid), f("name", Text), f("links", links())], others: None };
fn attachment() -> Kind {
    object_of(vec![
        f("id", Uuid),
        f("attachment_id", Uuid),
        f("volume_id", Uuid),
        f("server_id", Uuid),
        f("host_name", Text),
        f("device", Text),
        f("attached_at", Text),
    ])
}
static VOLUME: Named = Named {
    name: "VolumeObject",
    fields: || {
        vec![
            f("id", Uuid),
            f("name", Text),
            f("description", Text),
            f("size", Whole).about("GiB."),
            f("status", Word(&["creating", "available", "in-use", "deleting", "error"])),
            f("attachments", list_of(attachment())),
            f("bootable", Word(&["true", "false"])),
            f("availability_zone", Text),
            f("volume_type", Text),
            f("metadata", map_of(Text)),
            f("encrypted", Truth),
            f("multiattach", Truth),
            f("snapshot_id", Null),
            f("source_volid", Null),
            f("consistencygroup_id", Null),
            f("replication_status", Null),
            f("created_at", Text),
            f("updated_at", Text),
            f("user_id", Text),
            f("links", links()),
            f("migration_status", Null),
            f("os-vol-host-attr:host", Text),
            f("os-vol-mig-status-attr:migstat", Null),
            f("os-vol-mig-status-attr:name_id", Null),
            f("os-vol-tenant-attr:tenant_id", Text),
            f("group_id", Null).since(13),
            f("provider_id", Null).since(21),
            f("shared_targets", Truth).since(48),
            f("service_uuid", Null).since(48),
        ]
    },
    others: None,
};
static TYPE: Named = Named {
    name: "VolumeType",
    fields: || {
        vec![
            f("id", Uuid),
            f("name", Text),
            f("description", Null),
            f("is_public", Truth),
            f("os-volume-type-access:is_public", Truth),
            f("qos_specs_id", Null),
            f("extra_specs", map_of(Text)),
        ]
    },
    others: None,
};
fn absolute() -> Vec<Field> {
    vec![
        f("maxTotalVolumes", Whole),
        f("maxTotalVolumeGigabytes", Whole),
        f("maxTotalSnapshots", Whole),
        f("maxTotalBackups", Whole),
        f("maxTotalBackupGigabytes", Whole),
        f("totalVolumesUsed", Whole),
        f("totalGigabytesUsed", Whole),
        f("totalSnapshotsUsed", Whole),
        f("totalBackupsUsed", Whole),
        f("totalBackupGigabytesUsed", Whole),
    ]
}
fn service() -> Kind {
    object_of(vec![
        f("binary", Text),
        f("host", Text),
        f("zone", Text),
        f("status", Text),
        f("state", Word(&["up", "down"])),
        f("updated_at", Text),
        f("disabled_reason", Null),
    ])
}
fn zone() -> Kind {
    object_of(vec![f("zoneName", Text), f("zoneState", object_of(vec![f("available", Truth)]))])
}
fn all_limits() -> Vec<Field> {
    limits(absolute())
}

/// Below `/volume/v3`.
pub(super) fn specs() -> Vec<Spec> {
    vec![
        get("/volumes", ok!(f("volumes", list_of(Ref(&BRIEF))), opt("volumes_links", links()))).query(list_query()),
        get("/volumes/detail", ok!(f("volumes", list_of(Ref(&VOLUME))), opt("volumes_links", links()))).query(list_query()),
        get("/volumes/{id}", ok!(f("volume", Ref(&VOLUME)))),
        delete("/volumes/{id}", empty!(202)),
        get("/snapshots", ok!(f("snapshots", list_of(Any)))),
        get("/snapshots/detail", ok!(f("snapshots", list_of(Any)))),
        get("/backups", ok!(f("backups", list_of(Any)))),
        get("/backups/detail", ok!(f("backups", list_of(Any)))),
        get("/types", ok!(f("volume_types", list_of(Ref(&TYPE))))).query(vec![opt("name", Text)]),
        get("/types/{id}", ok!(f("volume_type", Ref(&TYPE)))),
        get("/limits", ok!(f("limits", object_of(all_limits())))),
        get("/os-availability-zone", ok!(f("availabilityZoneInfo", list_of(zone())))),
        get("/os-services", ok!(f("services", list_of(service())))),
        get("/os-quota-sets/{project}", ok!(f("quota_set", object_of(quotas())))).query(vec![opt("usage", Text)]),
    ]
}
fn quotas() -> Vec<Field> {
    vec![
        f("id", maybe_text()),
        f("volumes", quota()),
        f("gigabytes", quota()),
        f("snapshots", quota()),
        f("backups", quota()),
        f("backup_gigabytes", quota()),
        f("per_volume_gigabytes", quota()),
        f("groups", quota()),
    ]
}
