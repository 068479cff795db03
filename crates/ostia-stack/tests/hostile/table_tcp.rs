//! The table of bad input, second part: segments.

use std::time::Duration;

use ostia_stack::{Config, Error, Event, Kind, Reason, State};
use ostia_wire::Flags;

use crate::host::Host;
use crate::packets::{Segment, sack, syn_options};
use crate::setup::{own, peer};
use crate::world::{PORT, ours};

fn syn(port: u16, options: Vec<u8>) -> Segment {
    Segment {
        source: (peer(false, true), port),
        destination: (own(false), PORT),
        seq: 77,
        ack: 0,
        flags: Flags::SYN,
        window: 60_000,
        urgent: 0,
        options,
        payload: Vec::new(),
    }
}

fn plain(mss: u16) -> Vec<u8> {
    [&[2, 4], &mss.to_be_bytes()[..]].concat()
}

#[test]
fn an_option_with_a_length_that_cannot_be_drops_the_segment() {
    let mut host = Host::tun(Config::default());
    let mut flow = host.open(false);
    for options in [vec![2, 0, 5, 180], vec![2, 1, 5, 180], vec![3, 200, 7, 0], vec![8, 10, 0, 0], vec![1, 1, 1, 2]] {
        host.refuses(Reason::TcpOption, &[syn(9, options.clone()).packet()]);
        flow.segment.options = options;
        host.refuses(Reason::TcpOption, &[flow.at(0, Flags::ACK, 10).packet(), flow.at(0, Flags::RST, 0).packet()]);
    }
}

#[test]
fn an_mss_is_taken_no_smaller_than_88_and_no_larger_than_the_path_lets_through() {
    for (told, taken) in [(0, 536), (1, 88), (87, 88), (88, 88), (89, 89), (1460, 1460), (9000, 1460), (65_535, 1460)] {
        let mut host = Host::tun(Config::default());
        let flow = host.open_with(peer(false, true), 1000, plain(told));
        assert_eq!(host.info(&flow).tcpi_snd_mss, taken, "told {told}");
        host.stack.send(flow.handle, &[0; 4000]).expect("room");
        let sent = host.sent();
        assert!(!sent.is_empty() && sent.iter().all(|sent| sent.payload.len() as u32 <= taken), "told {told}");
        assert_eq!(host.stack.drops().total(), 0);
    }
}

#[test]
fn an_acknowledgment_of_what_was_not_sent_counts_for_nothing() {
    let mut host = Host::tun(Config::default());
    let flow = host.open(false);
    host.stack.send(flow.handle, &(0..30_000).map(ours).collect::<Vec<u8>>()).expect("room");
    let flight: u32 = host.sent().iter().map(|sent| sent.payload.len() as u32).sum();
    let before = host.info(&flow);
    for (offset, answered) in [(flight as i32 + 1, true), (flight as i32 + 100_000, false), (i32::MAX, false)] {
        let answers = host.drops(Reason::TcpUnsentAck, &flow.ack(offset).packet());
        // One challenge ACK, and then none for a while.
        assert_eq!(answers.len(), usize::from(answered), "{answers:?}");
        let after = host.info(&flow);
        assert_eq!((after.tcpi_bytes_acked, after.tcpi_snd_cwnd), (before.tcpi_bytes_acked, before.tcpi_snd_cwnd));
    }
    // And then again, with data too.
    host.wait(Duration::from_secs(1));
    let mut data = flow.at(0, Flags::ACK, 10);
    data.ack = data.ack.wrapping_add(flight + 1);
    assert_eq!(host.drops(Reason::TcpUnsentAck, &data.packet()).len(), 1);
    assert_eq!(host.stack.recv(flow.handle, &mut [0; 10]), Err(Error::WouldBlock), "its data counts for nothing either");
}

