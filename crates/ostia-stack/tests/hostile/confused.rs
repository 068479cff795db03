//! Two stacks that each believe to be connected with the other, but with numbers of their own: as after a crash, a forged
//! handshake, or a middlebox that has lost its mind. What they say to each other must come to an end.

use std::time::Duration;

use ostia_stack::{Config, Handle, How, Instant, LinkConfig, LinkId, Local, Medium, Profile, Stack};
use ostia_wire::{Flags, Frame};

use crate::check::{self, Seen, Sent};
use crate::inject::stream;
use crate::packets::{Segment, syn_options, timestamps};
use crate::random::Random;
use crate::setup::{START, own, peer};
use crate::world::{PORT, ours};

const OTHER_PORT: u16 = 1000;

struct Side {
    stack: Stack,
    link: LinkId,
    listener: Option<Handle>,
    connection: Option<Handle>,
}

impl Side {
    fn new(config: Config, v6: bool, first: bool, random: &mut Random) -> Side {
        let mut stack = Stack::new(config, random.seed());
        stack.poll_transmit(START, &mut Vec::new());
        let link = LinkConfig { name: "link0".into(), medium: Medium::Ip, mtu: 1500, checksum_offload: false, gso_max: 0 };
        let link = stack.add_link(link).expect("a link");
        let address = if first { own(v6) } else { peer(v6, true) };
        stack.add_address(link, address, if v6 { 64 } else { 24 }).expect("an address");
        Side { stack, link, listener: None, connection: None }
    }

    fn input(&mut self, packet: &[u8], now: Instant) {
        self.stack.input(self.link, [Frame::from_slice(packet)], now);
    }

    fn output(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while self.stack.poll_transmit(now, &mut out) {}
        out.into_iter().map(|transmit| transmit.frame.as_slice().to_vec()).collect()
    }

    /// The last segment among those that it sends.
    fn sent(&mut self, now: Instant) -> Option<Sent> {
        let frames: Vec<Frame> = self.output(now).iter().map(|packet| Frame::from_slice(packet)).collect();
        let mut seen = frames.iter().flat_map(|frame| check::check(frame, false, 1500, |_| false));
        seen.rfind(|seen| matches!(seen, Seen::Segment(_))).map(|seen| match seen {
            Seen::Segment(sent) => sent,
            _ => unreachable!("filtered"),
        })
    }
}

/// How far a connection is when the two meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Opening,
    Established,
    CloseWait,
    LastAck,
    FinWait1,
    FinWait2,
    Closing,
    /// With a handle of the program still.
    TimeWait,
    /// The small record.
    Ended,
}

const STAGES: [Stage; 9] = [
    Stage::Opening,
    Stage::Established,
    Stage::CloseWait,
    Stage::LastAck,
    Stage::FinWait1,
    Stage::FinWait2,
    Stage::Closing,
    Stage::TimeWait,
    Stage::Ended,
];

/// Somebody who plays the peer of a side, until that meets the other.
struct Player {
    segment: Segment,
    value: u32,
    timestamps: bool,
}

impl Player {
    /// Sends a segment with these flags, and takes what is answered into account.
    fn play(&mut self, side: &mut Side, flags: Flags, payload: Vec<u8>) {
        self.segment.flags = flags;
        self.segment.payload = payload;
        side.input(&self.segment.packet(), START);
        self.segment.seq = self.segment.seq.wrapping_add(self.segment.payload.len() as u32);
        self.segment.seq = self.segment.seq.wrapping_add(u32::from(flags.intersects(Flags::SYN | Flags::FIN)));
        self.hear(side);
    }

    fn hear(&mut self, side: &mut Side) {
        let Some(sent) = side.sent(START) else { return };
        self.segment.ack = sent.end();
        let echo = sent.options.timestamps.map_or(0, |timestamps| timestamps.value);
        self.segment.options = if self.timestamps { timestamps(self.value, echo) } else { Vec::new() };
    }

    /// Brings an open connection to a stage.
    fn bring(&mut self, side: &mut Side, stage: Stage) {
        let Some(connection) = side.connection else { return };
        if matches!(stage, Stage::CloseWait | Stage::LastAck) {
            self.play(side, Flags::FIN | Flags::ACK, Vec::new());
        }
        let acked = self.segment.ack;
        if !matches!(stage, Stage::Established | Stage::CloseWait) {
            match stage {
                Stage::TimeWait => side.stack.shutdown(connection, How::Write).expect("an open connection"),
                _ => {
                    side.stack.close(connection).expect("an open connection");
                    side.connection = None;
                }
            }
            self.hear(side);
        }
        if stage == Stage::Closing {
            // The FINs cross.
            self.segment.ack = acked;
        }
        if matches!(stage, Stage::FinWait2 | Stage::TimeWait | Stage::Ended) {
            self.play(side, Flags::ACK, Vec::new());
        }
        if matches!(stage, Stage::Closing | Stage::TimeWait | Stage::Ended) {
            self.play(side, Flags::FIN | Flags::ACK, Vec::new());
        }
    }
}

