//! Copying a file of this host.

use crate::config::ImageConfig;
use crate::part::{CHUNK_BYTES, Part, own_file_failed, report};
use crate::watch::check_cancel;
use hvnode_core::port::TransferControl;
use hvnode_core::{AgentError, Result, fail};
use nix::errno::Errno;
use nix::fcntl::copy_file_range;
use nix::libc;
use nix::unistd::{Whence, lseek};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Bytes copied inside the kernel between two looks at the cancel flag.
const COPY_BYTES: u64 = 64 << 20;

/// Copies `source` into `part`. Blocks.
pub(crate) fn copy(config: &ImageConfig, source: &Path, part: &mut Part, control: &TransferControl) -> Result<()> {
    let file = open(config, source)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let bytes = metadata.len();
    if bytes > config.size_max_bytes {
        let limit = config.size_max_bytes;
        return Err(fail!(RequestTooLarge, "the image has {bytes} bytes, the limit is {limit}"; "镜像有 {bytes} 字节, 上限为 {limit}"));
    }
    control.total_bytes.store(bytes, Ordering::Relaxed);
    // A copy can share nothing more than what is begun here: earlier bytes of another try are not compared, just written again.
    part.restart()?;
    part.check_space(config, bytes.min(metadata.blocks().saturating_mul(512)))?;
    part.fill(control, |target| copy_all(&file, target, bytes, control))?;
    if part.bytes() != bytes || file.metadata().map_err(unreadable)?.len() != bytes {
        return Err(fail!(ImageDownloadFailed, "the file changed while it was copied"; "文件在复制过程中被修改"));
    }
    Ok(())
}

/// Opens a regular file inside an allowed folder. What was opened is looked at, not what the path said before: links cannot be swapped.
fn open(config: &ImageConfig, path: &Path) -> Result<File> {
    let real = path.canonicalize().map_err(unreadable)?;
    // Not blocking: a pipe without a writer would hold the open for ever.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&real).map_err(unreadable)?;
    let opened = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(unreadable)?;
    let is_inside = config.allowed_folders.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| opened.starts_with(folder));
    if !is_inside {
        return Err(fail!(ImageDownloadFailed, "the file is a link to a place outside the allowed folders"; "文件链接到允许的目录之外"));
    }
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(fail!(ImageDownloadFailed, "it is not a regular file"; "不是普通文件"));
    }
    Ok(file)
}

/// Copies the parts that hold data and leaves holes as holes.
fn copy_all(source: &File, target: &File, bytes: u64, control: &TransferControl) -> Result<()> {
    let mut offset = 0;
    while let Some((start, end)) = next_data(source, offset, bytes)? {
        copy_range(source, target, start, end, control)?;
        offset = end;
    }
    report(control, bytes);
    target.set_len(bytes).map_err(own_file_failed)
}

/// The next range that holds data, at or after `offset`.
fn next_data(file: &File, offset: u64, bytes: u64) -> Result<Option<(u64, u64)>> {
    if offset >= bytes {
        return Ok(None);
    }
    let seek = |from: u64, whence| lseek(file, i64::try_from(from).unwrap_or(i64::MAX), whence).map(|at| u64::try_from(at).unwrap_or(0));
    match seek(offset, Whence::SeekData) {
        Ok(start) if start >= bytes => Ok(None),
        Ok(start) => Ok(Some((start, seek(start, Whence::SeekHole).unwrap_or(bytes).clamp(start + 1, bytes)))),
        // Nothing but a hole up to the end.
        Err(Errno::ENXIO) => Ok(None),
        // A file system that does not know holes.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(Some((offset, bytes))),
        Err(errno) => Err(unreadable(errno.into())),
    }
}

/// Lets the kernel copy, which shares the blocks where the file system can; else copies by hand.
fn copy_range(source: &File, target: &File, start: u64, end: u64, control: &TransferControl) -> Result<()> {
    let mut offset = start;
    while offset < end {
        check_cancel(control)?;
        let length = usize::try_from((end - offset).min(COPY_BYTES)).unwrap_or(usize::MAX);
        let (mut from, mut to) = (i64::try_from(offset).unwrap_or(i64::MAX), i64::try_from(offset).unwrap_or(i64::MAX));
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => return Ok(()),
            Ok(count) => offset += count as u64,
            Err(Errno::EXDEV | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM) => {
                return copy_by_hand(source, target, offset, end, control);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(own_file_failed(errno.into())),
        }
        report(control, offset);
    }
    Ok(())
}

fn copy_by_hand(source: &File, target: &File, start: u64, end: u64, control: &TransferControl) -> Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = start;
    while offset < end {
        check_cancel(control)?;
        let length = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        match source.read_at(&mut buffer[..length], offset) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                target.write_all_at(&buffer[..count], offset).map_err(own_file_failed)?;
                offset += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
        report(control, offset);
    }
    Ok(())
}

fn unreadable(error: std::io::Error) -> AgentError {
    match error.kind() {
        ErrorKind::NotFound => fail!(ImageDownloadFailed, "there is no such file"; "文件不存在").caused_by(error),
        ErrorKind::PermissionDenied => {
            fail!(ImageDownloadFailed, "hvnoded may not read the file"; "hvnoded无权读取该文件").caused_by(error)
        }
        _ => fail!(ImageDownloadFailed, "the file cannot be read"; "无法读取文件").caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn copying_by_hand_and_by_the_kernel_give_the_same_bytes_and_keep_holes() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut source = File::create_new(folder.path().join("source")).unwrap();
        source.write_all(&[7; 100_000]).unwrap();
        source.write_at(&[9; 70_000], 50 << 20).unwrap();
        source.set_len(100 << 20).unwrap();
        let source = File::open(folder.path().join("source")).unwrap();
        let control = TransferControl::default();
        let kernel = File::create_new(folder.path().join("kernel")).unwrap();
        copy_all(&source, &kernel, 100 << 20, &control).unwrap();
        let hand = File::create_new(folder.path().join("hand")).unwrap();
        copy_by_hand(&source, &hand, 0, 100 << 20, &control).unwrap();
        let read = |name| std::fs::read(folder.path().join(name)).unwrap();
        assert!(read("source") == read("kernel") && read("source") == read("hand"));
        assert!(kernel.metadata().unwrap().blocks() < hand.metadata().unwrap().blocks() / 10);
    }
}
