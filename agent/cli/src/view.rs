//! Reading members of the node's objects for people: absent, null and empty all become `-` in a table and nothing in a field list.

use crate::output::{Content, Tone};
use crate::text::Language;
use crate::units::{format_ago, format_size, format_time, now_seconds};
use serde_json::Value;

/// The entries of a list; none where it is not a list.
pub(crate) fn entries(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A member as text, empty if there is none.
pub(crate) fn text(object: &Value, key: &str) -> String {
    match &object[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(items) => items.iter().map(plain_value).collect::<Vec<_>>().join(", "),
        other => plain_value(other),
    }
}

fn plain_value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A member as text, `-` if there is none.
pub(crate) fn cell(object: &Value, key: &str) -> Content {
    dash(text(object, key)).into()
}

/// `-` for nothing.
pub(crate) fn dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

/// A member that counts bytes, empty if there is none or it is 0.
pub(crate) fn size(object: &Value, key: &str) -> String {
    object[key].as_u64().filter(|bytes| *bytes > 0).map(format_size).unwrap_or_default()
}

/// The same for a table.
pub(crate) fn size_cell(object: &Value, key: &str) -> Content {
    dash(size(object, key)).into()
}

/// A member that is a time, relative to now, for a table.
pub(crate) fn ago_cell(object: &Value, key: &str, language: Language) -> Content {
    format_ago(object[key].as_i64().unwrap_or(0), now_seconds(), language).into()
}

/// A member that is a time, in full; empty if it is not set.
pub(crate) fn time(object: &Value, key: &str, language: Language) -> String {
    match object[key].as_i64().unwrap_or(0) {
        0 => String::new(),
        time => format_time(time, now_seconds(), language),
    }
}

/// The state of anything, coloured by what it asks of the reader.
pub(crate) fn status(object: &Value) -> Content {
    let word = text(object, "status");
    let tone = match word.as_str() {
        "running" | "ready" | "available" | "in_use" | "up" | "active" | "succeeded" => Tone::Good,
        "error" | "crashed" | "failed" | "down" => Tone::Bad,
        "stopped" | "canceled" | "inactive" | "" => Tone::Plain,
        _ => Tone::Busy,
    };
    Content::toned(dash(word), tone)
}

/// How old the figures of a VM are, coloured likewise.
pub(crate) fn freshness(object: &Value) -> Content {
    let word = text(object, "freshness");
    let tone = if word == "stale" { Tone::Bad } else { Tone::Plain };
    Content::toned(dash(word), tone)
}

/// `name (uuid)`, or whichever of both there is.
pub(crate) fn named(object: &Value, name_key: &str, uuid_key: &str) -> String {
    match (text(object, name_key), text(object, uuid_key)) {
        (name, uuid) if name.is_empty() => uuid,
        (name, uuid) if uuid.is_empty() => name,
        (name, uuid) => format!("{name} ({uuid})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_members_of_any_object_are_a_dash_and_never_a_panic() {
        for object in [json!({}), json!({"a": null}), json!(null), json!([1]), json!("x")] {
            assert_eq!(cell(&object, "a"), "-".into());
            assert_eq!(size_cell(&object, "a"), "-".into());
            assert_eq!(ago_cell(&object, "a", Language::En), "-".into());
            assert_eq!(text(&object, "a"), "");
        }
    }

    #[test]
    fn members_are_shown_by_their_kind() {
        let object = json!({"n": 2, "t": true, "l": ["a", 1], "s": 512 << 20});
        assert_eq!(text(&object, "n"), "2");
        assert_eq!(text(&object, "t"), "yes");
        assert_eq!(text(&object, "l"), "a, 1");
        assert_eq!(size(&object, "s"), "512 MiB");
    }
}
