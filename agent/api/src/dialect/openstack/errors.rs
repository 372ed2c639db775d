//! What went wrong, in the form of each service. One exhaustive match says which HTTP status an error of the engine has here.

use super::call::Style;
use crate::context::FrameErrors;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::Management;
use hvnode_core::{AgentError, ErrorCode, fail};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What everybody is told who has no valid token.
const UNAUTHORIZED: &str = "The request you have made requires authentication.";

/// An error on its way out.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// HTTP status.
    pub(super) status: u16,
    /// What is wrong, and what would be right.
    pub(super) message: String,
    /// The engine's error behind it.
    pub(super) error: Option<AgentError>,
    /// True where the operation log has it already.
    pub(super) is_recorded: bool,
}

impl Fault {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), error: None, is_recorded: false }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, UNAUTHORIZED)
    }

    /// What this node does not do.
    pub(super) fn not_implemented(what: &str) -> Self {
        Self::new(501, format!("{what} is not implemented on this node."))
    }

    /// The operation log has it.
    pub(super) fn recorded(mut self) -> Self {
        self.is_recorded = true;
        self
    }

    /// For the operation log.
    pub(super) fn as_error(&self) -> AgentError {
        if let Some(error) = &self.error {
            return error.clone();
        }
        let message = &self.message;
        match self.status {
            401 => fail!(TokenInvalid),
            403 => fail!(PermissionDenied, "{message}"),
            405 => fail!(MethodNotAllowed, "{message}"),
            413 => fail!(RequestTooLarge, "{message}"),
            501 => fail!(NotSupported, "{message}"),
            _ => fail!(ParameterInvalid, "{message}"),
        }
    }
}

impl From<AgentError> for Fault {
    fn from(error: AgentError) -> Self {
        let status = status_of(error.code());
        // What the daemon did wrong stands in its log; strangers need not know where.
        let message = match error.code() {
            ErrorCode::Internal => "Unexpected API Error. See the log of the daemon.".to_owned(),
            _ if status == 401 => UNAUTHORIZED.to_owned(),
            _ => error.message(),
        };
        Self { status, message, error: Some(error), is_recorded: false }
    }
}

/// Only servers of ours may be given anything; others are read only.
///
/// # Errors
/// 409.
pub(super) fn refuse_unmanaged(snapshot: &Snapshot, vm_uuid: Uuid) -> Result<(), Fault> {
    match snapshot.vms.get(&vm_uuid) {
        Some(vm) if vm.management == Management::Managed => Ok(()),
        _ => Err(Fault::new(409, format!("Instance {vm_uuid} is not managed by this node."))),
    }
}

/// The HTTP status of an error of the engine.
pub(super) fn status_of(code: ErrorCode) -> u16 {
    use ErrorCode as E;
    match code {
        E::ParseParameter
        | E::ParameterMissing
        | E::ParameterInvalid
        | E::ImageFormatInvalid
        | E::ImageChecksumMismatch
        | E::AddressInvalid
        | E::TimeRangeInvalid => 400,
        E::TokenMissing | E::TokenInvalid | E::TokenExpired | E::PasswordWrong | E::UserNotExist | E::UserLocked | E::UserDisabled => 401,
        E::PermissionDenied | E::TenantQuotaExceeded | E::HostInsufficient => 403,
        E::TokenNotExist
        | E::TenantNotExist
        | E::HostNotExist
        | E::HostNotLocal
        | E::VmNotExist
        | E::VmConsoleUnavailable
        | E::RepositoryNotExist
        | E::ImageNotExist
        | E::NetworkNotExist
        | E::VipNotExist
        | E::InterfaceNotExist
        | E::VolumeNotExist
        | E::SpecificationNotExist
        | E::JobNotExist
        | E::OperationNotExist => 404,
        E::MethodNotAllowed => 405,
        E::ResourceBusy
        | E::AlreadyExist
        | E::RequestUuidReused
        | E::UserAlreadyExist
        | E::UserLastAdmin
        | E::HostInMaintenance
        | E::VmNameExist
        | E::VmStateNotAllowed
        | E::VmBusy
        | E::VmLocked
        | E::VmUnmanaged
        | E::VmQuarantined
        | E::ImageAlreadyExist
        | E::ImageInUse
        | E::ImageNotReady
        | E::NetworkAlreadyExist
        | E::NetworkInUse
        | E::AddressExhausted
        | E::MacConflict
        | E::VolumeAlreadyExist
        | E::VolumeAttached
        | E::VolumeNotAttached
        | E::SpecificationAlreadyExist
        | E::SpecificationInUse
        | E::StatisticsNotAvailable
        | E::JobCanceled
        | E::JobNotCancelable => 409,
        E::RequestTooLarge | E::RepositoryFull | E::StorageFull => 413,
        E::TooManyRequests => 429,
        E::Internal
        | E::VmCreateFailed
        | E::VmStartFailed
        | E::VmStopFailed
        | E::VmRebootFailed
        | E::VmPauseFailed
        | E::VmResumeFailed
        | E::VmDeleteFailed
        | E::VmUpdateFailed
        | E::VmResizeFailed
        | E::DhcpFailed => 500,
        E::NotSupported => 501,
        E::ImageDownloadFailed => 502,
        E::HypervisorUnavailable | E::StoreFailed => 503,
        E::Timeout => 504,
    }
}

