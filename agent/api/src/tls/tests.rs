use super::*;
use crate::test_support::authority::{Authority, DAY, Pair};
use crate::test_support::empty_snapshot;
use hvnode_core::fake::ManualClock;
use hvnode_core::model::Role;
use rustls::pki_types::pem::PemObject;

fn plain(authority: &Authority) -> TlsSettings {
    authority.settings(ClientCertificates::None, &[])
}

struct Running {
    tls: Arc<Tls>,
    clock: ManualClock,
    metrics: Arc<Metrics>,
}

fn start(settings: &TlsSettings) -> Running {
    let (clock, metrics) = (ManualClock::new(Timestamp::now()), Metrics::new("0").unwrap());
    let tls = Tls::start(settings, vec!["native", "metrics"], 2, metrics.clone(), Arc::new(clock.clone())).unwrap();
    Running { tls, clock, metrics }
}

impl Running {
    fn state(&self) -> (&'static str, String) {
        let component = self.tls.component();
        assert!(component.is_ready, "the node works all the same");
        (component.state, component.warning.unwrap_or_default())
    }

    fn page(&self) -> String {
        self.metrics.page(&empty_snapshot(), &Default::default())
    }

    fn end(&self) -> Timestamp {
        self.tls.current.load().validity.not_after
    }
}

