//! From a JSON value to a request type, with a coded error that names the field and says what would be right.
//!
//! serde's derived code says what a type needs; [`Reader`] holds that against the value and keeps path and fault apart, so that
//! nobody has to read an error's text. Wrong type: 10001. Missing field: 10002. Unknown field, number out of range, unknown word: 10003.

use crate::strict::{SHOWN_MAX, shown};
use hvnode_core::{AgentError, Result, fail};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};
use std::fmt;

/// Name of the newtype that reads a whole number or a text; see [`super::check::TimeInput`].
pub(super) const TIME_NEWTYPE: &str = "TimeInput";

/// Reads a JSON body.
///
/// # Errors
/// `ParseParameter`, `ParameterMissing`, `ParameterInvalid`.
pub(super) fn from_body<T: DeserializeOwned>(object: &Map<String, Value>) -> Result<T> {
    decode(object, false, &[])
}

/// Reads a JSON body. `also_known` are names that were taken out before, offered when a name is misspelt.
///
/// # Errors
/// `ParseParameter`, `ParameterMissing`, `ParameterInvalid`.
pub(super) fn from_body_beside<T: DeserializeOwned>(object: &Map<String, Value>, also_known: &[&str]) -> Result<T> {
    decode(object, false, also_known)
}

/// Reads query parameters: scalars arrive as text, lists as repeated keys or separated by commas. `also_known` is
/// as in [`from_body_beside`].
///
/// # Errors
/// `ParseParameter`, `ParameterMissing`, `ParameterInvalid`.
pub(super) fn from_query<T: DeserializeOwned>(object: &Map<String, Value>, also_known: &[&str]) -> Result<T> {
    decode(object, true, also_known)
}

fn decode<T: DeserializeOwned>(object: &Map<String, Value>, is_query: bool, also_known: &[&str]) -> Result<T> {
    let reader = MapReader { entries: object.iter(), value: None, is_query };
    T::deserialize(de::value::MapAccessDeserializer::new(reader)).map_err(|error| error.explain(also_known))
}

/// What a field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Text,
    Truth,
    Whole,
    Number,
    List,
    Object,
    Time,
}

impl Expected {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "字符串"),
            Self::Truth => ("true or false", " true 或 false"),
            Self::Whole => ("a whole number", "整数"),
            Self::Number => ("a number", "数字"),
            Self::List => ("a list", "数组"),
            Self::Object => ("an object", "对象"),
            Self::Time => ("whole Unix seconds or an RFC 3339 time", "整数 Unix 秒或 RFC 3339 时间"),
        }
    }
}

/// What is wrong at the end of a path.
#[derive(Debug)]
enum Fault {
    Missing(&'static str),
    Unknown {
        name: String,
        known: &'static [&'static str],
    },
    Type(Expected),
    /// Out of the range of its type; the range of its meaning is checked later.
    Negative,
    TooLarge,
    TooSmall,
    Word(&'static [&'static str]),
    Repeated,
    Other(String),
}

/// A fault and where it is; the path grows on the way up, so its steps are kept innermost first.
#[derive(Debug)]
struct DecodeError {
    fault: Fault,
    steps: Vec<String>,
}

impl DecodeError {
    fn new(fault: Fault) -> Self {
        Self { fault, steps: Vec::new() }
    }

    fn under(mut self, step: String) -> Self {
        self.steps.push(step);
        self
    }

