//! libvirt's errors as ours: by number and origin, never by text.

use hvnode_core::error::{AgentError, Detail, ErrorCode, Place};
use virt::error::{Error, ErrorDomain, ErrorNumber};

/// Most characters of libvirt's own words in an error.
const WORDS_MAX: usize = 400;

/// `result.map_err(refused!(VmStartFailed))`: our error for a libvirt error; `VmStartFailed` where the number says nothing better.
macro_rules! refused {
    ($code:ident) => {
        |error: ::virt::error::Error| $crate::fault::translate(::hvnode_core::here!(), ::hvnode_core::error::ErrorCode::$code, error)
    };
}
pub(crate) use refused;

/// The error for `error`, which stays its source. `fallback` is the code of the operation.
pub(crate) fn translate(place: Place, fallback: ErrorCode, error: Error) -> AgentError {
    let code = code_of(&error, fallback);
    let number = error.code().to_raw();
    let detail = match code {
        ErrorCode::VmNotExist | ErrorCode::NetworkNotExist | ErrorCode::VolumeNotExist | ErrorCode::VolumeAlreadyExist => Detail::default(),
        ErrorCode::HypervisorUnavailable if is_denied(&error) => Detail::both(
            format!("libvirt does not let this user in (libvirt error {number}); the user must be in the group of libvirt's socket"),
            format!("libvirt 拒绝该用户访问(libvirt 错误 {number});该用户须属于 libvirt 套接字的用户组"),
        ),
        ErrorCode::HypervisorUnavailable => Detail::both(
            format!("the connection to libvirt is broken (libvirt error {number})"),
            format!("与 libvirt 的连接已中断(libvirt 错误 {number})"),
        ),
        ErrorCode::VmBusy => Detail::both(
            format!("another operation of libvirt holds it (libvirt error {number})"),
            format!("正被 libvirt 的另一操作占用(libvirt 错误 {number})"),
        ),
        // No code of ours says more than the operation that failed, so libvirt's own words are the only help there is.
        _ => {
            let words = words_of(&error);
            Detail::both(format!("libvirt error {number}: {words}"), format!("libvirt 错误 {number}: {words}"))
        }
    };
    AgentError::at(place, code, detail).caused_by(error)
}

/// libvirt's words on one line, not longer than a log line should be.
fn words_of(error: &Error) -> String {
    let words = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// True if the error means that this connection is of no more use.
pub(crate) fn is_broken_connection(error: &Error) -> bool {
    let number = error.code().known();
    match number {
        Some(ErrorNumber::NoConnect | ErrorNumber::InvalidConn) => true,
        // "Client socket is closed", "end of file while reading" and the like come from the RPC layer under these numbers.
        Some(ErrorNumber::Rpc | ErrorNumber::SystemError | ErrorNumber::InternalError) => error.domain().is(ErrorDomain::Rpc),
        _ => false,
    }
}

fn is_denied(error: &Error) -> bool {
    use ErrorNumber as N;
    matches!(
        error.code().known(),
        Some(N::AuthFailed | N::AuthCancelled | N::AuthUnavailable | N::AccessDenied | N::OperationDenied | N::NoServer)
    )
}

fn code_of(error: &Error, fallback: ErrorCode) -> ErrorCode {
    use ErrorNumber as N;
    if is_broken_connection(error) || is_denied(error) {
        return ErrorCode::HypervisorUnavailable;
    }
    match error.code().known() {
        Some(N::NoDomain | N::InvalidDomain) => ErrorCode::VmNotExist,
        Some(N::NoNetwork | N::InvalidNetwork) => ErrorCode::NetworkNotExist,
        Some(N::NoStorageVolume | N::InvalidStorageVol) => ErrorCode::VolumeNotExist,
        Some(N::StorageVolExist) => ErrorCode::VolumeAlreadyExist,
        Some(N::NoMemory) => ErrorCode::HostInsufficient,
        Some(N::ResourceBusy) => ErrorCode::ResourceBusy,
        Some(N::NoSupport | N::OperationUnsupported | N::ArgumentUnsupported) => ErrorCode::NotSupported,
        Some(N::OperationInvalid) if is_about_vm(fallback) => ErrorCode::VmStateNotAllowed,
        // libvirt could not get the domain's job lock in its own 30 seconds.
        Some(N::OperationTimeout) if is_about_vm(fallback) => ErrorCode::VmBusy,
        Some(N::OperationTimeout) => ErrorCode::ResourceBusy,
        _ => fallback,
    }
}

fn is_about_vm(code: ErrorCode) -> bool {
    (13000..14000).contains(&code.number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt::connect::Connect;

    fn connect() -> Connect {
        Connect::open(Some("test:///default")).unwrap()
    }

    #[test]
    fn a_missing_domain_is_told_by_number_and_keeps_libvirts_words_as_source() {
        let error = connect().lookup_domain_by_name("nobody").map_err(refused!(VmStartFailed)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::VmNotExist);
        assert!(error.chain().contains("Domain not found"), "{}", error.chain());
        assert!(!error.message().contains("Domain not found"));
        assert_eq!(error.places()[0].function, "a_missing_domain_is_told_by_number_and_keeps_libvirts_words_as_source");
    }

    #[test]
    fn a_missing_network_and_a_missing_pool_are_told_apart() {
        let network = connect().lookup_network_by_name("none").map_err(refused!(DhcpFailed)).unwrap_err();
        assert_eq!(network.code(), ErrorCode::NetworkNotExist);
        let pool = connect().lookup_storage_pool_by_name("none").map_err(refused!(Internal)).unwrap_err();
        assert_eq!(pool.code(), ErrorCode::Internal);
    }

    #[test]
    fn the_wrong_state_is_told_by_number() {
        let domain = connect().lookup_domain_by_name("test").unwrap();
        domain.destroy().unwrap();
        let error = domain.reset().map_err(refused!(VmRebootFailed)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::VmStateNotAllowed);
    }
}
