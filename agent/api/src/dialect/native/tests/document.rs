//! The route table and the documents made from it.

use super::super::route::Offer;
use super::super::table::routes;
use super::super::{offered, openapi};
use hvnode_core::model::VerbKind;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_committed_openapi_document_is_the_present_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/native.json");
    let present = serde_json::to_string_pretty(&openapi()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &present).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let command = "UPDATE_GOLDEN=1 cargo nextest run -p hvnode-api openapi";
    assert!(committed == present, "{} is not up to date; if the change is meant, run: {command}", path.display());
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = openapi();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 30);
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[test]
fn every_route_is_documented_once_and_every_verb_is_offered() {
    let document = openapi();
    let paths: BTreeSet<_> = routes().iter().map(|route| route.path).collect();
    assert_eq!(paths.len(), routes().len());
    assert_eq!(document["paths"].as_object().unwrap().len(), paths.len());
    let verbs: BTreeSet<_> = offered().iter().filter_map(|row| row.verb).collect();
    assert_eq!(verbs, VerbKind::ALL.into_iter().collect());
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["x-status-codes"].as_array().unwrap().len(), hvnode_core::ErrorCode::ALL.len());
}

#[test]
fn names_of_routes_and_parameters_use_lower_case_letters_and_underscores_only() {
    let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    for route in routes() {
        let words: Vec<_> = route.path.split('/').skip(1).collect();
        assert_eq!(words[0], "v1");
        assert!(words.len() >= 3 && words[1..].iter().all(|word| is_plain(word)), "{}", route.path);
    }
    let document = openapi();
    for (schema, body) in document["components"]["schemas"].as_object().unwrap() {
        for name in body["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(is_plain(name), "{schema}.{name}");
        }
    }
}

#[test]
fn every_change_names_its_target_and_takes_its_name() {
    let document = openapi();
    for route in routes().iter().filter(|route| matches!(route.offer, Offer::Change(_))) {
        let resource = route.resource.unwrap();
        let body = &document["components"]["schemas"][(route.request.name)().as_ref()]["properties"];
        for name in [resource.uuid_field, resource.name_field, "wait_seconds", "request_uuid"] {
            assert!(body.get(name).is_some(), "{} {name}", route.path);
        }
    }
}
