//! Connections without a wire: segments go in and come out as parts, and the record can be put into states that a script would
//! need gigabytes or weeks for.

use core::time::Duration;
use std::vec::Vec;

use ostia_wire::arp::{Arp, Operation};
use ostia_wire::{Flags, Frame, TcpOptions};

use super::bench::*;
use super::*;
use crate::drops::Reason;
use crate::ip::NeighbourState;
use crate::ip::testing::{Host, L, OWN, PEER, framed};
use crate::tcp::options::Keepalive;
use crate::tcp::segment::Segment;

#[test]
fn after_four_gigabytes_the_queue_has_no_syn_in_front() {
    let mut bench = Bench::open();
    assert_eq!(bench.connection.syn_octets(), 0);
    // 2^32 octets are sent and acknowledged: SND.UNA is ISS once more.
    let connection = &mut bench.connection;
    (connection.snd_una, connection.snd_nxt, connection.snd_wl2) = (ISS, ISS, ISS);
    bench.send(100);
    assert_eq!((bench.connection.queue_end(), bench.connection.unsent()), (ISS + 100, 100));
    let sent = bench.transmit();
    assert_eq!((sent[0].seq, sent[0].len), (ISS, 100));
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 100, 60_000, b"")), Ok(()));
    assert_eq!((bench.connection.totals.bytes_acked, bench.connection.queue.len()), (100, 0));
}

#[test]
fn sack_blocks_stand_in_every_segment_of_a_super_segment() {
    let mut bench = Bench::open();
    bench.connection.route.as_mut().expect("a route").gso_max = 60_000;
    assert_eq!(bench.arrive(segment(Flags::ACK, 101, 1, 60_000, &[1; 100])), Ok(()));
    bench.send(4 * 1448);
    let sent = bench.transmit();
    // The link takes none, so it has been cut. A block and its length take 12 octets of each segment.
    assert_eq!(sent.iter().map(|sent| (sent.len, sent.options.sack.as_slice().len())).collect::<Vec<_>>(), [(1448, 1); 4]);
    assert_eq!(bench.connection.records.first().map(|record| record.segment), Some(1448));
    // And so of those that are sent again.
    bench.expire();
    let again = bench.transmit();
    assert_eq!(again[0].len, 1448);
}

#[test]
fn a_duplicate_is_told_of_though_unsent_data_waits() {
    let mut bench = Bench::open();
    bench.connection.snd_wnd = 0;
    bench.send(100);
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 0, &[1; 100])), Ok(()));
    assert_eq!(bench.transmit().len(), 1);
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 0, &[1; 100])), Err(Reason::TcpDuplicate));
    let sent = bench.transmit();
    assert_eq!(sent[0].options.sack.as_slice(), [((IRS + 1).0, (IRS + 101).0)]);
}

#[test]
fn an_acknowledgment_that_covers_a_retransmission_measures_nothing() {
    let mut bench = Bench::open_with(Config::default(), TcpOptions { sack_permitted: false, ..offer() });
    bench.send(4 * 1460);
    bench.transmit();
    let before = bench.connection.rtt.srtt();
    for _ in 0..3 {
        assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 60_000, b"")), Ok(()));
    }
    assert_eq!(bench.transmit().len(), 1, "the first again");
    bench.wait(Duration::from_millis(150));
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1 + 4 * 1460, 60_000, b"")), Ok(()));
    assert_eq!(bench.connection.rtt.srtt(), before);
}

#[test]
fn a_hole_that_is_on_its_way_again_is_not_sent_a_third_time() {
    let mut bench = Bench::open();
    bench.send(8 * 1460);
    bench.transmit();
    let at = |number: u32| 1 + number * 1460;
    let sacking = |ack: u32, blocks: &[(u32, u32)]| {
        let mut options = TcpOptions::default();
        for &(left, right) in blocks {
            assert!(options.sack.push((ISS + at(left)).0, (ISS + at(right)).0));
        }
        Segment { options, ..segment(Flags::ACK, 1, at(ack), 60_000, b"") }
    };
    // The first and the third are lost, and sent again.
    assert_eq!(bench.arrive(sacking(0, &[(3, 7), (1, 2)])), Ok(()));
    let again: Vec<Seq> = bench.transmit().iter().map(|sent| sent.seq).collect();
    assert_eq!(again, [ISS + at(0), ISS + at(2)]);
    assert_eq!(bench.arrive(sacking(2, &[(3, 7)])), Ok(()));
    assert_eq!(bench.transmit(), []);
}

