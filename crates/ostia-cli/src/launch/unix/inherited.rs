//! The listening sockets that systemd hands over (sd_listen_fds(3)).

use crate::errors::Failure;
use rustix::net::SocketType;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::io;
use std::os::fd::OwnedFd;

/// The first descriptor that is handed over (sd-daemon.h).
const FIRST: i32 = 3;
/// More would be a mistake.
const MOST: i32 = 1024;

/// Whether an address of the command line means sockets handed over: `systemd` all of them, `systemd:NAME` those of that name.
#[must_use]
pub fn is_name(address: &str) -> bool {
    address == "systemd" || address.starts_with("systemd:")
}

/// Whether there are sockets for this process.
#[must_use]
pub fn offered() -> bool {
    offer(|name| std::env::var(name).ok(), std::process::id()).is_some_and(|names| !names.is_empty())
}

/// The names of the descriptors for this process, in order.
fn offer(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Option<Vec<String>> {
    if variable("LISTEN_PID")?.parse() != Ok(pid) {
        return None;
    }
    let count: i32 = variable("LISTEN_FDS")?.parse().ok()?;
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    Some((0..count.clamp(0, MOST)).map(|_| names.next().filter(|name| !name.is_empty()).unwrap_or("unknown".into())).collect())
}

/// The sockets that these addresses mean.
///
/// # Errors
/// When none was handed over, none has the name, or one is not a listening stream socket.
pub fn sockets(addresses: &[String]) -> Result<Vec<OwnedFd>, Failure> {
    let wanted: Vec<&str> = addresses.iter().map(String::as_str).filter(|address| is_name(address)).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let names = offer(|name| std::env::var(name).ok(), std::process::id()).unwrap_or_default();
    if names.is_empty() {
        return Err(Failure::usage(
            "--addr systemd: no socket was handed over",
            "start the service by a socket unit (packaging/systemd has an example), or give --addr HOST:PORT",
        ));
    }
    let mut found = Vec::new();
    for address in &wanted {
        let name = address.strip_prefix("systemd:");
        let before = found.len();
        for (number, known) in names.iter().enumerate().filter(|(_, known)| name.is_none_or(|name| name == *known)) {
            if found.iter().all(|(taken, _)| *taken != number) {
                found.push((number, known));
            }
        }
        if found.len() == before && name.is_some() {
            let what = format!("--addr {address}: no socket of that name was handed over");
            return Err(Failure::usage(
                what,
                format!("names are {}: see FileDescriptorName= in systemd.socket(5)", names.join(", ")),
            ));
        }
    }
    let take = |(number, name): (usize, &String)| {
        let wrong = |error: io::Error| {
            Failure::new(
                format!("cannot take over the socket {name} (descriptor {}): {error}", FIRST + number as i32),
                "hand over listening stream sockets (ListenStream= in the socket unit), and allow the system calls pidfd_open \
                 and pidfd_getfd in SystemCallFilter=",
            )
        };
        take_over(FIRST + number as i32).map_err(wrong)
    };
    found.into_iter().map(take).collect()
}

/// A descriptor of this process by its number. A number proves nothing about who owns the descriptor, so that the only safe
/// way to have it is as another process would: a copy, by pidfd_getfd(2). The original stays open as long as the process;
/// systemd has it open too.
fn take_over(number: i32) -> io::Result<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let socket = pidfd_getfd(&own, number, PidfdGetfdFlags::empty())?;
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "not a listening stream socket");
    let listens = socket_acceptconn(&socket).map_err(|_| wrong())?;
    if !listens || socket_type(&socket)? != SocketType::STREAM {
        return Err(wrong());
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    fn offered(pid: &'static str, fds: &'static str, names: Option<&'static str>) -> Option<Vec<String>> {
        let variable = move |name: &str| match name {
            "LISTEN_PID" => Some(pid.to_owned()),
            "LISTEN_FDS" => Some(fds.to_owned()),
            _ => names.map(str::to_owned),
        };
        offer(variable, 7)
    }

    #[test]
    fn only_what_is_for_this_process_is_taken() {
        assert_eq!(offered("7", "2", Some("web:admin")).unwrap(), ["web", "admin"]);
        assert_eq!(offered("7", "2", Some("web")).unwrap(), ["web", "unknown"]);
        assert_eq!(offered("7", "1", None).unwrap(), ["unknown"]);
        assert_eq!(offered("8", "1", None), None);
        assert_eq!(offered("7", "x", None), None);
        assert_eq!(offered("7", "-1", None).unwrap().len(), 0);
        assert_eq!(offered("7", "99999999", None).unwrap().len(), MOST as usize);
    }

    #[test]
    fn only_listening_stream_sockets_are_taken_over() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = take_over(tcp.as_raw_fd()).unwrap();
        assert_eq!(std::net::TcpListener::from(socket.try_clone().unwrap()).local_addr().ok(), tcp.local_addr().ok());
        assert_ne!(socket.as_raw_fd(), tcp.as_raw_fd());
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        for wrong in [udp.as_raw_fd(), file.as_raw_fd()] {
            assert_eq!(take_over(wrong).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(take_over(1 << 20).is_err());
    }

    #[test]
    fn names_of_addresses() {
        assert!(is_name("systemd") && is_name("systemd:web") && !is_name("systemd.example:80"));
    }
}
