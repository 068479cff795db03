//! Facts of whole stories: what is shown is what was sent, states change only as RFC 9293 lets them, losses are made good.

use std::collections::BTreeSet;

use ostia_stack::{Direction, Instant, Layer, State};
use ostia_wire::{Checksum, EtherType, Ethernet, Flags, Ipv4, Ipv6, Tcp};

use super::story::{CLIENT, Plan, SERVER, Story, What, segment_of_frame};
use super::{capture, facts, headers, journey, states, tale, world};
use crate::args::Closing;

const SEEDS: [u64; 5] = [0, 1, 2, 77, u64::MAX];
const CLOSINGS: [Closing; 4] = [Closing::Active, Closing::Passive, Closing::Simultaneous, Closing::Reset];

fn plan() -> Plan {
    Plan { text: b"what is sent".to_vec(), v6: false, close: Closing::Active, lose: Vec::new(), seed: 1 }
}

fn tell(plan: Plan) -> Story {
    world::tell(&plan).unwrap()
}

/// Every story of a set: both versions of IP, each ending, each seed.
fn each(mut look: impl FnMut(&Story)) {
    for seed in SEEDS {
        for v6 in [false, true] {
            for close in CLOSINGS {
                look(&tell(Plan { v6, close, seed, ..plan() }));
            }
        }
    }
}

/// Each state change is one that RFC 9293 has, and begins where the one before ended.
fn assert_states(story: &Story) {
    for side in [CLIENT, SERVER] {
        let changes: Vec<_> = story.states(side).collect();
        for pair in changes.windows(2) {
            assert_eq!(pair[0].2, pair[1].1, "{changes:?}");
        }
        for (_, from, to, cause) in changes {
            assert!(states::edge_of(from, to, cause).is_some(), "{from} to {to} by {cause}");
        }
    }
}

fn path(story: &Story, side: usize) -> Vec<State> {
    story.states(side).map(|(_, _, to, _)| to).collect()
}

