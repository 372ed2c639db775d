//! Tags of images, one at a time.

use super::super::call::{Call, Outcome, Reply};
use super::super::errors::Fault;
use super::one;
use super::properties::{Announced, CUSTOM_MAX, TEXT_LENGTH_MAX};

pub(in super::super) async fn add(call: Call) -> Outcome {
    let tag = call.param(1).to_owned();
    if !(1..=TEXT_LENGTH_MAX).contains(&tag.chars().count()) || tag.chars().any(char::is_control) {
        return Err(Fault::bad_request(format!("Invalid tag: it must have 1 to {TEXT_LENGTH_MAX} characters.")));
    }
    change(call, move |tags| {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() <= CUSTOM_MAX {
            return Ok(());
        }
        Err(Fault::new(413, format!("The limit has been exceeded on the number of allowed image tags: {CUSTOM_MAX}")))
    })
    .await
}

pub(in super::super) async fn remove(call: Call) -> Outcome {
    let tag = call.param(1).to_owned();
    change(call, move |tags| {
        let before = tags.len();
        tags.retain(|own| *own != tag);
        if tags.len() < before { Ok(()) } else { Err(Fault::not_found("The image has no such tag.")) }
    })
    .await
}

async fn change(call: Call, edit: impl FnOnce(&mut Vec<String>) -> Result<(), Fault>) -> Outcome {
    one(&call, call.param(0))?;
    let uuid = call.uuid(0).unwrap_or_default();
    let mut announced = Announced::of_any(&call, uuid);
    edit(&mut announced.properties.tags)?;
    announced.put(&call.shared.context.records, uuid).await?;
    call.record().await;
    Ok(Reply::empty(204))
}
