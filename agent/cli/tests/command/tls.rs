//! Certificates of a small site, from nothing to a renewal.

use crate::fake::{Done, run_with};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn tls(folder: &Path, words: &[&str]) -> Done {
    run_with(&[&["tls"], words, &["--directory", folder.to_str().unwrap()]].concat(), &[], None)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn shown(folder: &Path) -> Vec<Value> {
    let done = tls(folder, &["show", "--json"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    serde_json::from_str::<Value>(&done.stdout).unwrap()["list"].as_array().unwrap().clone()
}

#[test]
fn an_authority_makes_certificates_for_the_node_and_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("tls");
    let done = tls(&folder, &["init", "--name", "node.example", "--name", "192.0.2.7", "--days", "90"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains(&format!("key_file = \"{}/server.key\"", folder.display())), "{}", done.stdout);
    for name in ["ca.key", "server.key"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&folder.join("ca.crt")), 0o644);

    let refused = tls(&folder, &["init"]);
    assert!(refused.code == 1 && refused.stderr.contains("ca.crt is there already"), "{}", refused.stderr);
    let done = tls(&folder, &["client", "prometheus", "--role", "reader"]);
    assert!(done.stdout.contains("client_names = { \"prometheus\" = \"reader\" }"), "{}{}", done.stdout, done.stderr);
    assert_eq!(mode(&folder.join("clients/prometheus.key")), 0o600);
    assert_eq!(tls(&folder, &["client", "prometheus"]).code, 1);
    assert_eq!(tls(&folder, &["client", "../evil"]).code, 2);

    let before = shown(&folder);
    let column = |key: &str| before.iter().map(|row| row[key].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(column("purpose"), ["authority", "client", "server"]);
    assert_eq!(column("common_name")[1..], ["prometheus", "node.example"]);
    assert_eq!(before[2]["names"], serde_json::json!(["node.example", "192.0.2.7", "localhost", "127.0.0.1", "::1"]));
    assert_eq!(tls(&folder, &["renew", "--days", "300"]).code, 0);
    let after = shown(&folder);
    assert_eq!(after[0], before[0], "the authority stays");
    assert_eq!(after[2]["names"], before[2]["names"]);
    assert!(after[2]["not_after"].as_i64().unwrap() - before[2]["not_after"].as_i64().unwrap() > 200 * 86_400);
    assert_eq!(after[2]["issuer"], before[0]["common_name"]);
    assert!(!folder.join("server.key.new").exists());

    let authority = || std::fs::read(folder.join("ca.crt")).unwrap();
    let old = authority();
    assert_eq!(tls(&folder, &["init", "--force"]).code, 0);
    assert_ne!(authority(), old);
}

#[test]
fn what_is_not_there_or_no_certificate_is_said_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let done = tls(folder.path(), &["renew"]);
    assert!(done.code == 1 && done.stderr.contains("ca.crt cannot be read") && done.stderr.contains("hvctl tls init"), "{}", done.stderr);
    assert!(
        tls(folder.path(), &["show"]).stderr.contains("no certificates in")
            || tls(folder.path(), &["show"]).stdout.contains("no certificates in")
    );
    let file = folder.path().join("x.crt");
    std::fs::write(&file, "nothing").unwrap();
    assert!(tls(folder.path(), &["show"]).stderr.contains("x.crt is no certificate"));
    let half = run_with(&["vm", "list", "--url", "https://127.0.0.1:1", "--client-key", "/k"], &[], None);
    assert!(half.code == 2 && half.stderr.contains("give both"), "{}", half.stderr);
}
