//! What servers do on Linux: sockets of systemd and notes to it, SIGHUP.

pub mod inherited;
pub mod notify;

use crate::errors::Failure;
use crate::log;
use ostia::signal::{Signal, SignalKind};

/// Whether this system has addresses of that form: it has all.
///
/// # Errors
/// Never.
pub fn can_listen_on(_: &str) -> Result<(), Failure> {
    Ok(())
}

/// At SIGHUP opens the log files anew, if there are any, or says so to systemd.
pub(super) fn reload_on_hangup() -> Result<(), Failure> {
    // Without anything to reopen a server ends with its terminal, as every program does.
    if !log::has_files() && !notify::is_wanted() {
        return Ok(());
    }
    let mut signal = Signal::new(SignalKind::Hangup).map_err(|error| Failure::start(&error))?;
    let reload = async move {
        while signal.recv().await.is_ok() {
            notify::reloading();
            log::reopen();
            notify::ready();
        }
    };
    ostia::spawn(reload).detach();
    Ok(())
}