#[test]
fn duplicates_of_what_was_sent_twice_are_no_loss() {
    let mut bench = Bench::open_with(Config::default(), TcpOptions { sack_permitted: false, ..offer() });
    bench.send(4 * 1460);
    bench.transmit();
    bench.expire();
    bench.transmit();
    // All of it had arrived. More is sent, and then the duplicates of the retransmissions are acknowledged.
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1 + 4 * 1460, 60_000, b"")), Ok(()));
    bench.send(2 * 1460);
    assert_eq!(bench.transmit().len(), 2);
    for _ in 0..3 {
        assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1 + 4 * 1460, 60_000, b"")), Ok(()));
    }
    assert_eq!((bench.connection.recovery, bench.transmit()), (Recovery::Open, std::vec![]));
    // Once something beyond it is acknowledged they count again.
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1 + 5 * 1460, 60_000, b"")), Ok(()));
    for _ in 0..3 {
        assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1 + 5 * 1460, 60_000, b"")), Ok(()));
    }
    assert!(matches!(bench.connection.recovery, Recovery::Fast(_)));
}

#[test]
fn the_window_of_a_syn_ack_that_crossed_ours_is_not_scaled() {
    let mut bench = Bench::connecting(Config::default());
    let syn = Segment { options: offer(), ..segment(Flags::SYN, 0, 0, 50_000, b"") };
    assert_eq!(bench.arrive(syn), Ok(()));
    assert_eq!(bench.connection.state, State::SynReceived);
    assert_eq!(bench.transmit()[0].flags, Flags::SYN | Flags::ACK);
    let answer = Segment { options: offer(), ..segment(Flags::SYN | Flags::ACK, 0, 1, 50_000, b"data") };
    assert_eq!(bench.arrive(answer), Ok(()));
    assert_eq!((bench.connection.state, bench.connection.snd_wnd), (State::Established, 50_000));
    assert_eq!((bench.connection.received.len(), bench.connection.rcv_nxt), (4, IRS + 5));
    assert_eq!(bench.arrive(segment(Flags::ACK, 5, 1, 500, b"")), Ok(()));
    assert_eq!(bench.connection.snd_wnd, 500 << 7);
}

/// The offer with timestamps, and a segment with one.
fn stamped(value: u32, segment: Segment) -> Segment {
    let timestamps = Some(Timestamps { value, echo: 0 });
    Segment { options: TcpOptions { timestamps, ..segment.options }, ..segment }
}

fn open_stamped(config: Config) -> Bench {
    let timestamps = Some(Timestamps { value: 1000, echo: 0 });
    let mut bench = Bench::connecting(config);
    let answer = segment(Flags::SYN | Flags::ACK, 0, 1, 60_000, b"");
    assert_eq!(bench.arrive(Segment { options: TcpOptions { timestamps, ..offer() }, ..answer }), Ok(()));
    bench.transmit();
    bench
}

#[test]
fn a_timestamp_that_is_outdated_gives_way_to_an_earlier_one() {
    let mut bench = open_stamped(Config::default());
    bench.wait(Duration::from_secs(24 * 24 * 3600));
    // The peer's clock has gone on by more than half its range: its time looks earlier.
    let wrapped = 1000 + (1 << 31) + 5;
    assert_eq!(bench.arrive(stamped(wrapped, segment(Flags::ACK, 1, 1, 60_000, b""))), Ok(()));
    assert_eq!(bench.connection.ts_recent, wrapped);
    // From now on it protects again.
    assert_eq!(bench.arrive(stamped(wrapped - 1, segment(Flags::ACK, 1, 1, 60_000, b""))), Err(Reason::TcpPaws));
}

#[test]
fn a_peer_that_takes_its_window_back_and_answers_is_not_given_up() {
    let mut bench = Bench::open();
    bench.send(1460);
    bench.transmit();
    for _ in 0..40 {
        assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 0, b"")), Ok(()));
        bench.expire();
        assert_eq!(bench.transmit().len(), 1, "the probe is the data");
    }
    assert_eq!(bench.connection.state, State::Established);
    // Once it falls silent it is.
    let silent = (0..40).take_while(|_| {
        bench.expire();
        bench.transmit();
        !bench.connection.facts.dead
    });
    assert_eq!(silent.count(), 14, "15 retries, of which the first has been made");
    assert_eq!(bench.connection.error, Some(Error::TimedOut));
}

