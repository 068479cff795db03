//! What a program has set of a socket, in the units of setsockopt(2), and what it means to the stack.

use std::time::Duration;

use ostia_stack::{DatagramOptions, Keepalive, Options};

/// SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF as a 64-bit Linux has them.
pub(crate) const LEAST_RECEIVE: u32 = 2304;
pub(crate) const LEAST_SEND: u32 = 4608;

/// net.core.rmem_max and wmem_max, as Linux has them by default (since 6.17).
pub(crate) const MOST_BUFFER: u32 = 4 << 20;

/// net.core.rmem_default and wmem_default: the buffers of a datagram socket.
pub(crate) const DATAGRAM_BUFFER: u32 = 212_992;

/// Every option that is kept. An accepted socket begins with its listener's.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) keepalive: bool,
    pub(crate) keepalive_times: Keepalive,
    /// SO_LINGER, in seconds.
    pub(crate) linger: Option<u32>,
    /// SO_SNDBUF and SO_RCVBUF as getsockopt(2) answers: twice what was asked for. None: the stack's defaults.
    pub(crate) send_buffer: Option<u32>,
    pub(crate) receive_buffer: Option<u32>,
    pub(crate) receive_least: u32,
    /// None: for ever.
    pub(crate) receive_timeout: Option<Duration>,
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) broadcast: bool,
    pub(crate) priority: u32,
    pub(crate) inline: bool,
    pub(crate) nodelay: bool,
    pub(crate) cork: bool,
    /// TCP_MAXSEG; 0: as the path allows.
    pub(crate) max_segment: u16,
    /// TCP_USER_TIMEOUT, in milliseconds; 0: as many retransmissions as the stack's.
    pub(crate) user_timeout: u32,
    /// TCP_SYNCNT; 0: the stack's.
    pub(crate) syn_count: u8,
    /// TCP_DEFER_ACCEPT, in seconds as Linux rounds them.
    pub(crate) defer_accept: u32,
    /// TCP_LINGER2, in seconds; below 0: none, 0: the stack's.
    pub(crate) linger2: i32,
    pub(crate) quick_ack: bool,
    pub(crate) not_sent_low: u32,
    pub(crate) window_clamp: u32,
    /// IP_TTL; none: the stack's.
    pub(crate) ttl: Option<u8>,
    /// IPV6_UNICAST_HOPS; none: the stack's.
    pub(crate) hops: Option<u8>,
    pub(crate) multicast_ttl: u8,
    pub(crate) tos: u8,
    pub(crate) traffic_class: u8,
    pub(crate) v6_only: bool,
    /// IP_MTU_DISCOVER.
    pub(crate) discover: u8,
    /// IP_RECVERR and IPV6_RECVERR.
    pub(crate) errors: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            reuse_address: false,
            reuse_port: false,
            keepalive: false,
            keepalive_times: Keepalive::default(),
            linger: None,
            send_buffer: None,
            receive_buffer: None,
            receive_least: 1,
            receive_timeout: None,
            send_timeout: None,
            broadcast: false,
            priority: 0,
            inline: false,
            nodelay: false,
            cork: false,
            max_segment: 0,
            user_timeout: 0,
            syn_count: 0,
            defer_accept: 0,
            linger2: 0,
            quick_ack: true,
            not_sent_low: 0,
            window_clamp: 0,
            ttl: None,
            hops: None,
            multicast_ttl: 1,
            tos: 0,
            traffic_class: 0,
            v6_only: false,
            discover: libc::IP_PMTUDISC_WANT as u8,
            errors: false,
        }
    }
}

