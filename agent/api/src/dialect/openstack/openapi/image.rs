//! Glance.

use super::identity::maybe_text;
use super::shape::Kind::{Any, Ref, Text, Truth, Uuid, Whole, Word};
use super::shape::{Field, Kind, Named, f, list_of, map_of, nullable, object_of, opt};
use super::spec::{Gives, Spec, delete, empty, get, ok, patch, post, put};

fn visibility() -> Kind {
    Word(&["public", "private", "shared", "community"])
}
static IMAGE: Named = Named {
    name: "ImageObject",
    fields: || {
        vec![
            f("id", Uuid),
            f("name", Text),
            f("status", Word(&["queued", "saving", "importing", "active", "killed", "pending_delete"])),
            f("visibility", visibility()),
            f("protected", Truth),
            f("os_hidden", Truth),
            f("disk_format", maybe_text()),
            f("container_format", maybe_text()),
            f("size", nullable(Whole)),
            f("virtual_size", nullable(Whole)),
            f("min_disk", Whole).about("GiB."),
            f("min_ram", Whole).about("MiB."),
            f("checksum", maybe_text()),
            f("os_hash_algo", maybe_text()),
            f("os_hash_value", maybe_text()),
            f("owner", Text),
            f("tags", list_of(Text)),
            f("created_at", Text),
            f("updated_at", Text),
            f("self", Text),
            f("file", Text),
            f("schema", Text),
        ]
    },
    others: Some(|| Text),
};
static NEW_IMAGE: Named = Named {
    name: "NewImage",
    fields: || {
        vec![
            opt("id", Uuid),
            opt("name", Text),
            opt("disk_format", Word(&["qcow2", "raw", "iso", "aki", "ari"])),
            opt("container_format", Word(&["bare", "aki", "ari"])),
            opt("visibility", visibility()),
            opt("protected", Truth),
            opt("os_hidden", Truth),
            opt("min_disk", Whole),
            opt("min_ram", Whole),
            opt("tags", list_of(Text)),
            opt("owner", Any),
        ]
    },
    others: Some(|| Text),
};
fn step() -> Kind {
    object_of(vec![f("op", Word(&["add", "replace", "remove"])), f("path", Text), opt("value", Any)])
}
fn list_query() -> Vec<Field> {
    vec![
        opt("limit", Whole),
        opt("marker", Text),
        opt("name", Text),
        opt("status", Text),
        opt("visibility", Text),
        opt("id", Text).about("One, or `in:a,b`."),
        opt("tag", Text),
        opt("sort", Text),
        opt("sort_key", Text),
        opt("sort_dir", Text),
    ]
}
fn import() -> Kind {
    object_of(vec![
        f("method", object_of(vec![f("name", Word(&["web-download"])), f("uri", Text)])),
        opt("stores", Any),
        opt("all_stores", Any),
        opt("all_stores_must_succeed", Any),
    ])
}

/// Below `/image/v2`.
pub(super) fn specs() -> Vec<Spec> {
    vec![
        get("/images", ok!(f("images", list_of(Ref(&IMAGE))), f("first", Text), opt("next", Text), f("schema", Text))).query(list_query()),
        post("/images", Ref(&NEW_IMAGE), vec![(201, Gives::Body(Ref(&IMAGE)))]),
        get("/images/{id}", vec![(200, Gives::Body(Ref(&IMAGE)))]),
        patch("/images/{id}", list_of(step()), vec![(200, Gives::Body(Ref(&IMAGE)))]),
        delete("/images/{id}", empty!(204)),
        post("/images/{id}/import", import(), empty!(202)),
        put("/images/{id}/tags/{tag}", Any, empty!(204)).bare(),
        delete("/images/{id}/tags/{tag}", empty!(204)),
        put("/images/{id}/file", Any, empty!(204, 410)),
        get("/images/{id}/file", vec![(200, Gives::Bytes), (204, Gives::Nothing)]),
        get("/images/{id}/members", ok!(f("members", list_of(Any)), f("schema", Text))),
        get("/info/import", ok!(f("import-methods", object_of(vec![f("description", Text), f("type", Text), f("value", list_of(Text))])))),
        get("/info/stores", ok!(f("stores", list_of(object_of(vec![f("id", Text), f("default", Text)]))))),
        get("/schemas/image", schema()),
        get("/schemas/images", schema()),
    ]
}
fn schema() -> Vec<(u16, Gives)> {
    ok!(f("name", Text), f("properties", map_of(Any)), opt("additionalProperties", Any), f("links", list_of(Any)))
}