#[test]
fn a_closed_window_does_not_keep_a_connection_without_a_program() {
    for queued in [0, 1460] {
        let mut bench = Bench::open();
        bench.send(queued);
        bench.transmit();
        assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 0, b"")), Ok(()));
        bench.send(10);
        bench.context(Connection::close);
        bench.transmit();
        let mut probes = 0;
        while !bench.connection.facts.dead {
            bench.expire();
            let sent = bench.transmit();
            if bench.connection.facts.dead {
                break;
            }
            probes += sent.len();
            assert!(probes < 20, "it goes on for ever");
            assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 0, b"")), Ok(()));
        }
        assert_eq!(probes, 8);
    }
}

#[test]
fn probes_of_a_closed_window_are_not_those_of_keepalive() {
    let mut bench = Bench::open();
    let keepalive = Keepalive { idle: Duration::from_secs(1), interval: Duration::from_secs(1), count: 1 };
    let options = Options { keepalive: Some(keepalive), ..bench.connection.options };
    let now = bench.host.env.now;
    bench.connection.set_options(options, now);
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 0, b"")), Ok(()));
    bench.send(10);
    bench.transmit();
    for _ in 0..12 {
        bench.expire();
        bench.transmit();
    }
    assert!(bench.connection.probes > 3 && bench.host.env.counters.keepalives == 0);
    assert_eq!(bench.connection.state, State::Established);
}

#[test]
fn a_small_segment_of_long_ago_holds_nothing_back() {
    let mut bench = Bench::open();
    bench.connection.small_sent = bench.connection.snd_una - ((1 << 31) + 1);
    bench.send(1460 + 10);
    assert_eq!(bench.transmit().iter().map(|sent| sent.len).collect::<Vec<_>>(), [1460, 10]);
    bench.send(10);
    assert_eq!(bench.transmit(), [], "that one is under way");
}

#[test]
fn the_program_is_told_when_the_urgent_pointer_comes_and_when_it_advances() {
    let mut bench = Bench::open();
    let urgents = |bench: &mut Bench| {
        let events = core::iter::from_fn(|| bench.host.env.events.pop());
        events.filter(|event| event.kind == crate::Kind::Urgent).count()
    };
    let urgent = |seq: u32, pointer: u16| {
        let segment = segment(Flags::ACK | Flags::URG, seq, 1, 60_000, b"0123456789");
        Segment { urgent: pointer, ..segment }
    };
    // However much has come since the last urgent data.
    bench.connection.rcv_up = bench.connection.rcv_nxt - ((1 << 31) + 1);
    assert_eq!((bench.arrive(urgent(1, 20)), urgents(&mut bench)), (Ok(()), 1));
    assert_eq!(bench.connection.urgent_left(), Some(20));
    assert_eq!((bench.arrive(urgent(11, 30)), urgents(&mut bench)), (Ok(()), 0), "the program hasn't looked yet");
    assert_eq!(bench.connection.recv(&mut [0; 5], &mut bench.host.env), Ok(5));
    assert_eq!((bench.arrive(urgent(21, 10)), urgents(&mut bench)), (Ok(()), 0), "it goes back");
    assert_eq!(bench.connection.urgent_left(), Some(35));
    assert_eq!((bench.arrive(urgent(31, 30)), urgents(&mut bench)), (Ok(()), 1));
    assert_eq!(bench.connection.urgent_left(), Some(55));
}

#[test]
fn acknowledgments_stay_within_a_window_that_was_taken_back() {
    let mut bench = Bench::open();
    bench.send(4 * 1460);
    bench.transmit();
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 8, b"x")), Ok(()));
    assert_eq!(bench.transmit()[0].seq, ISS + 1 + (8 << 7));
    // As much farther as the scale hides is no sign of that.
    assert_eq!(bench.arrive(segment(Flags::ACK, 2, 1, 45, b"x")), Ok(()));
    let sent = bench.transmit();
    assert_eq!((sent[0].seq, sent[0].ack), (ISS + 1 + 4 * 1460, IRS + 3));
    assert_eq!(bench.arrive(segment(Flags::ACK, 3, 1, 8, b"")), Ok(()));
    bench.context(Connection::abort);
    assert_eq!(bench.taken()[0].seq, ISS + 1 + (8 << 7));
}

