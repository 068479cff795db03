//! Signals of Unix: the handler writes to a socket, which the worker's port waits for.

use std::io;

use ostia_port::os::{OwnedFd, POLLIN};
use ostia_port::{Kind, Op};
use signal_hook::low_level;

use crate::here;
use crate::net::raw::Raw;
use crate::signal::SignalKind;

impl SignalKind {
    fn number(self) -> i32 {
        match self {
            SignalKind::Interrupt => libc::SIGINT,
            SignalKind::Terminate => libc::SIGTERM,
            SignalKind::Hangup => libc::SIGHUP,
        }
    }
}

#[derive(Debug)]
pub(super) struct Signal {
    raw: Raw,
    hook: signal_hook::SigId,
}

impl Signal {
    pub(super) fn new(kind: SignalKind) -> io::Result<Signal> {
        let (read, write) = std::os::unix::net::UnixStream::pair()?;
        let raw = here::with(|core| {
            let handle = core.port.borrow_mut().adopt_as(OwnedFd::from(read), Kind::Stream, 0);
            Raw { worker: core.id, handle }
        })
        .ok_or_else(here::elsewhere)?;
        match low_level::pipe::register(kind.number(), write) {
            Ok(hook) => Ok(Signal { raw, hook }),
            Err(error) => {
                raw.close();
                Err(error)
            }
        }
    }

    pub(super) async fn recv(&mut self) -> io::Result<()> {
        let poll = Op::Poll { handle: self.raw.handle, events: POLLIN };
        self.raw.post(poll)?.await?.result?;
        self.raw.descriptor(|fd| {
            // The signal's handler wrote a byte each time.
            let mut bytes = [0u8; 64];
            while matches!(
                rustix::net::recv(fd, &mut bytes, rustix::net::RecvFlags::DONTWAIT),
                Ok((_, count)) if count == bytes.len()
            ) {}
            Ok(())
        })
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        low_level::unregister(self.hook);
        self.raw.close();
    }
}
