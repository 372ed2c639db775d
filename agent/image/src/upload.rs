//! Taking an image from a caller, and giving one out.

use crate::config::ImageConfig;
use crate::fetcher::open_own;
use crate::part::{Part, own_file_failed, report, writer};
use crate::watch::{Stop, Watch, on_thread};
use bytes::Bytes;
use hvnode_core::port::{ImageReader, Received, UploadReceiver};
use hvnode_core::{AgentError, Result, fail};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Bytes read from a file at a time.
const READ_BYTES: usize = 1 << 20;
/// Chunks between the disk and whoever reads.
const READ_CHUNKS_MAX: usize = 2;

/// Moves an upload into `part`. Nothing is resumed: what a broken upload left is emptied here, and thrown away by the caller.
pub(crate) async fn receive(config: &Arc<ImageConfig>, mut part: Part, mut upload: UploadReceiver, watch: Watch<'_>) -> Result<Part> {
    let limit = config.size_max_bytes;
    if let Some(total) = upload.total_bytes {
        watch.control.total_bytes.store(total, Ordering::Relaxed);
        check_size(total, limit)?;
        part.check_space(config, total)?;
    }
    part.restart()?;
    let (chunks, writing) = writer(config, part);
    let mut done_bytes = 0;
    let received = loop {
        report(watch.control, done_bytes);
        let bytes = match watch.on(upload.next()).await {
            Ok(Received::Bytes(bytes)) => bytes,
            Ok(Received::End) => break check_end(done_bytes, upload.total_bytes),
            Ok(Received::BrokenOff) => break Err(fail!(ImageDownloadFailed, "the upload broke off"; "上传中断")),
            Err(stop) => break Err(ended(stop)),
        };
        done_bytes += bytes.len() as u64;
        if let Err(error) = check_size(done_bytes, limit) {
            break Err(error);
        }
        match watch.on(chunks.send(bytes)).await {
            Ok(Ok(())) => {}
            // The thread has ended: its own error comes out below.
            Ok(Err(_)) => break Ok(()),
            Err(stop) => break Err(ended(stop)),
        }
    };
    drop(chunks);
    let (part, written) = writing.await?;
    received.and(written)?;
    Ok(part)
}

fn check_size(bytes: u64, limit: u64) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(fail!(RequestTooLarge, "the image has at least {bytes} bytes, the limit is {limit}"; "镜像至少有 {bytes} 字节, 上限为 {limit}"))
}

fn check_end(done: u64, total: Option<u64>) -> Result<()> {
    match total {
        Some(total) if total != done => {
            Err(fail!(ImageDownloadFailed, "{total} bytes were announced and {done} came"; "声明 {total} 字节, 收到 {done} 字节"))
        }
        _ if done == 0 => Err(fail!(ImageDownloadFailed, "the upload has no bytes"; "上传内容为空")),
        _ => Ok(()),
    }
}

fn ended(stop: Stop) -> AgentError {
    match stop {
        Stop::Retry(error) | Stop::Final(error) => error,
    }
}

/// Opens a finished file and reads ahead a little. Ends where nobody takes a chunk for `idle_timeout`, or nobody is there any more.
pub(crate) async fn read(path: PathBuf, offset: u64, idle_timeout: Duration, permit: OwnedSemaphorePermit) -> Result<ImageReader> {
    let (file, storage_bytes) = on_thread("image-open", move || {
        let file = open_own(&path)?.ok_or_else(|| fail!(ImageDownloadFailed, "there is no such file"; "文件不存在"))?;
        let bytes = file.metadata().map_err(own_file_failed)?.len();
        Ok((file, bytes))
    })
    .await?;
    let (sender, chunks) = mpsc::channel(READ_CHUNKS_MAX);
    tokio::spawn(async move {
        let _permit = permit;
        if let Err(error) = give_out(file, offset, &sender, idle_timeout).await {
            tracing::warn!(error = %error.chain(), "An image file is not given out to its end");
        }
    });
    Ok(ImageReader { storage_bytes, chunks })
}

async fn give_out(file: File, mut offset: u64, sender: &mpsc::Sender<Bytes>, idle_timeout: Duration) -> Result<()> {
    let file = Arc::new(file);
    loop {
        let source = Arc::clone(&file);
        let reading = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; READ_BYTES];
            let count = source.read_at(&mut buffer, offset).map_err(own_file_failed)?;
            buffer.truncate(count);
            Ok::<_, AgentError>(buffer)
        });
        let buffer = reading.await.map_err(|error| fail!(Internal, "an image file cannot be read").caused_by(error))??;
        if buffer.is_empty() {
            return Ok(());
        }
        offset += buffer.len() as u64;
        match tokio::time::timeout(idle_timeout, sender.send(Bytes::from(buffer))).await {
            Ok(Ok(())) => {}
            // Whoever asked has gone away: no fault.
            Ok(Err(_)) => return Ok(()),
            Err(_) => {
                let seconds = idle_timeout.as_secs();
                return Err(fail!(Timeout, "nothing was taken for {seconds} s"; "{seconds} 秒内没有读取数据"));
            }
        }
    }
}
