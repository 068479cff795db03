//! A host that a port keeps going: an engine without sockets of its own, beside the one under test.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use ostia_port::os::{self, BorrowedFd};
use ostia_port::{Buffer, Datagram, Engine, OptionName, Remote, SocketId, SocketOption, SocketSpec, Spare, Turned, Woken};

use super::host::Shared;

/// The host's turns. They go on while the port ends: what lingers is acknowledged.
pub struct Guest(pub Arc<Shared>);

/// Its sockets are the test's own; the port has none.
fn none<T>() -> io::Result<T> {
    Err(io::Error::from_raw_os_error(os::EOPNOTSUPP))
}

impl Engine for Guest {
    fn link(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn attached(&mut self, remote: Remote) {
        self.0.be_woken_by_link(remote);
    }

    fn receive(&mut self, _: u64, _: &mut Woken) -> bool {
        self.0.turn();
        false
    }

    fn transmit(&mut self, _: u64, _: &mut Woken) -> Turned {
        Turned { more: false, deadline: self.0.turn(), blocked: false }
    }

    fn is_draining(&self) -> bool {
        false
    }

    fn abort_all(&mut self) {}

    fn open(&mut self, _: SocketSpec) -> io::Result<SocketId> {
        none()
    }

    fn accept(&mut self, _: SocketId) -> io::Result<SocketId> {
        none()
    }

    fn connect(&mut self, _: SocketId, _: SocketAddr) -> io::Result<()> {
        none()
    }

    fn recv(&mut self, _: SocketId, _: &mut Spare<'_>, _: bool) -> io::Result<()> {
        none()
    }

    fn send(&mut self, _: SocketId, _: &[u8], _: bool) -> io::Result<usize> {
        none()
    }

    fn send_buffer(&mut self, _: SocketId, data: Buffer) -> Result<(), (io::Error, Buffer)> {
        none().map_err(|error| (error, data))
    }

    fn recv_from(&mut self, _: SocketId, _: &mut Spare<'_>, _: bool) -> io::Result<Datagram> {
        none()
    }

    fn send_to(&mut self, _: SocketId, _: &[u8], _: Option<SocketAddr>) -> io::Result<()> {
        none()
    }

    fn shutdown(&mut self, _: SocketId, _: Shutdown) -> io::Result<()> {
        none()
    }

    fn close(&mut self, _: SocketId, _: bool) {}

    fn ready(&mut self, _: SocketId) -> i16 {
        0
    }

    fn local(&self, _: SocketId) -> io::Result<SocketAddr> {
        none()
    }

    fn peer(&self, _: SocketId) -> io::Result<SocketAddr> {
        none()
    }

    fn set_option(&mut self, _: SocketId, _: SocketOption) -> io::Result<()> {
        none()
    }

    fn option(&self, _: SocketId, _: OptionName) -> io::Result<SocketOption> {
        none()
    }
}
