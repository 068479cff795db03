//! A network in memory: stacks, switches, wires, and a clock that jumps to what happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::Duration;

use ostia_stack::{Address, AddressState, Config, Instant, LinkConfig, LinkId, Medium, Stack};
use ostia_wire::{Frame, MacAddr};

use crate::switch::Switch;

/// How long a frame takes over one cable.
const DELAY: Duration = Duration::from_micros(500);

/// An address from its text.
pub fn addr(text: &str) -> Address {
    text.parse::<IpAddr>().expect("an address").into()
}

/// One end of a cable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    /// A stack's link: the stack's number, the link's number.
    Stack(usize, u16),
    /// A switch's port.
    Port(usize, usize),
    /// Something that only listens; the test reads what it has heard, and speaks in its name.
    Tap(usize),
}

/// A frame on a cable: when it arrives, in which order, where.
type OnTheWay = Reverse<(Instant, u64, End, Vec<u8>)>;

/// The network.
pub struct Net {
    pub now: Instant,
    pub stacks: Vec<Stack>,
    pub switches: Vec<Switch>,
    /// How many links each stack has.
    links: Vec<u16>,
    /// What each tap has heard.
    pub taps: Vec<Vec<Vec<u8>>>,
    cables: Vec<(End, End)>,
    way: BinaryHeap<OnTheWay>,
    count: u64,
    /// Frames that had nowhere to go: their cable is pulled.
    pub unplugged: u64,
}

impl Net {
    pub fn new() -> Net {
        Net {
            now: Instant(1_000_000_000),
            stacks: Vec::new(),
            links: Vec::new(),
            switches: Vec::new(),
            taps: Vec::new(),
            cables: Vec::new(),
            way: BinaryHeap::new(),
            count: 0,
            unplugged: 0,
        }
    }

    /// Adds a stack; with `routes` it forwards.
    pub fn stack(&mut self, routes: bool, change: impl FnOnce(&mut Config)) -> usize {
        let number = self.stacks.len();
        let stack = new_stack(number, 0, routes, change, self.now);
        self.stacks.push(stack);
        self.links.push(0);
        number
    }

    pub fn switch(&mut self, ports: usize) -> usize {
        self.switches.push(Switch::new(ports));
        self.switches.len() - 1
    }

    pub fn tap(&mut self) -> End {
        self.taps.push(Vec::new());
        End::Tap(self.taps.len() - 1)
    }

    /// Gives a stack an Ethernet link, joined to something.
    pub fn link(&mut self, stack: usize, mtu: u32, to: End) -> LinkId {
        let link = self.add_link(stack, mtu);
        self.plug(End::Stack(stack, link.0), to);
        link
    }

    /// Joins two links by a wire.
    pub fn wire(&mut self, one: usize, other: usize, mtu: u32) -> [LinkId; 2] {
        let links = [one, other].map(|stack| self.add_link(stack, mtu));
        self.plug(End::Stack(one, links[0].0), End::Stack(other, links[1].0));
        links
    }

    /// Joins two ends. Whatever they were joined to before isn't any more.
    pub fn plug(&mut self, one: End, other: End) {
        for end in [one, other] {
            self.unplug(end);
        }
        self.cables.push((one, other));
    }

    pub fn unplug(&mut self, end: End) {
        self.cables.retain(|&(one, other)| one != end && other != end);
    }

    /// The link address of a stack's link.
    pub fn mac(stack: usize, link: LinkId) -> MacAddr {
        MacAddr([0x02, 0, 0, 0, stack as u8 + 1, link.0 as u8 + 1])
    }

    fn other_end(&self, end: End) -> Option<End> {
        self.cables.iter().find_map(|&(one, other)| match end {
            _ if one == end => Some(other),
            _ if other == end => Some(one),
            _ => None,
        })
    }

    /// Puts a frame on the cable of an end, as if it had been sent there.
    pub fn send(&mut self, from: End, frame: Vec<u8>) {
        match self.other_end(from) {
            Some(to) => {
                self.count += 1;
                self.way.push(Reverse((self.now + DELAY, self.count, to, frame)));
            }
            None => self.unplugged += 1,
        }
    }

    /// Puts on the cables what the stacks send.
    pub fn exchange(&mut self) {
        for number in 0..self.stacks.len() {
            let mut out = Vec::new();
            while self.stacks[number].poll_transmit(self.now, &mut out) {}
            for transmit in out {
                self.send(End::Stack(number, transmit.link.0), transmit.frame.as_slice().to_vec());
            }
        }
    }

    fn arrive(&mut self, end: End, frame: Vec<u8>) {
        match end {
            End::Stack(stack, link) => {
                self.stacks[stack].input(LinkId(link), [Frame::from_slice(&frame)], self.now);
            }
            End::Port(switch, port) => {
                for to in self.switches[switch].input(port, &frame, self.now) {
                    self.send(End::Port(switch, to), frame.clone());
                }
            }
            End::Tap(tap) => self.taps[tap].push(frame),
        }
    }

    /// Lets time go on to the next thing that happens, and has it happen; false if nothing does before `end`, which it is then.
    pub fn step(&mut self, end: Instant) -> bool {
        self.exchange();
        let stacks = self.stacks.iter_mut().map(Stack::next_deadline).min().unwrap_or(Instant::NEVER);
        let next = self.way.peek().map_or(Instant::NEVER, |Reverse((at, ..))| *at).min(stacks);
        self.now = next.min(end).max(self.now);
        while self.way.peek().is_some_and(|Reverse((at, ..))| *at <= self.now)
            && let Some(Reverse((_, _, end, frame))) = self.way.pop()
        {
            self.arrive(end, frame);
        }
        self.exchange();
        next <= end
    }

    /// A stack loses all that it knows, and begins anew with the same links and other keys.
    pub fn reboot(&mut self, number: usize, generation: u8, routes: bool, mtus: &[u32]) {
        self.stacks[number] = new_stack(number, generation, routes, |_| (), self.now);
        self.links[number] = 0;
        for &mtu in mtus {
            self.add_link(number, mtu);
        }
    }

    fn add_link(&mut self, stack: usize, mtu: u32) -> LinkId {
        // They are numbered in the order in which they are added.
        let link = LinkId(self.links[stack]);
        self.links[stack] += 1;
        let medium = Medium::Ethernet(Net::mac(stack, link));
        let config = LinkConfig { name: format!("link{}", link.0), medium, mtu, checksum_offload: false, gso_max: 0 };
        assert_eq!(self.stacks[stack].add_link(config), Ok(link));
        link
    }

    /// Whether all addresses of all stacks can be used.
    pub fn is_addressed(&self) -> bool {
        self.stacks.iter().all(|stack| {
            (0..4).flat_map(|link| stack.link_addresses(LinkId(link))).all(|address| address.state != AddressState::Tentative)
        })
    }

    /// A link's own link-local address.
    pub fn link_local(&self, stack: usize, link: LinkId) -> Address {
        let found =
            self.stacks[stack].link_addresses(link).map(|address| address.address).find(|address| address.is_link_local_v6());
        found.expect("a link-local address")
    }
}

fn new_stack(number: usize, generation: u8, routes: bool, change: impl FnOnce(&mut Config), now: Instant) -> Stack {
    let mut config = Config::default();
    config.forwarding = routes;
    change(&mut config);
    let mut seed = [number as u8 + 1; 32];
    seed[31] = generation;
    let mut stack = Stack::new(config, seed);
    // Calls take the time of the last turn.
    stack.poll_transmit(now, &mut Vec::new());
    stack
}
