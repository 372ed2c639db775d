//! Over HTTP, from good, bad and hostile servers.

use super::server::{Reply, Seen, Server, good};
use super::{Bench, initrd, sha256, sha512};
use crate::ImageFetcher;
use hvnode_core::ErrorCode;
use hvnode_core::port::ImageTransfer;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

const TAG: &str = "\"one\"";

#[tokio::test]
async fn an_image_arrives_whole_checked_and_readable_for_qemu() {
    let (bench, content) = (Bench::new(), initrd(3_000_000));
    let body = content.clone();
    let server = Server::start(move |request, _| good(&body, TAG, request)).await;
    for checksum in [String::new(), sha256(&content), sha512(&content)] {
        let mut request = bench.request(&server.url(), hvnode_core::model::ImageFormat::Initrd);
        request.checksum = checksum;
        let image = bench.fetch(&request).await.unwrap();
        assert_eq!((image.storage_bytes, image.virtual_bytes, image.checksum), (3_000_000, 3_000_000, sha256(&content)));
        assert!(bench.content() == content);
        assert_eq!(bench.left(), ["target"]);
        assert_eq!(bench.control.percent(), 100);
        assert_eq!(bench.path("images/target").metadata().unwrap().permissions().mode() & 0o777, 0o644);
        ImageFetcher::new(bench.config.clone()).discard(&request).await.unwrap();
        assert!(bench.left().is_empty());
    }
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_broke() {
    let (bench, content) = (Bench::new(), initrd(1_000_000));
    let body = content.clone();
    let server = Server::start(move |request, number| {
        let reply = good(&body, TAG, request);
        if number < 5 { Reply { cut_after: Some(150_000), ..reply } } else { reply }
    })
    .await;
    bench.fetch_url(&server.url()).await.unwrap();
    assert!(bench.content() == content);
    let ranges: Vec<_> = server.seen().iter().map(|seen| seen.range).collect();
    // Six tries although three without progress would be too many: each brought bytes.
    assert_eq!(ranges, [None, Some(150_000), Some(300_000), Some(450_000), Some(600_000), Some(750_000)]);
    assert!(server.seen()[1..].iter().all(|seen| seen.if_range.as_deref() == Some(TAG)));
}

#[tokio::test]
async fn a_canceled_transfer_stops_at_once_and_a_later_one_resumes_it() {
    let (mut bench, content) = (Bench::new(), initrd(1_000_000));
    bench.config.idle_timeout = Duration::from_secs(60);
    let body = content.clone();
    let server = Server::start(move |request, number| {
        let reply = good(&body, TAG, request);
        if number == 0 { Reply { hang_after: Some(400_000), ..reply } } else { reply }
    })
    .await;
    let url = server.url();
    let (canceled, started) = tokio::join!(bench.fetch_url(&url), async {
        bench.wait_for_bytes(400_000).await;
        bench.cancel();
        Instant::now()
    });
    assert_eq!(canceled.unwrap_err().code(), ErrorCode::JobCanceled);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(bench.left(), ["target.part", "target.part.json"]);
    bench.control = std::sync::Arc::default();
    bench.fetch_url(&url).await.unwrap();
    assert!(bench.content() == content);
    assert_eq!(server.seen()[1].range, Some(400_000));
    assert_eq!(bench.left(), ["target"]);
}

#[tokio::test]
async fn content_that_changed_in_between_is_fetched_anew() {
    let (bench, old, new) = (Bench::new(), initrd(500_000), [initrd(10), initrd(600_000)].concat());
    let body = new.clone();
    let server = Server::start(move |request, number| match number {
        0 => Reply { cut_after: Some(100_000), ..good(&old, TAG, request) },
        _ => good(&body, "\"two\"", request),
    })
    .await;
    bench.fetch_url(&server.url()).await.unwrap();
    assert!(bench.content() == new);
    assert_eq!(server.seen()[1].range, Some(100_000));
}

#[tokio::test]
async fn a_server_without_ranges_or_without_a_tag_is_asked_from_the_start() {
    let ignores: fn(&[u8], &Seen) -> Reply =
        |body, _| Reply { status: 200, headers: vec![("ETag", TAG.into())], body: body.to_vec(), ..Reply::default() };
    let weak: fn(&[u8], &Seen) -> Reply = |body, request| good(body, "W/\"weak\"", request);
    let strays: fn(&[u8], &Seen) -> Reply = |body, request| match request.range {
        None => good(body, TAG, request),
        Some(_) => Reply { status: 206, headers: vec![("Content-Range", "bytes 5-9/10".into())], body: vec![0; 5], ..Reply::default() },
    };
    for (answer, ranges) in [(ignores, vec![None, Some(1000)]), (weak, vec![None, None]), (strays, vec![None, Some(1000), None])] {
        let (bench, content) = (Bench::new(), initrd(300_000));
        let body = content.clone();
        let server = Server::start(move |request, number| {
            let reply = answer(&body, request);
            if number == 0 { Reply { cut_after: Some(1000), ..reply } } else { reply }
        })
        .await;
        bench.fetch_url(&server.url()).await.unwrap();
        assert!(bench.content() == content);
        assert_eq!(server.seen().iter().map(|seen| seen.range).collect::<Vec<_>>(), ranges);
    }
}

#[tokio::test]
async fn a_part_that_was_complete_already_is_not_fetched_again() {
    let (mut bench, content) = (Bench::new(), initrd(200_000));
    let body = content.clone();
    // The first answer is in chunks and never says that it has ended.
    let server = Server::start(move |request, number| {
        let reply = good(&body, TAG, request);
        if number == 0 { Reply { is_chunked: true, hang_after: Some(200_000), ..reply } } else { reply }
    })
    .await;
    bench.config.tries_max = 1;
    bench.fetch_url(&server.url()).await.unwrap();
    assert!(bench.content() == content);
    assert_eq!(server.seen()[1].range, Some(200_000));
}

#[tokio::test]
async fn a_wrong_checksum_leaves_nothing_behind() {
    let bench = Bench::new();
    let server = Server::start(|request, _| good(&initrd(50_000), TAG, request)).await;
    for checksum in [sha256(b"other"), sha512(b"other")] {
        let mut request = bench.request(&server.url(), hvnode_core::model::ImageFormat::Initrd);
        request.checksum = checksum;
        assert_eq!(bench.fetch(&request).await.unwrap_err().code(), ErrorCode::ImageChecksumMismatch);
        assert!(bench.left().is_empty());
    }
}

#[tokio::test]
async fn answers_that_will_not_get_better_are_not_asked_for_again() {
    for (status, requests) in [(404, 1), (403, 1), (204, 1), (503, 3), (429, 3)] {
        let bench = Bench::new();
        let server = Server::start(move |_, _| Reply { status, ..Reply::default() }).await;
        let error = bench.fetch_error(&server.url()).await;
        assert_eq!(error.code(), ErrorCode::ImageDownloadFailed);
        assert!(error.message().contains(&status.to_string()), "{error}");
        assert_eq!(server.seen().len(), requests, "{status}");
    }
}

#[tokio::test]
async fn a_server_that_recovers_is_forgiven() {
    let bench = Bench::new();
    let server = Server::start(|request, number| match number {
        0 | 1 => Reply { status: 500, ..Reply::default() },
        _ => good(&initrd(1000), TAG, request),
    })
    .await;
    bench.fetch_url(&server.url()).await.unwrap();
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let mut bench = Bench::new();
    bench.config.idle_timeout = Duration::from_millis(50);
    let server = Server::start(|request, _| Reply { hang_after: Some(0), ..good(&initrd(1000), TAG, request) }).await;
    let error = bench.fetch_error(&server.url()).await;
    assert!(error.message().contains("nothing came"), "{error}");
    assert_eq!(server.seen().len(), 3);
    bench.config.total_timeout = Duration::from_millis(20);
    assert!(bench.fetch_error(&server.url()).await.message().contains("too long"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_as_the_problem_and_the_url_is_not() {
    let bench = Bench::new();
    let port = Server::start(|_, _| Reply::default()).await.port();
    let error = bench.fetch_error(&format!("http://user:secret@127.0.0.1:{port}/a?signature=hidden")).await;
    assert!(error.message().contains("cannot be reached"), "{error}");
    assert!(!error.chain().contains("secret") && !error.chain().contains("hidden"), "{}", error.chain());
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_not_asked_again() {
    let bench = Bench::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"220 no TLS here\r\n").await.unwrap();
            streams.push(stream);
        }
    });
    let error = bench.fetch_error(&format!("https://127.0.0.1:{port}/image")).await;
    connections.abort();
    assert!(error.message().contains("no trusted TLS connection"), "{}", error.chain());
}

#[tokio::test]
async fn redirects_are_followed_to_servers_only_and_not_for_ever() {
    let bench = Bench::new();
    let to = |place: &'static str| {
        move |request: &Seen, _| match request.path.as_str() {
            "/image" => Reply { status: 302, headers: vec![("Location", place.into())], ..Reply::default() },
            _ => good(&initrd(1000), TAG, request),
        }
    };
    let refused =
        [("file:///etc/passwd", "redirects to where"), ("ftp://host/a", "redirected to ftp:"), ("/image", "more than 5 redirects")];
    for (place, words) in refused {
        let server = Server::start(to(place)).await;
        let error = bench.fetch_error(&server.url()).await;
        assert_eq!(error.code(), ErrorCode::ImageDownloadFailed);
        assert!(error.message().contains(words), "{error}");
    }
    let server = Server::start(to("/moved")).await;
    bench.fetch_url(&server.url()).await.unwrap();
    assert_eq!(server.seen().iter().map(|seen| seen.path.clone()).collect::<Vec<_>>(), ["/image", "/moved"]);
}

