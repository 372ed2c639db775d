//! How bodies look: kinds of values, fields with the versions they are there in, and their JSON schemas.

use serde_json::{Map, Value, json};

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Text,
    Uuid,
    Whole,
    Number,
    Truth,
    Null,
    Any,
    /// One of these texts.
    Word(&'static [&'static str]),
    /// A whole number from … to …, also as text.
    Count(i64, i64),
    List(Box<Kind>),
    /// Keys of the caller's choice.
    Map(Box<Kind>),
    /// An object with exactly these.
    Object(Vec<Field>),
    /// An object that has its own name in the document.
    Ref(&'static Named),
    OrNull(Box<Kind>),
    Either(Vec<Kind>),
}

/// A field of an object.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    is_optional: bool,
    since: u16,
    until: u16,
    text: &'static str,
}

/// An object with a name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) fields: fn() -> Vec<Field>,
    /// What further keys hold; none where there are none.
    pub(super) others: Option<fn() -> Kind>,
}

/// A list of these.
pub(super) fn list_of(kind: Kind) -> Kind {
    Kind::List(Box::new(kind))
}

/// Keys of the caller's choice, each with one of these.
pub(super) fn map_of(kind: Kind) -> Kind {
    Kind::Map(Box::new(kind))
}

/// An object with exactly these fields.
pub(super) fn object_of(fields: Vec<Field>) -> Kind {
    Kind::Object(fields)
}

/// This or null.
pub(super) fn nullable(kind: Kind) -> Kind {
    Kind::OrNull(Box::new(kind))
}

/// One of these.
pub(super) fn either(kinds: Vec<Kind>) -> Kind {
    Kind::Either(kinds)
}

/// A field that is always there.
pub(super) fn f(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_optional: false, since: 0, until: u16::MAX, text: "" }
}

/// A field that may be absent.
pub(super) fn opt(name: &'static str, kind: Kind) -> Field {
    f(name, kind).optional()
}

impl Field {
    pub(super) fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }

    /// There from this minor version on.
    pub(super) fn since(mut self, minor: u16) -> Self {
        self.since = minor;
        self
    }

    /// Gone with this minor version.
    pub(super) fn before(mut self, minor: u16) -> Self {
        self.until = minor - 1;
        self
    }

    pub(super) fn about(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }

    fn is_versioned(&self) -> bool {
        self.since > 1 || self.until < u16::MAX
    }

    pub(super) fn is_required(&self) -> bool {
        !self.is_optional && !self.is_versioned()
    }

    pub(super) fn schema(&self) -> Value {
        let mut schema = self.kind.schema();
        if self.since > 1 {
            schema["x-since"] = self.since.into();
        }
        if self.until < u16::MAX {
            schema["x-until"] = self.until.into();
        }
        if self.is_versioned() && self.is_optional {
            schema["x-optional"] = true.into();
        }
        if !self.text.is_empty() {
            schema["description"] = self.text.into();
        }
        schema
    }
}

/// The object with these fields and no others.
pub(super) fn object(fields: &[Field], others: Option<fn() -> Kind>) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.is_required()).map(|field| field.name).collect();
    let others = others.map_or(json!(false), |kind| kind().schema());
    let mut schema = json!({ "type": "object", "additionalProperties": others, "properties": properties });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

impl Kind {
    pub(super) fn schema(&self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Uuid => json!({ "type": "string", "format": "uuid" }),
            Self::Whole => json!({ "type": "integer" }),
            Self::Number => json!({ "type": "number" }),
            Self::Truth => json!({ "type": "boolean" }),
            Self::Null => json!({ "type": "null" }),
            Self::Any => json!({}),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::Count(least, most) => {
                json!({ "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": "^-?[0-9]+$" })
            }
            Self::List(kind) => json!({ "type": "array", "items": kind.schema() }),
            Self::Map(kind) => json!({ "type": "object", "additionalProperties": kind.schema() }),
            Self::Object(fields) => object(fields, None),
            Self::Ref(named) => json!({ "$ref": format!("#/components/schemas/{}", named.name) }),
            Self::OrNull(kind) => or_null(&kind.schema()),
            Self::Either(kinds) => json!({ "anyOf": kinds.iter().map(|kind| kind.schema()).collect::<Vec<_>>() }),
        }
    }

    /// Named objects in it.
    pub(super) fn collect(&self, found: &mut Vec<&'static Named>) {
        match self {
            Self::Ref(named) if !found.iter().any(|known| known.name == named.name) => {
                found.push(*named);
                (named.fields)().iter().for_each(|field| field.kind.collect(found));
            }
            Self::List(kind) | Self::Map(kind) | Self::OrNull(kind) => kind.collect(found),
            Self::Object(fields) => fields.iter().for_each(|field| field.kind.collect(found)),
            Self::Either(kinds) => kinds.iter().for_each(|kind| kind.collect(found)),
            _ => {}
        }
    }
}

fn or_null(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some(kind) if schema.get("enum").is_none() => {
            let mut schema = schema.clone();
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}
