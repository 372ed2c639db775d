//! Files that are what they say, and files that are not.

use super::{Bench, initrd, write};
use crate::qemu_img;
use hvnode_core::error::ErrorCode;
use hvnode_core::model::ImageFormat;
use hvnode_core::port::FetchedImage;
use hvnode_core::{AgentError, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Tests with real images need the program; where it is not installed they say so and pass.
fn has_qemu_img() -> bool {
    let is_there = Path::new("/usr/bin/qemu-img").exists();
    if !is_there {
        eprintln!("skipped: qemu-img is not installed");
    }
    is_there
}

impl Bench {
    /// Makes `allowed/<name>` with `qemu-img create`.
    fn create(&self, name: &str, arguments: &[&str]) {
        let path = self.path("allowed").join(name).display().to_string();
        let mut all = vec!["create", "-q"];
        all.extend(&arguments[..arguments.len() - 1]);
        all.extend([path.as_str(), arguments[arguments.len() - 1]]);
        qemu_img::make(&all);
    }

    async fn fetch_as(&self, name: &str, format: ImageFormat) -> Result<FetchedImage> {
        self.fetch(&self.request(&self.url(&format!("allowed/{name}")), format)).await
    }

    /// The refusal, after which nothing may be left.
    async fn refusal(&self, name: &str, format: ImageFormat) -> AgentError {
        let error = self.fetch_as(name, format).await.unwrap_err();
        assert!(self.left().is_empty(), "{name}");
        error
    }

    async fn refused(&self, name: &str, format: ImageFormat, words: &str) {
        let error = self.refusal(name, format).await;
        assert_eq!(error.code(), ErrorCode::ImageFormatInvalid, "{name}");
        assert!(error.message().contains(words), "{name}: {error}");
    }
}

#[tokio::test]
async fn ordinary_disks_are_accepted_with_the_size_a_guest_sees() {
    if !has_qemu_img() {
        return;
    }
    let bench = Bench::new();
    bench.create("v3", &["-f", "qcow2", "10G"]);
    bench.create("v2", &["-f", "qcow2", "-o", "compat=0.10", "11G"]);
    bench.create("zstd", &["-f", "qcow2", "-o", "compression_type=zstd,extended_l2=on", "12G"]);
    qemu_img::make(&["snapshot", "-c", "inside", &bench.path("allowed/v3").display().to_string()]);
    write(&bench.path("allowed/raw"), &initrd(5 << 20));
    for (name, format, bytes) in [
        ("v3", ImageFormat::Qcow2, 10 << 30),
        ("v2", ImageFormat::Qcow2, 11 << 30),
        ("zstd", ImageFormat::Qcow2, 12 << 30),
        ("raw", ImageFormat::Raw, 5 << 20),
    ] {
        let image = bench.fetch_as(name, format).await.unwrap();
        assert_eq!(image.virtual_bytes, bytes, "{name}");
        std::fs::remove_file(bench.path("images/target")).unwrap();
    }
}

#[tokio::test]
async fn a_qcow2_that_names_another_file_is_refused() {
    if !has_qemu_img() {
        return;
    }
    let bench = Bench::new();
    bench.create("base", &["-f", "qcow2", "1G"]);
    let base = bench.path("allowed/base").display().to_string();
    bench.create("child", &["-f", "qcow2", "-b", &base, "-F", "qcow2", "1G"]);
    let data = format!("data_file={}", bench.path("allowed/data").display());
    bench.create("outside", &["-f", "qcow2", "-o", &data, "1G"]);
    bench.refused("child", ImageFormat::Qcow2, "backing file").await;
    bench.refused("outside", ImageFormat::Qcow2, "another file").await;
}

#[tokio::test]
async fn a_disk_in_another_format_than_declared_is_refused() {
    if !has_qemu_img() {
        return;
    }
    let bench = Bench::new();
    for (name, format) in [("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vdi", "vdi"), ("vhdx", "vhdx"), ("vpc", "vpc"), ("qed", "qed")] {
        bench.create(name, &["-f", format, "10M"]);
        bench.refused(name, ImageFormat::Raw, "not raw as declared").await;
        bench.refused(name, ImageFormat::Iso, "not iso as declared").await;
        if format != "qcow2" {
            bench.refused(name, ImageFormat::Qcow2, "not qcow2 as declared").await;
        }
    }
    write(&bench.path("allowed/raw"), &[0; 4096]);
    bench.refused("raw", ImageFormat::Qcow2, "raw and not qcow2").await;
    write(&bench.path("allowed/empty"), b"");
    bench.refused("empty", ImageFormat::Raw, "empty").await;
}

#[tokio::test]
async fn damaged_hostile_and_encrypted_qcow2_files_are_refused() {
    if !has_qemu_img() {
        return;
    }
    let bench = Bench::new();
    bench.create("good", &["-f", "qcow2", "1G"]);
    let good = std::fs::read(bench.path("allowed/good")).unwrap();
    let change = |name: &str, offset: usize, bytes: &[u8]| {
        let mut content = good.clone();
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
        write(&bench.path("allowed").join(name), &content);
    };
    change("version", 4, &9u32.to_be_bytes());
    change("crypt", 32, &1u32.to_be_bytes());
    change("corrupt", 72, &2u64.to_be_bytes());
    change("unknown", 72, &(1u64 << 40).to_be_bytes());
    // A table of mappings far outside the file, and one of absurd size.
    change("table", 40, &(1u64 << 62).to_be_bytes());
    change("entries", 36, &u32::MAX.to_be_bytes());
    write(&bench.path("allowed/short"), &good[..60]);
    write(&bench.path("allowed/end"), &good[..good.len() - 1]);
    // Passes our own look at the header.
    change("refcounts", 96, &99u32.to_be_bytes());
    for (name, words) in [
        ("version", "version 9"),
        ("crypt", "encrypted"),
        ("corrupt", "corrupt"),
        ("unknown", "not known"),
        ("table", "cut short"),
        ("entries", "cut short"),
        ("end", "cut short"),
        ("refcounts", "qemu-img refuses"),
        ("short", "cut short"),
    ] {
        bench.refused(name, ImageFormat::Qcow2, words).await;
    }
}

#[tokio::test]
async fn a_disk_that_would_be_too_large_for_its_guest_is_refused() {
    if !has_qemu_img() {
        return;
    }
    let mut bench = Bench::new();
    bench.create("large", &["-f", "qcow2", "2T"]);
    bench.config.virtual_size_max_bytes = 1 << 40;
    assert_eq!(bench.refusal("large", ImageFormat::Qcow2).await.code(), ErrorCode::RequestTooLarge);
}

#[tokio::test]
async fn discs_kernels_and_ram_disks_are_known_by_their_marks() {
    let bench = Bench::new();
    let marked = |offset: usize, mark: &[u8]| {
        let mut content = vec![0; 40_000];
        content[offset..offset + mark.len()].copy_from_slice(mark);
        content
    };
    let mut linux = marked(0x202, b"HdrS");
    linux[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
    write(&bench.path("allowed/bzimage"), &linux);
    write(&bench.path("allowed/arm64"), &marked(0x38, b"ARM\x64"));
    write(&bench.path("allowed/disc"), &marked(0x8001, b"CD001"));
    write(&bench.path("allowed/gzip"), &marked(0, b"\x1f\x8b\x08"));
    write(&bench.path("allowed/zstd"), &marked(0, b"\x28\xb5\x2f\xfd"));
    write(&bench.path("allowed/zeros"), &marked(0, b""));
    for (name, format) in [
        ("bzimage", ImageFormat::Kernel),
        ("arm64", ImageFormat::Kernel),
        ("gzip", ImageFormat::Initrd),
        ("zstd", ImageFormat::Initrd),
        ("disc", ImageFormat::Iso),
    ] {
        if format != ImageFormat::Iso || has_qemu_img() {
            assert_eq!(bench.fetch_as(name, format).await.unwrap().virtual_bytes, 40_000, "{name}");
            std::fs::remove_file(bench.path("images/target")).unwrap();
        }
    }
    for (format, words) in
        [(ImageFormat::Kernel, "no Linux kernel"), (ImageFormat::Initrd, "no initial RAM disk"), (ImageFormat::Iso, "no optical disc")]
    {
        bench.refused("zeros", format, words).await;
    }
}

/// Puts a shell script in the place of `qemu-img`.
fn impostor(bench: &mut Bench, script: &str) {
    let path = bench.path("elsewhere/qemu-img");
    write(&path, format!("#!/bin/sh\n{script}\n").as_bytes());
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    bench.config.qemu_img = path;
    write(&bench.path("allowed/raw"), &[1; 4096]);
}

#[tokio::test]
async fn a_program_that_hangs_spins_floods_or_swells_is_stopped() {
    for script in ["while :; do :; done", "exec sleep 600", "exec cat /dev/zero", "exec tail /dev/zero"] {
        let mut bench = Bench::new();
        bench.config.qemu_img_cpu_seconds = 1;
        bench.config.qemu_img_memory_bytes = 64 << 20;
        bench.config.qemu_img_timeout = Duration::from_secs(2);
        impostor(&mut bench, script);
        let started = Instant::now();
        assert_eq!(bench.refusal("raw", ImageFormat::Raw).await.code(), ErrorCode::ImageFormatInvalid, "{script}");
        assert!(started.elapsed() < Duration::from_secs(30), "{script}");
    }
}

#[tokio::test]
async fn a_program_that_writes_to_files_is_stopped() {
    let mut bench = Bench::new();
    let written = bench.path("elsewhere/written");
    impostor(&mut bench, &format!("echo x > '{}'", written.display()));
    assert_eq!(bench.refusal("raw", ImageFormat::Raw).await.code(), ErrorCode::ImageFormatInvalid);
    assert_eq!(written.metadata().unwrap().len(), 0);
}

#[tokio::test]
async fn the_program_gets_no_environment_and_its_absence_is_told() {
    let mut bench = Bench::new();
    // Every variable but those that the shell makes itself.
    impostor(
        &mut bench,
        "test \"$(env | grep -vE '^(PWD|_|SHLVL|OLDPWD)=')\" = LC_ALL=C && echo '{\"format\":\"raw\",\"virtual-size\":4096}'",
    );
    assert_eq!(bench.fetch_as("raw", ImageFormat::Raw).await.unwrap().virtual_bytes, 4096);
    std::fs::remove_file(bench.path("images/target")).unwrap();
    bench.config.qemu_img = "/nonexistent/qemu-img".into();
    let error = bench.fetch_as("raw", ImageFormat::Raw).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);
    assert!(error.message().contains("not installed"), "{error}");
}
