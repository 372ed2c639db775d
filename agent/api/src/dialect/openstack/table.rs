//! The route table: every route of this API, and nothing else decides which exist.

use super::call::{Call, Handler, Style};
use super::errors::Fault;
use super::{compute, identity, image, network, volume};
use crate::access::Access;
use crate::dialect::Offered;
use hvnode_core::model::VerbKind;

/// What a route takes as its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    None,
    Json,
    Stream,
}

/// Where a route stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At this path as it is.
    Root(Style),
    Identity,
    Compute,
    Image,
    Network,
    Volume,
}

/// One row of the table.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) place: Place,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) access: Access,
    /// May the token be one without a project?
    pub(super) is_identity: bool,
    pub(super) body: BodyKind,
    pub(super) verb: Option<VerbKind>,
    pub(super) is_built: bool,
    /// A list that shows nothing but the picture of the node, the records and the accounts.
    pub(super) is_cached: bool,
    pub(super) summary: &'static str,
    pub(super) handler: Handler,
}

/// A route at one of its paths.
pub(super) struct Mounted {
    pub(super) path: String,
    pub(super) style: Style,
    /// True where the path's first value is a project.
    pub(super) has_project: bool,
    pub(super) route: Route,
}

impl Route {
    fn new(place: Place, method: &'static str, path: &'static str, summary: &'static str, handler: Handler) -> Self {
        let (access, body) = match method {
            "GET" | "HEAD" => (Access::Read, BodyKind::None),
            "DELETE" => (Access::Change, BodyKind::None),
            _ => (Access::Change, BodyKind::Json),
        };
        Self { place, method, path, access, is_identity: false, body, verb: None, is_built: true, is_cached: false, summary, handler }
    }

    fn verb(self, verb: VerbKind) -> Self {
        Self { verb: Some(verb), ..self }
    }

    fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Of the identity service: any role, any token.
    fn identity(self) -> Self {
        Self { access: Access::Own, is_identity: true, ..self }
    }

    /// Of the identity service, and yet for a token with a project only.
    fn project(self) -> Self {
        Self { access: Access::Read, is_identity: false, ..self }
    }

    /// Does it change something, as far as its own row tells?
    pub(super) fn is_change(&self) -> bool {
        self.access == Access::Change
    }

    fn no_body(self) -> Self {
        Self { body: BodyKind::None, ..self }
    }

    fn cached(self) -> Self {
        Self { is_cached: true, ..self }
    }

    fn stream(self) -> Self {
        Self { body: BodyKind::Stream, ..self }
    }

    /// A route that is known and answers that this node does not do it.
    fn not_built(place: Place, method: &'static str, path: &'static str, summary: &'static str) -> Self {
        let handler: Handler = |call: Call| Box::pin(async move { Err(Fault::not_implemented(&call.action)) });
        Self { is_built: false, ..Self::new(place, method, path, summary, handler) }
    }

    /// Style, path before the row's own, whether a project stands in it.
    pub(super) fn roots(&self) -> &'static [(Style, &'static str, bool)] {
        match self.place {
            Place::Root(Style::Identity) => &[(Style::Identity, "", false)],
            Place::Root(Style::Compute) => &[(Style::Compute, "", false)],
            Place::Root(Style::Image) => &[(Style::Image, "", false)],
            Place::Root(Style::Volume) => &[(Style::Volume, "", false)],
            Place::Root(_) => &[(Style::Network, "", false)],
            Place::Identity => &[(Style::Identity, "/identity/v3", false), (Style::Identity, "/v3", false)],
            Place::Compute => &[
                (Style::Compute, "/compute/v2.1", false),
                (Style::Compute, "/compute/v2.1/{project_id}", true),
                (Style::Seed, "/v1/{project_id}", true),
            ],
            Place::Image => &[(Style::Image, "/image/v2", false)],
            Place::Network => &[(Style::Network, "/networking/v2.0", false)],
            Place::Volume => &[(Style::Volume, "/volume/v3", false), (Style::Volume, "/volume/v3/{project_id}", true)],
        }
    }

    pub(super) fn offered(self) -> Offered {
        let Self { method, path, verb, is_built, access, summary, .. } = self;
        Offered { method, path, verb, is_built, access, summary }
    }
}

