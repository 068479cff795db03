//! A link at work: who is on it, what is on its way, and who may not reach whom.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};

use ostia::VirtualTime;
use ostia_wire::{Ethernet, Frame, MacAddr};

use crate::capture::Capture;
use crate::impair::{Arrival, Fate, Line, Queued};
use crate::link::LinkConfig;
use crate::record::{Record, Tally};
use crate::run::lock;

/// What Ethernet adds to an IP packet: its header and one tag (IEEE 802.3, 802.1Q).
pub(crate) const AROUND: usize = 18;

/// A time in which some hosts can't reach the others of their link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// By station: whether it is on this side of the cut.
    pub(crate) side: Vec<bool>,
}

impl Cut {
    fn parts(&self, now: u64, one: usize, other: usize) -> bool {
        (self.from..self.until).contains(&now) && self.side.get(one) != self.side.get(other)
    }
}

/// A frame on its way. The heap gives the first that arrives, in the order of sending where that is the same moment.
struct Flying {
    at: u64,
    number: u64,
    frame: Frame,
}

impl PartialEq for Flying {
    fn eq(&self, other: &Flying) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flying {}

impl PartialOrd for Flying {
    fn partial_cmp(&self, other: &Flying) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flying {
    fn cmp(&self, other: &Flying) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// One host's end.
struct Station {
    /// The host's name.
    name: String,
    mac: MacAddr,
    line: Line,
    incoming: BinaryHeap<Flying>,
}

/// The link.
pub(crate) struct Segment {
    number: u64,
    config: LinkConfig,
    stations: Vec<Station>,
    cuts: Vec<Cut>,
    time: VirtualTime,
    record: Arc<Mutex<Record>>,
    capture: Option<Capture>,
    tally: Tally,
    /// Frames that were put on their way.
    count: u64,
    /// Buffers for the next frames.
    spare: Vec<Vec<u8>>,
}

/// Buffers that are kept for the next frames.
const MOST_SPARE: usize = 256;

impl Segment {
    pub(crate) fn new(
        number: usize,
        config: LinkConfig,
        cuts: Vec<Cut>,
        time: VirtualTime,
        record: Arc<Mutex<Record>>,
    ) -> Segment {
        Segment {
            number: number as u64,
            config,
            stations: Vec::new(),
            cuts,
            time,
            record,
            capture: None,
            tally: Tally::default(),
            count: 0,
            spare: Vec::new(),
        }
    }

    pub(crate) fn capture(&mut self, capture: Capture) {
        self.capture = Some(capture);
    }

    /// Takes a host's end in; its number here.
    pub(crate) fn join(&mut self, name: &str, mac: MacAddr, line: Line) -> usize {
        self.stations.push(Station { name: name.to_owned(), mac, line, incoming: BinaryHeap::new() });
        self.stations.len() - 1
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Writes the capture out.
    pub(crate) fn finish(&mut self) -> std::io::Result<()> {
        self.capture.take().map_or(Ok(()), Capture::finish)
    }

    /// A host sends a frame.
    pub(crate) fn send(&mut self, from: usize, frame: &Frame) {
        if !lock(&self.record).is_open() {
            return;
        }
        let now = self.time.nanos();
        self.tally.sent += 1;
        self.tally.bytes += frame.len() as u64;
        self.event(b's', [now, from as u64, 0], frame.as_slice());
        let mut remarks = Vec::new();
        match self.onto_the_line(now, from, frame) {
            Err(remark) => remarks.push(remark),
            Ok((left, receivers)) => {
                let many = receivers.len() > 1;
                for to in receivers {
                    let Some(remark) = self.bring(now, left, from, to, frame) else { continue };
                    let name = self.stations.get(to).filter(|_| many).map(|station| station.name.as_str());
                    remarks.push(name.map_or(remark.clone(), |name| format!("to {name}: {remark}")));
                }
            }
        }
        if let Some(capture) = &mut self.capture {
            capture.frame(now, frame.as_slice(), remarks.iter().map(String::as_str));
        }
    }

    /// When a frame has left its sender, and to whom it goes; or why it doesn't.
    fn onto_the_line(&mut self, now: u64, from: usize, frame: &Frame) -> Result<(u64, Vec<usize>), String> {
        let Segment { config, stations, tally, .. } = self;
        let Ok(ethernet) = Ethernet::parse(frame.as_slice()) else {
            tally.stray += 1;
            return Err("dropped: no Ethernet header".to_owned());
        };
        if frame.meta.gso_size != 0 || frame.len() > config.mtu as usize + AROUND {
            tally.too_long += 1;
            return Err("dropped: longer than the MTU".to_owned());
        }
        let destination = ethernet.destination();
        let others = stations.iter().enumerate().filter(|(at, station)| {
            *at != from && (destination.is_multicast() || destination.is_broadcast() || station.mac == destination)
        });
        let receivers: Vec<usize> = others.map(|(at, _)| at).collect();
        if receivers.is_empty() {
            tally.stray += 1;
            return Err("dropped: nobody on the link has this address".to_owned());
        }
        let Some(sender) = stations.get_mut(from) else { return Err("dropped: its sender is not on the link".to_owned()) };
        match sender.line.queue(now, frame.len(), config) {
            Queued::Left(left) => Ok((left, receivers)),
            Queued::Full => {
                tally.overflowed += 1;
                Err("dropped: the sender's queue is full".to_owned())
            }
        }
    }

    /// Brings a frame that has left its sender on its way to one receiver; a remark if that goes not as it should.
    fn bring(&mut self, now: u64, left: u64, from: usize, to: usize, frame: &Frame) -> Option<String> {
        let fate = self.stations.get_mut(from)?.line.fate(left, frame.len(), &self.config);
        if self.cuts.iter().any(|cut| cut.parts(now, from, to)) {
            self.tally.cut += 1;
            self.event(b'c', [now, from as u64, to as u64], &[]);
            return Some("dropped: the hosts are cut off from each other".to_owned());
        }
        let arrival = match fate {
            Fate::Arrives(arrival) => arrival,
            Fate::Lost => {
                self.tally.lost += 1;
                self.event(b'l', [now, from as u64, to as u64], &[]);
                return Some("dropped: lost".to_owned());
            }
            Fate::Burst => {
                self.tally.burst += 1;
                self.event(b'b', [now, from as u64, to as u64], &[]);
                return Some("dropped: lost in a burst".to_owned());
            }
        };
        let Arrival { at, twice, held_back, corrupt } = arrival;
        let mut remarks = Vec::new();
        let mut copy = Frame::reuse(self.spare.pop().unwrap_or_default());
        copy.extend(frame.as_slice());
        copy.meta = frame.meta;
        copy.meta.arrived = 0;
        copy.complete_checksum();
        copy.meta.checksum = ostia_wire::Checksum::Unverified;
        if let Some(bit) = corrupt {
            self.tally.corrupted += 1;
            remarks.push(format!("bit {bit} turned over"));
            if let Some(byte) = copy.as_mut_slice().get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
        if twice {
            self.tally.duplicated += 1;
            remarks.push("arrives twice".to_owned());
            self.fly(to, at, copy.clone());
        }
        if held_back {
            self.tally.reordered += 1;
            remarks.push("held back".to_owned());
        }
        self.fly(to, at, copy);
        (!remarks.is_empty()).then(|| remarks.join(", "))
    }

    fn fly(&mut self, to: usize, at: u64, frame: Frame) {
        self.count += 1;
        let number = self.count;
        if let Some(station) = self.stations.get_mut(to) {
            station.incoming.push(Flying { at, number, frame });
            self.time.alarm(at);
        }
    }

    /// Takes the next frame that has arrived at a host by now.
    pub(crate) fn receive(&mut self, to: usize, frame: &mut Frame) -> bool {
        let now = self.time.nanos();
        let Some(station) = self.stations.get_mut(to) else { return false };
        if station.incoming.peek().is_none_or(|next| next.at > now) {
            return false;
        }
        let Some(Flying { at, frame: next, .. }) = station.incoming.pop() else { return false };
        self.tally.delivered += 1;
        self.event(b'd', [at, to as u64, 0], next.as_slice());
        let buffer = std::mem::replace(frame, next).recycle();
        if self.spare.len() < MOST_SPARE && buffer.capacity() > 0 {
            self.spare.push(buffer);
        }
        true
    }

    fn event(&self, kind: u8, [at, one, other]: [u64; 3], bytes: &[u8]) {
        lock(&self.record).event(kind, &[self.number, at, one, other], bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const MACS: [MacAddr; 3] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 3])];

    fn segment(config: LinkConfig, cuts: Vec<Cut>) -> Segment {
        let mut segment = Segment::new(0, config, cuts, VirtualTime::new(), Arc::new(Mutex::new(Record::new())));
        for mac in MACS {
            segment.join("host", mac, Line::new(Random::new(1, "test", "line")));
        }
        segment
    }

    fn frame(to: MacAddr, len: usize) -> Frame {
        let mut bytes = vec![7; len];
        ostia_wire::ethernet::emit(&mut bytes, MACS[0], to, ostia_wire::EtherType(0x88b5));
        Frame::from_slice(&bytes)
    }

    fn receivers(segment: &mut Segment) -> Vec<usize> {
        let mut into = Frame::default();
        (0..3).filter(|&station| segment.receive(station, &mut into)).collect()
    }

    #[test]
    fn frames_go_to_whom_they_are_for() {
        let mut segment = segment(LinkConfig::default(), Vec::new());
        segment.send(0, &frame(MACS[2], 60));
        assert_eq!(receivers(&mut segment), [2]);
        segment.send(0, &frame(MacAddr([0xff; 6]), 60));
        assert_eq!(receivers(&mut segment), [1, 2]);
        segment.send(0, &frame(MACS[0], 60));
        segment.send(0, &frame(MacAddr([2; 6]), 60));
        segment.send(0, &frame(MACS[1], 1519));
        segment.send(0, &Frame::from_slice(&[1, 2]));
        assert!(receivers(&mut segment).is_empty());
        let tally = segment.tally();
        assert_eq!((tally.sent, tally.delivered, tally.stray, tally.too_long), (6, 3, 3, 1));
    }

    #[test]
    fn a_cut_parts_two_sides_for_its_time() {
        let cut = Cut { from: 0, until: 1, side: vec![true, true, false] };
        assert!(cut.parts(0, 0, 2) && cut.parts(0, 2, 1) && !cut.parts(0, 0, 1) && !cut.parts(1, 0, 2));
        let mut segment = segment(LinkConfig::default(), vec![cut]);
        segment.send(0, &frame(MacAddr([0xff; 6]), 60));
        assert_eq!((receivers(&mut segment), segment.tally().cut), (vec![1], 1));
    }

    #[test]
    fn nothing_arrives_before_its_time_and_a_corrupt_frame_differs_by_a_bit() {
        let delay = std::time::Duration::from_nanos(5);
        let config = LinkConfig { delay, corruption: 1.0, duplication: 1.0, ..LinkConfig::default() };
        let mut segment = segment(config, Vec::new());
        let sent = frame(MACS[1], 60);
        segment.send(0, &sent);
        let mut got = Frame::default();
        assert!(!segment.receive(1, &mut got));
        // What a port would do.
        segment.stations[1].incoming = segment.stations[1].incoming.drain().map(|next| Flying { at: 0, ..next }).collect();
        assert!(segment.receive(1, &mut got));
        let differ: u32 = got.as_slice().iter().zip(sent.as_slice()).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(differ, 1);
        let mut again = Frame::default();
        assert!(segment.receive(1, &mut again) && again.as_slice() == got.as_slice() && !segment.receive(1, &mut again));
    }
}
