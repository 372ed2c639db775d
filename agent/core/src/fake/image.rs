//! Image transfer that moves no bytes.

use super::faults::Faults;
use super::node::{FakeNode, File};
use crate::model::ImageFormat;
use crate::port::{FetchRequest, FetchedImage, IMAGES_POOL, ImageReader, ImageTransfer, Received, TransferControl, UploadReceiver};
use crate::{Result, fail};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Image transfer that moves no bytes: a finished image becomes a file of a [`FakeNode`]'s images pool.
#[derive(Debug)]
pub struct FakeImageTransfer {
    node: FakeNode,
    faults: Faults,
    chunk_delay: Mutex<Duration>,
    outcomes: Mutex<BTreeMap<String, Result<FetchedImage>>>,
}

/// Chunks a transfer has.
const CHUNKS: u64 = 4;
/// Most bytes of an upload.
const UPLOAD_BYTES_MAX: u64 = 256 << 20;
/// How often an upload looks whether it was canceled.
const CANCEL_POLL: Duration = Duration::from_millis(5);

async fn canceled(control: &TransferControl) {
    while !control.is_canceled.load(Ordering::Relaxed) {
        tokio::time::sleep(CANCEL_POLL).await;
    }
}

impl FakeImageTransfer {
    /// A session on `node`. Every URL is found and holds an image of 1 MiB, a disk being seen as 1 GiB by its guest.
    pub fn new(node: FakeNode, faults: Faults) -> Arc<Self> {
        Arc::new(Self { node, faults, chunk_delay: Mutex::default(), outcomes: Mutex::default() })
    }

    /// What fetching this URL gives from now on.
    pub fn set_outcome(&self, url: &str, outcome: Result<FetchedImage>) {
        self.outcomes.lock().insert(url.to_owned(), outcome);
    }

    /// How long each of the four chunks of a transfer takes.
    pub fn set_chunk_delay(&self, delay: Duration) {
        *self.chunk_delay.lock() = delay;
    }

    fn outcome(&self, request: &FetchRequest) -> Result<FetchedImage> {
        if let Some(outcome) = self.outcomes.lock().get(&request.url) {
            return outcome.clone();
        }
        let storage_bytes = 1 << 20;
        let virtual_bytes = if request.format == ImageFormat::Qcow2 { 1 << 30 } else { storage_bytes };
        let checksum = match request.checksum.as_str() {
            "" => format!("sha256:{}", "0".repeat(64)),
            given => given.to_owned(),
        };
        Ok(FetchedImage { storage_bytes, virtual_bytes, checksum })
    }
}

#[async_trait]
impl ImageTransfer for FakeImageTransfer {
    fn check_url(&self, url: &str) -> Result<()> {
        self.faults.enter_blocking("check_url")?;
        let is_known = ["file:", "http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        if is_known {
            Ok(())
        } else {
            Err(fail!(ParameterInvalid, "url must start with file:, http:// or https://"; "url 必须以 file:、http:// 或 https:// 开头"))
        }
    }

    async fn fetch(&self, request: &FetchRequest, control: Arc<TransferControl>) -> Result<FetchedImage> {
        let pass = self.faults.enter("fetch", request.url.clone()).await?;
        let fetched = self.outcome(request)?;
        control.total_bytes.store(fetched.storage_bytes, Ordering::Relaxed);
        for chunk in 1..=CHUNKS {
            if control.is_canceled.load(Ordering::Relaxed) {
                return Err(fail!(JobCanceled));
            }
            let delay = *self.chunk_delay.lock();
            tokio::time::sleep(delay).await;
            control.done_bytes.store(fetched.storage_bytes * chunk / CHUNKS, Ordering::Relaxed);
        }
        if !request.checksum.is_empty() && request.checksum.trim_start_matches("sha256:") != fetched.checksum.trim_start_matches("sha256:")
        {
            return Err(fail!(ImageChecksumMismatch));
        }
        let file = File { allocated_bytes: fetched.storage_bytes, virtual_bytes: fetched.virtual_bytes, backing: None };
        let put = self.node.state.lock().put_file(IMAGES_POOL, request.path.clone(), file);
        put.map_err(|error| fail!(RepositoryFull).caused_by(error))?;
        self.faults.leave(pass).await?;
        Ok(fetched)
    }