    /// `interfaces[0].network_uuid`, with `last` at its end if there is one.
    fn path(&self, last: &str) -> String {
        let mut path = String::new();
        for step in self.steps.iter().rev().map(String::as_str).chain((!last.is_empty()).then_some(last)) {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        path
    }

    fn explain(self, also_known: &[&str]) -> AgentError {
        let path = self.path("");
        match &self.fault {
            Fault::Missing(name) => {
                let path = self.path(name);
                fail!(ParameterMissing, "{path}"; "{path}")
            }
            Fault::Unknown { name, known } => {
                let also_known = if self.steps.is_empty() { also_known } else { &[] };
                unknown(&self.path(&shown(name)), name, known, also_known)
            }
            Fault::Type(expected) => {
                let (en, cn) = expected.words();
                fail!(ParseParameter, "{path} must be {en}"; "{path} 必须是{cn}")
            }
            Fault::Negative => fail!(ParameterInvalid, "{path} must not be negative"; "{path} 不能为负数"),
            Fault::TooLarge => fail!(ParameterInvalid, "{path} is too large"; "{path} 数值过大"),
            Fault::TooSmall => fail!(ParameterInvalid, "{path} is too small"; "{path} 数值过小"),
            Fault::Word(words) => {
                let words = words.join(", ");
                fail!(ParameterInvalid, "{path} must be one of {words}"; "{path} 必须是其中之一: {words}")
            }
            Fault::Repeated => fail!(ParseParameter, "{path} must stand only once"; "{path} 只能出现一次"),
            Fault::Other(text) => fail!(ParseParameter, "{path} {text}"; "{path} {text}"),
        }
    }
}

fn unknown(path: &str, name: &str, known: &[&str], also_known: &[&str]) -> AgentError {
    let all = || known.iter().chain(also_known).copied();
    match closest(name, all()) {
        Some(close) => fail!(ParameterInvalid, "{path} is not known here, did you mean {close}?"; "{path} 不是已知参数，是否为 {close}？"),
        None if known.is_empty() && also_known.is_empty() => {
            fail!(ParameterInvalid, "{path} is not known here: there are no parameters"; "{path} 不是已知参数: 此处没有参数")
        }
        None => {
            let list = all().collect::<Vec<_>>().join(", ");
            fail!(ParameterInvalid, "{path} is not known here; known are {list}"; "{path} 不是已知参数；已知参数: {list}")
        }
    }
}

/// The known word that a misspelt one most likely means.
pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > SHOWN_MAX {
        return None;
    }
    let most = (word.chars().count() / 3).clamp(1, 3);
    known.map(|candidate| (distance(word, candidate), candidate)).filter(|(far, _)| *far <= most).min().map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.path(""), self.fault)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Fault::Other(message.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Fault::Missing(field))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Fault::Unknown { name: field.to_owned(), known: expected })
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Fault::Word(expected))
    }
}

type Decoded<T> = std::result::Result<T, DecodeError>;

/// One value on its way into a field.
#[derive(Clone, Copy)]
struct Reader<'a> {
    value: &'a Value,
    is_query: bool,
}

impl<'a> Reader<'a> {
    fn wrong<T>(self, expected: Expected) -> Decoded<T> {
        let is_repeated = self.is_query && self.value.is_array() && expected != Expected::List;
        Err(DecodeError::new(if is_repeated { Fault::Repeated } else { Fault::Type(expected) }))
    }

    fn text(self) -> Decoded<&'a str> {
        self.value.as_str().map_or_else(|| self.wrong(Expected::Text), Ok)
    }

    /// A whole number within bounds. A number too large for JSON's own integers is out of range, not of the wrong type.
    fn whole(self, least: i128, most: i128) -> Decoded<i128> {
        let number = match self.value {
            Value::Number(number) => {
                let whole = number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from));
                whole.or_else(|| number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() >= MANTISSA).map(|f| f as i128))
            }
            Value::String(text) if self.is_query => whole_from_text(text),
            _ => None,
        };
        match number {
            None => self.wrong(Expected::Whole),
            Some(number) if (least..=most).contains(&number) => Ok(number),
            Some(number) if number > most => Err(DecodeError::new(Fault::TooLarge)),
            Some(_) => Err(DecodeError::new(if least == 0 { Fault::Negative } else { Fault::TooSmall })),
        }
    }
}

/// Above this a JSON number with a fraction part cannot be told from a whole one.
const MANTISSA: f64 = (1_u64 << 53) as f64;

fn whole_from_text(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Too many digits even for the widest type: surely out of range.
    Some(text.parse().unwrap_or(if text.starts_with('-') { i128::MIN } else { i128::MAX }))
}

