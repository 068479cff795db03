//! The socket options that people use (socket(7), tcp(7), ip(7)).

use std::io;
use std::time::Duration;

use ostia_port::{OptionName, SocketOption};
use rustix::net::sockopt;

use crate::net::{Stream, socket, sockopt as raw};

/// How TCP finds out that an idle peer has gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// How long the connection is idle before the first probe; whole seconds, 1 to 32,767. Linux's default is 2 hours.
    pub idle: Duration,
    /// The time between probes; whole seconds, 1 to 32,767. Linux's default is 75 s.
    pub interval: Duration,
    /// How many probes go unanswered before the connection is given up, 1 to 127. Linux's default is 9.
    pub probes: u32,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 6 }
    }
}

/// Socket options. Each fails on another worker, and with ENOPROTOOPT or EOPNOTSUPP where the socket has no such thing.
impl Stream {
    /// Whether small segments are sent at once instead of being gathered (TCP_NODELAY).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.raw.set(SocketOption::NoDelay(on), |fd| Ok(sockopt::set_tcp_nodelay(fd, on)?))
    }

    /// What [`set_nodelay`](Self::set_nodelay) has set.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn nodelay(&self) -> io::Result<bool> {
        let of = |option| if let SocketOption::NoDelay(on) = option { Some(on) } else { None };
        self.raw.get(OptionName::NoDelay, of, |fd| Ok(sockopt::tcp_nodelay(fd)?))
    }

    /// Probes an idle peer, or not (SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
    ///
    /// # Errors
    /// As setsockopt(2); EINVAL for times out of range.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        let times = keepalive.map(|Keepalive { idle, interval, probes }| (idle, interval, probes));
        self.raw.set(SocketOption::Keepalive(times), |fd| {
            if let Some(Keepalive { idle, interval, probes }) = keepalive {
                sockopt::set_tcp_keepidle(fd, idle)?;
                sockopt::set_tcp_keepintvl(fd, interval)?;
                sockopt::set_tcp_keepcnt(fd, probes)?;
            }
            Ok(sockopt::set_socket_keepalive(fd, keepalive.is_some())?)
        })
    }

    /// What [`set_keepalive`](Self::set_keepalive) has set.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        let of = |option| {
            let SocketOption::Keepalive(times) = option else { return None };
            Some(times.map(|(idle, interval, probes)| Keepalive { idle, interval, probes }))
        };
        self.raw.get(OptionName::Keepalive, of, |fd| {
            if !sockopt::socket_keepalive(fd)? {
                return Ok(None);
            }
            let (idle, interval) = (sockopt::tcp_keepidle(fd)?, sockopt::tcp_keepintvl(fd)?);
            Ok(Some(Keepalive { idle, interval, probes: sockopt::tcp_keepcnt(fd)? }))
        })
    }

    /// How long close(2) waits for unsent data in the kernel; zero resets the connection instead (SO_LINGER).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.raw.set(SocketOption::Linger(linger), |fd| Ok(sockopt::set_socket_linger(fd, linger)?))
    }

    /// The kernel's receive buffer in bytes; Linux doubles it and bounds it by `net.core.rmem_max` (SO_RCVBUF).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.raw.set(SocketOption::ReceiveBuffer(bytes), |fd| Ok(sockopt::set_socket_recv_buffer_size(fd, bytes)?))
    }

    /// The kernel's receive buffer in bytes.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        let of = |option| if let SocketOption::ReceiveBuffer(bytes) = option { Some(bytes) } else { None };
        self.raw.get(OptionName::ReceiveBuffer, of, |fd| Ok(sockopt::socket_recv_buffer_size(fd)?))
    }

    /// The kernel's send buffer in bytes; Linux doubles it and bounds it by `net.core.wmem_max` (SO_SNDBUF).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.raw.set(SocketOption::SendBuffer(bytes), |fd| Ok(sockopt::set_socket_send_buffer_size(fd, bytes)?))
    }

    /// The kernel's send buffer in bytes.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        let of = |option| if let SocketOption::SendBuffer(bytes) = option { Some(bytes) } else { None };
        self.raw.get(OptionName::SendBuffer, of, |fd| Ok(sockopt::socket_send_buffer_size(fd)?))
    }

    /// How many routers a packet may cross, 1 to 255 (IP_TTL, IPV6_UNICAST_HOPS).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_ttl(&self, hops: u8) -> io::Result<()> {
        self.raw.set(SocketOption::HopLimit(hops), |fd| match socket::is_v6(fd)? {
            true => Ok(sockopt::set_ipv6_unicast_hops(fd, Some(hops))?),
            false => Ok(sockopt::set_ip_ttl(fd, hops.into())?),
        })
    }

    /// How long sent data may stay unacknowledged before the connection is given up, to the millisecond (RFC 5482,
    /// TCP_USER_TIMEOUT); zero is the system's default. Linux only.
    ///
    /// # Errors
    /// As setsockopt(2); Unsupported on other systems.
    pub fn set_user_timeout(&self, timeout: Duration) -> io::Result<()> {
        let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        self.raw.set(SocketOption::UserTimeout(timeout), |fd| raw::set_user_timeout(fd, millis))
    }

    /// Whether acknowledgements are sent at once; the kernel goes back to delaying by itself (TCP_QUICKACK). Linux only.
    ///
    /// # Errors
    /// As setsockopt(2); Unsupported on other systems.
    pub fn set_quickack(&self, on: bool) -> io::Result<()> {
        self.raw.set(SocketOption::QuickAck(on), |fd| raw::set_quickack(fd, on))
    }
}
