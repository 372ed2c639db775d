//! Indents JSON without touching anything else: members stay in the node's order, numbers keep their digits.

/// `raw` must be valid JSON, as everything from the node is once it was parsed.
pub(crate) fn indent(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() * 2);
    let mut depth = 0_usize;
    let mut is_in_string = false;
    let mut is_escaped = false;
    let mut chars = raw.chars().filter(|c| !c.is_ascii_control()).peekable();
    while let Some(c) = chars.next() {
        if is_in_string {
            out.push(c);
            is_in_string = is_escaped || c != '"';
            is_escaped = c == '\\' && !is_escaped;
            continue;
        }
        match c {
            '"' => {
                is_in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if_eq(&' ').is_some() {}
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            ' ' => {}
            _ => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_numbers_and_strings_stay_as_they_came() {
        let raw = r#"{"z":[1,2.50,{}],"a":{"text":"a, b: {\"c\\\" }","empty":[ ]},"n":null}"#;
        let expected = concat!(
            "{\n  \"z\": [\n    1,\n    2.50,\n    {}\n  ],\n",
            "  \"a\": {\n    \"text\": \"a, b: {\\\"c\\\\\\\" }\",\n    \"empty\": []\n  },\n",
            "  \"n\": null\n}"
        );
        assert_eq!(indent(raw), expected);
    }

    #[test]
    fn indenting_twice_is_the_same_as_once_and_means_the_same() {
        let raw = r#"{ "a" : [ ] , "b" : { "c" : [ true , "\\" , "\\\"" ] } }"#;
        let once = indent(raw);
        assert_eq!(indent(&once), once);
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(raw), parse(&once));
    }

    #[test]
    fn plain_values_are_left_alone() {
        assert_eq!(indent("null"), "null");
        assert_eq!(indent("\"数据\""), "\"数据\"");
    }
}
