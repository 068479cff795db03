//! An overview as a JSON object.

use ostia_link::Medium;
use ostia_net::{Overview, SocketView};
use ostia_stack::TcpInfo;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// All of it. Sizes are in bytes, times in milliseconds.
pub(super) fn of(overview: &Overview) -> Value {
    let link = &overview.link;
    let (received, sent, dropped) = (link.statistics.received, link.statistics.sent, link.statistics.dropped);
    let (connections, half_open, time_wait) = overview.census;
    let (used, peak, limit) = overview.memory;
    let counts = |counts: &[(&'static str, u64)]| -> Value {
        counts.iter().map(|(name, count)| ((*name).to_owned(), Value::from(*count))).collect::<Map<_, _>>().into()
    };
    json!({
        "event": "stack",
        "link": {
            "name": link.name,
            "medium": match link.medium { Medium::Ethernet => "ethernet", Medium::Ip => "ip" },
            "mtu": link.mtu,
            "mac": link.mac.map(|mac| mac.to_string()),
            "gone": link.gone,
            "received": { "frames": received.frames, "bytes": received.bytes },
            "sent": { "frames": sent.frames, "bytes": sent.bytes },
            "dropped": {
                "received_truncated": dropped.received_truncated, "received_malformed": dropped.received_malformed,
                "received_no_room": dropped.received_no_room, "sent_malformed": dropped.sent_malformed,
                "sent_too_big": dropped.sent_too_big, "sent_no_room": dropped.sent_no_room, "sent_down": dropped.sent_down,
            },
        },
        "addresses": overview.addresses.iter().map(|address| json!({
            "address": address.address.to_string(), "prefix": address.prefix,
            "origin": super::page::word(&address.origin), "state": super::page::word(&address.state),
        })).collect::<Vec<_>>(),
        "neighbours": overview.neighbours.iter().map(|neighbour| json!({
            "address": neighbour.address.to_string(), "mac": neighbour.mac.map(|mac| mac.to_string()),
            "state": super::page::word(&neighbour.state), "router": neighbour.router,
        })).collect::<Vec<_>>(),
        "sockets": overview.sockets.iter().map(socket).collect::<Vec<_>>(),
        "connections": { "all": connections, "half_open": half_open, "time_wait": time_wait },
        "counters": counts(&overview.counters),
        "drops": counts(&overview.drops),
        "memory": { "used": used, "peak": peak, "limit": limit },
        "turns": {
            "due": overview.timeliness.turns, "late": overview.timeliness.late, "worst_ms": ms(overview.timeliness.worst),
        },
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn socket(socket: &SocketView) -> Value {
    json!({
        "protocol": socket.protocol.as_str(),
        "state": super::page::state(socket),
        "local": socket.local.to_string(),
        "peer": socket.peer.map(|peer| peer.to_string()),
        "receive_queue": socket.receive_queue,
        "send_queue": socket.send_queue,
        "info": socket.info.as_ref().map(info),
    })
}

fn info(info: &TcpInfo) -> Value {
    json!({
        "mss": info.tcpi_snd_mss,
        "pmtu": info.tcpi_pmtu,
        "cwnd": info.tcpi_snd_cwnd,
        "ssthresh": info.tcpi_snd_ssthresh,
        "rto_ms": ms(info.tcpi_rto),
        "rtt_ms": ms(info.tcpi_rtt),
        "rttvar_ms": ms(info.tcpi_rttvar),
        "min_rtt_ms": ms(info.tcpi_min_rtt),
        "unacked": info.tcpi_unacked,
        "sacked": info.tcpi_sacked,
        "lost": info.tcpi_lost,
        "retransmitted": info.tcpi_total_retrans,
        "bytes_sent": info.tcpi_bytes_sent,
        "bytes_retransmitted": info.tcpi_bytes_retrans,
        "bytes_acked": info.tcpi_bytes_acked,
        "bytes_received": info.tcpi_bytes_received,
        "segments_out": info.tcpi_segs_out,
        "segments_in": info.tcpi_segs_in,
        "send_window": info.tcpi_snd_wnd,
        "receive_window": info.tcpi_rcv_wnd,
        "reordered_in": info.tcpi_rcv_ooopack,
        "last_sent_ms": ms(info.tcpi_last_data_sent),
        "last_received_ms": ms(info.tcpi_last_data_recv),
    })
}
