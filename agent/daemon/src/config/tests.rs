use super::*;
use std::collections::BTreeSet;
use std::path::Path;

const SHIPPED: &str = include_str!("../../../../config/hvnode.toml");

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hvnode.toml");
    std::fs::write(&path, text).unwrap();
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(&path, environment, Purpose::Check).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

fn problem(text: &str) -> String {
    load_text(text, &[]).unwrap_err()
}

#[test]
fn the_shipped_file_is_exactly_the_defaults() {
    assert_eq!(load_text(SHIPPED, &[]).unwrap(), Config::default());
    assert_eq!(load_text("", &[]).unwrap(), Config::default());
}

#[test]
fn every_key_stands_in_the_shipped_file_with_a_comment_in_its_section() {
    let mut shipped = Vec::new();
    flatten(String::new(), toml::Value::Table(SHIPPED.parse().unwrap()), &mut shipped);
    let keys = |leaves: Vec<(String, toml::Value)>| leaves.into_iter().map(|(key, _)| key).collect::<BTreeSet<_>>();
    assert_eq!(keys(shipped), keys(Config::default().leaves()));
    for section in SHIPPED.split("\n[").skip(1) {
        let (name, body) = section.split_once("]\n").unwrap();
        assert!(body.starts_with("# "), "[{name}] begins without a comment");
    }
}

#[test]
fn every_key_of_the_live_list_exists() {
    let keys: Vec<_> = Config::default().leaves().into_iter().map(|(key, _)| key).collect();
    for live in LIVE.iter().chain(NOT_LIVE) {
        assert!(keys.iter().any(|key| key.starts_with(live)), "{live}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_what_would_be_right() {
    let text = problem("[node]\nname = \"a\"\nstate_dirr = \"/x\"\n");
    assert!(text.starts_with("FILE:3: "), "{text}");
    assert!(text.contains("state_dirr") && text.contains("`state_dir`"), "{text}");
    let text = problem("\n[listen.nativ]\ntcp = []\n");
    assert!(text.starts_with("FILE:2: listen") && text.contains("`nativ`"), "{text}");
}

#[test]
fn a_wrong_type_is_named_with_key_and_line() {
    let text = problem("[limits]\n\nconnections_max = \"many\"\n");
    assert!(text.starts_with("FILE:3: limits.connections_max: ") && text.contains("invalid type"), "{text}");
    let text = problem("[listen.native]\ntcp = [\n \"127.0.0.1:7070\",\n \"nowhere\"\n]\n");
    assert!(text.starts_with("FILE:4: listen.native.tcp[1]: "), "{text}");
    assert!(problem("[log]\nformat = \"xml\"\n").starts_with("FILE:2: log.format: "));
}

#[test]
fn broken_syntax_is_named_with_its_line() {
    assert!(problem("[node]\nname = \n").starts_with("FILE:2: "));
    assert!(problem("[node]\nname = \"a\"\nname = \"b\"\n").starts_with("FILE:3: "));
}

#[test]
fn a_missing_file_says_so() {
    let error = load(Path::new("/no/such/file.toml"), Vec::new(), Purpose::Run).unwrap_err().to_string();
    assert!(error.starts_with("/no/such/file.toml: cannot be read: "), "{error}");
}

#[test]
fn values_out_of_range_are_all_named_with_their_lines() {
    let text = problem(
        "[node]\nstate_dir = \"state\"\n[limits]\nbody_max_bytes = 1\n[vm]\ncpu_cores_max = 0\n[images]\nurl_schemes = [\"ftp\"]\n",
    );
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines.contains(&"FILE:2: node.state_dir: must be an absolute path without '..', is \"state\""), "{text}");
    assert!(lines.contains(&"FILE:4: limits.body_max_bytes: must be from 1024 to 67108864, is 1"), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("FILE:6: vm.cpu_cores_max: ")), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("FILE:8: images.url_schemes: \"ftp\" is not one of")), "{text}");
}

