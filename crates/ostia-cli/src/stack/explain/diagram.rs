//! A connection's life, drawn: time flows down, each side's states stand at its edge, and arrows between are segments.

use super::headers;
use super::page::{Page, wrap};
use super::states::edge_of;
use super::story::{CLIENT, NAMES, SERVER, Sent, Story, What, segment_of_frame};

/// Columns of a state, and of a call.
const EDGE: usize = 13;
/// Columns of the time.
const TIME: usize = 9;
/// The lane between the sides is never wider: arrows would get long for nothing.
const LANE: usize = 64;

/// How much of its arrow a row has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// All of it.
    Whole,
    /// It sets out; something else happens before it arrives.
    Begin,
    /// It arrives.
    End,
    /// It never arrives.
    Lost,
}

struct Diagram<'a> {
    story: &'a Story,
    page: &'a mut Page,
    lane: usize,
    /// The time that stands in the last row.
    shown: Option<String>,
}

/// Draws the story.
pub fn draw(story: &Story, page: &mut Page) {
    let lane = (page.width() - TIME - 2 * EDGE - 5).min(LANE);
    let mut diagram = Diagram { story, page, lane, shown: None };
    diagram.row_of("seconds", NAMES[CLIENT], "", &format!(" {}", NAMES[SERVER]));
    let mut whole = Vec::new();
    for (place, entry) in story.entries.iter().enumerate() {
        let time = story.time(entry.at);
        match &entry.what {
            What::Call(call) => diagram.edge_row(&time, entry.side, call, ""),
            What::Failed(error) => diagram.edge_row(&time, entry.side, "failed:", &error.to_string()),
            What::Dropped(reason) => diagram.edge_row(&time, entry.side, "drops it:", reason.as_str()),
            What::State { from, to, cause, .. } => {
                let label = edge_of(*from, *to, *cause).map_or("", |edge| edge.label);
                diagram.edge_row(&time, entry.side, to.as_str(), label);
            }
            What::Sent(frame) => {
                let Some(sent) = story.frames.get(*frame) else { continue };
                let at_once = arrives_next(story, place, *frame);
                if at_once {
                    whole.push(*frame);
                }
                let part = match (sent.lost, at_once) {
                    (true, _) => Part::Lost,
                    (_, true) => Part::Whole,
                    _ => Part::Begin,
                };
                diagram.arrow(&time, sent, part);
            }
            What::Arrived(frame) => {
                let Some(sent) = story.frames.get(*frame).filter(|_| !whole.contains(frame)) else { continue };
                diagram.arrow(&time, sent, Part::End);
            }
            What::Passes { .. } => {}
        }
    }
}

/// Whether nothing else happens before a frame arrives.
fn arrives_next(story: &Story, place: usize, frame: usize) -> bool {
    let next = story.entries.iter().skip(place + 1).find(|entry| !matches!(entry.what, What::Passes { .. }));
    next.is_some_and(|entry| matches!(entry.what, What::Arrived(arrived) if arrived == frame))
}

/// A frame in a few words.
pub fn label(story: &Story, frame: &Sent) -> String {
    let Some(segment) = segment_of_frame(&frame.bytes) else {
        return format!("({}) {}", frame.number, headers::summary(&frame.bytes));
    };
    let (sequence, acknowledgment) = story.relative(frame.from, &segment);
    let acknowledgment = acknowledgment.map_or(String::new(), |number| format!(" ack {number}"));
    let again = if frame.again.is_some() { " again" } else { "" };
    let flags = headers::flag_names(segment.flags);
    format!("({}) {flags} seq {sequence}{acknowledgment} len {}{again}", frame.number, segment.len)
}

impl Diagram<'_> {
    fn row_of(&mut self, time: &str, left: &str, lane: &str, right: &str) {
        let width = self.lane;
        self.page.line(&format!("{time:>TIME$}  {left:<EDGE$}|{lane:<width$}|{right}"));
    }

    fn row(&mut self, time: &str, left: &str, lane: &str, right: &str) {
        let new = self.shown.as_deref() != Some(time);
        if new {
            self.shown = Some(time.to_owned());
        }
        self.row_of(if new { time } else { "" }, left, lane, right);
    }

    /// Something that happens at one side's edge, with a remark beside it.
    fn edge_row(&mut self, time: &str, side: usize, what: &str, remark: &str) {
        let lines = wrap(remark, self.lane.saturating_sub(2));
        for (number, line) in lines.iter().enumerate() {
            let what = if number == 0 { what } else { "" };
            match side {
                CLIENT => self.row(time, what, &format!(" {line}"), ""),
                _ => {
                    let width = self.lane - 1;
                    self.row(time, "", &format!("{line:>width$} "), &format!(" {what}"));
                }
            }
        }
    }

    fn arrow(&mut self, time: &str, frame: &Sent, part: Part) {
        let label = match part {
            Part::End => format!("({})", frame.number),
            _ => label(self.story, frame),
        };
        // Two dashes before it, one behind it, and what says that it is lost.
        let fits = label.chars().count() + 9 <= self.lane;
        if !fits {
            let width = self.lane;
            for line in wrap(&label, width - 2) {
                match frame.from {
                    CLIENT => self.row(time, "", &format!(" {line}"), ""),
                    _ => {
                        let padded = format!("{line} ");
                        self.row(time, "", &format!("{padded:>width$}"), "");
                    }
                }
            }
        }
        let shaft = if fits { label } else { String::new() };
        let lane = shape(&shaft, part, frame.from == CLIENT, self.lane);
        self.row(time, "", &lane, "");
    }
}

/// An arrow of so many columns.
fn shape(label: &str, part: Part, to_right: bool, width: usize) -> String {
    let dashes = |count: usize| "-".repeat(count);
    let used = label.chars().count();
    let rest = width.saturating_sub(used + 2);
    match (part, to_right) {
        (Part::Whole, true) => format!("--{label}{}>", dashes(rest.saturating_sub(1))),
        (Part::Whole, false) => format!("<{}{label}--", dashes(rest.saturating_sub(1))),
        (Part::Lost, true) => format!("--{label}{}X lost", dashes((rest.saturating_sub(6) / 2).max(1))),
        (Part::Lost, false) => {
            let shaft = format!("lost X{}{label}--", dashes((rest.saturating_sub(6) / 2).max(1)));
            format!("{shaft:>width$}")
        }
        (Part::Begin, true) => format!("--{label}--..."),
        (Part::Begin, false) => {
            let shaft = format!("...--{label}--");
            format!("{shaft:>width$}")
        }
        (Part::End, true) => {
            let shaft = format!("...--{label}-->");
            format!("{shaft:>width$}")
        }
        (Part::End, false) => format!("<--{label}--..."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_have_the_lanes_width_and_their_heads_where_they_go() {
        for part in [Part::Whole, Part::Begin, Part::End, Part::Lost] {
            for to_right in [true, false] {
                let arrow = shape("(7) ACK", part, to_right, 40);
                assert!(arrow.chars().count() <= 40, "{part:?}: {arrow}");
                let arrives = matches!(part, Part::Whole | Part::End);
                assert_eq!(arrow.ends_with('>'), arrives && to_right, "{part:?}: {arrow}");
                assert_eq!(arrow.starts_with('<'), arrives && !to_right, "{part:?}: {arrow}");
                assert_eq!(arrow.contains("lost"), part == Part::Lost);
            }
        }
    }
}
