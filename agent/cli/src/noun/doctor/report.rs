//! What doctor found, check by check.

use crate::output::Tone;
use crate::text::{Language, Text};
use serde_json::{Value, json};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and should be looked at.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be looked at from here.
    Skip,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warn => Tone::Busy,
            Self::Fail => Tone::Bad,
            Self::Skip => Tone::Plain,
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// Which; the same for ever, for scripts.
    pub(super) name: &'static str,
    /// How it is.
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) found: Text,
    /// What to do about it.
    pub(super) advice: Option<Text>,
}

impl Check {
    /// As it should be.
    pub(super) fn ok(name: &'static str, found: Text) -> Self {
        Self { name, verdict: Verdict::Ok, found, advice: None }
    }

    /// Could not be looked at.
    pub(super) fn skip(name: &'static str, found: Text) -> Self {
        Self { name, verdict: Verdict::Skip, found, advice: None }
    }

    /// Works, but.
    pub(super) fn warn(name: &'static str, found: Text, advice: Text) -> Self {
        Self { name, verdict: Verdict::Warn, found, advice: Some(advice) }
    }

    /// Does not work.
    pub(super) fn fail(name: &'static str, found: Text, advice: Text) -> Self {
        Self { name, verdict: Verdict::Fail, found, advice: Some(advice) }
    }

    /// What was found, and what to do about it, on one line.
    pub(super) fn line(&self, language: Language) -> String {
        let found = self.found.pick(language);
        self.advice.as_ref().map_or_else(|| found.to_owned(), |advice| format!("{found} -> {}", advice.pick(language)))
    }

    fn as_json(&self) -> Value {
        json!({
            "check": self.name,
            "verdict": self.verdict.word(),
            "message": self.found.en,
            "message_cn": self.found.cn,
            "advice": self.advice.as_ref().map(|advice| &advice.en),
            "advice_cn": self.advice.as_ref().map(|advice| &advice.cn),
        })
    }
}

/// All checks with how many ended how.
pub(super) fn as_json(checks: &[Check]) -> Value {
    json!({
        "ok": count(checks, Verdict::Ok),
        "warn": count(checks, Verdict::Warn),
        "fail": count(checks, Verdict::Fail),
        "skip": count(checks, Verdict::Skip),
        "checks": checks.iter().map(Check::as_json).collect::<Vec<_>>(),
    })
}

/// How many ended so.
pub(super) fn count(checks: &[Check], verdict: Verdict) -> usize {
    checks.iter().filter(|check| check.verdict == verdict).count()
}
