//! Messages of the ZStack API in a session: the name of the message in the first line, its fields behind it. Most of the seeds are queries.
#![no_main]

use axum::body::Body;
use http::Request;
use hvnode_api::dialect::zstack::{ZStackOptions, router};
use hvnode_fuzz::{Bench, PASSWORD_SHA512};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use std::sync::LazyLock;

const LOG_IN: &str = "org.zstack.header.identity.APILogInByAccountMsg";

static BENCH: LazyLock<(Bench, String)> = LazyLock::new(|| {
    let bench = Bench::new(|context| router(context, ZStackOptions::default()));
    let (_, job) = bench.ask("POST", "/zstack/api", &json!({LOG_IN: {"accountName": "admin", "password": PASSWORD_SHA512, "session": {}}}));
    let result: Value = serde_json::from_str(job["result"].as_str().unwrap_or_else(|| panic!("{job}"))).unwrap();
    let session = result.as_object().and_then(|result| result.values().next()).map(|reply| reply["inventory"]["uuid"].clone());
    let session = session.as_ref().and_then(Value::as_str).unwrap_or_else(|| panic!("{result}")).to_owned();
    (bench, session)
});

fuzz_target!(|input: &str| {
    let (bench, session) = &*BENCH;
    let (class, fields) = input.split_once('\n').unwrap_or((input, "{}"));
    let body = match serde_json::from_str(fields) {
        Ok(Value::Object(mut fields)) => {
            fields.insert("session".into(), json!({ "uuid": session }));
            json!({ class: fields }).to_string()
        }
        _ => format!("{{{}: {fields}}}", json!(class)),
    };
    bench.send(Request::post("/zstack/api").body(Body::from(body)).unwrap());
});
