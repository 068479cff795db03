//! A client that plays by itself: joins, moves as its seed says, sees what the server sees, and leaves.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ostia::select;
use ostia::sync::CancellationToken;
use ostia::time::{interval, sleep};

use crate::protocol::{Answer, INPUTS_MOST, Refusal, Request};
use crate::seeded::Seeded;
use crate::view::{Differs, Seen, View};
use crate::wire::{Trouble, Wire};
use crate::world::{Entity, Input};

/// How long to wait for an answer to a handshake before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How often to ask.
const ASKS: u32 = 100;
/// After so many of its own ticks without a snapshot a client takes the server for gone.
const SILENCE_MOST: u32 = 300;
/// Leaving is not acknowledged: it is said more than once.
const FAREWELLS: u32 = 3;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub server: SocketAddr,
    /// Of the moves, the nonce, and the trouble.
    pub seed: u64,
    /// How many worlds to see, with at least as many inputs made, before leaving.
    pub worlds: u32,
    pub trouble: Trouble,
}

/// What a client has lived through.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    pub player: u16,
    /// Every world that was put together; each had the hash that the server gave.
    pub seen: Vec<Seen>,
    /// Inputs made, all of which the server has applied if the client left by itself.
    pub inputs: u32,
    /// How often the server had the player elsewhere than the client had reckoned; after the first world, never.
    pub surprises: u32,
    pub score: i32,
    /// Datagrams lost on purpose.
    pub lost: u64,
}

/// Why a client has stopped before its time.
#[derive(Debug)]
pub enum PlayError {
    Refused(Refusal),
    /// The server doesn't answer, or no longer.
    Silent,
    /// The server has ended.
    Ended,
    Differs(Differs),
    Io(io::Error),
}

impl fmt::Display for PlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlayError::Refused(Refusal::Full) => f.write_str("the server is full"),
            PlayError::Silent => f.write_str("the server doesn't answer"),
            PlayError::Ended => f.write_str("the server has ended"),
            PlayError::Differs(Differs { tick }) => write!(f, "the world at tick {tick} is not the server's"),
            PlayError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PlayError {}

impl From<io::Error> for PlayError {
    fn from(error: io::Error) -> PlayError {
        PlayError::Io(error)
    }
}

/// What a Welcome tells.
struct Seat {
    token: u64,
    player: u16,
    rate: u16,
}

/// Plays until enough worlds were seen or it is told to stop.
pub async fn play(settings: Settings, stop: &CancellationToken) -> Result<Report, PlayError> {
    let mut wire = Wire::to(settings.server, settings.trouble, settings.seed)?;
    let mut chance = Seeded::new(settings.seed);
    let nonce = chance.next();
    let Some(joined) = stop.run_until_cancelled(join(&mut wire, nonce)).await else { return Ok(Report::default()) };
    let mut player = Player::new(joined?, chance);
    let mut ticks = interval(Duration::from_secs(1) / u32::from(player.seat.rate));
    let mut out = Vec::new();
    let mut silence = 0;
    while !player.is_done(settings.worlds) {
        select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {
                silence += 1;
                if silence > SILENCE_MOST {
                    return Err(PlayError::Silent);
                }
                player.move_on(settings.worlds);
                player.inputs().encode(&mut out);
                wire.send(&out).await?;
            }
            datagram = wire.recv() => match Answer::decode(datagram?) {
                Some(Answer::Snapshot(snapshot)) if snapshot.token == player.seat.token => {
                    silence = 0;
                    let seen = player.view.take(&snapshot).map_err(PlayError::Differs)?;
                    if let Some(seen) = seen {
                        player.reconcile(seen);
                    }
                }
                Some(Answer::Goodbye { token }) if token == player.seat.token => return Err(PlayError::Ended),
                // Late answers to the handshake, or noise.
                _ => {}
            }
        }
    }
    Request::Leave { token: player.seat.token }.encode(&mut out);
    for _ in 0..FAREWELLS {
        wire.send(&out).await?;
    }
    let score = player.view.newest().and_then(|world| world.entities.get(&player.seat.player)).map_or(0, |own| own.score);
    Ok(Report { score, lost: wire.lost, ..player.report })
}

