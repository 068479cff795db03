//! What a world has come to.

use std::time::Duration;

use crate::record::{Note, Tally};

/// A world that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The seed that it came from.
    pub seed: u64,
    /// The hash of all that has happened: of every frame sent, lost and delivered, its time and its bytes, and of every note.
    pub hash: u128,
    /// How many events that were.
    pub events: u64,
    /// How long it was there, in its own time.
    pub time: Duration,
    /// Why it has ended.
    pub end: End,
    /// What has happened to frames, on all links.
    pub frames: Tally,
    /// And on each, by name.
    pub links: Vec<(String, Tally)>,
    /// What has become of each program, in the order in which they were started.
    pub programs: Vec<ProgramReport>,
    /// What programs have said, the first 10,000 notes.
    pub notes: Vec<Note>,
    /// Why captures are not whole, if they were asked for and aren't.
    pub uncaptured: Option<String>,
}

/// Why a world has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Every client is done.
    Done,
    /// Its time was over.
    Late,
    /// Nothing could happen any more, or time stood still; the reason.
    Stuck(String),
}

/// What has become of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramReport {
    /// Its host.
    pub host: String,
    /// Its name.
    pub name: String,
    /// Whether the world waited for it.
    pub client: bool,
    /// How far it came.
    pub state: State,
}

/// How far a program came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It has ended well, at this time.
    Done(Duration),
    /// It has ended with an error, at this time.
    Failed(Duration, String),
    /// It was running when the world ended.
    Running,
}

impl Report {
    /// Whether every client has ended well, no service has failed, and captures that were asked for are whole.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.failures().next().is_none() && self.uncaptured.is_none()
    }

    /// Programs that have failed, and clients that weren't done.
    pub fn failures(&self) -> impl Iterator<Item = &ProgramReport> {
        self.programs.iter().filter(|program| match program.state {
            State::Done(_) => false,
            State::Failed(..) => true,
            State::Running => program.client,
        })
    }

    /// The hash as it is shown: 32 hexadecimal digits.
    #[must_use]
    pub fn hash_text(&self) -> String {
        format!("{:032x}", self.hash)
    }
}
