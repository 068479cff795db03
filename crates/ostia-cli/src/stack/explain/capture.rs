//! The link's frames as a capture, for Wireshark and tcpdump, with remarks that say what the story says.

use std::path::Path;

use ostia_stack::Cause;
use ostia_wire::pcapng::{Direction, LinkType, Writer};

use super::story::{CLIENT, NAMES, Story, What};
use crate::errors::Failure;

/// The capture: what the client's end of the link sees, with remarks about both ends.
pub fn of(story: &Story) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(concat!("ostia ", env!("CARGO_PKG_VERSION")), |block: &[u8]| bytes.extend_from_slice(block));
    let link = writer.interface("link", LinkType::Ethernet);
    for (place, frame) in story.frames.iter().enumerate() {
        let direction = if frame.from == CLIENT { Direction::Out } else { Direction::In };
        let remarks = remarks(story, place);
        writer.packet(link, frame.at.0, direction, &frame.bytes, remarks.iter().map(String::as_str));
    }
    drop(writer);
    bytes
}

/// What is to be said of a frame.
fn remarks(story: &Story, place: usize) -> Vec<String> {
    let Some(frame) = story.frames.get(place) else { return Vec::new() };
    if frame.number == 0 {
        return vec!["before the story: a host says which addresses it has".to_owned()];
    }
    let mut remarks = vec![format!("frame {} of the story, from the {}", frame.number, NAMES[frame.from])];
    if frame.lost {
        remarks.push("lost on its way".to_owned());
    }
    if let Some(again) = frame.again {
        remarks.push(format!("sent again: {}", again.why()));
    }
    // What its arrival has led to: what follows at the same time, up to the next thing on the link or the next call.
    let arrived = story.entries.iter().position(|entry| matches!(entry.what, What::Arrived(arrived) if arrived == place));
    let Some((arrival, behind)) = arrived.and_then(|at| story.entries.get(at..)?.split_first()) else { return remarks };
    let ends = |what: &What| matches!(what, What::Arrived(_) | What::Sent(_) | What::Call(_));
    for entry in behind.iter().take_while(|entry| entry.at == arrival.at && !ends(&entry.what)) {
        match &entry.what {
            What::State { from, to, cause: Cause::Segment(_), .. } => {
                remarks.push(format!("by its arrival the {} goes from {from} to {to}", NAMES[entry.side]));
            }
            What::Dropped(reason) => remarks.push(format!("the {} drops it: {reason}", NAMES[entry.side])),
            _ => {}
        }
    }
    remarks
}

/// Writes the capture to a file.
///
/// # Errors
/// When that can't be done.
pub fn write(story: &Story, path: &Path) -> Result<(), Failure> {
    std::fs::write(path, of(story)).map_err(|error| {
        let what = format!("cannot write {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::permission(what, "choose a file that this user may write to"),
            std::io::ErrorKind::NotFound => Failure::new(what, "create the directory first"),
            _ => Failure::new(what, "choose another file with --pcap"),
        }
    })
}
