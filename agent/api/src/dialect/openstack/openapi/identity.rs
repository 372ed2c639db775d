//! Keystone.

use super::shape::Kind::{Any, Null, Ref, Text, Truth, Whole, Word};
use super::shape::{Field, Kind, Named, either, f, list_of, map_of, nullable, object_of, opt};
use super::spec::{Gives, Spec, delete, empty, get, head, ok, post};

pub(super) fn links() -> Kind {
    list_of(object_of(vec![f("rel", Word(&["self", "bookmark", "next"])), f("href", Text)]))
}
fn self_link() -> Kind {
    object_of(vec![f("self", Text)])
}
fn none() -> Kind {
    object_of(vec![])
}
fn pages() -> Field {
    f("links", object_of(vec![f("self", Text), f("previous", Null), f("next", Null)]))
}
fn by_name() -> Vec<Field> {
    vec![opt("name", Text)]
}
fn media() -> Kind {
    list_of(object_of(vec![f("base", Text), f("type", Text)]))
}

static VERSION: Named = Named {
    name: "IdentityVersion",
    fields: || vec![f("id", Text), f("status", Text), f("updated", Text), f("links", links()), f("media-types", media())],
    others: None,
};
fn domain_name() -> Kind {
    object_of(vec![f("id", Text), f("name", Text)])
}
fn endpoint() -> Vec<Field> {
    vec![f("id", Text), f("interface", Word(&["public", "internal", "admin"])), f("region", Text), f("region_id", Text), f("url", Text)]
}
static SERVICE_OF_CATALOG: Named = Named {
    name: "CatalogService",
    fields: || vec![f("id", Text), f("type", Text), f("name", Text), f("endpoints", list_of(object_of(endpoint())))],
    others: None,
};
static TOKEN: Named = Named {
    name: "Token",
    fields: || {
        vec![
            f("methods", list_of(Word(&["password", "token"]))),
            f("user", object_of(vec![f("id", Text), f("name", Text), f("domain", domain_name()), f("password_expires_at", Null)])),
            f("audit_ids", list_of(Text)),
            f("issued_at", Text),
            f("expires_at", Text),
            opt("project", object_of(vec![f("id", Text), f("name", Text), f("domain", domain_name())])).about("Only of a scoped token."),
            opt("is_domain", Truth),
            opt("roles", list_of(domain_name())),
            opt("catalog", list_of(Ref(&SERVICE_OF_CATALOG))),
        ]
    },
    others: None,
};
static PROJECT: Named = Named {
    name: "Project",
    fields: || {
        vec![
            f("id", Text),
            f("name", Text),
            f("domain_id", Text),
            f("parent_id", Text),
            f("description", Text),
            f("enabled", Truth),
            f("is_domain", Truth),
            f("tags", list_of(Text)),
            f("options", none()),
            f("links", self_link()),
        ]
    },
    others: None,
};
static DOMAIN: Named = Named {
    name: "Domain",
    fields: || {
        let common = [f("id", Text), f("name", Text), f("description", Text), f("enabled", Truth)];
        common.into_iter().chain([f("tags", list_of(Text)), f("options", none()), f("links", self_link())]).collect()
    },
    others: None,
};
static USER: Named = Named {
    name: "User",
    fields: || {
        let common = [f("id", Text), f("name", Text), f("domain_id", Text), f("enabled", Truth)];
        common.into_iter().chain([f("password_expires_at", Null), f("options", none()), f("links", self_link())]).collect()
    },
    others: None,
};
static ROLE: Named = Named {
    name: "Role",
    fields: || {
        let common = [f("id", Text), f("name", Text), f("domain_id", Null), f("description", Null)];
        common.into_iter().chain([f("options", none()), f("links", self_link())]).collect()
    },
    others: None,
};
fn id() -> Kind {
    object_of(vec![f("id", Text)])
}
static ASSIGNMENT: Named = Named {
    name: "RoleAssignment",
    fields: || vec![f("role", id()), f("user", id()), f("scope", object_of(vec![f("project", id())])), f("links", none())],
    others: None,
};
static SERVICE: Named = Named {
    name: "Service",
    fields: || vec![f("id", Text), f("type", Text), f("name", Text), f("enabled", Truth), f("links", none())],
    others: None,
};
static OWN_ENDPOINT: Named = Named {
    name: "Endpoint",
    fields: || endpoint().into_iter().chain([f("service_id", Text), f("enabled", Truth), f("links", none())]).collect(),
    others: None,
};
static REGION: Named = Named {
    name: "Region",
    fields: || vec![f("id", Text), f("description", Text), f("parent_region_id", Null), f("links", self_link())],
    others: None,
};

fn domain_ref() -> Kind {
    object_of(vec![opt("id", Text), opt("name", Text)])
}
fn log_in() -> Kind {
    object_of(vec![f(
        "auth",
        object_of(vec![
            f(
                "identity",
                object_of(vec![
                    f("methods", list_of(Word(&["password", "token"]))),
                    opt(
                        "password",
                        object_of(vec![f(
                            "user",
                            object_of(vec![opt("id", Text), opt("name", Text), f("password", Text), opt("domain", domain_ref())]),
                        )]),
                    ),
                    opt("token", object_of(vec![f("id", Text)])),
                ]),
            ),
            opt(
                "scope",
                either(vec![
                    Word(&["unscoped"]),
                    object_of(vec![f("project", object_of(vec![opt("id", Text), opt("name", Text), opt("domain", domain_ref())]))]),
                ]),
            )
            .about("A project by id, or by name and domain."),
        ]),
    )])
}

