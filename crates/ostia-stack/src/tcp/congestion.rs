//! Congestion control: NewReno (RFC 5681, RFC 6582), counted in octets (RFC 3465).

/// The initial window of RFC 5681, 3.1: two to four segments.
pub(crate) fn initial_window(mss: u32) -> u32 {
    let segments = match mss {
        ..=1095 => 4,
        1096..=2190 => 3,
        2191.. => 2,
    };
    mss.saturating_mul(segments)
}

/// The congestion window and the slow start threshold of one connection, in octets.
///
/// Slow start grows the window by all that is newly acknowledged, without RFC 3465's limit L for each acknowledgment: a peer
/// that coalesces acknowledges a super-segment at once. After a timeout L is one segment until recovery ends (RFC 3465, 2.3),
/// for then one acknowledgment may cover what arrived long ago.
#[derive(Clone, Debug)]
pub(crate) struct Congestion {
    cwnd: u32,
    ssthresh: u32,
    mss: u32,
    /// Octets acknowledged in congestion avoidance since the window last grew.
    counted: u32,
    /// Recovering from a timeout.
    after_timeout: bool,
    /// A timeout came, and nothing has been acknowledged since.
    no_progress: bool,
}

impl Congestion {
    /// The state of a new connection; `initial_window` in octets. After a lost SYN it is one segment (RFC 5681, 3.1).
    pub(crate) fn new(initial_window: u32, mss: u32) -> Congestion {
        let mss = mss.max(1);
        Congestion {
            cwnd: initial_window.max(mss),
            // Arbitrarily high, so that the network decides (RFC 5681, 3.1).
            ssthresh: u32::MAX,
            mss,
            counted: 0,
            after_timeout: false,
            no_progress: false,
        }
    }

    /// Octets that may be in flight.
    pub(crate) fn cwnd(&self) -> u32 {
        self.cwnd
    }

    /// Below it the window grows by slow start, from it on by congestion avoidance; octets.
    pub(crate) fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    /// Whether the window grows by slow start.
    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// `acked` octets are newly acknowledged, outside of fast recovery. The window grows only if it was what limited sending: one
    /// that wasn't used up says nothing about the path (RFC 7661).
    pub(crate) fn on_ack(&mut self, acked: u32, cwnd_limited: bool) {
        if acked == 0 {
            return;
        }
        self.no_progress = false;
        if !cwnd_limited {
            return;
        }
        let mut acked = acked;
        if self.in_slow_start() {
            if self.after_timeout {
                acked = acked.min(self.mss);
            }
            let growth = acked.min(self.ssthresh - self.cwnd);
            self.cwnd += growth;
            acked -= growth;
        }
        // One segment for every window that is acknowledged (RFC 3465, 2.1).
        self.counted = self.counted.saturating_add(acked);
        while self.counted >= self.cwnd {
            self.counted -= self.cwnd;
            self.cwnd = self.cwnd.saturating_add(self.mss);
            if self.cwnd == u32::MAX {
                self.counted = 0;
            }
        }
    }

    /// SACK or RACK has found a loss: the window is halved, and not inflated, for the scoreboard knows what has left the network
    /// (RFC 6675, 5, step 4.2).
    pub(crate) fn on_loss_enter_recovery(&mut self, in_flight: u32) {
        self.ssthresh = self.half(in_flight);
        self.cwnd = self.ssthresh;
        self.counted = 0;
    }

    /// Everything that was sent before the loss is acknowledged. Fast recovery ends with the window deflated to ssthresh
    /// (RFC 6582, 3.2, step 3); after a timeout slow start just goes on.
    pub(crate) fn on_exit_recovery(&mut self) {
        if !self.after_timeout {
            self.cwnd = self.ssthresh;
        }
        self.after_timeout = false;
        self.counted = 0;
    }

