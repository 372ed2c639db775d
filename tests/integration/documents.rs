//! Documents that must not fall behind: error codes, alerts, links, the two READMEs. `tests/documents` runs their commands.

use hvnode_core::ErrorCode;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn every_error_code_is_explained_in_the_words_of_the_code() {
    let text = read("docs/errors.md");
    let rows: Vec<Vec<&str>> = text.lines().filter(|line| line.starts_with("| 1") || line.starts_with("| 2")).map(cells).collect();
    let expected: Vec<_> = ErrorCode::ALL.iter().map(|code| code.number().to_string()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), expected, "docs/errors.md lists the codes of error.rs, in its order");
    for (row, code) in rows.iter().zip(ErrorCode::ALL) {
        let again = if code.is_retryable() { "yes" } else { "no" };
        assert_eq!(row[1..4], [code.text(), code.text_cn(), again], "{code:?}");
        assert!(row[4].len() > 5 && row[4].ends_with('.'), "{code:?} says what to do: {}", row[4]);
    }
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split(" | ").map(str::trim).collect()
}

#[test]
fn every_alert_has_its_paragraph_for_the_night_and_every_paragraph_its_alert() {
    let rules = read("packaging/prometheus/alerts.yml");
    let alerts: BTreeSet<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    let text = read("docs/operations.md");
    let headings = text.lines().filter_map(|line| line.strip_prefix("### ")).filter(|heading| heading.starts_with("Hvnode"));
    assert!(!alerts.is_empty());
    assert_eq!(headings.map(str::to_owned).collect::<BTreeSet<_>>(), alerts);
}

#[test]
fn every_link_of_every_document_leads_somewhere() {
    let mut documents =
        vec!["README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CHANGELOG.md"].into_iter().map(PathBuf::from).collect::<Vec<_>>();
    for folder in ["docs", "docs/api"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let pages = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        documents.extend(pages.map(|path| path.strip_prefix(root()).unwrap().to_owned()));
    }
    let mut count = 0;
    for document in &documents {
        for link in links(&read(document.to_str().unwrap())) {
            assert_leads_somewhere(document, &link);
            count += 1;
        }
    }
    assert!(count > 20, "{count} links");
}

/// Targets of `[text](target)`, those of the web left out.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned());
    targets.filter(|target| !target.contains("://")).collect()
}

fn assert_leads_somewhere(document: &Path, link: &str) {
    let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
    let target = if path.is_empty() { root().join(document) } else { root().join(document).parent().unwrap().join(path) };
    assert!(target.exists(), "{}: ({link}) leads nowhere", document.display());
    if let Some(heading) = heading {
        let text = std::fs::read_to_string(&target).unwrap();
        let known: Vec<_> = text.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
        assert!(known.iter().any(|one| one == heading), "{}: ({link}): there are {known:?}", document.display());
    }
}

/// What a heading is linked as: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_two_readmes_show_the_same_commands_and_have_the_same_parts() {
    let (english, chinese) = (read("README.md"), read("README.zh-CN.md"));
    assert_eq!(commands(&chinese), commands(&english));
    let parts = |text: &str| {
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.split(' ').next().unwrap().len()).collect::<Vec<_>>()
    };
    assert_eq!(parts(&chinese), parts(&english), "headings of the same depths in the same order");
    let rows = |text: &str| text.lines().filter(|line| line.starts_with("| ") || line.starts_with("- ")).count();
    assert_eq!(rows(&chinese), rows(&english), "as many rows and points");
}

/// What the code blocks say, comments left out.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap().trim().to_owned()).filter(|line| !line.is_empty()).collect()
}
