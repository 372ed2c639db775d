//! `hvnode.toml(5)` from the commented configuration: a comment belongs to the keys that follow it without an empty line between.

use clap_mangen::roff::{Roff, bold, roman};

/// One part of the file, in its order.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// `[section]`
    Section(&'a str),
    /// Keys with their defaults, as written, and what is said of them.
    Keys(Vec<&'a str>, String),
    /// What is said of no key.
    Text(String),
}

/// The man page of a configuration file.
pub(crate) fn page(file: &str) -> String {
    let mut roff = Roff::new();
    roff.control("TH", ["hvnode.toml", "5", "", "", super::MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("hvnode.toml - configuration of hvnoded, the hvnode node agent")]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold("/etc/hvnode/hvnode.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    for part in parts(file) {
        match part {
            Part::Section(name) => {
                roff.control("SH", [format!("[{name}]").as_str()]);
            }
            Part::Text(text) => {
                roff.control("PP", []);
                roff.text([roman(text)]);
            }
            Part::Keys(keys, text) => {
                for (index, key) in keys.iter().enumerate() {
                    roff.control(if index == 0 { "TP" } else { "TQ" }, []);
                    let (name, default) = key.split_once('=').unwrap_or((key, ""));
                    roff.text([bold(name.trim()), roman(format!(" = {}", default.trim()))]);
                }
                roff.text([roman(text)]);
            }
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("hvnoded"), roman("(8)")]);
    roff.to_roff()
}

fn parts(file: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut said, mut keys) = (Vec::new(), Vec::new());
    for line in file.lines().chain([""]) {
        // A key that has no default is shown commented out.
        let shown = line.strip_prefix('#').filter(|rest| rest.contains(" = ") && !rest.starts_with(' ')).unwrap_or(line);
        let comment = shown.strip_prefix('#');
        if comment.is_none() && shown.contains('=') {
            keys.push(shown);
            continue;
        }
        // Anything else ends the keys, and an empty line ends what is said.
        if !keys.is_empty() {
            parts.push(Part::Keys(std::mem::take(&mut keys), std::mem::take(&mut said).join(" ")));
        }
        match (comment, shown.strip_prefix('[').and_then(|rest| rest.split_once(']'))) {
            (Some(text), _) if !text.trim().is_empty() => said.push(text.trim()),
            (_, section) => {
                if !said.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut said).join(" ")));
                }
                parts.extend(section.map(|(name, _)| Part::Section(name)));
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_to_the_keys_below_them_and_to_nothing_else() {
        let file = "# Head.\n#\n# More.\n\n[a]\n# One,\n# two.\nx = 1\ny = \"#\"\n# Rest.\n\n# Before b.\n[b.c]\n#z = [3]\n";
        let expected = [
            Part::Text("Head.".into()),
            Part::Text("More.".into()),
            Part::Section("a"),
            Part::Keys(vec!["x = 1", "y = \"#\""], "One, two.".into()),
            Part::Text("Rest.".into()),
            Part::Text("Before b.".into()),
            Part::Section("b.c"),
            Part::Keys(vec!["z = [3]"], String::new()),
        ];
        assert_eq!(parts(file), expected);
    }

    #[test]
    fn every_key_of_the_configuration_is_on_its_page_and_is_explained() {
        let file = include_str!("../../../config/hvnode.toml");
        let page = page(file);
        let keys = file.lines().filter(|line| !line.starts_with('#') && line.contains('='));
        for name in keys.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "\\-")) {
            assert!(page.contains(&format!("\\fB{name}\\fR = ")), "{name}");
        }
    }
}
