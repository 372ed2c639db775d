//! The one availability zone and the one cluster. Their names are free; more of them there cannot be.

use super::{done, keyed, list};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::input::Input;
use crate::dialect::chimestack::label::Label;
use crate::dialect::chimestack::shape::{AZS, CLUSTERS};
use serde_json::{Value, json};
use uuid::Uuid;

fn az(call: &Call) -> Value {
    let uuid = call.node().az;
    let label = Label::of(call, uuid);
    json!({
        "uuid": uuid, "name": label.name_or(|| "Default".to_owned()), "description": label.description, "state": 1, "created_at": null,
    })
}

/// The name of the cluster, for objects that show it.
pub(super) fn cluster_name(call: &Call) -> String {
    Label::of(call, call.node().cluster).name_or(|| "Default".to_owned())
}

fn cluster(call: &Call) -> Value {
    let node = call.node();
    let az_name = Label::of(call, node.az).name_or(|| "Default".to_owned());
    json!({
        "uuid": node.cluster,
        "name": cluster_name(call),
        "description": Label::of(call, node.cluster).description,
        "arch": call.snapshot.capabilities.as_ref().map_or("", |host| host.architecture.as_str()),
        "hypervisor_type": "kvm",
        "type": 1,
        "az_uuid": node.az,
        "az_name": az_name,
        "state": 1,
        "created_at": null,
    })
}

pub(in super::super) async fn list_azs(call: Call, input: Input) -> Outcome {
    list(&input, &AZS, vec![az(&call)])
}

pub(in super::super) async fn show_az(call: Call, _: Input) -> Outcome {
    Ok(keyed("az", az(&call)))
}

pub(in super::super) async fn list_clusters(call: Call, input: Input) -> Outcome {
    list(&input, &CLUSTERS, vec![cluster(&call)])
}

pub(in super::super) async fn show_cluster(call: Call, _: Input) -> Outcome {
    Ok(keyed("cluster", cluster(&call)))
}

pub(in super::super) async fn rename_az(call: Call, input: Input) -> Outcome {
    rename(&call, &input, call.node().az).await?;
    done("az")
}

pub(in super::super) async fn rename_cluster(call: Call, input: Input) -> Outcome {
    rename(&call, &input, call.node().cluster).await?;
    done("cluster")
}

async fn rename(call: &Call, input: &Input, uuid: Uuid) -> hvnode_core::Result<()> {
    Label::of(call, uuid).changed(input).keep(call, uuid).await
}
