//! The states of a connection and the ways between them, as RFC 9293 has them.

use ostia_stack::State;
use ostia_stack::State::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent, TimeWait,
};

/// A way from one state to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// From which.
    pub from: State,
    /// To which.
    pub to: State,
    /// What leads there, and what is sent then.
    pub label: &'static str,
    /// Where that is written.
    pub rule: &'static str,
}

const fn edge(from: State, to: State, label: &'static str, rule: &'static str) -> Edge {
    Edge { from, to, label, rule }
}

/// Figure 5, with what its notes add.
pub const EDGES: [Edge; 21] = [
    edge(Closed, Listen, "passive OPEN", FIGURE),
    edge(Closed, SynSent, "active OPEN, snd SYN", FIGURE),
    edge(Listen, SynReceived, "rcv SYN, snd SYN,ACK", FIGURE),
    edge(Listen, SynSent, "SEND, snd SYN", FIGURE),
    edge(Listen, Closed, "CLOSE", FIGURE),
    edge(SynSent, SynReceived, "rcv SYN, snd SYN,ACK", FIGURE),
    edge(SynSent, Established, "rcv SYN,ACK, snd ACK", FIGURE),
    edge(SynSent, Closed, "CLOSE", FIGURE),
    edge(SynReceived, Established, "rcv ACK of SYN", FIGURE),
    edge(SynReceived, FinWait1, "CLOSE, snd FIN", FIGURE),
    edge(SynReceived, Listen, "rcv RST", "RFC 9293, figure 5, note 1"),
    edge(Established, FinWait1, "CLOSE, snd FIN", FIGURE),
    edge(Established, CloseWait, "rcv FIN, snd ACK", FIGURE),
    edge(FinWait1, FinWait2, "rcv ACK of FIN", FIGURE),
    edge(FinWait1, Closing, "rcv FIN, snd ACK", FIGURE),
    edge(FinWait1, TimeWait, "rcv FIN and ACK of FIN", "RFC 9293, figure 5, note 2"),
    edge(FinWait2, TimeWait, "rcv FIN, snd ACK", FIGURE),
    edge(Closing, TimeWait, "rcv ACK of FIN", FIGURE),
    edge(CloseWait, LastAck, "CLOSE, snd FIN", FIGURE),
    edge(LastAck, Closed, "rcv ACK of FIN", FIGURE),
    edge(TimeWait, Closed, "2 MSL have passed", FIGURE),
];

const FIGURE: &str = "RFC 9293, figure 5";

/// What may end any connection at once; the figure leaves it out to stay readable.
const RESET: Edge = edge(Established, Closed, "rcv RST", "RFC 9293, figure 5, note 3");
const ABORT: Edge = edge(Established, Closed, "ABORT, snd RST", "RFC 9293, 3.10.5");
const SILENCE: Edge = edge(Established, Closed, "no answer, given up", "RFC 9293, 3.10.8");
const UNREACHABLE: Edge = edge(SynSent, Closed, "ICMP says it can't be reached", "RFC 9293, 3.9.2.2");

/// A cause, without the letters that short lines have for control bits.
pub fn cause_in_words(cause: ostia_stack::Cause) -> String {
    match cause {
        ostia_stack::Cause::Segment(flags) => format!("a segment with {}", super::headers::flag_names(flags)),
        ostia_stack::Cause::Timer => "a timer".to_owned(),
        ostia_stack::Cause::Icmp => "an ICMP error".to_owned(),
        ostia_stack::Cause::Call(_) => cause.to_string(),
    }
}

/// The way from one state to another that a cause has led; none if RFC 9293 has no such way.
pub fn edge_of(from: State, to: State, cause: ostia_stack::Cause) -> Option<Edge> {
    use ostia_stack::Cause;
    use ostia_wire::Flags;
    let drawn = EDGES.into_iter().find(|edge| (edge.from, edge.to) == (from, to));
    let sudden = match cause {
        _ if to != Closed || matches!(from, Closed | Listen) => None,
        Cause::Segment(flags) if flags.contains(Flags::RST) => Some(RESET),
        Cause::Call("abort") => Some(ABORT),
        Cause::Timer if from != TimeWait => Some(SILENCE),
        Cause::Icmp => Some(UNREACHABLE),
        _ => None,
    };
    sudden.map(|edge| Edge { from, ..edge }).or(drawn)
}

/// What a state means (RFC 9293, 3.3.2).
pub fn meaning(state: State) -> &'static str {
    match state {
        Closed => "there is no connection",
        Listen => "a program waits for anybody's SYN; the listener itself stays in it, and each connection goes its own way",
        SynSent => "its own SYN is out; it waits for the peer's",
        SynReceived => "both SYNs are out; it waits for the ACK of its own",
        Established => "open: data flows both ways",
        FinWait1 => "it has closed first: its FIN is out, and not acknowledged yet",
        FinWait2 => "its FIN is acknowledged; the peer may go on sending, and it waits for the peer's FIN",
        CloseWait => "the peer has ended its stream; the own program has yet to close",
        Closing => "both have closed at once, and the FINs have crossed; it waits for the ACK of its own",
        LastAck => "it has closed second; it waits for the ACK of its FIN",
        TimeWait => {
            "both FINs are acknowledged; it stays for twice the longest life of a segment, to acknowledge the peer's FIN again \
             should its last ACK be lost, and so that nothing old is taken for a new connection's (RFC 9293, 3.6.1)"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostia_stack::Cause;
    use ostia_wire::Flags;

    #[test]
    fn every_state_is_reached_and_left() {
        for state in State::ALL {
            assert!(EDGES.iter().any(|edge| edge.from == state), "{state}");
            assert!(EDGES.iter().any(|edge| edge.to == state), "{state}");
        }
    }

    #[test]
    fn what_is_not_in_the_figure_is_no_way() {
        let ack = Cause::Segment(Flags::ACK);
        for (from, to) in [(Closed, Established), (Established, TimeWait), (LastAck, TimeWait), (TimeWait, Established)] {
            assert_eq!(edge_of(from, to, ack), None, "{from} {to}");
        }
        assert_eq!(edge_of(Established, Closed, ack), None);
    }

    #[test]
    fn a_reset_ends_whatever_is_open() {
        let reset = Cause::Segment(Flags::RST | Flags::ACK);
        for state in State::ALL.into_iter().filter(|state| !matches!(state, Closed | Listen)) {
            assert_eq!(edge_of(state, Closed, reset).map(|edge| edge.label), Some("rcv RST"), "{state}");
        }
    }
}