#[test]
fn closing_with_data_unread_does_not_cut_time_wait_short() {
    let mut bench = Bench::open();
    assert_eq!(bench.context(|connection, context| connection.shutdown(crate::How::Write, context)), Ok(()));
    bench.transmit();
    let used = bench.host.env.memory.used();
    assert_eq!(bench.arrive(segment(Flags::ACK | Flags::FIN, 1, 2, 60_000, &[1; 1000])), Ok(()));
    bench.transmit();
    bench.context(Connection::close);
    assert_eq!((bench.connection.state, bench.connection.facts.dead), (State::TimeWait, false));
    assert_eq!((bench.taken(), bench.host.env.memory.used()), (std::vec![], used));
}

#[test]
fn aborting_tells_the_peer_unless_both_sides_have_ended() {
    for (state, told) in [
        (State::SynReceived, true),
        (State::Established, true),
        (State::FinWait1, true),
        (State::FinWait2, true),
        (State::CloseWait, true),
        (State::Closing, false),
        (State::LastAck, false),
        (State::TimeWait, false),
    ] {
        let mut bench = Bench::open();
        bench.connection.state = state;
        bench.context(Connection::abort);
        assert_eq!((bench.taken().len(), bench.connection.facts.dead), (usize::from(told), true), "{state}");
    }
}

#[test]
fn what_a_router_said_is_forgotten_once_the_peer_is_heard() {
    for heard in [false, true] {
        let mut bench = Bench::open();
        bench.send(10);
        bench.transmit();
        bench.connection.soft_error = Some(Error::HostUnreachable);
        if heard {
            assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 60_000, b"")), Ok(()));
        }
        while !bench.connection.facts.dead {
            bench.expire();
            bench.transmit();
        }
        let error = if heard { Error::TimedOut } else { Error::HostUnreachable };
        assert_eq!(bench.connection.error, Some(error));
    }
}

#[test]
fn a_window_opens_when_nothing_more_is_to_be_read() {
    let mut bench = Bench::open();
    let mut seq = 1;
    while bench.connection.rcv_wnd() > 0 {
        let count = bench.connection.rcv_wnd().min(1460);
        assert_eq!(bench.arrive(segment(Flags::ACK, seq, 1, 60_000, &[1; 1460][..count as usize])), Ok(()));
        bench.transmit();
        seq += count;
    }
    assert_eq!(bench.context(|connection, context| connection.shutdown(crate::How::Read, context)), Ok(()));
    let sent = bench.transmit();
    assert_eq!(sent.iter().map(|sent| (sent.ack, sent.window > 0)).collect::<Vec<_>>(), [(IRS + seq, true)]);
}

#[test]
fn room_is_not_told_of_without_a_program() {
    let mut bench = Bench::open();
    bench.send(256 << 10);
    assert_eq!(bench.connection.send(b"x", &mut bench.host.env), Err(Error::WouldBlock));
    bench.context(Connection::close);
    while bench.host.env.events.pop().is_some() {}
    let sent = bench.transmit().iter().map(|sent| sent.len).sum::<u32>();
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1 + sent, 60_000, b"")), Ok(()));
    while !bench.connection.queue.is_empty() {
        let sent = bench.transmit().iter().map(|sent| sent.len).sum::<u32>();
        let una = bench.connection.snd_una.since(ISS);
        assert_eq!(bench.arrive(segment(Flags::ACK, 1, una + sent, 60_000, b"")), Ok(()));
    }
    assert_eq!(bench.host.env.events.pop(), None);
}

#[test]
fn a_fin_that_comes_again_is_acknowledged_each_time() {
    let mut bench = Bench::open();
    assert_eq!(bench.arrive(segment(Flags::ACK | Flags::FIN, 1, 1, 60_000, b"")), Ok(()));
    assert_eq!(bench.transmit().len(), 1);
    for _ in 0..3 {
        bench.wait(Duration::from_millis(50));
        assert_eq!(bench.arrive(segment(Flags::ACK | Flags::FIN, 1, 1, 60_000, b"")), Err(Reason::TcpWindow));
        assert_eq!(bench.transmit().len(), 1);
    }
    // A pure ACK from before the window is not.
    assert_eq!(bench.arrive(segment(Flags::ACK, 0, 1, 60_000, b"")), Err(Reason::TcpWindow));
    assert_eq!(bench.transmit().len(), 1);
    assert_eq!(bench.arrive(segment(Flags::ACK, 0, 1, 60_000, b"")), Err(Reason::TcpWindow));
    assert_eq!(bench.transmit(), []);
}

