//! What the server knows of one client.

use std::collections::VecDeque;

use crate::protocol::INPUTS_MOST;
use crate::world::Input;

/// How many inputs of a client one tick takes: one that was held up catches up at this pace, and nobody moves faster.
pub const INPUTS_PER_TICK: usize = 4;

#[derive(Debug)]
pub struct Session {
    pub token: u64,
    /// What the client chose for this session: a Join that comes twice begins one.
    pub nonce: u64,
    pub player: u16,
    /// The tick at which the client was last heard.
    pub heard: u32,
    /// The newest tick whose world the client says it has; 0 if none.
    pub acked: u32,
    /// How many inputs are in the world.
    pub applied: u32,
    /// Those after them, at most [`INPUTS_MOST`].
    waiting: VecDeque<Input>,
}

impl Session {
    pub fn new(token: u64, nonce: u64, player: u16, tick: u32) -> Session {
        Session { token, nonce, player, heard: tick, acked: 0, applied: 0, waiting: VecDeque::new() }
    }

    /// Takes what a datagram brings: whatever is lost, doubled or out of order on the way, each input is taken once and in
    /// order, for clients repeat what was not applied. What is past the bound will be repeated too.
    pub fn take(&mut self, tick: u32, ack: u32, first: u32, inputs: &[Input]) {
        self.heard = tick;
        // An older datagram may come late, and a client may say anything.
        if ack <= tick {
            self.acked = self.acked.max(ack);
        }
        let next = self.applied.saturating_add(self.waiting.len() as u32).saturating_add(1);
        let Some(known) = next.checked_sub(first) else { return };
        let room = INPUTS_MOST - self.waiting.len();
        self.waiting.extend(inputs.iter().skip(known as usize).take(room));
    }

    /// The next input for this tick.
    pub fn next_input(&mut self) -> Option<Input> {
        let input = self.waiting.pop_front()?;
        self.applied += 1;
        Some(input)
    }
}
