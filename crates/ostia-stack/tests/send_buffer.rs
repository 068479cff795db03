//! How much of a stream a connection keeps to be sent, and in which parts that comes out of the stack.

use std::net::{IpAddr, Ipv4Addr};

use ostia_stack::{Config, Error, Handle, Instant, Kind, LinkConfig, LinkId, Local, Medium, Options, Stack, Transmit};

const PORT: u16 = 80;

fn address(host: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, host).into()
}

/// A program that sends as much as is taken, and a peer on the same link.
struct Pair {
    stacks: [Stack; 2],
    now: Instant,
}

const LINK: LinkId = LinkId(0);

impl Pair {
    fn new(mtu: u32, change: impl Fn(&mut Config)) -> Pair {
        Pair::with(mtu, 0, change)
    }

    /// With links that take super-segments so long.
    fn with(mtu: u32, gso_max: u32, change: impl Fn(&mut Config)) -> Pair {
        let stack = |host: u8| {
            let mut config = Config::default();
            // The peer's window is in nobody's way.
            config.receive_buffer = 64 << 20;
            config.memory = 256 << 20;
            if host == 1 {
                change(&mut config);
            }
            let mut stack = Stack::new(config, [host; 32]);
            let link = LinkConfig { name: "link".to_owned(), medium: Medium::Ip, mtu, checksum_offload: gso_max > 0, gso_max };
            assert_eq!(stack.add_link(link).expect("an MTU that can be"), LINK);
            stack.add_address(LINK, address(host).into(), 24).expect("a host's address");
            stack
        };
        Pair { stacks: [stack(1), stack(2)], now: Instant(1_000_000_000) }
    }

    /// What one side has to send arrives at the other a millisecond later.
    fn carry(&mut self, from: usize) {
        let mut out = Vec::<Transmit>::new();
        while self.stacks[from].poll_transmit(self.now, &mut out) {}
        self.now.0 += 1_000_000;
        self.stacks[1 - from].input(LINK, out.into_iter().map(|transmit| transmit.frame), self.now);
    }

    fn connect(&mut self, options: Option<Options>) -> (Handle, Handle) {
        let listener = self.stacks[1].listen(Local { address: None, port: PORT }, 1).expect("nobody listens there");
        let options = options.unwrap_or_else(|| self.stacks[0].options());
        let remote = (address(2).into(), PORT);
        let connection = self.stacks[0].connect_with(remote, None, None, options).expect("there is a way");
        [0, 1, 0].into_iter().for_each(|from| self.carry(from));
        let accepted = self.stacks[1].accept(listener).expect("connected");
        while self.stacks[0].poll_event().is_some() {}
        (connection, accepted)
    }

