//! Signals, as something to await, on any worker and by any number of waiters. On Windows they are the console's events, which say
//! much the same.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use std::io;

/// A signal that can be awaited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum SignalKind {
    /// SIGINT: interrupt from the keyboard. On Windows Ctrl-C (CTRL_C_EVENT), which a process that was made with a process group of its
    /// own doesn't get.
    Interrupt,
    /// SIGTERM: please end. On Windows each of `Break`, `Close`, `Logoff` and
    /// `Shutdown`.
    Terminate,
    /// SIGHUP: the terminal has gone, or: read the configuration again. On Windows as `Close`.
    Hangup,
    /// Ctrl-Break, or another process of the console that wants this one to end (CTRL_BREAK_EVENT). Windows only.
    #[cfg(windows)]
    Break,
    /// The console is being closed (CTRL_CLOSE_EVENT). The system ends the process after about 5 s. Windows only.
    #[cfg(windows)]
    Close,
    /// The user is logging off, which only services are told (CTRL_LOGOFF_EVENT). The system ends the process after about 5 s. Windows
    /// only.
    #[cfg(windows)]
    Logoff,
    /// The system is shutting down, which only services are told (CTRL_SHUTDOWN_EVENT). It ends the process after about 20 s. Windows
    /// only.
    #[cfg(windows)]
    Shutdown,
}

/// Watches for a signal as long as it lives: none that comes between two waits is missed, several become one.
///
/// Once a signal has been watched, it never again ends the process by itself (but see [`SignalKind`] for what Windows does after a
/// while).
#[derive(Debug)]
pub struct Signal(system::Signal);

impl Signal {
    /// Begins to watch.
    ///
    /// # Errors
    /// When no descriptors are left; outside of a runtime.
    pub fn new(kind: SignalKind) -> io::Result<Signal> {
        system::Signal::new(kind).map(Signal)
    }

    /// Waits until the signal has come since the last wait. Cancel safe.
    ///
    /// # Errors
    /// On another worker.
    pub async fn recv(&mut self) -> io::Result<()> {
        self.0.recv().await
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

/// Waits for [`SignalKind::Interrupt`] (SIGINT), from the first poll on. Cancel safe, but a signal that comes while nobody waits is
/// gone: keep a [`Signal`] to miss none.
pub async fn interrupt() {
    once(SignalKind::Interrupt).await;
}

/// Waits for [`SignalKind::Terminate`] (SIGTERM); else as [`interrupt`].
pub async fn terminate() {
    once(SignalKind::Terminate).await;
}

/// Waits for [`SignalKind::Hangup`] (SIGHUP); else as [`interrupt`].
pub async fn hangup() {
    once(SignalKind::Hangup).await;
}