#[test]
fn what_memory_has_no_room_for_is_not_told_of() {
    let mut bench = Bench::open();
    assert_eq!(bench.arrive(segment(Flags::ACK, 1461, 1, 60_000, b"0123456789")), Ok(()));
    assert_eq!(bench.transmit()[0].options.sack.as_slice().len(), 1);
    let memory = &mut bench.host.env.memory;
    let taken = memory.limit() - memory.used() - 2500;
    memory.force(taken);
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 60_000, &[1; 1460])), Ok(()));
    let sent = bench.transmit();
    assert_eq!((sent[0].ack, sent[0].options.sack.as_slice().len()), (IRS + 1461, 0));
    assert!(bench.connection.beyond.is_none());
    // Once there is room the peer sends it again.
    bench.host.env.memory.give(taken);
    assert_eq!(bench.arrive(segment(Flags::ACK, 1461, 1, 60_000, b"0123456789")), Ok(()));
    assert_eq!(bench.transmit()[0].ack, IRS + 1471);
    bench.context(Connection::abort);
    bench.connection.received.clear(&mut bench.host.env.memory);
    assert_eq!((bench.connection.charged, bench.host.env.memory.used()), (0, 0));
}

#[test]
fn the_scale_of_windows_is_what_the_syn_said() {
    let mut bench = Bench::connecting(Config::default());
    let scale = bench.connection.rcv_scale;
    let options = Options { receive_buffer: 1 << 30, ..bench.connection.options };
    let now = bench.host.env.now;
    bench.connection.set_options(options, now);
    bench.expire();
    assert_eq!(bench.transmit()[0].options.window_scale, Some(scale));
    let answer = Segment { options: offer(), ..segment(Flags::SYN | Flags::ACK, 0, 1, 60_000, b"") };
    assert_eq!(bench.arrive(answer), Ok(()));
    assert_eq!((bench.connection.snd_scale, bench.connection.rcv_scale), (7, scale));
}

#[test]
fn windows_are_scaled_by_both_sides_or_by_none() {
    let bench = Bench::open_with(Config::default(), TcpOptions { window_scale: None, ..offer() });
    assert_eq!((bench.connection.snd_scale, bench.connection.rcv_scale), (0, 0));
    let config = Config { window_scaling: false, ..Config::default() };
    let bench = Bench::open_with(config, offer());
    assert_eq!((bench.connection.snd_scale, bench.connection.rcv_scale), (0, 0));
}

#[test]
fn the_scale_of_an_accepted_connection_is_what_the_syn_ack_said() {
    let mut bench = Bench::open();
    let offer = Offer { mss: 1460, scale: Some(7), sack: true, timestamp: None };
    let half = HalfOpen::new(tuple(), bench.connection.key, (ISS, IRS), (1000, 2000), &offer, Some(3));
    let options = Options { receive_buffer: 1 << 30, ..Options::new(&bench.host.env.config) };
    let connection = bench.context(|_, context| Connection::passive(&half, 0, options, context));
    assert_eq!((connection.snd_scale, connection.rcv_scale), (7, 3));
}

#[test]
fn the_program_is_told_of_trouble_once_until_the_peer_is_heard() {
    let mut bench = Bench::open();
    let told_at = |bench: &mut Bench| {
        let mut when = Vec::new();
        for retry in 1..=5 {
            bench.expire();
            bench.transmit();
            while let Some(event) = bench.host.env.events.pop() {
                if let crate::Kind::Trouble(error) = event.kind {
                    when.push((retry, error));
                }
            }
        }
        when
    };
    bench.send(10);
    bench.transmit();
    assert_eq!(told_at(&mut bench), [(3, Error::TimedOut)]);
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 11, 60_000, b"")), Ok(()));
    bench.send(10);
    bench.transmit();
    assert_eq!(told_at(&mut bench), [(3, Error::TimedOut)]);
    (bench.connection.facts.owned, bench.connection.facts.told_trouble) = (false, false);
    bench.context(|connection, context| connection.tell_trouble(Error::TimedOut, context));
    assert_eq!(bench.host.env.events.pop(), None);
}