/// Every name that [`fault_name`] gives.
pub(super) const FAULT_NAMES: [&str; 11] = [
    "badRequest",
    "unauthorized",
    "forbidden",
    "itemNotFound",
    "badMethod",
    "conflictingRequest",
    "overLimit",
    "badMediaType",
    "notImplemented",
    "serviceUnavailable",
    "computeFault",
];

/// The name of a Nova or Cinder fault.
fn fault_name(status: u16) -> &'static str {
    match status {
        400 => "badRequest",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        409 => "conflictingRequest",
        413 | 429 => "overLimit",
        415 => "badMediaType",
        501 => "notImplemented",
        503 => "serviceUnavailable",
        _ => "computeFault",
    }
}

/// The type of a Neutron error.
fn neutron_type(fault: &Fault) -> &'static str {
    match (fault.error.as_ref().map(AgentError::code), fault.status) {
        (Some(ErrorCode::NetworkNotExist), _) => "NetworkNotFound",
        (Some(ErrorCode::InterfaceNotExist), _) => "PortNotFound",
        (Some(ErrorCode::AddressExhausted), _) => "IpAddressGenerationFailure",
        (_, 400) => "HTTPBadRequest",
        (_, 403) => "PolicyNotAuthorized",
        (_, 404) => "HTTPNotFound",
        (_, 405) => "HTTPMethodNotAllowed",
        (_, 409) => "Conflict",
        (_, 501) => "HTTPNotImplemented",
        _ => "HTTPInternalServerError",
    }
}

fn title(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

/// The answer that tells a fault.
pub(super) fn response(fault: &Fault, style: Style, request_id: &str, identity_url: &str) -> Response {
    let Fault { status, message, .. } = fault;
    let title = title(*status);
    let keystone = || json!({ "error": { "code": status, "message": message, "title": title } });
    let body = match style {
        _ if *status == 401 => with_request_id(keystone(), style, request_id),
        Style::Identity | Style::Seed => with_request_id(keystone(), style, request_id),
        Style::Compute | Style::Volume => {
            Value::Object(Map::from_iter([(fault_name(*status).to_owned(), json!({ "code": status, "message": message }))]))
        }
        Style::Image => json!({ "message": message, "code": format!("{status} {title}"), "title": title }),
        Style::Network => json!({ "NeutronError": { "type": neutron_type(fault), "message": message, "detail": "" } }),
    };
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if *status == 401
        && let Ok(value) = HeaderValue::from_str(&format!("Keystone uri=\"{identity_url}\""))
    {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    if matches!(status, 429 | 503) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

/// Only the seed's own form says the request's identity in the body: strict clients of the stock form refuse unknown keys.
fn with_request_id(mut body: Value, style: Style, request_id: &str) -> Value {
    if style == Style::Seed {
        body["RequestId"] = request_id.into();
    }
    body
}

/// How the frame words what goes wrong outside the handlers.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenStackErrors;

impl FrameErrors for OpenStackErrors {
    fn respond(&self, error: &AgentError, request_id: &str) -> Response {
        let request_id = super::convert::request_id(request_id);
        let mut response = response(&Fault::from(error.clone()), Style::Seed, &request_id, "");
        super::serve::mark(&mut response, &request_id, Style::Identity);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fault_of_the_caller_is_a_fault_of_the_server() {
        for code in ErrorCode::ALL {
            let (here, native) = (status_of(*code), code.http_status());
            assert!((400..=504).contains(&here), "{code:?}");
            assert_eq!(here >= 500, native >= 500, "{code:?}: {here} here, {native} elsewhere");
        }
    }

    #[test]
    fn every_fault_name_is_a_documented_one() {
        for status in 400..600 {
            assert!(FAULT_NAMES.contains(&fault_name(status)), "{status}");
        }
    }

    #[test]
    fn an_internal_error_does_not_tell_its_inside() {
        let fault = Fault::from(fail!(Internal, "secret place"));
        assert_eq!(fault.status, 500);
        assert!(!fault.message.contains("secret"), "{}", fault.message);
    }
}
