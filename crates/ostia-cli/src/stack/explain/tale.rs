//! The page for learners: who the two hosts are, how one finds the other, a send through all layers, a connection's life.

use std::collections::BTreeSet;

use ostia_stack::{Direction, Layer, State};

use super::functions;
use super::headers;
use super::journey::{self, Journey, Stop};
use super::page::Page;
use super::states::{cause_in_words, edge_of, meaning};
use super::story::{CLIENT, NAMES, SERVER, Sent, Story, What, segment_of_frame};
use super::{diagram, headers::Header};

/// The story as a page.
pub fn write(story: &Story, width: usize, color: bool) -> String {
    let mut page = Page::new(width, color);
    scene(story, &mut page);
    neighbours(story, &mut page);
    match journey::follow(story) {
        Some(journey) => {
            descent(story, &journey, &mut page);
            ascent(story, &journey, &mut page);
        }
        None => {
            page.heading("3. One send, layer by layer");
            page.text("The connection never opened, so nothing was sent over it. The diagram below shows why.");
        }
    }
    life(story, &mut page);
    page.into_text()
}

fn scene(story: &Story, page: &mut Page) {
    page.heading("1. Two hosts and a link");
    for (host, name) in story.hosts.iter().zip(NAMES) {
        page.line(&format!("    {name:8}{}  port {:<6}{}", host.mac, host.port, host.address));
    }
    let text: String = String::from_utf8_lossy(&story.plan.text).chars().take(40).collect();
    let more = if story.plan.text.len() > text.len() { " and so on" } else { "" };
    page.text(&format!(
        "Each host is a whole TCP/IP stack; an Ethernet link in memory joins them, which takes {} ms for a frame and packets of \
         up to {} bytes. The client opens a connection to the server and sends {} bytes: {text:?}{more}. All that is left to \
         chance comes from seed {}.",
        story.delay / 1_000_000,
        story.mtu,
        story.plan.text.len(),
        story.plan.seed
    ));
    if story.plan.v6 {
        page.text(
            "Before that, each host has asked whether anybody has the addresses that it wants to use (duplicate address \
             detection, RFC 4862, 5.4), and joined the groups in which it will be asked for them (RFC 4291, 2.7.1).",
        );
    } else {
        page.text("Before that, each host has told everybody of its address (RFC 5227, 2.3); nobody needed to know it yet.");
    }
}

fn is_discovery(frame: &Sent) -> bool {
    segment_of_frame(&frame.bytes).is_none()
}

/// The frames by which the client finds the server: a question that is heard, and its answer; and questions that are not.
fn exchange(story: &Story) -> (Vec<&Sent>, Option<&Sent>) {
    let first_segment =
        story.told().find(|frame| segment_of_frame(&frame.bytes).is_some()).map_or(usize::MAX, |frame| frame.number);
    let before = || story.told().filter(|frame| frame.number < first_segment && is_discovery(frame));
    let questions = before().filter(|frame| frame.from == CLIENT).collect();
    let answer = before().filter(|frame| frame.from == SERVER && !frame.lost).last();
    (questions, answer)
}

