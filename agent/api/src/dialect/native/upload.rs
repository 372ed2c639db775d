//! Uploading an image: what it is stands in the query, the body is the file and goes to the disk piece by piece.

use super::call::{Call, Failure, Outcome};
use super::envelope::Data;
use super::resource::image::{CreateImage, UploadImage};
use super::{change, decode, input, redact};
use crate::upload::{announced_bytes, relay};
use axum::body::Body;
use http::{HeaderMap, Method};
use hvnode_core::at;
use hvnode_core::engine::ChangeRequest;
use hvnode_core::port::upload as open_upload;
use serde_json::{Map, Value};

/// The route, and its alias.
pub(super) const PATHS: [&str; 2] = ["/v1/repository/image/upload", "/v1/image/upload"];

/// Does this request bring the bytes of an image?
pub fn is_upload(method: &Method, path: &str) -> bool {
    *method == Method::POST && PATHS.contains(&path)
}

/// Takes the file, and answers once the image is ready.
pub(super) async fn run(call: &Call, headers: &HeaderMap, body: &mut Body, object: &Map<String, Value>) -> Outcome {
    input::check_is_bytes(headers).map_err(at!())?;
    let wanted: UploadImage = decode::from_query(object, &[]).map_err(at!())?;
    let (sender, source) = open_upload(announced_bytes(headers));
    let request = ChangeRequest {
        caller: call.caller.clone(),
        request_uuid: None,
        action: call.path.to_owned(),
        resource_name: None,
        request: redact::for_log(object),
        change: wanted.into_change(source).map_err(at!())?,
    };
    let engine = &call.context.engine;
    // The engine has written a refusal into the operation log.
    let job_uuid = engine.submit(request).await.map_err(at!()).map_err(Failure::recorded)?.job.job_uuid;
    let job = relay(engine, job_uuid, body, sender, |_| {}).await.map_err(at!());
    let job = job.map_err(|error| Failure::of_job(error, job_uuid))?;
    Ok(Data::of(&change::answer::<CreateImage>(call, object, &job)?)?)
}
