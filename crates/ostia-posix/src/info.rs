//! `struct tcp_info` as Linux lays it out (linux/tcp.h), and SO_MEMINFO's row of numbers (linux/sock_diag.h).

use std::time::Duration;

use ostia_stack::{State, TcpInfo};

/// Bytes of the structure, up to `tcpi_accecn_opt_seen` (Linux 6.18): who knows fewer fields asks for fewer bytes, and who knows
/// more finds that they aren't there.
pub(crate) const LEN: usize = 280;

/// What the structure has of a socket that is no connection: its state, the bounds of its queues, the segments that it would
/// send.
#[derive(Clone, Copy, Default)]
pub(crate) struct Other {
    pub(crate) state: u8,
    /// A listener's accept queue, and its bound.
    pub(crate) queue: (u32, u32),
    pub(crate) mss: u32,
}

struct Layout([u8; LEN]);

impl Layout {
    fn byte(&mut self, at: usize, value: u8) {
        self.0[at] = value;
    }

    fn word(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn long(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn micros(&mut self, at: usize, time: Duration) {
        self.word(at, u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    fn millis(&mut self, at: usize, time: Duration) {
        self.word(at, u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
    }
}

/// Of a socket without a connection.
pub(crate) fn of_other(other: Other) -> [u8; LEN] {
    let mut layout = Layout([0; LEN]);
    layout.byte(0, other.state);
    layout.micros(8, Duration::from_secs(1));
    layout.word(16, other.mss);
    layout.word(24, other.queue.0);
    layout.word(28, other.queue.1);
    layout.word(76, 0x7fff_ffff);
    layout.word(80, 10);
    layout.word(88, 3);
    layout.0
}

/// Of a connection. What the stack doesn't count (pacing, delivery rates, times of being limited) is 0.
///
/// Linux counts the SYN of this side: as an octet that is acknowledged if this side has opened (`active`), and as a segment that is
/// delivered in any case.
pub(crate) fn of_connection(info: &TcpInfo, v4: bool, active: bool) -> [u8; LEN] {
    let opened = !matches!(info.tcpi_state, State::SynSent | State::SynReceived);
    let delivered = info.tcpi_data_segs_out.saturating_sub(info.tcpi_total_retrans).saturating_sub(info.tcpi_unacked);
    let delivered = delivered.saturating_add(info.tcpi_sacked).saturating_add(u32::from(opened));
    let mut layout = Layout([0; LEN]);
    // Linux has no more than a record of a connection in TIME-WAIT; its socket is closed.
    let state = if info.tcpi_state == State::TimeWait { State::Closed } else { info.tcpi_state };
    let bytes =
        [state.number(), info.tcpi_ca_state, info.tcpi_retransmits, info.tcpi_probes, info.tcpi_backoff, info.tcpi_options];
    for (at, byte) in bytes.into_iter().enumerate() {
        layout.byte(at, byte);
    }
    // Bit fields: the first is the low half.
    layout.byte(6, info.tcpi_snd_wscale & 0xf | info.tcpi_rcv_wscale << 4);
    layout.micros(8, info.tcpi_rto);
    layout.micros(12, Duration::from_millis(40));
    layout.word(16, info.tcpi_snd_mss);
    layout.word(20, info.tcpi_rcv_mss);
    layout.word(24, info.tcpi_unacked);
    layout.word(28, info.tcpi_sacked);
    layout.word(32, info.tcpi_lost);
    layout.word(36, info.tcpi_retrans);
    layout.millis(44, info.tcpi_last_data_sent);
    layout.millis(52, info.tcpi_last_data_recv);
    layout.millis(56, info.tcpi_last_data_recv);
    layout.word(60, info.tcpi_pmtu);
    layout.word(64, info.tcpi_rcv_wnd);
    layout.micros(68, info.tcpi_rtt);
    layout.micros(72, info.tcpi_rttvar);
    layout.word(76, info.tcpi_snd_ssthresh);
    layout.word(80, info.tcpi_snd_cwnd);
    layout.word(84, info.tcpi_pmtu.saturating_sub(if v4 { 40 } else { 60 }));
    layout.word(88, 3);
    layout.word(96, info.tcpi_rcv_space);
    layout.word(100, info.tcpi_total_retrans);
    layout.long(112, u64::MAX);
    layout.long(120, info.tcpi_bytes_acked + u64::from(active && opened));
    layout.long(128, info.tcpi_bytes_received);
    layout.word(136, info.tcpi_segs_out);
    layout.word(140, info.tcpi_segs_in);
    layout.word(144, info.tcpi_notsent_bytes);
    layout.micros(148, info.tcpi_min_rtt);
    layout.word(152, info.tcpi_data_segs_in);
    layout.word(156, info.tcpi_data_segs_out);
    layout.word(192, delivered);
    layout.long(200, info.tcpi_bytes_sent);
    layout.long(208, info.tcpi_bytes_retrans);
    layout.word(216, info.tcpi_dsack_dups);
    layout.word(224, info.tcpi_rcv_ooopack);
    layout.word(228, info.tcpi_snd_wnd);
    layout.word(232, info.tcpi_rcv_wnd);
    layout.0
}

/// SO_MEMINFO: octets received and their bound, octets to be sent and their bound, and how many datagrams were dropped.
pub(crate) fn memory(received: (u32, u32), sent: (u32, u32), dropped: u32) -> [u8; 36] {
    let mut bytes = [0; 36];
    for (at, value) in [(0, received.0), (1, received.1), (2, sent.0), (3, sent.1), (5, sent.0), (8, dropped)] {
        bytes[at * 4..at * 4 + 4].copy_from_slice(&value.to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {

    #[test]
    fn the_places_are_those_of_the_c_structure() {
        use std::mem::offset_of;
        // libc's structure ends earlier, but begins the same.
        let places = [
            (offset_of!(libc::tcp_info, tcpi_rto), 8),
            (offset_of!(libc::tcp_info, tcpi_snd_mss), 16),
            (offset_of!(libc::tcp_info, tcpi_unacked), 24),
            (offset_of!(libc::tcp_info, tcpi_last_data_sent), 44),
            (offset_of!(libc::tcp_info, tcpi_pmtu), 60),
            (offset_of!(libc::tcp_info, tcpi_rtt), 68),
            (offset_of!(libc::tcp_info, tcpi_snd_cwnd), 80),
            (offset_of!(libc::tcp_info, tcpi_rcv_space), 96),
            (offset_of!(libc::tcp_info, tcpi_total_retrans), 100),
        ];
        for (found, expected) in places {
            assert_eq!(found, expected);
        }
    }
}
