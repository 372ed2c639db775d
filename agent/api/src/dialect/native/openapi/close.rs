//! Makes schemas exact: an object that is put together of parts becomes one, and has no field but those it names.

use serde_json::{Map, Value};

/// Closes every schema below `schemas`.
pub(super) fn close(schemas: &mut Map<String, Value>) {
    let known = schemas.clone();
    for schema in schemas.values_mut() {
        *schema = merged(schema, &known);
        close_objects(schema);
    }
}

/// One object in place of `allOf`, whose parts are objects or refer to such.
fn merged(schema: &Value, known: &Map<String, Value>) -> Value {
    let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
    let mut whole = schema.clone();
    if let Some(whole) = whole.as_object_mut() {
        whole.remove("allOf");
    }
    whole["type"] = "object".into();
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for part in parts {
        let referred = part["$ref"].as_str().and_then(|reference| known.get(reference.rsplit('/').next()?));
        let part = merged(referred.unwrap_or(part), known);
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        required.extend(part["required"].as_array().cloned().unwrap_or_default());
    }
    whole["properties"] = properties.into();
    whole["required"] = required.into();
    whole
}

fn close_objects(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("properties").is_some_and(Value::is_object) && object.get("type").is_some_and(|kind| kind != "null") {
                object.entry("additionalProperties").or_insert(false.into());
            }
            object.values_mut().for_each(close_objects);
        }
        Value::Array(items) => items.iter_mut().for_each(close_objects),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_become_one_closed_object() {
        let part = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}});
        let whole =
            json!({"allOf": [{"$ref": "#/components/schemas/Part"}, {"type": "object", "required": ["b"], "properties": {"b": {}}}]});
        let mut schemas = Map::from_iter([("Part".to_owned(), part), ("Whole".to_owned(), whole)]);
        close(&mut schemas);
        let expected = json!({
            "type": "object", "additionalProperties": false, "required": ["a", "b"], "properties": {"a": {"type": "integer"}, "b": {}},
        });
        assert_eq!(schemas["Whole"], expected);
        assert_eq!(schemas["Part"]["additionalProperties"], false);
    }

    #[test]
    fn a_map_stays_open() {
        let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
        let mut schemas = Map::from_iter([("Map".to_owned(), map.clone())]);
        close(&mut schemas);
        assert_eq!(schemas["Map"], map);
    }
}
