//! The states of a connection (RFC 9293, 3.3.2).

use core::fmt;

/// Where a connection is between its opening and its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum State {
    /// There is none.
    Closed,
    /// Waits for anybody's SYN.
    Listen,
    /// Has sent a SYN and waits for the peer's.
    SynSent,
    /// Has sent and received a SYN and waits for the ACK of its own.
    SynReceived,
    /// Open both ways.
    Established,
    /// Has sent its FIN, and waits for its ACK or for the peer's FIN.
    FinWait1,
    /// Its FIN is acknowledged; the peer still sends.
    FinWait2,
    /// The peer has sent its FIN; this side still sends.
    CloseWait,
    /// Both FINs have crossed; waits for the ACK of its own.
    Closing,
    /// The peer's FIN came first; waits for the ACK of its own.
    LastAck,
    /// Both FINs are acknowledged; waits until nothing old can arrive any more.
    TimeWait,
}

impl State {
    /// Every state.
    pub const ALL: [State; 11] = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];

    /// The name that RFC 9293 gives it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        }
    }

    /// The number that Linux's `tcpi_state` has for it.
    pub fn number(self) -> u8 {
        match self {
            State::Established => 1,
            State::SynSent => 2,
            State::SynReceived => 3,
            State::FinWait1 => 4,
            State::FinWait2 => 5,
            State::TimeWait => 6,
            State::Closed => 7,
            State::CloseWait => 8,
            State::LastAck => 9,
            State::Listen => 10,
            State::Closing => 11,
        }
    }

    /// Whether the handshake is done, and the connection not yet over.
    pub fn is_synchronized(self) -> bool {
        !matches!(self, State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    /// Whether the peer may still send data.
    pub fn receives(self) -> bool {
        matches!(self, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// Whether data that is queued may still be sent, or sent again.
    pub fn sends(self) -> bool {
        matches!(self, State::Established | State::CloseWait | State::FinWait1 | State::Closing | State::LastAck)
    }

    /// Whether the FIN of this side is queued or sent.
    pub fn has_closed(self) -> bool {
        matches!(self, State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck | State::TimeWait)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_eleven_and_their_numbers_differ() {
        let mut numbers = State::ALL.map(State::number);
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn every_state_that_has_sent_its_fin_is_synchronized() {
        assert!(State::ALL.into_iter().filter(|state| state.has_closed()).all(State::is_synchronized));
    }
}
