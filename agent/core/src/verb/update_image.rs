//! Change what is said about an image.

use super::{Outputs, PlanView, Planned, Step, StepContext, UpdateImageInput, Verb, check};
use crate::model::{Image, ImageStatus, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind};
use crate::port::Write;
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan of an update: all of it is in the record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateImage {
    after: Arc<Image>,
}

pub(super) fn plan(input: &UpdateImageInput, view: PlanView<'_>) -> Result<Planned> {
    if let Some(name) = &input.new_name {
        check::name("new_name", name)?;
    }
    if let Some(description) = &input.description {
        check::description(description)?;
    }
    for (field, text) in [("os_type", &input.os_type), ("os_version", &input.os_version)] {
        check::short_text(field, text.as_deref().unwrap_or_default())?;
    }
    if *input == (UpdateImageInput { image_uuid: input.image_uuid, ..UpdateImageInput::default() }) {
        return Err(fail!(ParameterMissing,
            "one of new_name, description, boot_type, os_type, os_version"; "new_name、description、boot_type、os_type、os_version 至少一项"));
    }
    let image = check::image(&view, input.image_uuid)?;
    if image.status != ImageStatus::Ready {
        return Err(fail!(ImageNotReady));
    }
    if let Some(name) = &input.new_name {
        check::image_name_is_free(&view, name, Some(input.image_uuid))?;
    }
    let mut after = Image::clone(image);
    after.image_name = input.new_name.clone().unwrap_or(after.image_name);
    after.description = input.description.clone().unwrap_or(after.description);
    after.firmware = input.firmware.or(after.firmware);
    after.os_type = input.os_type.clone().unwrap_or(after.os_type);
    after.os_version = input.os_version.clone().unwrap_or(after.os_version);
    after.update_time = view.now;
    Ok(Planned::new(UpdateImage { after: Arc::new(after) }, &image.image_name))
}

#[async_trait]
impl Verb for UpdateImage {
    fn kind(&self) -> VerbKind {
        VerbKind::UpdateImage
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Image, uuid: self.after.image_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        &[]
    }

    async fn run(&self, _step: &'static str, _context: &StepContext) -> Result<Value> {
        Ok(Value::Null)
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        vec![Write::PutImage(self.after.clone())]
    }
}
