//! One send, followed: the steps by which the program's bytes went down on one side, and came up on the other.

use ostia_stack::{Direction, Layer};

use super::headers::{self, Header};
use super::story::{CLIENT, Entry, SERVER, Sent, Story, What, segment_of, segment_of_frame};

/// A layer that the bytes pass.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Which.
    pub layer: Layer,
    /// Which way.
    pub direction: Direction,
    /// All bytes there.
    pub bytes: Vec<u8>,
    /// The header that the layer has put in front, or takes off; a socket has none.
    pub header: Option<Header>,
}

impl Stop {
    fn new(layer: Layer, direction: Direction, bytes: &[u8]) -> Stop {
        let header = match layer {
            Layer::Socket => None,
            Layer::Transport => headers::tcp(bytes),
            Layer::Network => headers::network(bytes),
            Layer::Link => headers::ethernet_header(bytes),
        };
        Stop { layer, direction, bytes: bytes.to_vec(), header }
    }

    /// Bytes of its header.
    pub fn added(&self) -> usize {
        self.header.as_ref().map_or(0, |header| header.bytes.len())
    }
}

/// The whole way.
#[derive(Clone, Debug)]
pub struct Journey<'a> {
    /// Down: socket, transport, network, link.
    pub down: Vec<Stop>,
    /// The frame that came of it: the first, if there are several.
    pub sent: &'a Sent,
    /// How many segments were made of what the program sent.
    pub segments: usize,
    /// The frame that is followed up: the same one, unless that was lost.
    pub came: Option<&'a Sent>,
    /// Up: link, network, transport, socket.
    pub up: Vec<Stop>,
}

/// The entries behind a place, with their places.
fn from(story: &Story, at: usize) -> impl Iterator<Item = (usize, &Entry)> {
    story.entries.iter().enumerate().skip(at)
}

/// The first packet that passes a side's layer from a place in the story on, and that is as asked for.
fn pass(
    story: &Story,
    at: usize,
    (side, layer, direction): (usize, Layer, Direction),
    wanted: impl Fn(&[u8]) -> bool,
) -> Option<(usize, &[u8])> {
    from(story, at).filter(|(_, entry)| entry.side == side).find_map(|(place, entry)| match &entry.what {
        What::Passes { layer: passed, direction: way, bytes } if (*passed, *way) == (layer, direction) && wanted(bytes) => {
            Some((place, bytes.as_slice()))
        }
        _ => None,
    })
}

/// Follows the client's send; none if it never came to that.
pub fn follow(story: &Story) -> Option<Journey<'_>> {
    let data = |segment: Option<super::story::Segment>| segment.is_some_and(|segment| segment.len > 0);
    let down = |layer| (CLIENT, layer, Direction::Down);
    let (at, written) = pass(story, 0, down(Layer::Socket), |bytes| !bytes.is_empty())?;
    let (at, segment) = pass(story, at, down(Layer::Transport), |bytes| data(segment_of(bytes)))?;
    let (at, packet) = pass(story, at, down(Layer::Network), |bytes| bytes.ends_with(segment.get(20..).unwrap_or_default()))?;
    let (at, frame) = pass(story, at, down(Layer::Link), |bytes| data(segment_of_frame(bytes)))?;
    let stops = [(Layer::Socket, written), (Layer::Transport, segment), (Layer::Network, packet), (Layer::Link, frame)];
    let sent = from(story, at).find_map(|(_, entry)| match entry.what {
        What::Sent(place) => story.frames.get(place).filter(|sent| sent.bytes == frame),
        _ => None,
    })?;
    let first_time = |frame: &&Sent| frame.from == CLIENT && frame.again.is_none() && data(segment_of_frame(&frame.bytes));
    let segments = story.told().filter(first_time).count();
    let number = segment_of_frame(frame)?.sequence;
    let same = |frame: &Sent| segment_of_frame(&frame.bytes).is_some_and(|segment| segment.sequence == number && segment.len > 0);
    let came = story.told().find(|frame| frame.from == CLIENT && !frame.lost && same(frame));
    Some(Journey {
        down: stops.into_iter().map(|(layer, bytes)| Stop::new(layer, Direction::Down, bytes)).collect(),
        sent,
        segments,
        came,
        up: came.and_then(|frame| ascend(story, frame)).unwrap_or_default(),
    })
}

/// The way up of a frame that has come.
fn ascend(story: &Story, frame: &Sent) -> Option<Vec<Stop>> {
    let up = |layer| (SERVER, layer, Direction::Up);
    let (at, link) = pass(story, 0, up(Layer::Link), |bytes| bytes == frame.bytes)?;
    let (at, packet) = pass(story, at, up(Layer::Network), |_| true)?;
    let (at, segment) = pass(story, at, up(Layer::Transport), |_| true)?;
    let mut stops: Vec<Stop> = [(Layer::Link, link), (Layer::Network, packet), (Layer::Transport, segment)]
        .into_iter()
        .map(|(layer, bytes)| Stop::new(layer, Direction::Up, bytes))
        .collect();
    // Nothing more is read if it was not what was missing.
    let read = pass(story, at, up(Layer::Socket), |bytes| !bytes.is_empty());
    stops.extend(read.map(|(_, bytes)| Stop::new(Layer::Socket, Direction::Up, bytes)));
    Some(stops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Closing;
    use crate::stack::explain::story::Plan;
    use crate::stack::explain::world;

    fn story(length: usize, lose: &[usize]) -> Story {
        let text = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
        world::tell(&Plan { text, v6: false, close: Closing::Active, lose: lose.to_vec(), seed: 3 }).unwrap()
    }

    #[test]
    fn each_layer_down_adds_its_header_and_each_layer_up_takes_it_off() {
        let story = story(100, &[]);
        let journey = follow(&story).unwrap();
        let lengths = |stops: &[Stop]| stops.iter().map(|stop| stop.bytes.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&journey.down), [100, 132, 152, 166]);
        assert_eq!(lengths(&journey.up), [166, 152, 132, 100]);
        for pair in journey.down.windows(2) {
            assert_eq!(pair[1].bytes.len(), pair[0].bytes.len() + pair[1].added());
        }
        assert_eq!((journey.segments, journey.came.map(|frame| frame.number)), (1, Some(journey.sent.number)));
    }

    #[test]
    fn what_is_too_long_for_one_segment_goes_in_several_and_the_first_is_followed() {
        let story = story(4000, &[]);
        let journey = follow(&story).unwrap();
        assert_eq!(journey.segments, 3);
        let lengths: Vec<usize> = journey.down.iter().map(|stop| stop.bytes.len()).collect();
        assert_eq!(lengths, [4000, 1480, 1500, 1514]);
    }

    #[test]
    fn if_the_frame_is_lost_the_one_sent_again_is_followed_up() {
        let story_without = story(50, &[]);
        let number = follow(&story_without).unwrap().sent.number;
        let story = story(50, &[number]);
        let journey = follow(&story).unwrap();
        let came = journey.came.unwrap();
        assert!(journey.sent.lost && came.number > number && came.again.is_some());
        assert_eq!(journey.up.len(), 4);
    }
}
