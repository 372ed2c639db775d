//! Images of the repository.

use super::super::call::Call;
use super::super::change::ChangeBody;
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Row};
use super::repository::check_repository;
use super::vm_create::BootType;
use super::vm_view::firmware_word;
use super::{IMAGE, Resource, value_of};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{DEFAULT_REPOSITORY_UUID, Firmware, Image, ImageFormat, ImageStatus, NAME_LENGTH_MAX, VerbKind};
use hvnode_core::port::UploadSource;
use hvnode_core::verb::{ChangeInput, CreateImageInput, DeleteImageInput, ImageSource, UpdateImageInput};
use hvnode_core::{AgentError, Result, fail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

const STATUSES: [&str; 5] = ["creating", "downloading", "ready", "error", "deleting"];

/// An image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Image)]
pub(in super::super) struct ImageView<'a> {
    image_uuid: Uuid,
    image_name: &'a str,
    description: &'a str,
    /// creating, downloading, ready, error or deleting.
    status: &'static str,
    /// qcow2, raw, iso, kernel or initrd.
    format: &'static str,
    /// Bytes of the file; 0 until known.
    storage_size: u64,
    /// Bytes of the disk a guest sees; 0 until known.
    virtual_size: u64,
    /// `sha256:<hex>` of the file; empty until known.
    checksum: &'a str,
    boot_type: Option<&'static str>,
    os_type: &'a str,
    os_version: &'a str,
    architecture: &'a str,
    repository_uuid: Uuid,
    /// Where it came from, without credentials.
    url: &'a str,
    shared: bool,
    /// Unix seconds.
    create_time: i64,
    /// Unix seconds.
    update_time: i64,
    error_message: Option<String>,
}

impl<'a> ImageView<'a> {
    pub(super) fn of(image: &'a Image) -> Self {
        Self {
            image_uuid: image.image_uuid,
            image_name: &image.image_name,
            description: &image.description,
            status: status_word(image.status),
            format: image.format.word(),
            storage_size: image.storage_bytes,
            virtual_size: image.virtual_bytes,
            checksum: &image.checksum,
            boot_type: image.firmware.map(firmware_word),
            os_type: &image.os_type,
            os_version: &image.os_version,
            architecture: &image.architecture,
            repository_uuid: DEFAULT_REPOSITORY_UUID,
            url: &image.url,
            shared: true,
            create_time: image.create_time.seconds(),
            update_time: image.update_time.seconds(),
            error_message: image.error.clone().map(|error| AgentError::from(error).message()),
        }
    }
}

fn status_word(status: ImageStatus) -> &'static str {
    match status {
        ImageStatus::Creating => "creating",
        ImageStatus::Downloading => "downloading",
        ImageStatus::Ready => "ready",
        ImageStatus::Error => "error",
        ImageStatus::Deleting => "deleting",
    }
}

/// What the bytes of an image are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum ImageFormatWord {
    Qcow2,
    Raw,
    Iso,
    Kernel,
    Initrd,
}

impl From<ImageFormatWord> for ImageFormat {
    fn from(word: ImageFormatWord) -> Self {
        match word {
            ImageFormatWord::Qcow2 => Self::Qcow2,
            ImageFormatWord::Raw => Self::Raw,
            ImageFormatWord::Iso => Self::Iso,
            ImageFormatWord::Kernel => Self::Kernel,
            ImageFormatWord::Initrd => Self::Initrd,
        }
    }
}

/// Which images.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ImageFilter {
    #[schema(format = Uuid)]
    repository_uuid: Option<String>,
    format: Option<ImageFormatWord>,
    os_type: Option<String>,
}

/// Which image.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ImageTarget {
    #[schema(format = Uuid)]
    image_uuid: String,
}

pub(in super::super) async fn list(call: Call, options: ListOptions, filter: ImageFilter) -> Result<Data> {
    let plan = options.plan(Some(&STATUSES))?;
    let is_here = check_repository(filter.repository_uuid.as_deref())?;
    if let Some(os_type) = &filter.os_type {
        check::short("os_type", os_type, NAME_LENGTH_MAX)?;
    }
    let format = filter.format.map(ImageFormat::from);
    let snapshot = call.snapshot();
    let is_wanted = |image: &&std::sync::Arc<Image>| {
        is_here
            && plan.admits(&image.image_name, status_word(image.status))
            && format.is_none_or(|format| format == image.format)
            && filter.os_type.as_ref().is_none_or(|os_type| *os_type == image.os_type)
    };
    let images = snapshot.images.values().filter(is_wanted);
    let rows = images.map(|image| Row { create_time: image.create_time, name: &image.image_name, uuid: image.image_uuid, item: image });
    Data::of(&plan.page(rows.collect(), |image| ImageView::of(image)))
}

pub(in super::super) async fn inspect(call: Call, target: ImageTarget) -> Result<Data> {
    let image_uuid = check::uuid("image_uuid", &target.image_uuid)?;
    let snapshot = call.snapshot();
    let image = snapshot.images.get(&image_uuid).ok_or_else(|| fail!(ImageNotExist))?;
    Data::of(&InspectedImage { image: ImageView::of(image) })
}

#[derive(Debug, Serialize)]
struct InspectedImage<'a> {
    image: ImageView<'a>,
}

/// Fetch an image.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct CreateImage {
    #[schema(min_length = 1, max_length = 128)]
    image_name: String,
    /// Wanted uuid; chosen if absent.
    #[schema(format = Uuid)]
    image_uuid: Option<String>,
    /// `http:`, `https:` or `file:`; which of these are fetched is the node's configuration.
    #[schema(max_length = 4096)]
    url: String,
    format: ImageFormatWord,
    #[schema(format = Uuid)]
    repository_uuid: Option<String>,
    /// For the operation log only.
    #[serde(rename = "repository_name")]
    _repository_name: Option<String>,
    /// `sha256:<hex>`, `sha512:<hex>` or bare hex.
    checksum: Option<String>,
    boot_type: Option<BootType>,
    #[schema(max_length = 128)]
    os_type: Option<String>,
    #[schema(max_length = 128)]
    os_version: Option<String>,
    /// The host's if absent.
    architecture: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
}

