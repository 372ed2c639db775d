//! `hvctl user …`. A password is typed without echo, read from standard input, or made here; it is never an argument: those are seen by
//! everybody on the machine and kept by shells.

use crate::args::ListArgs;
use crate::client::Body;
use crate::context::Context;
use crate::error::{CliError, Kind, Result};
use crate::output::{Content, Table, Tone, column};
use crate::resolve::{self, Target, USER};
use crate::terminal::{ask, confirm};
use crate::text;
use crate::text::{Language, Text};
use crate::view::{self, ago_cell, cell, entries};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::io::{BufRead, Read};
use uuid::Uuid;

/// Longest standard input read for passwords.
const INPUT_BYTES_MAX: u64 = 4096;
/// Characters of a password made here: 5 random bits each.
const GENERATED_LENGTH: usize = 20;
/// Without those that look like others.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// List users
    List(ListArgs),
    /// Show a user, or yourself
    Show {
        /// Name or uuid [default: you]
        name: Option<String>,
    },
    /// Make a user
    Add(AddArgs),
    /// Change role or state of a user; less than before ends its sessions
    Set(SetArgs),
    /// Set a password and end the user's sessions; as root on the node this works without the old one
    Passwd(PasswdArgs),
    /// Delete users and all their tokens
    Delete(DeleteUserArgs),
    /// Who was refused since the daemon started: wrong log-ins, wrong tokens, too little a role
    Refusals(ListArgs),
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Reads everything but consoles, the operation log and users
    Reader,
    /// Changes VMs and what belongs to them
    Operator,
    /// Everything
    Admin,
}

impl Role {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Where a new password comes from [default: asked for, without echo]
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PasswordArgs {
    /// Read it from standard input: a line; for your own, the old one on a line before it
    #[arg(long)]
    password_stdin: bool,
    /// Make one and show it once
    #[arg(long)]
    generate: bool,
}

/// The user to make.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    name: String,
    /// What it may do
    #[arg(long, value_enum, default_value_t = Role::Reader)]
    role: Role,
    #[command(flatten)]
    password: PasswordArgs,
}

/// What to change; what is not said stays.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").multiple(true).required(true).args(["role", "enable", "disable"]))]
pub(crate) struct SetArgs {
    /// Name or uuid
    name: String,
    /// What it may do from now on
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Let it log in again
    #[arg(long)]
    enable: bool,
    /// Let it not log in, and none of its tokens be valid
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
}

/// Whose password.
#[derive(Debug, Args)]
pub(crate) struct PasswdArgs {
    /// Name or uuid [default: you]
    name: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    /// End the user's tokens for programs too
    #[arg(long)]
    revoke_tokens: bool,
}

/// Whom to delete.
#[derive(Debug, Args)]
pub(crate) struct DeleteUserArgs {
    /// Names or uuids
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Do not ask first
    #[arg(short, long)]
    yes: bool,
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: UserCommand) -> Result<()> {
    match command {
        UserCommand::List(args) => list(context, &args).await,
        UserCommand::Show { name } => show(context, name).await,
        UserCommand::Add(args) => add(context, args).await,
        UserCommand::Set(args) => set(context, args).await,
        UserCommand::Passwd(args) => passwd(context, args).await,
        UserCommand::Delete(args) => delete(context, &args).await,
        UserCommand::Refusals(args) => refusals(context, &args).await,
    }
}

async fn list(context: &mut Context, args: &ListArgs) -> Result<()> {
    let answer = context.client.get("/v1/user/list", &args.query()).await?;
    let language = context.out.language;
    context.list(&answer, &text!("no users"; "没有用户"), |list| {
        let columns = [column("NAME"), column("ROLE"), column("STATE"), column("CREATED").spare(2), column("UUID").spare(1)];
        let mut table = Table::new(&columns);
        for user in entries(list) {
            let created = ago_cell(user, "create_time", language);
            table.row(vec![cell(user, "user_name"), cell(user, "role"), state(user), created, cell(user, "user_uuid")]);
        }
        table
    })
}

fn state(user: &Value) -> Content {
    if user["enabled"] == false { Content::toned("disabled", Tone::Bad) } else { "enabled".into() }
}

