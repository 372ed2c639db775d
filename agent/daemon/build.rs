//! Links hvnoded with a table of relocations in their short form, where the linker knows it: 0.7 MB less on disk and in memory.

#![allow(clippy::disallowed_methods, reason = "a build script: it runs the compiler")]

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Needs glibc 2.36 or later where the program runs; a program that is linked with it says so itself.
const SHORT_RELOCATIONS: &str = "-Wl,-z,pack-relative-relocs";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let is_native = env::var("HOST")? == env::var("TARGET")?;
    if is_native && env::var("CARGO_CFG_TARGET_ENV")? == "gnu" && is_linked_with(SHORT_RELOCATIONS)? {
        println!("cargo:rustc-link-arg-bins={SHORT_RELOCATIONS}");
    }
    Ok(())
}

/// Links an empty program with this argument and runs it: linkers and C libraries of some age do not know it.
fn is_linked_with(argument: &str) -> Result<bool, Box<dyn Error>> {
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    let (source, program) = (folder.join("empty.rs"), folder.join("empty"));
    std::fs::write(&source, "fn main() {}")?;
    let mut link = Command::new(env::var("RUSTC")?);
    link.arg(&source).arg("-o").arg(&program).arg("-C").arg(format!("link-arg={argument}"));
    let succeeds =
        |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    Ok(succeeds(&mut link) && succeeds(&mut Command::new(&program)))
}
