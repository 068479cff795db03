//! An overview as a page for people, its sockets as `ss -ti` has them.

use ostia_net::{Overview, SocketView};
use ostia_stack::{State, TcpInfo};
use std::fmt::{Debug, Write as _};
use std::time::Duration;

/// What Linux has for "no loss yet".
const NO_THRESHOLD: u32 = 0x7fff_ffff;

/// The whole page, without a line's end at its end.
pub(super) fn write(overview: &Overview) -> String {
    let mut page = String::new();
    link(&mut page, overview);
    neighbours(&mut page, overview);
    sockets(&mut page, overview);
    let (connections, half_open, time_wait) = overview.census;
    let (used, peak, limit) = overview.memory;
    let _ = writeln!(
        page,
        "\nconnections {connections}, half-open {half_open}, time-wait {time_wait}; memory {used} of {limit} bytes, {peak} at most"
    );
    counts(&mut page, "counters", &overview.counters);
    counts(&mut page, "dropped, by reason", &overview.drops);
    page.trim_end().to_owned()
}

/// What the stack calls something, as a word: `LinkLocal` is `link-local`.
pub(super) fn word(name: &impl Debug) -> String {
    let mut text = String::new();
    for letter in format!("{name:?}").chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// A socket's state, in the words that `ss` has.
pub(super) fn state(socket: &SocketView) -> &'static str {
    match socket.state {
        State::Established => "ESTAB",
        State::SynReceived => "SYN-RECV",
        State::Closed => "UNCONN",
        other => other.as_str(),
    }
}

fn link(page: &mut String, overview: &Overview) {
    let link = &overview.link;
    let mac = link.mac.map(|mac| format!(", {mac}")).unwrap_or_default();
    let _ = writeln!(page, "{}: {}, MTU {}{mac}", link.name, word(&link.medium), link.mtu);
    if let Some(why) = &link.gone {
        let _ = writeln!(page, "  the link is gone: {why}");
    }
    for address in &overview.addresses {
        let _ = writeln!(page, "  {}/{} {} {}", address.address, address.prefix, word(&address.origin), word(&address.state));
    }
    let (received, sent, dropped) = (link.statistics.received, link.statistics.sent, link.statistics.dropped);
    let _ = writeln!(
        page,
        "  received {} frames, {} bytes; sent {} frames, {} bytes",
        received.frames, received.bytes, sent.frames, sent.bytes
    );
    let causes = [
        ("received cut", dropped.received_truncated),
        ("received malformed", dropped.received_malformed),
        ("received without room", dropped.received_no_room),
        ("sent malformed", dropped.sent_malformed),
        ("sent too long", dropped.sent_too_big),
        ("sent without room", dropped.sent_no_room),
        ("sent while down", dropped.sent_down),
    ];
    let causes: Vec<String> =
        causes.iter().filter(|(_, count)| *count > 0).map(|(cause, count)| format!("{cause} {count}")).collect();
    if !causes.is_empty() {
        let _ = writeln!(page, "  the link dropped: {}", causes.join(", "));
    }
}

fn neighbours(page: &mut String, overview: &Overview) {
    if overview.neighbours.is_empty() {
        return;
    }
    let _ = writeln!(page, "\nneighbours");
    for neighbour in &overview.neighbours {
        let mac = neighbour.mac.map_or_else(|| "unknown".to_owned(), |mac| mac.to_string());
        let router = if neighbour.router { " router" } else { "" };
        let _ = writeln!(page, "  {} {mac} {}{router}", neighbour.address, word(&neighbour.state));
    }
}

fn sockets(page: &mut String, overview: &Overview) {
    let place =
        |socket: &SocketView| (socket.local.to_string(), socket.peer.map_or_else(|| "*".to_owned(), |peer| peer.to_string()));
    let places: Vec<(String, String)> = overview.sockets.iter().map(place).collect();
    let width = places.iter().map(|(local, _)| local.len()).max().unwrap_or(0).max("Local address".len());
    let _ = writeln!(page, "\nNetid State      Recv-Q Send-Q {:width$} Peer address", "Local address");
    for (socket, (local, peer)) in overview.sockets.iter().zip(&places) {
        let (receive, send) = (socket.receive_queue, socket.send_queue);
        let protocol = socket.protocol.as_str();
        let _ = writeln!(page, "{protocol:5} {:10} {receive:<6} {send:<6} {local:width$} {peer}", state(socket));
        if let Some(figures) = &socket.info {
            let _ = writeln!(page, "      {}", info(figures));
        }
    }
}

/// The figures of a connection, in the words and units of `ss -i`.
fn info(info: &TcpInfo) -> String {
    let ms = |time: Duration| {
        let text = format!("{:.3}", time.as_secs_f64() * 1000.0);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let mut text = String::new();
    let bits = [(1, "ts"), (2, "sack")];
    for (_, name) in bits.iter().filter(|(bit, _)| info.tcpi_options & bit != 0) {
        let _ = write!(text, "{name} ");
    }
    if info.tcpi_options & 4 != 0 {
        let _ = write!(text, "wscale:{},{} ", info.tcpi_snd_wscale, info.tcpi_rcv_wscale);
    }
    let _ = write!(text, "rto:{} rtt:{}/{} ", ms(info.tcpi_rto), ms(info.tcpi_rtt), ms(info.tcpi_rttvar));
    let _ = write!(text, "mss:{} pmtu:{} cwnd:{}", info.tcpi_snd_mss, info.tcpi_pmtu, info.tcpi_snd_cwnd);
    if info.tcpi_snd_ssthresh < NO_THRESHOLD {
        let _ = write!(text, " ssthresh:{}", info.tcpi_snd_ssthresh);
    }
    let _ = write!(
        text,
        " bytes_sent:{} bytes_acked:{} bytes_received:{} segs_out:{} segs_in:{}",
        info.tcpi_bytes_sent, info.tcpi_bytes_acked, info.tcpi_bytes_received, info.tcpi_segs_out, info.tcpi_segs_in
    );
    let _ = write!(text, " lastsnd:{} lastrcv:{}", info.tcpi_last_data_sent.as_millis(), info.tcpi_last_data_recv.as_millis());
    let seldom = [
        ("unacked", u64::from(info.tcpi_unacked)),
        ("sacked", u64::from(info.tcpi_sacked)),
        ("lost", u64::from(info.tcpi_lost)),
        ("backoff", u64::from(info.tcpi_backoff)),
        ("bytes_retrans", info.tcpi_bytes_retrans),
        ("notsent", u64::from(info.tcpi_notsent_bytes)),
        ("dsack_dups", u64::from(info.tcpi_dsack_dups)),
        ("rcv_ooopack", u64::from(info.tcpi_rcv_ooopack)),
    ];
    for (name, count) in seldom.iter().filter(|(_, count)| *count > 0) {
        let _ = write!(text, " {name}:{count}");
    }
    if info.tcpi_total_retrans > 0 {
        let _ = write!(text, " retrans:{}/{}", info.tcpi_retrans, info.tcpi_total_retrans);
    }
    let _ = write!(text, " snd_wnd:{} rcv_wnd:{} minrtt:{}", info.tcpi_snd_wnd, info.tcpi_rcv_wnd, ms(info.tcpi_min_rtt));
    text
}

fn counts(page: &mut String, title: &str, counts: &[(&'static str, u64)]) {
    if counts.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n{title}");
    for (name, count) in counts {
        let _ = writeln!(page, "  {name:36} {count}");
    }
}