/// The bytes in the rows that a page shows behind a line, up to the next that is no row.
fn shown<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<u8> {
    let is_row =
        |line: &str| line.len() > 10 && line.starts_with("    ") && line[4..8].bytes().all(|byte| byte.is_ascii_hexdigit());
    let rows = lines.skip_while(|line| !is_row(line)).take_while(|line| is_row(line));
    let hex: Vec<String> = rows.map(|row| row.get(10..58.min(row.len())).unwrap_or_default().to_owned()).collect();
    let digits: Vec<&str> = hex.iter().flat_map(|row| row.split_whitespace()).collect();
    digits.iter().map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn every_state_change_is_one_that_the_rfc_has_and_each_ending_is_as_asked() {
    use State::{
        CloseWait, Closed, Closing as Crossed, Established, FinWait1, FinWait2, LastAck, SynReceived, SynSent, TimeWait,
    };
    each(|story| {
        assert_states(story);
        let first = [FinWait1, FinWait2, TimeWait, Closed];
        let second = [CloseWait, LastAck, Closed];
        let crossed = [FinWait1, Crossed, TimeWait, Closed];
        let (client, server): (&[State], &[State]) = match story.plan.close {
            Closing::Active => (&first, &second),
            Closing::Passive => (&second, &first),
            Closing::Simultaneous => (&crossed, &crossed),
            Closing::Reset => (&[Closed], &[Closed]),
        };
        assert_eq!(path(story, CLIENT), [&[SynSent, Established], client].concat());
        assert_eq!(path(story, SERVER), [&[SynReceived, Established], server].concat());
    });
}

#[test]
fn the_bytes_that_are_shown_are_those_that_went_over_the_link() {
    each(|story| {
        let page = tale::write(story, 80, false);
        let journey = journey::follow(story).unwrap();
        let mut lines = page.lines();
        lines.find(|line| line.starts_with("3. ")).unwrap();
        // Going down, the innermost comes first; the frame stands whole behind them.
        let (text, transport, network, link) = (shown(&mut lines), shown(&mut lines), shown(&mut lines), shown(&mut lines));
        let frame = shown(&mut lines);
        assert_eq!([link, network, transport, text].concat(), frame);
        assert_eq!(frame, journey.sent.bytes);
        lines.find(|line| line.starts_with("4. ")).unwrap();
        let up: Vec<u8> = (0..4).flat_map(|_| shown(&mut lines)).collect();
        assert_eq!(up, frame);
        // And they are what was asked for.
        let ethernet = Ethernet::parse(&frame).unwrap();
        assert_eq!(ethernet.ethertype(), if story.plan.v6 { EtherType::IPV6 } else { EtherType::IPV4 });
        let payload = match story.plan.v6 {
            true => Ipv6::parse(ethernet.payload()).unwrap().payload(),
            false => Ipv4::parse(ethernet.payload()).unwrap().payload(),
        };
        let tcp = Tcp::parse(payload).unwrap();
        let [from, to] = story.hosts.map(|host| host.address.ip());
        assert!(tcp.verify_checksum(from, to));
        assert_eq!((tcp.payload(), tcp.source_port()), (&story.plan.text[..], story.hosts[CLIENT].port));
    });
}

#[test]
fn the_fields_of_a_header_cover_every_bit_of_it_once() {
    each(|story| {
        for frame in &story.frames {
            for header in headers::of_frame(&frame.bytes) {
                let mut next = 0;
                for field in &header.fields {
                    assert_eq!(field.bits.start, next, "{} in {}", field.name, header.name);
                    assert!(!field.meaning.is_empty() && !field.rule.is_empty());
                    next = field.bits.end;
                }
                assert_eq!(next, header.bytes.len() * 8, "{}", header.name);
            }
        }
    });
}

#[test]
fn the_neighbour_is_found_before_anything_is_sent_to_it() {
    each(|story| {
        let kinds: Vec<String> = story.told().take(2).map(|frame| headers::summary(&frame.bytes)).collect();
        let protocol = if story.plan.v6 { "NDP: " } else { "ARP: " };
        assert!(kinds.iter().all(|kind| kind.starts_with(protocol)), "{kinds:?}");
        let third = story.told().nth(2).and_then(|frame| segment_of_frame(&frame.bytes)).unwrap();
        assert_eq!(third.flags, Flags::SYN);
        let page = tale::write(story, 80, false);
        let mut lines = page.lines();
        lines.find(|line| line.starts_with("Frame 1: ")).unwrap();
        assert_eq!(shown(&mut lines), story.told().next().unwrap().bytes);
    });
}

#[test]
fn every_frame_that_is_lost_alone_is_made_good() {
    for v6 in [false, true] {
        for close in CLOSINGS {
            let all = tell(Plan { v6, close, ..plan() }).told().count();
            for lost in 1..=all {
                let story = tell(Plan { v6, close, lose: vec![lost], ..plan() });
                assert_states(&story);
                let frame = story.told().find(|frame| frame.number == lost).unwrap();
                assert!(frame.lost);
                let carries = segment_of_frame(&frame.bytes).is_some_and(|segment| segment.sequence_len() > 0);
                let again = story.told().any(|frame| frame.number > lost && frame.again.is_some());
                // A lost SYN-ACK is made good by the SYN sent again, too.
                assert!(!carries || again, "frame {lost}, {close:?}");
                let received: usize = story
                    .entries
                    .iter()
                    .filter_map(|entry| match &entry.what {
                        What::Passes { layer: Layer::Socket, direction: Direction::Up, bytes } => Some(bytes.len()),
                        _ => None,
                    })
                    .sum();
                assert_eq!(received, story.plan.text.len(), "frame {lost}, {close:?}");
                let page = tale::write(&story, 80, false);
                assert!(page.contains("X lost") || page.contains("lost X"), "{page}");
                assert!(page.contains("What was lost") && (!carries || page.contains("again")), "{page}");
                assert!(path(&story, CLIENT).ends_with(&[State::Closed]), "frame {lost}, {close:?}");
            }
        }
    }
}

#[test]
fn a_server_that_is_never_found_fails_the_connection() {
    for v6 in [false, true] {
        // The SYN is sent again several times, and each time the server is asked for again.
        let lost = (1..100).map(|most| world::tell(&Plan { v6, lose: (1..=most).collect(), ..plan() }));
        let story = lost.map_while(Result::ok).find(|story| journey::follow(story).is_none()).unwrap();
        assert_states(&story);
        let failed = story.entries.iter().any(|entry| matches!(entry.what, What::Failed(ostia_stack::Error::HostUnreachable)));
        let page = tale::write(&story, 80, false);
        assert!(failed && page.contains("Nobody answered") && page.contains("never opened"), "{page}");
    }
}

#[test]
fn a_text_of_several_segments_arrives_whole_whatever_is_lost() {
    let text: Vec<u8> = (0..6000).map(|at| b'a' + (at % 23) as u8).collect();
    let reasons: BTreeSet<&str> = (1..=14)
        .flat_map(|lost| {
            let story = tell(Plan { text: text.clone(), lose: vec![lost], ..plan() });
            assert_states(&story);
            let mut received = Vec::new();
            for entry in &story.entries {
                if let What::Passes { layer: Layer::Socket, direction: Direction::Up, bytes } = &entry.what {
                    received.extend_from_slice(bytes);
                }
            }
            assert_eq!(received, text);
            assert!(!tale::write(&story, 80, false).is_empty());
            story.told().filter_map(|frame| frame.again).map(|again| again.why()).collect::<Vec<_>>()
        })
        .collect();
    assert!(reasons.len() >= 3, "{reasons:?}");
}

#[test]
fn a_frame_that_is_never_sent_cannot_be_lost() {
    let failure = world::tell(&Plan { lose: vec![2000], ..plan() }).unwrap_err();
    assert!(failure.code == 2 && failure.what.contains("2000"), "{failure}");
}

#[test]
fn the_same_arguments_give_the_same_page_and_another_seed_another() {
    let page = |seed| tale::write(&tell(Plan { seed, ..plan() }), 80, false);
    assert_eq!(page(5), page(5));
    assert_ne!(page(5), page(6));
}

#[test]
fn pages_hold_their_width_and_are_plain_unless_coloured() {
    for v6 in [false, true] {
        let story = tell(Plan { v6, lose: vec![1, 6], ..plan() });
        for width in [64, 80, 100, 120] {
            let page = tale::write(&story, width, false);
            for line in page.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
                assert!(line.is_ascii() && !line.contains('\x1b'), "{line}");
            }
        }
        assert!(tale::write(&story, 80, true).contains("\x1b[1m"));
    }
}

