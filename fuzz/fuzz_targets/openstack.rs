//! Any request to the OpenStack API, with an administrator's token.
#![no_main]

use hvnode_api::dialect::openstack::{OpenStackOptions, router};
use hvnode_fuzz::{Bench, keystone_log_in};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let bench = Bench::new(|context| router(context, OpenStackOptions { public_url: "http://node".into() }));
    let (answer, body) = bench.ask("POST", "/identity/v3/auth/tokens", &keystone_log_in());
    let token = answer.headers().get("x-subject-token").unwrap_or_else(|| panic!("{body}")).to_str().unwrap().to_owned();
    bench.with_header("x-auth-token", &token)
});

fuzz_target!(|input: &[u8]| BENCH.send_raw(input));
