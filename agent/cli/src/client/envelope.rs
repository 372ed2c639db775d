//! The envelope every answer of the node comes in.

use crate::error::{CliError, Kind, Result};
use crate::text;
use crate::text::Text;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The data of a successful answer: as it came, and parsed.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Byte for byte as the node sent it, for `--json`.
    pub(crate) raw: String,
    /// The same, parsed.
    pub(crate) value: Value,
}

/// What the node sends, whether all went well or not.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    /// 0, or why not.
    pub(crate) status_code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    message_cn: String,
    #[serde(default)]
    stack: Option<Vec<String>>,
    data: Option<Box<RawValue>>,
}

impl Envelope {
    /// Reads a response; anything that is no envelope did not come from a hvnode.
    pub(crate) fn read(status: StatusCode, body: &[u8], path: &str) -> Result<Self> {
        match serde_json::from_slice::<Self>(body) {
            Ok(envelope) if status == StatusCode::OK || envelope.status_code != 0 => Ok(envelope),
            _ if status == StatusCode::NOT_FOUND => Err(CliError::new(
                Kind::Failed,
                text!("nothing answers {path} there"; "该地址没有 {path} 接口"),
            )
            .hint(text!(
                "is that the node's native listener, and is the node as new as this hvctl?";
                "请确认该地址是节点的 native 接口, 且节点版本不低于 hvctl"
            ))),
            _ if String::from_utf8_lossy(body).contains("speaks https") => Err(CliError::new(
                Kind::Unreachable,
                text!("that port speaks https, not plain HTTP"; "该端口使用 https, 不是明文 HTTP"),
            )
            .hint(text!("write https:// in --url or HVNODE_URL"; "请在 --url 或 HVNODE_URL 中写 https://"))),
            _ => Err(CliError::new(
                Kind::Unreachable,
                text!("the answer to {path} (HTTP {status}) is not a hvnode's"; "{path} 的应答 (HTTP {status}) 不是来自 hvnode"),
            )
            .hint(text!("is that the node's native listener? By default it is port 7070"; "请确认该地址是节点的 native 接口, 默认端口为 7070"))),
        }
    }

    /// The data, or the node's refusal as an error.
    pub(crate) fn into_answer(self) -> Result<Answer> {
        if self.status_code != 0 {
            let text = Text { en: self.message, cn: self.message_cn };
            return Err(CliError::from_node(self.status_code, text, self.stack.unwrap_or_default()));
        }
        let raw = self.data.map_or_else(|| "null".to_owned(), |data| data.get().to_owned());
        let value = serde_json::from_str(&raw).unwrap_or(Value::Null);
        Ok(Answer { raw, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Answer> {
        Envelope::read(StatusCode::from_u16(status).unwrap(), body.as_bytes(), "/v1/x").and_then(Envelope::into_answer)
    }

    #[test]
    fn success_gives_the_data_exactly_as_it_came() {
        let answer = read(200, r#"{"status_code":0,"message":"Success","stack":null,"data":{"z":1,"a":2}}"#).unwrap();
        assert_eq!(answer.raw, r#"{"z":1,"a":2}"#);
        assert_eq!(answer.value["a"], 2);
        assert_eq!(read(200, r#"{"status_code":0,"data":null}"#).unwrap().raw, "null");
    }

    #[test]
    fn a_refusal_becomes_an_error_with_its_code() {
        let error = read(200, r#"{"status_code":13002,"message":"m","message_cn":"c","stack":["s"],"data":null}"#).unwrap_err();
        assert_eq!((error.code(), error.text().cn.as_str()), (Some(13002), "c"));
    }

    #[test]
    fn what_is_no_envelope_is_told_apart_from_an_unknown_route() {
        assert_eq!(read(200, "<html>").unwrap_err().kind(), Kind::Unreachable);
        assert_eq!(read(500, r#"{"status_code":0}"#).unwrap_err().kind(), Kind::Unreachable);
        assert_eq!(read(404, "not found").unwrap_err().kind(), Kind::Failed);
        assert_eq!(read(404, r#"{"status_code":10004,"message":"m"}"#).unwrap_err().code(), Some(10004));
    }
}
