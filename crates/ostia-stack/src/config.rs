//! How a stack behaves, and the bounds it keeps.

use core::time::Duration;

/// Whose habits a stack has where RFCs leave room, or where Linux differs from them (docs/deviations.md).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// Linux's: what most peers were tested against.
    #[default]
    Linux,
    /// The letter of the RFCs.
    Strict,
}

/// What `listen`'s backlog bounds: the three meanings that it has had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backlog {
    /// Half-open connections alone (4.2BSD's text).
    SynQueue,
    /// Half-open and complete ones together (the BSDs, with their factor of 3/2 left out).
    Sum,
    /// Complete connections that wait to be accepted (Linux since 2.2); half-open ones have a bound of their own.
    #[default]
    AcceptQueue,
}

/// Bounds and habits of a stack.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Whose habits.
    pub profile: Profile,
    /// Bytes that everything which packets and peers can make the stack keep may take, by true size. 64 MiB.
    pub memory: usize,

    /// What a listener's backlog bounds.
    pub backlog: Backlog,
    /// Half-open connections of one listener, where the backlog doesn't bound them. 1024.
    pub syn_queue: usize,
    /// Whether a full SYN queue is answered with cookies (RFC 4987, 3.6). True.
    pub syn_cookies: bool,
    /// TCP connections, at most. 1,000,000.
    pub connections: usize,
    /// TIME-WAIT records, at most; past it they end early. 262,144.
    pub time_waits: usize,
    /// Connections without a program that still send or wait for the peer's end, at most. 65,536.
    pub orphans: usize,
    /// How long a connection without a program waits for the peer's end (FIN-WAIT-2). 60 s.
    pub fin_wait_2: Duration,
    /// How long TIME-WAIT lasts: 2·MSL (RFC 9293, 3.4.2). 60 s as Linux has it; strict: 240 s.
    pub time_wait: Duration,
    /// Octets that a connection receives ahead of its program, at most. 256 KiB.
    pub receive_buffer: u32,
    /// Octets that a connection keeps to send, at most, as long as its path takes no more. 256 KiB.
    pub send_buffer: u32,
    /// Octets that it keeps to send at most on a path that takes more: twice what may be under way, so that as much again is
    /// ready when that has arrived. 4 MiB, as Linux has it; with no more than `send_buffer`, that never grows.
    pub send_buffer_most: u32,
    /// SYNs sent again before a connection attempt is given up (R2; RFC 9293, 3.8.3). 6 as Linux has it, which is 127 s;
    /// strict: 7, for it must be 3 minutes at least (MUST-23).
    pub syn_retries: u8,
    /// SYN-ACKs sent again before a half-open connection is given up. 5 as Linux has it; strict: 7.
    pub syn_ack_retries: u8,
    /// Times that data is sent again before the connection is given up (R2). 15.
    pub retries: u8,
    /// The same for a connection without a program. 8 as Linux has it, and none any more once the timeout has grown to its
    /// greatest; strict: 15.
    pub orphan_retries: u8,
    /// The first retransmission timeout, before any measurement (RFC 6298, 2.1). 1 s.
    pub initial_rto: Duration,
    /// The least retransmission timeout. 200 ms as Linux has it; strict: 1 s (RFC 6298, 2.4).
    pub min_rto: Duration,
    /// The greatest retransmission timeout. 120 s.
    pub max_rto: Duration,
    /// How long an acknowledgment may wait for company. 40 ms.
    pub delayed_ack: Duration,
    /// Challenge ACKs a second, of all connections (RFC 5961, 7). 1000.
    pub challenge_acks: u32,
    /// The least time between acknowledgments of what can't be accepted, of one connection. 500 ms.
    pub invalid_ack_interval: Duration,
    /// Whether a reset leaves TIME-WAIT as it is (RFC 1337). True.
    pub rfc1337: bool,
    /// Whether timestamps are offered and taken (RFC 7323). True.
    pub timestamps: bool,
    /// Whether selective acknowledgment is offered and taken (RFC 2018). True.
    pub sack: bool,
    /// Whether window scaling is offered and taken (RFC 7323). True.
    pub window_scaling: bool,
    /// Ports that are chosen from when none is named (RFC 6056).
    pub ephemeral_ports: (u16, u16),

    /// Neighbours of one link whose addresses are kept, at most. 1024.
    pub neighbours: usize,
    /// Bytes of packets that wait for one neighbour's address, at most, by true size; the newest packet waits however long it
    /// is. 212,992, as Linux has it: two of the longest datagrams in fragments of 1500 bytes.
    pub neighbour_queue: usize,
    /// Bytes of fragments of all sources, at most, by true size. 4 MiB.
    pub reassembly_memory: usize,
    /// Packets of one source that are being put together, at most. 16.
    pub reassembly_per_source: usize,
    /// How long fragments wait for the others. 30 s.
    pub reassembly_timeout: Duration,
    /// Destinations whose path MTU is kept, at most. 4096.
    pub path_mtus: usize,
    /// How long a path MTU is believed before a longer packet is tried (RFC 1191, 6.3; RFC 8201, 4). 10 min.
    pub path_mtu_age: Duration,
    /// Destinations for which a router has told of a better first hop, at most; with 0 redirects are not followed. A host that
    /// forwards follows none. 256.
    pub redirects: usize,
    /// ICMP errors sent a second, at most, and two thirds of that on average, so that nobody can count them (RFC 1812, 4.3.2.8;
    /// RFC 4443, 2.4 f). 1000.
    pub icmp_errors: u32,
    /// Whether packets for others are forwarded between links. False.
    pub forwarding: bool,
    /// The hop limit and TTL of what is sent. 64.
    pub hop_limit: u8,
    /// Bytes that a UDP, raw or ping socket keeps unread, at most, by true size. 208 KiB.
    pub datagram_buffer: usize,
}

