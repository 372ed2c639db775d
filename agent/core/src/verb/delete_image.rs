//! Remove an image that nothing depends on.

use super::domain::uses_path;
use super::{DeleteImageInput, Outputs, PlanView, Planned, Step, StepContext, Verb, check};
use crate::error::ErrorRecord;
use crate::model::{Image, ImageStatus, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind};
use crate::port::{FetchRequest, Write};
use crate::{ErrorCode, Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan of an image removal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteImage {
    image: Arc<Image>,
}

pub(super) fn plan(input: &DeleteImageInput, view: PlanView<'_>) -> Result<Planned> {
    let image = check::image(&view, input.image_uuid)?;
    check_unused(image, view.snapshot)?;
    let mut deleting = Image::clone(image);
    deleting.status = ImageStatus::Deleting;
    let writes = vec![Write::PutImage(Arc::new(deleting))];
    Ok(Planned::new(DeleteImage { image: image.clone() }, &image.image_name).with_writes(writes))
}

/// Disks that are children of the image, VMs that boot from its file, and VMs of others that have the file open.
fn check_unused(image: &Image, snapshot: &Snapshot) -> Result<()> {
    if let Some(volume) = snapshot.volumes.values().find(|v| v.image_uuid == Some(image.image_uuid)) {
        let name = &volume.volume_name;
        return Err(fail!(ImageInUse, "disk {name} is a child of it"; "硬盘 {name} 依赖该镜像"));
    }
    let user = snapshot.vms.values().find(|vm| {
        vm.record.as_ref().is_some_and(|r| uses_path(r, &image.path))
            || vm.observed.as_ref().is_some_and(|o| o.disks.iter().any(|d| d.path == image.path))
    });
    if let Some(vm) = user {
        let name = vm.name();
        return Err(fail!(ImageInUse, "vm {name} uses it"; "虚拟机 {name} 正在使用"));
    }
    Ok(())
}

#[async_trait]
impl Verb for DeleteImage {
    fn kind(&self) -> VerbKind {
        VerbKind::DeleteImage
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Image, uuid: self.image.image_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        const { &[Step::disk("remove_file")] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        let request = FetchRequest {
            image_uuid: self.image.image_uuid,
            url: String::new(),
            format: self.image.format,
            checksum: String::new(),
            path: self.image.path.clone(),
        };
        context.images.discard(&request).await?;
        Ok(Value::Null)
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        vec![Write::DeleteImage(self.image.image_uuid)]
    }

    fn fail(&self, snapshot: &Snapshot, error: &ErrorRecord, now: Timestamp) -> Vec<Write> {
        if error.code == ErrorCode::JobCanceled {
            // Nothing was done. The import that it cut short may have taken the image away, or finished it.
            let current = snapshot.images.get(&self.image.image_uuid);
            return current
                .filter(|i| i.status == ImageStatus::Deleting)
                .map(|_| Write::PutImage(self.image.clone()))
                .into_iter()
                .collect();
        }
        // Part of it may be gone, so nothing may be made from it any more; the delete can be asked again.
        let mut image = Image::clone(&self.image);
        image.status = ImageStatus::Error;
        image.error = Some(error.clone());
        image.update_time = now;
        vec![Write::PutImage(Arc::new(image))]
    }
}
