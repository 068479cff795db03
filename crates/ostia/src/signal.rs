//! Signals, as something to await, on any worker and by any number of waiters.

use std::io;
use std::os::fd::OwnedFd;

use ostia_port::{Kind, Op};
use signal_hook::low_level;

use crate::here;
use crate::net::raw::Raw;

/// A signal that can be awaited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum SignalKind {
    /// SIGINT: interrupt from the keyboard.
    Interrupt,
    /// SIGTERM: please end.
    Terminate,
    /// SIGHUP: the terminal has gone, or: read the configuration again.
    Hangup,
}

impl SignalKind {
    fn number(self) -> i32 {
        match self {
            SignalKind::Interrupt => libc::SIGINT,
            SignalKind::Terminate => libc::SIGTERM,
            SignalKind::Hangup => libc::SIGHUP,
        }
    }
}

/// Watches for a signal as long as it lives: none that comes between two waits is missed, several become one.
///
/// Once a signal has been watched, it never again ends the process by itself.
#[derive(Debug)]
pub struct Signal {
    raw: Raw,
    hook: signal_hook::SigId,
}

impl Signal {
    /// Begins to watch.
    ///
    /// # Errors
    /// When no descriptors are left; outside of a runtime.
    pub fn new(kind: SignalKind) -> io::Result<Signal> {
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

    /// Waits until the signal has come since the last wait. Cancel safe.
    ///
    /// # Errors
    /// On another worker.
    pub async fn recv(&mut self) -> io::Result<()> {
        let poll = Op::Poll { handle: self.raw.handle, events: libc::POLLIN };
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

async fn once(kind: SignalKind) {
    let waited = match Signal::new(kind) {
        Ok(mut signal) => signal.recv().await,
        Err(error) => Err(error),
    };
    if let Err(error) = waited {
        tracing::error!(?kind, %error, "a signal can't be awaited");
        std::future::pending().await
    }
}

/// Waits for SIGINT, from the first poll on. Cancel safe, but a signal that comes while nobody waits is gone: keep a
/// [`Signal`] to miss none.
pub async fn interrupt() {
    once(SignalKind::Interrupt).await;
}

/// Waits for SIGTERM; else as [`interrupt`].
pub async fn terminate() {
    once(SignalKind::Terminate).await;
}

/// Waits for SIGHUP; else as [`interrupt`].
pub async fn hangup() {
    once(SignalKind::Hangup).await;
}