    /// Fills the send buffer; how many octets were taken.
    fn fill(&mut self, connection: Handle) -> usize {
        let mut taken = 0;
        loop {
            match self.stacks[0].send(connection, &[7; 10_000]) {
                Ok(count) => taken += count,
                Err(Error::WouldBlock) => return taken,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn read(&mut self, connection: Handle) {
        let mut into = vec![0; 1 << 20];
        while self.stacks[1].recv(connection, &mut into).is_ok_and(|count| count > 0) {}
    }

    /// So many round trips of a program that sends as much as is taken; how much waits at the end.
    fn run(&mut self, (connection, accepted): (Handle, Handle), round_trips: usize, reads: bool) -> usize {
        for _ in 0..round_trips {
            self.fill(connection);
            self.carry(0);
            if reads {
                self.read(accepted);
            }
            self.carry(1);
        }
        self.fill(connection);
        let info = self.stacks[0].tcp_info(connection).expect("figures");
        (info.tcpi_bytes_sent - info.tcpi_bytes_acked) as usize + info.tcpi_notsent_bytes as usize
    }
}

#[test]
fn it_grows_with_what_the_path_takes() {
    let mut pair = Pair::new(1500, |_| {});
    let ends = pair.connect(None);
    assert_eq!(pair.fill(ends.0), 256 << 10, "a path that nothing is known of");
    let queued = pair.run(ends, 5, true);
    let window = pair.stacks[0].tcp_info(ends.0).expect("figures");
    let window = (window.tcpi_snd_cwnd * window.tcpi_snd_mss) as usize;
    assert!(queued > 256 << 10 && queued.abs_diff(2 * window) <= 1460, "{queued} beside a window of {window}");
    assert_eq!(pair.run(ends, 20, true), 4 << 20, "the most by default");
}

#[test]
fn the_program_is_told_of_room_by_what_it_has_grown_to() {
    let mut pair = Pair::new(1500, |_| {});
    let ends = pair.connect(None);
    pair.run(ends, 20, true);
    while pair.stacks[0].poll_event().is_some() {}
    // A third of the most is acknowledged: no sooner is it worth while.
    let mut out = Vec::<Transmit>::new();
    let (mut told, mut freed) = (false, 0);
    while pair.stacks[0].poll_transmit(pair.now, &mut out) {}
    let before = pair.stacks[0].tcp_info(ends.0).expect("figures").tcpi_bytes_acked;
    for transmit in out {
        assert!(!told, "told before the end");
        assert!(!pair.stacks[0].has_room(ends.0).expect("an open one"), "after {freed} octets");
        pair.now.0 += 1000;
        pair.stacks[1].input(LINK, [transmit.frame], pair.now);
        pair.read(ends.1);
        let mut answers = Vec::<Transmit>::new();
        while pair.stacks[1].poll_transmit(pair.now, &mut answers) {}
        pair.stacks[0].input(LINK, answers.into_iter().map(|transmit| transmit.frame), pair.now);
        freed = pair.stacks[0].tcp_info(ends.0).expect("figures").tcpi_bytes_acked - before;
        told |= std::iter::from_fn(|| pair.stacks[0].poll_event()).any(|event| event.kind == Kind::Writable);
        if told {
            break;
        }
    }
    assert!(told && pair.stacks[0].has_room(ends.0).expect("an open one"));
    assert!(((4 << 20) / 3..(4 << 20) / 2).contains(&freed), "{freed}");
}

#[test]
fn a_program_that_says_how_much_gets_just_that() {
    let mut pair = Pair::new(1500, |_| {});
    let mut options = pair.stacks[0].options();
    (options.send_buffer, options.send_buffer_most) = (100_000, 100_000);
    let ends = pair.connect(Some(options));
    assert_eq!(pair.run(ends, 10, true), 100_000);
}

#[test]
fn it_does_not_grow_for_a_peer_that_does_not_read() {
    let mut pair = Pair::new(1500, |_| {});
    pair.stacks[1].configure(|config| config.receive_buffer = 64 << 10);
    let ends = pair.connect(None);
    assert_eq!(pair.run(ends, 20, false), 256 << 10);
}

#[test]
fn many_of_them_leave_memory_to_others() {
    let mut pair = Pair::new(1500, |config| config.memory = 4 << 20);
    let ends = pair.connect(None);
    let queued = pair.run(ends, 20, true);
    assert!((300 << 10..=512 << 10).contains(&queued), "an eighth of what is left: {queued}");
}

#[test]
fn parts_are_together_what_comes_at_once() {
    for (mtu, gso_max) in [(1500, 0), (1500, 65_000), (65_535, 0)] {
        let mut sent = Vec::new();
        for most in [1, 64 << 10, usize::MAX] {
            let mut pair = Pair::with(mtu, gso_max, |_| {});
            let (connection, accepted) = pair.connect(None);
            pair.run((connection, accepted), 6, true);
            let (mut frames, mut parts) = (Vec::new(), Vec::new());
            loop {
                let mut out = Vec::<Transmit>::new();
                let more = pair.stacks[0].poll_transmit_some(pair.now, &mut out, most);
                parts.push(out.iter().map(|transmit| transmit.frame.truesize()).sum::<usize>());
                frames.extend(out.into_iter().map(|transmit| transmit.frame.as_slice().to_vec()));
                if !more {
                    break;
                }
            }
            // One segment, or what makes the part full.
            let longest = mtu.max(gso_max) as usize + 4096;
            if most != usize::MAX {
                assert!(parts.len() > 2, "MTU {mtu}, {most}");
                assert!(parts.iter().all(|&part| part < 2 * most.max(longest)), "MTU {mtu}, {most}: {parts:?}");
            }
            sent.push(frames);
        }
        assert!(sent.iter().all(|frames| frames.len() == sent[0].len()), "MTU {mtu}");
        assert!(sent.windows(2).all(|two| two[0] == two[1]), "MTU {mtu}");
    }
}

#[test]
fn a_part_is_nobodys_alone() {
    let mut pair = Pair::new(1500, |_| {});
    let listener = pair.stacks[1].listen(Local { address: None, port: PORT }, 2).expect("nobody listens there");
    let connections = [0, 1].map(|_| pair.stacks[0].connect((address(2).into(), PORT)).expect("there is a way"));
    [0, 1, 0].into_iter().for_each(|from| pair.carry(from));
    assert!(pair.stacks[1].accept(listener).is_ok() && pair.stacks[1].accept(listener).is_ok());
    connections.into_iter().for_each(|connection| _ = pair.fill(connection));
    // Each may send ten segments at first; parts of three take turns.
    let mut last = Vec::new();
    for _ in 0..4 {
        let mut out = Vec::<Transmit>::new();
        assert!(pair.stacks[0].poll_transmit_some(pair.now, &mut out, 3 * 1448));
        let ports = out.iter().map(|transmit| transmit.frame.as_slice()[20..22].to_vec()).collect::<Vec<_>>();
        assert!(ports.windows(2).all(|two| two[0] == two[1]), "{ports:?}");
        last.push(ports[0].clone());
    }
    assert!(last[0] != last[1] && last[0] == last[2] && last[1] == last[3], "{last:?}");
}
