//! Winsock's extension functions: fetched once by WSAIoctl, for they are not in any import library that must be linked.

use std::ffi::c_void;
use std::sync::OnceLock;

use windows_sys::Win32::Networking::WinSock as sock;
use windows_sys::core::GUID;

/// Starts Winsock, which every process must before its first call; std does so as well, each time counted.
pub(crate) fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        // SAFETY: plain data for which zeroes are valid.
        let mut data = unsafe { std::mem::zeroed() };
        // SAFETY: the data is a local. 2.2 has been there since Windows 95.
        unsafe { sock::WSAStartup(0x0202, &mut data) };
    });
}

/// Those that are used here; each is there or is not.
pub(crate) struct Extensions {
    pub(crate) accept_ex: sock::LPFN_ACCEPTEX,
    pub(crate) get_accept_ex_sockaddrs: sock::LPFN_GETACCEPTEXSOCKADDRS,
    pub(crate) connect_ex: sock::LPFN_CONNECTEX,
    pub(crate) transmit_file: sock::LPFN_TRANSMITFILE,
    pub(crate) recv_msg: sock::LPFN_WSARECVMSG,
    pub(crate) send_msg: sock::LPFN_WSASENDMSG,
}

/// The extension functions of this process.
pub(crate) fn extensions() -> &'static Extensions {
    static FOUND: OnceLock<Extensions> = OnceLock::new();
    FOUND.get_or_init(|| {
        start();
        // Of datagrams and streams alike, but for WSASendMsg and WSARecvMsg, which are of datagrams.
        // SAFETY: no conditions.
        let stream = unsafe { sock::socket(sock::AF_INET.into(), sock::SOCK_STREAM, 0) };
        // SAFETY: no conditions.
        let datagram = unsafe { sock::socket(sock::AF_INET.into(), sock::SOCK_DGRAM, 0) };
        // SAFETY: each number names a function of the type it is taken for (mswsock.h).
        let found = unsafe {
            Extensions {
                accept_ex: std::mem::transmute::<usize, sock::LPFN_ACCEPTEX>(find(stream, sock::WSAID_ACCEPTEX)),
                get_accept_ex_sockaddrs: std::mem::transmute::<usize, sock::LPFN_GETACCEPTEXSOCKADDRS>(find(
                    stream,
                    sock::WSAID_GETACCEPTEXSOCKADDRS,
                )),
                connect_ex: std::mem::transmute::<usize, sock::LPFN_CONNECTEX>(find(stream, sock::WSAID_CONNECTEX)),
                transmit_file: std::mem::transmute::<usize, sock::LPFN_TRANSMITFILE>(find(stream, sock::WSAID_TRANSMITFILE)),
                recv_msg: std::mem::transmute::<usize, sock::LPFN_WSARECVMSG>(find(datagram, sock::WSAID_WSARECVMSG)),
                send_msg: std::mem::transmute::<usize, sock::LPFN_WSASENDMSG>(find(datagram, sock::WSAID_WSASENDMSG)),
            }
        };
        // SAFETY: made above, and nobody else's.
        unsafe {
            sock::closesocket(stream);
            sock::closesocket(datagram);
        }
        found
    })
}

impl Extensions {
    /// Each with its name, and whether it was found.
    pub(crate) fn names(&self) -> [(&'static str, bool); 6] {
        [
            ("AcceptEx", self.accept_ex.is_some()),
            ("GetAcceptExSockaddrs", self.get_accept_ex_sockaddrs.is_some()),
            ("ConnectEx", self.connect_ex.is_some()),
            ("TransmitFile", self.transmit_file.is_some()),
            ("WSARecvMsg", self.recv_msg.is_some()),
            ("WSASendMsg", self.send_msg.is_some()),
        ]
    }
}

/// The address of an extension function; 0 where it is missing, which is no function.
fn find(socket: sock::SOCKET, id: GUID) -> usize {
    let (mut address, mut len) = (0usize, 0u32);
    // SAFETY: everything that is read and written is a local.
    let result = unsafe {
        sock::WSAIoctl(
            socket,
            sock::SIO_GET_EXTENSION_FUNCTION_POINTER,
            (&raw const id).cast::<c_void>(),
            size_of::<GUID>() as u32,
            (&raw mut address).cast(),
            size_of::<usize>() as u32,
            &mut len,
            std::ptr::null_mut(),
            None,
        )
    };
    if result == 0 { address } else { 0 }
}
