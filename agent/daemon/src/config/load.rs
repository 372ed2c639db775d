//! Reading the configuration: the file, then `HVNODE__SECTION__KEY` variables over it, then the checks. Every error names file and
//! line, or the variable, and the key.

use super::{Config, check};
use crate::tls::CREDENTIALS_VARIABLE;
use serde::Deserialize;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// Start of the variables that override keys.
const VARIABLE_PREFIX: &str = "HVNODE__";

/// Why there is no configuration: one line per problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// Where a key got its value from.
enum Origin {
    File(usize),
    Variable(String),
    Default,
}

/// What the configuration is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To run with it: what a node can live with is no reason not to start.
    Run,
    /// To tell an operator everything that is wrong.
    Check,
}

/// Reads `path`, applies the variables, checks everything.
pub(crate) fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>, purpose: Purpose) -> Result<Config, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError(vec![format!("{shown}: cannot be read: {error}")]))?;
    build(&shown, &text, environment, purpose)
}

/// The defaults with the variables applied.
pub(crate) fn load_defaults(environment: impl IntoIterator<Item = (String, String)>, purpose: Purpose) -> Result<Config, ConfigError> {
    build("built-in defaults", "", environment, purpose)
}

fn build(
    shown: &str,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    purpose: Purpose,
) -> Result<Config, ConfigError> {
    parse(shown, text)?;
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let credentials = environment.iter().find(|(name, _)| name == CREDENTIALS_VARIABLE).map(|(_, folder)| PathBuf::from(folder));
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError(vec![format!("{shown}: {}", error.message())]))?;
    let mut variables: Vec<(String, String)> = environment.into_iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)).collect();
    variables.sort();
    let mut problems = Vec::new();
    let mut overridden = Vec::new();
    for (name, raw) in variables {
        match read_variable(&name, &raw) {
            Ok((keys, value)) => {
                put(&mut table, &keys, value);
                overridden.push((keys.join("."), name));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let config = Config::deserialize(table).map_err(|error| ConfigError(vec![format!("{shown}: {}", error.message())]))?;
    let found = check::check(&config, purpose, credentials.as_deref());
    if found.is_empty() {
        return Ok(config);
    }
    let describe = |problem: &check::Problem| {
        let key = problem.key;
        match origin(key, text, &overridden) {
            Origin::File(line) => format!("{shown}:{line}: {key}: {}", problem.text),
            Origin::Variable(name) => format!("variable {name}: {key}: {}", problem.text),
            Origin::Default => format!("{shown}: {key}: {} (this is the default)", problem.text),
        }
    };
    Err(ConfigError(found.iter().map(describe).collect()))
}

/// The typed reading of the file alone: syntax, unknown keys, wrong types.
fn parse(shown: &str, text: &str) -> Result<Config, ConfigError> {
    let explain = |key: &str, error: &toml::de::Error| {
        let place = error.span().map_or_else(|| shown.to_owned(), |span| format!("{shown}:{}", line_of(text, span)));
        let message = error.message().trim().replace('\n', "; ");
        ConfigError(vec![if key.is_empty() { format!("{place}: {message}") } else { format!("{place}: {key}: {message}") }])
    };
    let reader = toml::Deserializer::parse(text).map_err(|error| explain("", &error))?;
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let key = error.path().to_string();
        explain(if key == "." { "" } else { &key }, error.inner())
    })
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Key path and value of one variable. Read as a TOML value if it fits the key so, else as plain text.
fn read_variable(name: &str, raw: &str) -> Result<(Vec<String>, Value), String> {
    let keys: Vec<String> = name[VARIABLE_PREFIX.len()..].split("__").map(str::to_lowercase).collect();
    if keys.len() < 2 || keys.iter().any(String::is_empty) {
        return Err(format!("variable {name}: names no key; expected {VARIABLE_PREFIX}SECTION__KEY"));
    }
    let as_toml: Option<Value> = raw.parse().ok();
    let text = Value::String(raw.to_owned());
    let mut first_error = None;
    for value in as_toml.into_iter().chain([text]) {
        let mut alone = Table::new();
        put(&mut alone, &keys, value.clone());
        match Config::deserialize(alone) {
            Ok(_) => return Ok((keys, value)),
            Err(error) => first_error.get_or_insert(error.message().trim().replace('\n', "; ")),
        };
    }
    Err(format!("variable {name}: {}: {}", keys.join("."), first_error.unwrap_or_default()))
}

fn put(table: &mut Table, keys: &[String], value: Value) {
    let Some((last, parents)) = keys.split_last() else { return };
    let mut current = table;
    for key in parents {
        let entry = current.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
        if !entry.is_table() {
            *entry = Value::Table(Table::new());
        }
        let Value::Table(inner) = entry else { return };
        current = inner;
    }
    current.insert(last.clone(), value);
}

fn origin(key: &str, text: &str, overridden: &[(String, String)]) -> Origin {
    if let Some((_, name)) = overridden.iter().find(|(path, _)| path == key) {
        return Origin::Variable(name.clone());
    }
    let Ok(root) = DeTable::parse(text) else { return Origin::Default };
    find(root.get_ref(), key).map_or(Origin::Default, |span| Origin::File(line_of(text, span)))
}

fn find(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let (found, value): (_, &Spanned<DeValue<'_>>) = table.iter().find(|(name, _)| name.get_ref().as_ref() == first)?;
    match (rest, value.get_ref()) {
        (None, _) => Some(found.span()),
        (Some(rest), DeValue::Table(inner)) => find(inner, rest),
        _ => None,
    }
}
