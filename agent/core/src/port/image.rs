//! Getting image files onto the node and finding out what they are.

use super::upload::UploadReceiver;
use crate::Result;
use crate::model::ImageFormat;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Shared between a long transfer and whoever watches it.
#[derive(Debug, Default)]
pub struct TransferControl {
    /// Bytes fetched so far.
    pub done_bytes: AtomicU64,
    /// Bytes expected, 0 while unknown.
    pub total_bytes: AtomicU64,
    /// Set to stop the transfer at its next chunk.
    pub is_canceled: AtomicBool,
}

impl TransferControl {
    /// 0-100, and 0 while the size is unknown.
    pub fn percent(&self) -> u8 {
        let total = self.total_bytes.load(Ordering::Relaxed);
        if total == 0 {
            return 0;
        }
        let done = self.done_bytes.load(Ordering::Relaxed).min(total);
        u8::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(100)
    }
}

/// What to fetch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// Names the partial file, so that a transfer can go on after a restart.
    pub image_uuid: Uuid,
    /// `file:`, `http:` or `https:`; empty for an upload.
    pub url: String,
    /// What the bytes are said to be.
    pub format: ImageFormat,
    /// `sha256:<hex>`, `sha512:<hex>` or bare hex; empty for no check.
    pub checksum: String,
    /// Absolute path the finished file gets, in the images pool's directory.
    pub path: String,
}

impl std::fmt::Debug for FetchRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = crate::model::redact_url(&self.url);
        f.debug_struct("FetchRequest").field("url", &url).field("path", &self.path).finish_non_exhaustive()
    }
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedImage {
    /// Bytes of the file.
    pub storage_bytes: u64,
    /// Bytes of the disk a guest sees; the file's own for everything but disks.
    pub virtual_bytes: u64,
    /// `sha256:<hex>` of the file.
    pub checksum: String,
}

/// The bytes of an image file on their way out.
#[derive(Debug)]
pub struct ImageReader {
    /// Bytes of the whole file.
    pub storage_bytes: u64,
    /// Bytes that will come, in order. Fewer come only where something breaks.
    pub chunks: mpsc::Receiver<Bytes>,
}

/// Fetches image files, checks them, puts them in place.
#[async_trait]
pub trait ImageTransfer: Send + Sync + 'static {
    /// Is the URL one that this node fetches from? Only looks at the text and the configuration (allowed schemes, allowed folders).
    ///
    /// # Errors
    /// `ParameterInvalid` naming `url` and what is allowed.
    fn check_url(&self, url: &str) -> Result<()>;

    /// Fetches into a partial file beside `request.path`, resuming one that is there, checks size, checksum and format
    /// (no backing file, no external data file, format as declared), syncs and renames it to `request.path`.
    /// A file that already stands at `request.path` is checked and taken as it is.
    ///
    /// # Errors
    /// `ImageDownloadFailed`, `ImageChecksumMismatch`, `ImageFormatInvalid`, `RepositoryFull`, `RequestTooLarge` (file or disk),
    /// `ParameterInvalid` (URL or checksum), `JobCanceled`, `Internal`.
    async fn fetch(&self, request: &FetchRequest, control: Arc<TransferControl>) -> Result<FetchedImage>;

    /// The same with bytes that a caller sends. Nothing of an upload that breaks off is kept.
    ///
    /// # Errors
    /// As `fetch`; `ImageDownloadFailed` where the upload ends before its end or nothing comes for too long.
    async fn receive(&self, request: &FetchRequest, upload: UploadReceiver, control: Arc<TransferControl>) -> Result<FetchedImage>;

    /// The bytes of a finished file from `offset` on.
    ///
    /// # Errors
    /// `ImageDownloadFailed` where there is no such file or it cannot be read, `TooManyRequests` while as many are read as may be.
    async fn read(&self, path: &str, offset: u64) -> Result<ImageReader>;

    /// Removes partial files that belong to none of `known`: what interrupted transfers of forgotten images left. Names of what went.
    /// Only files whose names this adapter gave, and that nobody has written to for an hour, are ever touched.
    ///
    /// # Errors
    /// `Internal` where the directory cannot be read.
    async fn remove_strays(&self, directory: &str, known: &[Uuid]) -> Result<Vec<String>>;

    /// Removes partial and finished file of an image, if there are any.
    ///
    /// # Errors
    /// `Internal` where a file exists and cannot be removed.
    async fn discard(&self, request: &FetchRequest) -> Result<()>;
}
