//! Images and the one bucket they are in.

use super::vm::{boot_word, explained};
use super::{as_new, done, keyed, list as listed, time};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::field::{Field, Kind, body};
use crate::dialect::chimestack::input::Input;
use crate::dialect::chimestack::shape::{BUCKET, IMAGE};
use crate::dialect::chimestack::task;
use hvnode_core::fail;
use hvnode_core::model::{DEFAULT_REPOSITORY_NAME, DEFAULT_REPOSITORY_UUID, Firmware, Image, ImageFormat};
use hvnode_core::verb::{ChangeInput, CreateImageInput, DeleteImageInput, ImageSource, UpdateImageInput};
use serde_json::{Value, json};

/// Longest address of an image.
const URL_MAX: usize = 4096;
const NAME: Field = body("name", Kind::Text(128));
const DESCRIPTION: Field = body("description", Kind::Text(1024));
const BOOT_TYPE: Field = body("boot_type", Kind::Word(&["bios", "uefi", "legacy"])).about("legacy is bios.");
const OS_TYPE: Field = body("os_type", Kind::Text(128));
const OS_DETAIL: Field = body("os_detail", Kind::Text(128));

/// Body of `POST /v1/image/public`.
pub(in super::super) const CREATE: &[Field] = &[
    NAME.required(),
    body("install_url", Kind::Text(URL_MAX))
        .required()
        .about("Path on the node, or a file, http or https URL; sftp is not in this version."),
    body("format", Kind::Word(&["qcow2", "raw", "iso", "kernel", "initrd"])).about("As the URL ends, else qcow2."),
    BOOT_TYPE,
    OS_TYPE,
    body("os_arch", Kind::Text(128)).about("The host's if absent."),
    OS_DETAIL,
    body("shared", Kind::Flag).about("A node has one tenant: every image is shared."),
    DESCRIPTION,
];

/// Body of `PATCH /v1/image/{ImageUuid}`.
pub(in super::super) const UPDATE: &[Field] = &[NAME, DESCRIPTION, BOOT_TYPE, OS_TYPE, OS_DETAIL];

fn view(call: &Call, image: &Image) -> Value {
    json!({
        "uuid": image.image_uuid,
        "name": image.image_name,
        "description": image.description,
        "format": image.format.word(),
        "boot_type": image.firmware.map_or("bios", boot_word),
        "os_arch": image.architecture,
        "os_type": image.os_type,
        "os_detail": image.os_version,
        "install_url": image.url,
        "bucket_uuid": DEFAULT_REPOSITORY_UUID,
        "bucket_name": DEFAULT_REPOSITORY_NAME,
        "shared": 1,
        "state": call.options.states.image(image.status),
        "operation": task::operation(task::open_job(&call.snapshot, image.image_uuid)),
        "created_at": time(image.create_time),
    })
}

pub(in super::super) async fn list(call: Call, input: Input) -> Outcome {
    listed(&input, &IMAGE, call.snapshot.images.values().map(|image| view(&call, image)).collect())
}

pub(in super::super) async fn show(call: Call, input: Input) -> Outcome {
    let uuid = input.required_uuid("ImageUuid")?;
    match call.snapshot.images.get(&uuid) {
        Some(image) => Ok(keyed("image", view(&call, image))),
        None => Err(explained(&call, uuid, fail!(ImageNotExist).into()).await),
    }
}

fn firmware(input: &Input) -> Option<Firmware> {
    input.text("boot_type").map(|word| if word == "uefi" { Firmware::Uefi } else { Firmware::Bios })
}

/// As the caller says, else as the address ends.
fn format(input: &Input, url: &str) -> ImageFormat {
    let path = url.split(['?', '#']).next().unwrap_or(url).to_ascii_lowercase();
    let is_said = |format: &ImageFormat| match input.text("format") {
        Some(word) => word == format.word(),
        None => path.ends_with(&format!(".{}", format.word())),
    };
    ImageFormat::ALL.into_iter().find(is_said).unwrap_or(ImageFormat::Qcow2)
}

pub(in super::super) async fn create(call: Call, input: Input) -> Outcome {
    let url = input.owned("install_url").unwrap_or_default();
    let url = if url.starts_with('/') { format!("file://{url}") } else { url };
    if url.starts_with("sftp:") {
        return Err(fail!(NotSupported, "install_url: sftp is not in this version; a path on the node, file, http and https are").into());
    }
    let change = CreateImageInput {
        image_uuid: None,
        image_name: input.owned("name").unwrap_or_default(),
        description: input.owned("description").unwrap_or_default(),
        format: format(&input, &url),
        source: ImageSource::Url(url),
        checksum: String::new(),
        firmware: firmware(&input),
        os_type: input.owned("os_type").unwrap_or_default(),
        os_version: input.owned("os_detail").unwrap_or_default(),
        architecture: input.owned("os_arch").filter(|text| !text.is_empty()),
    };
    let job = call.submit(ChangeInput::CreateImage(change), &input).await?;
    let call = call.refreshed();
    match call.snapshot.images.get(&job.resource.uuid) {
        Some(image) => Ok(keyed("image", as_new(view(&call, image)))),
        None => Err(call.failure_of(&job).await),
    }
}

pub(in super::super) async fn update(call: Call, input: Input) -> Outcome {
    let change = UpdateImageInput {
        image_uuid: input.required_uuid("ImageUuid")?,
        new_name: input.owned("name"),
        description: input.owned("description"),
        firmware: firmware(&input),
        os_type: input.owned("os_type"),
        os_version: input.owned("os_detail"),
    };
    call.submit_short(ChangeInput::UpdateImage(change), &input).await?;
    done("image")
}

pub(in super::super) async fn delete(call: Call, input: Input) -> Outcome {
    let image_uuid = input.required_uuid("ImageUuid")?;
    call.submit(ChangeInput::DeleteImage(DeleteImageInput { image_uuid }), &input).await?;
    done("image")
}

pub(in super::super) async fn list_buckets(call: Call, input: Input) -> Outcome {
    let bucket = json!({
        "uuid": DEFAULT_REPOSITORY_UUID,
        "name": DEFAULT_REPOSITORY_NAME,
        "bucket_name": DEFAULT_REPOSITORY_NAME,
        "description": "",
        "type": 0,
        "image_count": call.snapshot.images.len(),
        "state": 1,
        "user_name": "",
        "created_at": null,
    });
    listed(&input, &BUCKET, vec![bucket])
}