#[tokio::test]
async fn this_machine_is_not_reached_unless_private_addresses_are_allowed() {
    let mut bench = Bench::new();
    let server = Server::start(|request, _| good(&initrd(1000), TAG, request)).await;
    bench.config.allow_private_addresses = false;
    assert_eq!(bench.fetch_error(&server.url()).await.code(), ErrorCode::ParameterInvalid);
    let by_name = format!("http://localhost:{}/image", server.port());
    let error = bench.fetch_error(&by_name).await;
    assert_eq!(error.code(), ErrorCode::ImageDownloadFailed);
    assert!(error.message().contains("localhost is a private address"), "{error}");
    assert!(server.seen().is_empty());
    bench.config.allow_private_addresses = true;
    bench.fetch_url(&by_name).await.unwrap();
}

#[tokio::test]
async fn an_image_that_is_too_large_is_refused_also_when_the_server_hides_its_size() {
    for is_chunked in [false, true] {
        let mut bench = Bench::new();
        bench.config.size_max_bytes = 99_999;
        let server = Server::start(move |request, _| Reply { is_chunked, ..good(&initrd(100_000), TAG, request) }).await;
        assert_eq!(bench.fetch_error(&server.url()).await.code(), ErrorCode::RequestTooLarge);
        assert!(bench.left().is_empty());
    }
}