impl Settings {
    /// What they mean to a connection that is open, or is accepted; `base` has the stack's defaults.
    pub(crate) fn of_connection(&self, base: Options, v4: bool) -> Options {
        let mut options = base;
        options.nodelay = self.nodelay;
        options.cork = self.cork;
        options.keepalive = self.keepalive.then_some(self.keepalive_times);
        options.user_timeout = (self.user_timeout > 0).then(|| Duration::from_millis(self.user_timeout.into()));
        // Who lingers for some time waits in close(2); only a time of zero means something to the stack.
        options.linger = (self.linger == Some(0)).then_some(Duration::ZERO);
        options.fin_wait_2 = match self.linger2 {
            ..0 => Duration::ZERO,
            0 => base.fin_wait_2,
            seconds => Duration::from_secs(seconds as u64),
        };
        // Half of what Linux counts is for its own overhead (tcp(7), tcp_adv_win_scale).
        options.receive_buffer = self.receive_buffer.map_or(base.receive_buffer, |bytes| bytes / 2);
        if let Some(bytes) = self.send_buffer {
            (options.send_buffer, options.send_buffer_most) = (bytes / 2, bytes / 2);
        }
        options.max_segment = if self.max_segment > 0 { self.max_segment } else { base.max_segment };
        options.hop_limit = if v4 { self.ttl } else { self.hops }.unwrap_or(base.hop_limit);
        options.traffic_class = if v4 { self.tos } else { self.traffic_class };
        options
    }

    /// What they mean while a connection is being opened: TCP_SYNCNT as the time that so many SYNs take, for the stack has one
    /// number of retries for all.
    pub(crate) fn of_opening(&self, base: Options, v4: bool, first: Duration, most: Duration) -> Options {
        let mut options = self.of_connection(base, v4);
        if self.syn_count > 0 {
            let waits = (0..=u32::from(self.syn_count)).map(|retry| first.saturating_mul(1 << retry.min(16)).min(most));
            let lasts = waits.fold(Duration::ZERO, Duration::saturating_add);
            options.user_timeout = Some(options.user_timeout.map_or(lasts, |limit| limit.min(lasts)));
        }
        options
    }

    /// What they mean to a UDP socket.
    pub(crate) fn of_datagrams(&self, v4: bool) -> DatagramOptions {
        DatagramOptions {
            hop_limit: if v4 { self.ttl } else { self.hops },
            multicast_hop_limit: self.multicast_ttl,
            traffic_class: if v4 { self.tos } else { self.traffic_class } & !3,
            dont_fragment: i32::from(self.discover) == libc::IP_PMTUDISC_DO,
            broadcast: self.broadcast,
            reuse: self.reuse_address || self.reuse_port,
            errors: self.errors,
            buffer: None,
        }
    }
}

/// TCP_DEFER_ACCEPT and the like: as many retransmissions as take so many seconds, and then the seconds that so many take, with
/// a first timeout of a second that doubles up to two minutes (tcp(7)).
pub(crate) fn rounded_to_retries(seconds: u32) -> u32 {
    let (mut total, mut wait) = (0u32, 1u32);
    for _ in 0..255 {
        if total >= seconds {
            break;
        }
        total += wait;
        wait = (wait * 2).min(120);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_retries_and_seconds_again() {
        for (asked, answered) in [(0, 0), (1, 1), (2, 3), (3, 3), (5, 7), (7, 7), (120, 127), (128, 247)] {
            assert_eq!(rounded_to_retries(asked), answered, "{asked}");
        }
        assert!(rounded_to_retries(u32::MAX) < 40_000, "it ends");
    }

    #[test]
    fn a_number_of_syns_is_the_time_that_they_take() {
        let base = Options::new(&ostia_stack::Config::default());
        let settings = Settings { syn_count: 2, ..Settings::default() };
        let (first, most) = (Duration::from_secs(1), Duration::from_secs(120));
        assert_eq!(settings.of_opening(base, true, first, most).user_timeout, Some(Duration::from_secs(7)));
        assert_eq!(settings.of_connection(base, true).user_timeout, None);
    }

    #[test]
    fn only_a_linger_of_zero_resets() {
        let base = Options::new(&ostia_stack::Config::default());
        for (linger, expected) in [(None, None), (Some(0), Some(Duration::ZERO)), (Some(5), None)] {
            let settings = Settings { linger, ..Settings::default() };
            assert_eq!(settings.of_connection(base, true).linger, expected);
        }
    }
}