#[test]
fn a_next_hop_is_doubted_after_three_retransmissions() {
    let host = Host::ethernet();
    let options = Options::new(&host.env.config);
    let connection = Connection::active(tuple(), ISS, 0, options, &host.env);
    let mut bench = Bench { host, challenges: BlurredLimiter::new(1000), connection };
    let send = |bench: &mut Bench| bench.context(|connection, context| connection.transmit(&mut 100, usize::MAX, context));
    let state = |bench: &Bench| bench.host.ip.neighbours(L, bench.host.env.now).next().map(|neighbour| neighbour.state);
    send(&mut bench);
    let (sender_ip, target_ip) = (tuple().remote.v4().expect("IPv4"), tuple().local.v4().expect("IPv4"));
    let reply = Arp { operation: Operation::Reply, sender_mac: PEER, sender_ip, target_mac: OWN, target_ip };
    let mut frame = Frame::new(28);
    reply.emit(frame.extend_zeroed(28));
    bench.host.input(framed(OWN, frame));
    for expected in [NeighbourState::Reachable, NeighbourState::Reachable, NeighbourState::Stale] {
        bench.expire();
        assert_eq!(state(&bench), Some(expected));
        send(&mut bench);
    }
}

/// RFC 5681, 4.2: without SACK the peer counts duplicates, so each segment of a batch is answered; with SACK one answer says
/// all.
#[test]
fn a_batch_beyond_a_gap_earns_a_duplicate_for_each_segment_without_sack() {
    for (sack, answers) in [(false, 3), (true, 1)] {
        let mut bench = Bench::open_with(Config::default(), TcpOptions { sack_permitted: sack, ..offer() });
        for number in 1..4 {
            assert_eq!(bench.arrive(segment(Flags::ACK, 1 + 100 * number, 1, 60_000, &[7; 100])), Ok(()));
        }
        let sent = bench.transmit();
        assert_eq!(sent.len(), answers, "{sent:?}");
        assert!(sent.iter().all(|sent| sent.ack == IRS + 1 && sent.len == 0));
        assert_eq!(bench.transmit(), []);
    }
}

#[test]
fn an_urgent_pointer_counts_though_the_window_is_closed() {
    let mut bench = Bench::open();
    bench.connection.rcv_edge = bench.connection.rcv_nxt;
    let probe = Segment { urgent: 100, ..segment(Flags::ACK | Flags::URG, 1, 1, 60_000, b"x") };
    assert_eq!(bench.arrive(probe), Err(Reason::TcpWindow));
    assert_eq!((bench.connection.urgent_left(), bench.connection.received.len()), (Some(100), 0));
}

#[test]
fn the_window_of_an_accepted_connection_is_what_the_syn_ack_said() {
    let mut bench = Bench::open();
    let offer = Offer { mss: 1460, scale: Some(7), sack: true, timestamp: None };
    let half = HalfOpen::new(tuple(), bench.connection.key, (ISS, IRS), (1000, 2000), &offer, Some(0));
    // The listener has other buffers by now.
    let options = Options { receive_buffer: 50_000, ..Options::new(&bench.host.env.config) };
    let connection = bench.context(|_, context| Connection::passive(&half, 0, options, context));
    assert_eq!((connection.snd_wnd, connection.rcv_wnd()), (1000, 2000));
}

#[test]
fn segments_that_sack_blocks_cut_short_are_too_long_for_a_shorter_path_as_well() {
    let mut bench = Bench::open();
    assert_eq!(bench.arrive(segment(Flags::ACK, 101, 1, 60_000, &[1; 100])), Ok(()));
    bench.send(1448 + 700);
    let lengths = |sent: Vec<Sent>| sent.iter().map(|sent| sent.len).collect::<Vec<_>>();
    assert_eq!(lengths(bench.transmit()), [1448, 700]);
    // With its block the first took 1500 bytes; the second fits.
    bench.context(|connection, context| connection.path_shrank(connection.tuple.remote, 1495, context));
    assert_eq!(lengths(bench.transmit()), [1443, 5]);
}

#[test]
fn what_is_kept_of_duplicates_counts() {
    let mut bench = Bench::open();
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 60_000, &[1; 100])), Ok(()));
    bench.transmit();
    let before = bench.host.env.memory.used();
    assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 60_000, &[1; 100])), Err(Reason::TcpDuplicate));
    assert_eq!(bench.host.env.memory.used(), before + size_of::<Beyond>());
    bench.transmit();
    assert_eq!(bench.host.env.memory.used(), before);
}
