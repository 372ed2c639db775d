//! The document is what the route table gives, and the other way round.

use super::super::openapi::{mismatches, openapi};
use super::super::table::routes;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_committed_openapi_document_is_the_present_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openstack.json");
    let present = serde_json::to_string_pretty(&openapi()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &present).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let command = "make docs-api";
    assert!(committed == present, "{} is not up to date; if the change is meant, run: {command}", path.display());
}

#[test]
fn every_route_is_described_and_every_description_is_of_a_route() {
    assert_eq!(mismatches(), Vec::<String>::new());
    let document = openapi();
    let paths = document["paths"].as_object().unwrap();
    let mut expected = BTreeSet::new();
    for route in routes() {
        for (_, root, _) in
            route.roots().iter().filter(|(_, root, _)| !["/v3", "/compute/v2.1/{project_id}", "/volume/v3/{project_id}"].contains(root))
        {
            let path = format!("{root}{}", route.path);
            assert!(paths[&path][route.method.to_lowercase()].is_object(), "{} {path}", route.method);
            expected.insert((path, route.method.to_lowercase()));
        }
    }
    let operations =
        paths.iter().flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (path.clone(), method.clone())));
    let found: BTreeSet<_> = operations.filter(|(_, method)| method != "parameters").collect();
    assert_eq!(found, expected);
}

#[test]
fn identities_of_operations_are_unique_and_references_lead_somewhere() {
    fn walk<'a>(value: &'a Value, ids: &mut Vec<&'a str>, references: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                ids.extend(object.get("operationId").and_then(Value::as_str));
                references.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| walk(value, ids, references));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, ids, references)),
            _ => {}
        }
    }
    let document = openapi();
    let (mut ids, mut references) = (Vec::new(), BTreeSet::new());
    walk(&document, &mut ids, &mut references);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert!(references.len() > 30);
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}
