//! In the steady state no packet is an allocation: frames go round between the pools and the devices, and connections keep what
//! came. But an idle connection holds no memory, so what a lone message waits in is allocated for it.

use std::net::Ipv4Addr;

use allocation_counter::measure;
use bytes::Bytes;
use ostia_stack::{Config, Handle, Instant, LinkConfig, LinkId, Local, Medium, Stack, Transmit};

const PORT: u16 = 80;

/// A stack with its device, which has the frames that it sends at once and gives them back.
struct Side {
    stack: Stack,
    link: LinkId,
    out: Vec<Transmit>,
}

impl Side {
    fn new(host: u8, mtu: u32) -> Side {
        let mut config = Config::default();
        // As long as they stay, so that what is under way does not grow.
        (config.receive_buffer, config.send_buffer, config.send_buffer_most) = (256 << 10, 256 << 10, 256 << 10);
        let mut stack = Stack::new(config, [host; 32]);
        let link = LinkConfig { name: "link".to_owned(), medium: Medium::Ip, mtu, checksum_offload: false, gso_max: 0 };
        let link = stack.add_link(link).expect("an MTU that can be");
        stack.add_address(link, Ipv4Addr::new(192, 0, 2, host).into(), 24).expect("a host's address");
        Side { stack, link, out: Vec::new() }
    }
}

struct Pair {
    client: Side,
    server: Side,
    now: u64,
    /// Frames on their way.
    batch: Vec<ostia_wire::Frame>,
}

impl Pair {
    fn new(mtu: u32) -> (Pair, Handle, Handle) {
        let mut pair = Pair { client: Side::new(1, mtu), server: Side::new(2, mtu), now: 1_000_000_000, batch: Vec::new() };
        let listener = pair.server.stack.listen(Local { address: None, port: PORT }, 1).expect("nobody else listens");
        let target = (Ipv4Addr::new(192, 0, 2, 2).into(), PORT);
        let client = pair.client.stack.connect(target).expect("there is a way");
        (0..3).for_each(|_| pair.turn());
        let server = pair.server.stack.accept(listener).expect("connected");
        (pair, client, server)
    }

    /// What either side has to send arrives at the other one, in a frame of that one's.
    fn turn(&mut self) {
        self.now += 1_000_000;
        let now = Instant(self.now);
        for forth in [true, false] {
            let (from, to) = if forth { (&mut self.client, &mut self.server) } else { (&mut self.server, &mut self.client) };
            from.stack.poll_transmit(now, &mut from.out);
            for Transmit { frame, .. } in from.out.drain(..) {
                let mut arrived = to.stack.frame(frame.len());
                arrived.extend(frame.as_slice());
                self.batch.push(arrived);
                from.stack.recycle(frame);
            }
            to.stack.input(to.link, self.batch.drain(..), now);
            while from.stack.poll_event().is_some() {}
            while to.stack.poll_event().is_some() {}
        }
    }
}

/// Allocations in so many turns, after as many others.
fn allocations(turns: usize, mut turn: impl FnMut()) -> u64 {
    (0..turns).for_each(|_| turn());
    measure(|| (0..turns).for_each(|_| turn())).count_total
}

/// Lends as much as there is room for, and reads what has come, copying it or taking it in its frames.
fn stream(mtu: u32, in_frames: bool) -> (u64, usize) {
    let (mut pair, client, server) = Pair::new(mtu);
    let data = Bytes::from(vec![7; 64 << 10]);
    let (mut into, mut received) = (vec![0; 64 << 10], 0);
    let count = allocations(300, || {
        while pair.client.stack.send_shared(client, data.clone()).is_ok() {}
        pair.turn();
        if in_frames {
            while let Ok(frame) = pair.server.stack.recv_frame(server) {
                received += frame.len();
                pair.server.stack.recycle(frame);
            }
        } else {
            while let Ok(count) = pair.server.stack.recv(server, &mut into) {
                received += count;
            }
        }
    });
    (count, received)
}

#[test]
fn a_stream_allocates_for_no_packet() {
    for mtu in [1500, 9000, 65_535] {
        for in_frames in [false, true] {
            let (count, received) = stream(mtu, in_frames);
            assert!(received > 30 << 20, "{received} bytes are no stream");
            // All that has come is read in each turn: the row in which it waited is let go, and grows anew by doubling.
            assert!(count <= 300 * 6, "{count} allocations in 300 turns at MTU {mtu}, in frames: {in_frames}");
        }
    }
}

#[test]
fn a_lone_message_allocates_what_it_waits_in() {
    for mtu in [1500, 65_535] {
        let (mut pair, client, server) = Pair::new(mtu);
        let mut into = [0; 100];
        let count = allocations(1000, || {
            assert_eq!(pair.client.stack.send(client, &[1; 64]), Ok(64));
            pair.turn();
            assert_eq!(pair.server.stack.recv(server, &mut into), Ok(64));
            assert_eq!(pair.server.stack.send(server, &[2; 64]), Ok(64));
            pair.turn();
            assert_eq!(pair.client.stack.recv(client, &mut into), Ok(64));
        });
        // A row and a block to be acknowledged in, and a row to be read in.
        assert!(count <= 3 * 2000, "{count} allocations for 2,000 messages at MTU {mtu}");
    }
}
