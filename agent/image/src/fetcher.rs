//! One image from its URL, or its sender, to its place.

use crate::checksum::Wanted;
use crate::config::ImageConfig;
use crate::http::{Download, client};
use crate::part::{Part, discard_part, hash, own_file_failed, part_path, publish, remove, remove_strays};
use crate::source::{Source, parse};
use crate::watch::{Stop, Watch, on_thread};
use crate::{format, local, qemu_img, upload};
use async_trait::async_trait;
use hvnode_core::model::ImageFormat;
use hvnode_core::port::{FetchRequest, FetchedImage, ImageReader, ImageTransfer, TransferControl, UploadReceiver};
use hvnode_core::{AgentError, ErrorCode, Result, at, fail};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use uuid::Uuid;

/// Fetches image files.
#[derive(Debug)]
pub struct ImageFetcher {
    config: Arc<ImageConfig>,
    /// Bounds how many transfers run at the same time.
    slots: Semaphore,
    /// Bounds how many files are given out at the same time.
    readers: Arc<Semaphore>,
}

impl ImageFetcher {
    /// With this configuration. Nothing is opened yet.
    pub fn new(config: ImageConfig) -> Arc<Self> {
        let places = config.transfers_max.max(1);
        Arc::new(Self { slots: Semaphore::new(places), readers: Arc::new(Semaphore::new(places)), config: Arc::new(config) })
    }

    async fn fetch_into_part(
        &self,
        request: &FetchRequest,
        source: Source,
        wanted: Option<Wanted>,
        control: &Arc<TransferControl>,
        watch: Watch<'_>,
    ) -> Result<String> {
        let (target, url) = (PathBuf::from(&request.path), request.url.clone());
        let (config, for_thread) = (Arc::clone(&self.config), Arc::clone(control));
        match source {
            Source::File(path) => {
                on_thread("image-copy", move || {
                    let mut part = Part::open(&target, &url, wanted, &for_thread)?;
                    local::copy(&config, &path, &mut part, &for_thread)?;
                    part.verify()
                })
                .await
            }
            Source::Http(server) => {
                let client = client(&self.config).await?;
                let part = on_thread("image-open", move || Part::open(&target, &url, wanted, &for_thread)).await?;
                let part = Download { config: &self.config, client: &client, url: &server, watch }.run(part).await?;
                part.verify()
            }
        }
    }

    /// Looks at the file at `path` and gives its bytes and those a guest sees.
    async fn examine(&self, path: PathBuf, format: ImageFormat) -> Result<(u64, u64)> {
        let file_path = path.clone();
        let storage_bytes = on_thread("image-check", move || {
            let file = open_own(&file_path)?.ok_or_else(|| own_file_failed(ErrorKind::NotFound.into()))?;
            format::check(&file, format)?;
            Ok(file.metadata().map_err(own_file_failed)?.len())
        })
        .await?;
        let virtual_bytes = match format {
            ImageFormat::Qcow2 | ImageFormat::Raw => qemu_img::inspect(&self.config, &path, format).await?,
            ImageFormat::Iso => {
                qemu_img::inspect(&self.config, &path, format).await?;
                storage_bytes
            }
            ImageFormat::Kernel | ImageFormat::Initrd => storage_bytes,
        };
        Ok((storage_bytes, virtual_bytes))
    }

    /// The file of an earlier run that ended after it was put in place and before that was recorded.
    async fn take_existing(
        &self,
        request: &FetchRequest,
        wanted: Option<Wanted>,
        control: &Arc<TransferControl>,
    ) -> Result<Option<FetchedImage>> {
        let (target, control) = (PathBuf::from(&request.path), Arc::clone(control));
        let path = target.clone();
        let checksum = on_thread("image-hash", move || match open_own(&path)? {
            None => Ok(None),
            Some(mut file) => hash(&mut file, wanted.as_ref(), &control)?.1.verify(wanted.as_ref()).map(Some),
        })
        .await?;
        let Some(checksum) = checksum else { return Ok(None) };
        let (storage_bytes, virtual_bytes) = self.examine(target, request.format).await?;
        Ok(Some(FetchedImage { storage_bytes, virtual_bytes, checksum }))
    }

    async fn fetch_and_check(
        &self,
        request: &FetchRequest,
        source: Source,
        wanted: Option<Wanted>,
        control: &Arc<TransferControl>,
        watch: Watch<'_>,
    ) -> Result<FetchedImage> {
        let checksum = self.fetch_into_part(request, source, wanted, control, watch).await?;
        self.check_and_publish(request, checksum).await
    }

    async fn check_and_publish(&self, request: &FetchRequest, checksum: String) -> Result<FetchedImage> {
        let target = PathBuf::from(&request.path);
        let (storage_bytes, virtual_bytes) = self.examine(part_path(&target), request.format).await?;
        on_thread("image-publish", move || publish(&target)).await?;
        Ok(FetchedImage { storage_bytes, virtual_bytes, checksum })
    }

