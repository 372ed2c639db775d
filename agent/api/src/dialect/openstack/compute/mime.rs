//! What cloud-init is told where a server has user data as well as a password or a key: one message of several parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hvnode_core::verb::GuestSeed;
use serde_json::json;

/// Lines of a part, as mail has them.
const LINE_LENGTH: usize = 76;

/// A seed that tells all of it. The engine takes either user data or the others, because it writes cloud-init's file as it is.
pub(super) fn seed(password: Option<String>, ssh_key: Option<String>, user_data: Option<String>) -> GuestSeed {
    let Some(user_data) = user_data else { return GuestSeed { password, ssh_key, user_data: None } };
    let mut config = json!({});
    if let Some(password) = &password {
        config["password"] = json!(password);
        config["chpasswd"] = json!({ "expire": false });
        config["ssh_pwauth"] = json!(true);
    }
    if let Some(key) = &ssh_key {
        config["ssh_authorized_keys"] = json!([key]);
    }
    let parts = [part("text/cloud-config", &format!("#cloud-config\n{config}\n")), part("text/plain", &user_data)];
    // Base64 holds no dash at the start of a line, so the boundary cannot stand inside a part.
    let boundary = "--part-of-user-data";
    let mut text = format!("Content-Type: multipart/mixed; boundary=\"{}\"\nMIME-Version: 1.0\n\n", &boundary[2..]);
    for part in parts {
        text += &format!("{boundary}\n{part}\n");
    }
    text += &format!("{boundary}--\n");
    GuestSeed { password: None, ssh_key: None, user_data: Some(text) }
}

/// A part of type `text/plain` is looked at by cloud-init: `#!` is a script, `#cloud-config` a configuration.
fn part(kind: &str, content: &str) -> String {
    let encoded = STANDARD.encode(content);
    let mut text = format!("Content-Type: {kind}; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n");
    for line in encoded.as_bytes().chunks(LINE_LENGTH) {
        text += &String::from_utf8_lossy(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_user_data_the_engine_is_told_each_by_itself() {
        let seed = seed(Some("p".into()), Some("k".into()), None);
        assert_eq!((seed.password.as_deref(), seed.ssh_key.as_deref(), seed.user_data), (Some("p"), Some("k"), None));
    }

    #[test]
    fn with_user_data_every_part_is_in_one_message() {
        let seed = seed(Some("p".into()), Some("ssh-ed25519 AAAA".into()), Some("#!/bin/sh\necho --part-of-user-data\n".into()));
        assert!(seed.password.is_none() && seed.ssh_key.is_none());
        let text = seed.user_data.unwrap();
        assert!(text.starts_with("Content-Type: multipart/mixed; boundary=\"part-of-user-data\"\n"), "{text}");
        assert_eq!(text.matches("--part-of-user-data\n").count(), 2);
        assert!(text.ends_with("--part-of-user-data--\n") && text.lines().all(|line| line.len() <= 100));
        let decoded: Vec<String> = text
            .split("--part-of-user-data")
            .filter_map(|part| part.split_once("base64\n\n"))
            .map(|(_, body)| String::from_utf8(STANDARD.decode(body.trim().replace('\n', "")).unwrap()).unwrap())
            .collect();
        assert!(decoded[0].contains("\"ssh_authorized_keys\":[\"ssh-ed25519 AAAA\"]"), "{decoded:?}");
        assert_eq!(decoded[1], "#!/bin/sh\necho --part-of-user-data\n");
    }
}
