//! A segment that has arrived, taken apart and checked.

use ostia_wire::{Checksum, Flags, Frame, Tcp as TcpView, TcpOptions};

use super::seq::Seq;
use super::train::Next;
use super::tuple::Tuple;
use crate::drops::Reason;
use crate::ip::Packet;
use crate::mutation::{Mutation, on};
use crate::time::Instant;

/// A segment, or several that were coalesced into one (all with the same options).
pub(crate) struct Segment {
    pub(crate) tuple: Tuple,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    /// The window as it stands in the header.
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: TcpOptions,
    /// The payload.
    pub(crate) frame: Frame,
    /// When it arrived: by the device's clock if that says so, else when it was given to the stack.
    pub(crate) arrived: Instant,
}

impl Segment {
    /// Takes a packet apart; the reason if it must be dropped. A wrong checksum, malformed options, and addresses that no
    /// TCP can have end here (RFC 9293, 3.1 MUST-3, 3.9.2.3 MUST-57 and MUST-58).
    pub(crate) fn parse(packet: &mut Packet, now: Instant) -> Result<Segment, Reason> {
        if !packet.unicast || packet.source.is_multicast() || packet.source.is_unspecified() {
            return Err(Reason::TcpAddress);
        }
        let bytes = packet.frame.as_slice();
        let view = TcpView::parse(bytes).map_err(|_| Reason::Malformed)?;
        if packet.frame.meta.checksum == Checksum::Unverified
            && !view.verify_checksum(packet.source.ip(), packet.destination.ip())
            && !on(Mutation::ChecksumIgnored)
        {
            return Err(Reason::Checksum);
        }
        let options = TcpOptions::parse(view.option_bytes()).map_err(|_| Reason::TcpOption)?;
        if (options.md5 || options.ao) && !on(Mutation::SignatureIgnored) {
            return Err(Reason::TcpSignature);
        }
        let scoped = packet.source.is_link_local_v6() || packet.destination.is_link_local_v6();
        let tuple = Tuple {
            local: packet.destination,
            remote: packet.source,
            local_port: view.destination_port(),
            remote_port: view.source_port(),
            zone: if scoped { packet.link.0.saturating_add(1) } else { 0 },
        };
        if tuple.is_land() {
            return Err(Reason::TcpAddress);
        }
        let (seq, ack) = (Seq(view.sequence()), Seq(view.acknowledgment()));
        let (flags, window, urgent) = (view.flags(), view.window(), view.urgent());
        let header_len = view.header_len();
        let arrived = match packet.frame.meta.arrived {
            0 => now,
            nanos => Instant(nanos).min(now),
        };
        let mut frame = core::mem::take(&mut packet.frame);
        frame.pull(header_len);
        Ok(Segment { tuple, seq, ack, flags, window, urgent, options, frame, arrived })
    }

    /// What it says, if it has no options but timestamps.
    #[inline]
    pub(crate) fn next(&self) -> Option<Next> {
        let &Segment { seq, ack, flags, window, options: TcpOptions { timestamps, .. }, .. } = self;
        let plain = self.options == TcpOptions { timestamps, ..TcpOptions::default() };
        plain.then(|| Next { seq, ack, flags, window, timestamps, len: self.len() })
    }

    pub(crate) fn has(&self, flag: Flags) -> bool {
        self.flags.contains(flag)
    }

    /// Octets of data.
    pub(crate) fn len(&self) -> u32 {
        self.frame.len() as u32
    }

    /// SEG.LEN: sequence numbers that it takes, those of SYN and FIN among them (RFC 9293, 3.3.1).
    pub(crate) fn sequence_len(&self) -> u32 {
        self.len() + u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN))
    }

    /// The sequence number behind its last.
    pub(crate) fn end(&self) -> Seq {
        self.seq + self.sequence_len()
    }

    /// Whether it has neither data nor SYN, FIN or RST.
    pub(crate) fn is_pure_ack(&self) -> bool {
        self.sequence_len() == 0 && self.has(Flags::ACK) && !self.has(Flags::RST)
    }

    /// Cuts data before `seq` off, with the SYN if that is before it too.
    pub(crate) fn trim_front(&mut self, seq: Seq) {
        if !seq.after(self.seq) {
            return;
        }
        let mut cut = seq.since(self.seq);
        if self.has(Flags::SYN) {
            self.flags = Flags(self.flags.0 & !Flags::SYN.0);
            cut -= 1;
        }
        self.frame.pull(cut.min(self.len()) as usize);
        self.seq = seq;
    }

    /// Cuts what is at `end` and behind it off, with the FIN.
    pub(crate) fn trim_back(&mut self, end: Seq) {
        if self.end().after(end) {
            self.flags = Flags(self.flags.0 & !(Flags::FIN.0 | Flags::PSH.0));
            let start = self.seq + u32::from(self.has(Flags::SYN));
            let len = if end.after(start) { end.since(start) } else { 0 };
            self.frame.truncate((len as usize).min(self.frame.len()));
        }
    }
}
