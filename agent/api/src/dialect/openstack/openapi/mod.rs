//! The OpenAPI 3.1 document of this dialect. The route table says which routes there are; what each takes and gives stands in the files
//! beside this one, and a test holds both to each other.

mod compute;
mod identity;
mod image;
mod network;
mod server;
mod shape;
mod spec;
mod volume;

use super::call::Style;
use super::compute::actions;
use super::errors::FAULT_NAMES;
use super::table::{BodyKind, Place, Route, routes};
use super::version::{COMPUTE_MAX, COMPUTE_MIN, VOLUME_MAX};
use crate::access::Access;
use serde_json::{Map, Value, json};
use shape::{Named, object};
use spec::{Gives, Spec};

const DESCRIPTION: &str = "Keystone v3, Nova v2.1, Glance v2, Neutron v2.0 and Cinder v3 of one node. Compute is also served below \
`/compute/v2.1/{project_id}`, volumes below `/volume/v3/{project_id}`, identity below `/v3`; a slash may end any path. `x-since` and `x-until` \
are the first and the last minor version (2.x of compute, 3.x of volume) that a key is there in. Every answer has the headers \
`x-openstack-request-id` and `RequestId`.";

/// HTTP statuses of failures.
const FAILURES: [u16; 15] = [400, 401, 403, 404, 405, 406, 409, 413, 415, 429, 500, 501, 502, 503, 504];

/// The response of a failure without a body.
const NO_BODY: &str = "NoBody";
/// How failures look that no service made.
const FRAME_FAULT: &str = "ProjectFault";
/// Ends the name of a response that may also be one of those.
const OR_FRAME: &str = "OrOfFrame";

/// The OpenAPI document.
pub fn openapi() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut named: Vec<&'static Named> = Vec::new();
    for route in routes() {
        let spec = spec_of(&route);
        let spec = spec.as_ref();
        if let Some(spec) = spec {
            collect(spec, &mut named);
        }
        for (style, root) in documented_roots(&route) {
            let path = format!("{root}{}", route.path);
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let item = paths.entry(path.clone()).or_insert_with(|| json!({ "parameters": path_parameters(&path) }));
            item[route.method.to_lowercase()] = operation(&route, spec, style, &path);
        }
    }
    let mut schemas: Map<String, Value> =
        named.iter().map(|named| (named.name.to_owned(), object(&(named.fields)(), named.others))).collect();
    schemas.insert("ServerAction".to_owned(), server_action());
    schemas.extend(faults());
    json!({
        "openapi": "3.1.0",
        "info": { "title": "hvnode OpenStack API", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": versions(),
            "responses": failure_responses(),
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": "X-Subject-Token of POST /identity/v3/auth/tokens" },
            },
        },
    })
}

/// Where a route stands in the document: one path for each form of errors.
fn documented_roots(route: &Route) -> Vec<(Style, &'static str)> {
    let mut roots: Vec<(Style, &'static str)> = Vec::new();
    for (style, root, _) in route.roots() {
        if !roots.iter().any(|(known, _)| known == style) {
            roots.push((*style, root));
        }
    }
    roots
}

/// The specs of the places of a route.
fn specs(place: Place) -> Vec<Spec> {
    match place {
        Place::Root(_) => [identity::roots(), identity::discovery()].concat(),
        Place::Identity => identity::specs(),
        Place::Compute => [server::specs(), compute::specs()].concat(),
        Place::Image => image::specs(),
        Place::Network => network::specs(),
        Place::Volume => volume::specs(),
    }
}

fn spec_of(route: &Route) -> Option<Spec> {
    specs(route.place).into_iter().find(|spec| spec.method == route.method && spec.path == route.path)
}

fn collect(spec: &Spec, named: &mut Vec<&'static Named>) {
    let bodies = spec.gives.iter().filter_map(|(_, gives)| if let Gives::Body(kind) = gives { Some(kind) } else { None });
    bodies.chain(&spec.takes).for_each(|kind| kind.collect(named));
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })).collect()
}

fn service(style: Style) -> &'static str {
    match style {
        Style::Identity => "identity",
        Style::Compute => "compute",
        Style::Seed => "compute by project",
        Style::Image => "image",
        Style::Network => "network",
        Style::Volume => "volume",
    }
}

