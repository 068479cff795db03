//! Links in memory: two ends in one program.
//!
//! Nothing is delayed, reordered or lost but by a full queue, which the sender is told of. A frame is copied once, by
//! [`transmit`](Link::transmit); the buffers that receivers bring serve for the next ones.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ostia_wire::{Frame, MacAddr};

use crate::config::Offload;
use crate::facts::{Facts, Medium, Statistics};
use crate::link::{Descriptor, Link, Wake};
use crate::software::Leftover;

/// What a link in memory is like.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// Its name; the ends are called by it with `.0` and `.1` behind.
    pub name: String,
    /// What its frames start with.
    pub medium: Medium,
    /// The longest IP packet in octets.
    pub mtu: u32,
    /// The addresses of the two ends, where the medium has such.
    pub macs: [MacAddr; 2],
    /// Whether super-segments and partial checksums pass as they are.
    pub offload: Offload,
    /// Frames that wait in each direction at most, 1 or more.
    pub queue: usize,
}

impl Default for MemoryConfig {
    fn default() -> MemoryConfig {
        MemoryConfig {
            name: "memory".to_owned(),
            medium: Medium::Ip,
            mtu: 1500,
            macs: [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])],
            offload: Offload::On,
            queue: 256,
        }
    }
}

/// One end of a link in memory.
pub struct Memory {
    facts: Facts,
    statistics: Statistics,
    leftover: Leftover,
    incoming: Arc<Queue>,
    outgoing: Arc<Queue>,
}

/// Makes a link, and gives both ends of it.
pub fn pair(config: &MemoryConfig) -> (Memory, Memory) {
    let queues = [(); 2].map(|()| Arc::new(Queue { most: config.queue.max(1), state: Mutex::default() }));
    let end = |number: usize| {
        let mac = (config.medium == Medium::Ethernet).then_some(config.macs[number]);
        let facts = Facts::new(format!("{}.{number}", config.name), config.medium, config.mtu, mac);
        Memory {
            facts: if config.offload == Offload::On { facts.with_offloads() } else { facts },
            statistics: Statistics::default(),
            leftover: Leftover::default(),
            incoming: queues[number].clone(),
            outgoing: queues[1 - number].clone(),
        }
    };
    (end(0), end(1))
}

/// One direction.
struct Queue {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Frame>,
    /// Buffers for the next frames.
    spare: Vec<Vec<u8>>,
    /// The sender has been told that there is no room.
    refused: bool,
    /// One of the ends is gone.
    closed: bool,
    /// What the receiver is woken by.
    receiver: Option<Wake>,
    /// What the sender is woken by.
    sender: Option<Wake>,
}

/// Buffers that a queue keeps for the next frames.
const MOST_SPARE: usize = 64;

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, frame: &Frame) -> io::Result<bool> {
        let mut state = self.lock();
        if state.closed {
            return Err(gone());
        }
        if state.frames.len() >= self.most {
            state.refused = true;
            return Ok(false);
        }
        let mut copy = state.spare.pop().map_or_else(|| Frame::new(frame.len()), Frame::reuse);
        copy.extend(frame.as_slice());
        copy.meta = frame.meta;
        copy.meta.arrived = 0;
        state.frames.push_back(copy);
        let wake = if state.frames.len() == 1 { state.receiver.clone() } else { None };
        drop(state);
        call(wake);
        Ok(true)
    }

    fn take(&self, frame: &mut Frame) -> io::Result<bool> {
        let mut state = self.lock();
        let Some(next) = state.frames.pop_front() else {
            return if state.closed { Err(gone()) } else { Ok(false) };
        };
        let buffer = std::mem::replace(frame, next).recycle();
        if state.spare.len() < MOST_SPARE && buffer.capacity() > 0 {
            state.spare.push(buffer);
        }
        let wake = if std::mem::take(&mut state.refused) { state.sender.clone() } else { None };
        drop(state);
        call(wake);
        Ok(true)
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let wakes = [state.receiver.take(), state.sender.take()];
        drop(state);
        wakes.into_iter().for_each(call);
    }
}

