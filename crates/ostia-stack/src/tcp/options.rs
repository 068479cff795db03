//! What a program can set of its connections.

use core::time::Duration;

use crate::config::Config;

/// Probes of a connection on which nothing happens (RFC 9293, 3.8.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// How long nothing must have come before the first probe. 2 h, the least default that RFC 9293 allows.
    pub idle: Duration,
    /// Between probes. 75 s.
    pub interval: Duration,
    /// Probes without an answer after which the connection has timed out. 9.
    pub count: u8,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), count: 9 }
    }
}

/// What a program can set. A connection that was accepted begins with its listener's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Small segments go out at once, without Nagle's algorithm (TCP_NODELAY; RFC 9293, 3.7.4).
    pub nodelay: bool,
    /// Only full segments go out, but none waits longer than 200 ms (TCP_CORK).
    pub cork: bool,
    /// Probes of idle connections (SO_KEEPALIVE). None by default (RFC 9293, 3.8.4 MUST-25).
    pub keepalive: Option<Keepalive>,
    /// How long sent data may stay unacknowledged before the connection has timed out (TCP_USER_TIMEOUT; RFC 9293,
    /// 3.9.1.1; RFC 5482). None: as many retransmissions as [`Config::retries`] says.
    pub user_timeout: Option<Duration>,
    /// What becomes at [`close`](crate::Stack::close) of data that the peer hasn't acknowledged (SO_LINGER). None: it is
    /// sent in the background. Zero: it is dropped, and the connection reset. Else: reset if it takes longer.
    pub linger: Option<Duration>,
    /// How long a closed connection waits for the peer's end (TCP_LINGER2). [`Config::fin_wait_2`].
    pub fin_wait_2: Duration,
    /// Octets that are received ahead of the program, at most (SO_RCVBUF). From 2 KiB to 1 GiB; what it is when
    /// the SYN or SYN-ACK goes out decides the window's scale.
    pub receive_buffer: u32,
    /// Octets that are kept to be sent, at most (SO_SNDBUF), as long as the path takes no more.
    pub send_buffer: u32,
    /// What grows with the path grows up to this ([`Config::send_buffer_most`]). A program that wants just what it says sets both.
    pub send_buffer_most: u32,
    /// A bound on what one segment may carry (TCP_MAXSEG), beside those of the peer and the path. At least 88.
    pub max_segment: u16,
    /// The hop limit or TTL (IP_TTL, IPV6_UNICAST_HOPS).
    pub hop_limit: u8,
    /// DSCP in the upper six bits (IP_TOS, IPV6_TCLASS).
    pub traffic_class: u8,
}

impl Options {
    /// The defaults of a stack.
    pub fn new(config: &Config) -> Options {
        Options {
            nodelay: false,
            cork: false,
            keepalive: None,
            user_timeout: None,
            linger: None,
            fin_wait_2: config.fin_wait_2,
            receive_buffer: config.receive_buffer,
            send_buffer: config.send_buffer,
            send_buffer_most: config.send_buffer_most,
            max_segment: u16::MAX,
            hop_limit: config.hop_limit,
            traffic_class: 0,
        }
    }

    /// The same with every value within its bounds.
    pub fn bounded(mut self) -> Options {
        self.receive_buffer = self.receive_buffer.clamp(2 << 10, 1 << 30);
        self.send_buffer = self.send_buffer.clamp(2 << 10, 1 << 30);
        self.send_buffer_most = self.send_buffer_most.min(1 << 30);
        self.max_segment = self.max_segment.max(super::MIN_MSS);
        self.hop_limit = self.hop_limit.max(1);
        // The lower two bits are ECN's.
        self.traffic_class &= !3;
        self
    }
}
