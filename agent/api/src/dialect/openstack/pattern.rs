//! Name filters. Nova takes regular expressions there; this understands the part that people use: text anywhere, `^`, `$`, `.`, `.*` and
//! `\` before a character that stands for itself. A filter that also stands in the name as it is matches too.

/// A filter on names.
#[derive(Debug)]
pub(super) struct NamePattern {
    text: String,
    tokens: Vec<Token>,
    is_open_start: bool,
    is_open_end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Is(char),
    One,
    Any,
}

impl NamePattern {
    pub(super) fn new(text: &str) -> Self {
        let (start, rest) = text.strip_prefix('^').map_or((true, text), |rest| (false, rest));
        let mut tokens = Vec::new();
        let mut is_open_end = true;
        let mut chars = rest.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '$' if chars.peek().is_none() => is_open_end = false,
                '\\' => tokens.push(Token::Is(chars.next().unwrap_or('\\'))),
                '.' if chars.peek() == Some(&'*') => {
                    chars.next();
                    tokens.push(Token::Any);
                }
                '.' => tokens.push(Token::One),
                other => tokens.push(Token::Is(other)),
            }
        }
        Self { text: text.to_owned(), tokens, is_open_start: start, is_open_end }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        if name.contains(&self.text) {
            return true;
        }
        let any = |is: bool| is.then_some(Token::Any);
        let tokens: Vec<Token> =
            any(self.is_open_start).into_iter().chain(self.tokens.iter().copied()).chain(any(self.is_open_end)).collect();
        glob(&tokens, &name.chars().collect::<Vec<_>>())
    }
}

/// Goes back to the last [`Token::Any`] only: no more steps than tokens times characters.
fn glob(tokens: &[Token], text: &[char]) -> bool {
    let (mut t, mut c) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while c < text.len() {
        match tokens.get(t) {
            Some(Token::Any) => {
                back = Some((t, c));
                t += 1;
            }
            Some(Token::One) => (t, c) = (t + 1, c + 1),
            Some(Token::Is(wanted)) if *wanted == text[c] => (t, c) = (t + 1, c + 1),
            _ => match back {
                Some((any, from)) => {
                    back = Some((any, from + 1));
                    (t, c) = (any + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    tokens[t..].iter().all(|token| *token == Token::Any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_filter_is_found_anywhere_unless_it_is_anchored() {
        let matches = |pattern: &str, name: &str| NamePattern::new(pattern).matches(name);
        assert!(matches("web", "my-web-1") && !matches("^web", "my-web-1") && matches("^web", "web-1"));
        assert!(matches("^web-1$", "web-1") && !matches("^web-1$", "web-10"));
        assert!(matches("w.b", "web") && matches("^w.*1$", "web-1") && !matches("^w.*2$", "web-1"));
        assert!(matches("vm (copy)", "vm (copy)") && matches("a\\.b", "a.b") && !matches("a\\.b", "axb"));
        assert!(matches("", "anything") && matches(".*", ""));
    }

    proptest! {
        #[test]
        fn every_name_matches_itself_and_nothing_panics(name in ".{0,40}", pattern in ".{0,20}") {
            let is_match = NamePattern::new(&name).matches(&name);
            prop_assert!(is_match);
            let _ = NamePattern::new(&pattern).matches(&name);
        }
    }
}
