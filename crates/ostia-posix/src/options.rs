//! getsockopt(2) and setsockopt(2).

use std::os::fd::RawFd;
use std::time::Duration;

use crate::address::Domain;
use crate::core::Core;
use crate::descriptors::Id;
use crate::info::{self, Other};
use crate::settings::{DATAGRAM_BUFFER, LEAST_RECEIVE, LEAST_SEND, MOST_BUFFER, Settings, rounded_to_retries};
use crate::socket::{Kind, Stage};
use crate::{Errno, World};

/// The name of the one congestion control that the stack has, in the room that Linux gives it.
const CONGESTION: &[u8; 16] = b"reno\0\0\0\0\0\0\0\0\0\0\0\0";

/// linux/tcp.h; the longest time that a closed connection waits for the peer's end (TCP_FIN_TIMEOUT_MAX, in seconds).
const LINGER2_MOST: i32 = 120;

fn integer(value: &[u8]) -> Result<i32, Errno> {
    value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)
}

/// A number within bounds.
fn within<T: TryFrom<i32>>(value: i32, low: i32, high: i32) -> Result<T, Errno> {
    if !(low..=high).contains(&value) {
        return Err(Errno::EINVAL);
    }
    T::try_from(value).map_err(|_| Errno::EINVAL)
}

/// `struct timeval`: zero is for ever, and below zero not at all (sock_set_timeout).
fn timeout(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let (seconds, rest) = value.split_first_chunk().ok_or(Errno::EINVAL)?;
    let micros = rest.first_chunk().ok_or(Errno::EINVAL)?;
    let (seconds, micros) = (i64::from_ne_bytes(*seconds), i64::from_ne_bytes(*micros));
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    match u64::try_from(seconds) {
        Err(_) => Ok(Some(Duration::ZERO)),
        Ok(0) if micros == 0 => Ok(None),
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds) + Duration::from_micros(micros as u64))),
    }
}

fn timeval(timeout: Option<Duration>) -> Vec<u8> {
    let time = timeout.unwrap_or_default();
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    [seconds.to_ne_bytes(), i64::from(time.subsec_micros()).to_ne_bytes()].concat()
}

/// A buffer's size as Linux keeps it: twice what was asked for, for its own overhead counts too.
fn doubled(value: i32, least: u32, most: u32) -> u32 {
    let asked = (value as u32).min(most).min(i32::MAX as u32 / 2);
    (asked * 2).max(least)
}