impl Config {
    /// The defaults of a profile.
    pub fn new(profile: Profile) -> Config {
        let linux = profile == Profile::Linux;
        Config {
            profile,
            memory: 64 << 20,
            backlog: Backlog::AcceptQueue,
            syn_queue: 1024,
            syn_cookies: true,
            connections: 1_000_000,
            time_waits: 262_144,
            orphans: 65_536,
            fin_wait_2: Duration::from_secs(60),
            time_wait: Duration::from_secs(if linux { 60 } else { 240 }),
            receive_buffer: 256 << 10,
            send_buffer: 256 << 10,
            send_buffer_most: 4 << 20,
            syn_retries: if linux { 6 } else { 7 },
            syn_ack_retries: if linux { 5 } else { 7 },
            retries: 15,
            orphan_retries: if linux { 8 } else { 15 },
            initial_rto: Duration::from_secs(1),
            min_rto: if linux { Duration::from_millis(200) } else { Duration::from_secs(1) },
            max_rto: Duration::from_secs(120),
            delayed_ack: Duration::from_millis(40),
            challenge_acks: 1000,
            invalid_ack_interval: Duration::from_millis(500),
            rfc1337: true,
            timestamps: true,
            sack: true,
            window_scaling: true,
            ephemeral_ports: (32_768, 60_999),
            neighbours: 1024,
            neighbour_queue: 212_992,
            reassembly_memory: 4 << 20,
            reassembly_per_source: 16,
            reassembly_timeout: Duration::from_secs(30),
            path_mtus: 4096,
            path_mtu_age: Duration::from_secs(600),
            redirects: 256,
            icmp_errors: 1000,
            forwarding: false,
            hop_limit: 64,
            datagram_buffer: 208 << 10,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::new(Profile::Linux)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_gives_a_syn_three_minutes() {
        let lasts = |config: &Config, retries: u8| -> Duration {
            (0..=u32::from(retries)).map(|retry| (config.initial_rto * (1 << retry)).min(config.max_rto)).sum()
        };
        let (linux, strict) = (Config::new(Profile::Linux), Config::new(Profile::Strict));
        for retries in [strict.syn_retries, strict.syn_ack_retries] {
            assert!(lasts(&strict, retries) >= Duration::from_secs(180));
        }
        assert_eq!(lasts(&linux, linux.syn_retries), Duration::from_secs(127));
        assert_eq!(lasts(&linux, linux.syn_ack_retries), Duration::from_secs(63));
    }
}
