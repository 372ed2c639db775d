//! `hvctl api`: one raw request, for what has no command of its own.

use crate::context::Context;
use crate::error::{CliError, Kind, Result};
use crate::text;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use std::io::Read;

/// Longest body read from a file; the node has a limit of its own below this.
const DATA_BYTES_MAX: u64 = 16 << 20;

/// The request.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hvctl api get /v1/vm/list status=running page_size=0
  hvctl api post /v1/vm/stop vm_uuid=… force:=true
  hvctl api post /v1/vm/create --data @vm.json")]
pub(crate) struct ApiArgs {
    /// GET for reads, POST for changes
    #[arg(value_enum, ignore_case = true)]
    method: Method,
    /// Path, such as /v1/vm/list
    path: String,
    /// Parameters: key=TEXT, or key:=JSON for numbers, true, false, lists and objects
    #[arg(value_name = "KEY=VALUE", value_parser = parse_parameter)]
    parameters: Vec<(String, Value)>,
    /// The whole body as JSON; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "JSON", conflicts_with = "parameters")]
    data: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    Get,
    Post,
}

fn parse_parameter(input: &str) -> std::result::Result<(String, Value), String> {
    let (key, text) =
        input.split_once('=').filter(|(key, _)| !matches!(*key, "" | ":")).ok_or_else(|| format!("'{input}': write key=value"))?;
    match key.strip_suffix(':') {
        Some(key) => {
            serde_json::from_str(text).map(|value| (key.to_owned(), value)).map_err(|error| format!("'{text}' is no JSON: {error}"))
        }
        None => Ok((key.to_owned(), Value::String(text.to_owned()))),
    }
}

/// Sends it and prints the data.
pub(crate) async fn run(context: &mut Context, args: ApiArgs) -> Result<()> {
    if !args.path.starts_with('/') || !args.path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let path = args.path;
        return Err(
            CliError::usage(text!("'{path}' is no path"; "'{path}' 不是路径")).hint(text!("write it like /v1/vm/list"; "例如 /v1/vm/list"))
        );
    }
    let answer = match args.method {
        Method::Get if args.data.is_some() => {
            return Err(CliError::usage(text!("a GET has no body"; "GET 请求没有请求体"))
                .hint(text!("give key=value instead of --data"; "请使用 key=value")));
        }
        Method::Get => {
            let query: Vec<(&str, String)> = args.parameters.iter().map(|(key, value)| (key.as_str(), as_query(value))).collect();
            context.client.get(&args.path, &query).await?
        }
        Method::Post => {
            let body = match &args.data {
                Some(data) => read_data(data)?,
                None => Value::Object(args.parameters.into_iter().collect::<Map<_, _>>()),
            };
            context.client.post(&args.path, &body).await?
        }
    };
    context.out.json(&answer.raw)
}

fn as_query(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn read_data(data: &str) -> Result<Value> {
    let text = match data.strip_prefix('@') {
        None => data.to_owned(),
        Some(path) => {
            let mut text = String::new();
            let read = if path == "-" {
                std::io::stdin().take(DATA_BYTES_MAX).read_to_string(&mut text)
            } else {
                std::fs::File::open(path).and_then(|file| file.take(DATA_BYTES_MAX).read_to_string(&mut text))
            };
            read.map_err(|error| CliError::new(Kind::Usage, text!("cannot read {path}: {error}"; "无法读取 {path}: {error}")))?;
            text
        }
    };
    serde_json::from_str(&text).map_err(|error| CliError::usage(text!("the data is no JSON: {error}"; "数据不是合法的 JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_text_unless_said_to_be_json() {
        assert_eq!(parse_parameter("name=12"), Ok(("name".into(), json!("12"))));
        assert_eq!(parse_parameter("force:=true"), Ok(("force".into(), json!(true))));
        assert_eq!(parse_parameter("url=a:=b"), Ok(("url".into(), json!("a:=b"))));
        assert!(parse_parameter("x:=nonsense").is_err());
        assert!(parse_parameter("=x").is_err() && parse_parameter("x").is_err() && parse_parameter(":=1").is_err());
    }

    #[test]
    fn data_may_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.json");
        std::fs::write(&path, r#"{"a":1}"#).unwrap();
        assert_eq!(read_data(&format!("@{}", path.display())).unwrap(), json!({"a": 1}));
        assert_eq!(read_data("{").unwrap_err().kind(), Kind::Usage);
        assert_eq!(read_data("@/nowhere").unwrap_err().kind(), Kind::Usage);
    }
}