    /// The retransmission timer has expired: slow start from one segment. When it expires again before anything is
    /// acknowledged, ssthresh stays (RFC 5681, 3.1, equation 4 and what follows it).
    pub(crate) fn on_timeout(&mut self, in_flight: u32) {
        if !self.no_progress {
            self.ssthresh = self.half(in_flight);
        }
        self.no_progress = true;
        self.after_timeout = true;
        self.cwnd = self.mss;
        self.counted = 0;
    }

    /// Sending begins again after at least an RTO without: the window goes back to `initial` octets at most (RFC 5681, 4.1).
    /// What was learnt of the path stays in ssthresh (RFC 2861, 3).
    pub(crate) fn on_idle_restart(&mut self, initial: u32) {
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        self.cwnd = self.cwnd.min(initial.max(self.mss));
        self.counted = 0;
    }

    /// Segments have another length now. The window stays in octets, but is at least one segment.
    pub(crate) fn mss_changed(&mut self, mss: u32) {
        self.mss = mss.max(1);
        self.cwnd = self.cwnd.max(self.mss);
        self.ssthresh = self.ssthresh.max(self.mss.saturating_mul(2));
    }

    /// max(FlightSize / 2, 2 * SMSS) (RFC 5681, equation 4).
    fn half(&self, in_flight: u32) -> u32 {
        (in_flight / 2).max(self.mss.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const MSS: u32 = 1000;

    #[test]
    fn the_initial_window_follows_its_rfc() {
        assert_eq!([1095, 1096, 2190, 2191].map(initial_window), [4380, 3288, 6570, 4382]);
    }

    #[test]
    fn slow_start_doubles_the_window_in_a_round_trip() {
        let mut congestion = Congestion::new(10 * MSS, MSS);
        for _ in 0..10 {
            congestion.on_ack(MSS, true);
        }
        assert_eq!(congestion.cwnd(), 20 * MSS);
        congestion.on_ack(20 * MSS, true);
        assert_eq!(congestion.cwnd(), 40 * MSS, "in one acknowledgment too");
    }

    #[test]
    fn slow_start_ends_at_ssthresh_and_the_rest_counts_for_congestion_avoidance() {
        let mut congestion = Congestion::new(10 * MSS, MSS);
        congestion.on_loss_enter_recovery(20 * MSS);
        congestion.on_exit_recovery();
        congestion.cwnd = 8 * MSS;
        congestion.on_ack(4 * MSS, true);
        assert_eq!((congestion.cwnd(), congestion.counted), (10 * MSS, 2 * MSS));
        congestion.on_ack(8 * MSS, true);
        assert_eq!((congestion.cwnd(), congestion.counted), (11 * MSS, 0));
    }

    #[test]
    fn congestion_avoidance_grows_a_segment_for_a_window() {
        let mut congestion = Congestion::new(10 * MSS, MSS);
        congestion.on_loss_enter_recovery(20 * MSS);
        congestion.on_exit_recovery();
        for _ in 0..9 {
            congestion.on_ack(MSS, true);
        }
        assert_eq!(congestion.cwnd(), 10 * MSS);
        congestion.on_ack(MSS, true);
        assert_eq!(congestion.cwnd(), 11 * MSS);
        // Many small acknowledgments give no more than few large ones.
        for _ in 0..11_000 {
            congestion.on_ack(1, true);
        }
        assert_eq!(congestion.cwnd(), 12 * MSS);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut congestion = Congestion::new(10 * MSS, MSS);
        congestion.on_ack(5 * MSS, false);
        assert_eq!(congestion.cwnd(), 10 * MSS);
        congestion.on_loss_enter_recovery(20 * MSS);
        congestion.on_ack(50 * MSS, false);
        assert_eq!(congestion.cwnd(), 10 * MSS);
    }

    #[test]
    fn the_threshold_is_never_below_two_segments() {
        let mut congestion = Congestion::new(10 * MSS, MSS);
        congestion.on_loss_enter_recovery(MSS);
        assert_eq!((congestion.ssthresh(), congestion.cwnd()), (2 * MSS, 2 * MSS));
        congestion.on_ack(4 * MSS, true);
        congestion.on_timeout(0);
        assert_eq!((congestion.ssthresh(), congestion.cwnd()), (2 * MSS, MSS));
    }

    #[test]
    fn timeouts_in_a_row_leave_the_threshold() {
        let mut congestion = Congestion::new(20 * MSS, MSS);
        congestion.on_timeout(20 * MSS);
        assert_eq!((congestion.ssthresh(), congestion.cwnd()), (10 * MSS, MSS));
        congestion.on_timeout(MSS);
        assert_eq!((congestion.ssthresh(), congestion.cwnd()), (10 * MSS, MSS));
        congestion.on_ack(MSS, true);
        congestion.on_timeout(8 * MSS);
        assert_eq!(congestion.ssthresh(), 4 * MSS, "there was progress: it is another loss");
    }

    #[test]
    fn after_a_timeout_an_acknowledgment_gives_a_segment_at_most() {
        let mut congestion = Congestion::new(20 * MSS, MSS);
        congestion.on_timeout(20 * MSS);
        congestion.on_ack(8 * MSS, true);
        assert_eq!(congestion.cwnd(), 2 * MSS);
        congestion.on_exit_recovery();
        assert_eq!(congestion.cwnd(), 2 * MSS, "slow start goes on");
        congestion.on_ack(2 * MSS, true);
        assert_eq!(congestion.cwnd(), 4 * MSS);
    }

    #[test]
    fn after_idleness_the_window_is_the_initial_one_and_the_threshold_remembers() {
        let mut congestion = Congestion::new(10 * MSS, MSS);
        congestion.on_ack(30 * MSS, true);
        congestion.on_idle_restart(10 * MSS);
        assert_eq!((congestion.cwnd(), congestion.ssthresh()), (10 * MSS, u32::MAX));
        congestion.on_loss_enter_recovery(8 * MSS);
        congestion.cwnd = 40 * MSS;
        congestion.on_idle_restart(10 * MSS);
        assert_eq!((congestion.cwnd(), congestion.ssthresh()), (10 * MSS, 30 * MSS));
        congestion.cwnd = 3 * MSS;
        congestion.on_idle_restart(10 * MSS);
        assert_eq!(congestion.cwnd(), 3 * MSS, "it never grows by this");
    }

    #[test]
    fn a_longer_segment_fits_into_the_window() {
        let mut congestion = Congestion::new(2 * MSS, MSS);
        congestion.on_timeout(0);
        congestion.mss_changed(8 * MSS);
        assert_eq!((congestion.cwnd(), congestion.ssthresh()), (8 * MSS, 16 * MSS));
        congestion.mss_changed(MSS / 2);
        assert_eq!(congestion.cwnd(), 8 * MSS);
    }

    proptest! {
        #[test]
        fn the_window_is_always_a_segment_and_grows_by_no_more_than_is_acknowledged(
            mss in 1u32..70_000,
            steps in proptest::collection::vec((0u8..7, any::<u32>()), 0..100),
        ) {
            let mut congestion = Congestion::new(initial_window(mss), mss);
            let history: Vec<(u8, u32)> = steps;
            for (what, number) in history {
                let before = congestion.cwnd();
                let octets = number % (1 << 24);
                match what {
                    0..=2 => {
                        congestion.on_ack(octets, what < 2);
                        // A window may have been counted but for one octet before.
                        prop_assert!(congestion.cwnd() - before <= octets.saturating_add(mss));
                        prop_assert!(what < 2 || congestion.cwnd() == before);
                    }
                    3 => congestion.on_loss_enter_recovery(octets),
                    4 => congestion.on_exit_recovery(),
                    5 => congestion.on_timeout(octets),
                    _ => congestion.on_idle_restart(octets),
                }
                prop_assert!(congestion.cwnd() >= mss.min(before));
                prop_assert!(congestion.ssthresh() >= 2 * mss);
            }
        }
    }
}
