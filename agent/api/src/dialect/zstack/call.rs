//! What a handler is given and what it gives back.

use super::ZStackOptions;
use super::errors::Fault;
use super::fields::Fields;
use super::identity::hex;
use crate::context::ApiContext;
use futures_util::future::BoxFuture;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::Caller;
use hvnode_core::verb::ChangeInput;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::Mutex;
use uuid::Uuid;

/// One message of somebody who may send it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Engine, accounts, records.
    pub(super) context: ApiContext,
    /// What the operator set.
    pub(super) options: ZStackOptions,
    /// Who asks.
    pub(super) caller: Caller,
    /// Full class name of the message, as in the operation log.
    pub(super) class: &'static str,
    /// Held while records are changed: each change reads, checks and writes. They are few and small.
    pub(super) turn: Arc<Mutex<()>>,
}

impl Call {
    /// The current picture of the node.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.context.engine.snapshot()
    }
}

/// The fields of a reply beside `success`.
pub(super) type Reply = Map<String, Value>;
/// How a handler ends.
pub(super) type Outcome = std::result::Result<Reply, Fault>;
/// A handler that waits for something.
pub(super) type Waiting = BoxFuture<'static, Outcome>;
/// A change as decoded from a message.
pub(super) type Decoded = std::result::Result<ChangeInput, Fault>;
/// A handler that decodes one.
pub(super) type Decode = fn(&Call, &Fields) -> Decoded;
/// A handler that only looks at what is in memory.
pub(super) type Look = fn(&Call, &Fields) -> Outcome;
/// A handler that waits.
pub(super) type Ask = fn(Call, Fields) -> Waiting;

/// A reply of one field.
pub(super) fn one(name: &str, value: impl Into<Value>) -> Reply {
    Map::from_iter([(name.to_owned(), value.into())])
}

/// A reply about one object.
pub(super) fn inventory(value: Value) -> Reply {
    one("inventory", value)
}

/// An object without the fields that are null: they are never sent.
pub(super) fn pruned(mut value: Value) -> Value {
    if let Value::Object(object) = &mut value {
        object.retain(|_, value| !value.is_null());
    }
    value
}

/// A reference, absent where there is none.
pub(super) fn reference(uuid: Option<Uuid>) -> Value {
    uuid.map_or(Value::Null, |uuid| hex(uuid).into())
}
