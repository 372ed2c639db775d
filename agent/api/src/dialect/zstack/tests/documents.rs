//! Every call and sample of the API's own introduction, as its curl lines and its script send them.

use super::bench::{Bench, HASH, result};
use axum::body::Body;
use http::StatusCode;
use serde_json::{Value, json};

const LOG_IN: &str = "org.zstack.header.identity.APILogInByAccountMsg";
const LOG_OUT: &str = "org.zstack.header.identity.APILogOutMsg";
const CREATE_ZONE: &str = "org.zstack.header.zone.APICreateZoneMsg";

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// `Feb 17, 2016 12:29:48 PM`: no zero before the day or the hour.
fn assert_date(value: &Value) {
    let text = value.as_str().unwrap();
    let parts: Vec<&str> = text.split([' ', ',', ':']).filter(|part| !part.is_empty()).collect();
    let [month, day, year, hour, minute, second, half] = parts[..] else { panic!("{text}") };
    assert!(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"].contains(&month), "{text}");
    assert!(!day.starts_with('0') && !hour.starts_with('0') && year.len() == 4 && minute.len() == 2 && second.len() == 2, "{text}");
    assert!(half == "AM" || half == "PM", "{text}");
    assert!((1..=12).contains(&hour.parse::<u32>().unwrap()), "{text}");
}

fn assert_uuid(value: &Value) {
    let text = value.as_str().unwrap();
    assert!(text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{text}");
}

#[tokio::test]
async fn the_curl_lines_of_the_introduction_are_answered_as_printed() {
    let bench = Bench::new().await;
    // 5.1: log in.
    let body = format!(r#"{{"{LOG_IN}": {{"password": "{HASH}", "accountName": "admin"}}}}"#);
    let job = bench.send("POST", "/zstack/api", body).await.job();
    assert_eq!(keys(&job), ["createdDate", "finishedDate", "result", "state"]);
    assert_date(&job["createdDate"]);
    assert_date(&job["finishedDate"]);
    let (class, content) = result(&job);
    assert_eq!(class, "org.zstack.header.identity.APILogInReply");
    let session = &content["inventory"];
    assert_eq!(keys(session), ["accountUuid", "createDate", "expiredDate", "userUuid", "uuid"]);
    assert_eq!(session["accountUuid"], "36c27e8ff05c4780bf6d2fa65700f22e");
    assert_eq!(session["userUuid"], session["accountUuid"]);
    assert_uuid(&session["uuid"]);
    assert_date(&session["createDate"]);
    assert_date(&session["expiredDate"]);
    // 6.2: create a zone, and ask for its result.
    let fields = json!({"session": {"uuid": session["uuid"]}, "name": "zone1"});
    let job = bench.post(CREATE_ZONE, fields).await;
    assert_eq!(keys(&job), ["createdDate", "state", "uuid"]);
    assert_eq!(job["state"], "Processing");
    assert_uuid(&job["uuid"]);
    let uuid = job["uuid"].as_str().unwrap();
    // 4.1 drops the prefix in one sentence.
    for path in [format!("/zstack/api/result/{uuid}"), format!("/api/result/{uuid}")] {
        let job = bench.send("GET", &path, Body::empty()).await.job();
        assert_eq!(keys(&job), ["createdDate", "finishedDate", "result", "state", "uuid"]);
        assert_eq!((job["state"].as_str(), job["uuid"].as_str()), (Some("Done"), Some(uuid)));
        let (class, content) = result(&job);
        assert_eq!(class, "org.zstack.header.zone.APICreateZoneEvent");
        let zone = &content["inventory"];
        assert_eq!(keys(zone), ["createDate", "lastOpDate", "name", "state", "type", "uuid"]);
        assert_eq!((&zone["name"], &zone["state"], &zone["type"]), (&json!("zone1"), &json!("Enabled"), &json!("zstack")));
        assert_uuid(&zone["uuid"]);
    }
    // 6.3: the document logs out with the uuid of the job, and it works.
    let (class, content) = result(&bench.post(LOG_OUT, json!({ "sessionUuid": uuid })).await);
    assert_eq!((class.as_str(), content.len()), ("org.zstack.header.identity.APILogOutReply", 1));
    let (_, content) = result(&bench.post(LOG_OUT, json!({"sessionUuid": session["uuid"]})).await);
    assert_eq!(content["success"], true);
    let fields = json!({"session": {"uuid": session["uuid"]}, "name": "zone2"});
    let (_, content) = result(&bench.post(CREATE_ZONE, fields).await);
    assert_eq!(content["error"]["code"], "ID.1001");
    assert!(content["error"]["details"].as_str().unwrap().contains("Session expired"));
}

#[tokio::test]
async fn the_log_sample_of_the_command_line_works_with_a_slash_at_the_end_and_with_put() {
    let bench = Bench::new().await;
    let body = json!({LOG_IN: {"password": HASH, "session": {}, "accountName": "admin"}}).to_string();
    for method in ["POST", "PUT"] {
        let (_, content) = result(&bench.send(method, "/zstack/api/", body.clone()).await.job());
        assert_eq!(content["success"], true);
    }
}

/// Section 7: the message flow of the script, call by call.
#[tokio::test]
async fn the_script_of_the_introduction_runs_to_its_end() {
    let bench = Bench::new().await;
    let call = async |session: Option<&str>, class: &str, mut content: Value| {
        if let Some(uuid) = session {
            content["session"] = json!({ "uuid": uuid });
        }
        let mut job = bench.post(class, content).await;
        while job["state"] != "Done" {
            job = bench.poll(job["uuid"].as_str().unwrap()).await;
        }
        let result: Value = serde_json::from_str(job["result"].as_str().unwrap()).unwrap();
        let first = result.as_object().unwrap().values().next().unwrap().clone();
        assert_eq!(first["success"], true, "{first}");
        first
    };
    let content = json!({"accountName": "admin", "password": HASH});
    let session = call(None, LOG_IN, content).await["inventory"]["uuid"].as_str().unwrap().to_owned();
    call(Some(&session), CREATE_ZONE, json!({"name": "zone1"})).await;
    call(None, LOG_OUT, json!({ "sessionUuid": session })).await;
}

#[tokio::test]
async fn an_unknown_job_or_path_is_not_found() {
    let bench = Bench::new().await;
    for path in ["/zstack/api/result/fee83ed8529340cd8528b3b408dc16b0", "/zstack/api/result/nonsense", "/zstack", "/"] {
        assert_eq!(bench.send("GET", path, Body::empty()).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(bench.send("GET", "/zstack/api", Body::empty()).await.status, StatusCode::METHOD_NOT_ALLOWED);
}
