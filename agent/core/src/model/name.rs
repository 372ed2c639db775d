//! Which texts may be names. One rule for every object, so that a name is safe in a domain name, a path, a log line and XML.

/// Longest name in characters.
pub const NAME_LENGTH_MAX: usize = 128;
/// Longest description in characters.
pub const DESCRIPTION_LENGTH_MAX: usize = 1024;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// Nothing, or only white space.
    Empty,
    /// More than [`NAME_LENGTH_MAX`] characters.
    TooLong,
    /// Starts or ends with white space, or starts with `.` or `-`.
    Edge,
    /// A character that is not allowed; control characters, path and XML metacharacters.
    Character(char),
}

/// Checks a name: 1-128 characters; letters and digits of any script, space and `_ - . + @ : ( )`; no path or XML metacharacter.
///
/// # Errors
/// The first reason why the text is no name.
pub fn check_name(name: &str) -> Result<(), NameFault> {
    if name.trim().is_empty() {
        return Err(NameFault::Empty);
    }
    if name.chars().count() > NAME_LENGTH_MAX {
        return Err(NameFault::TooLong);
    }
    if name.trim() != name || name.starts_with(['.', '-']) {
        return Err(NameFault::Edge);
    }
    match name.chars().find(|c| !(c.is_alphanumeric() || " _-.+@:()".contains(*c))) {
        Some(c) => Err(NameFault::Character(c)),
        None => Ok(()),
    }
}

/// True where a description may be stored: bounded, no control characters but newline and tab.
pub fn is_description(text: &str) -> bool {
    text.chars().count() <= DESCRIPTION_LENGTH_MAX && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_in_any_script_are_accepted() {
        for name in ["web", "web-01", "数据库 主", "a", "Büro.2", "vm_(copy)"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn metacharacters_of_paths_and_xml_are_refused() {
        for (name, c) in [("a/b", '/'), ("a<b", '<'), ("a&b", '&'), ("a\"b", '"'), ("a\0b", '\0'), ("a\nb", '\n'), ("a'b", '\'')] {
            assert_eq!(check_name(name), Err(NameFault::Character(c)));
        }
        assert_eq!(check_name(".."), Err(NameFault::Edge));
        assert_eq!(check_name("-rf"), Err(NameFault::Edge));
        assert_eq!(check_name(" a"), Err(NameFault::Edge));
        assert_eq!(check_name(""), Err(NameFault::Empty));
        assert_eq!(check_name(&"x".repeat(129)), Err(NameFault::TooLong));
    }

    proptest! {
        #[test]
        fn no_accepted_name_holds_a_character_with_a_meaning_elsewhere(name in ".*") {
            if check_name(&name).is_ok() {
                prop_assert!(!name.contains(['/', '<', '>', '&', '"', '\'', '\\', '\0', '\n']));
                prop_assert!(name.chars().count() <= NAME_LENGTH_MAX);
            }
        }
    }
}
