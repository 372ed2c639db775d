//! Every route of the native API that is built has a command: a new route without one fails here.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Routes that need no command of their own, and why.
const WITHOUT_COMMAND: [(&str, &str); 24] = [
    ("/v1/image/create", "another path of /v1/repository/image/create"),
    ("/v1/image/delete", "another path of /v1/repository/image/delete"),
    ("/v1/image/inspect", "another path of /v1/repository/image/inspect"),
    ("/v1/image/list", "another path of /v1/repository/image/list"),
    ("/v1/image/upload", "another path of /v1/repository/image/upload"),
    ("/v1/image/update", "another path of /v1/repository/image/update"),
    ("/v1/volume/delete", "another path of /v1/usd/delete"),
    ("/v1/volume/inspect", "another path of /v1/usd/inspect"),
    ("/v1/volume/list", "another path of /v1/usd/list"),
    ("/v1/host/list", "a node has one host: /v1/host/inspect"),
    ("/v1/host/vm/list", "a node has one host: /v1/vm/list"),
    ("/v1/host/statistic", "another path of /v1/host/statistics"),
    ("/v1/host/vm/statistic", "another path of /v1/host/vm/statistics"),
    ("/v1/vm/statistic", "another path of /v1/vm/statistics"),
    ("/v1/statistics/host/inspect", "the same figures as /v1/host/statistics"),
    ("/v1/statistics/vm/inspect", "the same figures as /v1/vm/statistics"),
    ("/v1/statistic/host/inspect", "another path of /v1/statistics/host/inspect"),
    ("/v1/statistic/summary/inspect", "another path of /v1/statistics/summary/inspect"),
    ("/v1/statistic/vm/inspect", "another path of /v1/statistics/vm/inspect"),
    ("/v1/statistic/vm/list", "another path of /v1/statistics/vm/list"),
    ("/v1/tenant/list", "a node has one tenant; whoami shows it"),
    ("/v1/usm/list", "belongs to a cluster: always empty"),
    ("/v1/vsm/list", "belongs to a cluster: always empty"),
    ("/v1/load_balancer/list", "belongs to a cluster: always empty"),
];

/// Paths of the API that stand in a source, tests left out.
fn paths_in(source: &str, found: &mut BTreeSet<String>) {
    let code = source.split("#[cfg(test)]").next().unwrap_or(source);
    for piece in code.split('"').filter(|piece| piece.starts_with("/v1/")) {
        if piece.bytes().all(|byte| byte.is_ascii_lowercase() || b"/_1".contains(&byte)) {
            found.insert(piece.to_owned());
        }
    }
}

fn walk(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            paths_in(&std::fs::read_to_string(path).unwrap(), found);
        }
    }
}

fn built_routes() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/openapi/native.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let is_built = |operations: &Value| operations.as_object().unwrap().values().any(|operation| operation["x-not-supported"] != true);
    let paths = document["paths"].as_object().unwrap();
    paths.iter().filter(|(_, operations)| is_built(operations)).map(|(path, _)| path.clone()).collect()
}

fn called() -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut called);
    called
}

#[test]
fn every_built_route_of_the_native_api_has_a_command() {
    let (built, called) = (built_routes(), called());
    assert!(built.len() > 60, "the document was not read: {built:?}");
    let excepted: BTreeSet<&str> = WITHOUT_COMMAND.iter().map(|(path, _)| *path).collect();
    let missing: Vec<&String> = built.iter().filter(|path| !called.contains(*path) && !excepted.contains(path.as_str())).collect();
    assert!(missing.is_empty(), "no command calls {missing:?}");
    let needless: Vec<&&str> = excepted.iter().filter(|path| called.contains(**path)).collect();
    assert!(needless.is_empty(), "these have a command after all: {needless:?}");
}

#[test]
fn no_command_calls_a_route_that_is_not_built() {
    let built = built_routes();
    let unknown: Vec<String> = called().into_iter().filter(|path| !built.contains(path) && path != "/v1/user/").collect();
    assert!(unknown.is_empty(), "the API has no {unknown:?}");
}