#[test]
fn optimistic_acks_of_what_is_under_way_cut_no_segment_short() {
    let mut host = Host::tun(Config::default());
    let flow = host.open(false);
    host.stack.send(flow.handle, &(0..200_000).map(ours).collect::<Vec<u8>>()).expect("room");
    let mut flight = host.sent();
    let start = flow.segment.ack;
    // An ACK for each octet: the window must grow as if by the octets, not by the ACKs (RFC 3465).
    let before = host.info(&flow).tcpi_snd_cwnd;
    for octet in 1..=1448 {
        flight.extend(host.feed(&flow.ack(octet).packet()));
    }
    let after = host.info(&flow);
    assert_eq!(after.tcpi_bytes_acked, 1448);
    assert!(after.tcpi_snd_cwnd <= before + 1, "{before} {}", after.tcpi_snd_cwnd);
    let end = flight.iter().map(|sent| sent.end().wrapping_sub(start)).max().expect("segments");
    assert!(end <= 1448 + (after.tcpi_snd_cwnd + 1) * 1448, "{end}");
}

#[test]
fn an_acknowledgment_from_long_ago_counts_for_nothing() {
    let mut host = Host::tun(Config::default());
    let flow = host.open(false);
    assert_eq!(host.drops(Reason::TcpOldAck, &flow.ack(-70_000_000).packet()).len(), 1);
    host.refuses(Reason::TcpOldAck, &[flow.ack(i32::MIN + 1).packet()]);
}

#[test]
fn a_window_may_stay_closed_for_ever_if_the_peer_answers_but_not_past_the_user_timeout() {
    for limit in [None, Some(Duration::from_secs(600))] {
        let mut host = Host::tun(Config::default());
        let mut flow = host.open(false);
        let mut options = host.stack.options();
        options.user_timeout = limit;
        host.stack.set_socket_options(flow.handle, options).expect("an open connection");
        flow.segment.window = 0;
        host.feed(&flow.ack(0).packet());
        host.stack.send(flow.handle, &[ours(0)]).expect("room");
        assert!(host.sent().is_empty(), "the window is closed");
        let mut probes = 0;
        for _ in 0..4 * 3600 {
            for probe in host.wait(Duration::from_secs(1)) {
                assert_eq!(probe.payload.len(), 0);
                probes += 1;
                host.feed(&flow.ack(0).packet());
            }
        }
        let events: Vec<Event> = std::iter::from_fn(|| host.stack.poll_event()).collect();
        let failed = Event { socket: flow.handle, kind: Kind::Failed(Error::TimedOut) };
        match limit {
            None => {
                assert!(probes > 100 && events.is_empty(), "{probes} probes, {events:?}");
                assert_eq!(host.info(&flow).tcpi_state, State::Established);
            }
            Some(_) => assert_eq!((events, probes < 100), (vec![failed], true)),
        }
    }
}

#[test]
fn segments_outside_the_window_are_acknowledged_and_dropped() {
    let mut host = Host::tun(Config::default());
    let flow = host.open(false);
    let window = host.window(&flow);
    for offset in [window, window + 1, 1 << 30] {
        let answers = host.drops(Reason::TcpWindow, &flow.at(offset, Flags::ACK, 10).packet());
        assert_eq!(answers.len(), 1, "at {offset}");
        assert_eq!(answers[0].ack, flow.segment.seq);
    }
    for offset in [-10, i32::MIN] {
        assert_eq!(host.drops(Reason::TcpDuplicate, &flow.at(offset, Flags::ACK, 10).packet()).len(), 1, "at {offset}");
    }
    // Without data: once, and then only after a while, for it may be such an answer itself.
    assert_eq!(host.drops(Reason::TcpWindow, &flow.at(window + 1, Flags::ACK, 0).packet()).len(), 1);
    host.refuses(Reason::TcpWindow, &[flow.at(window + 1, Flags::ACK, 0).packet(), flow.at(-1, Flags::ACK, 0).packet()]);
    host.wait(Duration::from_millis(500));
    assert_eq!(host.drops(Reason::TcpWindow, &flow.at(-1, Flags::ACK, 0).packet()).len(), 1);
}

#[test]
fn a_syn_with_data_opens_and_the_data_is_sent_again() {
    let mut host = Host::tun(Config::default());
    let mut first = syn(9, syn_options(1460, 1));
    first.payload = vec![1; 500];
    let answers = host.feed(&first.packet());
    assert_eq!((answers.len(), answers[0].ack), (1, 78), "the SYN alone is acknowledged");
    assert_eq!((host.stack.census(), host.stack.drops().total()), ((0, 1, 0), 0));
}

