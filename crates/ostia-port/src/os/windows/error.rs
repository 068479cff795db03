//! One number for one thing: Winsock's where Windows has another for the same.

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_CONNECTION_ABORTED, ERROR_CONNECTION_REFUSED, ERROR_HOST_UNREACHABLE, ERROR_INVALID_PARAMETER,
    ERROR_MORE_DATA, ERROR_NETNAME_DELETED, ERROR_NETWORK_UNREACHABLE, ERROR_NO_DATA, ERROR_PORT_UNREACHABLE, ERROR_SEM_TIMEOUT,
    GetLastError, NTSTATUS, RtlNtStatusToDosError,
};
use windows_sys::Win32::Networking::WinSock as sock;

const WSAESHUTDOWN: u32 = sock::WSAESHUTDOWN as u32;

/// What an overlapped request on a socket has ended with, as Winsock's calls would have said it. A connection that its peer
/// has reset is an error like on every system, not an end of file: the completion says ERROR_NETNAME_DELETED. Of files and
/// pipes too: what is written to a pipe that nobody reads is EPIPE, whether or not its reader was there before.
pub(crate) fn of_socket(code: u32) -> i32 {
    match code {
        ERROR_NETNAME_DELETED | ERROR_PORT_UNREACHABLE => sock::WSAECONNRESET,
        ERROR_CONNECTION_ABORTED => sock::WSAECONNABORTED,
        ERROR_CONNECTION_REFUSED => sock::WSAECONNREFUSED,
        ERROR_NETWORK_UNREACHABLE => sock::WSAENETUNREACH,
        ERROR_HOST_UNREACHABLE => sock::WSAEHOSTUNREACH,
        ERROR_SEM_TIMEOUT => sock::WSAETIMEDOUT,
        ERROR_MORE_DATA => sock::WSAEMSGSIZE,
        ERROR_INVALID_PARAMETER => sock::WSAEINVAL,
        // Everywhere else that a connection's own side has ended is EPIPE.
        WSAESHUTDOWN | ERROR_NO_DATA => ERROR_BROKEN_PIPE as i32,
        other => other as i32,
    }
}

/// The number of an overlapped request's status.
pub(crate) fn of_status(status: NTSTATUS) -> u32 {
    // SAFETY: the call has no conditions.
    unsafe { RtlNtStatusToDosError(status) }
}

/// Why the call of Winsock that this thread has just made failed.
pub(crate) fn last_of_socket() -> i32 {
    // SAFETY: no conditions.
    of_socket(unsafe { sock::WSAGetLastError() } as u32)
}

/// Why the call of Windows that this thread has just made failed.
pub(crate) fn last() -> u32 {
    // SAFETY: no conditions.
    unsafe { GetLastError() }
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Foundation::{ERROR_OPERATION_ABORTED, STATUS_CANCELLED, STATUS_CONNECTION_RESET};

    use super::*;
    use crate::os::codes::ECANCELED;

    #[test]
    fn a_reset_is_a_reset_and_a_cancel_a_cancel() {
        assert_eq!(of_socket(of_status(STATUS_CONNECTION_RESET)), sock::WSAECONNRESET);
        assert_eq!(of_socket(ERROR_NETNAME_DELETED), sock::WSAECONNRESET);
        assert_eq!(of_status(STATUS_CANCELLED), ERROR_OPERATION_ABORTED);
        assert_eq!(of_socket(ERROR_OPERATION_ABORTED), ECANCELED);
    }
}
