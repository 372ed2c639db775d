//! The bytes of an image, in and out.

use super::super::call::{Call, Outcome, Reply};
use super::super::errors::Fault;
use super::change::create_input;
use super::one;
use super::properties::Announced;
use crate::upload::{announced_bytes, relay};
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header;
use hvnode_core::model::{Image, ImageStatus, JobStatus};
use hvnode_core::port::{ImageReader, upload as open_upload};
use hvnode_core::verb::ImageSource;
use hvnode_core::{AgentError, ErrorCode, fail};
use md5::{Digest, Md5};
use std::convert::Infallible;

/// `PUT /images/{id}/file`: an announced image gets its bytes. Where they do not come to their end, it is announced as before.
pub(in super::super) async fn upload(call: Call) -> Outcome {
    one(&call, call.param(0))?;
    let uuid = call.uuid(0).unwrap_or_default();
    let records = &call.shared.context.records;
    if let Some(image) = call.snapshot().images.get(&uuid) {
        let from = super::status_of(image);
        return Err(Fault::new(409, format!("Image status transition from {from} to saving is not allowed.")));
    }
    check_content_type(&call)?;
    let announced = Announced::of(records, uuid).ok_or_else(|| Fault::not_found("The image is gone."))?;
    let (sender, source) = open_upload(announced_bytes(&call.headers));
    let job = call.submit(create_input(uuid, &announced, ImageSource::Upload(source))?).await?;
    let mut body = std::mem::take(&mut *call.stream.lock());
    let mut md5 = Md5::new();
    let job = relay(&call.shared.context.engine, job.job_uuid, &mut body, sender, |bytes| md5.update(bytes)).await;
    let job = job.map_err(|error| Fault::from(error).recorded())?;
    if job.status != JobStatus::Succeeded {
        let error = job.error.clone().map_or_else(|| fail!(JobCanceled), AgentError::from);
        return Err(reworded(Fault::from(error)).recorded());
    }
    let checksum = md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    // What was said of it may have been changed meanwhile.
    let announced = Announced::of(records, uuid).unwrap_or(announced);
    Announced { checksum, ..announced }.put(records, uuid).await?;
    Ok(Reply::empty(204))
}

fn check_content_type(call: &Call) -> Result<(), Fault> {
    let kind = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/octet-stream")) {
        return Ok(());
    }
    Err(Fault::new(415, "Unsupported Content-Type: it must be application/octet-stream."))
}

/// What befalls an upload is the sender's matter here, not that of a server behind this one.
fn reworded(mut fault: Fault) -> Fault {
    match fault.error.as_ref().map(AgentError::code) {
        Some(ErrorCode::ImageDownloadFailed) => fault.status = 400,
        Some(ErrorCode::JobCanceled) => {
            (fault.status, fault.message) = (410, "The image was deleted, or its upload canceled, while it came in.".to_owned());
        }
        _ => {}
    }
    fault
}

/// `GET /images/{id}/file`.
pub(in super::super) async fn download(call: Call) -> Outcome {
    one(&call, call.param(0))?;
    let uuid = call.uuid(0).unwrap_or_default();
    let snapshot = call.snapshot();
    // Announced, or on its way in: there are no bytes.
    let Some(image) = snapshot.images.get(&uuid).filter(|image| image.status == ImageStatus::Ready) else { return Ok(Reply::empty(204)) };
    let span = Span::of(&call, image)?;
    let reader = call.shared.context.engine.read_image(uuid, span.first).await.map_err(|error| match error.code() {
        ErrorCode::ImageDownloadFailed => Fault::new(503, error.message()),
        _ => Fault::from(error),
    })?;
    if reader.storage_bytes != image.storage_bytes {
        return Err(Fault::new(503, "The image's file has not the size that it had; the image cannot be given out."));
    }
    let mut reply = Reply::stream(if span.is_part { 206 } else { 200 }, body_of(reader, span.length()))
        .with_header("content-type", "application/octet-stream")
        .with_header("content-length", &span.length().to_string())
        .with_header("accept-ranges", "bytes");
    if span.is_part {
        reply = reply.with_header("content-range", &format!("bytes {}-{}/{}", span.first, span.end - 1, image.storage_bytes));
    }
    let md5 = Announced::of(&call.shared.context.records, uuid).map(|announced| announced.checksum).unwrap_or_default();
    Ok(if md5.is_empty() || span.is_part { reply } else { reply.with_header("content-md5", &md5) })
}

/// Which bytes are asked for: from `first` up to before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: u64,
    end: u64,
    is_part: bool,
}

impl Span {
    fn of(call: &Call, image: &Image) -> Result<Self, Fault> {
        let whole = Self { first: 0, end: image.storage_bytes, is_part: false };
        match call.headers.get(header::RANGE).and_then(|value| value.to_str().ok()) {
            None => Ok(whole),
            Some(text) => whole.narrowed(text).ok_or_else(|| Fault::new(416, "The requested range is not satisfiable.")),
        }
    }

    /// `bytes=5-9`, `bytes=5-` or `bytes=-5`. What is no single range of bytes asks for everything, as HTTP has it.
    fn narrowed(self, text: &str) -> Option<Self> {
        let Some((first, last)) = text.strip_prefix("bytes=").filter(|rest| !rest.contains(',')).and_then(|rest| rest.split_once('-'))
        else {
            return Some(self);
        };
        let (first, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) => (first, last.saturating_add(1).min(self.end)),
            (Ok(first), Err(_)) if last.is_empty() => (first, self.end),
            (Err(_), Ok(count)) if first.is_empty() => (self.end.saturating_sub(count), self.end),
            _ => return Some(self),
        };
        (first < end).then_some(Self { first, end, is_part: true })
    }

    fn length(self) -> u64 {
        self.end - self.first
    }
}

/// At most `length` bytes of what is read.
fn body_of(reader: ImageReader, length: u64) -> Body {
    let chunks = futures_util::stream::unfold((reader.chunks, length), |(mut chunks, left)| async move {
        let mut chunk: Bytes = if left == 0 { None } else { chunks.recv().await }?;
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - chunk.len() as u64;
        Some((chunk, (chunks, left)))
    });
    Body::from_stream(chunks.map(Ok::<_, Infallible>))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_has_them() {
        let whole = Span { first: 0, end: 10, is_part: false };
        let part = |text: &str| whole.narrowed(text).map(|span| (span.first, span.end, span.is_part));
        assert_eq!(part("bytes=2-4"), Some((2, 5, true)));
        assert_eq!(part("bytes=2-"), Some((2, 10, true)));
        assert_eq!(part("bytes=2-99"), Some((2, 10, true)));
        assert_eq!(part("bytes=-3"), Some((7, 10, true)));
        assert_eq!(part("bytes=-99"), Some((0, 10, true)));
        for nothing in ["bytes=10-", "bytes=4-2", "bytes=-0"] {
            assert_eq!(part(nothing), None, "{nothing}");
        }
        for whole in ["items=1-2", "bytes=1-2,4-5", "bytes=x-y", "bytes=-", "bytes"] {
            assert_eq!(part(whole), Some((0, 10, false)), "{whole}");
        }
    }
}
