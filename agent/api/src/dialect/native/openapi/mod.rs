//! The OpenAPI 3.1 document of this dialect, and the table of what is offered; both made from the route table.

mod answer;
mod close;

use super::batch::ENTRIES_MAX;
use super::dry_run::DryRunData;
use super::envelope::Envelope;
use super::route::{Method, Offer, Reply, Route, TypeSchema};
use super::table::routes;
use crate::dialect::Offered;
use hvnode_core::ErrorCode;
use hvnode_core::model::VerbKind;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApiBuilder, RefOr, Schema};

/// Every route of this dialect.
pub fn offered() -> Vec<Offered> {
    let row = |route: Route| Offered {
        method: route.method.word(),
        path: route.path,
        verb: verb_of(&route),
        is_built: !matches!(route.reply, Reply::Never),
        access: route.access,
        summary: route.summary,
    };
    routes().into_iter().map(row).collect()
}

/// The verb of the engine behind a route.
fn verb_of(route: &Route) -> Option<VerbKind> {
    match route.offer {
        Offer::Change(verb) => Some(verb),
        Offer::Upload => Some(VerbKind::CreateImage),
        _ => None,
    }
}

/// The OpenAPI document.
pub fn openapi() -> Value {
    let routes = routes();
    let mut components = ComponentsBuilder::new().security_scheme("token", token_scheme());
    for (name, schema) in schemas(&routes) {
        components = components.schema(name, schema);
    }
    let info = InfoBuilder::new().title("hvnode native API").version(env!("CARGO_PKG_VERSION")).description(Some(DESCRIPTION));
    let document = OpenApiBuilder::new().info(info.build()).components(Some(components.build())).build();
    // Nothing in it lacks a JSON form; an empty document would fail the golden test.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        schemas.insert(answer::FAILURE.to_owned(), answer::failure());
        close::close(schemas);
    }
    document["security"] = json!([{ "token": [] }]);
    document["paths"] = routes.iter().map(|route| (route.path.to_owned(), path_item(route))).collect::<Map<_, _>>().into();
    document["x-status-codes"] = ErrorCode::ALL.iter().map(|code| code_row(*code)).collect();
    document
}

const DESCRIPTION: &str = "GET reads, POST changes. Every answer is HTTP 200 with the same envelope; only an unknown route is 404, with status_code 10005. \
Decide by `status_code` alone: 0 is success, the other numbers stand in `x-status-codes`. Sizes are bytes, times Unix seconds; a time \
may be sent as RFC 3339 too. Every change becomes a job; the answer waits for it for `wait_seconds`. A change also takes \
`{\"list\": [...]}` of up to 200 bodies. Peers that the unix socket trusts need no token. Where an accepted job fails, the header \
`x-job-uuid` names it. \
Schemas are those of this version and exact: a later one may add fields, so clients should pass over what they do not know.";

fn token_scheme() -> SecurityScheme {
    let description = "The token of /v1/user/login or /v1/token/create, bare; `Bearer <token>` is taken as well.";
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("Authorization", description)))
}

fn code_row(code: ErrorCode) -> Value {
    json!({ "status_code": code.number(), "message": code.text(), "message_cn": code.text_cn(), "retryable": code.is_retryable() })
}

/// Every schema by name, those of bodies with the common parameters merged in.
fn schemas(routes: &[Route]) -> BTreeMap<String, RefOr<Schema>> {
    let mut found = named(TypeSchema::of::<Envelope>());
    found.extend(named(TypeSchema::of::<DryRunData>()));
    for route in routes {
        found.extend(route.reply.kind().into_iter().flat_map(named));
        for kind in [Some(route.request), route.common].into_iter().flatten() {
            (kind.collect)(&mut found);
        }
        if route.method == Method::Post && route.offer != Offer::Upload && !matches!(route.reply, Reply::Never) {
            found.push(((route.request.name)().into_owned(), with_common(route)));
        }
    }
    found.into_iter().collect()
}

