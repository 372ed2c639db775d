//! Every sentence hvctl says itself, in both languages, and the choice between them.

use clap::ValueEnum;

// Its variants carry no doc comments: clap would spread every `--help` over twice the lines to show them.
/// The language of messages. Table headings stay English, so that scripts and documents can name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    #[value(alias = "en_US", alias = "english")]
    En,
    #[value(name = "zh", alias = "cn", alias = "zh_CN", alias = "chinese")]
    Cn,
}

impl Language {
    /// From the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that says something, as every program does.
    pub(crate) fn from_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        match locale {
            Some(locale) if locale.starts_with("zh") => Self::Cn,
            _ => Self::En,
        }
    }
}

/// A sentence in both languages; made by [`text!`](crate::text).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text {
    /// English.
    pub(crate) en: String,
    /// Chinese.
    pub(crate) cn: String,
}

impl Text {
    /// The wording in `language`; English where the node gave no Chinese one.
    pub(crate) fn pick(&self, language: Language) -> &str {
        match language {
            Language::Cn if !self.cn.is_empty() => &self.cn,
            _ => &self.en,
        }
    }
}

/// `text!("web started"; "web 已启动")`, with captured variables as in `format!`.
#[macro_export]
macro_rules! text {
    ($en:literal; $cn:literal) => {
        $crate::text::Text { en: format!($en), cn: format!($cn) }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locale(pairs: &'static [(&'static str, &'static str)]) -> Language {
        Language::from_locale(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()))
    }

    #[test]
    fn the_language_follows_the_locale_in_the_usual_order() {
        assert_eq!(locale(&[]), Language::En);
        assert_eq!(locale(&[("LANG", "zh_CN.UTF-8")]), Language::Cn);
        assert_eq!(locale(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]), Language::En);
        assert_eq!(locale(&[("LANG", "zh_TW.UTF-8"), ("LC_ALL", "")]), Language::Cn);
    }

    #[test]
    fn a_message_without_a_chinese_wording_is_shown_in_english() {
        let text = Text { en: "Success".into(), cn: String::new() };
        assert_eq!(text.pick(Language::Cn), "Success");
    }
}