/// Every route at every path, with and without a slash at its end.
pub(super) fn mounted() -> Vec<Mounted> {
    let mut all = Vec::new();
    for route in routes() {
        for (style, root, has_project) in route.roots() {
            let path = format!("{root}{}", route.path);
            let mut paths = vec![path.clone()];
            match path.strip_suffix('/') {
                Some("") => {}
                Some(bare) => paths.push(bare.to_owned()),
                None => paths.push(format!("{path}/")),
            }
            all.extend(paths.into_iter().map(|path| Mounted { path, style: *style, has_project: *has_project, route: route.clone() }));
        }
    }
    all
}

/// A handler without its own future type.
macro_rules! to {
    ($handler:path) => {
        |call| Box::pin($handler(call))
    };
}

/// Every route.
pub(super) fn routes() -> Vec<Route> {
    [identity_routes(), discovery(), servers(), server_parts(), flavors(), hosts(), compute_rest(), images(), networks(), volumes()]
        .into_iter()
        .flatten()
        .collect()
}

fn identity_routes() -> Vec<Route> {
    use Access::Public;
    let at = |method, path, summary, handler| Route::new(Place::Identity, method, path, summary, handler).identity();
    let root = |path| Route::new(Place::Root(Style::Identity), "GET", path, "Versions of the identity service", to!(identity::versions));
    vec![
        root("/").access(Public),
        root("/identity").access(Public),
        at("GET", "", "The version of the identity service", to!(identity::version)).access(Public),
        at("POST", "/auth/tokens", "Log in", to!(identity::log_in)).access(Public),
        at("GET", "/auth/tokens", "What a token stands for", to!(identity::show_token)),
        at("HEAD", "/auth/tokens", "Is a token valid?", to!(identity::check_token)),
        at("DELETE", "/auth/tokens", "End a token", to!(identity::revoke_token)),
        at("GET", "/auth/catalog", "Services and where they are", to!(identity::catalog)).project(),
        at("GET", "/auth/projects", "Projects that the caller may use: the one", to!(identity::projects)),
        at("POST", "/auth/projects", "The same as GET", to!(identity::projects)),
        at("GET", "/auth/domains", "Domains that the caller may use: the one", to!(identity::domains)),
        at("GET", "/projects", "Projects: the one", to!(identity::projects)),
        at("GET", "/projects/{id}", "One project", to!(identity::project)),
        at("GET", "/domains", "Domains: the one", to!(identity::domains)),
        at("GET", "/domains/{id}", "One domain", to!(identity::domain)),
        at("GET", "/users", "Users", to!(identity::users)),
        at("GET", "/users/{id}", "One user", to!(identity::user)),
        at("GET", "/users/{id}/projects", "Projects of a user: the one", to!(identity::projects)),
        at("GET", "/roles", "Roles", to!(identity::roles)),
        at("GET", "/roles/{id}", "One role", to!(identity::role)),
        at("GET", "/role_assignments", "Who has which role", to!(identity::role_assignments)),
        at("GET", "/services", "Services", to!(identity::services)),
        at("GET", "/services/{id}", "One service", to!(identity::service)),
        at("GET", "/endpoints", "Where services are", to!(identity::endpoints)),
        at("GET", "/regions", "Regions: the one", to!(identity::regions)),
        at("GET", "/regions/{id}", "One region", to!(identity::region)),
    ]
}

