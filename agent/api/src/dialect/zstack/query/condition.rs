//! One condition of a query, with the meaning it has in SQL: nothing compares with what is not there.

use super::super::date;
use super::super::fields::{Fields, fault};
use super::kind::{Kind, Others, Path};
use hvnode_core::{Result, fail};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Most bytes that one condition compares with: each is looked at for each object.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// A value to compare and sort by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Not there; the least of all.
    Nothing,
    Flag(bool),
    Number(i128),
    /// Unix seconds.
    Time(i64),
    Text(String),
}

impl Key {
    /// Of a field of an object.
    pub(super) fn of(name: &str, value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => Self::Nothing,
            Some(Value::Bool(flag)) => Self::Flag(*flag),
            Some(Value::Number(number)) => number.as_i128().map_or(Self::Nothing, Self::Number),
            Some(Value::String(text)) if is_date(name) => date::read_seconds(text).map_or(Self::Nothing, Self::Time),
            Some(Value::String(text)) => Self::Text(text.clone()),
        }
    }

    /// What a text means beside this value; none where it cannot be such a value.
    fn alike(&self, name: &str, text: &str) -> Option<Self> {
        match self {
            Self::Nothing => None,
            Self::Flag(_) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(Self::Flag(true)),
                "false" | "0" => Some(Self::Flag(false)),
                _ => None,
            },
            Self::Number(_) => text.parse().ok().map(Self::Number),
            Self::Time(_) => date::read_seconds(text).map(Self::Time),
            Self::Text(_) if name.to_ascii_lowercase().ends_with("uuid") => {
                // With dashes or without.
                Some(Self::Text(Uuid::try_parse(text).map_or_else(|_| text.to_owned(), |uuid| uuid.simple().to_string())))
            }
            Self::Text(_) => Some(Self::Text(text.to_owned())),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Time(seconds) => date::show(hvnode_core::model::Timestamp::from_seconds(*seconds)),
            Self::Text(text) => text.clone(),
        }
    }
}

fn is_date(name: &str) -> bool {
    name.ends_with("Date") || name == "heartBeat"
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    In,
    NotIn,
    IsNull,
    IsNotNull,
    Like,
    NotLike,
}

const OPERATORS: [(&str, Operator); 12] = [
    ("=", Operator::Equal),
    ("!=", Operator::NotEqual),
    (">", Operator::Greater),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    ("in", Operator::In),
    ("not in", Operator::NotIn),
    ("is null", Operator::IsNull),
    ("is not null", Operator::IsNotNull),
    ("like", Operator::Like),
    ("not like", Operator::NotLike),
];

/// One condition understood.
#[derive(Debug)]
pub(super) struct Condition {
    path: Path,
    operator: Operator,
    /// One, or many for `in` and `not in`.
    values: Vec<String>,
}

impl Condition {
    pub(super) fn read(kind: Kind, fields: &Fields) -> Result<Self> {
        let path = kind.path(&fields.need_text("name")?)?;
        let op = fields.need_text("op")?;
        let squeezed = op.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
        let known = OPERATORS.iter().find(|(word, _)| *word == squeezed);
        let words = OPERATORS.map(|(word, _)| word).join(", ");
        let operator =
            known.map(|(_, operator)| *operator).ok_or_else(|| fault("op", &op, &format!("one of {words}"), &format!("{words} 之一")))?;
        let values = match operator {
            Operator::IsNull | Operator::IsNotNull => Vec::new(),
            Operator::In | Operator::NotIn => fields.texts("value")?.ok_or_else(|| super::super::fields::missing("value"))?,
            // Nothing is equal to nothing but an empty text.
            _ if fields.0.get("value").and_then(Value::as_str) == Some("") => vec![String::new()],
            _ => vec![fields.need_text("value")?],
        };
        if values.iter().map(String::len).sum::<usize>() > VALUE_BYTES_MAX {
            return Err(fail!(ParameterInvalid, "value must have at most {VALUE_BYTES_MAX} bytes"; "value 最多 {VALUE_BYTES_MAX} 字节"));
        }
        Ok(Self { path, operator, values })
    }