#[test]
fn paths_addresses_and_levels_are_checked() {
    for (text, key) in [
        ("[images]\nallowed_folders = [\"/\"]\n", "images.allowed_folders"),
        ("[images]\nallowed_folders = [\"/a/../b\"]\n", "images.allowed_folders"),
        ("[network]\nbridges = [\"br0; rm\"]\n", "network.bridges"),
        ("[listen.native]\ntcp = [\"127.0.0.1:9177\"]\n", "metrics.listen"),
        ("[listen.native]\ntcp = []\nunix = \"\"\n", "listen.native.tcp"),
        ("[log]\nlevel = \"loud\"\n", "log.level"),
        ("[libvirt]\nuri = \"\"\n", "libvirt.uri"),
        ("[node]\nname = \"a/b\"\n", "node.name"),
        ("[node]\ncpu_ratio = nan\n", "node.cpu_ratio"),
        ("[statistics]\nfine_seconds = 119\n", "statistics.fine_seconds"),
        ("[statistics]\nkernel_interval_seconds = 31\n", "statistics.hypervisor_interval_seconds"),
        ("[statistics]\nminute_hours = 49\ncoarse_days = 2\n", "statistics.coarse_days"),
    ] {
        let found = problem(text);
        assert!(found.contains(&format!(": {key}: ")), "{text} gave {found}");
    }
    let long = format!("[listen.native]\nunix = \"/{}\"\n", "x".repeat(107));
    assert!(problem(&long).contains("at most 107 bytes, has 108"));
}

#[test]
fn a_variable_overrides_the_file_typed_or_as_text() {
    let file = "[node]\nname = \"from file\"\n[listen.native]\ntcp = [\"127.0.0.1:1\"]\n";
    let variables = [
        ("HVNODE__NODE__NAME", "123"),
        ("HVNODE__LISTEN__NATIVE__TCP", "[\"127.0.0.1:7171\", \"[::1]:7171\"]"),
        ("HVNODE__LIMITS__REQUESTS_MAX", "7"),
        ("HVNODE__IMAGES__ALLOW_PRIVATE_ADDRESSES", "true"),
        ("HVNODE__LOG__LEVEL", "debug"),
        ("HVNODE__NODE__STATE_DIR", "/tmp/x"),
        ("OTHER__NODE__NAME", "not ours"),
        ("HVNODE_NODE_NAME", "not ours either"),
    ];
    let config = load_text(file, &variables).unwrap();
    assert_eq!(config.node.name, "123");
    assert_eq!(config.listen.native.tcp.len(), 2);
    assert_eq!((config.limits.requests_max, config.images.allow_private_addresses), (7, true));
    assert_eq!((config.log.level.as_str(), config.node.state_dir.as_path()), ("debug", Path::new("/tmp/x")));
}

#[test]
fn a_wrong_variable_is_named() {
    let one = |name: &str, value: &str| load_text("", &[(name, value)]).unwrap_err();
    let text = one("HVNODE__NODE__NAMEE", "x");
    assert!(text.starts_with("variable HVNODE__NODE__NAMEE: node.namee: ") && text.contains("unknown field"), "{text}");
    assert!(one("HVNODE__NOWHERE__X", "x").contains("variable HVNODE__NOWHERE__X"));
    assert!(one("HVNODE__NODE", "x").contains("names no key"));
    assert!(one("HVNODE__NODE____X", "x").contains("names no key"));
    assert!(one("HVNODE__LIMITS__REQUESTS_MAX", "many").starts_with("variable HVNODE__LIMITS__REQUESTS_MAX: limits.requests_max: "));
    let range = one("HVNODE__LIMITS__REQUESTS_MAX", "0");
    assert_eq!(range, "variable HVNODE__LIMITS__REQUESTS_MAX: limits.requests_max: must be from 1 to 1000000, is 0");
}

#[test]
fn a_variable_cannot_smuggle_in_another_key() {
    let config = load_text("", &[("HVNODE__NODE__NAME", "\"a\"\nstate_dir = \"/x\"")]);
    assert!(config.is_err_and(|text| text.contains("node.name")));
}

#[test]
fn a_reload_knows_what_it_can_apply() {
    let old = Config::default();
    let mut new = Config::default();
    assert_eq!(old.difference(&new), Difference::default());
    new.auth.login_failures_max = 9;
    new.log.level = "debug".into();
    new.limits.body_max_bytes = 4096;
    new.node.name = "other".into();
    new.listen.native.tcp.clear();
    new.tls.client_names.insert("boss.example".into(), ClientRole::Admin);
    new.listen.native.tls = true;
    new.statistics.fine_seconds = 600;
    let difference = old.difference(&new);
    assert_eq!(difference.live, ["auth.login_failures_max", "log.level", "tls.client_names.boss.example"]);
    assert_eq!(
        difference.needs_restart,
        ["limits.body_max_bytes", "listen.native.tcp", "listen.native.tls", "node.name", "statistics.fine_seconds"]
    );
}

