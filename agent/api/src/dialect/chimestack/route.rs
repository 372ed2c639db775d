//! What one row of the route table says: method, path, parameters, what stands behind it, and the shape of its answer.

use super::call::{Call, Outcome};
use super::field::Field;
use super::input::Input;
use crate::access::Access;
use futures_util::future::BoxFuture;
use http::Method;
use hvnode_core::model::VerbKind;

/// What stands behind a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Reads.
    Read,
    /// Opens, checks or ends a session; needs no token.
    Session,
    /// One verb of the engine, which logs it.
    Change(VerbKind),
    /// Changes something that is no verb.
    Action,
    /// Always refused: not in this version, or meaningless on one node. The text says which.
    Refused(&'static str),
}

/// The type of a field of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Type {
    Text,
    Uuid,
    /// A uuid, or empty or null where there is none.
    UuidOrNone,
    Whole,
    Number,
    /// RFC 3339, or null.
    Time,
    /// Always null.
    Null,
    /// A list of these; of anything where the shape is empty.
    List(Shape),
    /// A list of texts.
    Texts,
    /// Anything.
    Any,
}

/// Every field of an object, in the order of the documents.
pub(super) type Shape = &'static [(&'static str, Type)];

/// A kind of object as this API shows it.
#[derive(Debug)]
pub(super) struct Resource {
    /// Key of one in a result.
    pub(super) key: &'static str,
    /// As messages call it.
    pub(super) title: &'static str,
    pub(super) shape: Shape,
    /// Fields that lists can be filtered by, beside the name.
    pub(super) filters: &'static [Field],
}

/// What `result` holds on success.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    /// `{"<key>": object}`.
    One(&'static Resource),
    /// `{"elements": [...], "size", "total"}`.
    List(&'static Resource),
    /// `{"<key>": "ok"}`.
    Ok(&'static str),
    /// `{"<key>": object with these}`.
    Keyed(&'static str, Shape),
    /// An object with these.
    Plain(Shape),
    /// `{"stats": [objects with these]}`.
    Points(Shape),
    /// Never succeeds.
    Never,
}

/// A handler with its types worn off.
pub(super) type Handler = fn(Call, Input) -> BoxFuture<'static, Outcome>;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) offer: Offer,
    /// Who may use it.
    pub(super) access: Access,
    pub(super) fields: Vec<Field>,
    pub(super) reply: Reply,
    pub(super) handler: Handler,
}

impl Route {
    /// True where the answer comes without a token.
    pub(super) fn is_open(&self) -> bool {
        self.offer == Offer::Session
    }

    /// Who may use a route of which only this is known.
    pub(super) fn access_of(offer: Offer, method: &Method) -> Access {
        match offer {
            Offer::Session => Access::Public,
            _ if *method == Method::GET => Access::Read,
            _ => Access::Change,
        }
    }

    /// For others than most of its kind.
    pub(super) fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }
}