/// A type and the types it refers to.
fn named(kind: TypeSchema) -> Vec<(String, RefOr<Schema>)> {
    let mut found = vec![((kind.name)().into_owned(), (kind.schema)())];
    (kind.collect)(&mut found);
    found
}

/// The schema of a body with the parameters that every change takes.
fn with_common(route: &Route) -> RefOr<Schema> {
    let mut schema = (route.request.schema)();
    if let (RefOr::T(Schema::Object(body)), Some(RefOr::T(Schema::Object(common)))) =
        (&mut schema, route.common.map(|kind| (kind.schema)()))
    {
        body.properties.extend(common.properties);
    }
    schema
}

fn path_item(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": route.path.trim_start_matches("/v1/").replace('/', "_"),
        "summary": route.summary,
        "tags": [route.path.split('/').nth(2).unwrap_or("")],
        "responses": { "200": answer::response(route) },
    });
    match route.method {
        Method::Get => operation["parameters"] = parameters(route),
        Method::Post if matches!(route.reply, Reply::Never) => {}
        Method::Post if route.offer == Offer::Upload => {
            operation["parameters"] = parameters(route);
            let file = json!({ "schema": { "type": "string", "format": "binary" } });
            operation["requestBody"] = json!({ "required": true, "content": { "application/octet-stream": file } });
        }
        Method::Post => operation["requestBody"] = request_body(route),
    }
    if route.offer == Offer::Stream
        && let Some(parameters) = operation["parameters"].as_array_mut()
    {
        parameters.push(last_event_id());
    }
    if route.offer == Offer::LogIn {
        operation["security"] = json!([]);
    }
    operation["x-role"] = route.access.words().into();
    if let Some(verb) = verb_of(route) {
        operation["x-verb"] = verb.word().into();
    }
    match route.offer {
        Offer::NotBuilt | Offer::NotOnOneNode if matches!(route.reply, Reply::Never) => operation["x-not-supported"] = true.into(),
        _ => {}
    }
    json!({ route.method.word().to_lowercase(): operation })
}

fn parameters(route: &Route) -> Value {
    let kinds = [Some(route.request), route.common].into_iter().flatten();
    kinds.flat_map(query_parameters).collect()
}

/// The fields of a query type as parameters.
fn query_parameters(kind: TypeSchema) -> Vec<Value> {
    let schema = serde_json::to_value((kind.schema)()).unwrap_or_default();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let parameter = |(name, field): (&String, &Value)| {
        let mut field = field.clone();
        let description = field.as_object_mut().and_then(|field| field.remove("description"));
        let mut parameter =
            json!({ "name": name, "in": "query", "required": required.contains(&name.as_str()), "schema": never_null(field) });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    };
    schema["properties"].as_object().into_iter().flatten().map(parameter).collect()
}

/// A query cannot say null.
fn never_null(mut field: Value) -> Value {
    if let Some(kinds) = field["type"].as_array() {
        field["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
    }
    if let Some(reference) = field["oneOf"].as_array().and_then(|options| options.iter().find(|option| option.get("$ref").is_some())) {
        return reference.clone();
    }
    field
}

fn reference(kind: TypeSchema) -> Value {
    named_reference(&(kind.name)())
}

fn named_reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn request_body(route: &Route) -> Value {
    let single = reference(route.request);
    let schema = if route.takes_batches() {
        let list = json!({ "type": "array", "items": single, "minItems": 1, "maxItems": ENTRIES_MAX });
        json!({ "oneOf": [single, { "type": "object", "required": ["list"], "additionalProperties": false, "properties": { "list": list } }] })
    } else {
        single
    };
    // An empty body counts as an empty object.
    let has_required = serde_json::to_value((route.request.schema)()).unwrap_or_default()["required"].is_array();
    json!({ "required": has_required, "content": { "application/json": { "schema": schema } } })
}

fn last_event_id() -> Value {
    let description = "Id of the last event that the client has seen: the stream goes on after it.";
    json!({ "name": "Last-Event-ID", "in": "header", "required": false, "schema": { "type": "integer" }, "description": description })
}
