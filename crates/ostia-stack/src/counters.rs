//! Counters, under the names that SNMP (RFC 4022, 4113, 4293) and Linux's TcpExt give them.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What has happened since the stack was made.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter, by the name that `nstat` shows.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$(($text, self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// IP packets that arrived.
    ip_in_receives = "IpInReceives",
    /// IP packets given to a protocol.
    ip_in_delivers = "IpInDelivers",
    /// IP packets sent by this host.
    ip_out_requests = "IpOutRequests",
    /// IP packets forwarded.
    ip_forwarded = "IpForwDatagrams",
    /// Fragments that arrived.
    ip_reasm_reqds = "IpReasmReqds",
    /// Packets put together from fragments.
    ip_reasm_oks = "IpReasmOKs",
    /// Packets whose fragments were given up.
    ip_reasm_fails = "IpReasmFails",
    /// Fragments made.
    ip_frag_creates = "IpFragCreates",
    /// ICMP messages that arrived.
    icmp_in_msgs = "IcmpInMsgs",
    /// ICMP messages sent.
    icmp_out_msgs = "IcmpOutMsgs",
    /// Datagrams given to a socket.
    udp_in_datagrams = "UdpInDatagrams",
    /// Datagrams for a port on which nobody listens.
    udp_no_ports = "UdpNoPorts",
    /// Datagrams dropped for other reasons.
    udp_in_errors = "UdpInErrors",
    /// Datagrams sent.
    udp_out_datagrams = "UdpOutDatagrams",
    /// Datagrams dropped because the socket's queue was full.
    udp_rcvbuf_errors = "UdpRcvbufErrors",
    /// Connections that this side opened.
    tcp_active_opens = "TcpActiveOpens",
    /// Connections that a peer opened.
    tcp_passive_opens = "TcpPassiveOpens",
    /// Openings that failed.
    tcp_attempt_fails = "TcpAttemptFails",
    /// Open connections that were reset.
    tcp_estab_resets = "TcpEstabResets",
    /// Segments that arrived.
    tcp_in_segs = "TcpInSegs",
    /// Segments sent, without those that were sent again.
    tcp_out_segs = "TcpOutSegs",
    /// Segments sent again.
    tcp_retrans_segs = "TcpRetransSegs",
    /// Segments that arrived with an error.
    tcp_in_errs = "TcpInErrs",
    /// Segments with RST sent.
    tcp_out_rsts = "TcpOutRsts",
    /// SYN cookies sent.
    syncookies_sent = "TcpExtSyncookiesSent",
    /// SYN cookies that came back.
    syncookies_recv = "TcpExtSyncookiesRecv",
    /// Acknowledgments that were no cookie.
    syncookies_failed = "TcpExtSyncookiesFailed",
    /// Half-open connections given up by a reset.
    embryonic_rsts = "TcpExtEmbryonicRsts",
    /// Times that a SYN met a full accept queue.
    listen_overflows = "TcpExtListenOverflows",
    /// Connections that a listener dropped.
    listen_drops = "TcpExtListenDrops",
    /// Connections that waited in TIME-WAIT to the end.
    tw = "TcpExtTW",
    /// TIME-WAITs reused by a new connection.
    tw_recycled = "TcpExtTWRecycled",
    /// Acknowledgments sent by the delayed ACK's timer.
    delayed_acks = "TcpExtDelayedACKs",
    /// Segments dropped for their timestamp.
    paws_estab = "TcpExtPAWSEstab",
    /// Acknowledgments without data that arrived.
    pure_acks = "TcpExtTCPPureAcks",
    /// Segments retransmitted fast.
    fast_retrans = "TcpExtTCPFastRetrans",
    /// Recoveries begun by three duplicate acknowledgments, without SACK.
    reno_recovery = "TcpExtTCPRenoRecovery",
    /// Recoveries begun by SACK.
    sack_recovery = "TcpExtTCPSackRecovery",
    /// Retransmission timeouts.
    timeouts = "TcpExtTCPTimeouts",
    /// SYNs sent again.
    syn_retrans = "TcpExtTCPSynRetrans",
    /// Challenge ACKs sent (RFC 5961).
    challenge_acks = "TcpExtTCPChallengeACK",
    /// SYNs on open connections.
    syn_challenge = "TcpExtTCPSYNChallenge",
    /// Connections ended while data was unread.
    abort_on_close = "TcpExtTCPAbortOnClose",
    /// Connections ended by data after close.
    abort_on_data = "TcpExtTCPAbortOnData",
    /// Connections ended by a timeout.
    abort_on_timeout = "TcpExtTCPAbortOnTimeout",
    /// Connections ended because a limit of memory or orphans was reached.
    abort_on_memory = "TcpExtTCPAbortOnMemory",
    /// Connections ended while they lingered.
    abort_on_linger = "TcpExtTCPAbortOnLinger",
    /// D-SACKs sent for duplicates.
    dsack_old_sent = "TcpExtTCPDSACKOldSent",
    /// D-SACKs that arrived.
    dsack_recv = "TcpExtTCPDSACKRecv",
    /// Segments put into the out-of-order queue.
    ofo_queue = "TcpExtTCPOFOQueue",
    /// Segments dropped because the out-of-order queue was full.
    ofo_drop = "TcpExtTCPOFODrop",
    /// Out-of-order queues given up for memory.
    ofo_pruned = "TcpExtOfoPruned",
    /// Segments dropped because the receive queue was full.
    rcvq_drop = "TcpExtTCPRcvQDrop",
    /// Zero windows announced.
    to_zero_window = "TcpExtTCPToZeroWindowAdv",
    /// Windows opened again.
    from_zero_window = "TcpExtTCPFromZeroWindowAdv",
    /// Probes of a zero window sent.
    zero_window_probes = "TcpExtTCPWinProbe",
    /// Keepalive probes sent.
    keepalives = "TcpExtTCPKeepAlive",
    /// Segments with a signature and no key.
    md5_unexpected = "TcpExtTCPMD5Unexpected",
}
