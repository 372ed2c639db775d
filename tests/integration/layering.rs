//! The layers of ARCHITECTURE.md, held true: imports point one way, adapters do not know each other, one crate has `unsafe`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "{} has no Rust files", folder.display());
    files
}

/// Lines of code of a file, comments left out.
fn code_lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect()
}

fn assert_absent(files: &[PathBuf], words: &[&str], why: &str) {
    for path in files {
        for (number, line) in code_lines(path).iter().enumerate() {
            for word in words {
                assert!(!line.contains(word), "{}:{}: `{word}`: {why}", path.display(), number + 1);
            }
        }
    }
}

fn dependencies(package: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("agent").join(package).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
}

fn own_dependencies(package: &str) -> Vec<String> {
    dependencies(package).into_iter().filter(|name| name.starts_with("hvnode-")).collect()
}

#[test]
fn crates_depend_only_downwards() {
    assert_eq!(own_dependencies("core"), Vec::<String>::new());
    for adapter in ["libvirt", "store", "image", "probe", "api"] {
        assert_eq!(own_dependencies(adapter), ["hvnode-core"], "{adapter}");
    }
    assert_eq!(own_dependencies("cli"), Vec::<String>::new());
}

#[test]
fn the_core_knows_no_http_no_libvirt_and_no_sql() {
    let outside = ["axum", "hyper", "http", "virt", "virt-sys", "rusqlite", "reqwest", "quick-xml", "utoipa"];
    let found: Vec<_> = dependencies("core").into_iter().filter(|d| outside.contains(&d.as_str())).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn only_the_libvirt_adapter_links_libvirt_and_only_the_store_links_sqlite() {
    for package in ["core", "store", "image", "probe", "api", "daemon", "cli"] {
        assert!(!dependencies(package).contains("virt"), "{package}");
    }
    for package in ["core", "libvirt", "image", "probe", "api", "daemon", "cli"] {
        assert!(!dependencies(package).contains("rusqlite"), "{package}");
    }
}

#[test]
fn modules_of_the_core_import_only_what_is_below_them() {
    let core = root().join("agent/core/src");
    let above = [
        ("model", &["crate::port", "crate::verb", "crate::engine", "crate::fake"][..]),
        ("port", &["crate::verb", "crate::engine", "crate::fake"][..]),
        ("verb", &["crate::engine", "crate::fake"][..]),
    ];
    for (module, words) in above {
        assert_absent(&rust_files(&core.join(module)), words, "imports point one way: model, error, port, verb, engine");
    }
    assert_absent(&[core.join("error.rs")], &["crate::model", "crate::port", "crate::verb", "crate::engine"], "errors are at the bottom");
}

#[test]
fn a_dialect_imports_no_other_dialect() {
    let dialects = root().join("agent/api/src/dialect");
    let names: Vec<String> = std::fs::read_dir(&dialects)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name == "native"));
    for name in &names {
        let others: Vec<String> = names.iter().filter(|other| *other != name).map(|other| format!("dialect::{other}")).collect();
        let words: Vec<&str> = others.iter().map(String::as_str).collect();
        assert_absent(&rust_files(&dialects.join(name)), &words, "a dialect imports no other dialect");
    }
}

#[test]
fn a_dialect_reaches_the_outside_through_the_engine_alone() {
    let files = rust_files(&root().join("agent/api/src/dialect"));
    assert_absent(&files, &["dyn Hypervisor", "dyn Store", "ports.", "verb::plan", "verdict("], "dialects decide no legality");
}

#[test]
fn only_one_file_has_unsafe_code() {
    let files: Vec<PathBuf> = ["core", "libvirt", "store", "image", "api", "daemon", "cli"]
        .iter()
        .flat_map(|package| rust_files(&root().join("agent").join(package).join("src")))
        .filter(|path| !path.ends_with("libvirt/src/ffi.rs"))
        .collect();
    assert_absent(&files, &["unsafe {", "unsafe fn", "unsafe impl"], "unsafe code lives in agent/libvirt/src/ffi.rs");
}