fn discovery() -> Vec<Route> {
    let at = |style, path, summary, handler| Route::new(Place::Root(style), "GET", path, summary, handler).access(Access::Public);
    vec![
        at(Style::Compute, "/compute", "Versions of compute", to!(compute::discovery::versions)),
        at(Style::Compute, "/compute/v2.1", "The version of compute", to!(compute::discovery::version)),
        at(Style::Image, "/image", "Versions of image", to!(image::versions)),
        at(Style::Image, "/image/versions", "Versions of image", to!(image::versions)),
        at(Style::Network, "/networking", "Versions of network", to!(network::versions)),
        at(Style::Network, "/networking/v2.0", "Resources of network", to!(network::resources)),
        at(Style::Volume, "/volume", "Versions of volume", to!(volume::versions)),
        at(Style::Volume, "/volume/v3", "The version of volume", to!(volume::version)),
    ]
}

fn servers() -> Vec<Route> {
    use compute::{actions, create, servers as s};
    let at = |method, path, summary, handler| Route::new(Place::Compute, method, path, summary, handler);
    vec![
        at("GET", "/servers", "Servers", to!(s::list)).cached(),
        at("POST", "/servers", "Make servers", to!(create::create)).verb(VerbKind::CreateVm),
        at("GET", "/servers/detail", "Servers with everything", to!(s::detail)).cached(),
        at("GET", "/servers/{id}", "One server", to!(s::show)),
        at("PUT", "/servers/{id}", "Change name, description, access addresses", to!(s::update)).verb(VerbKind::UpdateVm),
        at("DELETE", "/servers/{id}", "Remove a server", to!(s::delete)).verb(VerbKind::DeleteVm),
        at("POST", "/servers/{id}/action", "Act on a server", to!(actions::run)).access(Access::Read),
    ]
}

fn server_parts() -> Vec<Route> {
    use compute::{actions_log, console, diagnostics, metadata, parts, tags};
    let at = |method, path, summary, handler| Route::new(Place::Compute, method, path, summary, handler);
    let later = |method, path, summary| Route::not_built(Place::Compute, method, path, summary);
    vec![
        at("POST", "/servers/{id}/remote-consoles", "Where the screen of a server is", to!(console::remote)).access(Access::Console),
        at("GET", "/servers/{id}/diagnostics", "Counters of a running server", to!(diagnostics::show)),
        at("GET", "/servers/{id}/ips", "Addresses", to!(parts::addresses)),
        at("GET", "/servers/{id}/ips/{network}", "Addresses on one network", to!(parts::addresses_on)),
        at("GET", "/servers/{id}/os-interface", "NICs", to!(parts::interfaces)),
        at("GET", "/servers/{id}/os-interface/{port}", "One NIC", to!(parts::interface)),
        later("POST", "/servers/{id}/os-interface", "Attach a NIC"),
        later("DELETE", "/servers/{id}/os-interface/{port}", "Detach a NIC"),
        at("GET", "/servers/{id}/os-volume_attachments", "Volumes of a server", to!(parts::attachments)),
        at("GET", "/servers/{id}/os-volume_attachments/{volume}", "One volume of a server", to!(parts::attachment)),
        later("POST", "/servers/{id}/os-volume_attachments", "Attach a volume"),
        later("PUT", "/servers/{id}/os-volume_attachments/{volume}", "Exchange a volume"),
        later("DELETE", "/servers/{id}/os-volume_attachments/{volume}", "Detach a volume"),
        at("GET", "/servers/{id}/os-security-groups", "Security groups of a server: the one", to!(parts::security_groups)),
        at("GET", "/servers/{id}/os-instance-actions", "What was done to a server", to!(actions_log::list)),
        at("GET", "/servers/{id}/os-instance-actions/{request}", "One thing that was done", to!(actions_log::show)),
        at("GET", "/servers/{id}/migrations", "Migrations in flight: none on one node", to!(parts::migrations)),
        at("GET", "/servers/{id}/metadata", "Metadata", to!(metadata::list)),
        at("POST", "/servers/{id}/metadata", "Add metadata", to!(metadata::add)).verb(VerbKind::UpdateVm),
        at("PUT", "/servers/{id}/metadata", "Replace metadata", to!(metadata::replace)).verb(VerbKind::UpdateVm),
        at("GET", "/servers/{id}/metadata/{key}", "One pair", to!(metadata::show)),
        at("PUT", "/servers/{id}/metadata/{key}", "Set one pair", to!(metadata::set)).verb(VerbKind::UpdateVm),
        at("DELETE", "/servers/{id}/metadata/{key}", "Remove one pair", to!(metadata::remove)).verb(VerbKind::UpdateVm),
        at("GET", "/servers/{id}/tags", "Tags", to!(tags::list)),
        at("PUT", "/servers/{id}/tags", "Replace all tags", to!(tags::replace)),
        at("DELETE", "/servers/{id}/tags", "Remove all tags", to!(tags::clear)),
        at("GET", "/servers/{id}/tags/{tag}", "Is there such a tag?", to!(tags::check)),
        at("PUT", "/servers/{id}/tags/{tag}", "Add a tag", to!(tags::add)),
        at("DELETE", "/servers/{id}/tags/{tag}", "Remove a tag", to!(tags::remove)),
    ]
}