macro_rules! whole_numbers {
    ($($method:ident $type:ident $visit:ident $wide:ident;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
            let number = self.whole(i128::from($type::MIN), i128::from($type::MAX))?;
            visitor.$visit(number as $wide)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = DecodeError;

    whole_numbers! {
        deserialize_u8 u8 visit_u64 u64;
        deserialize_u16 u16 visit_u64 u64;
        deserialize_u32 u32 visit_u64 u64;
        deserialize_u64 u64 visit_u64 u64;
        deserialize_i32 i32 visit_i64 i64;
        deserialize_i64 i64 visit_i64 i64;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Number(_) => self.deserialize_f64(visitor),
            Value::String(text) => visitor.visit_str(text),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.value {
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::String(text) if self.is_query && (text == "true" || text == "false") => visitor.visit_bool(text == "true"),
            _ => self.wrong(Expected::Truth),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.value.as_f64() {
            Some(number) if number.is_finite() => visitor.visit_f64(number),
            _ => self.wrong(Expected::Number),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Decoded<V::Value> {
        if name != TIME_NEWTYPE {
            return visitor.visit_newtype_struct(self);
        }
        let text = match self.value {
            Value::Number(number) if number.is_i64() => number.to_string(),
            Value::String(text) => text.clone(),
            _ => return self.wrong(Expected::Time),
        };
        visitor.visit_newtype_struct(text.into_deserializer())
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.value {
            Value::Array(items) => visitor.visit_seq(SeqReader { items: items.iter().enumerate(), is_query: self.is_query }),
            Value::String(text) if self.is_query => visitor.visit_seq(TextSeqReader(text.split(','))),
            _ => self.wrong(Expected::List),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.value {
            Value::Object(object) => visitor.visit_map(MapReader { entries: object.iter(), value: None, is_query: self.is_query }),
            _ => self.wrong(Expected::Object),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Decoded<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, words: &'static [&'static str], visitor: V) -> Decoded<V::Value> {
        let text = self.text()?;
        if words.contains(&text) { visitor.visit_enum(WordReader(text)) } else { Err(DecodeError::new(Fault::Word(words))) }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i8 i16 i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier }
}

struct MapReader<'a> {
    entries: serde_json::map::Iter<'a>,
    value: Option<(&'a str, &'a Value)>,
    is_query: bool,
}

impl<'de> de::MapAccess<'de> for MapReader<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Decoded<Option<K::Value>> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some((key, value));
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Decoded<S::Value> {
        let (key, value) = self.value.take().unwrap_or(("", &Value::Null));
        seed.deserialize(Reader { value, is_query: self.is_query }).map_err(|error| error.under(shown(key)))
    }
}

struct SeqReader<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
    is_query: bool,
}

impl<'de> de::SeqAccess<'de> for SeqReader<'_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Decoded<Option<S::Value>> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Reader { value, is_query: self.is_query }).map(Some).map_err(|error| error.under(format!("[{index}]")))
    }
}

/// `a,b,c` of a query.
struct TextSeqReader<'a>(std::str::Split<'a, char>);

impl<'de> de::SeqAccess<'de> for TextSeqReader<'_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Decoded<Option<S::Value>> {
        let Some(part) = self.0.next() else { return Ok(None) };
        seed.deserialize(part.into_deserializer()).map(Some)
    }
}

/// A word that was found in the list of variants.
struct WordReader<'a>(&'a str);

impl<'de> EnumAccess<'de> for WordReader<'_> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Decoded<(S::Value, Self)> {
        Ok((seed.deserialize(self.0.into_deserializer())?, self))
    }
}

