//! The one table from what goes wrong to this API's codes.

use hvnode_core::{AgentError, ErrorCode, fail};
use serde_json::{Value, json};

/// Code of a message that does not exist.
pub(super) const UNKNOWN_MESSAGE: &str = "SYS.1008";
/// Code of what one node cannot do.
pub(super) const NO_CAPABILITY: &str = "SYS.1013";
/// Code of what this version does not do.
pub(super) const NOT_IMPLEMENTED: &str = "SYS.1014";
const INVALID_ARGUMENT: &str = "SYS.1007";
const NOT_FOUND: &str = "SYS.1003";
const FAILED: &str = "SYS.1006";
const BAD_SESSION: &str = "ID.1001";
const WRONG_STATE: &str = "VM.1010";

/// An error and the code it is shown with.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) error: AgentError,
}

impl Fault {
    pub(super) fn with_code(code: &'static str, error: AgentError) -> Self {
        Self { code, error }
    }

    /// What a message names is not there; `en` and `cn` say what.
    pub(super) fn not_found(en: &str, cn: &str) -> Self {
        Self::with_code(NOT_FOUND, fail!(ParameterInvalid, "{en}"; "{cn}"))
    }

    /// A text of the node with the field at its begin in this API's words.
    fn speak(&self, message: String) -> String {
        let detail = &self.error.detail().en;
        let end = detail.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(detail.len());
        match FIELDS.iter().find(|(word, _)| *word == &detail[..end]) {
            Some((word, own)) => message.replacen(word, own, 1),
            None => message,
        }
    }

    /// The object under `error` of a reply.
    pub(super) fn body(&self) -> Value {
        let message = self.speak(self.error.message());
        let details = if self.code == BAD_SESSION {
            // Clients look for these words and throw their session away.
            format!("Session expired: {message}")
        } else {
            message
        };
        json!({
            "code": self.code,
            "description": description(self.code),
            "details": details,
            "elaboration": self.speak(self.error.message_cn()),
        })
    }
}

/// Fields that the node names in its own words, and what they are here.
const FIELDS: [(&str, &str); 12] = [
    ("vm_name", "name"),
    ("image_name", "name"),
    ("specification_name", "name"),
    ("new_name", "name"),
    ("cpu_cores", "cpuNum"),
    ("memory_size", "memorySize"),
    ("storage_size", "diskSize"),
    ("vm_uuid", "resourceUuid"),
    ("network_uuid", "l3NetworkUuids"),
    ("ip_address", "staticIp"),
    ("os_type", "guestOsType"),
    ("keep_days", "deleteMode"),
];

impl From<AgentError> for Fault {
    fn from(error: AgentError) -> Self {
        Self { code: code_of(error.code()), error }
    }
}

/// The code that an error of the node has here.
pub(super) fn code_of(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match code {
        E::Internal => "SYS.1000",
        E::Timeout => "SYS.1001",
        E::ParseParameter | E::ParameterMissing | E::ParameterInvalid | E::MethodNotAllowed | E::RequestTooLarge => INVALID_ARGUMENT,
        E::AlreadyExist | E::UserAlreadyExist | E::ImageAlreadyExist | E::NetworkAlreadyExist => INVALID_ARGUMENT,
        E::VolumeAlreadyExist | E::SpecificationAlreadyExist | E::VmNameExist | E::RequestUuidReused => INVALID_ARGUMENT,
        E::AddressInvalid | E::MacConflict | E::ImageFormatInvalid | E::ImageChecksumMismatch | E::TimeRangeInvalid => INVALID_ARGUMENT,
        E::NotSupported => NOT_IMPLEMENTED,
        E::HypervisorUnavailable | E::ImageNotReady | E::StatisticsNotAvailable => "SYS.1010",
        E::StoreFailed => "SYS.1016",
        E::TokenMissing | E::TokenInvalid | E::TokenExpired => BAD_SESSION,
        E::PermissionDenied => "ID.1002",
        E::PasswordWrong | E::UserNotExist => "ID.1000",
        E::UserLocked | E::UserDisabled => "ID.1007",
        E::TenantQuotaExceeded => "ID.1003",
        E::TenantNotExist | E::HostNotExist | E::HostNotLocal | E::VmNotExist | E::RepositoryNotExist | E::ImageNotExist => NOT_FOUND,
        E::NetworkNotExist | E::VipNotExist | E::InterfaceNotExist | E::VolumeNotExist | E::SpecificationNotExist => NOT_FOUND,
        E::JobNotExist | E::OperationNotExist | E::TokenNotExist => NOT_FOUND,
        E::VmCreateFailed => "VM.1000",
        E::VmStartFailed => "VM.1001",
        E::VmStopFailed => "VM.1002",
        E::VmRebootFailed => "VM.1003",
        E::VmDeleteFailed => "VM.1004",
        E::VmPauseFailed => "VM.1012",
        E::VmResumeFailed => "VM.1013",
        E::VmStateNotAllowed | E::VmBusy | E::VmLocked | E::VmUnmanaged | E::VmQuarantined => WRONG_STATE,
        E::JobCanceled => "SYS.1017",
        E::ResourceBusy | E::TooManyRequests | E::HostInsufficient | E::HostInMaintenance | E::VmUpdateFailed | E::VmResizeFailed => FAILED,
        E::VmConsoleUnavailable | E::RepositoryFull | E::ImageDownloadFailed | E::ImageInUse | E::NetworkInUse => FAILED,
        E::AddressExhausted | E::DhcpFailed | E::VolumeAttached | E::VolumeNotAttached | E::StorageFull | E::SpecificationInUse => FAILED,
        E::JobNotCancelable | E::UserLastAdmin => FAILED,
    }
}

/// What a code means.
fn description(code: &str) -> &'static str {
    match code {
        "SYS.1000" => "An internal error happened in system",
        "SYS.1001" => "An operation timed out",
        NOT_FOUND => "Unable to find the resource",
        INVALID_ARGUMENT => "One or more API argument is invalid",
        UNKNOWN_MESSAGE => "No service supports the message",
        "SYS.1010" => "The resource is not ready yet",
        NO_CAPABILITY => "No capability to do it",
        NOT_IMPLEMENTED => "Not implemented",
        "SYS.1016" => "IO error",
        "SYS.1017" => "The operation was canceled",
        "ID.1000" => "Wrong account name or password",
        BAD_SESSION => "Invalid session",
        "ID.1002" => "Permission denied",
        "ID.1003" => "Quota exceeded",
        "ID.1007" => "The account is disabled",
        "VM.1000" => "Failed to create a VM",
        "VM.1001" => "Failed to start a VM",
        "VM.1002" => "Failed to stop a VM",
        "VM.1003" => "Failed to reboot a VM",
        "VM.1004" => "Failed to destroy a VM",
        WRONG_STATE => "The VM is not in a correct state",
        "VM.1012" => "Failed to pause a VM",
        "VM.1013" => "Failed to resume a VM",
        _ => "Operation failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_session_has_the_words_that_clients_look_for() {
        for error in [fail!(TokenMissing), fail!(TokenInvalid), fail!(TokenExpired)] {
            let body = Fault::from(error).body();
            assert_eq!(body["code"], "ID.1001");
            assert!(body["details"].as_str().unwrap().contains("Session expired"));
        }
    }

    #[test]
    fn every_code_has_a_text_of_its_own() {
        for code in ErrorCode::ALL {
            let code = code_of(*code);
            assert!(code == FAILED || description(code) != "Operation failed", "{code}");
        }
    }
}