/// `/` and `/identity`.
pub(super) fn roots() -> Vec<Spec> {
    vec![get("/", versions()), get("/identity", versions())]
}
fn versions() -> Vec<(u16, Gives)> {
    vec![(300, Gives::Body(object_of(vec![f("versions", object_of(vec![f("values", list_of(Ref(&VERSION)))]))])))]
}
fn token_body() -> Kind {
    object_of(vec![f("token", Ref(&TOKEN))])
}
fn projects() -> Vec<(u16, Gives)> {
    ok!(f("projects", list_of(Ref(&PROJECT))), pages())
}

/// Below `/identity/v3`.
pub(super) fn specs() -> Vec<Spec> {
    vec![
        get("", ok!(f("version", Ref(&VERSION)))),
        post("/auth/tokens", log_in(), vec![(201, Gives::Body(token_body()))]),
        get("/auth/tokens", vec![(200, Gives::Body(token_body()))]).query(vec![opt("nocatalog", Text)]),
        head("/auth/tokens", empty!(200)),
        delete("/auth/tokens", empty!(204)),
        get("/auth/catalog", ok!(f("catalog", list_of(Ref(&SERVICE_OF_CATALOG))), f("links", self_link()))),
        get("/auth/projects", projects()).query(by_name()),
        post("/auth/projects", Any, projects()).query(by_name()).bare(),
        get("/auth/domains", ok!(f("domains", list_of(Ref(&DOMAIN))), pages())).query(by_name()),
        get("/projects", projects()).query(by_name()),
        get("/projects/{id}", ok!(f("project", Ref(&PROJECT)))),
        get("/domains", ok!(f("domains", list_of(Ref(&DOMAIN))), pages())).query(by_name()),
        get("/domains/{id}", ok!(f("domain", Ref(&DOMAIN)))),
        get("/users", ok!(f("users", list_of(Ref(&USER))), pages())).query(by_name()),
        get("/users/{id}", ok!(f("user", Ref(&USER)))),
        get("/users/{id}/projects", projects()).query(by_name()),
        get("/roles", ok!(f("roles", list_of(Ref(&ROLE))), pages())).query(by_name()),
        get("/roles/{id}", ok!(f("role", Ref(&ROLE)))),
        get("/role_assignments", ok!(f("role_assignments", list_of(Ref(&ASSIGNMENT))), pages())),
        get("/services", ok!(f("services", list_of(Ref(&SERVICE))), pages())).query(vec![opt("name", Text), opt("type", Text)]),
        get("/services/{id}", ok!(f("service", Ref(&SERVICE)))),
        get("/endpoints", ok!(f("endpoints", list_of(Ref(&OWN_ENDPOINT))), pages())),
        get("/regions", ok!(f("regions", list_of(Ref(&REGION))), pages())),
        get("/regions/{id}", ok!(f("region", Ref(&REGION)))),
    ]
}

/// The other discovery documents.
pub(super) fn discovery() -> Vec<Spec> {
    vec![
        get("/compute", ok!(f("versions", list_of(Ref(&COMPUTE_VERSION))))),
        get("/compute/v2.1", ok!(f("version", Ref(&COMPUTE_VERSION)))),
        get("/image", image_versions()),
        get("/image/versions", image_versions()),
        get("/networking", ok!(f("versions", list_of(object_of(vec![f("id", Text), f("status", Text), f("links", links())]))))),
        get("/networking/v2.0", ok!(f("resources", list_of(object_of(vec![f("name", Text), f("collection", Text), f("links", links())]))))),
        get("/volume", vec![(300, Gives::Body(object_of(vec![f("versions", list_of(Ref(&VOLUME_VERSION)))])))]),
        get("/volume/v3", ok!(f("versions", list_of(Ref(&VOLUME_VERSION))))),
    ]
}
fn image_versions() -> Vec<(u16, Gives)> {
    vec![(
        300,
        Gives::Body(object_of(vec![f("versions", list_of(object_of(vec![f("id", Text), f("status", Text), f("links", links())])))])),
    )]
}

fn microversions() -> Vec<Field> {
    vec![
        f("id", Text),
        f("status", Text),
        f("version", Text),
        f("min_version", Text),
        f("updated", Text),
        f("links", links()),
        opt("media-types", media()),
    ]
}

static COMPUTE_VERSION: Named = Named { name: "ComputeVersion", fields: microversions, others: None };
static VOLUME_VERSION: Named = Named { name: "VolumeVersion", fields: microversions, others: None };

/// `{"rate": [], "absolute": {…}}` of compute and volume.
pub(super) fn limits(absolute: Vec<Field>) -> Vec<Field> {
    vec![f("rate", list_of(Any)), f("absolute", object_of(absolute))]
}

/// A quota as a number, or with its use.
pub(super) fn quota() -> Kind {
    either(vec![Whole, map_of(Whole)])
}
/// What may be null.
pub(super) fn maybe_text() -> Kind {
    nullable(Text)
}