impl<'de> VariantAccess<'de> for WordReader<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Decoded<()> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Decoded<S::Value> {
        Err(DecodeError::new(Fault::Type(Expected::Object)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Decoded<V::Value> {
        Err(DecodeError::new(Fault::Type(Expected::Object)))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Decoded<V::Value> {
        Err(DecodeError::new(Fault::Type(Expected::Object)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        network_uuid: String,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Big,
        Small,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        vm_uuid: String,
        cpu_cores: Option<u32>,
        force: Option<bool>,
        kind: Option<Kind>,
        interfaces: Option<Vec<Inner>>,
    }

    fn fault(value: &Value) -> (u32, String) {
        let error = from_body::<Outer>(value.as_object().unwrap()).unwrap_err();
        (error.code().number(), error.detail().en.clone())
    }

    #[test]
    fn each_kind_of_fault_has_its_code_and_names_the_field() {
        let cases = [
            (json!({}), 10002, "vm_uuid"),
            (json!({"vm_uuid": 1}), 10001, "vm_uuid must be text"),
            (json!({"vm_uuid": null}), 10001, "vm_uuid must be text"),
            (json!({"vm_uuid": "a", "cpu_cores": "2"}), 10001, "cpu_cores must be a whole number"),
            (json!({"vm_uuid": "a", "cpu_cores": 1.5}), 10001, "cpu_cores must be a whole number"),
            (json!({"vm_uuid": "a", "cpu_cores": -1}), 10003, "cpu_cores must not be negative"),
            (json!({"vm_uuid": "a", "cpu_cores": 1e30}), 10003, "cpu_cores is too large"),
            (json!({"vm_uuid": "a", "force": 1}), 10001, "force must be true or false"),
            (json!({"vm_uuid": "a", "kind": "huge"}), 10003, "kind must be one of big, small"),
            (json!({"vm_uuid": "a", "kind": 7}), 10001, "kind must be text"),
            (json!({"vm_uuid": "a", "interfaces": {}}), 10001, "interfaces must be a list"),
            (json!({"vm_uuid": "a", "interfaces": [1]}), 10001, "interfaces[0] must be an object"),
            (json!({"vm_uuid": "a", "interfaces": [{}]}), 10002, "interfaces[0].network_uuid"),
            (
                json!({"vm_uuid": "a", "interfaces": [{"network_uid": ""}]}),
                10003,
                "interfaces[0].network_uid is not known here, did you mean network_uuid?",
            ),
            (json!({"vm_uid": "a"}), 10003, "vm_uid is not known here, did you mean vm_uuid?"),
            (json!({"zzz": "a"}), 10003, "zzz is not known here; known are vm_uuid, cpu_cores, force, kind, interfaces"),
        ];
        for (value, number, detail) in cases {
            assert_eq!(fault(&value), (number, detail.to_owned()), "{value}");
        }
    }

    #[test]
    fn null_is_the_same_as_absent_for_an_optional_field() {
        let outer: Outer = from_body(json!({"vm_uuid": "a", "force": null}).as_object().unwrap()).unwrap();
        assert_eq!(outer, Outer { vm_uuid: "a".into(), cpu_cores: None, force: None, kind: None, interfaces: None });
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Query {
        vm_uuid: Vec<String>,
        page_number: Option<u64>,
        is_root: Option<bool>,
        name: Option<String>,
    }

    #[test]
    fn a_query_reads_numbers_truths_and_lists_from_text() {
        let value = json!({"vm_uuid": "a,b", "page_number": "3", "is_root": "true", "name": "7"});
        let query: Query = from_query(value.as_object().unwrap(), &[]).unwrap();
        assert_eq!(
            query,
            Query { vm_uuid: vec!["a".into(), "b".into()], page_number: Some(3), is_root: Some(true), name: Some("7".into()) }
        );
        let repeated: Query = from_query(json!({"vm_uuid": ["a", "b"]}).as_object().unwrap(), &[]).unwrap();
        assert_eq!(repeated.vm_uuid, ["a", "b"]);
    }

    #[test]
    fn a_query_refuses_a_repeated_scalar_a_wrong_number_and_a_huge_one() {
        let fault = |value: Value| {
            let error = from_query::<Query>(value.as_object().unwrap(), &["page_size"]).unwrap_err();
            (error.code().number(), error.detail().en.clone())
        };
        assert_eq!(fault(json!({"vm_uuid": "a", "name": ["a", "b"]})), (10001, "name must stand only once".into()));
        assert_eq!(fault(json!({"vm_uuid": "a", "page_number": "x"})), (10001, "page_number must be a whole number".into()));
        assert_eq!(fault(json!({"vm_uuid": "a", "page_number": "9".repeat(60)})).0, 10003);
        assert_eq!(fault(json!({"vm_uuid": "a", "page_sise": "1"})).1, "page_sise is not known here, did you mean page_size?");
    }

    #[test]
    fn a_hostile_field_name_is_cut_and_escaped() {
        let name = format!("\u{1b}[31m\n{}", "x".repeat(500));
        let (number, detail) = fault(&json!({ name: 1 }));
        assert_eq!(number, 10003);
        assert!(detail.len() < 250 && !detail.contains(['\n', '\u{1b}']), "{detail}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("vm_uuid|cpu_cores|interfaces|kind|force|network_uuid|.*", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn no_value_makes_the_decoder_panic(pairs in prop::collection::vec(("vm_uuid|cpu_cores|interfaces|kind|force|.*", any_json()), 0..6)) {
            let object: Map<String, Value> = pairs.into_iter().collect();
            for decoded in [from_body::<Outer>(&object), from_query::<Outer>(&object, &[])] {
                if let Err(error) = decoded {
                    prop_assert!((10001..=10003).contains(&error.code().number()));
                }
            }
        }
    }
}