fn problem(authority: &Authority) -> String {
    check(&plain(authority)).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_path() {
    let authority = Authority::new();
    let pair = authority.server();
    check(&plain(&authority)).unwrap();

    authority.write("server.key", &authority.server().key, 0o600);
    assert!(problem(&authority).contains("server.key does not belong to ") && problem(&authority).ends_with("server.crt"));
    authority.write("server.key", &pair.key, 0o644);
    assert!(problem(&authority).contains("server.key may be read or written by everybody (mode 0644): chmod 0600"));
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    authority.write("server.key", locked, 0o600);
    assert!(problem(&authority).contains("server.key is locked with a passphrase"));
    authority.write("server.key", "nothing", 0o600);
    assert!(problem(&authority).contains("server.key holds no private key"));
    let broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    authority.write("server.key", broken, 0o600);
    assert!(problem(&authority).contains("server.key cannot be used with") && !problem(&authority).contains("c2VjcmV0"));
    std::fs::remove_file(authority.path("server.key")).unwrap();
    assert!(problem(&authority).contains("server.key cannot be read: "));

    authority.put(&Pair { certificate: pair.key.clone(), key: pair.key.clone() });
    assert!(problem(&authority).starts_with("the certificate: ") && problem(&authority).contains("server.crt holds no certificate"));
    authority.write("server.crt", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", 0o644);
    assert!(problem(&authority).contains("server.crt is no certificate"), "{}", problem(&authority));
    authority.put(&pair);
    check(&plain(&authority)).unwrap();
}

#[test]
fn a_client_authority_is_read_only_where_clients_are_asked_for_certificates() {
    let authority = Authority::new();
    authority.write("ca.crt", "no authority", 0o644);
    check(&plain(&authority)).unwrap();
    let asked = authority.settings(ClientCertificates::Optional, &[("*", ClientRight::LogIn)]);
    assert_eq!(check(&asked).unwrap_err().part, TlsPart::ClientCa);
}

#[test]
fn new_files_are_taken_up_once_they_have_stayed_the_same_for_a_look() {
    let authority = Authority::new();
    let running = start(&plain(&authority));
    let old = running.end();
    let new = authority.issue("node", &["localhost"], Some(200 * DAY));
    authority.write("server.crt", &new.certificate, 0o644);
    running.tls.look();
    assert_eq!((running.end(), running.state().0), (old, "up"), "half of a pair is not looked at");
    authority.write("server.key", &new.key, 0o600);
    running.tls.look();
    running.tls.look();
    assert!(running.end() > old);
    let expiry = format!("hvnode_tls_certificate_expiry_timestamp_seconds{{listener=\"metrics\"}} {}", running.end().seconds());
    let page = running.page();
    assert!(page.contains(&expiry) && page.contains("hvnode_tls_reloads_total{outcome=\"success\"} 1"), "{page}");
    running.tls.look();
    assert!(running.page().contains("hvnode_tls_reloads_total{outcome=\"success\"} 1"), "files that stay are not read again");
}

#[test]
fn files_that_cannot_be_used_leave_the_old_ones_in_force_until_they_can() {
    let authority = Authority::new();
    let running = start(&plain(&authority));
    let (old, pair) = (running.end(), authority.server());
    authority.write("server.key", &pair.key, 0o600);
    running.tls.look();
    running.tls.look();
    let (state, warning) = running.state();
    assert_eq!((state, running.end()), ("reload_failed", old));
    assert!(warning.starts_with("the key on disk cannot be used") && !warning.contains('/'), "no path for everybody: {warning}");
    assert!(running.page().contains("\nhvnode_tls_reload_failed 1\n"));
    running.tls.look();
    assert!(running.page().contains("hvnode_tls_reloads_total{outcome=\"failure\"} 1"), "the same files are not tried again");
    authority.write("server.crt", &pair.certificate, 0o644);
    running.tls.look();
    running.tls.look();
    assert_eq!(running.state(), ("up", String::new()));
    assert!(running.page().contains("\nhvnode_tls_reload_failed 0\n"));
}

#[test]
fn an_expired_certificate_does_not_replace_a_good_one_and_is_better_than_none() {
    let authority = Authority::new();
    let running = start(&plain(&authority));
    authority.put(&authority.issue("node", &["localhost"], None));
    let problem = running.tls.reload(None).unwrap_err();
    assert!(problem.text.contains("the certificate expired on 20"), "{problem}");
    assert_eq!(running.state().0, "reload_failed");
    let running = start(&plain(&authority));
    let (state, warning) = running.state();
    assert_eq!(state, "certificate_invalid");
    assert!(warning.contains("expired on"), "{warning}");
}

#[test]
fn a_certificate_that_is_about_to_expire_is_a_warning() {
    let authority = Authority::new();
    let running = start(&plain(&authority));
    assert_eq!(running.state(), ("up", String::new()));
    running.clock.advance(90 * DAY);
    let (state, warning) = running.state();
    assert_eq!(state, "expires_soon");
    assert!(warning.starts_with("the certificate expires in 9 days, on 20") || warning.starts_with("the certificate expires in 10 days"));
    running.clock.advance(11 * DAY);
    assert_eq!(running.state().0, "certificate_invalid");
    running.clock.set(Timestamp::from_seconds(1_000_000_000));
    assert!(running.state().1.contains("is the clock right?"));
}

#[test]
fn a_client_is_known_by_the_first_of_its_names_that_is_listed() {
    let authority = Authority::new();
    let right = ClientRight::Role;
    let names = [("controller.example", right(Role::Admin)), ("viewer", right(Role::Reader)), ("ops@example.com", right(Role::Operator))];
    let running = start(&authority.settings(ClientCertificates::Required, &names));
    let standing = |common_name: &str, names: &[&str]| {
        let pair = authority.issue(common_name, names, Some(DAY));
        running.tls.standing(&[CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()])
    };
    let trusted = |name: &str, role| Standing::Trusted { name: name.to_owned(), role };
    assert_eq!(standing("viewer", &[]), trusted("viewer", Role::Reader));
    assert_eq!(standing("viewer", &["other.example", "controller.example"]), trusted("controller.example", Role::Admin));
    assert_eq!(standing("stranger", &[]), Standing::Unlisted("stranger".into()));
    assert_eq!(standing("evil\nname", &["x.example"]), Standing::Unlisted("x.example, evilname".into()));
    assert!(matches!(running.tls.standing(&[]), Standing::Refused(_)));
    running.clock.advance(2 * DAY);
    assert!(matches!(standing("viewer", &[]), Standing::Refused(why) if why.contains("xpired")), "also where the session was resumed");
}

#[test]
fn a_star_stands_for_every_other_name_and_no_demand_for_nobody() {
    let authority = Authority::new();
    let pair = authority.client("somebody");
    let chain = [CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let running = start(&authority.settings(ClientCertificates::Optional, &[("*", ClientRight::LogIn)]));
    assert_eq!(running.tls.standing(&chain), Standing::LogIn);
    assert_eq!(running.tls.standing(&[]), Standing::Anonymous);
    let stranger = Authority::new().client("somebody");
    let foreign = [CertificateDer::from_pem_slice(stranger.certificate.as_bytes()).unwrap()];
    assert!(matches!(running.tls.standing(&foreign), Standing::Refused(_)), "a star is no other authority");
    running.tls.reload(Some(&plain(&authority))).unwrap();
    assert_eq!(running.tls.standing(&chain), Standing::Anonymous);
}
