//! Messages that change images, offerings and disks.

use super::call::{Call, Decoded};
use super::change::check_delete_mode;
use super::fields::Fields;
use super::identity::BACKUP_STORAGE_UUID;
use hvnode_core::model::ImageFormat;
use hvnode_core::verb::{
    ChangeInput, CreateImageInput, CreateSpecificationInput, DeleteImageInput, DeleteSpecificationInput, DeleteVolumeInput, ImageSource,
    UpdateImageInput, UpdateSpecificationInput,
};
use hvnode_core::{Result, fail};

pub(super) fn add(_: &Call, fields: &Fields) -> Decoded {
    let format = match fields.need_word("format", &["qcow2", "raw", "iso"])? {
        "qcow2" => ImageFormat::Qcow2,
        "raw" => ImageFormat::Raw,
        _ => ImageFormat::Iso,
    };
    let media = fields.word("mediaType", &["RootVolumeTemplate", "ISO", "DataVolumeTemplate"])?;
    if media.is_some_and(|media| (media == "ISO") != (format == ImageFormat::Iso)) {
        return Err(fail!(ParameterInvalid, "mediaType ISO and format iso belong together"; "mediaType ISO 须与 format iso 同用").into());
    }
    if media == Some("DataVolumeTemplate") {
        return Err(fail!(NotSupported, "mediaType: this node makes root disks of images only"; "mediaType: 本节点的镜像仅用于根盘").into());
    }
    check_store(fields)?;
    let platform = fields.text("platform")?;
    Ok(ChangeInput::CreateImage(CreateImageInput {
        image_uuid: fields.uuid("resourceUuid")?,
        image_name: fields.need_name()?,
        description: fields.description()?.unwrap_or_default(),
        source: ImageSource::Url(fields.need_text("url")?),
        format,
        checksum: String::new(),
        firmware: None,
        os_type: fields.text("guestOsType")?.or(platform).unwrap_or_default(),
        os_version: String::new(),
        architecture: fields.text("architecture")?,
    }))
}

fn check_store(fields: &Fields) -> Result<()> {
    let stores = fields.uuids("backupStorageUuids")?.unwrap_or_default();
    match stores.iter().find(|uuid| **uuid != BACKUP_STORAGE_UUID) {
        None => Ok(()),
        Some(_) => Err(fail!(RepositoryNotExist)),
    }
}

pub(super) fn update(_: &Call, fields: &Fields) -> Decoded {
    fields.refuse(&["mediaType", "format", "system", "platform"])?;
    let input = UpdateImageInput {
        image_uuid: fields.need_uuid("uuid")?,
        new_name: fields.name()?,
        description: fields.description()?,
        os_type: fields.text("guestOsType")?,
        ..UpdateImageInput::default()
    };
    Ok(ChangeInput::UpdateImage(input))
}

pub(super) fn delete(_: &Call, fields: &Fields) -> Decoded {
    check_delete_mode(fields)?;
    check_store(fields)?;
    Ok(ChangeInput::DeleteImage(DeleteImageInput { image_uuid: fields.need_uuid("uuid")? }))
}

pub(super) fn expunge(_: &Call, fields: &Fields) -> Decoded {
    check_store(fields)?;
    Ok(ChangeInput::DeleteImage(DeleteImageInput { image_uuid: fields.need_uuid("imageUuid")? }))
}

pub(super) fn create_offering(_: &Call, fields: &Fields) -> Decoded {
    fields.word("type", &["UserVm"])?;
    Ok(ChangeInput::CreateSpecification(CreateSpecificationInput {
        specification_uuid: fields.uuid("resourceUuid")?,
        specification_name: fields.need_name()?,
        description: fields.description()?.unwrap_or_default(),
        cpu_cores: fields.need_number("cpuNum")?,
        memory_bytes: fields.need_number("memorySize")?,
        storage_bytes: 0,
    }))
}

pub(super) fn update_offering(_: &Call, fields: &Fields) -> Decoded {
    Ok(ChangeInput::UpdateSpecification(UpdateSpecificationInput {
        specification_uuid: fields.need_uuid("uuid")?,
        new_name: fields.name()?,
        description: fields.description()?,
        ..UpdateSpecificationInput::default()
    }))
}

pub(super) fn delete_offering(_: &Call, fields: &Fields) -> Decoded {
    check_delete_mode(fields)?;
    Ok(ChangeInput::DeleteSpecification(DeleteSpecificationInput { specification_uuid: fields.need_uuid("uuid")? }))
}

pub(super) fn delete_volume(_: &Call, fields: &Fields) -> Decoded {
    check_delete_mode(fields)?;
    Ok(ChangeInput::DeleteVolume(DeleteVolumeInput { volume_uuid: fields.need_uuid("uuid")? }))
}
