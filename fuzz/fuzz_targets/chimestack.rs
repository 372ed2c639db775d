//! Any request to the ChimeStack API, with an administrator's token.
#![no_main]

use hvnode_api::dialect::chimestack::{ChimeStackOptions, router};
use hvnode_fuzz::{Bench, PASSWORD};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use std::sync::LazyLock;

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let bench = Bench::new(|context| router(context, ChimeStackOptions::default()));
    let (_, body) = bench.ask("POST", "/v1/login", &json!({"user_name": "admin", "password": PASSWORD}));
    bench.with_header("authorization", &format!("Bearer {}", body["result"]["user"]["uuid"].as_str().unwrap_or_else(|| panic!("{body}"))))
});

fuzz_target!(|input: &[u8]| BENCH.send_raw(input));