#[tokio::test]
async fn an_image_that_does_not_fit_is_refused_before_its_bytes_come() {
    let mut bench = Bench::new();
    bench.config.keep_free_bytes = u64::MAX;
    let server = Server::start(|request, _| good(&initrd(1000), TAG, request)).await;
    assert_eq!(bench.fetch_error(&server.url()).await.code(), ErrorCode::RepositoryFull);
    assert!(bench.left().is_empty());
}

#[tokio::test]
async fn a_file_that_is_in_place_already_is_checked_and_taken() {
    let (bench, content) = (Bench::new(), initrd(1000));
    super::write(&bench.path("images/target"), &content);
    let mut request = bench.request("http://127.0.0.1:9/never-asked", hvnode_core::model::ImageFormat::Initrd);
    request.checksum = sha256(&content);
    assert_eq!(bench.fetch(&request).await.unwrap().storage_bytes, 1000);
    request.checksum = sha256(b"other");
    assert_eq!(bench.fetch(&request).await.unwrap_err().code(), ErrorCode::ImageChecksumMismatch);
    assert_eq!(bench.left(), ["target"]);
}

#[tokio::test]
async fn transfers_wait_for_a_free_slot_and_can_be_canceled_there() {
    let mut bench = Bench::new();
    bench.config.transfers_max = 1;
    let server = Server::start(|request, _| Reply { hang_after: Some(10), ..good(&initrd(1000), TAG, request) }).await;
    bench.config.idle_timeout = Duration::from_secs(60);
    let fetcher = ImageFetcher::new(bench.config.clone());
    let request = bench.request(&server.url(), hvnode_core::model::ImageFormat::Initrd);
    let first = tokio::spawn({
        let (fetcher, request, control) = (fetcher.clone(), request.clone(), bench.control.clone());
        async move { fetcher.fetch(&request, control).await }
    });
    bench.wait_for_bytes(10).await;
    let waiting = std::sync::Arc::new(hvnode_core::port::TransferControl::default());
    let second = tokio::spawn({
        let (fetcher, waiting) = (fetcher.clone(), waiting.clone());
        async move { fetcher.fetch(&request, waiting).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(server.seen().len(), 1);
    waiting.is_canceled.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(second.await.unwrap().unwrap_err().code(), ErrorCode::JobCanceled);
    bench.cancel();
    assert_eq!(first.await.unwrap().unwrap_err().code(), ErrorCode::JobCanceled);
}