fn neighbours(story: &Story, page: &mut Page) {
    let v6 = story.plan.v6;
    let server = story.hosts[SERVER].address;
    page.heading(&format!("2. Who is {server}?"));
    let (protocol, rule) = if v6 { ("neighbour discovery", "RFC 4861, 7.2.2") } else { ("ARP", "RFC 826; RFC 1122, 2.3.2") };
    page.text(&format!(
        "connect() makes a SYN, the segment that asks for a connection, and puts it into an IP packet. A packet travels over \
         Ethernet in a frame, and the frame needs the link address (MAC) of the station that is to take it. The client knows the \
         server's IP address only: it asks by {protocol}, and the SYN waits meanwhile ({rule})."
    ));
    if v6 {
        page.text(
            "IPv6 asks a group that only hosts join whose address ends with the same 24 bits, the solicited-node address: others \
             need not even look (RFC 4291, 2.7.1). The question is a message of ICMPv6.",
        );
    }
    page.text(&format!("Functions: {}.", functions::listed(functions::of_neighbours(v6))));
    let (questions, answer) = exchange(story);
    let lost = questions.iter().filter(|frame| frame.lost).count();
    if let Some(question) = questions.first() {
        let whom = if v6 { "those whose address ends alike" } else { "everybody" };
        dissect(page, question, &format!("Frame {}: the client asks {whom}", question.number));
    }
    if lost > 0 {
        let numbers: Vec<String> = questions.iter().map(|frame| frame.number.to_string()).collect();
        page.line("");
        page.text(&format!(
            "{lost} of its questions were lost (it sent frames {}): it asks again each second, three times for what waits, \
             which is then dropped (RFC 4861, 10; RFC 1122, 2.3.2.1 asks for no more than one a second).",
            numbers.join(", ")
        ));
    }
    match answer {
        Some(answer) => {
            dissect(page, answer, &format!("Frame {}: the server answers, to the client alone", answer.number));
            page.line("");
            page.text("The client keeps the answer in its neighbour cache, and the SYN that has waited goes out.");
        }
        None => page.text("Nobody answered."),
    }
}

/// A whole frame: its bytes, and all its headers.
fn dissect(page: &mut Page, frame: &Sent, title: &str) {
    page.line("");
    page.strong(title);
    page.bytes(&frame.bytes, false);
    for header in headers::of_frame(&frame.bytes) {
        page.line(&format!("  {}, {} bytes", header.name, header.bytes.len()));
        page.fields(&header);
    }
}

fn name_of(layer: Layer) -> &'static str {
    match layer {
        Layer::Socket => "socket",
        Layer::Transport => "transport",
        Layer::Network => "network",
        Layer::Link => "link",
    }
}

fn descent(story: &Story, journey: &Journey<'_>, page: &mut Page) {
    page.heading("3. One send, down through the client's layers");
    page.text(
        "Each layer puts a header of its own in front of what it gets from above, and never looks into it: that is \
         encapsulation (RFC 1122, 1.1.3).",
    );
    let mut before = 0;
    for stop in &journey.down {
        stop_title(stop, before, page);
        page.text(match stop.layer {
            Layer::Socket => "The program calls send(). Its bytes are copied into the connection's send queue, where they stay until the other side has acknowledged them: what is lost is sent again from there (RFC 9293, 3.8.1).",
            Layer::Transport => "TCP takes bytes from the queue, as many as a segment may carry and as the other side's window and the congestion window allow (RFC 9293, 3.7 and 3.8.6; RFC 5681, 3.1), and puts a header in front that numbers them. Its checksum covers the addresses, too, so that what comes to the wrong host is found out.",
            Layer::Network => "IP chooses the way: the route that shares most bits with the destination names the link and the next hop (RFC 1122, 3.3.1). Its header takes the packet from end to end, through any number of links.",
            Layer::Link => "Ethernet's header takes the frame over this one link. The next hop's link address comes from the neighbour cache.",
        });
        page.text(&format!("Functions: {}.", functions::listed(functions::of_layer(stop.layer, stop.direction, story.plan.v6))));
        match &stop.header {
            Some(header) => {
                page.bytes(&header.bytes, false);
                page.fields(header);
            }
            None => page.bytes(&stop.bytes, true),
        }
        if stop.layer == Layer::Transport && journey.segments > 1 {
            let carried = stop.bytes.len() - stop.added();
            page.text(&format!(
                "The program's {} bytes are more than one segment may carry here: TCP sends {} of them. The first, with {carried} \
                 bytes, is followed.",
                before, journey.segments
            ));
        }
        before = stop.bytes.len();
    }
    page.line("");
    page.strong(&format!("Frame {}, as it goes over the link: {} bytes", journey.sent.number, journey.sent.bytes.len()));
    page.bytes(&journey.sent.bytes, true);
    let carried = segment_of_frame(&journey.sent.bytes).map_or(0, |segment| segment.len as usize);
    let share = carried * 100 / journey.sent.bytes.len().max(1);
    page.text(&format!(
        "{share} % of that are the program's bytes: headers weigh less, the more a segment carries. On a cable a checksum of 4 \
         bytes would follow, and less than 60 bytes would be filled up (IEEE 802.3, 3.2.7 to 3.2.9): the device does that."
    ));
}

