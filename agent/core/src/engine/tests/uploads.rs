//! Images whose bytes a caller sends: whatever happens on the way, an image is whole or not there.

use super::*;
use crate::fake::Fault;
use crate::model::ImageStatus;
use crate::port::{UploadSender, upload};
use bytes::Bytes;

fn sent_image() -> (ChangeInput, UploadSender) {
    let (sender, source) = upload(None);
    let ChangeInput::CreateImage(input) = import() else { unreachable!() };
    (ChangeInput::CreateImage(CreateImageInput { source: ImageSource::Upload(source), ..input }), sender)
}

impl Bench {
    /// An upload whose first bytes are taken and whose others are to come.
    async fn begin(&self) -> (Arc<Job>, UploadSender) {
        let (change, sender) = sent_image();
        let job = self.engine.submit(request(change)).await.unwrap().job;
        assert!(sender.send(Bytes::from_static(b"first")).await);
        let uuid = job.resource.uuid;
        let is_coming = move |s: &Snapshot| s.images.get(&uuid).is_some_and(|image| image.status == ImageStatus::Downloading);
        assert!(self.engine.wait_until(SOON, is_coming).await);
        (job, sender)
    }

    async fn end_of(&self, job: &Job) -> Arc<Job> {
        let job = self.engine.wait_for_job(job.job_uuid, SOON).await.unwrap();
        assert!(job.status.is_ended(), "{job:?}");
        job
    }

    fn assert_no_image_is_left(&self) {
        assert!(self.engine.snapshot().images.is_empty(), "{:?}", self.engine.snapshot().images);
        assert_eq!(self.node.files(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_image_is_made_of_the_bytes_that_are_sent() {
    let bench = bench().await;
    let (job, sender) = bench.begin().await;
    sender.send(Bytes::from_static(b" and second")).await;
    sender.finish().await;
    assert_eq!(bench.end_of(&job).await.status, JobStatus::Succeeded);
    let image = bench.engine.snapshot().images[&job.resource.uuid].clone();
    assert_eq!((image.status, image.storage_bytes, image.url.as_str()), (ImageStatus::Ready, 16, ""));
    let mut reader = bench.engine.read_image(image.image_uuid, 6).await.unwrap();
    assert_eq!((reader.storage_bytes, reader.chunks.recv().await.unwrap().len()), (16, 10));
}

#[tokio::test]
async fn an_upload_that_breaks_off_or_is_canceled_leaves_nothing() {
    let bench = bench().await;
    let (job, sender) = bench.begin().await;
    drop(sender);
    let job = bench.end_of(&job).await;
    assert_eq!((job.status, job.error.as_ref().unwrap().code), (JobStatus::Failed, ErrorCode::ImageDownloadFailed));
    bench.assert_no_image_is_left();
    let (job, sender) = bench.begin().await;
    bench.engine.cancel_job(&caller(), job.job_uuid).await.unwrap();
    assert_eq!(bench.end_of(&job).await.status, JobStatus::Canceled);
    assert!(!sender.send(Bytes::from_static(b"more")).await, "nobody takes it any more");
    bench.assert_no_image_is_left();
}

#[tokio::test]
async fn a_delete_ends_an_upload() {
    let bench = bench().await;
    let (job, _sender) = bench.begin().await;
    let deleted = bench.run(ChangeInput::DeleteImage(DeleteImageInput { image_uuid: job.resource.uuid })).await.unwrap();
    assert_eq!((bench.end_of(&job).await.status, deleted.status), (JobStatus::Canceled, JobStatus::Succeeded));
    bench.assert_no_image_is_left();
}

#[tokio::test]
async fn a_crash_in_the_middle_of_an_upload_leaves_nothing() {
    let bench = bench().await;
    let (job, sender) = bench.begin().await;
    let bench = bench.restart().await;
    drop(sender);
    let job = bench.end_of(&job).await;
    assert_eq!((job.status, job.is_after_restart), (JobStatus::Failed, true), "{job:?}");
    assert!(job.error.as_ref().unwrap().detail.en.contains("restarted"), "{job:?}");
    bench.assert_no_image_is_left();
}

#[tokio::test]
async fn a_crash_or_a_failure_at_any_call_of_an_upload_leaves_it_whole_or_not_there() {
    let faults = [Fault::CrashBefore, Fault::CrashAfter, Fault::FailBefore(crate::fail!(StoreFailed, "disk full"))];
    for (number, fault) in (1..12).flat_map(|number| faults.iter().map(move |fault| (number, fault.clone()))) {
        let bench = bench().await;
        bench.faults.clear();
        bench.faults.on("*", number, fault.clone());
        let (change, sender) = sent_image();
        let sending = async move {
            sender.send(Bytes::from_static(b"all of it")).await;
            sender.finish().await;
        };
        let work = async {
            let accepted = bench.engine.submit(request(change)).await?;
            bench.engine.wait_for_job(accepted.job.job_uuid, SOON).await
        };
        // A daemon that has died answers nothing.
        let _ = tokio::time::timeout(Duration::from_millis(300), async { tokio::join!(work, sending) }).await;
        let bench = bench.restart().await;
        assert!(bench.engine.wait_until(SOON, |snapshot| snapshot.open_jobs.is_empty()).await, "{number} {fault:?}");
        let images: Vec<_> = bench.engine.snapshot().images.values().cloned().collect();
        match images.as_slice() {
            [] => assert_eq!(bench.node.files(), Vec::<String>::new(), "{number} {fault:?}"),
            [image] => {
                assert_eq!((image.status, image.storage_bytes), (ImageStatus::Ready, 9), "{number} {fault:?}");
                assert_eq!(bench.node.files(), std::slice::from_ref(&image.path), "{number} {fault:?}");
            }
            more => panic!("{number} {fault:?}: {more:?}"),
        }
    }
}
