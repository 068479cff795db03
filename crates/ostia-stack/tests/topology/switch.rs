//! A learning switch (IEEE 802.1D): it remembers behind which port a station is, and floods what it doesn't know.

use std::collections::BTreeMap;
use std::time::Duration;

use ostia_stack::Instant;
use ostia_wire::{Ethernet, MacAddr};

/// How long a station is remembered that says nothing.
pub const AGING: Duration = Duration::from_secs(300);
/// Stations that are remembered, at most.
const PLACES: usize = 1024;

/// What a switch has done.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    /// Frames to a port that was known.
    pub forwarded: u64,
    /// Frames to all ports: for groups, or for a station that wasn't known.
    pub flooded: u64,
    /// Frames for a station behind the port that they came from.
    pub filtered: u64,
    /// Stations that turned up behind another port.
    pub moved: u64,
    /// Stations forgotten for their silence.
    pub aged: u64,
}

/// The switch.
pub struct Switch {
    ports: usize,
    stations: BTreeMap<MacAddr, (usize, Instant)>,
    pub counts: Counts,
}

impl Switch {
    pub fn new(ports: usize) -> Switch {
        Switch { ports, stations: BTreeMap::new(), counts: Counts::default() }
    }

    /// A frame has come in at a port; the ports that it leaves by.
    pub fn input(&mut self, port: usize, frame: &[u8], now: Instant) -> Vec<usize> {
        let Ok(ethernet) = Ethernet::parse(frame) else { return Vec::new() };
        self.age(now);
        self.learn(ethernet.source(), port, now);
        let known = self.stations.get(&ethernet.destination()).filter(|_| !ethernet.destination().is_multicast());
        match known {
            Some(&(to, _)) if to == port => {
                self.counts.filtered += 1;
                Vec::new()
            }
            Some(&(to, _)) => {
                self.counts.forwarded += 1;
                vec![to]
            }
            None => {
                self.counts.flooded += 1;
                (0..self.ports).filter(|&other| other != port).collect()
            }
        }
    }

    fn learn(&mut self, station: MacAddr, port: usize, now: Instant) {
        if !station.is_unicast() || (self.stations.len() >= PLACES && !self.stations.contains_key(&station)) {
            return;
        }
        let before = self.stations.insert(station, (port, now));
        self.counts.moved += u64::from(before.is_some_and(|(before, _)| before != port));
    }

    fn age(&mut self, now: Instant) {
        let before = self.stations.len();
        self.stations.retain(|_, (_, heard)| now.since(*heard) < AGING);
        self.counts.aged += (before - self.stations.len()) as u64;
    }

    /// Behind which port a station is.
    pub fn port_of(&self, station: MacAddr) -> Option<usize> {
        self.stations.get(&station).map(|&(port, _)| port)
    }

    /// How many stations it remembers.
    pub fn len(&self) -> usize {
        self.stations.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostia_wire::{EtherType, ethernet};

    fn frame(from: u8, to: MacAddr) -> Vec<u8> {
        let mut frame = vec![0; 60];
        ethernet::emit(&mut frame, MacAddr([2, 0, 0, 0, 0, from]), to, EtherType(0x88b5));
        frame
    }

    #[test]
    fn it_floods_what_it_does_not_know_and_remembers_who_has_spoken() {
        let mut switch = Switch::new(3);
        let [one, two] = [1, 2].map(|last| MacAddr([2, 0, 0, 0, 0, last]));
        assert_eq!(switch.input(0, &frame(1, two), Instant(1)), [1, 2]);
        assert_eq!(switch.input(2, &frame(2, one), Instant(1)), [0]);
        assert_eq!(switch.input(0, &frame(1, two), Instant(1)), [2]);
        assert_eq!(switch.input(1, &frame(3, MacAddr::BROADCAST), Instant(1)), [0, 2]);
        assert_eq!(switch.input(0, &frame(4, one), Instant(1)), [0_usize; 0]);
    }

    #[test]
    fn it_follows_who_moves_and_forgets_who_is_silent() {
        let mut switch = Switch::new(3);
        let one = MacAddr([2, 0, 0, 0, 0, 1]);
        switch.input(0, &frame(1, MacAddr::BROADCAST), Instant(1));
        switch.input(2, &frame(1, MacAddr::BROADCAST), Instant(2));
        assert_eq!((switch.port_of(one), switch.counts.moved), (Some(2), 1));
        assert_eq!(switch.input(1, &frame(5, one), Instant(3) + AGING), [0, 2]);
        assert_eq!(switch.counts.aged, 1);
    }
}