/// Two sides with a connection each between the same addresses and ports, that know nothing of each other's numbers.
fn confused(random: &mut Random, v6: bool) -> ([Side; 2], [Stage; 2]) {
    let mut config = Config::new(if random.chance(5_000) { Profile::Linux } else { Profile::Strict });
    (config.timestamps, config.sack) = (random.chance(7_000), random.chance(5_000));
    let timestamps = config.timestamps;
    let mut sides = [Side::new(config.clone(), v6, true, random), Side::new(config, v6, false, random)];
    let (here, there) = ((own(v6), PORT), (peer(v6, true), OTHER_PORT));
    let stages = [random.pick(&STAGES), random.pick(&STAGES)];
    let [server, client] = &mut sides;
    let (seq, value) = (random.next() as u32, random.next() as u32);
    let segment = Segment {
        source: there,
        destination: here,
        seq,
        ack: 0,
        flags: Flags::SYN,
        window: 60_000,
        urgent: 0,
        options: syn_options(1460, value),
        payload: Vec::new(),
    };
    let mut player = Player { segment, value, timestamps };
    server.listener = server.stack.listen(Local { address: None, port: PORT }, 5).ok();
    player.play(server, Flags::SYN, Vec::new());
    let meant = player.segment.ack;
    if stages[0] != Stage::Opening {
        let data = stream(player.segment.seq, random.pick(&[0, 0, 100, 1400]));
        player.play(server, Flags::ACK, data);
        server.connection = server.listener.and_then(|listener| server.stack.accept(listener).ok());
        assert!(server.connection.is_some(), "the server believes to be connected");
        if let Some(connection) = server.connection {
            let mut into = [0; 2000];
            let _ = server.stack.recv(connection, &mut into);
        }
        player.bring(server, stages[0]);
    }

    let options = client.stack.options();
    client.connection = client.stack.connect_with(here, Some((None, OTHER_PORT)), None, options).ok();
    // Numbers that have nothing to do with those of the server, or nearly match.
    let distance = random.pick(&[0, 1, 2, 1000, 30_000, 65_536, 1 << 20, 1 << 31, u32::MAX, u32::MAX - 1000]);
    let seq = if random.chance(5_000) { meant.wrapping_add(distance) } else { random.next() as u32 };
    let value = value.wrapping_add(random.pick(&[0, 0, 1, 1 << 30, 1 << 31]));
    player.segment = Segment { source: here, destination: there, seq, ack: 0, ..player.segment };
    player.value = value;
    player.hear(client);
    if stages[1] != Stage::Opening {
        player.segment.options = syn_options(1460, value);
        player.play(client, Flags::SYN | Flags::ACK, Vec::new());
        player.bring(client, stages[1]);
        // What starts it, should both have nothing to say.
        let any = random.next() as u32;
        player.segment.seq = player.segment.seq.wrapping_add(random.pick(&[0, 1, 70_000, u32::MAX, any]));
        player.play(client, Flags::ACK, Vec::new());
    }
    player.segment.ack = player.segment.ack.wrapping_add(random.pick(&[0, 1, u32::MAX]));
    let (flags, packet) = (Flags::ACK, player.segment.clone());
    client.input(&Segment { flags, payload: vec![0; random.pick(&[0, 1])], ..packet }.packet(), START);
    (sides, stages)
}

/// Everything that one sends goes to the other, at once or a little later, for two hours.
fn exchange(sides: &mut [Side; 2], stages: [Stage; 2], random: &mut Random) -> usize {
    let mut now = START;
    let delay = Duration::from_millis(random.pick(&[0, 0, 1, 50]));
    let end = START + Duration::from_secs(7200);
    let (mut frames, mut idle) = (0, false);
    for side in sides.iter_mut() {
        let Some(connection) = side.connection else { continue };
        match random.between(0, 5) {
            0 => {}
            1 => side.stack.close(connection).expect("an open connection"),
            _ => {
                let data: Vec<u8> = (0..random.between(1, 20_000) as u32).map(ours).collect();
                // It may have ended.
                let _ = side.stack.send(connection, &data);
            }
        }
    }
    while now < end && !idle {
        let sent: Vec<_> = sides.iter_mut().map(|side| side.output(now)).collect();
        frames += sent.iter().map(Vec::len).sum::<usize>();
        assert!(frames < 5000, "they still talk at {now:?}, from {stages:?} on");
        let quiet = sent.iter().all(Vec::is_empty);
        if quiet {
            let next = sides.iter_mut().map(|side| side.stack.next_deadline()).min().expect("two sides");
            idle = !next.is_set();
            now = now.max(next.min(end));
            continue;
        }
        now = now + delay;
        for (from, packets) in sent.into_iter().enumerate() {
            for packet in packets {
                sides[1 - from].input(&packet, now);
            }
        }
    }
    assert!(idle, "something is due after two hours, from {stages:?} on");
    frames
}

#[test]
fn two_stacks_that_disagree_fall_silent() {
    let mut random = Random::new(std::env::var("OSTIA_SEED").ok().and_then(|value| value.parse().ok()).unwrap_or(1));
    let count = if std::env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full") { 50_000 } else { 2000 };
    let (mut most, mut all) = (0, 0);
    for _ in 0..count {
        let seed = random.next();
        let mut random = Random::new(seed);
        let v6 = random.chance(5_000);
        let frames = crate::shrink::caught(|| {
            let (mut sides, stages) = confused(&mut random, v6);
            exchange(&mut sides, stages, &mut random)
        });
        let frames = frames.unwrap_or_else(|error| panic!("pair {seed}: {error}"));
        most = most.max(frames);
        all += frames;
    }
    println!("{count} pairs: {all} frames, {most} at most");
    assert!(most > 0, "none ever said anything");
}
