//! The story for programs: the same facts, as JSON objects.

use ostia_stack::{Direction, Layer};
use serde_json::{Value, json};

use super::functions::{self, Function};
use super::headers::{self, Header, hex};
use super::journey::{self, Stop};
use super::states::edge_of;
use super::story::{NAMES, Sent, Story, What, segment_of_frame};

/// All objects, in order. `kind` says what each is: `scene`, then `frame` and `state` and `call`, `failure` and `drop` as they
/// happened, `layer` for each layer that the followed bytes passed, and `summary`. Times are nanoseconds since the story began.
pub fn of(story: &Story) -> Vec<Value> {
    let mut objects = vec![scene(story)];
    for entry in &story.entries {
        let at = nanos(story, entry.at);
        let side = NAMES[entry.side];
        match &entry.what {
            What::Call(call) => objects.push(json!({ "kind": "call", "at": at, "side": side, "call": call })),
            What::Failed(error) => objects.push(json!({ "kind": "failure", "at": at, "side": side, "error": error.as_str() })),
            What::Dropped(reason) => objects.push(json!({ "kind": "drop", "at": at, "side": side, "reason": reason.as_str() })),
            What::State { from, to, cause, listener } => {
                let edge = edge_of(*from, *to, *cause);
                objects.push(json!({
                    "kind": "state", "at": at, "side": side, "from": from.as_str(), "to": to.as_str(), "listener": listener,
                    "cause": cause.to_string(), "edge": edge.map(|edge| edge.label), "rule": edge.map(|edge| edge.rule),
                }));
            }
            What::Sent(place) => objects.extend(story.frames.get(*place).map(|sent| frame(story, sent))),
            What::Arrived(place) => {
                let number = story.frames.get(*place).map(|frame| frame.number);
                objects.push(json!({ "kind": "arrival", "at": at, "side": side, "frame": number }));
            }
            What::Passes { .. } => {}
        }
    }
    objects.extend(layers(story));
    objects.push(summary(story));
    objects
}

fn nanos(story: &Story, at: ostia_stack::Instant) -> u64 {
    u64::try_from(at.since(story.begin).as_nanos()).unwrap_or(u64::MAX)
}

fn scene(story: &Story) -> Value {
    let hosts = story.hosts.iter().zip(NAMES).map(|(host, name)| {
        json!({ "name": name, "address": host.address.to_string(), "port": host.port, "mac": host.mac.to_string() })
    });
    json!({
        "kind": "scene",
        "hosts": hosts.collect::<Vec<_>>(),
        "ip": if story.plan.v6 { "v6" } else { "v4" },
        "text": String::from_utf8_lossy(&story.plan.text),
        "seed": story.plan.seed,
        "lose": story.plan.lose,
        "delay": story.delay,
        "mtu": story.mtu,
    })
}

fn header(header: &Header) -> Value {
    let fields = header.fields.iter().map(|field| {
        json!({
            "name": field.name, "bits": [field.bits.start, field.bits.end], "value": field.value, "meaning": field.meaning,
            "rule": field.rule,
        })
    });
    json!({ "name": header.name, "bytes": hex(&header.bytes), "fields": fields.collect::<Vec<_>>() })
}

fn frame(story: &Story, sent: &Sent) -> Value {
    let segment = segment_of_frame(&sent.bytes).map(|segment| {
        let (sequence, acknowledgment) = story.relative(sent.from, &segment);
        json!({
            "flags": headers::flag_names(segment.flags), "sequence": segment.sequence, "acknowledgment": segment.acknowledgment,
            "relative_sequence": sequence, "relative_acknowledgment": acknowledgment, "len": segment.len, "window": segment.window,
        })
    });
    json!({
        "kind": "frame",
        "number": sent.number,
        "at": nanos(story, sent.at),
        "from": NAMES[sent.from],
        "lost": sent.lost,
        "again": sent.again.map(|again| again.why()),
        "bytes": hex(&sent.bytes),
        "segment": segment,
        "headers": headers::of_frame(&sent.bytes).iter().map(header).collect::<Vec<_>>(),
    })
}

fn layers(story: &Story) -> Vec<Value> {
    let Some(journey) = journey::follow(story) else { return Vec::new() };
    let up = journey.up.iter().map(|stop| (stop, journey.came.map(|frame| frame.number)));
    let all = journey.down.iter().map(|stop| (stop, Some(journey.sent.number))).chain(up);
    all.map(|(stop, frame)| layer(story, stop, frame)).collect()
}

fn layer(story: &Story, stop: &Stop, frame: Option<usize>) -> Value {
    let (direction, side) = match stop.direction {
        Direction::Down => ("down", NAMES[0]),
        Direction::Up => ("up", NAMES[1]),
    };
    let name = match stop.layer {
        Layer::Socket => "socket",
        Layer::Transport => "transport",
        Layer::Network => "network",
        Layer::Link => "link",
    };
    let functions = functions::of_layer(stop.layer, stop.direction, story.plan.v6);
    json!({
        "kind": "layer",
        "direction": direction,
        "side": side,
        "layer": name,
        "frame": frame,
        "bytes": hex(&stop.bytes),
        "len": stop.bytes.len(),
        "added": stop.added(),
        "header": stop.header.as_ref().map(header),
        "functions": functions.iter().map(Function::to_string).collect::<Vec<_>>(),
    })
}

fn summary(story: &Story) -> Value {
    json!({
        "kind": "summary",
        "frames": story.told().count(),
        "lost": story.told().filter(|frame| frame.lost).count(),
        "again": story.told().filter(|frame| frame.again.is_some()).count(),
        "end": nanos(story, story.end),
    })
}
