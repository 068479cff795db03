//! What systemd is told: that the server is ready, reloads, stops, lives (sd_notify(3), written out: it is one datagram).

use rustix::time::{ClockId, clock_gettime};
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Whether somebody wants to know.
#[must_use]
pub fn is_wanted() -> bool {
    socket().is_some()
}

/// The server listens.
pub fn ready() {
    tell("READY=1");
}

/// The server is being stopped.
pub fn stopping() {
    tell("STOPPING=1");
}

/// The log files are about to be opened anew. systemd wants the time of its request back (`Type=notify-reload`).
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
}

/// Tells systemd regularly that the server lives, if it asked for that. Each time every worker has to answer first: one that
/// hangs has the server restarted.
pub fn watch() {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(period) = watchdog(variable, std::process::id()) else { return };
    let living = async move {
        loop {
            let workers = ostia::workers().len();
            if ostia::statistics().await.len() == workers {
                tell("WATCHDOG=1");
            }
            ostia::time::sleep(period).await;
        }
    };
    ostia::spawn(living).detach();
}

/// How often: half of what systemd waits for, as sd_watchdog_enabled(3) advises.
fn watchdog(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Option<Duration> {
    if variable("WATCHDOG_PID").is_some_and(|text| text.parse() != Ok(pid)) {
        return None;
    }
    let micros: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros / 2).max(Duration::from_millis(1)))
}

fn socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

fn tell(state: &str) {
    if let Some(path) = socket()
        && let Err(error) = send(path.as_bytes(), state)
    {
        tracing::warn!(%error, state, "NOTIFY_SOCKET can't be reached");
    }
}

fn send(to: &[u8], state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // The service manager reads; a worker must not wait should it not.
    socket.set_nonblocking(true)?;
    let address = match to.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(to))?,
    };
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_asked() {
        let with = |usec: &'static str, pid: Option<&'static str>| {
            watchdog(move |name| if name == "WATCHDOG_USEC" { Some(usec.into()) } else { pid.map(Into::into) }, 7)
        };
        assert_eq!(with("2000000", None), Some(Duration::from_secs(1)));
        assert_eq!(with("2000000", Some("7")), Some(Duration::from_secs(1)));
        assert_eq!((with("2000000", Some("8")), with("0", None), with("x", None)), (None, None, None));
        assert_eq!(watchdog(|_| None, 7), None);
    }

    #[test]
    fn both_kinds_of_address_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("ostia-notify-test-{}", std::process::id());
        let hidden = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, to) in [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&hidden).unwrap(), format!("@{name}")),
        ] {
            send(to.as_bytes(), "READY=1").unwrap();
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        }
        assert!(send(b"/nowhere/at/all", "READY=1").is_err());
    }
}
