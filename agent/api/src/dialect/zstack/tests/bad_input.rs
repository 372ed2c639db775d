//! What is wrong is told in this API's form, names its field, and changes nothing.

use super::bench::{BODY_BYTES_MAX, Bench, HASH, result};
use crate::accounts::AccountsConfig;
use http::StatusCode;
use hvnode_core::model::Role;
use serde_json::{Value, json};
use std::time::Duration;

const CREATE_VM: &str = "org.zstack.header.vm.APICreateVmInstanceMsg";

#[tokio::test]
async fn what_is_no_message_is_a_transport_fault() {
    let bench = Bench::new().await;
    for body in ["", "{", "[]", "null", "\"x\"", "{}", r#"{"a": {}, "b": {}}"#, "{\"\u{0}", &"[".repeat(10_000)] {
        let answer = bench.send("POST", "/zstack/api", body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:.40}: {}", answer.text);
    }
    let large = format!("{{\"{}\": {{}}}}", "x".repeat(BODY_BYTES_MAX));
    assert_eq!(bench.send("POST", "/zstack/api", large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(bench.send("POST", "/zstack/api", vec![0xff, 0xfe]).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_unknown_message_is_a_job_that_is_done_and_failed() {
    let bench = Bench::new().await;
    for (class, reply) in
        [("org.zstack.header.vm.APIFlyVmInstanceMsg", "org.zstack.header.vm.APIFlyVmInstanceReply"), ("x", "xReply"), ("", "Reply")]
    {
        let (found, content) = result(&bench.post(class, json!({})).await);
        assert_eq!((found.as_str(), content["error"]["code"].as_str()), (reply, Some("SYS.1008")));
    }
}

#[tokio::test]
async fn a_session_must_be_valid_and_of_this_api() {
    let bench = Bench::new().await;
    let foreign = bench.accounts.log_in("native", "198.51.100.7", "admin", "password").await.unwrap().token;
    for session in
        [json!(null), json!({}), json!({"uuid": ""}), json!({"uuid": "x"}), json!({"uuid": 7}), json!("x"), json!({"uuid": foreign})]
    {
        for class in ["org.zstack.header.vm.APIQueryVmInstanceMsg", "org.zstack.header.zone.APICreateZoneMsg"] {
            let (_, content) = result(&bench.post(class, json!({"session": session, "name": "a", "conditions": []})).await);
            assert_eq!(content["error"]["code"], "ID.1001", "{session}");
            assert!(content["error"]["details"].as_str().unwrap().contains("Session expired"));
        }
    }
    let native = bench.accounts.authenticate("native", &bench.session, "198.51.100.7", "r");
    assert!(native.is_err());
    bench.accounts.reconfigure(AccountsConfig { token_lifetime: Duration::ZERO, ..AccountsConfig::default() });
    let session = bench.log_in("admin").await;
    let before = bench.everything();
    let (_, content) =
        result(&bench.post("org.zstack.header.zone.APICreateZoneMsg", json!({"session": {"uuid": session}, "name": "z"})).await);
    assert_eq!(content["error"]["code"], "ID.1001");
    assert!(content["error"]["details"].as_str().unwrap().ends_with("Token expired"), "{content:?}");
    let (_, content) = result(&bench.post("org.zstack.header.identity.APIValidateSessionMsg", json!({"sessionUuid": session})).await);
    assert_eq!(content["validSession"], false);
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn a_wrong_name_or_password_does_not_log_in() {
    let bench = Bench::new().await;
    let log_in = "org.zstack.header.identity.APILogInByAccountMsg";
    for (fields, code) in [
        (json!({"accountName": "admin", "password": HASH.replace('b', "c")}), "ID.1000"),
        (json!({"accountName": "nobody", "password": HASH}), "ID.1000"),
        (json!({"accountName": "admin", "password": "password"}), "ID.1000"),
        (json!({"accountName": "admin"}), "SYS.1007"),
        (json!({"password": HASH}), "SYS.1007"),
        (json!({"accountName": {}, "password": HASH}), "SYS.1007"),
    ] {
        let (class, content) = result(&bench.post(log_in, fields.clone()).await);
        assert_eq!(
            (class.as_str(), content["error"]["code"].as_str()),
            ("org.zstack.header.identity.APILogInReply", Some(code)),
            "{fields}"
        );
    }
    let upper = json!({"accountName": "admin", "password": HASH.to_uppercase()});
    assert_eq!(result(&bench.post(log_in, upper).await).1["success"], true);
    let text = format!("{:?}", bench.log().await);
    assert!(!text.contains(HASH) && text.contains("APILogInByAccountMsg"), "{text}");
}

#[tokio::test]
async fn a_reader_reads_and_changes_nothing() {
    let mut bench = Bench::new().await;
    let uuid = bench.vm("a").await;
    bench.accounts.create_account("reader", Role::Reader, "password").await.unwrap();
    bench.session = bench.log_in("reader").await;
    let before = bench.everything();
    assert_eq!(bench.query("org.zstack.header.vm.APIQueryVmInstanceMsg", json!([])).await.len(), 1);
    for (class, fields) in [
        ("org.zstack.header.vm.APIStopVmInstanceMsg", json!({ "uuid": uuid })),
        ("org.zstack.header.zone.APICreateZoneMsg", json!({"name": "z"})),
        ("org.zstack.header.tag.APICreateUserTagMsg", json!({"resourceType": "VmInstanceVO", "resourceUuid": uuid, "tag": "t"})),
    ] {
        assert_eq!(bench.refused(class, fields).await.0, "ID.1002", "{class}");
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn a_wrong_field_is_named_and_nothing_changes() {
    let bench = Bench::new().await;
    let image = bench.image("image").await;
    let vm = bench.vm("a").await;
    let before = bench.everything();
    let good = json!({"name": "b", "imageUuid": image, "cpuNum": 1, "memorySize": 256_u32 << 20});
    let with = |name: &str, value: Value| {
        let mut fields = good.clone();
        fields[name] = value;
        fields
    };
    let other = uuid::Uuid::new_v4();
    for (fields, code, word) in [
        (with("name", json!(null)), "SYS.1007", "name"),
        (with("name", json!(" ")), "SYS.1007", "name"),
        (with("name", json!("a/b")), "SYS.1007", "name"),
        (with("name", json!("x".repeat(256))), "SYS.1007", "name"),
        (with("name", json!("a")), "SYS.1007", "exist"),
        (with("description", json!("x".repeat(2049))), "SYS.1007", "description"),
        (with("imageUuid", json!("x")), "SYS.1007", "imageUuid"),
        (with("imageUuid", json!(null)), "SYS.1007", "imageUuid"),
        (with("imageUuid", json!(other)), "SYS.1003", "Image"),
        (with("cpuNum", json!("two")), "SYS.1007", "cpuNum"),
        (with("cpuNum", json!(-1)), "SYS.1007", "cpuNum"),
        (with("cpuNum", json!(null)), "SYS.1007", "cpuNum"),
        (with("cpuNum", json!(0)), "SYS.1007", "cpuNum"),
        (with("memorySize", json!("1e9")), "SYS.1007", "memorySize"),
        (with("memorySize", json!(1000)), "SYS.1007", "memorySize"),
        (with("memorySize", json!(1_u64 << 50)), "SYS.1006", ""),
        (with("instanceOfferingUuid", json!(other)), "SYS.1007", "instanceOfferingUuid"),
        (with("l3NetworkUuids", json!(["x"])), "SYS.1007", "l3NetworkUuids"),
        (with("l3NetworkUuids", json!([other])), "SYS.1003", "Network"),
        (with("l3NetworkUuids", json!({})), "SYS.1007", "l3NetworkUuids"),
        (with("strategy", json!("Later")), "SYS.1007", "strategy"),
        (with("type", json!("ApplianceVm")), "SYS.1007", "type"),
        (with("zoneUuid", json!(other)), "SYS.1003", "zoneUuid"),
        (with("hostUuid", json!(other)), "SYS.1003", "hostUuid"),
        (with("rootDiskOfferingUuid", json!(other)), "SYS.1003", "rootDiskOfferingUuid"),
        (with("dataDiskOfferingUuids", json!([other])), "SYS.1003", "dataDiskOfferingUuids"),
        (with("dataDiskSizes", json!(["big"])), "SYS.1007", "dataDiskSizes"),
        (with("sshKeyPairUuids", json!([other])), "SYS.1014", "sshKeyPairUuids"),
        (with("systemTags", json!(["userdata::not base64!"])), "SYS.1007", "userdata"),
        (with("systemTags", json!(["staticIp::x::y"])), "SYS.1007", "staticIp"),
        (with("resourceUuid", json!("x")), "SYS.1007", "resourceUuid"),
        (with("resourceUuid", json!(vm)), "SYS.1007", "resourceUuid"),
    ] {
        let (found, details) = bench.refused(CREATE_VM, fields.clone()).await;
        assert_eq!(found, code, "{fields}: {details}");
        assert!(details.contains(word), "{fields}: {details}");
    }
    assert_eq!(bench.everything(), before);
    let vm_message = |name: &str| format!("org.zstack.header.vm.API{name}Msg");
    for (class, fields, code) in [
        (vm_message("StopVmInstance"), json!({}), "SYS.1007"),
        (vm_message("StopVmInstance"), json!({"uuid": vm, "type": "hard"}), "SYS.1007"),
        (vm_message("StopVmInstance"), json!({ "uuid": other }), "SYS.1003"),
        (vm_message("DestroyVmInstance"), json!({"uuid": vm, "deleteMode": "Now"}), "SYS.1007"),
        (vm_message("UpdateVmInstance"), json!({ "uuid": vm }), "SYS.1007"),
        (vm_message("UpdateVmInstance"), json!({"uuid": vm, "state": "Disabled"}), "SYS.1014"),
        (vm_message("UpdateVmInstance"), json!({"uuid": vm, "name": "n", "cpuNum": 2}), "SYS.1007"),
        (vm_message("MigrateVm"), json!({"vmInstanceUuid": vm}), "SYS.1013"),
        ("org.zstack.header.host.APIChangeHostStateMsg".into(), json!({"uuid": other, "stateEvent": "maintain"}), "SYS.1013"),
        ("org.zstack.kvm.APIAddKVMHostMsg".into(), json!({"name": "h"}), "SYS.1014"),
        ("org.zstack.header.volume.APICreateVolumeSnapshotMsg".into(), json!({"volumeUuid": other, "name": "s"}), "SYS.1014"),
        ("org.zstack.header.image.APIAddImageMsg".into(), json!({"name": "i", "url": "ftp://x/y", "format": "qcow2"}), "SYS.1007"),
        ("org.zstack.header.image.APIAddImageMsg".into(), json!({"name": "i", "url": "http://x/y", "format": "vmdk"}), "SYS.1007"),
        ("org.zstack.header.image.APIDeleteImageMsg".into(), json!({ "uuid": other }), "SYS.1003"),
        ("org.zstack.header.zone.APICreateZoneMsg".into(), json!({}), "SYS.1007"),
        ("org.zstack.header.configuration.APICreateDiskOfferingMsg".into(), json!({"name": "d", "diskSize": 0}), "SYS.1007"),
        (
            "org.zstack.header.cluster.APICreateClusterMsg".into(),
            json!({"name": "c", "zoneUuid": other, "hypervisorType": "KVM"}),
            "SYS.1003",
        ),
    ] {
        let (found, details) = bench.refused(&class, fields.clone()).await;
        assert_eq!(found, code, "{class} {fields}: {details}");
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn a_message_that_is_not_an_object_is_refused() {
    let bench = Bench::new().await;
    for value in [json!(null), json!([]), json!("x"), json!(7)] {
        let (_, content) = result(&bench.post("org.zstack.header.zone.APIQueryZoneMsg", value).await);
        assert_eq!(content["error"]["code"], "SYS.1007");
    }
}

#[tokio::test]
async fn changes_and_refusals_stand_in_the_operation_log_under_their_message_without_secrets() {
    let bench = Bench::new().await;
    let image = bench.image("image").await;
    let secret = "I2Nsb3VkLWNvbmZpZwpwYXNzd29yZDogc2VjcmV0Cg==";
    let fields = json!({
        "name": "b", "imageUuid": image, "cpuNum": 1, "memorySize": 256_u32 << 20, "systemTags": [format!("userdata::{secret}")],
    });
    bench.ok(CREATE_VM, fields).await;
    bench.ok("org.zstack.header.zone.APICreateZoneMsg", json!({"name": "z"})).await;
    bench.refused("org.zstack.header.zone.APICreateZoneMsg", json!({"name": " "})).await;
    let log = bench.log().await;
    let text = format!("{log:?}");
    assert!(!text.contains(secret) && !text.contains(&bench.session) && !text.contains(HASH));
    let rows: Vec<_> = log.iter().map(|row| (row.action.as_str(), row.error.is_none())).collect();
    for row in [(CREATE_VM, true), ("org.zstack.header.zone.APICreateZoneMsg", true), ("org.zstack.header.zone.APICreateZoneMsg", false)] {
        assert!(rows.contains(&row), "{row:?} {rows:?}");
    }
    assert!(log.iter().all(|row| row.caller.dialect == "zstack" || row.caller.dialect == "internal"));
}
