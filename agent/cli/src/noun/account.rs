//! `hvctl login`, `logout`, `whoami`.

use crate::client::Credentials;
use crate::context::Context;
use crate::error::{CliError, Kind, Result};
use crate::terminal::ask;
use crate::text;
use crate::text::Text;
use crate::view;
use clap::Args;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest password file read.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// How to log in.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Account [default: HVNODE_USER, else the profile's, else asked for]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// File whose first line is the password; - reads standard input [default: HVNODE_PASSWORD, else asked for]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Exchange the kept token for a new one that lives longer; no password is needed
    #[arg(long, conflicts_with_all = ["user", "password_file"])]
    renew: bool,
}

/// Logs in and keeps the token.
pub(crate) async fn login(context: &mut Context, args: LoginArgs) -> Result<()> {
    if args.renew {
        return renew(context).await;
    }
    let language = context.out.language;
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user_name =
        match args.user.or_else(|| set("HVNODE_USER")).or_else(|| context.profile.as_ref().and_then(|profile| profile.user.clone())) {
            Some(user) => user,
            None => ask(&text!("User: "; "用户名: "), language, false)
                .await
                .map_err(|error| instead_of_asking(error, text!("give --user"; "请使用 --user")))?,
        };
    let password = match (&args.password_file, set("HVNODE_PASSWORD")) {
        (Some(path), _) => read_password(path)?,
        (None, Some(password)) => password,
        (None, None) => ask(&text!("Password of {user_name}: "; "{user_name} 的密码: "), language, true).await.map_err(|error| {
            instead_of_asking(error, text!("give --password-file or HVNODE_PASSWORD"; "请使用 --password-file 或 HVNODE_PASSWORD"))
        })?,
    };
    let answer = context.client.login(&Credentials { user_name, password }).await?;
    context.client.session_mut().store()?;
    tell(context, answer.value)
}

/// Exchanges the token.
async fn renew(context: &mut Context) -> Result<()> {
    let user_name = context.client.session_mut().user_name().map(str::to_owned).ok_or_else(|| {
        CliError::new(Kind::Denied, text!("there is no log-in to renew"; "没有可续期的登录"))
            .hint(text!("log in: hvctl login"; "请登录: hvctl login"))
    })?;
    let answer = context.client.post("/v1/user/refresh", &json!({})).await?;
    context.client.session_mut().accept(&answer.value, &user_name)?;
    context.client.session_mut().store()?;
    tell(context, answer.value)
}

/// Says who is logged in until when.
fn tell(context: &Context, answer: Value) -> Result<()> {
    let language = context.out.language;
    if context.out.is_json {
        // the token itself stays in its file: what is printed ends up in logs
        let mut shown = answer;
        if let Some(members) = shown.as_object_mut() {
            members.remove("token");
        }
        return context.out.json(&shown.to_string());
    }
    let user = view::text(&answer["user"], "user_name");
    let endpoint = context.client.endpoint();
    let until = view::dash(view::time(&answer, "expire_time", language));
    context.out.say(&text!("logged in to {endpoint} as {user} until {until}"; "已以 {user} 登录 {endpoint}, 有效期至 {until}"))
}

/// What to do where there is no terminal; an interruption needs no advice.
fn instead_of_asking(error: CliError, hint: Text) -> CliError {
    if error.kind() == Kind::Usage { error.or_hint(hint) } else { error }
}

/// Ends the session on the node and forgets its token.
pub(crate) async fn logout(context: &mut Context) -> Result<()> {
    let endpoint = context.client.endpoint().to_string();
    if context.client.session_mut().token().is_none() {
        return context.out.conclude(&text!("there was no log-in at {endpoint}"; "未登录 {endpoint}"));
    }
    // no log-in on the fly for the sake of logging out
    drop(context.client.session_mut().take_credentials());
    let outcome = context.client.post_repeatable("/v1/user/logout", &json!({})).await;
    context.client.session_mut().forget_token();
    context.client.session_mut().store()?;
    match outcome {
        // a token that the node does not know any more is as good as logged out
        Err(error) if !matches!(error.code(), Some(10100..=10102)) => Err(error.or_hint(
            text!("the token was forgotten here; on the node it lives on until it expires"; "本地令牌已删除, 节点上的令牌到期前仍有效"),
        )),
        _ => context.out.conclude(&text!("logged out of {endpoint}"; "已退出 {endpoint}")),
    }
}

/// Who the node takes us for.
pub(crate) async fn whoami(context: &mut Context) -> Result<()> {
    let answer = context.client.get("/v1/user/inspect", &[]).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let user = &answer.value["user"];
    context.out.fields(&[
        ("User", view::text(user, "user_name").into()),
        ("Role", view::text(user, "role").into()),
        ("Tenant", view::text(user, "tenant_name").into()),
        ("UUID", view::text(user, "user_uuid").into()),
        ("Node", context.client.endpoint().to_string().into()),
        ("Profile", context.profile.as_ref().map(|profile| profile.name.clone()).unwrap_or_default().into()),
    ])
}

/// The first line of a small file.
fn read_password(path: &Path) -> Result<String> {
    let shown = path.display();
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| {
        CliError::new(Kind::Usage, text!("cannot read the password from {shown}: {error}"; "无法从 {shown} 读取密码: {error}"))
    })?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(CliError::usage(text!("the first line of {shown} is empty"; "{shown} 的第一行为空"))),
    }
}