/// A layer's line: how much there was, and is.
fn stop_title(stop: &Stop, before: usize, page: &mut Page) {
    page.line("");
    let name = name_of(stop.layer);
    let now = stop.bytes.len();
    let header = stop.header.as_ref().map_or("", |header| header.name);
    match (stop.direction, stop.layer) {
        (Direction::Down, Layer::Socket) => page.strong(&format!("[{name}] {now} bytes")),
        (Direction::Down, _) if now == before + stop.added() => {
            page.strong(&format!("[{name}] {before} + {} bytes of {header} = {now} bytes", stop.added()));
        }
        (Direction::Up, _) if stop.added() > 0 => {
            page.strong(&format!("[{name}] {now} - {} bytes of {header} = {} bytes", stop.added(), now - stop.added()));
        }
        _ => page.strong(&format!("[{name}] {now} bytes")),
    }
}

fn ascent(story: &Story, journey: &Journey<'_>, page: &mut Page) {
    page.heading("4. The same bytes, up through the server's layers");
    let Some(came) = journey.came else {
        page.text("The frame was lost each time that it was sent. The diagram below shows what became of it.");
        return;
    };
    if came.number != journey.sent.number {
        page.text(&format!(
            "Frame {} was lost. After {} s its bytes were sent again, in frame {}: {}. That one is followed here.",
            journey.sent.number,
            seconds(came.at.since(journey.sent.at)),
            came.number,
            came.again.map_or("", |again| again.why())
        ));
    }
    page.text("Each layer checks its header, takes it off, and gives the rest to whom the header names.");
    for stop in &journey.up {
        stop_title(stop, 0, page);
        page.text(match stop.layer {
            Layer::Link => "The frame is for this station, or for a group of which it is one; else it is dropped. The type says: to IP.",
            Layer::Network if story.plan.v6 => "The version and length are right, and the destination is an own address; else the packet is dropped or, by a router, sent on (RFC 8200, 3 and 4). Next header says: to TCP.",
            Layer::Network => "The header's checksum and length are right, and the destination is an own address; else the packet is dropped or, by a router, sent on (RFC 1122, 3.2.1). Protocol says: to TCP.",
            Layer::Transport => "The checksum is right, and the four numbers lead to a connection. The sequence number is the one that is awaited, within the window, so the data goes into the receive queue and is acknowledged (RFC 9293, 3.10.7.4). Data beyond a gap would wait for what is missing.",
            Layer::Socket => "The program calls recv(), and has the bytes that the other program gave to send().",
        });
        page.text(&format!("Functions: {}.", functions::listed(functions::of_layer(stop.layer, stop.direction, story.plan.v6))));
        match &stop.header {
            Some(header) => {
                page.bytes(&header.bytes, false);
                page.indented(4, &in_a_line(header));
            }
            None => page.bytes(&stop.bytes, true),
        }
    }
}

/// Fields and values, one after the other.
fn in_a_line(header: &Header) -> String {
    let fields = header.fields.iter().map(|field| match field.value.is_empty() {
        true => field.name.to_owned(),
        false => format!("{} {}", field.name, field.value),
    });
    fields.collect::<Vec<_>>().join("; ")
}

