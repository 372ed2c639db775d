//! Fetch an image, or take it from the caller.

use super::{AfterRestart, CreateImageInput, ImageSource, Outputs, PlanView, Planned, Step, StepContext, Verb, check};
use crate::error::ErrorRecord;
use crate::model::{Image, ImageStatus, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, redact_url};
use crate::port::{FetchRequest, Write};
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// The plan of a new image. The URL stands here with its credentials, because a restart must be able to go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateImage {
    image: Arc<Image>,
    request: FetchRequest,
    /// The caller sends the bytes.
    #[serde(default)]
    is_upload: bool,
}

pub(super) fn plan(input: &CreateImageInput, view: PlanView<'_>) -> Result<Planned> {
    check::name("image_name", &input.image_name)?;
    check::description(&input.description)?;
    check::short_text("os_type", &input.os_type)?;
    check::short_text("os_version", &input.os_version)?;
    check_checksum(&input.checksum)?;
    let image_uuid = check::chosen_uuid("image_uuid", input.image_uuid, |uuid| view.snapshot.images.contains_key(&uuid))?;
    check::image_name_is_free(&view, &input.image_name, None)?;
    let host_architecture = view.snapshot.capabilities.as_ref().map_or("", |c| c.architecture.as_str());
    let architecture = input.architecture.clone().unwrap_or_else(|| host_architecture.to_owned());
    check::short_text("architecture", &architecture)?;
    let most = view.settings.images_max;
    if view.snapshot.images.len() >= most {
        return Err(fail!(HostInsufficient, "this node holds at most {most} images"; "本节点最多 {most} 个镜像"));
    }
    let path = format!("{}/{image_uuid}.{}", view.settings.images_directory, input.format.word());
    let url = match &input.source {
        ImageSource::Url(url) => url.clone(),
        ImageSource::Upload(_) => String::new(),
    };
    let image = Arc::new(Image {
        image_uuid,
        image_name: input.image_name.clone(),
        description: input.description.clone(),
        status: ImageStatus::Downloading,
        format: input.format,
        storage_bytes: 0,
        virtual_bytes: 0,
        checksum: String::new(),
        firmware: input.firmware,
        os_type: input.os_type.clone(),
        os_version: input.os_version.clone(),
        architecture,
        url: redact_url(&url),
        path: path.clone(),
        create_time: view.now,
        update_time: view.now,
        error: None,
    });
    let request = FetchRequest { image_uuid, url, format: input.format, checksum: input.checksum.clone(), path };
    let writes = vec![Write::PutImage(image.clone())];
    let is_upload = matches!(input.source, ImageSource::Upload(_));
    Ok(Planned::new(CreateImage { image, request, is_upload }, &input.image_name).with_writes(writes))
}

fn check_checksum(checksum: &str) -> Result<()> {
    if checksum.is_empty() {
        return Ok(());
    }
    let (kind, hex) = checksum.split_once(':').unwrap_or((if checksum.len() == 128 { "sha512" } else { "sha256" }, checksum));
    let length = match kind {
        "sha256" => 64,
        "sha512" => 128,
        _ => 0,
    };
    if length == 0 || hex.len() != length || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(fail!(ParameterInvalid,
            "checksum must be sha256:<64 hex digits> or sha512:<128 hex digits>"; "checksum 须为 sha256:<64 位十六进制> 或 sha512:<128 位十六进制>"));
    }
    Ok(())
}

const FETCH: Step = Step::disk("fetch");
/// Its pace is the sender's, so it takes no place among the heavy steps; the adapter bounds how many run.
const RECEIVE: Step = Step::light("receive");

#[async_trait]
impl Verb for CreateImage {
    fn kind(&self) -> VerbKind {
        VerbKind::CreateImage
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Image, uuid: self.image.image_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        if self.is_upload { &[RECEIVE] } else { &[FETCH] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        context.check_cancel()?;
        let fetched = if self.is_upload {
            let upload = context.carried.upload.take();
            let upload =
                upload.ok_or_else(|| fail!(ImageDownloadFailed, "the bytes are gone, send them again"; "数据已丢失，请重新上传"))?;
            context.images.receive(&self.request, upload, context.transfer.clone()).await?
        } else {
            context.images.fetch(&self.request, context.transfer.clone()).await?
        };
        Ok(json!({ "storage_bytes": fetched.storage_bytes, "virtual_bytes": fetched.virtual_bytes, "checksum": fetched.checksum }))
    }

    async fn undo(&self, _step: &'static str, context: &StepContext) -> Result<()> {
        context.images.discard(&self.request).await
    }

    fn succeed(&self, snapshot: &Snapshot, outputs: &Outputs, now: Timestamp) -> Vec<Write> {
        let fetched = outputs.get(self.steps()[0].name).cloned().unwrap_or(Value::Null);
        let current = snapshot.images.get(&self.image.image_uuid).unwrap_or(&self.image);
        let mut image = Image::clone(current);
        image.status = ImageStatus::Ready;
        image.storage_bytes = fetched["storage_bytes"].as_u64().unwrap_or(0);
        image.virtual_bytes = fetched["virtual_bytes"].as_u64().unwrap_or(0);
        image.checksum = fetched["checksum"].as_str().unwrap_or_default().to_owned();
        image.update_time = now;
        vec![Write::PutImage(Arc::new(image))]
    }

    fn fail(&self, _snapshot: &Snapshot, _error: &ErrorRecord, _now: Timestamp) -> Vec<Write> {
        vec![Write::DeleteImage(self.image.image_uuid)]
    }

    fn after_restart(&self) -> AfterRestart {
        if self.is_upload { AfterRestart::Undo } else { AfterRestart::Resume }
    }

    fn is_cancelable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_sha_two_in_hexadecimal() {
        assert!(check_checksum("").is_ok());
        assert!(check_checksum(&"a".repeat(64)).is_ok());
        assert!(check_checksum(&format!("sha512:{}", "0".repeat(128))).is_ok());
        for bad in ["md5:00", "sha256:zz", &"g".repeat(64), "sha256:", &format!("sha256:{}", "0".repeat(128))] {
            assert!(check_checksum(bad).is_err(), "{bad}");
        }
    }
}