    async fn receive_and_check(
        &self,
        request: &FetchRequest,
        upload: UploadReceiver,
        control: &Arc<TransferControl>,
        watch: Watch<'_>,
    ) -> Result<FetchedImage> {
        let wanted = Wanted::parse(&request.checksum)?;
        let (target, for_thread) = (PathBuf::from(&request.path), Arc::clone(control));
        let part = on_thread("image-open", move || Part::open(&target, "", wanted, &for_thread)).await?;
        let part = upload::receive(&self.config, part, upload, watch).await?;
        self.check_and_publish(request, part.verify()?).await
    }

    async fn take_slot(&self, watch: Watch<'_>) -> Result<SemaphorePermit<'_>> {
        // Waiting for a slot may take as long as other transfers do.
        let slot = Watch { idle_timeout: Duration::MAX / 4, ..watch }.on(self.slots.acquire()).await.map_err(ended)?;
        slot.map_err(|error| fail!(Internal, "image transfers have ended"; "镜像传输已停止").caused_by(error))
    }

    async fn discard_part_of(&self, request: &FetchRequest) {
        let target = PathBuf::from(&request.path);
        if let Err(error) = on_thread("image-discard", move || discard_part(&target)).await {
            tracing::warn!(error = %error.chain(), "A useless partial image file is left");
        }
    }
}

#[async_trait]
impl ImageTransfer for ImageFetcher {
    fn check_url(&self, url: &str) -> Result<()> {
        parse(&self.config, url).map(|_| ())
    }

    async fn fetch(&self, request: &FetchRequest, control: Arc<TransferControl>) -> Result<FetchedImage> {
        if !Path::new(&request.path).is_absolute() {
            return Err(fail!(Internal, "the path of an image file must be absolute"; "镜像文件路径必须为绝对路径"));
        }
        let wanted = Wanted::parse(&request.checksum)?;
        let source = parse(&self.config, &request.url)?;
        let deadline = Instant::now() + self.config.total_timeout;
        let watch = Watch { control: &control, deadline, idle_timeout: self.config.idle_timeout };
        let _slot = self.take_slot(watch).await?;
        if let Some(image) = self.take_existing(request, wanted.clone(), &control).await.map_err(at!())? {
            return Ok(image);
        }
        let fetched = self.fetch_and_check(request, source, wanted, &control, watch).await.map_err(at!());
        if fetched.as_ref().is_err_and(|error| !is_resumable(error)) {
            self.discard_part_of(request).await;
        }
        fetched
    }

    async fn receive(&self, request: &FetchRequest, upload: UploadReceiver, control: Arc<TransferControl>) -> Result<FetchedImage> {
        if !Path::new(&request.path).is_absolute() {
            return Err(fail!(Internal, "the path of an image file must be absolute"; "镜像文件路径必须为绝对路径"));
        }
        let deadline = Instant::now() + self.config.total_timeout;
        let watch = Watch { control: &control, deadline, idle_timeout: self.config.idle_timeout };
        let _slot = self.take_slot(watch).await?;
        let received = self.receive_and_check(request, upload, &control, watch).await.map_err(at!());
        if received.is_err() {
            self.discard_part_of(request).await;
        }
        received
    }

    async fn read(&self, path: &str, offset: u64) -> Result<ImageReader> {
        let permit = Arc::clone(&self.readers).try_acquire_owned();
        let permit =
            permit.map_err(|_| fail!(TooManyRequests, "as many images are read as may be, try again"; "镜像下载数已达上限，请重试"))?;
        upload::read(PathBuf::from(path), offset, self.config.idle_timeout, permit).await
    }

    async fn remove_strays(&self, directory: &str, known: &[Uuid]) -> Result<Vec<String>> {
        let (directory, known) = (PathBuf::from(directory), known.to_vec());
        on_thread("image-strays", move || remove_strays(&directory, &known)).await
    }

    async fn discard(&self, request: &FetchRequest) -> Result<()> {
        let target = PathBuf::from(&request.path);
        on_thread("image-discard", move || {
            discard_part(&target)?;
            remove(&target)
        })
        .await
    }
}

/// Is the partial file worth keeping for another try? Not where its bytes are wrong, and not where they fill the disk.
fn is_resumable(error: &AgentError) -> bool {
    matches!(error.code(), ErrorCode::ImageDownloadFailed | ErrorCode::JobCanceled | ErrorCode::Internal)
}

fn ended(stop: Stop) -> AgentError {
    match stop {
        Stop::Retry(error) | Stop::Final(error) => error,
    }
}

/// One of our own files; links are not followed.
pub(crate) fn open_own(path: &Path) -> Result<Option<File>> {
    match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => Ok(Some(file)),
        Ok(_) => Err(fail!(ImageDownloadFailed, "what stands in its place is no regular file"; "目标位置不是普通文件")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(own_file_failed(error)),
    }
}
