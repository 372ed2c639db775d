//! What one row of the route table says, and the constructors that rows are written with.

use super::call::{Call, Handler, Outcome};
use super::change::{self, ChangeBody, ChangeOptions};
use super::decode::{from_body, from_query};
use super::dry_run::{self, VmChangeOptions};
use super::envelope::Data;
use super::listing::{LIST_FIELDS, ListData, ListOptions, take_options};
use super::resource::{Nothing, Resource};
use crate::access::Access;
use futures_util::FutureExt;
use hvnode_core::model::{ResourceType, VerbKind};
use hvnode_core::{Result, at, fail};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::future::Future;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// GET reads, POST changes; nothing else exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

impl Method {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    /// Who may use a route of which only this is known.
    fn access(self) -> Access {
        match self {
            Self::Get => Access::Read,
            Self::Post => Access::Change,
        }
    }
}

/// What stands behind a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Reads the picture, the jobs or the log.
    Read,
    /// Reads the picture only, so its encoded answer holds as long as the picture does.
    CachedRead,
    /// Events without end, in a form of their own.
    Stream,
    /// One verb of the engine, which logs it.
    Change(VerbKind),
    /// Makes an image of the bytes that are sent; the engine logs it.
    Upload,
    /// Opens a session; the only route without authentication.
    LogIn,
    /// Changes the caller's own session; any role.
    Session,
    /// Changes something that is no verb.
    Action,
    /// Known and not built yet.
    NotBuilt,
    /// Known and meaningless on a single node.
    NotOnOneNode,
}

/// A type as OpenAPI shows it.
#[derive(Clone, Copy)]
pub(super) struct TypeSchema {
    pub(super) name: fn() -> Cow<'static, str>,
    pub(super) schema: fn() -> RefOr<Schema>,
    /// Adds the types it refers to.
    pub(super) collect: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl TypeSchema {
    pub(super) fn of<T: ToSchema>() -> Self {
        Self { name: T::name, schema: T::schema, collect: T::schemas }
    }
}

/// What `data` holds on success.
#[derive(Clone, Copy)]
pub(super) enum Reply {
    /// This.
    Object(TypeSchema),
    /// `{"<key>": this}`.
    Keyed(&'static str, TypeSchema),
    /// `{total_count, list}` of these.
    List(TypeSchema),
    /// This where one was asked for, `{total_count, list}` of these where several were.
    OneOrList(TypeSchema),
    /// `{"<key>": this, job_uuid}`.
    Created(&'static str, TypeSchema),
    /// The request, `job_uuid`, and `job_status` where the job has not ended.
    Echo,
    /// These, one by one, as server-sent events.
    Stream(TypeSchema),
    /// Never succeeds.
    Never,
}

impl Reply {
    /// The type that it is made of.
    pub(super) fn kind(self) -> Option<TypeSchema> {
        match self {
            Self::Object(kind) | Self::Keyed(_, kind) | Self::List(kind) | Self::OneOrList(kind) => Some(kind),
            Self::Created(_, kind) | Self::Stream(kind) => Some(kind),
            Self::Echo | Self::Never => None,
        }
    }
}

/// One row of the table.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) method: Method,
    pub(super) summary: &'static str,
    pub(super) offer: Offer,
    /// Who may use it.
    pub(super) access: Access,
    pub(super) resource: Option<&'static Resource>,
    pub(super) request: TypeSchema,
    /// Parameters beside those of `request`.
    pub(super) common: Option<TypeSchema>,
    pub(super) reply: Reply,
    pub(super) handler: Handler,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("path", &self.path).field("method", &self.method).finish_non_exhaustive()
    }
}

impl Route {
    /// GET of something that has no pages.
    pub(super) fn read<Q, F, Fut>(path: &'static str, summary: &'static str, reply: Reply, handler: F) -> Self
    where
        Q: DeserializeOwned + ToSchema + Send + 'static,
        F: Fn(Call, Q) -> Fut + Send + Sync + Copy + 'static,
        Fut: Future<Output = Result<Data>> + Send + 'static,
    {
        let handler: Handler =
            Box::new(move |call, object| async move { Ok(handler(call, from_query(&object, &[]).map_err(at!())?).await?) }.boxed());
        Self { method: Method::Get, offer: Offer::Read, access: Access::Read, ..Self::new::<Q>(path, summary, reply, handler) }
    }

    /// GET of a list.
    pub(super) fn list<Q, V, F, Fut>(path: &'static str, summary: &'static str, handler: F) -> Self
    where
        Q: DeserializeOwned + ToSchema + Send + 'static,
        V: ToSchema,
        F: Fn(Call, ListOptions, Q) -> Fut + Send + Sync + Copy + 'static,
        Fut: Future<Output = Result<Data>> + Send + 'static,
    {
        let handler: Handler = Box::new(move |call, mut object| {
            async move {
                let options = take_options(&mut object).map_err(at!())?;
                Ok(handler(call, options, from_query(&object, &LIST_FIELDS).map_err(at!())?).await?)
            }
            .boxed()
        });
        let reply = Reply::List(TypeSchema::of::<V>());
        let common = Some(TypeSchema::of::<ListOptions>());
        Self { method: Method::Get, offer: Offer::Read, access: Access::Read, common, ..Self::new::<Q>(path, summary, reply, handler) }
    }

    /// The same, its encoded answer kept as long as the picture of the node stays the same.
    pub(super) fn cached(self) -> Self {
        Self { offer: Offer::CachedRead, ..self }
    }

