//! The network of these tests: host A, a switch, two routers with a link between them, another switch, host B.
//!
//! ```text
//!  A --- switch --- R1 === R2 --- switch --- B
//!          |                        |
//!         tap (whoever)            tap (DHCP server, and whoever)
//! ```
//! A has static addresses and routes; B gets its IPv4 address by DHCP and its IPv6 address from router advertisements.

use std::time::Duration;

use ostia_stack::{Address, AddressState, LinkAddress, LinkId, Stack};

use crate::net::{End, Net, addr};
use crate::services::{self, DhcpServer};

pub const A: usize = 0;
pub const R1: usize = 1;
pub const R2: usize = 2;
pub const B: usize = 3;

/// The first link of a stack, and a router's second.
pub const L0: LinkId = LinkId(0);
pub const L1: LinkId = LinkId(1);

/// MTUs of A's network, the link between the routers, B's network.
pub type Mtus = [u32; 3];

/// What the networks usually take: less in the middle.
pub const USUAL: Mtus = [1500, 1400, 1500];

pub struct Office {
    pub net: Net,
    /// Taps at both switches.
    pub taps: [End; 2],
    pub dhcp: DhcpServer,
    /// Whether router solicitations in B's network are answered.
    pub advertises: bool,
    mtus: Mtus,
    /// What of the second tap has been dealt with, and what of each has been asked for.
    served: usize,
    asked: [usize; 2],
}

impl Office {
    pub fn new(mtus: Mtus) -> Office {
        let mut net = Net::new();
        for routes in [false, true, true, false] {
            net.stack(routes, |_| ());
        }
        // Each has a port to spare.
        let switches = [net.switch(4), net.switch(4)];
        net.link(A, mtus[0], End::Port(switches[0], 0));
        net.link(R1, mtus[0], End::Port(switches[0], 1));
        net.wire(R1, R2, mtus[1]);
        net.link(R2, mtus[2], End::Port(switches[1], 1));
        net.link(B, mtus[2], End::Port(switches[1], 0));
        let taps = [net.tap(), net.tap()];
        for (tap, switch) in taps.into_iter().zip(switches) {
            net.plug(tap, End::Port(switch, 2));
        }
        let mut office = Office { net, taps, dhcp: DhcpServer::default(), advertises: true, mtus, served: 0, asked: [0; 2] };
        office.configure(A);
        office.configure(R1);
        office.configure(R2);
        office.net.stacks[B].set_slaac(L0, true);
        office.net.stacks[B].set_dhcp(L0, true).expect("Ethernet");
        let ready = office.run(Duration::from_secs(120), |office| {
            let b = &office.net.stacks[B];
            b.dhcp_lease(L0).is_some()
                && office.address(B, true).is_some()
                && office.address(B, false).is_some()
                && office.net.is_addressed()
        });
        assert!(ready, "B has {:?}", office.net.stacks[B].link_addresses(L0).collect::<Vec<_>>());
        // What is said of new addresses and groups is over.
        office.pass(Duration::from_secs(10));
        office
    }

    /// Gives a stack that isn't configured by others what it has.
    pub fn configure(&mut self, number: usize) {
        let stack = &mut self.net.stacks[number];
        let own: &[(LinkId, &str, u8)] = match number {
            A => &[(L0, "192.0.2.10", 24), (L0, "2001:db8:a::10", 64)],
            R1 => &[(L0, "192.0.2.1", 24), (L0, "2001:db8:a::1", 64), (L1, "198.51.100.1", 24), (L1, "2001:db8:c::1", 64)],
            R2 => &[(L0, "198.51.100.2", 24), (L0, "2001:db8:c::2", 64), (L1, "203.0.113.1", 24), (L1, "2001:db8:b::1", 64)],
            _ => &[],
        };
        for &(link, address, prefix) in own {
            stack.add_address(link, addr(address), prefix).expect("an address");
        }
        let routes: &[(&str, u8, &str, LinkId)] = match number {
            A => &[("0.0.0.0", 0, "192.0.2.1", L0), ("::", 0, "2001:db8:a::1", L0)],
            R1 => &[("203.0.113.0", 24, "198.51.100.2", L1), ("2001:db8:b::", 64, "2001:db8:c::2", L1)],
            R2 => &[("192.0.2.0", 24, "198.51.100.1", L0), ("2001:db8:a::", 64, "2001:db8:c::1", L0)],
            _ => &[],
        };
        for &(to, prefix, gateway, link) in routes {
            stack.add_route(addr(to), prefix, Some(addr(gateway)), link, 0).expect("a route");
        }
    }