fn flavors() -> Vec<Route> {
    use compute::flavors as f;
    let at = |method, path, summary, handler| Route::new(Place::Compute, method, path, summary, handler);
    vec![
        at("GET", "/flavors", "Flavors", to!(f::list)).cached(),
        at("GET", "/flavors/detail", "Flavors with everything", to!(f::detail)).cached(),
        at("POST", "/flavors", "Make a flavor", to!(f::create)).verb(VerbKind::CreateSpecification),
        at("GET", "/flavors/{id}", "One flavor", to!(f::show)),
        at("PUT", "/flavors/{id}", "Describe a flavor", to!(f::update)).verb(VerbKind::UpdateSpecification),
        at("DELETE", "/flavors/{id}", "Remove a flavor", to!(f::delete)).verb(VerbKind::DeleteSpecification),
        at("GET", "/flavors/{id}/os-extra_specs", "Extra specifications: none", to!(f::extra_specs)),
        at("GET", "/flavors/{id}/os-flavor-access", "Who may use a private flavor: there is none", to!(f::access)),
        Route::not_built(Place::Compute, "POST", "/flavors/{id}/os-extra_specs", "Set extra specifications"),
        Route::not_built(Place::Compute, "POST", "/flavors/{id}/action", "Give access to a private flavor"),
    ]
}

fn hosts() -> Vec<Route> {
    use compute::hypervisors as h;
    let at = |path, summary, handler| Route::new(Place::Compute, "GET", path, summary, handler);
    vec![
        at("/os-hypervisors", "Hypervisors: this node", to!(h::list)),
        at("/os-hypervisors/detail", "Hypervisors with everything", to!(h::detail)),
        at("/os-hypervisors/statistics", "The node in numbers", to!(h::statistics)),
        at("/os-hypervisors/{id}", "One hypervisor", to!(h::show)),
        at("/os-hypervisors/{id}/uptime", "How long it runs", to!(h::uptime)),
        at("/os-hypervisors/{id}/search", "Hypervisors by a part of the name", to!(h::search)),
        at("/os-hypervisors/{id}/servers", "Servers of hypervisors by a part of the name", to!(h::servers)),
        at("/os-services", "Services: compute on this node", to!(h::services)),
        at("/os-availability-zone", "Availability zones: the one", to!(h::zones)),
        at("/os-availability-zone/detail", "Availability zones with hosts", to!(h::zones_detail)),
    ]
}

