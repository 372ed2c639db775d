use super::*;
use bytes::Bytes;
use hvnode_core::ErrorCode;
use hvnode_core::port::{UploadReceiver, upload};

/// Sends `content` in pieces, and says that it was all unless it is to break off.
fn sending(content: Vec<u8>, total: Option<u64>, is_whole: bool) -> UploadReceiver {
    let (sender, source) = upload(total);
    tokio::spawn(async move {
        for piece in content.chunks(10_000) {
            if !sender.send(Bytes::copy_from_slice(piece)).await {
                return;
            }
        }
        if is_whole {
            sender.finish().await;
        }
    });
    source.take().unwrap()
}

impl Bench {
    async fn receive(&self, upload: UploadReceiver) -> Result<FetchedImage> {
        let request = self.request("", ImageFormat::Initrd);
        ImageFetcher::new(self.config.clone()).receive(&request, upload, Arc::clone(&self.control)).await
    }

    async fn receive_error(&self, upload: UploadReceiver) -> ErrorCode {
        let error = self.receive(upload).await.unwrap_err();
        assert_eq!(self.left(), Vec::<String>::new(), "{}", error.chain());
        error.code()
    }
}

#[tokio::test]
async fn an_upload_arrives_whole_checked_and_goes_out_again() {
    let bench = Bench::new();
    let content = initrd(3_000_000);
    let image = bench.receive(sending(content.clone(), Some(3_000_000), true)).await.unwrap();
    assert_eq!((image.storage_bytes, image.checksum), (3_000_000, sha256(&content)));
    assert!(bench.content() == content);
    assert_eq!((bench.left(), bench.control.percent()), (vec!["target".to_owned()], 100));
    let fetcher = ImageFetcher::new(bench.config.clone());
    for offset in [0, 1_500_000, 3_000_000, 9_000_000] {
        let mut reader = fetcher.read(bench.path("images/target").to_str().unwrap(), offset).await.unwrap();
        assert_eq!(reader.storage_bytes, 3_000_000);
        let mut read = Vec::new();
        while let Some(chunk) = reader.chunks.recv().await {
            read.extend_from_slice(&chunk);
        }
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or(&[]);
        assert!(read == rest, "{} bytes from {offset} on", read.len());
    }
}

#[tokio::test]
async fn what_breaks_off_or_is_not_what_was_said_leaves_nothing() {
    let bench = Bench::new();
    let content = || initrd(200_000);
    assert_eq!(bench.receive_error(sending(content(), None, false)).await, ErrorCode::ImageDownloadFailed);
    assert_eq!(bench.receive_error(sending(content(), Some(200_001), true)).await, ErrorCode::ImageDownloadFailed);
    assert_eq!(bench.receive_error(sending(Vec::new(), None, true)).await, ErrorCode::ImageDownloadFailed);
    assert_eq!(bench.receive_error(sending(b"no disk of any kind".to_vec(), None, true)).await, ErrorCode::ImageFormatInvalid);
    let (sender, silent) = upload(None);
    assert_eq!(bench.receive_error(silent.take().unwrap()).await, ErrorCode::ImageDownloadFailed, "nothing comes for too long");
    drop(sender);
}

#[tokio::test]
async fn size_and_space_bound_an_upload_announced_or_not() {
    let mut bench = Bench::new();
    bench.config.size_max_bytes = 100_000;
    for total in [None, Some(200_000)] {
        assert_eq!(bench.receive_error(sending(initrd(200_000), total, true)).await, ErrorCode::RequestTooLarge);
    }
    bench.config.size_max_bytes = 1 << 40;
    bench.config.keep_free_bytes = 1 << 60;
    assert_eq!(bench.receive_error(sending(initrd(200_000), Some(200_000), true)).await, ErrorCode::RepositoryFull);
    assert_eq!(bench.receive_error(sending(initrd(65 << 20), None, true)).await, ErrorCode::RepositoryFull, "looked at on the way");
}

#[tokio::test]
async fn a_canceled_upload_leaves_nothing_and_a_later_one_is_no_continuation() {
    let bench = Bench::new();
    let (sender, source) = upload(None);
    sender.send(Bytes::from(initrd(100_000))).await;
    let cancel = async {
        bench.wait_for_bytes(100_000).await;
        bench.cancel();
    };
    let (code, ()) = tokio::join!(bench.receive_error(source.take().unwrap()), cancel);
    assert_eq!(code, ErrorCode::JobCanceled);
    bench.control.is_canceled.store(false, Ordering::Relaxed);
    let content = initrd(50_000);
    assert_eq!(bench.receive(sending(content.clone(), None, true)).await.unwrap().checksum, sha256(&content));
}

#[tokio::test]
async fn only_so_many_files_are_given_out_at_the_same_time() {
    let mut bench = Bench::new();
    bench.config.transfers_max = 1;
    bench.receive(sending(initrd(20 << 20), None, true)).await.unwrap();
    let fetcher = ImageFetcher::new(bench.config.clone());
    let path = bench.path("images/target").display().to_string();
    let reader = fetcher.read(&path, 0).await.unwrap();
    assert_eq!(fetcher.read(&path, 0).await.unwrap_err().code(), ErrorCode::TooManyRequests);
    drop(reader);
    // Its place is free once its task has seen that nobody reads.
    while fetcher.read(&path, 20 << 20).await.is_err() {
        tokio::task::yield_now().await;
    }
    let fetcher = ImageFetcher::new(bench.config.clone());
    assert_eq!(fetcher.read("/no/such/file", 0).await.unwrap_err().code(), ErrorCode::ImageDownloadFailed);
}
