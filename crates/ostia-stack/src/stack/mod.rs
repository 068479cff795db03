//! The stack as its user sees it: frames in, frames out, sockets, events.

mod datagrams;
mod links;
mod tcp;

use alloc::vec::Vec;

use ostia_wire::Frame;

use crate::config::Config;
use crate::counters::Counters;
use crate::datagram::Datagrams;
use crate::drops::Drops;
use crate::env::Env;
use crate::event::Event;
use crate::ip::{Input, Ip, LinkId, Refusal, Transmit, protocol};
use crate::memory::Budget;
use crate::tcp::{State, Tcp, Train};
use crate::time::Instant;
use crate::trace::Tracer;

/// Segments that one call of [`Stack::poll_transmit`] sends of connections, at most.
const BUDGET: usize = 1024;

/// How often packets to the host's own addresses may be answered by others within one call.
const ROUNDS: usize = 64;

/// A TCP/IP stack. It has neither a clock nor a socket nor a thread: whoever drives it gives it frames and the time, and asks
/// it for frames and events. Calls on sockets take the time of the last [`input`](Stack::input) or
/// [`poll_transmit`](Stack::poll_transmit); what they cause to be sent comes out of the next `poll_transmit`.
pub struct Stack {
    env: Env,
    ip: Ip,
    tcp: Tcp,
    datagrams: Datagrams,
}

impl Stack {
    /// A stack without links. All its randomness comes from the seed: keys, sequence numbers, ports, jitter. With the same seed
    /// and the same calls it does the same, so a seed must be secret where peers aren't trusted.
    pub fn new(config: Config, seed: [u8; 32]) -> Stack {
        let mut env = Env::new(config, seed);
        let tcp = Tcp::new(&mut env);
        let ip = Ip::new(&env.config, &mut env.random);
        let datagrams = Datagrams::new(&env.config, &mut env.random);
        Stack { env, ip, tcp, datagrams }
    }

    /// Frames have arrived on a link. `now` is the present; a frame whose device noted a time has its own.
    pub fn input(&mut self, link: LinkId, frames: impl IntoIterator<Item = Frame>, now: Instant) {
        self.set_time(now);
        let mut train: Option<Train> = None;
        for mut frame in frames {
            if let Some(train) = &train {
                match self.tcp.follow(train, link, frame, &mut self.ip, &mut self.env) {
                    Ok(()) => continue,
                    Err(back) => frame = back,
                }
            }
            let first = Train::of(link, &frame, self.ip.header_at(link));
            let before = self.env.counters.tcp_in_segs;
            let input = self.ip.input(link, frame, &mut self.env);
            self.dispatch(input);
            let delivered = self.env.counters.tcp_in_segs != before && !self.datagrams.watches(protocol::TCP);
            train = first.filter(|train| delivered && self.tcp.leads(train));
        }
    }

    /// Does what is due, and appends the frames that are to be sent, in order. True if there is more to send at once.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<Transmit>) -> bool {
        self.poll_transmit_some(now, out, usize::MAX)
    }

    /// As [`poll_transmit`](Stack::poll_transmit), but of connections only until frames hold `most` bytes of memory: for who hands
    /// frames on one by one, so that the peer has the first ones while the next are made, and those are still in a cache.
    pub fn poll_transmit_some(&mut self, now: Instant, out: &mut Vec<Transmit>, most: usize) -> bool {
        self.set_time(now);
        self.ip.turn(&mut self.env);
        let mut more = false;
        for _ in 0..ROUNDS {
            more = self.tcp.poll(BUDGET, most, &mut self.ip, &mut self.env);
            if !self.take_local() {
                break;
            }
        }
        out.extend(self.ip.out.drain());
        more
    }

    /// An empty frame with room for `capacity` bytes: for a device to read into, or for whatever else becomes a frame. Its buffer
    /// has been used before if there was one that fits.
    pub fn frame(&mut self, capacity: usize) -> Frame {
        self.env.pool.frame(capacity)
    }

    /// Takes back a frame that has been sent, or that [`recv_frame`](Stack::recv_frame) has given and that was read: its buffer
    /// is used again. Frames that are dropped instead are allocated anew; nothing else comes of it. At most 512 KiB of short ones
    /// are kept, and of long ones 4.5 MiB or a sixteenth of [`Config::memory`](crate::Config::memory), whichever is less.
    pub fn recycle(&mut self, frame: Frame) {
        self.env.pool.recycle(frame);
    }

    /// When [`poll_transmit`](Stack::poll_transmit) has something to do next, if nothing arrives before;
    /// [`Instant::NEVER`] if nothing is due.
    pub fn next_deadline(&mut self) -> Instant {
        if !self.ip.out.is_empty() {
            return self.env.now;
        }
        self.tcp.deadline(self.env.now).min(self.ip.deadline(&self.env))
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.env.events.pop()
    }

    fn set_time(&mut self, now: Instant) {
        debug_assert!(now >= self.env.now, "time goes forward");
        self.env.now = self.env.now.max(now);
    }

    fn dispatch(&mut self, input: Input) {
        let (ip, env) = (&mut self.ip, &mut self.env);
        match input {
            Input::Packet(packet) => {
                let Some(packet) = self.datagrams.input(packet, ip, env) else { return };
                match packet.protocol {
                    protocol::TCP => self.tcp.input(packet, ip, env),
                    _ => ip.refuse(&packet, Refusal::Protocol, env),
                }
            }
            Input::Error(quoted) if quoted.protocol == protocol::TCP => self.tcp.error(&quoted, ip, env),
            Input::Error(quoted) => self.datagrams.error(&quoted, ip, env),
            Input::None => {}
        }
    }

    /// Packets from this host to itself; whether there were any.
    fn take_local(&mut self) -> bool {
        let mut any = false;
        while let Some(input) = self.ip.next_local(&mut self.env) {
            any = true;
            self.dispatch(input);
        }
        any
    }

    /// What has happened since the stack was made.
    pub fn counters(&self) -> &Counters {
        &self.env.counters
    }

    /// Packets that were dropped, by reason.
    pub fn drops(&self) -> &Drops {
        &self.env.drops
    }

    /// Memory that packets and peers make the stack keep.
    pub fn memory(&self) -> &Budget {
        &self.env.memory
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.env.config
    }

    /// Changes the configuration. Bounds hold from now on; what was agreed on with peers stays.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.env.config);
    }

    /// How many connections, half-open connections and TIME-WAITs there are.
    pub fn census(&self) -> (usize, usize, usize) {
        self.tcp.census()
    }

    /// The states of all connections, those that their programs have closed among them; half-open ones and TIME-WAITs stand in
    /// the [`census`](Stack::census).
    pub fn states(&self) -> impl Iterator<Item = State> + '_ {
        self.tcp.states()
    }

    /// Sets who sees every step that the stack does; none by default, which costs nothing.
    pub fn set_tracer(&mut self, tracer: Option<Tracer>) {
        self.env.set_tracer(tracer);
    }

    /// Makes new keys for SYN cookies. Those sent before are taken for two minutes more.
    pub fn rotate_cookie_keys(&mut self) {
        self.tcp.rotate_cookie_keys(&mut self.env);
    }
}