/// Sets an option of SOL_SOCKET.
fn set_socket(settings: &mut Settings, kind: Kind, name: i32, value: &[u8]) -> Result<(), Errno> {
    match name {
        libc::SO_RCVTIMEO => {
            settings.receive_timeout = timeout(value)?;
            return Ok(());
        }
        libc::SO_SNDTIMEO => {
            settings.send_timeout = timeout(value)?;
            return Ok(());
        }
        libc::SO_TYPE | libc::SO_DOMAIN | libc::SO_PROTOCOL | libc::SO_ERROR | libc::SO_ACCEPTCONN => {
            integer(value)?;
            return Err(Errno::ENOPROTOOPT);
        }
        _ => {}
    }
    let number = integer(value)?;
    let on = number != 0;
    match name {
        libc::SO_REUSEADDR => settings.reuse_address = on,
        libc::SO_REUSEPORT => settings.reuse_port = on,
        libc::SO_KEEPALIVE => settings.keepalive = on,
        libc::SO_BROADCAST => settings.broadcast = on,
        libc::SO_OOBINLINE => settings.inline = on,
        libc::SO_PRIORITY => settings.priority = number as u32,
        libc::SO_SNDBUF => settings.send_buffer = Some(doubled(number, LEAST_SEND, MOST_BUFFER)),
        libc::SO_RCVBUF => settings.receive_buffer = Some(doubled(number, LEAST_RECEIVE, MOST_BUFFER)),
        // Who may break the bound is root, and here everybody is.
        libc::SO_SNDBUFFORCE => settings.send_buffer = Some(doubled(number.max(0), LEAST_SEND, u32::MAX)),
        libc::SO_RCVBUFFORCE => settings.receive_buffer = Some(doubled(number.max(0), LEAST_RECEIVE, u32::MAX)),
        libc::SO_RCVLOWAT if kind == Kind::Stream => {
            settings.receive_least = if number < 0 { i32::MAX as u32 } else { number.max(1) as u32 };
        }
        libc::SO_RCVLOWAT => settings.receive_least = number.max(1) as u32,
        libc::SO_LINGER => {
            let seconds = value.get(4..).map(integer).ok_or(Errno::EINVAL)??;
            settings.linger = on.then_some(seconds as u32);
        }
        // Nothing here depends on them, and programs set them as a matter of course.
        libc::SO_DONTROUTE | libc::SO_MARK | libc::SO_TIMESTAMP | libc::SO_TIMESTAMPNS | libc::SO_BUSY_POLL => {}
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// Sets an option of IPPROTO_TCP.
fn set_tcp(settings: &mut Settings, name: i32, value: &[u8]) -> Result<(), Errno> {
    if name == libc::TCP_CONGESTION {
        let asked = value.split(|&byte| byte == 0).next().unwrap_or_default();
        return match asked {
            [] if value.is_empty() => Err(Errno::EINVAL),
            b"reno" => Ok(()),
            _ => Err(Errno::ENOENT),
        };
    }
    let number = integer(value)?;
    let on = number != 0;
    let times = &mut settings.keepalive_times;
    match name {
        libc::TCP_NODELAY => settings.nodelay = on,
        libc::TCP_CORK => settings.cork = on,
        libc::TCP_MAXSEG if number == 0 => settings.max_segment = 0,
        libc::TCP_MAXSEG => settings.max_segment = within(number, 88, 32_767)?,
        libc::TCP_KEEPIDLE => times.idle = Duration::from_secs(within(number, 1, 32_767)?),
        libc::TCP_KEEPINTVL => times.interval = Duration::from_secs(within(number, 1, 32_767)?),
        libc::TCP_KEEPCNT => times.count = within(number, 1, 127)?,
        libc::TCP_SYNCNT => settings.syn_count = within(number, 1, 127)?,
        libc::TCP_USER_TIMEOUT => settings.user_timeout = within(number, 0, i32::MAX)?,
        libc::TCP_DEFER_ACCEPT => settings.defer_accept = rounded_to_retries(number.max(0) as u32),
        libc::TCP_LINGER2 => settings.linger2 = if number < 0 { -1 } else { number.min(LINGER2_MOST) },
        libc::TCP_QUICKACK => settings.quick_ack = on,
        libc::TCP_NOTSENT_LOWAT => settings.not_sent_low = number as u32,
        libc::TCP_WINDOW_CLAMP => settings.window_clamp = within(number, 0, i32::MAX)?,
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// Sets an option of IPPROTO_IP, for which one byte is enough.
fn set_ip(settings: &mut Settings, kind: Kind, name: i32, value: &[u8]) -> Result<(), Errno> {
    let number = match value {
        [] => 0,
        [byte] | [byte, _] | [byte, _, _] => i32::from(*byte),
        _ => integer(value)?,
    };
    match name {
        libc::IP_TTL if value.is_empty() => return Err(Errno::EINVAL),
        libc::IP_TTL if number == -1 => settings.ttl = None,
        libc::IP_TTL => settings.ttl = Some(within(number, 1, 255)?),
        // The lower two bits are ECN's, which streams see to themselves.
        libc::IP_TOS if kind == Kind::Stream => settings.tos = number as u8 & !3 | settings.tos & 3,
        libc::IP_TOS => settings.tos = number as u8,
        libc::IP_MTU_DISCOVER => settings.discover = within(number, 0, 5)?,
        libc::IP_RECVERR => settings.errors = number != 0,
        libc::IP_MULTICAST_TTL if kind == Kind::Datagram => {
            settings.multicast_ttl = if number == -1 { 1 } else { within(number, 0, 255)? }
        }
        libc::IP_FREEBIND | libc::IP_TRANSPARENT | libc::IP_RECVTTL | libc::IP_RECVTOS | libc::IP_PKTINFO => {}
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// Sets an option of IPPROTO_IPV6.
fn set_v6(settings: &mut Settings, bound: bool, name: i32, value: &[u8]) -> Result<(), Errno> {
    let number = integer(value)?;
    match name {
        libc::IPV6_V6ONLY if bound => return Err(Errno::EINVAL),
        libc::IPV6_V6ONLY => settings.v6_only = number != 0,
        libc::IPV6_UNICAST_HOPS if number == -1 => settings.hops = None,
        libc::IPV6_UNICAST_HOPS => settings.hops = Some(within(number, 0, 255)?),
        libc::IPV6_TCLASS if number == -1 => settings.traffic_class = 0,
        libc::IPV6_TCLASS => settings.traffic_class = within(number, 0, 255)?,
        libc::IPV6_MTU_DISCOVER => settings.discover = within(number, 0, 5)?,
        libc::IPV6_RECVERR => settings.errors = number != 0,
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

impl Core {
    fn set_option(&mut self, id: Id, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let socket = self.socket_mut(id)?;
        let (kind, domain, bound) = (socket.kind(), socket.domain, socket.bound.is_some());
        let settings = &mut socket.settings;
        match (level, kind, domain) {
            (libc::SOL_SOCKET, ..) => set_socket(settings, kind, name, value)?,
            (libc::IPPROTO_TCP, Kind::Stream, _) => set_tcp(settings, name, value)?,
            (libc::IPPROTO_IP, ..) => set_ip(settings, kind, name, value)?,
            (libc::IPPROTO_IPV6, _, Domain::V6) => set_v6(settings, bound, name, value)?,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        self.apply(id);
        Ok(())
    }

    fn option(&mut self, id: Id, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        let socket = self.socket(id)?;
        let number = match (level, socket.kind(), socket.domain) {
            (libc::SOL_SOCKET, ..) => return self.socket_option(id, name),
            (libc::IPPROTO_TCP, Kind::Stream, _) => return self.tcp_option(id, name),
            (libc::IPPROTO_IP, ..) => self.ip_option(id, name)?,
            (libc::IPPROTO_IPV6, _, Domain::V6) => {
                let settings = &socket.settings;
                match name {
                    libc::IPV6_V6ONLY => settings.v6_only.into(),
                    libc::IPV6_UNICAST_HOPS => settings.hops.unwrap_or(self.stack.config().hop_limit).into(),
                    libc::IPV6_TCLASS => settings.traffic_class.into(),
                    libc::IPV6_MTU_DISCOVER => settings.discover.into(),
                    libc::IPV6_RECVERR => settings.errors.into(),
                    libc::IPV6_MTU => return self.path_mtu(id),
                    _ => return Err(Errno::ENOPROTOOPT),
                }
            }
            (_, _, Domain::V4) => return Err(Errno::EOPNOTSUPP),
            (_, _, Domain::V6) => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    fn ip_option(&self, id: Id, name: i32) -> Result<i32, Errno> {
        let settings = &self.socket(id)?.settings;
        Ok(match name {
            libc::IP_TTL => settings.ttl.unwrap_or(self.stack.config().hop_limit).into(),
            libc::IP_TOS => settings.tos.into(),
            libc::IP_MTU_DISCOVER => settings.discover.into(),
            libc::IP_RECVERR => settings.errors.into(),
            libc::IP_MULTICAST_TTL => settings.multicast_ttl.into(),
            libc::IP_MTU => return self.path_mtu(id).and_then(|bytes| integer(&bytes)),
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }

    /// What may go to the peer in one packet.
    fn path_mtu(&self, id: Id) -> Result<Vec<u8>, Errno> {
        let info = self.tcp_info(self.socket(id)?).ok_or(Errno::ENOTCONN)?;
        Ok(info.tcpi_pmtu.to_ne_bytes().to_vec())
    }

    /// The sizes of the buffers as Linux counts them, for receiving and for sending.
    fn buffers(&self, id: Id) -> Result<(u32, u32), Errno> {
        let socket = self.socket(id)?;
        let base = self.stack.options();
        let usual = match socket.kind() {
            Kind::Stream => (base.receive_buffer.saturating_mul(2), base.send_buffer.saturating_mul(2)),
            Kind::Datagram => (DATAGRAM_BUFFER, DATAGRAM_BUFFER),
        };
        let settings = &socket.settings;
        Ok((settings.receive_buffer.unwrap_or(usual.0), settings.send_buffer.unwrap_or(usual.1)))
    }

    fn socket_option(&mut self, id: Id, name: i32) -> Result<Vec<u8>, Errno> {
        let (received, sent) = self.buffers(id)?;
        let socket = self.socket_mut(id)?;
        let kind = socket.kind();
        let settings = &socket.settings;
        let number: i32 = match name {
            libc::SO_ERROR => socket.error.take().map_or(0, Errno::code),
            libc::SO_TYPE => {
                if kind == Kind::Stream {
                    libc::SOCK_STREAM
                } else {
                    libc::SOCK_DGRAM
                }
            }
            libc::SO_DOMAIN => socket.domain.number(),
            libc::SO_PROTOCOL => {
                if kind == Kind::Stream {
                    libc::IPPROTO_TCP
                } else {
                    libc::IPPROTO_UDP
                }
            }
            libc::SO_ACCEPTCONN => matches!(socket.stage, Stage::Listening(_)).into(),
            libc::SO_REUSEADDR => settings.reuse_address.into(),
            libc::SO_REUSEPORT => settings.reuse_port.into(),
            libc::SO_KEEPALIVE => settings.keepalive.into(),
            libc::SO_BROADCAST => settings.broadcast.into(),
            libc::SO_OOBINLINE => settings.inline.into(),
            libc::SO_PRIORITY => settings.priority as i32,
            libc::SO_RCVBUF => received as i32,
            libc::SO_SNDBUF => sent as i32,
            libc::SO_RCVLOWAT => settings.receive_least as i32,
            libc::SO_SNDLOWAT => 1,
            libc::SO_DONTROUTE | libc::SO_MARK | libc::SO_TIMESTAMP | libc::SO_TIMESTAMPNS | libc::SO_BUSY_POLL => 0,
            libc::SO_RCVTIMEO => return Ok(timeval(settings.receive_timeout)),
            libc::SO_SNDTIMEO => return Ok(timeval(settings.send_timeout)),
            libc::SO_LINGER => {
                let (on, seconds) = (i32::from(settings.linger.is_some()), settings.linger.unwrap_or(0) as i32);
                return Ok([on.to_ne_bytes(), seconds.to_ne_bytes()].concat());
            }
            libc::SO_COOKIE => return Ok(id.to_ne_bytes().to_vec()),
            libc::SO_MEMINFO => {
                let dropped = socket.datagrams_mut().map_or(0, |datagrams| datagrams.dropped);
                let queued = socket.datagrams_mut().map_or(0, |datagrams| datagrams.queued as u64);
                let socket = self.socket(id)?;
                let clip = |octets: u64| u32::try_from(octets).unwrap_or(u32::MAX);
                let (unread, unacknowledged) = (clip(self.unread(socket) + queued), clip(self.unacknowledged(socket).0));
                return Ok(info::memory((unread, received), (unacknowledged, sent), dropped).to_vec());
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    fn tcp_option(&self, id: Id, name: i32) -> Result<Vec<u8>, Errno> {
        let socket = self.socket(id)?;
        let config = self.stack.config();
        let settings = &socket.settings;
        let info = self.tcp_info(socket).filter(|info| info.tcpi_state != ostia_stack::State::Closed);
        let seconds = |time: Duration| i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        let number: i32 = match name {
            libc::TCP_NODELAY => settings.nodelay.into(),
            libc::TCP_CORK => settings.cork.into(),
            libc::TCP_MAXSEG => match &info {
                Some(info) => info.tcpi_snd_mss as i32,
                None if settings.max_segment > 0 => settings.max_segment.into(),
                None => 536,
            },
            libc::TCP_KEEPIDLE => seconds(settings.keepalive_times.idle),
            libc::TCP_KEEPINTVL => seconds(settings.keepalive_times.interval),
            libc::TCP_KEEPCNT => settings.keepalive_times.count.into(),
            libc::TCP_SYNCNT if settings.syn_count > 0 => settings.syn_count.into(),
            libc::TCP_SYNCNT => config.syn_retries.into(),
            libc::TCP_USER_TIMEOUT => settings.user_timeout as i32,
            libc::TCP_DEFER_ACCEPT => settings.defer_accept as i32,
            libc::TCP_LINGER2 if settings.linger2 == 0 => seconds(config.fin_wait_2),
            libc::TCP_LINGER2 => settings.linger2,
            libc::TCP_QUICKACK => settings.quick_ack.into(),
            libc::TCP_NOTSENT_LOWAT => settings.not_sent_low as i32,
            libc::TCP_WINDOW_CLAMP => settings.window_clamp as i32,
            libc::TCP_CONGESTION => return Ok(CONGESTION.to_vec()),
            // Reno has nothing to tell.
            libc::TCP_CC_INFO => return Ok(Vec::new()),
            libc::TCP_INFO => {
                if let Some(info) = &info {
                    let (v4, active) = socket.stream().map_or((true, false), |stream| (stream.remote.0.is_v4(), stream.active));
                    return Ok(info::of_connection(info, v4, active).to_vec());
                }
                let queue = match &socket.stage {
                    Stage::Listening(listener) => (u32::try_from(self.waiting(id)).unwrap_or(u32::MAX), listener.backlog),
                    _ => (0, 0),
                };
                return Ok(info::of_other(Other { state: self.state(socket).number(), queue, mss: 536 }).to_vec());
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_ne_bytes().to_vec())
    }
}

impl World {
    /// getsockopt(2): an option's value, at most `room` bytes of it.
    ///
    /// # Errors
    /// ENOPROTOOPT of options that there aren't, EOPNOTSUPP of levels; ENOTCONN of what only connections have; EBADF, ENOTSOCK.
    pub fn getsockopt(&self, fd: RawFd, level: i32, name: i32, room: usize) -> Result<Vec<u8>, Errno> {
        let mut inside = self.enter();
        let id = inside.id(fd)?;
        let mut value = inside.option(id, level, name)?;
        value.truncate(room);
        Ok(value)
    }

    /// setsockopt(2).
    ///
    /// # Errors
    /// EINVAL of values out of bounds or too short, EDOM of times; ENOPROTOOPT of what can't be set; ENOENT of congestion
    /// controls that there aren't; EBADF, ENOTSOCK.
    pub fn setsockopt(&self, fd: RawFd, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let mut inside = self.enter();
        let id = inside.id(fd)?;
        inside.set_option(id, level, name, value)
    }
}
