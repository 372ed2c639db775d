//! From folders of this host.

use super::{Bench, initrd, sha256, write};
use crate::part::part_path;
use hvnode_core::ErrorCode;
use hvnode_core::model::ImageFormat;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::os::unix::fs::symlink;

#[tokio::test]
async fn a_file_in_an_allowed_folder_is_copied_also_through_links_that_stay_inside() {
    let (bench, content) = (Bench::new(), initrd(3_000_000));
    write(&bench.path("allowed/a b"), &content);
    symlink(bench.path("allowed/a b"), bench.path("allowed/link")).unwrap();
    for name in ["allowed/a b", "allowed/link"] {
        let mut request = bench.request(&bench.url(name), ImageFormat::Initrd);
        request.checksum = sha256(&content);
        let image = bench.fetch(&request).await.unwrap();
        assert_eq!((image.storage_bytes, bench.control.percent()), (3_000_000, 100));
        assert!(bench.content() == content);
        assert_eq!(bench.left(), ["target"]);
        std::fs::remove_file(bench.path("images/target")).unwrap();
    }
}

#[tokio::test]
async fn links_that_lead_outside_are_refused() {
    let bench = Bench::new();
    write(&bench.path("elsewhere/secret"), &initrd(1000));
    symlink(bench.path("elsewhere/secret"), bench.path("allowed/file")).unwrap();
    symlink(bench.path("elsewhere"), bench.path("allowed/folder")).unwrap();
    symlink("../elsewhere/secret", bench.path("allowed/relative")).unwrap();
    for name in ["allowed/file", "allowed/folder/secret", "allowed/relative"] {
        let error = bench.fetch_error(&bench.url(name)).await;
        assert_eq!(error.code(), ErrorCode::ImageDownloadFailed);
        assert!(error.message().contains("outside the allowed folders"), "{error}");
    }
    assert_eq!(bench.fetch_error(&bench.url("elsewhere/secret")).await.code(), ErrorCode::ParameterInvalid);
}

#[tokio::test]
async fn only_regular_files_are_images() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("allowed/folder")).unwrap();
    mkfifo(&bench.path("allowed/pipe"), Mode::S_IRWXU).unwrap();
    for (name, words) in [("folder", "not a regular file"), ("pipe", "not a regular file"), ("missing", "no such file")] {
        let error = bench.fetch_error(&bench.url(&format!("allowed/{name}"))).await;
        assert_eq!(error.code(), ErrorCode::ImageDownloadFailed);
        assert!(error.message().contains(words), "{name}: {error}");
    }
}

#[tokio::test]
async fn size_space_and_cancel_bound_a_copy_and_leave_nothing_that_fills_the_disk() {
    let mut bench = Bench::new();
    write(&bench.path("allowed/a"), &initrd(100_000));
    let url = bench.url("allowed/a");
    bench.config.size_max_bytes = 99_999;
    assert_eq!(bench.fetch_error(&url).await.code(), ErrorCode::RequestTooLarge);
    bench.config.size_max_bytes = 100_000;
    bench.config.keep_free_bytes = u64::MAX;
    assert_eq!(bench.fetch_error(&url).await.code(), ErrorCode::RepositoryFull);
    assert!(bench.left().is_empty());
    bench.config.keep_free_bytes = 0;
    bench.cancel();
    assert_eq!(bench.fetch_error(&url).await.code(), ErrorCode::JobCanceled);
}

#[tokio::test]
async fn a_link_planted_in_the_images_folder_is_not_followed() {
    let bench = Bench::new();
    write(&bench.path("allowed/a"), &initrd(1000));
    write(&bench.path("elsewhere/victim"), b"precious");
    let part = part_path(&bench.path("images/target"));
    symlink(bench.path("elsewhere/victim"), &part).unwrap();
    assert_eq!(bench.fetch_error(&bench.url("allowed/a")).await.code(), ErrorCode::ImageDownloadFailed);
    std::fs::remove_file(&part).unwrap();
    symlink(bench.path("elsewhere/victim"), bench.path("images/target")).unwrap();
    let error = bench.fetch_url(&bench.url("allowed/a")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ImageDownloadFailed);
    assert_eq!(std::fs::read(bench.path("elsewhere/victim")).unwrap(), b"precious");
}
