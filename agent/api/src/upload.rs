//! A request body on its way into an image: piece by piece, never as a whole in memory.

use crate::body::{drain, read_fault};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hvnode_core::engine::Engine;
use hvnode_core::model::Job;
use hvnode_core::port::UploadSender;
use hvnode_core::{Result, at};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Longer than any upload may take: whoever takes the bytes has a tighter bound.
const END_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The bytes that a request says it brings.
pub(crate) fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Hands the body on to the job that takes it, and waits for the job's end. `look` sees every piece.
///
/// # Errors
/// `Timeout` and `ParseParameter` where the body did not come to its end; what the engine says. Not what the job failed with.
pub(crate) async fn relay(
    engine: &Engine,
    job_uuid: Uuid,
    body: &mut Body,
    sender: UploadSender,
    look: impl FnMut(&Bytes) + Send,
) -> Result<Arc<Job>> {
    let sent = feed(body, sender, look).await;
    // Also where the body broke off: what was taken is thrown away before the caller may come again.
    let job = engine.wait_for_job(job_uuid, END_WAIT).await.map_err(at!())?;
    // A client that still sends must see the answer.
    drain(body).await;
    sent.map(|()| job)
}

/// Ends early, with success, where nobody takes the bytes any more: the job's own error tells why.
async fn feed(body: &mut Body, sender: UploadSender, mut look: impl FnMut(&Bytes) + Send) -> Result<()> {
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|error| read_fault(&error))?.into_data() else { continue };
        look(&bytes);
        if !sender.send(bytes).await {
            return Ok(());
        }
    }
    sender.finish().await;
    Ok(())
}