fn operation(route: &Route, spec: Option<&Spec>, style: Style, path: &str) -> Value {
    let id = path.trim_matches('/').replace(['{', '}'], "").replace(['/', '.', '-'], "_");
    let mut operation = json!({
        "operationId": format!("{}_{}", route.method.to_lowercase(), if id.is_empty() { "root" } else { &id }),
        "summary": route.summary,
        "tags": [service(style)],
        "responses": responses(route, spec, style),
        "x-role": route.access.words(),
    });
    let mut parameters: Vec<Value> = spec.map(query_parameters).unwrap_or_default();
    match style {
        Style::Compute | Style::Seed => parameters.push(json!({ "$ref": "#/components/parameters/ComputeVersion" })),
        Style::Volume => parameters.push(json!({ "$ref": "#/components/parameters/VolumeVersion" })),
        Style::Identity if route.path == "/auth/tokens" && route.method != "POST" => parameters.push(subject()),
        _ => {}
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = request_body(route, spec) {
        operation["requestBody"] = body;
    }
    if route.access == Access::Public {
        operation["security"] = json!([]);
    }
    if let Some(verb) = route.verb {
        operation["x-verb"] = verb.word().into();
    }
    if !route.is_built {
        operation["x-not-supported"] = true.into();
    }
    if style == Style::Seed {
        operation["x-same-as"] = format!("/compute/v2.1{}", route.path).into();
    }
    operation
}

fn query_parameters(spec: &Spec) -> Vec<Value> {
    let parameter = |field: &shape::Field| {
        let mut schema = field.schema();
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut parameter = json!({ "name": field.name, "in": "query", "required": field.is_required(), "schema": schema });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    };
    spec.query.iter().map(parameter).collect()
}

fn subject() -> Value {
    json!({ "name": "X-Subject-Token", "in": "header", "required": true, "schema": { "type": "string" }, "description": "The token that is asked about." })
}

fn versions() -> Value {
    let parameter = |service: &str, major: u16, least: u16, most: u16| {
        let description =
            format!("`{service} {major}.{least}` to `{service} {major}.{most}`, or `{service} latest`; the oldest if absent.");
        let own = format!("^{service} ({major}\\.[0-9]+|latest)$");
        // Versions of other services may stand there too, and are passed over.
        let pair = r"\s*[^,\s]+\s+[^,\s]+\s*";
        let schema = json!({ "type": "string", "anyOf": [{ "pattern": own }, { "pattern": format!("^{pair}(,{pair})*$") }] });
        json!({ "name": "OpenStack-API-Version", "in": "header", "required": false, "schema": schema, "description": description })
    };
    json!({ "ComputeVersion": parameter("compute", 2, COMPUTE_MIN, COMPUTE_MAX), "VolumeVersion": parameter("volume", 3, 0, VOLUME_MAX) })
}

fn request_body(route: &Route, spec: Option<&Spec>) -> Option<Value> {
    if !route.is_built {
        return None;
    }
    let kind = spec.and_then(|spec| spec.takes.as_ref())?;
    let schema = if route.path == "/servers/{id}/action" { reference("ServerAction") } else { kind.schema() };
    let media = match (route.body, route.method) {
        (BodyKind::Stream, _) => "application/octet-stream",
        (_, "PATCH") => "application/openstack-images-v2.1-json-patch",
        _ => "application/json",
    };
    let content = if route.body == BodyKind::Stream { json!({ media: {} }) } else { json!({ media: { "schema": schema } }) };
    Some(json!({ "required": true, "content": content }))
}

/// One of the actions as the only key.
fn server_action() -> Value {
    let forms = actions::names().map(|(name, _, is_built)| {
        let argument = if is_built { action_argument(name) } else { json!({}) };
        json!({ "type": "object", "additionalProperties": false, "required": [name], "properties": { name: argument } })
    });
    json!({ "anyOf": forms.collect::<Vec<_>>(), "description": "One action with what it takes." })
}

fn action_argument(name: &str) -> Value {
    match name {
        "reboot" => json!({
            "type": "object", "additionalProperties": false, "required": ["type"],
            "properties": { "type": { "type": "string", "enum": ["SOFT", "HARD", "soft", "hard"] } },
        }),
        "resize" => json!({
            "type": "object", "additionalProperties": false, "required": ["flavorRef"],
            "properties": { "flavorRef": { "type": "string" }, "OS-DCF:diskConfig": {} },
        }),
        "os-getVNCConsole" => json!({
            "type": "object", "additionalProperties": false, "required": ["type"],
            "properties": { "type": { "type": "string", "enum": ["novnc", "xvpvnc"] } },
        }),
        "os-getConsoleOutput" => json!({
            "type": ["object", "null"], "additionalProperties": false,
            "properties": { "length": { "type": ["integer", "string", "null"], "minimum": -1, "description": "Lines; -1 for all." } },
        }),
        _ => json!({}),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn responses(route: &Route, spec: Option<&Spec>, style: Style) -> Value {
    let mut responses = Map::new();
    for (status, gives) in spec.filter(|_| route.is_built).map_or(&[][..], |spec| spec.gives.as_slice()) {
        if *status >= 400 {
            responses
                .insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{}", failure(*status, style, route.method)) }));
            continue;
        }
        let mut response = json!({ "description": "Success" });
        match gives {
            Gives::Nothing => {}
            Gives::Body(kind) => response["content"] = json!({ "application/json": { "schema": kind.schema() } }),
            Gives::Bytes => response["content"] = json!({ "application/octet-stream": {} }),
        }
        responses.insert(status.to_string(), response);
    }
    for status in FAILURES {
        let name = failure(status, style, route.method);
        responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    responses.into()
}

/// The form of a failure: that of its service; of the identity service where the token or the frame is the matter.
fn failure(status: u16, style: Style, method: &str) -> String {
    if method == "HEAD" {
        return NO_BODY.to_owned();
    }
    let own = match style {
        Style::Identity => "IdentityFault",
        Style::Seed => "ProjectFault",
        Style::Compute | Style::Volume => "ComputeFault",
        Style::Image => "ImageFault",
        Style::Network => "NetworkFault",
    };
    let own = if status == 401 && style != Style::Seed { "IdentityFault" } else { own };
    // The frame answers before a service is known.
    let is_of_frame = matches!(status, 400 | 413 | 429 | 500 | 503 | 504) && own != FRAME_FAULT;
    format!("{own}{}", if is_of_frame { OR_FRAME } else { "" })
}

/// Every response that [`failure`] names.
fn failure_responses() -> Map<String, Value> {
    let mut responses = Map::from_iter([(NO_BODY.to_owned(), json!({ "description": "Failure" }))]);
    for own in ["IdentityFault", "ProjectFault", "ComputeFault", "ImageFault", "NetworkFault"] {
        let either = json!({ "anyOf": [reference(own), reference(FRAME_FAULT)] });
        for (name, schema) in [(own.to_owned(), reference(own)), (format!("{own}{OR_FRAME}"), either)] {
            responses.insert(name, json!({ "description": "Failure", "content": { "application/json": { "schema": schema } } }));
        }
    }
    responses
}

fn faults() -> Map<String, Value> {
    let closed = |properties: Value| {
        let names: Vec<&String> = properties.as_object().into_iter().flat_map(|properties| properties.keys()).collect();
        json!({ "type": "object", "additionalProperties": false, "required": names, "properties": properties })
    };
    let (text, whole) = (json!({ "type": "string" }), json!({ "type": "integer" }));
    let error = closed(json!({ "code": whole, "message": text, "title": text }));
    let named = closed(json!({ "code": whole, "message": text }));
    let compute: Map<String, Value> = FAULT_NAMES.iter().map(|name| ((*name).to_owned(), named.clone())).collect();
    let neutron = closed(json!({ "type": text, "message": text, "detail": text }));
    let all = [
        ("IdentityFault", closed(json!({ "error": error }))),
        ("ProjectFault", closed(json!({ "error": error, "RequestId": text }))),
        (
            "ComputeFault",
            json!({ "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1, "properties": compute }),
        ),
        ("ImageFault", closed(json!({ "code": text, "message": text, "title": text }))),
        ("NetworkFault", closed(json!({ "NeutronError": neutron }))),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// What is described and is no route, and the other way round.
#[cfg(test)]
pub(super) fn mismatches() -> Vec<String> {
    let routes = routes();
    let undescribed = routes.iter().filter(|route| route.is_built && spec_of(route).is_none());
    let mut found: Vec<String> = undescribed.map(|route| format!("{} {} is not described", route.method, route.path)).collect();
    for place in [Place::Root(Style::Identity), Place::Identity, Place::Compute, Place::Image, Place::Network, Place::Volume] {
        for spec in specs(place) {
            let is_route = |route: &&Route| std::mem::discriminant(&route.place) == std::mem::discriminant(&place);
            if !routes.iter().filter(is_route).any(|route| route.method == spec.method && route.path == spec.path) {
                found.push(format!("{} {} is described and no route", spec.method, spec.path));
            }
        }
    }
    found
}
