//! The node's native API: requests, sessions, and changes that are followed until they end.

mod endpoint;
mod envelope;
mod follow;
mod secure;
mod session;
mod stream;
mod upload;
mod wire;

pub(crate) use endpoint::Endpoint;
pub(crate) use envelope::Answer;
pub(crate) use follow::{JobState, Observer};
pub(crate) use secure::TlsFiles;
pub(crate) use session::{Credentials, Session};
pub(crate) use stream::StreamEvent;

use crate::error::Result;
use bytes::Bytes;
use envelope::Envelope;
use hyper::Method;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;
use wire::{Call, Wire};

/// Body or parameters of a request.
pub(crate) type Body = Map<String, Value>;

/// One node, as one user.
pub(crate) struct Client {
    wire: Wire,
    session: Session,
}

impl Client {
    /// Connects when first used.
    pub(crate) fn new(endpoint: Endpoint, session: Session) -> Self {
        Self { wire: Wire::new(endpoint), session }
    }

    /// Where the node listens.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.wire.endpoint()
    }

    /// Waits at most this much longer for anything, or less if that was said before.
    pub(crate) fn limit(&mut self, seconds: Option<u32>) {
        if let Some(seconds) = seconds {
            self.wire.limit(Instant::now() + Duration::from_secs(u64::from(seconds)));
        }
    }

    /// When the user's patience ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.wire.deadline()
    }

    /// Who we are to the node.
    pub(crate) fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Reads.
    pub(crate) async fn get(&mut self, path: &str, query: &[(&str, String)]) -> Result<Answer> {
        let target = with_query(path, query);
        self.call(&Call { method: Method::GET, target, body: Bytes::new(), is_repeatable: true }).await
    }

    /// Reads something that is no part of the API, such as `/readyz`: its status and text.
    pub(crate) async fn get_plain(&mut self, path: &str) -> Result<(u16, String)> {
        let call = Call { method: Method::GET, target: path.to_owned(), body: Bytes::new(), is_repeatable: true };
        let (status, body) = self.wire.exchange(&call, None).await?;
        Ok((status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
    }

    /// Posts exactly `body`. Not sent again if the connection breaks.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Answer> {
        self.post_as(path, body, false).await
    }

    /// Posts something that may safely be sent twice.
    pub(crate) async fn post_repeatable(&mut self, path: &str, body: &Value) -> Result<Answer> {
        self.post_as(path, body, true).await
    }

    /// Posts a change without waiting for its end: the answer names its job. Its `request_uuid` makes sending it twice safe.
    pub(crate) async fn submit(&mut self, path: &str, mut body: Body) -> Result<Answer> {
        body.insert("wait_seconds".into(), json!(0));
        body.insert("request_uuid".into(), json!(Uuid::new_v4().to_string()));
        self.post_as(path, &Value::Object(body), true).await
    }

    async fn post_as(&mut self, path: &str, body: &Value, is_repeatable: bool) -> Result<Answer> {
        let body = Bytes::from(body.to_string());
        self.call(&Call { method: Method::POST, target: path.to_owned(), body, is_repeatable }).await
    }

    /// Sends; where the node wants a log-in and the environment has one, logs in and sends again (a refused request did nothing).
    async fn call(&mut self, call: &Call) -> Result<Answer> {
        let envelope = self.exchange(call).await?;
        let wants_login = matches!(envelope.status_code, 10100..=10102);
        match self.session.take_credentials() {
            Some(credentials) if wants_login => {
                self.login(&credentials).await?;
                self.exchange(call).await?.into_answer()
            }
            kept => {
                self.session.give_back(kept);
                envelope.into_answer()
            }
        }
    }

    async fn exchange(&mut self, call: &Call) -> Result<Envelope> {
        let (status, body) = self.wire.exchange(call, self.session.token()).await?;
        let path = call.target.split('?').next().unwrap_or_default();
        Envelope::read(status, &body, path)
    }

    /// Logs in and keeps the token for this run; [`Session::store`] keeps it for later ones.
    pub(crate) async fn login(&mut self, credentials: &Credentials) -> Result<Answer> {
        let body = json!({ "user_name": credentials.user_name, "password": credentials.password });
        self.session.forget_token();
        let call = Call { method: Method::POST, target: "/v1/user/login".into(), body: Bytes::from(body.to_string()), is_repeatable: true };
        let answer = self.exchange(&call).await?.into_answer()?;
        self.session.accept(&answer.value, &credentials.user_name)?;
        // a state folder that cannot be written must not fail a command that works without it
        let _ = self.session.store();
        Ok(answer)
    }
}

/// `path?a=b&c=d`, percent-encoded.
fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let mut target = path.to_owned();
    for (index, (name, value)) in query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(&percent_encode(name));
        target.push('=');
        target.push_str(&percent_encode(value));
    }
    target
}

/// Everything but the characters that never need it.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_so_that_any_name_survives() {
        let query = [("name", "数 &=?#+%".to_owned()), ("page_size", "0".to_owned())];
        assert_eq!(with_query("/v1/vm/list", &query), "/v1/vm/list?name=%E6%95%B0%20%26%3D%3F%23%2B%25&page_size=0");
        assert_eq!(with_query("/v1/vm/list", &[]), "/v1/vm/list");
    }
}
