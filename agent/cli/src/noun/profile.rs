//! `hvctl profile …`: the nodes that have a name here. None of these commands asks a node.

use crate::client::Endpoint;
use crate::error::{CliError, Kind, Result};
use crate::output::{Content, Output, Table, Tone, column};
use crate::profile::{Profile, Profiles};
use crate::terminal::confirm;
use crate::text;
use crate::view::dash;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What can be done with profiles.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// List profiles
    List,
    /// Show a profile
    #[command(alias = "inspect")]
    Show {
        /// Its name [default: the default profile]
        #[arg(add = crate::complete::profiles())]
        name: Option<String>,
    },
    /// Make a profile the default
    Use {
        /// Its name
        #[arg(add = crate::complete::profiles())]
        name: String,
    },
    /// Add a profile, such as: hvctl profile add rack7 --url http://10.0.7.1:7070 --user admin
    Add(AddArgs),
    /// Remove a profile
    Remove {
        /// Its name
        #[arg(add = crate::complete::profiles())]
        name: String,
        /// Do not ask first
        #[arg(short, long)]
        yes: bool,
    },
}

/// The profile to add.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name: letters, digits, - and _
    #[arg(value_parser = parse_name)]
    name: String,
    /// Where the node listens: https://HOST:PORT, http://HOST:PORT or unix:/PATH
    #[arg(long, value_name = "URL")]
    url: String,
    /// Account to log in with
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// File that holds a token, readable by you alone
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the certificates of those who may vouch for the node
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File with the certificate that takes the place of a log-in
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// File with the key of that certificate
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// Make it the default
    #[arg(long = "default")]
    is_default: bool,
    /// Replace the one of that name
    #[arg(long)]
    replace: bool,
}

fn parse_name(input: &str) -> std::result::Result<String, String> {
    let is_right = (1..=64).contains(&input.len()) && input.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_right { Ok(input.to_owned()) } else { Err("1 to 64 letters, digits, - _ or .".into()) }
}

/// Runs one of the commands.
pub(crate) async fn run(out: &Output, command: ProfileCommand, variable: impl Fn(&str) -> Option<String>) -> Result<()> {
    let profiles = Profiles::read(variable)?;
    match command {
        ProfileCommand::List => list(out, &profiles),
        ProfileCommand::Show { name } => show(out, &profiles, name.as_deref()),
        ProfileCommand::Use { name } => {
            let endpoint = profiles.find(&name)?.endpoint()?;
            profiles.set_default(Some(&name))?;
            out.conclude(&text!("{name} ({endpoint}) is the default now"; "默认配置: {name} ({endpoint})"))
        }
        ProfileCommand::Add(args) => add(out, &profiles, args),
        ProfileCommand::Remove { name, yes } => {
            profiles.find(&name)?;
            confirm(&text!("Remove profile {name}"; "删除配置 {name}"), yes, out.language).await?;
            profiles.remove(&name)?;
            out.conclude(&text!("{name}: removed"; "{name}: 已删除"))
        }
    }
}

fn as_json(profile: &Profile, default: Option<&str>) -> Value {
    let mut value = json!({"name": profile.name, "is_default": default == Some(profile.name.as_str())});
    if let (Some(members), Ok(Value::Object(own))) = (value.as_object_mut(), serde_json::to_value(profile)) {
        members.extend(own);
    }
    value
}

fn list(out: &Output, profiles: &Profiles) -> Result<()> {
    let default = profiles.default_name();
    if out.is_json {
        let list: Vec<Value> = profiles.all().map(|profile| as_json(profile, default)).collect();
        return out.json(&json!({"total_count": list.len(), "list": list}).to_string());
    }
    let mut table =
        Table::new(&[column("NAME"), column("DEFAULT"), column("NODE"), column("USER").spare(2), column("TOKEN FILE").spare(1)]);
    for profile in profiles.all() {
        let is_default = default == Some(profile.name.as_str());
        let file = profile.token_file.as_ref().map(|path| path.display().to_string());
        table.row(vec![
            profile.name.clone().into(),
            if is_default { Content::toned("yes", Tone::Good) } else { "-".into() },
            profile.endpoint()?.to_string().into(),
            dash(profile.user.clone().unwrap_or_default()).into(),
            dash(file.unwrap_or_default()).into(),
        ]);
    }
    out.table(&table, &text!("no profiles; make one: hvctl profile add NAME --url URL"; "没有配置, 添加: hvctl profile add NAME --url URL"))
}

fn show(out: &Output, profiles: &Profiles, name: Option<&str>) -> Result<()> {
    let default = profiles.default_name();
    let name = name.or(default).ok_or_else(|| {
        CliError::usage(text!("there is no default profile"; "没有默认配置"))
            .hint(text!("name one, or: hvctl profile use NAME"; "请指定, 或: hvctl profile use NAME"))
    })?;
    let profile = profiles.find(name)?;
    if out.is_json {
        return out.json(&json!({ "profile": as_json(profile, default) }).to_string());
    }
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    out.fields(&[
        ("Name", profile.name.clone().into()),
        ("Default", if default == Some(name) { "yes".into() } else { "no".into() }),
        ("Node", profile.endpoint()?.to_string().into()),
        ("User", profile.user.clone().unwrap_or_default().into()),
        ("Token file", path(&profile.token_file).into()),
        ("CA file", path(&profile.ca_file).into()),
        ("Certificate", path(&profile.client_certificate).into()),
        ("Key", path(&profile.client_key).into()),
    ])
}

fn add(out: &Output, profiles: &Profiles, args: AddArgs) -> Result<()> {
    let name = args.name;
    if profiles.find(&name).is_ok() && !args.replace {
        return Err(CliError::new(Kind::Failed, text!("there is a profile {name} already"; "配置 {name} 已存在"))
            .hint(text!("add --replace to replace it"; "添加 --replace 以替换")));
    }
    let absolute = |path: Option<PathBuf>| path.map(std::path::absolute).transpose();
    let (url, socket) = match Endpoint::parse(&args.url)? {
        Endpoint::Unix(path) => (None, Some(path)),
        _ => (Some(args.url), None),
    };
    let profile = Profile {
        name: name.clone(),
        url,
        socket,
        user: args.user,
        token_file: absolute(args.token_file)?,
        ca_file: absolute(args.ca_file)?,
        client_certificate: absolute(args.client_certificate)?,
        client_key: absolute(args.client_key)?,
    };
    profile.token()?;
    let is_first = profiles.all().next().is_none();
    profiles.put(&profile)?;
    if args.is_default || is_first {
        Profiles::read(|name| std::env::var(name).ok())?.set_default(Some(&name))?;
        return out.conclude(&text!("{name}: added; it is the default"; "{name}: 已添加并设为默认"));
    }
    out.conclude(&text!("{name}: added"; "{name}: 已添加"))
}