fn call(wake: Option<Wake>) {
    if let Some(wake) = wake {
        wake();
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the other end of the link is gone")
}

impl Link for Memory {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn descriptor(&self) -> Option<Descriptor<'_>> {
        None
    }

    fn set_wake(&mut self, wake: Option<Wake>) {
        self.incoming.lock().receiver.clone_from(&wake);
        self.outgoing.lock().sender = wake;
    }

    fn receive(&mut self, frame: &mut Frame) -> io::Result<bool> {
        let got = self.incoming.take(frame)?;
        if got {
            self.statistics.received.count(frame.len());
        }
        Ok(got)
    }

    fn transmit(&mut self, frame: &Frame) -> io::Result<bool> {
        let Memory { facts, statistics, leftover, outgoing, .. } = self;
        let mut put = |part: &Frame| {
            let most = if part.meta.gso_size == 0 { facts.longest_single() } else { facts.longest };
            if part.len() > most {
                statistics.dropped.sent_too_big += 1;
                return Ok(true);
            }
            let done = outgoing.put(part)?;
            if done {
                statistics.sent.count(part.len());
            }
            Ok(done)
        };
        if let Some(done) = leftover.resume(frame, &mut put)? {
            return Ok(done);
        }
        let whole = frame.meta.gso_size == 0 && !matches!(frame.meta.checksum, ostia_wire::Checksum::Partial { .. });
        if whole || facts.checksum_offload {
            return put(frame);
        }
        if let Some(done) = leftover.send(frame, facts.medium, &mut put)? {
            return Ok(done);
        }
        statistics.dropped.sent_malformed += 1;
        Ok(true)
    }

    fn statistics(&self) -> Statistics {
        self.statistics
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        {
            // Nobody is left to be woken here.
            self.incoming.lock().receiver = None;
            self.outgoing.lock().sender = None;
        }
        self.incoming.close();
        self.outgoing.close();
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("facts", &self.facts).field("statistics", &self.statistics).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ostia_wire::Checksum;

    use super::*;
    use crate::software::tests::super_segment;

    fn counting() -> (Arc<AtomicUsize>, Wake) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        (count, Arc::new(move || _ = counted.fetch_add(1, Ordering::SeqCst)))
    }

    fn config(offload: Offload, queue: usize) -> MemoryConfig {
        MemoryConfig { offload, queue, ..MemoryConfig::default() }
    }

    #[test]
    fn frames_arrive_in_order_with_what_is_known_of_them() {
        let (mut a, mut b) = pair(&config(Offload::On, 8));
        let sent = super_segment(4000, 1000);
        assert!(a.transmit(&sent).unwrap() && a.transmit(&Frame::from_slice(b"second")).unwrap());
        assert!(b.transmit(&Frame::from_slice(b"back")).unwrap());
        let mut frame = Frame::new(b.facts().frame_room());
        assert!(b.receive(&mut frame).unwrap());
        assert_eq!((frame.as_slice(), frame.meta), (sent.as_slice(), sent.meta));
        assert!(b.receive(&mut frame).unwrap() && frame.as_slice() == b"second");
        assert!(!b.receive(&mut frame).unwrap());
        assert!(a.receive(&mut frame).unwrap() && frame.as_slice() == b"back");
        assert!(frame.headroom() >= Frame::HEADROOM);
        assert_eq!((a.statistics().sent, b.statistics().received), (b.statistics().received, a.statistics().sent));
        assert_eq!((a.facts().name.as_str(), b.facts().name.as_str(), a.facts().mac), ("memory.0", "memory.1", None));
        assert!(a.descriptor().is_none());
    }

    #[test]
    fn a_full_queue_refuses_and_wakes_when_there_is_room() {
        let (mut a, mut b) = pair(&config(Offload::On, 2));
        let ((sender, wake_a), (receiver, wake_b)) = (counting(), counting());
        a.set_wake(Some(wake_a));
        b.set_wake(Some(wake_b));
        let (frame, mut into) = (Frame::from_slice(b"x"), Frame::default());
        assert_eq!([(); 3].map(|()| a.transmit(&frame).unwrap()), [true, true, false]);
        assert_eq!(
            (sender.load(Ordering::SeqCst), receiver.load(Ordering::SeqCst)),
            (0, 1),
            "woken when there is one, not for each"
        );
        assert!(b.receive(&mut into).unwrap());
        assert_eq!(sender.load(Ordering::SeqCst), 1);
        assert!(b.receive(&mut into).unwrap() && !b.receive(&mut into).unwrap());
        assert_eq!(sender.load(Ordering::SeqCst), 1);
        assert!(a.transmit(&frame).unwrap());
        assert_eq!(receiver.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn without_offloads_frames_are_finished_even_when_the_queue_is_short() {
        let (mut a, mut b) = pair(&config(Offload::Off, 2));
        assert_eq!((a.facts().max_gso, a.facts().checksum_offload, a.facts().frame_room()), (0, false, 1501));
        let (sent, mut into) = (super_segment(2500, 1000), Frame::default());
        assert!(!a.transmit(&sent).unwrap());
        let mut lens = Vec::new();
        while b.receive(&mut into).unwrap() {
            assert_eq!((into.meta.checksum, into.meta.gso_size), (Checksum::Unverified, 0));
            lens.push(into.len());
        }
        assert!(a.transmit(&sent).unwrap());
        assert!(b.receive(&mut into).unwrap() && !b.receive(&mut Frame::default()).unwrap());
        lens.push(into.len());
        assert_eq!(lens, [1040, 1040, 540]);
        assert_eq!(a.statistics().sent.frames, 3);
    }

    #[test]
    fn what_never_fits_is_dropped_and_counted() {
        let (mut a, mut b) = pair(&config(Offload::Off, 2));
        let mut nonsense = Frame::from_slice(&[0; 60]);
        nonsense.meta.gso_size = 10;
        assert!(a.transmit(&Frame::from_slice(&[0; 1501])).unwrap() && a.transmit(&nonsense).unwrap());
        let dropped = a.statistics().dropped;
        assert_eq!((dropped.sent_too_big, dropped.sent_malformed, a.statistics().sent.frames), (1, 1, 0));
        assert!(!b.receive(&mut Frame::default()).unwrap());
    }

    #[test]
    fn an_end_that_is_gone_wakes_the_other_and_leaves_what_it_sent() {
        let (mut a, mut b) = pair(&config(Offload::On, 2));
        let (woken, wake) = counting();
        b.set_wake(Some(wake));
        assert!(a.transmit(&Frame::from_slice(b"last")).unwrap());
        drop(a);
        assert!(woken.load(Ordering::SeqCst) > 1);
        let mut frame = Frame::default();
        assert!(b.receive(&mut frame).unwrap() && frame.as_slice() == b"last");
        assert_eq!(b.receive(&mut frame).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(b.transmit(&frame).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
