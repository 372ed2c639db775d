//! The route table and the document made from it.

use super::super::field::Kind;
use super::super::route::{Offer, Reply};
use super::super::table::routes;
use super::super::{offered, openapi};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_committed_openapi_document_is_the_present_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/chimestack.json");
    let present = serde_json::to_string_pretty(&openapi()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &present).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let command = "UPDATE_GOLDEN=1 cargo nextest run -p hvnode-api openapi";
    assert!(committed == present, "{} is not up to date; if the change is meant, run: {command}", path.display());
}

#[test]
fn every_route_is_documented_and_stands_only_once() {
    let document = openapi();
    let mut seen = BTreeSet::new();
    for route in routes() {
        let method = route.method.as_str().to_lowercase();
        assert!(seen.insert((route.path, method.clone())), "{method} {} stands twice", route.path);
        assert!(document["paths"][route.path][&method].is_object(), "{method} {}", route.path);
    }
    let ids: Vec<_> = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values()).collect();
    let ids: Vec<_> = ids.iter().filter_map(|operation| operation["operationId"].as_str()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), seen.len());
}

#[test]
fn what_is_refused_says_so_and_everything_else_can_succeed() {
    for (route, row) in routes().iter().zip(offered()) {
        let is_refused = matches!(route.offer, Offer::Refused(_));
        assert_eq!(is_refused, matches!(route.reply, Reply::Never), "{}", route.path);
        assert_eq!(row.is_built, !is_refused);
    }
}

#[test]
fn lists_are_filtered_by_fields_that_their_entries_have() {
    for route in routes() {
        if let Reply::List(resource) = route.reply {
            for field in resource.filters {
                assert!(resource.shape.iter().any(|(name, _)| *name == field.name), "{} {}", route.path, field.name);
            }
        }
    }
}

#[test]
fn secrets_are_declared_as_such() {
    fn check(fields: &[super::super::field::Field]) {
        for field in fields {
            let is_secret = field.name.contains("password") || field.name == "token";
            assert_eq!(is_secret, matches!(field.kind, Kind::Secret(_)), "{}", field.name);
            if let Kind::Object(fields) | Kind::List(fields, _) = field.kind {
                check(fields);
            }
        }
    }
    routes().iter().for_each(|route| check(&route.fields));
}
