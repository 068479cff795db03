//! A host's end of a simulated link, as its stack sees it.

use std::io;
use std::sync::{Arc, Mutex};

use ostia_link::{Descriptor, Facts, Link, Medium, Statistics};
use ostia_wire::{Frame, MacAddr};

use crate::run::lock;
use crate::segment::Segment;

/// The end.
pub(crate) struct Station {
    facts: Facts,
    segment: Arc<Mutex<Segment>>,
    number: usize,
    statistics: Statistics,
}

impl Station {
    pub(crate) fn new(name: &str, mac: MacAddr, mtu: u32, segment: Arc<Mutex<Segment>>, number: usize) -> Station {
        let facts = Facts::new(name.to_owned(), Medium::Ethernet, mtu, Some(mac));
        Station { facts, segment, number, statistics: Statistics::default() }
    }
}

impl Link for Station {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The port is woken by the alarm of each frame.
    fn descriptor(&self) -> Option<Descriptor<'_>> {
        None
    }

    fn receive(&mut self, frame: &mut Frame) -> io::Result<bool> {
        let got = lock(&self.segment).receive(self.number, frame);
        if got {
            self.statistics.received.frames += 1;
            self.statistics.received.bytes += frame.len() as u64;
        }
        Ok(got)
    }

    fn transmit(&mut self, frame: &Frame) -> io::Result<bool> {
        lock(&self.segment).send(self.number, frame);
        self.statistics.sent.frames += 1;
        self.statistics.sent.bytes += frame.len() as u64;
        Ok(true)
    }

    fn statistics(&self) -> Statistics {
        self.statistics
    }
}