#[test]
fn a_syn_that_asks_for_ecn_opens_without_it() {
    let mut host = Host::tun(Config::default());
    let mut first = syn(9, syn_options(1460, 1));
    first.flags = Flags::SYN | Flags::ECE | Flags::CWR;
    let answers = host.feed(&first.packet());
    assert_eq!((answers.len(), answers[0].flags), (1, Flags::SYN | Flags::ACK));
    assert_eq!(host.stack.drops().total(), 0);
}

#[test]
fn a_signature_without_a_key_drops_the_segment() {
    let mut host = Host::tun(Config::default());
    let mut flow = host.open(false);
    let md5 = [&[19, 18][..], &[7; 16]].concat();
    let ao = [&[29, 16][..], &[7; 14]].concat();
    for options in [md5, ao] {
        host.refuses(Reason::TcpSignature, &[syn(9, options.clone()).packet()]);
        flow.segment.options = options;
        host.refuses(Reason::TcpSignature, &[flow.at(0, Flags::ACK, 10).packet(), flow.at(0, Flags::RST, 0).packet()]);
    }
    assert_eq!(host.stack.counters().md5_unexpected, 6);
}

#[test]
fn a_cookie_lives_through_one_rotation_of_the_keys_and_not_through_two() {
    for rotations in 0..3 {
        let mut config = Config::default();
        config.syn_queue = 0;
        let mut host = Host::tun(config);
        let mut segment = syn(9, syn_options(1460, 1));
        let answers = host.feed(&segment.packet());
        assert_eq!((answers.len(), host.stack.census()), (1, (0, 0, 0)), "nothing is kept");
        for _ in 0..rotations {
            host.stack.rotate_cookie_keys();
        }
        (segment.seq, segment.ack, segment.flags) = (78, answers[0].end(), Flags::ACK);
        if rotations < 2 {
            host.feed(&segment.packet());
            assert_eq!((host.stack.census().0, host.stack.drops().total()), (1, 0));
        } else {
            let answers = host.drops(Reason::CookieInvalid, &segment.packet());
            assert_eq!((answers.len(), answers[0].flags, answers[0].seq), (1, Flags::RST, segment.ack));
        }
    }
}

#[test]
fn timestamps_wrap_and_older_ones_are_dropped() {
    let mut host = Host::tun(Config::default());
    let mut flow = host.open_with(peer(false, true), 1000, syn_options(1460, 1000));
    for value in [0x7000_0000, 0xe000_0000, 0xffff_ffff, 0, 5, 0x7fff_ffff, 0x8000_0000] {
        host.feed(&flow.stamped(value, 10).packet());
        flow.advance(10);
        assert_eq!(host.info(&flow).tcpi_bytes_received, u64::from(flow.segment.seq - 5001), "{value:#x}");
        let (one_less, far) = (value.wrapping_sub(1), value.wrapping_sub(0x7fff_ffff));
        assert_eq!(host.drops(Reason::TcpPaws, &flow.stamped(one_less, 10).packet()).len(), 1, "{value:#x}");
        assert_eq!(host.drops(Reason::TcpPaws, &flow.stamped(far, 10).packet()).len(), 1, "{value:#x}");
    }
}

#[test]
fn a_reset_counts_only_at_the_next_number_and_is_challenged_elsewhere_in_the_window() {
    let mut host = Host::tun(Config::default());
    let flow = host.open(false);
    let window = host.window(&flow);
    for (offset, challenges) in [(-1, 0), (1, 1), (window - 1, 1), (window + 1, 0), (i32::MAX, 0), (i32::MIN, 0)] {
        host.wait(Duration::from_secs(1));
        let answers = host.drops(Reason::TcpReset, &flow.at(offset, Flags::RST, 0).packet());
        assert_eq!(answers.len(), challenges, "at {offset}");
        assert!(answers.iter().all(|answer| answer.flags == Flags::ACK && answer.ack == flow.segment.seq));
    }
    host.feed(&flow.at(0, Flags::RST, 0).packet());
    assert_eq!(host.info(&flow).tcpi_state, State::Closed);
    let failed = Event { socket: flow.handle, kind: Kind::Failed(Error::ConnectionReset) };
    assert_eq!(host.stack.poll_event(), Some(failed));
}

