//! What can be known of a connection, under the names of Linux's `struct tcp_info`.

use core::time::Duration;

use super::connection::{Connection, Recovery};
use super::state::State;
use crate::time::Instant;

/// A connection's state and figures. Sizes are in octets and segments as in Linux's `tcp_info`; times are durations where
/// that has micro- or milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// The state.
    pub tcpi_state: State,
    /// Loss recovery: 0 open, 1 disorder, 3 fast recovery, 4 after a timeout (Linux's `tcp_ca_state`).
    pub tcpi_ca_state: u8,
    /// Timeouts of what is first unacknowledged.
    pub tcpi_retransmits: u8,
    /// Probes since the peer was heard.
    pub tcpi_probes: u8,
    /// Doublings of the retransmission timeout.
    pub tcpi_backoff: u8,
    /// Bits: 1 timestamps, 2 SACK, 4 window scaling.
    pub tcpi_options: u8,
    /// The shift of the peer's windows.
    pub tcpi_snd_wscale: u8,
    /// The shift of this side's windows.
    pub tcpi_rcv_wscale: u8,
    /// The retransmission timeout.
    pub tcpi_rto: Duration,
    /// What a segment to the peer carries, at most.
    pub tcpi_snd_mss: u32,
    /// What segments of the peer seem to carry.
    pub tcpi_rcv_mss: u32,
    /// Segments' worth of what is sent and not acknowledged.
    pub tcpi_unacked: u32,
    /// Segments' worth of what is selectively acknowledged.
    pub tcpi_sacked: u32,
    /// Segments' worth of what is thought to be lost.
    pub tcpi_lost: u32,
    /// Segments' worth of what was sent again and is under way.
    pub tcpi_retrans: u32,
    /// Since something was last sent.
    pub tcpi_last_data_sent: Duration,
    /// Since something was last received.
    pub tcpi_last_data_recv: Duration,
    /// The path's MTU.
    pub tcpi_pmtu: u32,
    /// The smoothed round-trip time; zero before the first measurement.
    pub tcpi_rtt: Duration,
    /// Its variation.
    pub tcpi_rttvar: Duration,
    /// The least round-trip time.
    pub tcpi_min_rtt: Duration,
    /// The slow start threshold, in segments; the greatest number if there was no loss yet.
    pub tcpi_snd_ssthresh: u32,
    /// The congestion window, in segments.
    pub tcpi_snd_cwnd: u32,
    /// Octets that may be received ahead of the program.
    pub tcpi_rcv_space: u32,
    /// Segments sent again, in all.
    pub tcpi_total_retrans: u32,
    /// Octets acknowledged.
    pub tcpi_bytes_acked: u64,
    /// Octets received in order.
    pub tcpi_bytes_received: u64,
    /// Octets sent, without those sent again.
    pub tcpi_bytes_sent: u64,
    /// Octets sent again.
    pub tcpi_bytes_retrans: u64,
    /// Segments sent.
    pub tcpi_segs_out: u32,
    /// Segments that arrived.
    pub tcpi_segs_in: u32,
    /// Segments with data that arrived.
    pub tcpi_data_segs_in: u32,
    /// Segments with data that were sent.
    pub tcpi_data_segs_out: u32,
    /// Octets that are queued and were never sent.
    pub tcpi_notsent_bytes: u32,
    /// Duplicates that the peer has told of.
    pub tcpi_dsack_dups: u32,
    /// Segments that came beyond a gap.
    pub tcpi_rcv_ooopack: u32,
    /// The peer's window.
    pub tcpi_snd_wnd: u32,
    /// The window that this side has announced.
    pub tcpi_rcv_wnd: u32,
}

impl Connection {
    pub(crate) fn info(&self, now: Instant) -> TcpInfo {
        let mss = u32::from(self.mss).max(1);
        let segments = |octets: u32| octets.div_ceil(mss);
        let ca_state = match self.recovery {
            Recovery::Open if self.duplicate_acks > 0 => 1,
            Recovery::Open => 0,
            Recovery::Fast(_) => 3,
            Recovery::Loss(_) => 4,
        };
        TcpInfo {
            tcpi_state: self.state,
            tcpi_ca_state: ca_state,
            tcpi_retransmits: self.retries,
            tcpi_probes: self.probes,
            tcpi_backoff: self.rtt.backoffs(),
            tcpi_options: u8::from(self.facts.timestamps) | u8::from(self.facts.sack) << 1 | u8::from(self.facts.scales) << 2,
            tcpi_snd_wscale: self.snd_scale,
            tcpi_rcv_wscale: self.rcv_scale,
            tcpi_rto: self.rtt.rto(),
            tcpi_snd_mss: u32::from(self.mss),
            tcpi_rcv_mss: u32::from(self.rcv_mss),
            tcpi_unacked: segments(self.outstanding()),
            tcpi_sacked: segments(self.records.sacked()),
            tcpi_lost: segments(self.records.lost()),
            tcpi_retrans: segments(self.records.retransmitted_out()),
            tcpi_last_data_sent: now.since(self.last_sent),
            tcpi_last_data_recv: now.since(self.last_received),
            tcpi_pmtu: self.route.as_ref().map_or(0, |route| route.mtu),
            tcpi_rtt: self.rtt.srtt().unwrap_or_default(),
            tcpi_rttvar: self.rtt.rttvar(),
            tcpi_min_rtt: self.rtt.min_rtt().unwrap_or_default(),
            tcpi_snd_ssthresh: match self.congestion.ssthresh() {
                u32::MAX => 0x7fff_ffff,
                octets => octets / mss,
            },
            tcpi_snd_cwnd: self.congestion.cwnd() / mss,
            tcpi_rcv_space: self.options.receive_buffer,
            tcpi_total_retrans: self.totals.retransmitted,
            tcpi_bytes_acked: self.totals.bytes_acked,
            tcpi_bytes_received: self.totals.bytes_received,
            tcpi_bytes_sent: self.totals.bytes_sent,
            tcpi_bytes_retrans: self.totals.bytes_retransmitted,
            tcpi_segs_out: self.totals.segs_out,
            tcpi_segs_in: self.totals.segs_in,
            tcpi_data_segs_in: self.totals.data_segs_in,
            tcpi_data_segs_out: self.totals.data_segs_out,
            tcpi_notsent_bytes: self.unsent(),
            tcpi_dsack_dups: self.totals.dsacks,
            tcpi_rcv_ooopack: self.totals.out_of_order,
            tcpi_snd_wnd: self.snd_wnd,
            tcpi_rcv_wnd: self.rcv_wnd(),
        }
    }
}