async fn show(context: &mut Context, name: Option<String>) -> Result<()> {
    let query = match name {
        Some(name) => vec![("user_uuid", resolve::resolve(&mut context.client, &USER, &name).await?.uuid)],
        None => Vec::new(),
    };
    let answer = context.client.get("/v1/user/inspect", &query).await?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let (user, language) = (&answer.value["user"], context.out.language);
    context.out.fields(&[
        ("User", view::text(user, "user_name").into()),
        ("UUID", view::text(user, "user_uuid").into()),
        ("Role", view::text(user, "role").into()),
        ("State", state(user)),
        ("Created", view::time(user, "create_time", language).into()),
        ("Changed", view::time(user, "update_time", language).into()),
    ])
}

async fn add(context: &mut Context, args: AddArgs) -> Result<()> {
    let name = args.name;
    let password = new_password(&args.password, &name, context.out.language).await?;
    let body = json!({ "user_name": name, "role": args.role.word(), "password": password });
    let answer = context.client.post("/v1/user/create", &body).await.map_err(|error| error.about(&name))?;
    told(context, answer.value, &args.password, &password, &text!("{name}: created"; "{name}: 已创建"))
}

async fn set(context: &mut Context, args: SetArgs) -> Result<()> {
    let target = resolve::resolve(&mut context.client, &USER, &args.name).await?;
    let mut body = target.body(&USER);
    body.extend(args.role.map(|role| ("role".to_owned(), json!(role.word()))));
    if args.enable || args.disable {
        body.insert("enabled".into(), json!(args.enable));
    }
    let answer = context.client.post_repeatable("/v1/user/update", &Value::Object(body)).await;
    let answer = answer.map_err(|error| error.about(&target.name))?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let name = &target.name;
    context.out.say(&text!("{name}: updated"; "{name}: 已更新"))
}

async fn passwd(context: &mut Context, args: PasswdArgs) -> Result<()> {
    let own = match &args.name {
        None => Some(own_account(context).await?),
        Some(_) => None,
    };
    let target = match (&args.name, &own) {
        (Some(name), _) => resolve::resolve(&mut context.client, &USER, name).await?,
        (None, Some(own)) => own.clone(),
        (None, None) => return Err(nobody()),
    };
    let mut lines = if args.password.password_stdin { read_lines()? } else { Vec::new() }.into_iter();
    let mut body = Body::new();
    body.insert("user_uuid".into(), json!(target.uuid));
    if own.is_some() {
        let old = match args.password.password_stdin {
            true => lines.next().ok_or_else(|| too_few(&text!("the old password"; "旧密码")))?,
            false => ask(&text!("Present password: "; "当前密码: "), context.out.language, true).await?,
        };
        body.insert("old_password".into(), json!(old));
    }
    let password = match args.password.password_stdin {
        true => lines.next().ok_or_else(|| too_few(&text!("the new password"; "新密码")))?,
        false => new_password(&args.password, &target.name, context.out.language).await?,
    };
    body.insert("password".into(), json!(password));
    if args.revoke_tokens {
        body.insert("revoke_tokens".into(), json!(true));
    }
    let answer = context.client.post("/v1/user/password/update", &Value::Object(body)).await;
    let answer = answer.map_err(|error| error.about(&target.name))?;
    if own.is_some() {
        // the node has ended this session with the others
        context.client.session_mut().forget_token();
        // a folder that cannot be written is no reason to say that the password was not set
        let _ = context.client.session_mut().store();
    }
    let name = &target.name;
    let done = text!("{name}: password set; log in again"; "{name}: 密码已设置, 请重新登录");
    told(context, answer.value, &args.password, &password, &done)
}

async fn own_account(context: &mut Context) -> Result<Target> {
    let answer = context.client.get("/v1/user/inspect", &[]).await?;
    let user = &answer.value["user"];
    let (uuid, name) = (view::text(user, "user_uuid"), view::text(user, "user_name"));
    match Uuid::parse_str(&uuid) {
        Ok(uuid) if !uuid.is_nil() => Ok(Target { uuid: uuid.to_string(), name, is_named: true, entry: user.clone() }),
        _ => Err(nobody()),
    }
}

fn nobody() -> CliError {
    CliError::usage(text!("no account stands behind you on this connection"; "此连接上没有与您对应的账号"))
        .hint(text!("say whose password: hvctl user passwd NAME"; "请指明用户: hvctl user passwd NAME"))
}

fn too_few(what: &Text) -> CliError {
    let Text { en, cn } = what;
    CliError::usage(text!("standard input holds no line with {en}"; "标准输入中缺少{cn}"))
}

