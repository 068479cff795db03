//! SIGUSR1, by which logrotate(8) asks for the log files to be opened anew.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

/// Opens the files anew at each SIGUSR1. By a thread that sleeps in read(2) until then: the signal's handler may only write a
/// byte.
pub(super) fn reopen_on_signal() -> io::Result<()> {
    let (mut heard, signalled) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGUSR1, signalled)?;
    let listen = move || {
        let mut bytes = [0; 64];
        while heard.read(&mut bytes).is_ok_and(|count| count > 0) {
            super::reopen();
        }
    };
    std::thread::Builder::new().name("log-reopen".into()).spawn(listen)?;
    Ok(())
}