    /// The MTUs of a router's links.
    pub fn mtus_of(&self, router: usize) -> [u32; 2] {
        let [a, between, b] = self.mtus;
        if router == R1 { [a, between] } else { [between, b] }
    }

    /// A host's address that others use.
    pub fn address(&self, host: usize, v6: bool) -> Option<Address> {
        let usable = |address: &LinkAddress| address.state == AddressState::Preferred;
        let mut own = self.net.stacks[host].link_addresses(L0).filter(usable).map(|address| address.address);
        own.find(|address| address.is_v4() != v6 && !address.is_link_local_v6())
    }

    /// Lets time go on until `work` says that it is done, or until so much has passed; whether it was done. `work` is what the
    /// programs do when they get to run.
    pub fn run(&mut self, limit: Duration, mut work: impl FnMut(&mut Office) -> bool) -> bool {
        let end = self.net.now + limit;
        loop {
            self.net.exchange();
            self.serve();
            if work(self) {
                return true;
            }
            if !self.net.step(end) {
                return work(self);
            }
        }
    }

    /// Lets so much time pass.
    pub fn pass(&mut self, time: Duration) {
        self.run(time, |_| false);
    }

    /// The services answer what they have heard.
    fn serve(&mut self) {
        let End::Tap(tap) = self.taps[1] else { return };
        while let Some(frame) = self.net.taps[tap].get(self.served).cloned() {
            self.served += 1;
            if let Some(answer) = self.dhcp.answer(&frame) {
                self.net.send(self.taps[1], answer);
            }
            if self.advertises
                && let Some(advert) = services::advert_for(&frame, &self.net)
            {
                // In the name of R2, which as a stack doesn't advertise.
                self.net.send(End::Stack(R2, L1.0), advert);
            }
        }
    }

    /// What a tap has heard since the last time that somebody asked here.
    pub fn heard(&mut self, which: usize) -> Vec<Vec<u8>> {
        let End::Tap(tap) = self.taps[which] else { return Vec::new() };
        let new = self.net.taps[tap].split_off(self.asked[which]);
        let heard = new.clone();
        self.net.taps[tap].extend(new);
        self.asked[which] = self.net.taps[tap].len();
        heard
    }

    /// The end of a test: nothing is left of what it has done, and a line says what there was.
    pub fn finish(mut self, what: &str) {
        // TIME-WAITs, orphans, fragments, and packets that wait for neighbours.
        self.pass(Duration::from_secs(300));
        for (number, stack) in self.net.stacks.iter_mut().enumerate() {
            assert_eq!(stack.census(), (0, 0, 0), "{what}: stack {number} has records left");
            assert_eq!(stack.memory().used(), 0, "{what}: stack {number} has memory left");
        }
        let counters = self.net.stacks.iter().map(Stack::counters);
        let (mut received, mut forwarded, mut fragments, mut again, mut icmp) = (0, 0, 0, 0, 0);
        for each in counters {
            received += each.ip_in_receives;
            forwarded += each.ip_forwarded;
            fragments += each.ip_frag_creates;
            again += each.tcp_retrans_segs;
            icmp += each.icmp_out_msgs;
        }
        let dropped: u64 = self.net.stacks.iter().map(|stack| stack.drops().total()).sum();
        let flooded: u64 = self.net.switches.iter().map(|switch| switch.counts.flooded).sum();
        let switched: u64 = self.net.switches.iter().map(|switch| switch.counts.forwarded).sum();
        println!(
            "{what}: {received} packets received, {forwarded} forwarded, {switched} switched, {flooded} flooded, {fragments} \
             fragments, {again} segments again, {icmp} ICMP, {dropped} dropped"
        );
    }
}