    async fn receive(&self, request: &FetchRequest, mut upload: UploadReceiver, control: Arc<TransferControl>) -> Result<FetchedImage> {
        let pass = self.faults.enter("receive", request.path.clone()).await?;
        control.total_bytes.store(upload.total_bytes.unwrap_or(0), Ordering::Relaxed);
        let (mut hash, mut storage_bytes) = (Sha256::new(), 0);
        loop {
            let received = tokio::select! {
                received = upload.next() => received,
                () = canceled(&control) => return Err(fail!(JobCanceled)),
            };
            match received {
                Received::Bytes(bytes) => {
                    hash.update(&bytes);
                    storage_bytes += bytes.len() as u64;
                    if storage_bytes > UPLOAD_BYTES_MAX {
                        return Err(fail!(RequestTooLarge, "the image has more than {UPLOAD_BYTES_MAX} bytes"));
                    }
                    control.done_bytes.store(storage_bytes, Ordering::Relaxed);
                }
                Received::End => break,
                Received::BrokenOff => return Err(fail!(ImageDownloadFailed, "the upload broke off"; "上传中断")),
            }
        }
        let virtual_bytes = if request.format == ImageFormat::Qcow2 { 1 << 30 } else { storage_bytes };
        let checksum = format!("sha256:{}", hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let file = File { allocated_bytes: storage_bytes, virtual_bytes, backing: None };
        let put = self.node.state.lock().put_file(IMAGES_POOL, request.path.clone(), file);
        put.map_err(|error| fail!(RepositoryFull).caused_by(error))?;
        self.faults.leave(pass).await?;
        Ok(FetchedImage { storage_bytes, virtual_bytes, checksum })
    }

    async fn read(&self, path: &str, offset: u64) -> Result<ImageReader> {
        let pass = self.faults.enter("read", path.to_owned()).await?;
        let file = self.node.state.lock().files.get(path).map(|file| file.allocated_bytes);
        let storage_bytes = file.ok_or_else(|| fail!(ImageDownloadFailed, "there is no such file"; "文件不存在"))?;
        let (sender, chunks) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut left = storage_bytes.saturating_sub(offset);
            while left > 0 {
                let count = left.min(64 << 10);
                if sender.send(Bytes::from(vec![0; usize::try_from(count).unwrap_or(0)])).await.is_err() {
                    return;
                }
                left -= count;
            }
        });
        self.faults.leave(pass).await?;
        Ok(ImageReader { storage_bytes, chunks })
    }

    async fn remove_strays(&self, directory: &str, _known: &[Uuid]) -> Result<Vec<String>> {
        // A transfer in memory leaves no partial file.
        let pass = self.faults.enter("remove_strays", directory.to_owned()).await?;
        self.faults.leave(pass).await?;
        Ok(Vec::new())
    }

    async fn discard(&self, request: &FetchRequest) -> Result<()> {
        let pass = self.faults.enter("discard", request.path.clone()).await?;
        self.node.state.lock().files.remove(&request.path);
        self.faults.leave(pass).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::fake::{FakeHypervisor, ManualClock, NodeOptions};
    use crate::port::Hypervisor;
    use uuid::Uuid;

    async fn transfer() -> (FakeNode, Arc<FakeImageTransfer>) {
        let node = FakeNode::new(NodeOptions::default(), Arc::new(ManualClock::default()));
        FakeHypervisor::new(node.clone(), Faults::new()).ensure_pools().await.unwrap();
        (node.clone(), FakeImageTransfer::new(node, Faults::new()))
    }

    fn request(url: &str, checksum: &str) -> FetchRequest {
        FetchRequest {
            image_uuid: Uuid::nil(),
            url: url.into(),
            format: ImageFormat::Qcow2,
            checksum: checksum.into(),
            path: "/var/lib/hvnode/images/a.qcow2".into(),
        }
    }

    #[tokio::test]
    async fn a_fetched_image_is_a_file_until_it_is_discarded() {
        let (node, transfer) = transfer().await;
        let request = request("http://images/a", "");
        let control = Arc::new(TransferControl::default());
        let fetched = transfer.fetch(&request, control.clone()).await.unwrap();
        assert_eq!((fetched.virtual_bytes, control.percent()), (1 << 30, 100));
        assert_eq!(node.files(), std::slice::from_ref(&request.path));
        transfer.discard(&request).await.unwrap();
        assert!(node.files().is_empty());
    }

    #[tokio::test]
    async fn a_canceled_a_failed_and_a_mismatching_transfer_leave_no_file() {
        let (node, transfer) = transfer().await;
        let control = Arc::new(TransferControl::default());
        control.is_canceled.store(true, Ordering::Relaxed);
        let canceled = transfer.fetch(&request("http://images/a", ""), control).await.unwrap_err();
        assert_eq!(canceled.code(), ErrorCode::JobCanceled);
        transfer.set_outcome("http://images/b", Err(fail!(ImageDownloadFailed)));
        let failed = transfer.fetch(&request("http://images/b", ""), Arc::default()).await.unwrap_err();
        assert_eq!(failed.code(), ErrorCode::ImageDownloadFailed);
        transfer.set_outcome("http://images/c", Ok(FetchedImage { storage_bytes: 1, virtual_bytes: 1, checksum: "sha256:aa".into() }));
        let mismatch = transfer.fetch(&request("http://images/c", "bb"), Arc::default()).await.unwrap_err();
        assert_eq!(mismatch.code(), ErrorCode::ImageChecksumMismatch);
        assert!(node.files().is_empty());
        assert!(transfer.check_url("ftp://images/a").is_err());
    }
}