async fn join(wire: &mut Wire, nonce: u64) -> Result<Seat, PlayError> {
    let mut out = Vec::new();
    let mut ask = Request::Hello { nonce };
    for _ in 0..ASKS {
        ask.encode(&mut out);
        wire.send(&out).await?;
        let mut patience = std::pin::pin!(sleep(ASK_AGAIN));
        loop {
            let datagram = select! {
                () = &mut patience => break,
                datagram = wire.recv() => datagram?,
            };
            match Answer::decode(datagram) {
                Some(Answer::Challenge { nonce: ours, cookie }) if ours == nonce => {
                    // A cookie that comes late is taken too: the one before may have run out.
                    ask = Request::Join { nonce, cookie };
                    break;
                }
                Some(Answer::Welcome { nonce: ours, token, player, rate }) if ours == nonce => {
                    return Ok(Seat { token, player, rate });
                }
                Some(Answer::Refused { nonce: ours, why }) if ours == nonce => return Err(PlayError::Refused(why)),
                _ => {}
            }
        }
    }
    Err(PlayError::Silent)
}

/// The client's side of its player.
struct Player {
    seat: Seat,
    view: View,
    chance: Seeded,
    wish: Input,
    /// Inputs that the server has not said it applied, at most [`INPUTS_MOST`]; they go out until it has.
    waiting: VecDeque<Input>,
    /// How many it has.
    applied: u32,
    /// Where the player is once the waiting inputs are applied, and where it was after each of them: the newest last.
    reckoned: VecDeque<Entity>,
    report: Report,
}

impl Player {
    fn new(seat: Seat, chance: Seeded) -> Player {
        let report = Report { player: seat.player, ..Report::default() };
        let (waiting, reckoned) = (VecDeque::new(), VecDeque::new());
        Player { seat, view: View::default(), chance, wish: Input::default(), waiting, applied: 0, reckoned, report }
    }

    /// Enough worlds, and nothing on the way.
    fn is_done(&self, worlds: u32) -> bool {
        self.report.seen.len() >= worlds as usize && self.report.inputs >= worlds && self.waiting.is_empty()
    }

    /// Makes an input, unless too many wait for the server or enough were made, and reckons where it leads.
    fn move_on(&mut self, worlds: u32) {
        let enough = self.report.inputs >= worlds && self.report.seen.len() >= worlds as usize;
        if enough || self.waiting.len() == INPUTS_MOST {
            return;
        }
        if self.chance.chance(10) {
            let push = self.chance.next();
            self.wish = Input { dx: push as i8, dy: (push >> 8) as i8 };
        }
        self.report.inputs += 1;
        self.waiting.push_back(self.wish);
        if let Some(mut own) = self.reckoned.back().copied() {
            own.apply(self.wish);
            self.reckoned.push_back(own);
        }
    }

    fn inputs(&self) -> Request {
        let inputs = self.waiting.iter().copied().collect();
        Request::Inputs { token: self.seat.token, ack: self.view.tick(), first: self.applied + 1, inputs }
    }

    /// Takes the server's word for where the player was after the inputs that it has applied, and reckons on from there.
    fn reconcile(&mut self, seen: Seen) {
        self.report.seen.push(seen);
        let made = self.report.inputs;
        // The server can't have applied what was not made, nor take back what it has.
        let newly = seen.applied.min(made).saturating_sub(self.applied) as usize;
        self.waiting.drain(..newly.min(self.waiting.len()));
        self.applied += newly as u32;
        let world = self.view.newest();
        let Some(own) = world.and_then(|world| world.entities.get(&self.seat.player)).copied() else { return };
        // The first place reckoned is the one before the first waiting input.
        self.reckoned.drain(..newly.min(self.reckoned.len()));
        if let Some(reckoned) = self.reckoned.front()
            && (reckoned.x, reckoned.y, reckoned.vx, reckoned.vy) != (own.x, own.y, own.vx, own.vy)
        {
            self.report.surprises += 1;
        }
        self.reckoned.clear();
        self.reckoned.push_back(own);
        let mut ahead = own;
        for input in &self.waiting {
            ahead.apply(*input);
            self.reckoned.push_back(ahead);
        }
    }
}