#[test]
fn a_syn_on_an_open_connection_is_challenged_wherever_it_is() {
    let mut host = Host::tun(Config::default());
    let flow = host.open(false);
    let window = host.window(&flow);
    for offset in [-1, 0, 1, window - 1, window, window + 1, i32::MIN] {
        for flags in [Flags::SYN, Flags::SYN | Flags::ACK] {
            host.wait(Duration::from_secs(1));
            let answers = host.drops(Reason::TcpSyn, &flow.at(offset, flags, 0).packet());
            assert_eq!(answers.len(), 1, "at {offset}");
            assert_eq!((answers[0].flags, answers[0].ack), (Flags::ACK, flow.segment.seq));
        }
    }
}

#[test]
fn a_fin_behind_more_than_the_window_takes_is_not_there_yet() {
    let mut config = Config::default();
    config.receive_buffer = 4096;
    let mut host = Host::tun(config);
    let mut flow = host.open(false);
    host.feed(&flow.at(0, Flags::FIN | Flags::ACK, 5000).packet());
    flow.advance(4096);
    let info = host.info(&flow);
    assert_eq!((info.tcpi_state, info.tcpi_bytes_received, info.tcpi_rcv_wnd), (State::Established, 4096, 0));
    assert_eq!(host.stack.recv(flow.handle, &mut [0; 5000]), Ok(4096));
    host.sent();
    host.feed(&flow.at(0, Flags::FIN | Flags::ACK, 904).packet());
    assert_eq!(host.info(&flow).tcpi_state, State::CloseWait);
    assert_eq!(host.stack.recv(flow.handle, &mut [0; 5000]), Ok(904));
    assert_eq!(host.stack.recv(flow.handle, &mut [0; 5000]), Ok(0));
}

#[test]
fn an_urgent_pointer_past_the_data_is_told_and_changes_no_byte() {
    let mut host = Host::tun(Config::default());
    let mut flow = host.open(false);
    flow.segment.urgent = 60_000;
    host.feed(&flow.at(0, Flags::ACK | Flags::URG, 10).packet());
    let kinds: Vec<Kind> = std::iter::from_fn(|| host.stack.poll_event()).map(|event| event.kind).collect();
    assert_eq!(kinds, [Kind::Urgent, Kind::Readable]);
    assert_eq!(host.stack.urgent_left(flow.handle), Ok(Some(60_000)));
    let mut into = [0; 20];
    assert_eq!(host.stack.recv(flow.handle, &mut into), Ok(10));
    assert_eq!(into[..10], flow.at(0, Flags::ACK, 10).payload);
    // Again and again: told once, until the program has looked.
    for number in 1..100 {
        flow.segment.urgent = 60_000;
        host.feed(&flow.at(10 * number, Flags::ACK | Flags::URG, 10).packet());
    }
    let kinds: Vec<Kind> = std::iter::from_fn(|| host.stack.poll_event()).map(|event| event.kind).collect();
    assert_eq!(kinds, [Kind::Urgent, Kind::Readable]);
}

#[test]
fn peers_cannot_fill_the_queue_of_events_with_connections_that_nobody_accepts() {
    let mut host = Host::tun(Config::default());
    let mut events = 0;
    for number in 0..1000 {
        let mut segment = syn(9, plain(1460));
        segment.seq = number * 100_000;
        let answers = host.feed(&segment.packet());
        (segment.seq, segment.ack) = (segment.seq + 1, answers[0].end());
        (segment.flags, segment.urgent, segment.payload) = (Flags::ACK | Flags::URG, 1, vec![1]);
        host.feed(&segment.packet());
        (segment.seq, segment.flags) = (segment.seq + 1, Flags::RST);
        host.feed(&segment.packet());
        assert_eq!(host.stack.census(), (0, 0, 0));
    }
    while host.stack.poll_event().is_some() {
        events += 1;
    }
    assert!(events <= 1, "{events} events of connections that nobody knows of");
}

