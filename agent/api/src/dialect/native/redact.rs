//! Keeps secrets out of answers, jobs, logs and the operation log.

use hvnode_core::model::redact_url;
use serde_json::{Map, Value};

/// A field whose name holds one of these is a secret, wherever it stands, also where it is not a known field.
const SECRET_WORDS: [&str; 6] = ["password", "passwd", "secret", "token", "user_data", "private_key"];
/// Fields that are named after a secret and are none.
const NO_SECRETS: [&str; 3] = ["token_uuid", "token_name", "revoke_tokens"];
/// What stands in the place of a secret.
const REDACTED: &str = "***";

/// Is what stands under this name a secret?
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !NO_SECRETS.contains(&name.as_str()) && SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// For the operation log: secrets are replaced, so that one sees that they were sent.
pub(super) fn for_log(object: &Map<String, Value>) -> Value {
    Value::Object(object.iter().map(|(name, value)| (name.clone(), logged(name, value))).collect())
}

fn logged(name: &str, value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        _ if is_secret(name) => REDACTED.into(),
        Value::Object(object) => for_log(object),
        Value::Array(items) => items.iter().map(|item| logged(name, item)).collect(),
        Value::String(text) => shown_text(name, text).into(),
        other => other.clone(),
    }
}

/// For an answer that echoes its request: secrets are left out.
pub(super) fn for_echo(object: &Map<String, Value>) -> Map<String, Value> {
    object.iter().filter(|(name, _)| !is_secret(name)).map(|(name, value)| (name.clone(), echoed(name, value))).collect()
}

fn echoed(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(for_echo(object)),
        Value::Array(items) => items.iter().map(|item| echoed(name, item)).collect(),
        Value::String(text) => shown_text(name, text).into(),
        other => other.clone(),
    }
}

/// What is declared as a URL also loses its query, which may be a signature; any other text only what can be nothing but credentials.
fn shown_text(name: &str, text: &str) -> String {
    if name.to_ascii_lowercase().ends_with("url") { redact_url(text) } else { without_credentials(text) }
}

/// A URL without the `user:password@` before its host.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn object() -> Map<String, Value> {
        json!({
            "user_name": "a", "password": "p1", "Passwd": "p2", "list": [{"user_data": "p3", "ssh_key": "public"}],
            "metadata": {"db_password": "p4"}, "url": "https://me:p5@host/x?y=p7", "description": "see https://p8:p9@host/x?y=@z", "api_token": ["p6"],
        })
        .as_object()
        .unwrap()
        .clone()
    }

    #[test]
    fn the_log_shows_that_a_secret_was_sent_and_not_what_it_was() {
        let value = for_log(&object());
        assert_eq!(
            value,
            json!({
                "user_name": "a", "password": "***", "Passwd": "***", "list": [{"user_data": "***", "ssh_key": "public"}],
                "metadata": {"db_password": "***"}, "url": "https://host/x", "description": "see https://host/x?y=@z", "api_token": "***",
            })
        );
    }

    #[test]
    fn an_echo_leaves_secrets_out() {
        let text = Value::Object(for_echo(&object())).to_string();
        assert!(text.contains("public") && !text.contains("password") && !(1..=9).any(|n| text.contains(&format!("p{n}"))), "{text}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_url_reader(text in ".*") {
            let _ = without_credentials(&text);
        }

        #[test]
        fn credentials_never_survive(user in "[a-z]{1,8}", secret in "[A-Z0-9]{12}", host in "[a-z]{1,8}") {
            let url = format!("http://{user}:{secret}@{host}/");
            let is_gone = !without_credentials(&url).contains(&secret);
            prop_assert!(is_gone);
        }
    }
}
