//! The OpenAPI 3.1 document of this dialect, and the table of what is offered; both made from the route table.

use super::field::{Field, Kind, Place};
use super::route::{Offer, Reply, Resource, Route, Shape, Type};
use super::table::routes;
use crate::dialect::Offered;
use http::Method;
use serde_json::{Map, Value, json};

/// Every route of this dialect.
pub fn offered() -> Vec<Offered> {
    let row = |route: Route| Offered {
        method: method_word(&route.method),
        path: route.path,
        verb: if let Offer::Change(verb) = route.offer { Some(verb) } else { None },
        is_built: !matches!(route.reply, Reply::Never),
        access: route.access,
        summary: route.summary,
    };
    routes().into_iter().map(row).collect()
}

fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "DELETE",
    }
}

const DESCRIPTION: &str = "GET reads, POST makes, PATCH changes what is said, PUT operates, DELETE removes. Every answer is \
`{requestId, result}`, a failure `{error: {code, message, status}, requestId, result: null}` with the HTTP status 400, 401, 403, 404 or 500. \
Making, starting, stopping and deleting are answered at once; poll the object until `operation` is empty, then look at `tasks`. This is a \
single node: one az, one cluster, one host, one storage pool. Sizes are bytes, times RFC 3339.";

/// The OpenAPI document.
pub fn openapi() -> Value {
    let routes = routes();
    let mut paths: Map<String, Value> = Map::new();
    let mut schemas = Map::from_iter([("Failure".to_owned(), failure())]);
    for route in &routes {
        let method = method_word(&route.method).to_lowercase();
        let item = paths.entry(route.path).or_insert_with(|| json!({ "parameters": path_parameters(route.path) }));
        item[method] = operation(route);
        if let Reply::One(resource) | Reply::List(resource) = route.reply {
            schemas.insert(schema_name(resource), shape_schema(resource.shape));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "hvnode ChimeStack API", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Failure": { "description": "Failure", "content": content(&reference("Failure")) } },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "`user.uuid` of POST /v1/login" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let tag = route.path.split('/').rfind(|part| !part.is_empty() && !part.starts_with('{')).unwrap_or_default();
    let id = route.path.trim_start_matches("/v1/").replace(['{', '}'], "").replace('/', "_");
    let mut responses = Map::new();
    if !matches!(route.reply, Reply::Never) {
        responses.insert("200".into(), json!({ "description": "Success", "content": content(&success(route)) }));
    }
    for status in ["400", "401", "403", "404", "500"] {
        responses.insert(status.into(), json!({ "$ref": "#/components/responses/Failure" }));
    }
    let mut operation = json!({
        "operationId": format!("{}_{id}", method_word(&route.method).to_lowercase()),
        "summary": route.summary,
        "tags": [tag],
        "responses": responses,
    });
    let fields = |place| route.fields.iter().filter(move |field: &&Field| field.place == place);
    let query: Vec<Value> = fields(Place::Query).map(|field| parameter(field, "query")).collect();
    if !query.is_empty() {
        operation["parameters"] = query.into();
    }
    if fields(Place::Body).next().is_some() {
        let body: Vec<Field> = fields(Place::Body).copied().collect();
        operation["requestBody"] = json!({ "required": body.iter().any(|f| f.is_required), "content": content(&fields_schema(&body)) });
    }
    if route.is_open() {
        operation["security"] = json!([]);
    }
    operation["x-role"] = route.access.words().into();
    match route.offer {
        Offer::Change(verb) => operation["x-verb"] = verb.word().into(),
        Offer::Refused(_) => operation["x-not-supported"] = true.into(),
        Offer::Read | Offer::Session | Offer::Action => {}
    }
    operation
}

fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn schema_name(resource: &Resource) -> String {
    resource.title.replace(' ', "")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" } })).collect()
}

fn parameter(field: &Field, place: &str) -> Value {
    let mut parameter = json!({ "name": field.name, "in": place, "required": field.is_required, "schema": sent_schema(field) });
    if !field.text.is_empty() {
        parameter["description"] = field.text.into();
    }
    parameter
}

/// An optional parameter may also be sent empty, or in a body as null: both are as if it were absent.
fn sent_schema(field: &Field) -> Value {
    let mut schema = kind_schema(field.kind);
    let is_body = field.place == Place::Body;
    match field.kind {
        _ if field.is_required => schema,
        Kind::Text(_) if is_body => {
            schema["type"] = json!(["string", "null"]);
            schema
        }
        Kind::Text(_) => schema,
        _ if is_body => json!({ "anyOf": [schema, { "enum": ["", null] }] }),
        _ => json!({ "anyOf": [schema, { "enum": [""] }] }),
    }
}

fn kind_schema(kind: Kind) -> Value {
    match kind {
        Kind::Text(most) => json!({ "type": "string", "maxLength": most }),
        Kind::Name => json!({ "type": "string", "minLength": 2, "maxLength": 64, "pattern": "^[A-Za-z0-9_][A-Za-z0-9_-]*$" }),
        Kind::Secret(most) => json!({ "type": "string", "minLength": 1, "maxLength": most, "writeOnly": true }),
        Kind::Uuid => json!({ "type": "string", "format": "uuid" }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Flag => json!({ "type": "integer", "enum": [0, 1] }),
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Address => json!({ "type": "string", "format": "ipv4" }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Object(fields) => fields_schema(fields),
        Kind::List(fields, most) => json!({ "type": "array", "maxItems": most, "items": fields_schema(fields) }),
    }
}

fn fields_schema(fields: &[Field]) -> Value {
    let property = |field: &Field| {
        let mut schema = sent_schema(field);
        if !field.text.is_empty() {
            schema["description"] = field.text.into();
        }
        (field.name.to_owned(), schema)
    };
    let required: Vec<&str> = fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    let mut schema =
        json!({ "type": "object", "additionalProperties": false, "properties": fields.iter().map(property).collect::<Map<_, _>>() });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn type_schema(kind: Type) -> Value {
    match kind {
        Type::Text => json!({ "type": "string" }),
        Type::Uuid => json!({ "type": "string", "format": "uuid" }),
        Type::UuidOrNone => json!({ "type": ["string", "null"], "format": "uuid" }),
        Type::Whole => json!({ "type": "integer" }),
        Type::Number => json!({ "type": ["number", "null"] }),
        Type::Time => json!({ "type": ["string", "null"], "format": "date-time" }),
        Type::Null => json!({ "type": "null" }),
        Type::List([]) => json!({ "type": "array" }),
        Type::List(shape) => json!({ "type": "array", "items": shape_schema(shape) }),
        Type::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Type::Any => json!({}),
    }
}

/// An object with all of these fields and no others.
fn shape_schema(shape: Shape) -> Value {
    let properties: Map<String, Value> = shape.iter().map(|(name, kind)| ((*name).to_owned(), type_schema(*kind))).collect();
    closed(&properties)
}

fn closed(properties: &Map<String, Value>) -> Value {
    let names: Vec<String> = properties.keys().cloned().collect();
    json!({ "type": "object", "additionalProperties": false, "required": names, "properties": properties })
}

fn object(fields: &[(&str, Value)]) -> Value {
    closed(&fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect())
}

fn success(route: &Route) -> Value {
    let result = match route.reply {
        Reply::One(resource) => object(&[(resource.key, reference(&schema_name(resource)))]),
        Reply::List(resource) => {
            let elements = json!({ "type": "array", "items": reference(&schema_name(resource)) });
            object(&[("elements", elements), ("size", json!({ "type": "integer" })), ("total", json!({ "type": "integer" }))])
        }
        Reply::Ok(key) => object(&[(key, json!({ "type": "string", "const": "ok" }))]),
        Reply::Keyed(key, shape) => object(&[(key, shape_schema(shape))]),
        Reply::Plain(shape) => shape_schema(shape),
        Reply::Points(shape) => object(&[("stats", json!({ "type": "array", "items": shape_schema(shape) }))]),
        Reply::Never => json!({}),
    };
    let request_id = type_schema(Type::Uuid);
    if route.is_open() {
        return object(&[("requestId", request_id), ("error", type_schema(Type::Null)), ("result", result)]);
    }
    object(&[("requestId", request_id), ("result", result)])
}

fn failure() -> Value {
    let whole = || json!({ "type": "integer" });
    let error = object(&[("code", whole()), ("message", type_schema(Type::Text)), ("status", type_schema(Type::Text))]);
    object(&[("error", error), ("requestId", type_schema(Type::Uuid)), ("result", type_schema(Type::Null))])
}