#[test]
fn what_a_field_is_for_is_said_once() {
    each(|story| {
        let page = tale::write(story, 120, false);
        // Lines break anywhere between words.
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        for phrase in
            ["routers that it may still pass", "the station that sends it", "whose header follows", "brings the next to an"]
        {
            assert_eq!(page.matches(phrase).count(), 1, "{phrase}");
        }
    });
}

#[test]
fn programs_get_the_same_facts() {
    each(|story| {
        let objects = facts::of(story);
        let of = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).collect::<Vec<_>>();
        assert_eq!(of("frame").len(), story.told().count());
        for (object, frame) in of("frame").iter().zip(story.told()) {
            assert_eq!(object["bytes"], headers::hex(&frame.bytes));
            assert_eq!(object["number"], frame.number);
        }
        let states = story.entries.iter().filter(|entry| matches!(entry.what, What::State { .. })).count();
        assert_eq!(of("state").len(), states);
        assert!(of("state").iter().all(|state| state["rule"].as_str().is_some_and(|rule| rule.starts_with("RFC 9293"))));
        let layers: Vec<&str> = of("layer").iter().filter_map(|layer| layer["layer"].as_str()).collect();
        assert_eq!(layers, ["socket", "transport", "network", "link", "link", "network", "transport", "socket"]);
        assert_eq!(of("summary")[0]["frames"], story.told().count());
    });
}

#[test]
fn the_capture_has_every_frame_with_what_the_story_says_of_it() {
    let story = tell(Plan { lose: vec![6], ..plan() });
    let capture = capture::of(&story);
    for frame in &story.frames {
        assert!(capture.windows(frame.bytes.len()).any(|part| part == frame.bytes));
    }
    let text = String::from_utf8_lossy(&capture);
    for remark in ["lost on its way", "sent again: ", "the client goes from SYN-SENT to ESTABLISHED", "before the story"] {
        assert!(text.contains(remark), "{remark}");
    }
    // The end of TIME-WAIT is no frame's doing.
    assert!(text.contains("FIN-WAIT-2 to TIME-WAIT") && !text.contains("TIME-WAIT to CLOSED"));
}

#[test]
fn no_frame_leaves_with_a_checksum_that_is_not_complete() {
    each(|story| {
        for frame in &story.frames {
            let mut ip = ostia_wire::Frame::from_slice(frame.bytes.get(14..).unwrap());
            ip.meta.checksum = Checksum::Unverified;
            let [client, server] = story.hosts.map(|host| host.address.ip());
            let (from, to) = if frame.from == CLIENT { (client, server) } else { (server, client) };
            let payload = if story.plan.v6 { ip.as_slice().get(40..) } else { ip.as_slice().get(20..) };
            if segment_of_frame(&frame.bytes).is_some() {
                assert!(Tcp::parse(payload.unwrap()).unwrap().verify_checksum(from, to), "frame {}", frame.number);
            }
        }
        assert!(story.begin > Instant(0) && story.end >= story.begin);
    });
}
