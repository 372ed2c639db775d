//! The pages of `docs/api`: what each API offers, for who writes a controller. Made from the lists that serve, never by hand:
//! `make docs-api` writes them, a test fails where the committed ones are others.
//!
//! The words around the lists stand in `guide/*.md`; `{{name}}` is where a list goes.

mod document;
mod schema;
mod verbs;

use crate::dialect::{Offered, chimestack, native, openstack, zstack};
use document::Reader;
use hvnode_core::ErrorCode;
use std::fmt::Write as _;

/// Name of a file in `docs/api`, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Such as `native.md`.
    pub name: &'static str,
    /// Markdown.
    pub text: String,
}

/// Said on top of every page.
const MADE: &str = "<!-- Made from the route lists of hvnoded by `make docs-api`; changes by hand are lost. -->\n";

/// Every page.
pub fn pages() -> Vec<Page> {
    vec![
        page("README.md", include_str!("README.md"), &[("verbs", verbs::table()), ("missing", verbs::reasons())]),
        of_document("native.md", include_str!("native.md"), native::openapi(), vec![("codes", codes())]),
        of_document("openstack.md", include_str!("openstack.md"), openstack::openapi(), vec![("actions", actions())]),
        page("zstack.md", include_str!("zstack.md"), &[("messages", messages()), ("missing", not_offered(&zstack::offered()))]),
        of_document("chimestack.md", include_str!("chimestack.md"), chimestack::openapi(), vec![("states", states())]),
    ]
}

fn of_document(name: &'static str, template: &str, document: serde_json::Value, more: Vec<(&'static str, String)>) -> Page {
    let reader = Reader::new(document);
    let own = [("routes", reader.routes()), ("objects", reader.objects()), ("missing", reader.missing())];
    page(name, template, &own.into_iter().chain(more).collect::<Vec<_>>())
}

fn page(name: &'static str, template: &str, parts: &[(&str, String)]) -> Page {
    let mut text = format!("{MADE}{template}");
    for (part, words) in parts {
        text = text.replace(&format!("{{{{{part}}}}}"), words.trim_end());
    }
    Page { name, text }
}

/// The numbers of the native API and their texts.
fn codes() -> String {
    let mut table = String::from("| status_code | message | message_cn | again later? |\n|---|---|---|---|\n");
    for code in ErrorCode::ALL {
        let again = if code.is_retryable() { "yes" } else { "" };
        // Writing into a text cannot fail.
        let _ = writeln!(table, "| {} | {} | {} | {again} |", code.number(), code.text(), code.text_cn());
    }
    table
}

/// The numbers that ChimeStack shows states as.
fn states() -> String {
    let mut table = String::from("| of | key of the configuration | number | meaning |\n|---|---|---|---|\n");
    for row in chimestack::state_rows() {
        let chimestack::StateRow { of, key, word, number } = row;
        let number = number.map_or_else(|| "as before".to_owned(), |number| number.to_string());
        let _ = writeln!(table, "| {of} | `{key}.{word}` | {number} | {} |", word.replace('_', " "));
    }
    table
}

/// Actions on servers: they share one route.
fn actions() -> String {
    let mut table = String::from("| action | what it does | verb |\n|---|---|---|\n");
    let mut refused = Vec::new();
    for (name, summary, verbs) in openstack::actions() {
        let Some(verbs) = verbs else {
            refused.push(format!("`{name}`"));
            continue;
        };
        let _ = writeln!(table, "| `{name}` | {summary} | {} |", verbs.join(", "));
    }
    let _ = write!(table, "\nKnown and refused with 501, or 400 where there is no other host: {}.", refused.join(", "));
    table
}

/// The messages of ZStack, by package.
fn messages() -> String {
    let mut text = String::new();
    let mut last = "";
    for message in zstack::messages().filter(|message| message.is_built) {
        let (package, name) = message.class.split_once(".API").unwrap_or(("", message.class));
        if package != last {
            let _ = write!(
                text,
                "\n### {package}\n| message | fields (`*`: must be sent) | what it does | answer | needs | verb |\n|---|---|---|---|---|---|\n"
            );
            last = package;
        }
        let verb = message.verb.map_or("", |verb| verb.word());
        let zstack::MessageRow { fields, summary, answer, role, .. } = message;
        let _ = writeln!(text, "| `{name}` | {fields} | {summary} | {answer} | {role} | {verb} |");
    }
    text
}

/// What is known and always refused.
fn not_offered(offered: &[Offered]) -> String {
    let mut list = String::new();
    for row in offered.iter().filter(|row| !row.is_built) {
        let _ = writeln!(list, "- `{}`: {}", row.path, row.summary);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_committed_pages_are_what_the_lists_give() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api");
        for Page { name, text } in pages() {
            let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert!(committed == text, "docs/api/{name} is not up to date: run `make docs-api`");
        }
    }

    #[test]
    fn every_part_of_every_template_is_filled() {
        for Page { name, text } in pages() {
            assert!(!text.contains("{{") && text.lines().count() > 20, "{name}");
        }
    }

    #[test]
    fn every_route_and_message_is_on_its_page() {
        let pages = pages();
        let text = |name: &str| &pages.iter().find(|page| page.name == name).unwrap().text;
        for (name, offered) in [("native.md", native::offered()), ("chimestack.md", chimestack::offered())] {
            for row in offered {
                let (line, short) = (format!("{} {}", row.method, row.path), format!("{} `{}`", row.method, row.path));
                assert!(text(name).contains(&line) || text(name).contains(&short), "{name}: {line}");
            }
        }
        for row in openstack::offered().iter().chain(&zstack::offered()) {
            let name = row.path.rsplit(".API").next().unwrap();
            assert!(text("openstack.md").contains(name) || text("zstack.md").contains(name), "{name}");
        }
    }
}