#[test]
fn a_window_scale_above_14_is_taken_as_14() {
    for (told, taken) in [(14, 14), (15, 14), (255, 14)] {
        let mut host = Host::tun(Config::default());
        let flow = host.open_with(peer(false, true), 1000, [plain(1460), vec![1, 3, 3, told]].concat());
        assert_eq!((host.info(&flow).tcpi_snd_wscale, host.stack.drops().total()), (taken, 0));
        let mut flow = flow;
        flow.segment.window = 60_000;
        host.feed(&flow.ack(0).packet());
        assert_eq!(host.info(&flow).tcpi_snd_wnd, 60_000 << 14);
    }
}

#[test]
fn an_option_that_comes_twice_counts_once() {
    let mut host = Host::tun(Config::default());
    let twice = [plain(1000), plain(1200), vec![3, 3, 2, 3, 3, 9, 1, 1]].concat();
    let flow = host.open_with(peer(false, true), 1000, twice[..15].to_vec());
    let info = host.info(&flow);
    assert!([1000, 1200].contains(&info.tcpi_snd_mss) && [2, 9].contains(&info.tcpi_snd_wscale), "{info:?}");
    assert_eq!(host.stack.drops().total(), 0);
}

#[test]
fn a_path_mtu_too_small_to_be_is_bounded_and_one_about_nothing_under_way_not_believed() {
    for (v6, router, kind, floor) in [(false, "203.0.113.1", (3, 4), 552), (true, "2001:db8:f::1", (2, 0), 1280)] {
        let mut host = Host::tun(Config::default());
        let flow = host.open(v6);
        host.stack.send(flow.handle, &(0..5000).map(ours).collect::<Vec<u8>>()).expect("room");
        let sent = host.sent();
        let error = |seq: u32, mtu: u32| {
            let mut quoted = flow.at(0, Flags::ACK, 0);
            (quoted.source, quoted.destination, quoted.seq, quoted.payload) =
                (flow.segment.destination, flow.segment.source, seq, vec![0; 1400]);
            let mut quote = quoted.packet();
            quote.truncate(500);
            crate::packets::icmp(crate::packets::addr(router), flow.segment.destination.0, 60, kind, mtu, &quote)
        };
        let end = sent.last().expect("segments").end();
        for dead in [end, end.wrapping_add(1), flow.segment.ack.wrapping_sub(1), end.wrapping_add(1 << 31)] {
            host.refuses(Reason::IcmpUnbelieved, &[error(dead, 1300)]);
        }
        assert_eq!(host.info(&flow).tcpi_pmtu, 1500);
        if v6 {
            host.refuses(Reason::IcmpUnbelieved, &[error(flow.segment.ack, 68)]);
            assert_eq!(host.info(&flow).tcpi_pmtu, 1500);
        } else {
            let again = host.feed(&error(flow.segment.ack, 68));
            assert_eq!(host.info(&flow).tcpi_pmtu, floor);
            assert!(!again.is_empty() && again.iter().all(|sent| sent.payload.len() <= 512), "{again:?}");
        }
    }
}

#[test]
fn a_peer_that_acknowledges_every_other_octet_selectively_makes_no_work() {
    let mut host = Host::tun(Config::default());
    let mut flow = host.open(false);
    host.stack.send(flow.handle, &(0..14_000).map(ours).collect::<Vec<u8>>()).expect("room");
    let sent = host.sent().len();
    let start = flow.segment.ack;
    flow.segment.options = Vec::new();
    let mut again = 0;
    for octet in (1..13_000).step_by(8) {
        let blocks: Vec<_> = (0..4).map(|block| (start + octet + 2 * block, start + octet + 2 * block + 1)).collect();
        flow.segment.options = sack(&blocks);
        again += host.feed(&flow.ack(0).packet()).len();
    }
    // A segment arrives whole or not at all, so that nothing of this is believed.
    assert_eq!(host.info(&flow).tcpi_sacked, 0);
    assert!(again <= 2 * sent, "{again} segments for {sent}");
    // And what is true still counts.
    flow.segment.options = Vec::new();
    host.feed(&flow.ack(14_000).packet());
    assert_eq!(host.info(&flow).tcpi_bytes_acked, 14_000);
}
