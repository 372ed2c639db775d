//! `qemu-img` in a cage: the only place that runs foreign programs.
//!
//! The program reads bytes that nobody trusts. It runs through `prlimit` with little memory and little processor time, without our
//! environment, without a shell, with a wall deadline, and what it prints is bounded.

use crate::config::ImageConfig;
use crate::format::{has_backing_file, has_data_file, is_encrypted, not_as_declared};
use hvnode_core::model::ImageFormat;
use hvnode_core::{AgentError, Result, fail};
use serde::Deserialize;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// Most bytes taken from the program.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;
/// Files it may have open.
const FILES_MAX: u32 = 64;

/// What `qemu-img info` prints, as far as it matters here. Everything is optional: versions differ.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Info {
    format: String,
    virtual_size: Option<u64>,
    backing_filename: Option<String>,
    full_backing_filename: Option<String>,
    encrypted: bool,
    format_specific: Option<FormatSpecific>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FormatSpecific {
    data: FormatData,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct FormatData {
    data_file: Option<String>,
    corrupt: bool,
}

/// Lets `qemu-img` look at a disk or disc and gives the bytes a guest sees.
pub(crate) async fn inspect(config: &ImageConfig, path: &Path, format: ImageFormat) -> Result<u64> {
    let mut arguments: Vec<&OsStr> = vec!["info".as_ref(), "--output=json".as_ref()];
    // Anything but qcow2 is given without a format: it must be taken for raw, else it is something in disguise.
    if format == ImageFormat::Qcow2 {
        arguments.extend(["-f".as_ref(), OsStr::new("qcow2")]);
    }
    arguments.push(path.as_os_str());
    let output = run(config, &arguments).await?;
    let info: Info = serde_json::from_slice(&output)
        .map_err(|error| fail!(ImageFormatInvalid, "qemu-img says nothing useful about it"; "qemu-img无法识别").caused_by(error))?;
    judge(config, &info, format)
}

fn judge(config: &ImageConfig, info: &Info, format: ImageFormat) -> Result<u64> {
    let expected = if format == ImageFormat::Qcow2 { "qcow2" } else { "raw" };
    if info.format != expected {
        return Err(not_as_declared(&info.format, format.word()));
    }
    if info.backing_filename.is_some() || info.full_backing_filename.is_some() {
        return Err(has_backing_file());
    }
    let data = info.format_specific.as_ref().map(|specific| &specific.data);
    if data.is_some_and(|data| data.data_file.is_some()) {
        return Err(has_data_file());
    }
    if data.is_some_and(|data| data.corrupt) {
        return Err(fail!(ImageFormatInvalid, "the image is marked as corrupt"; "镜像被标记为已损坏"));
    }
    if info.encrypted {
        return Err(is_encrypted());
    }
    let bytes = info.virtual_size.ok_or_else(|| fail!(ImageFormatInvalid, "qemu-img does not tell its size"; "qemu-img未给出大小"))?;
    let limit = config.virtual_size_max_bytes;
    if bytes > limit {
        return Err(fail!(RequestTooLarge, "the disk has {bytes} bytes, the limit is {limit}"; "磁盘有 {bytes} 字节, 上限为 {limit}"));
    }
    Ok(bytes)
}

/// Runs `qemu-img` and gives what it prints.
async fn run(config: &ImageConfig, arguments: &[&OsStr]) -> Result<Vec<u8>> {
    let mut child = caged(config)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let program = config.prlimit.display();
            fail!(Internal, "{program} cannot be run"; "无法运行 {program}").caused_by(error)
        })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let talk = async {
        let (output, complaint) = tokio::join!(read_bounded(stdout), read_bounded(stderr));
        (child.wait().await, output, complaint)
    };
    let seconds = config.qemu_img_timeout.as_secs();
    let (status, output, complaint) = tokio::time::timeout(config.qemu_img_timeout, talk)
        .await
        .map_err(|_| fail!(ImageFormatInvalid, "qemu-img did not end within {seconds} s"; "qemu-img在 {seconds} 秒内未结束"))?;
    let status = status.map_err(|error| fail!(Internal, "qemu-img was lost"; "qemu-img进程丢失").caused_by(error))?;
    if status.success() { Ok(output) } else { Err(refused(status, &complaint)) }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place where foreign programs are run")]
fn caged(config: &ImageConfig) -> Command {
    let mut command = Command::new(&config.prlimit);
    command
        .arg(format!("--as={}", config.qemu_img_memory_bytes))
        .arg(format!("--cpu={}", config.qemu_img_cpu_seconds))
        .arg(format!("--nofile={FILES_MAX}"))
        // Nothing may be written to files, no core dump may be left.
        .args(["--fsize=0", "--core=0", "--"])
        .arg(&config.qemu_img)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/");
    command
}

/// Reads on after the bound, so that the program does not hang on a full pipe; it ends by its own limits.
async fn read_bounded(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What could be read until an error is all there is.
        let _ = (&mut stream).take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    bytes
}

fn refused(status: std::process::ExitStatus, complaint: &[u8]) -> AgentError {
    let text = String::from_utf8_lossy(complaint);
    tracing::info!(%status, complaint = text.trim(), "qemu-img refused an image");
    if status.code() == Some(127) || status.code() == Some(126) {
        return fail!(Internal, "qemu-img is not installed where the configuration says"; "配置的路径上没有安装qemu-img");
    }
    fail!(ImageFormatInvalid, "qemu-img refuses it ({status})"; "qemu-img拒绝该文件 ({status})")
}

/// For tests that need real images.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "this is the one place where foreign programs are run")]
pub(crate) fn make(arguments: &[&str]) {
    let output = std::process::Command::new("/usr/bin/qemu-img").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