fn seconds(time: std::time::Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

fn life(story: &Story, page: &mut Page) {
    page.heading("5. The connection's whole life");
    page.text(
        "Time flows down. At the edges: calls, and the state that a side is in from then on; beside a state, what has led to it. \
         Between: segments, with the frame's number in brackets, control bits, sequence and acknowledgment number counted from \
         each side's first, and octets of data. An arrow in two pieces: something else happened while it was on its way. OPEN, \
         CLOSE and ABORT are what RFC 9293, 3.9.1 calls the calls; snd: it sends; rcv: it receives.",
    );
    page.line("");
    diagram::draw(story, page);
    page.line("");
    page.strong("The states, in the order of their appearance");
    let mut seen = BTreeSet::new();
    for entry in &story.entries {
        let What::State { from, to, .. } = entry.what else { continue };
        for state in [from, to] {
            if seen.insert(state) {
                page.item(&format!("{state}: {}", meaning(state)));
            }
        }
    }
    page.line("");
    page.strong("What led from one to the next (RFC 9293, 3.3.2)");
    for entry in &story.entries {
        let What::State { from, to, cause, .. } = entry.what else { continue };
        let edge = edge_of(from, to, cause);
        let (label, rule) = edge.map_or(("", "not in RFC 9293"), |edge| (edge.label, edge.rule));
        let who = NAMES[entry.side];
        page.item(&format!("{} s, {who}: {from} to {to} by {}: {label} ({rule})", story.time(entry.at), cause_in_words(cause)));
    }
    offers(story, page);
    losses(story, page);
    ending(story, page);
}

/// What the two SYNs say: it holds for the whole connection.
fn offers(story: &Story, page: &mut Page) {
    page.line("");
    page.strong("What the SYNs agree on, by their options (RFC 9293, 3.2)");
    for side in [CLIENT, SERVER] {
        let syn = story.told().find(|frame| {
            let segment = segment_of_frame(&frame.bytes);
            frame.from == side && segment.is_some_and(|segment| segment.flags.contains(ostia_wire::Flags::SYN))
        });
        let Some(syn) = syn else { continue };
        let Some(mut header) = headers::of_frame(&syn.bytes).pop() else { continue };
        header.fields.retain(|field| field.bits.start >= ostia_wire::tcp::HEADER_LEN * 8 && field.name != "no operation");
        page.line(&format!("  frame {}, from the {}", syn.number, NAMES[side]));
        page.fields(&header);
    }
}

fn losses(story: &Story, page: &mut Page) {
    let lost: Vec<&Sent> = story.told().filter(|frame| frame.lost).collect();
    if lost.is_empty() {
        return;
    }
    page.line("");
    page.strong("What was lost, and what was done about it");
    for frame in lost {
        let what = diagram::label(story, frame);
        let number = segment_of_frame(&frame.bytes).filter(|segment| segment.sequence_len() > 0).map(|segment| segment.sequence);
        let again = story.told().find(|later| {
            let same = segment_of_frame(&later.bytes).map(|segment| segment.sequence) == number;
            later.number > frame.number && later.from == frame.from && later.again.is_some() && same && number.is_some()
        });
        let then = match again {
            Some(again) => format!(
                "sent again {} s later as frame {}: {}",
                seconds(again.at.since(frame.at)),
                again.number,
                again.again.map_or("", |again| again.why())
            ),
            None if number.is_none() && !is_discovery(frame) => {
                "not sent again: nobody acknowledges an ACK, and the next one says the same or more (RFC 9293, 3.8.6.3)"
                    .to_owned()
            }
            None if is_discovery(frame) => "the question is asked again after a second (RFC 4861, 7.2.2)".to_owned(),
            None => "what it carried came by another segment, or was given up".to_owned(),
        };
        page.item(&format!("{what}: {then}"));
    }
}

fn ending(story: &Story, page: &mut Page) {
    page.line("");
    let waits = |side: usize| story.states(side).any(|(_, _, to, _)| to == State::TimeWait);
    let who = match (waits(CLIENT), waits(SERVER)) {
        (false, false) => "",
        (true, true) => "Both sides have closed first, as it were, and both wait.",
        _ => "The side that closes first pays for it, which is why a server lets its clients close.",
    };
    if !who.is_empty() {
        page.text(&format!(
            "TIME-WAIT lasts 60 s here: 2 MSL, twice the longest life of a segment, with an MSL of 30 s as Linux has it; RFC \
             9293, 3.4.2 takes 2 minutes for the MSL. {who}"
        ));
    }
    let frames = story.told().count();
    let lost = story.told().filter(|frame| frame.lost).count();
    let again = story.told().filter(|frame| frame.again.is_some()).count();
    page.text(&format!("{frames} frames in all, {lost} lost, {again} sent again; over after {} s.", story.time(story.end)));
}