fn compute_rest() -> Vec<Route> {
    use compute::{keypairs as k, limits as l, parts, usage};
    let at = |method, path, summary, handler| Route::new(Place::Compute, method, path, summary, handler);
    vec![
        at("GET", "/limits", "Limits and use", to!(l::limits)),
        at("GET", "/os-quota-sets/{project}", "Quotas", to!(l::quotas)),
        at("GET", "/os-quota-sets/{project}/detail", "Quotas and use", to!(l::quotas_detail)),
        at("GET", "/os-quota-sets/{project}/defaults", "Quotas", to!(l::quotas)),
        Route::not_built(Place::Compute, "PUT", "/os-quota-sets/{project}", "Set quotas"),
        at("GET", "/os-aggregates", "Host aggregates: none", to!(parts::aggregates)),
        at("GET", "/os-server-groups", "Server groups: none", to!(parts::server_groups)),
        Route::not_built(Place::Compute, "POST", "/os-server-groups", "Make a server group"),
        at("GET", "/os-migrations", "Migrations: none on one node", to!(parts::migrations)),
        at("GET", "/os-security-groups", "Security groups: the one", to!(parts::all_security_groups)),
        at("GET", "/extensions", "Extensions: none", to!(parts::extensions)),
        at("GET", "/os-keypairs", "Key pairs", to!(k::list)),
        at("POST", "/os-keypairs", "Take a public key", to!(k::create)),
        at("GET", "/os-keypairs/{name}", "One key pair", to!(k::show)),
        at("DELETE", "/os-keypairs/{name}", "Remove a key pair", to!(k::delete)),
        at("GET", "/os-simple-tenant-usage", "Use of the project", to!(usage::list)),
        at("GET", "/os-simple-tenant-usage/{project}", "Use of the project", to!(usage::show)),
    ]
}

fn images() -> Vec<Route> {
    use image as i;
    let at = |method, path, summary, handler| Route::new(Place::Image, method, path, summary, handler);
    vec![
        at("GET", "/images", "Images", to!(i::list)).cached(),
        at("POST", "/images", "Announce an image", to!(i::change::create)),
        at("GET", "/images/{id}", "One image", to!(i::show)),
        at("PATCH", "/images/{id}", "Change what is said about an image", to!(i::change::patch)).verb(VerbKind::UpdateImage),
        at("DELETE", "/images/{id}", "Remove an image", to!(i::change::delete)).verb(VerbKind::DeleteImage),
        at("POST", "/images/{id}/import", "Fetch an announced image from a URL", to!(i::change::import)).verb(VerbKind::CreateImage),
        at("PUT", "/images/{id}/file", "Upload an announced image", to!(i::data::upload)).verb(VerbKind::CreateImage).stream(),
        at("GET", "/images/{id}/file", "Download an image", to!(i::data::download)),
        at("PUT", "/images/{id}/tags/{tag}", "Add a tag", to!(i::tags::add)).no_body(),
        at("DELETE", "/images/{id}/tags/{tag}", "Remove a tag", to!(i::tags::remove)),
        at("GET", "/images/{id}/members", "Projects an image is shared with: none", to!(i::members)),
        at("GET", "/info/import", "Ways to import", to!(i::import_info)),
        at("GET", "/info/stores", "Stores: the one", to!(i::stores)),
        at("GET", "/schemas/image", "Keys of an image", to!(i::schema)),
        at("GET", "/schemas/images", "Keys of a list of images", to!(i::schema_of_list)),
    ]
}