async fn delete(context: &mut Context, args: &DeleteUserArgs) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &USER, &args.names).await?;
    let targets = targets.into_iter().collect::<Result<Vec<_>>>()?;
    let names = targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ");
    confirm(&text!("Delete user {names} and all tokens"; "删除用户 {names} 及其全部令牌"), args.yes, context.out.language).await?;
    let mut deleted = Vec::new();
    for target in targets {
        let name = &target.name;
        let answer = context.client.post("/v1/user/delete", &Value::Object(target.body(&USER))).await;
        deleted.push(answer.map_err(|error| error.about(name))?.value);
        if !context.out.is_json {
            context.out.say(&text!("{name}: deleted"; "{name}: 已删除"))?;
        }
    }
    if context.out.is_json { context.out.json(&Value::Array(deleted).to_string()) } else { Ok(()) }
}

async fn refusals(context: &mut Context, args: &ListArgs) -> Result<()> {
    let answer = context.client.get("/v1/user/refusal/list", &args.query()).await?;
    let language = context.out.language;
    context.list(&answer, &text!("nobody was refused"; "没有被拒绝的请求"), |list| {
        let mut table = Table::new(&[
            column("LAST"),
            column("CLIENT"),
            column("USER"),
            column("REASON"),
            column("COUNT").number(),
            column("API").spare(1),
            column("ACTION").spare(2),
        ]);
        for row in entries(list) {
            table.row(vec![
                ago_cell(row, "update_time", language),
                cell(row, "client_address"),
                cell(row, "user_name"),
                cell(row, "reason"),
                cell(row, "count"),
                cell(row, "dialect"),
                cell(row, "action"),
            ]);
        }
        table
    })
}

/// Says that it is done; a password made here is shown, and nowhere else.
fn told(context: &Context, mut data: Value, args: &PasswordArgs, password: &str, done: &Text) -> Result<()> {
    if context.out.is_json {
        if let (true, Some(members)) = (args.generate, data.as_object_mut()) {
            members.insert("generated_password".into(), json!(password));
        }
        return context.out.json(&data.to_string());
    }
    context.out.say(done)?;
    if args.generate {
        context.out.say(&text!("password, shown this once: {password}"; "密码 (仅显示一次): {password}"))?;
    }
    Ok(())
}

/// A new password, from where the caller said.
async fn new_password(args: &PasswordArgs, name: &str, language: Language) -> Result<String> {
    if args.generate {
        return Ok(generated());
    }
    if args.password_stdin {
        return read_lines()?.into_iter().next().ok_or_else(|| too_few(&text!("the password"; "密码")));
    }
    let hint = || text!("give --password-stdin or --generate"; "请使用 --password-stdin 或 --generate");
    let advised = |error: CliError| if error.kind() == Kind::Usage { error.or_hint(hint()) } else { error };
    let first = ask(&text!("New password of {name}: "; "{name} 的新密码: "), language, true).await.map_err(advised)?;
    let second = ask(&text!("Once more: "; "再次输入: "), language, true).await.map_err(advised)?;
    if first == second { Ok(first) } else { Err(CliError::usage(text!("the two are not the same"; "两次输入不一致"))) }
}

fn read_lines() -> Result<Vec<String>> {
    let input = std::io::BufReader::new(std::io::stdin().take(INPUT_BYTES_MAX));
    let lines = input.lines().collect::<std::io::Result<Vec<_>>>()?;
    Ok(lines.into_iter().map(|line| line.trim_end_matches('\r').to_owned()).filter(|line| !line.is_empty()).collect())
}

/// Random letters and digits.
fn generated() -> String {
    let mut password = String::with_capacity(GENERATED_LENGTH);
    while password.len() < GENERATED_LENGTH {
        // two of the sixteen bytes say that it is a random uuid
        let bytes = Uuid::new_v4().into_bytes();
        let random = bytes.iter().enumerate().filter(|(index, _)| *index != 6 && *index != 8);
        password.extend(random.map(|(_, byte)| char::from(ALPHABET[usize::from(byte % 32)])).take(GENERATED_LENGTH - password.len()));
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_passwords_are_long_differ_and_have_no_letters_that_look_alike() {
        let (one, two) = (generated(), generated());
        assert_eq!((one.len(), two.len()), (20, 20));
        assert_ne!(one, two);
        assert!(one.bytes().all(|byte| ALPHABET.contains(&byte)) && !one.contains(['l', 'o', '0', '1']));
    }
}
