//! How connections are set up: what is small goes out at once, and who is gone without a word is found out.

use std::io;
use std::time::Duration;

use ostia::net::{Keepalive, Stream};

/// A connection on which nothing sent is acknowledged for so long is given up: with a new one, the wait for a network that
/// comes back is a second at most, where TCP's own grows to minutes.
const UNANSWERED_MOST: Duration = Duration::from_secs(5);

/// Sets a connection up; one over a Unix socket needs nothing.
pub fn tune(stream: &Stream) -> io::Result<()> {
    if stream.peer_addr()?.ip().is_none() {
        return Ok(());
    }
    stream.set_nodelay(true)?;
    // Not every system has these; where one is missing, TCP takes its own time.
    let _ = stream.set_user_timeout(UNANSWERED_MOST);
    let _ = stream.set_keepalive(Some(Keepalive::default()));
    Ok(())
}