#[test]
fn numbers_of_chimestack_states_are_checked_and_known_to_a_reload() {
    let text = problem("[listen.chimestack]\nvm_states = { flying = 1 }\n");
    assert!(text.contains("listen.chimestack.vm_states") && text.contains("\"flying\" is no state"), "{text}");
    assert!(problem("[listen.chimestack]\nvm_states = { stopped = 1 }\n").contains("would both be 1"));
    assert!(problem("[listen.chimestack]\ntask_states = { failed = 1 }\n").contains("listen.chimestack.task_states"));
    let new =
        load_text("[listen.chimestack]\nvm_states = { stopped = 6, suspended = 6, starting = 6 }\n[log]\nlevel = \"warn\"\n", &[]).unwrap();
    let difference = Config::default().difference(&new);
    assert_eq!(difference.live, ["log.level"]);
    let keys = ["starting", "stopped", "suspended"].map(|word| format!("listen.chimestack.vm_states.{word}"));
    assert_eq!(difference.needs_restart, keys);
}

#[test]
fn plain_http_where_others_reach_it_needs_a_word_per_listener() {
    let text = problem("[listen.native]\ntcp = [\"127.0.0.1:7070\", \"0.0.0.0:7070\"]\n[metrics]\nlisten = [\"[::]:9177\"]\n");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("FILE:2: listen.native.tcp: 0.0.0.0:7070 can be reached by other machines"), "{text}");
    assert!(text.contains("tls.insecure_plain_http_off_loopback = [\"native\"]"), "{text}");
    assert!(text.contains("FILE:4: metrics.listen: [::]:9177 ") && text.contains("what the node runs"), "{text}");
    load_text("[metrics]\nlisten = [\"0.0.0.0:9177\"]\n[tls]\ninsecure_plain_http_off_loopback = [\"metrics\"]\n", &[]).unwrap();
    let unknown = problem("[tls]\ninsecure_plain_http_off_loopback = [\"all\"]\n");
    assert!(unknown.starts_with("FILE:2: ") && unknown.contains("\"all\" is not one of [\"native\", "), "{unknown}");
}

#[test]
fn what_tls_needs_is_named_where_it_is_missing() {
    let text = problem("[listen.native]\ntls = true\n");
    assert!(text.contains("tls.certificate_file: listen.native.tls needs it: name a file, or hand over"), "{text}");
    assert!(text.contains("systemd credential hvnode-tls-certificate"), "{text}");
    let text = problem("[tls]\ncertificate_file = \"/no/such.crt\"\nkey_file = \"/no/such.key\"\n[metrics]\ntls = true\n");
    assert!(text.starts_with("FILE:2: tls.certificate_file: /no/such.crt cannot be read: "), "{text}");
    let text = problem("[tls]\ncertificate_file = \"/a.crt\"\nkey_file = \"/a.key\"\n");
    assert!(text.contains("FILE:2: tls.certificate_file: no listener uses it") && text.contains("FILE:3: tls.key_file: "), "{text}");
    assert!(problem("[tls]\nkey_file = \"a.key\"\n[metrics]\ntls = true\n").contains("FILE:2: tls.key_file: must be an absolute path"));
    assert!(problem("[tls]\nminimum_version = \"1.1\"\n").starts_with("FILE:2: tls.minimum_version: "));
}

#[test]
fn rules_for_client_certificates_that_cannot_be_meant_are_refused() {
    let text = problem("[tls]\nclient_names = { boss = \"admin\" }\n");
    assert!(text.contains("FILE:2: tls.client_names: has no effect while tls.client_certificates is \"none\""), "{text}");
    let text = problem("[tls]\nclient_certificates = \"required\"\n");
    assert!(text.contains("tls.client_names: is empty, so every client certificate would be refused"), "{text}");
    assert!(problem("[tls]\nclient_certificates = \"optional\"\nclient_names = { boss = \"king\" }\n").contains("tls.client_names.boss"));
    assert!(
        problem("[tls]\nclient_certificates = \"optional\"\nclient_names = { \"\" = \"admin\" }\n").contains("\"\" must have 1 to 253")
    );
}

#[test]
fn credentials_of_the_service_manager_go_before_the_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hvnode-tls-certificate"), "no certificate").unwrap();
    let file = "[tls]\ncertificate_file = \"/no/such.crt\"\nkey_file = \"/no/such.key\"\n[listen.zstack]\ntls = true\n";
    let text = load_text(file, &[("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())]).unwrap_err();
    assert!(text.contains("/hvnode-tls-certificate holds no certificate"), "{text}");
}