fn networks() -> Vec<Route> {
    use network as n;
    let at = |path, summary, handler| Route::new(Place::Network, "GET", path, summary, handler);
    let later = |method, path, summary| Route::not_built(Place::Network, method, path, summary);
    vec![
        at("/networks", "Networks", to!(n::networks)),
        at("/networks/{id}", "One network", to!(n::network)),
        at("/subnets", "Subnets", to!(n::subnets)),
        at("/subnets/{id}", "One subnet", to!(n::subnet)),
        at("/ports", "Ports: the NICs of servers", to!(n::ports)),
        at("/ports/{id}", "One port", to!(n::port)),
        at("/security-groups", "Security groups: the one", to!(n::security_groups)),
        at("/security-groups/{id}", "One security group", to!(n::security_group)),
        at("/security-group-rules", "Rules of security groups: none", to!(n::security_group_rules)),
        at("/extensions", "Extensions: none", to!(n::extensions)),
        at("/extensions/{alias}", "One extension", to!(n::extension)),
        at("/availability_zones", "Availability zones: none", to!(n::availability_zones)),
        at("/agents", "Agents: none", to!(n::agents)),
        at("/routers", "Routers: none", to!(n::routers)),
        at("/quotas/{project}", "Quotas", to!(n::quotas)),
        at("/quotas/{project}/details", "Quotas and use", to!(n::quotas_detail)),
        at("/quotas/{project}/details.json", "Quotas and use", to!(n::quotas_detail)),
        at("/quotas/{project}/default", "Quotas", to!(n::quotas)),
        at("/floatingips", "Floating addresses: none", to!(n::floating_addresses)),
        later("POST", "/networks", "Make a network"),
        later("PUT", "/networks/{id}", "Change a network"),
        later("DELETE", "/networks/{id}", "Remove a network"),
        later("POST", "/subnets", "Make a subnet"),
        later("PUT", "/subnets/{id}", "Change a subnet"),
        later("DELETE", "/subnets/{id}", "Remove a subnet"),
        later("POST", "/ports", "Make a port"),
        later("PUT", "/ports/{id}", "Change a port"),
        later("DELETE", "/ports/{id}", "Remove a port"),
        later("POST", "/security-groups", "Make a security group"),
        later("POST", "/security-group-rules", "Make a rule"),
    ]
}

fn volumes() -> Vec<Route> {
    use volume as v;
    let at = |method, path, summary, handler| Route::new(Place::Volume, method, path, summary, handler);
    let later = |method, path, summary| Route::not_built(Place::Volume, method, path, summary);
    vec![
        at("GET", "/volumes", "Volumes", to!(v::list)),
        at("GET", "/volumes/detail", "Volumes with everything", to!(v::detail)),
        at("GET", "/volumes/{id}", "One volume", to!(v::show)),
        at("DELETE", "/volumes/{id}", "Remove a volume that no server has", to!(v::delete)).verb(VerbKind::DeleteVolume),
        later("POST", "/volumes", "Make a volume"),
        later("PUT", "/volumes/{id}", "Change what is said about a volume"),
        later("POST", "/volumes/{id}/action", "Act on a volume"),
        at("GET", "/snapshots", "Snapshots: none", to!(v::snapshots)),
        at("GET", "/snapshots/detail", "Snapshots: none", to!(v::snapshots)),
        later("POST", "/snapshots", "Make a snapshot"),
        at("GET", "/backups", "Backups: none", to!(v::backups)),
        at("GET", "/backups/detail", "Backups: none", to!(v::backups)),
        at("GET", "/types", "Volume types: the one", to!(v::types)),
        at("GET", "/types/{id}", "One volume type", to!(v::volume_type)),
        at("GET", "/limits", "Limits and use", to!(v::limits)),
        at("GET", "/os-availability-zone", "Availability zones: the one", to!(v::zones)),
        at("GET", "/os-services", "Services: volumes on this node", to!(v::services)),
        at("GET", "/os-quota-sets/{project}", "Quotas", to!(v::quotas)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_method_stands_twice_at_a_path() {
        let mut seen = BTreeSet::new();
        for mounted in mounted() {
            assert!(seen.insert((mounted.path.clone(), mounted.route.method)), "{} {}", mounted.route.method, mounted.path);
        }
    }

    #[test]
    fn only_reads_and_log_ins_are_open_to_readers() {
        for route in routes().into_iter().filter(|route| route.access.least_role() < Access::Change.least_role()) {
            let is_known = matches!(route.path, "/auth/tokens" | "/auth/projects" | "/servers/{id}/action");
            assert!(matches!(route.method, "GET" | "HEAD") || is_known, "{} {}", route.method, route.path);
        }
    }
}