impl CreateImage {
    fn into_input(self, source: ImageSource) -> Result<CreateImageInput> {
        if !check_repository(self.repository_uuid.as_deref())? {
            return Err(fail!(RepositoryNotExist));
        }
        Ok(CreateImageInput {
            image_uuid: check::optional_uuid("image_uuid", self.image_uuid.as_deref())?,
            image_name: check::name("image_name", self.image_name)?,
            description: check::description(self.description)?,
            source,
            format: self.format.into(),
            checksum: check::checksum("checksum", self.checksum)?,
            firmware: self.boot_type.map(Firmware::from),
            os_type: word_or_empty("os_type", self.os_type)?,
            os_version: word_or_empty("os_version", self.os_version)?,
            architecture: self.architecture.map(|text| check::word("architecture", text)).transpose()?,
        })
    }
}

impl ChangeBody for CreateImage {
    const RESOURCE: &'static Resource = &IMAGE;
    const VERB: VerbKind = VerbKind::CreateImage;

    fn into_change(self) -> Result<ChangeInput> {
        let url = check::url("url", self.url.clone())?;
        self.into_input(ImageSource::Url(url)).map(ChangeInput::CreateImage)
    }

    fn created(snapshot: &Snapshot, uuid: Uuid) -> Option<Result<Value>> {
        snapshot.images.get(&uuid).map(|image| value_of(&ImageView::of(image)))
    }
}

/// Send an image: what the bytes in the body are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct UploadImage {
    #[schema(min_length = 1, max_length = 128)]
    image_name: String,
    /// Wanted uuid; chosen if absent.
    #[schema(format = Uuid)]
    image_uuid: Option<String>,
    format: ImageFormatWord,
    #[schema(format = Uuid)]
    repository_uuid: Option<String>,
    /// `sha256:<hex>`, `sha512:<hex>` or bare hex.
    checksum: Option<String>,
    boot_type: Option<BootType>,
    #[schema(max_length = 128)]
    os_type: Option<String>,
    #[schema(max_length = 128)]
    os_version: Option<String>,
    /// The host's if absent.
    architecture: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
}

impl UploadImage {
    /// Checks the shape of every field.
    ///
    /// # Errors
    /// `ParameterInvalid`, `RepositoryNotExist`.
    pub(in super::super) fn into_change(self, source: UploadSource) -> Result<ChangeInput> {
        let Self { image_name, image_uuid, format, repository_uuid, checksum, boot_type, os_type, os_version, architecture, description } =
            self;
        let (url, _repository_name) = (String::new(), None);
        let said = CreateImage {
            image_name,
            image_uuid,
            url,
            format,
            repository_uuid,
            _repository_name,
            checksum,
            boot_type,
            os_type,
            os_version,
            architecture,
            description,
        };
        said.into_input(ImageSource::Upload(source)).map(ChangeInput::CreateImage)
    }
}

fn word_or_empty(field: &str, text: Option<String>) -> Result<String> {
    let text = text.unwrap_or_default();
    check::short(field, &text, NAME_LENGTH_MAX).map(|()| text)
}

/// Change what is said about an image; absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct UpdateImage {
    #[schema(format = Uuid)]
    image_uuid: String,
    /// For the operation log only.
    #[serde(rename = "image_name")]
    _image_name: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    new_name: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
    boot_type: Option<BootType>,
    #[schema(max_length = 128)]
    os_type: Option<String>,
    #[schema(max_length = 128)]
    os_version: Option<String>,
}

impl ChangeBody for UpdateImage {
    const RESOURCE: &'static Resource = &IMAGE;
    const VERB: VerbKind = VerbKind::UpdateImage;

    fn into_change(self) -> Result<ChangeInput> {
        let image_uuid = check::uuid("image_uuid", &self.image_uuid)?;
        let is_empty = self.new_name.is_none() && self.description.is_none() && self.boot_type.is_none();
        if is_empty && self.os_type.is_none() && self.os_version.is_none() {
            return Err(fail!(ParameterMissing,
                "at least one of new_name, description, boot_type, os_type, os_version"; "new_name、description、boot_type、os_type、os_version 至少一个"));
        }
        Ok(ChangeInput::UpdateImage(UpdateImageInput {
            image_uuid,
            new_name: self.new_name.map(|name| check::name("new_name", name)).transpose()?,
            description: self.description.map(|text| check::description(Some(text))).transpose()?,
            firmware: self.boot_type.map(Firmware::from),
            os_type: self.os_type.map(|text| word_or_empty("os_type", Some(text))).transpose()?,
            os_version: self.os_version.map(|text| word_or_empty("os_version", Some(text))).transpose()?,
        }))
    }
}

/// Remove an image that no VM's disk depends on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct DeleteImage {
    #[schema(format = Uuid)]
    image_uuid: String,
    /// For the operation log only.
    #[serde(rename = "image_name")]
    _image_name: Option<String>,
}

impl ChangeBody for DeleteImage {
    const RESOURCE: &'static Resource = &IMAGE;
    const VERB: VerbKind = VerbKind::DeleteImage;

    fn into_change(self) -> Result<ChangeInput> {
        Ok(ChangeInput::DeleteImage(DeleteImageInput { image_uuid: check::uuid("image_uuid", &self.image_uuid)? }))
    }
}