    /// Throws away the rows that do not fulfil it.
    pub(super) fn keep(&self, others: &mut Others<'_>, rows: &mut Vec<Value>) {
        let Some((first, rest)) = self.path.joins.split_first() else {
            return rows.retain(|row| self.holds(row.get(&self.path.field)));
        };
        // From the far end: which objects there fulfil it, and which here belong to those.
        let last = rest.last().unwrap_or(first);
        let there = others.of(last.kind).iter().filter(|row| self.holds(row.get(&self.path.field)));
        let mut wanted = collected(there, last.theirs);
        for pair in self.path.joins.windows(2).rev() {
            let (near, far) = (pair[0], pair[1]);
            let middle = others.of(near.kind).iter().filter(|row| is_one_of(row, far.ours, &wanted));
            wanted = collected(middle, near.theirs);
        }
        rows.retain(|row| is_one_of(row, first.ours, &wanted));
    }

    fn holds(&self, value: Option<&Value>) -> bool {
        let name = self.path.field.as_str();
        let key = Key::of(name, value);
        match self.operator {
            Operator::IsNull => return key == Key::Nothing,
            Operator::IsNotNull => return key != Key::Nothing,
            _ if key == Key::Nothing => return false,
            _ => {}
        }
        let first = self.values.first().map_or("", String::as_str);
        let order = || Some(key.cmp(&key.alike(name, first)?));
        let is_any = || self.values.iter().any(|value| key.alike(name, value).as_ref() == Some(&key));
        match self.operator {
            Operator::Equal | Operator::In => is_any(),
            Operator::NotEqual | Operator::NotIn => !is_any(),
            Operator::Greater => order() == Some(Ordering::Greater),
            Operator::GreaterOrEqual => matches!(order(), Some(Ordering::Greater | Ordering::Equal)),
            Operator::Less => order() == Some(Ordering::Less),
            Operator::LessOrEqual => matches!(order(), Some(Ordering::Less | Ordering::Equal)),
            Operator::Like => is_like(&key.text(), first),
            Operator::NotLike => !is_like(&key.text(), first),
            Operator::IsNull | Operator::IsNotNull => false,
        }
    }
}

fn collected<'a>(rows: impl Iterator<Item = &'a Value>, field: &str) -> BTreeSet<String> {
    rows.filter_map(|row| row.get(field)?.as_str()).map(str::to_owned).collect()
}

fn is_one_of(row: &Value, field: &str, wanted: &BTreeSet<String>) -> bool {
    row.get(field).and_then(Value::as_str).is_some_and(|text| wanted.contains(text))
}

/// SQL's pattern: `%` is any text, `_` any character, a backslash takes the next one as it is. Case does not count.
fn is_like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '%' => Token::Any,
            '_' => Token::One,
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            c => Token::Char(c),
        });
    }
    let tokens: Vec<Token> = tokens.into_iter().flat_map(Token::lower).collect();
    let (mut at, mut token, mut back) = (0, 0, None);
    while at < text.len() {
        match tokens.get(token) {
            Some(Token::Any) => {
                back = Some((at, token));
                token += 1;
            }
            Some(found) if *found == Token::One || *found == Token::Char(text[at]) => (at, token) = (at + 1, token + 1),
            // Let the last `%` take one character more.
            _ => match back {
                Some((from, star)) => {
                    back = Some((from + 1, star));
                    (at, token) = (from + 1, star + 1);
                }
                None => return false,
            },
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Any)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Char(char),
}

impl Token {
    fn lower(self) -> Vec<Self> {
        match self {
            Self::Char(c) => c.to_lowercase().map(Self::Char).collect(),
            other => vec![other],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn like_is_the_pattern_of_sql() {
        for (text, pattern, is_so) in [
            ("web-1", "web%", true),
            ("web-1", "WEB-_", true),
            ("web-1", "web", false),
            ("web-1", "%1", true),
            ("web-1", "%e%1%", true),
            ("web-12", "web-_", false),
            ("", "%", true),
            ("", "_", false),
            ("a%b", "a\\%b", true),
            ("axb", "a\\%b", false),
            ("aab", "%ab", true),
        ] {
            assert_eq!(is_like(text, pattern), is_so, "{text} {pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_breaks_the_matcher(text in ".{0,20}", pattern in "[a-c%_\\\\]{0,20}") {
            let _ = is_like(&text, &pattern);
        }

        #[test]
        fn a_text_is_like_any_part_of_itself(text in "[a-zA-Z0-9]{0,20}", from in 0_usize..20) {
            let from = from.min(text.len());
            let pattern = format!("%{}%", &text[from..]);
            prop_assert!(is_like(&text, &pattern));
        }
    }
}
