//! Tests with real files, real `qemu-img` and a real (small, badly behaved) HTTP server.

mod download;
mod formats;
mod local;
mod server;
mod upload;

use crate::{ImageConfig, ImageFetcher};
use hvnode_core::model::ImageFormat;
use hvnode_core::port::{FetchRequest, FetchedImage, ImageTransfer, TransferControl};
use hvnode_core::{AgentError, Result};
use sha2::{Digest, Sha256, Sha512};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

/// A folder for images, one that may be copied from, and a configuration that allows this machine's own server.
struct Bench {
    folder: TempDir,
    config: ImageConfig,
    control: Arc<TransferControl>,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["images", "allowed", "elsewhere"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let config = ImageConfig {
            allowed_folders: vec![folder.path().join("allowed")],
            allow_private_addresses: true,
            retry_delay: Duration::from_millis(1),
            tries_max: 3,
            idle_timeout: Duration::from_millis(500),
            keep_free_bytes: 0,
            ..ImageConfig::default()
        };
        Self { folder, config, control: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn request(&self, url: &str, format: ImageFormat) -> FetchRequest {
        let path = self.path("images/target").display().to_string();
        FetchRequest { image_uuid: Uuid::nil(), url: url.into(), format, checksum: String::new(), path }
    }

    /// URL of a file below the bench's folder.
    fn url(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    async fn fetch(&self, request: &FetchRequest) -> Result<FetchedImage> {
        ImageFetcher::new(self.config.clone()).fetch(request, Arc::clone(&self.control)).await
    }

    /// Fetches an initial RAM disk: the format with the fewest demands.
    async fn fetch_url(&self, url: &str) -> Result<FetchedImage> {
        self.fetch(&self.request(url, ImageFormat::Initrd)).await
    }

    async fn fetch_error(&self, url: &str) -> AgentError {
        let error = self.fetch_url(url).await.unwrap_err();
        assert!(!self.path("images/target").exists());
        error
    }

    /// Names of what is in the images folder.
    fn left(&self) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(self.path("images")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(self.path("images/target")).unwrap()
    }

    /// Waits until this many bytes have come.
    async fn wait_for_bytes(&self, bytes: u64) {
        while self.control.done_bytes.load(Ordering::Relaxed) < bytes {
            tokio::task::yield_now().await;
        }
    }

    fn cancel(&self) {
        self.control.is_canceled.store(true, Ordering::Relaxed);
    }
}

/// Passes for an initial RAM disk; no two stretches are alike.
fn initrd(bytes: usize) -> Vec<u8> {
    let mut content = b"070701".to_vec();
    let mut state = 1u32;
    while content.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        content.extend(state.to_le_bytes());
    }
    content.truncate(bytes);
    content
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

fn sha512(content: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(content)))
}

fn write(path: &Path, content: &[u8]) {
    std::fs::write(path, content).unwrap();
}
