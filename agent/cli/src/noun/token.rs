//! `hvctl token …`: tokens for programs.

use super::user::Role;
use crate::args::ListArgs;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Content, Table, Tone, column};
use crate::resolve::{self, TOKEN, USER};
use crate::terminal::confirm;
use crate::text;
use crate::text::Language;
use crate::units::parse_duration;
use crate::view::{self, ago_cell, cell, entries};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List tokens: yours, for an admin all
    List(TokenListArgs),
    /// Make a token for a program; its secret is printed once
    Create(CreateTokenArgs),
    /// Revoke tokens; they end at once
    Delete(DeleteTokenArgs),
}

/// Which tokens.
#[derive(Debug, Args)]
pub(crate) struct TokenListArgs {
    /// Only those of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

/// An API that a token can be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dialect {
    Native,
    Openstack,
    Zstack,
    Chimestack,
}

impl Dialect {
    fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Openstack => "openstack",
            Self::Zstack => "zstack",
            Self::Chimestack => "chimestack",
        }
    }
}

/// The token to make.
#[derive(Debug, Args)]
pub(crate) struct CreateTokenArgs {
    /// Its name, such as the program it is for
    name: String,
    /// What it may do, at most what its user may
    #[arg(long, value_enum, default_value_t = Role::Reader)]
    role: Role,
    /// API it is for; may be given several times
    #[arg(long = "api", value_enum, value_name = "API", default_values_t = [Dialect::Native])]
    dialects: Vec<Dialect>,
    /// How long it is valid, such as 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "90d")]
    expires: u64,
    /// Valid until it is revoked, where the node allows that
    #[arg(long, conflicts_with = "expires")]
    never_expires: bool,
    /// Whose it is to be [default: you]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

/// Which tokens to revoke.
#[derive(Debug, Args)]
pub(crate) struct DeleteTokenArgs {
    /// Names or uuids
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Do not ask first
    #[arg(short, long)]
    yes: bool,
}

/// Runs one of the commands.
pub(crate) async fn run(context: &mut Context, command: TokenCommand) -> Result<()> {
    match command {
        TokenCommand::List(args) => list(context, args).await,
        TokenCommand::Create(args) => create(context, args).await,
        TokenCommand::Delete(args) => delete(context, &args).await,
    }
}

async fn list(context: &mut Context, args: TokenListArgs) -> Result<()> {
    let mut query = args.list.query();
    if let Some(user) = &args.user {
        query.push(("user_uuid", resolve::resolve(&mut context.client, &USER, user).await?.uuid));
    }
    let answer = context.client.get("/v1/token/list", &query).await?;
    let language = context.out.language;
    let nothing = text!("no tokens; make one: hvctl token create"; "没有令牌, 可使用 hvctl token create 创建");
    context.list(&answer, &nothing, |list| table(list, language))
}

fn table(list: &Value, language: Language) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("USER"),
        column("ROLE"),
        column("API"),
        column("STATUS"),
        column("EXPIRES"),
        column("LAST USED"),
        column("FROM").spare(2),
        column("UUID").spare(1),
    ]);
    for token in entries(list) {
        table.row(vec![
            cell(token, "token_name"),
            cell(token, "user_name"),
            cell(token, "role"),
            cell(token, "dialects"),
            status(token),
            expiry(token, language).into(),
            ago_cell(token, "last_used_time", language),
            cell(token, "last_used_address"),
            cell(token, "token_uuid"),
        ]);
    }
    table
}

fn status(token: &Value) -> Content {
    let word = view::text(token, "status");
    let tone = if word == "expired" { Tone::Bad } else { Tone::Plain };
    Content::toned(view::dash(word), tone)
}

fn expiry(token: &Value, language: Language) -> String {
    match view::time(token, "expire_time", language) {
        time if time.is_empty() => text!("never"; "永不").pick(language).to_owned(),
        time => time,
    }
}

async fn create(context: &mut Context, args: CreateTokenArgs) -> Result<()> {
    let name = &args.name;
    let dialects: Vec<&str> = args.dialects.iter().map(|dialect| dialect.word()).collect();
    let seconds = if args.never_expires { 0 } else { args.expires };
    let mut body = json!({ "token_name": name, "role": args.role.word(), "dialects": dialects, "lifetime_seconds": seconds });
    if let Some(user) = &args.user {
        body["user_uuid"] = resolve::resolve(&mut context.client, &USER, user).await?.uuid.into();
    }
    let answer = context.client.post("/v1/token/create", &body).await.map_err(|error| error.about(name))?;
    if context.out.is_json {
        return context.out.json(&answer.raw);
    }
    let token = &answer.value["token"];
    let until = expiry(token, context.out.language);
    // what is read by a script stands alone on standard output
    context.out.raw(&format!("{}\n", view::text(token, "secret")))?;
    context.out.note(&text!("{name}: made, shown this once; expires: {until}"; "{name}: 已创建, 仅显示一次; 到期: {until}"));
    Ok(())
}

async fn delete(context: &mut Context, args: &DeleteTokenArgs) -> Result<()> {
    let targets = resolve::resolve_each(&mut context.client, &TOKEN, &args.names).await?;
    let targets = targets.into_iter().collect::<Result<Vec<_>>>()?;
    let names = targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ");
    confirm(&text!("Revoke token {names}"; "吊销令牌 {names}"), args.yes, context.out.language).await?;
    let mut revoked = Vec::new();
    for target in targets {
        let name = &target.name;
        let answer = context.client.post("/v1/token/delete", &Value::Object(target.body(&TOKEN))).await;
        revoked.push(answer.map_err(|error| error.about(name))?.value);
        if !context.out.is_json {
            context.out.say(&text!("{name}: revoked"; "{name}: 已吊销"))?;
        }
    }
    if context.out.is_json { context.out.json(&Value::Array(revoked).to_string()) } else { Ok(()) }
}