    /// GET of events without end; served as a whole by `event_stream`.
    pub(super) fn stream<Q: ToSchema, V: ToSchema>(path: &'static str, summary: &'static str) -> Self {
        let handler = Self::refusing(|| fail!(NotSupported, "this route is a stream"; "该路由为事件流"));
        let reply = Reply::Stream(TypeSchema::of::<V>());
        Self { method: Method::Get, offer: Offer::Stream, access: Access::Read, ..Self::new::<Q>(path, summary, reply, handler) }
    }

    /// POST of a verb.
    pub(super) fn change<B: ChangeBody>(path: &'static str, summary: &'static str) -> Self {
        Self::change_with::<B>(path, summary, Reply::Echo)
    }

    /// POST of a verb that makes something.
    pub(super) fn create<B: ChangeBody, V: ToSchema>(path: &'static str, summary: &'static str) -> Self {
        Self::change_with::<B>(path, summary, Reply::Created(B::RESOURCE.word, TypeSchema::of::<V>()))
    }

    fn change_with<B: ChangeBody>(path: &'static str, summary: &'static str, reply: Reply) -> Self {
        let handler: Handler = Box::new(|call, object| change::run::<B>(call, object).boxed());
        let common = Some(if dry_run::is_taken::<B>() { TypeSchema::of::<VmChangeOptions>() } else { TypeSchema::of::<ChangeOptions>() });
        let offer = Offer::Change(B::VERB);
        Self { offer, common, resource: Some(B::RESOURCE), ..Self::new::<B>(path, summary, reply, handler) }
    }

    /// POST that is no verb of the engine.
    pub(super) fn action<Q, F, Fut>(path: &'static str, summary: &'static str, offer: Offer, reply: Reply, handler: F) -> Self
    where
        Q: DeserializeOwned + ToSchema + Send + 'static,
        F: Fn(Call, Q) -> Fut + Send + Sync + Copy + 'static,
        Fut: Future<Output = Result<Data>> + Send + 'static,
    {
        let handler: Handler =
            Box::new(move |call, object| async move { Ok(handler(call, from_body(&object).map_err(at!())?).await?) }.boxed());
        let access = match offer {
            Offer::LogIn => Access::Public,
            Offer::Session => Access::Own,
            _ => Access::Change,
        };
        Self { offer, access, ..Self::new::<Q>(path, summary, reply, handler) }
    }

    /// For others than most of its kind.
    pub(super) fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// POST of a file: parameters in the query, bytes as the body; served as a whole by `upload`.
    pub(super) fn upload<Q: ToSchema, V: ToSchema>(path: &'static str, summary: &'static str, key: &'static str) -> Self {
        let handler = Self::refusing(|| fail!(NotSupported, "this route takes a file"; "该路由接收文件"));
        let reply = Reply::Created(key, TypeSchema::of::<V>());
        Self { offer: Offer::Upload, ..Self::new::<Q>(path, summary, reply, handler) }
    }

    /// What it is about, for the operation log.
    pub(super) fn about(self, resource: &'static Resource) -> Self {
        Self { resource: Some(resource), ..self }
    }

    /// A route that this version knows and does not have.
    pub(super) fn not_built(method: Method, path: &'static str) -> Self {
        let handler =
            Self::refusing(|| fail!(NotSupported, "this version of the node does not have it yet"; "本节点的当前版本尚不提供该操作"));
        let summary = "Not in this version: always 10005";
        Self { method, offer: Offer::NotBuilt, access: method.access(), ..Self::new::<Nothing>(path, summary, Reply::Never, handler) }
    }

    /// A route whose subject a single node does not have.
    pub(super) fn not_on_one_node(method: Method, path: &'static str) -> Self {
        let handler = Self::refusing(|| fail!(NotSupported, "a single node has no such resource"; "单节点没有此类资源"));
        let summary = "Not on a single node: always 10005";
        Self { method, offer: Offer::NotOnOneNode, access: method.access(), ..Self::new::<Nothing>(path, summary, Reply::Never, handler) }
    }

    /// The list of a resource that a single node does not have.
    pub(super) fn always_empty(path: &'static str) -> Self {
        let handler = |_: Call, options: ListOptions, _: Nothing| async move {
            options.plan(None)?;
            Data::of(&ListData::<Value>::whole(Vec::new()))
        };
        let summary = "Always empty: a single node has no such resource";
        Self { offer: Offer::NotOnOneNode, ..Self::list::<Nothing, Nothing, _, _>(path, summary, handler) }
    }

    fn refusing(error: fn() -> hvnode_core::AgentError) -> Handler {
        Box::new(move |_, _| async move { Outcome::Err(error().into()) }.boxed())
    }

    fn new<Q: ToSchema>(path: &'static str, summary: &'static str, reply: Reply, handler: Handler) -> Self {
        let (method, offer, access) = (Method::Post, Offer::Action, Access::Change);
        Self { path, method, summary, offer, access, resource: None, request: TypeSchema::of::<Q>(), common: None, reply, handler }
    }

    /// True where `dry_run` is understood.
    pub(super) fn takes_dry_runs(&self) -> bool {
        self.takes_batches() && self.resource.is_some_and(|resource| resource.kind == ResourceType::Vm)
    }

    /// True where `{"list": […]}` is understood too.
    pub(super) fn takes_batches(&self) -> bool {
        matches!(self.offer, Offer::Change(_))
    }
}
