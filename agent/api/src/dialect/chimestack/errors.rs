//! What goes wrong in the words of this API: HTTP status, status word, number, message. It knows no 405, 409, 429 and no 503.

use super::envelope;
use crate::context::FrameErrors;
use axum::response::Response;
use hvnode_core::{AgentError, ErrorCode};

const INVALID: (u16, &str) = (400, "INVALID_ARGUMENT");
const PRECONDITION: (u16, &str) = (400, "FAILED_PRECONDITION");
const UNAUTHENTICATED: (u16, &str) = (401, "UNAUTHENTICATED");
const DENIED: (u16, &str) = (403, "PERMISSION_DENIED");
const EXHAUSTED: (u16, &str) = (403, "RESOURCE_EXHAUSTED");
const UNIMPLEMENTED: (u16, &str) = (403, "UNIMPLEMENTED");
const NOT_FOUND: (u16, &str) = (404, "NOT_FOUND");
const INTERNAL: (u16, &str) = (500, "INTERNAL");
const UNAVAILABLE: (u16, &str) = (500, "UNAVAILABLE");

/// HTTP status and status word of every error.
fn kind_of(code: ErrorCode) -> (u16, &'static str) {
    use ErrorCode as E;
    match code {
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
        | E::DhcpFailed => INTERNAL,
        E::Timeout | E::HypervisorUnavailable | E::StoreFailed => UNAVAILABLE,
        E::ParseParameter
        | E::ParameterMissing
        | E::ParameterInvalid
        | E::RequestTooLarge
        | E::ImageFormatInvalid
        | E::ImageChecksumMismatch
        | E::AddressInvalid
        | E::TimeRangeInvalid => INVALID,
        E::ResourceBusy
        | E::AlreadyExist
        | E::RequestUuidReused
        | E::UserAlreadyExist
        | E::UserLastAdmin
        | E::HostInMaintenance
        | E::VmNameExist
        | E::VmStateNotAllowed
        | E::VmBusy
        | E::VmConsoleUnavailable
        | E::VmLocked
        | E::ImageAlreadyExist
        | E::ImageDownloadFailed
        | E::ImageInUse
        | E::ImageNotReady
        | E::NetworkAlreadyExist
        | E::NetworkInUse
        | E::MacConflict
        | E::VolumeAlreadyExist
        | E::VolumeAttached
        | E::VolumeNotAttached
        | E::SpecificationAlreadyExist
        | E::SpecificationInUse
        | E::StatisticsNotAvailable
        | E::JobCanceled
        | E::JobNotCancelable => PRECONDITION,
        E::TokenMissing | E::TokenInvalid | E::TokenExpired | E::PasswordWrong | E::UserNotExist => UNAUTHENTICATED,
        E::PermissionDenied | E::UserLocked | E::UserDisabled | E::VmUnmanaged | E::VmQuarantined => DENIED,
        E::TooManyRequests | E::TenantQuotaExceeded | E::HostInsufficient | E::RepositoryFull | E::AddressExhausted | E::StorageFull => {
            EXHAUSTED
        }
        E::NotSupported => UNIMPLEMENTED,
        E::MethodNotAllowed
        | E::TokenNotExist
        | E::TenantNotExist
        | E::HostNotExist
        | E::HostNotLocal
        | E::VmNotExist
        | E::RepositoryNotExist
        | E::ImageNotExist
        | E::NetworkNotExist
        | E::VipNotExist
        | E::InterfaceNotExist
        | E::VolumeNotExist
        | E::SpecificationNotExist
        | E::JobNotExist
        | E::OperationNotExist => NOT_FOUND,
    }
}

/// The engine's names of fields and what this API calls them.
const WORDS: [(&str, &str); 18] = [
    ("interfaces", "nics"),
    ("usds", "volumes"),
    ("Usd", "Volume"),
    ("Specification", "Instance spec"),
    ("storage_size", "size"),
    ("vm_name", "name"),
    ("usd_name", "name"),
    ("image_name", "name"),
    ("specification_name", "name"),
    ("specification_uuid", "instance_spec_uuid"),
    ("memory_size", "memory"),
    ("cpu_cores", "vcpus"),
    ("architecture", "os_arch"),
    ("os_version", "os_detail"),
    ("network_uuid", "subnet_uuid"),
    ("ip_address", "ip"),
    ("url", "install_url"),
    ("period", "window"),
];

/// A message of the engine with the names that this API has for its fields.
pub(super) fn in_own_words(message: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        text.push_str(WORDS.iter().find(|(theirs, _)| *theirs == word).map_or(word, |(_, ours)| ours));
        let length = after.find(is_part).unwrap_or(after.len());
        text.push_str(&after[..length]);
        rest = &after[length..];
    }
    text
}

/// A failure on its way out.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) http_status: u16,
    /// The word in `error.status`.
    pub(super) status: &'static str,
    /// The number in `error.code`: the native one, or the HTTP status where there is none.
    pub(super) code: u32,
    pub(super) message: String,
    /// The error behind it, for the operation log.
    pub(super) error: AgentError,
    /// True where the operation log has it already.
    pub(super) is_recorded: bool,
}

impl Failure {
    /// An error that the engine has written into the operation log.
    pub(super) fn recorded(error: AgentError) -> Self {
        Self { is_recorded: true, ..error.into() }
    }

    /// No object of this kind has the identity; `error` is for the log.
    pub(super) fn no_such(kind: &str, error: AgentError) -> Self {
        Self { code: u32::from(NOT_FOUND.0), message: format!("{kind} not exist"), ..Self::of(NOT_FOUND, error) }
    }

    /// The node is one machine, and will not do this whatever the caller may.
    pub(super) fn single_node(error: AgentError) -> Self {
        let message = error.detail().en.clone();
        Self { code: u32::from(DENIED.0), message, ..Self::of(DENIED, error) }
    }

    fn of((http_status, status): (u16, &'static str), error: AgentError) -> Self {
        Self { http_status, status, code: error.code().number(), message: in_own_words(&error.message()), error, is_recorded: false }
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        Self::of(kind_of(error.code()), error)
    }
}

/// How this dialect words what goes wrong outside its handlers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChimeStackErrors;

impl FrameErrors for ChimeStackErrors {
    fn respond(&self, error: &AgentError, request_id: &str) -> Response {
        envelope::failed(&envelope::request_uuid(Some(request_id)), &error.clone().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::fail;

    #[test]
    fn every_error_has_a_status_that_this_api_documents() {
        for code in ErrorCode::ALL {
            let (http_status, word) = kind_of(*code);
            assert!([400, 401, 403, 404, 500].contains(&http_status) && !word.is_empty(), "{code:?}");
            // What an address gives is the caller's matter.
            let is_callers = matches!(code, ErrorCode::NotSupported | ErrorCode::ImageDownloadFailed);
            assert_eq!(http_status == 500, code.http_status() >= 500 && !is_callers, "{code:?}");
        }
    }

    #[test]
    fn fields_are_named_as_this_api_names_them() {
        let error: Failure = fail!(ParameterInvalid, "usds[0].storage_size must be 1, not usds_x (cpu_cores)").into();
        assert_eq!(error.message, "Parameter invalid: volumes[0].size must be 1, not usds_x (vcpus)");
        assert_eq!((error.http_status, error.status, error.code), (400, "INVALID_ARGUMENT", 10003));
    }

    #[test]
    fn an_own_error_has_the_http_status_as_its_number() {
        let error = Failure::no_such("Az", fail!(HostNotExist));
        assert_eq!((error.http_status, error.code, error.message.as_str()), (404, 404, "Az not exist"));
    }
}
