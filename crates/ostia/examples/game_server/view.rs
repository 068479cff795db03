//! What a client knows of the world: snapshots put together from their parts, and compared with the server's hash.

use std::collections::BTreeMap;

use crate::protocol::Snapshot;
use crate::server::HISTORY;
use crate::snapshot::apply;
use crate::world::World;

/// The most snapshots of which only some parts are there.
const UNFINISHED_MOST: usize = 8;

/// A world that was put together, and is the server's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    pub tick: u32,
    pub hash: u64,
    /// How many of the client's own inputs are in it.
    pub applied: u32,
}

/// What came out is not what the server has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Differs {
    pub tick: u32,
}

#[derive(Debug)]
struct Unfinished {
    baseline: u32,
    parts: Vec<Option<Vec<u8>>>,
}

#[derive(Debug, Default)]
pub struct View {
    /// The worlds that may still be a baseline, by tick.
    worlds: BTreeMap<u32, World>,
    unfinished: BTreeMap<u32, Unfinished>,
}

impl View {
    /// The newest world; none at first.
    pub fn newest(&self) -> Option<&World> {
        self.worlds.last_key_value().map(|(_, world)| world)
    }

    /// The tick of the newest world, 0 at first: what is acknowledged.
    pub fn tick(&self) -> u32 {
        self.newest().map_or(0, |world| world.tick)
    }

    /// Takes a part of a snapshot, in any order, and any number of times. Gives the newest world when it is complete.
    pub fn take(&mut self, snapshot: &Snapshot<'_>) -> Result<Option<Seen>, Differs> {
        // What is older than what is known tells nothing.
        if snapshot.tick <= self.tick() {
            return Ok(None);
        }
        let differs = Err(Differs { tick: snapshot.tick });
        let parts = usize::from(snapshot.parts);
        let whole = self.unfinished.entry(snapshot.tick);
        let whole = whole.or_insert_with(|| Unfinished { baseline: snapshot.baseline, parts: vec![None; parts] });
        if whole.baseline != snapshot.baseline || whole.parts.len() != parts {
            return differs;
        }
        whole.parts[usize::from(snapshot.part)] = Some(snapshot.body.to_vec());
        if whole.parts.iter().any(Option::is_none) {
            if self.unfinished.len() > UNFINISHED_MOST {
                self.unfinished.pop_first();
            }
            return Ok(None);
        }
        let empty = World::default();
        let base = if whole.baseline == 0 { Some(&empty) } else { self.worlds.get(&whole.baseline) };
        // The server takes only what was acknowledged and is not too old, so it is there.
        let world = base.and_then(|base| apply(base, snapshot.tick, whole.parts.iter().flatten().map(Vec::as_slice)));
        let Some(world) = world.filter(|world| world.hash() == snapshot.hash) else { return differs };
        self.unfinished = self.unfinished.split_off(&(snapshot.tick + 1));
        self.worlds.insert(snapshot.tick, world);
        self.worlds = self.worlds.split_off(&(snapshot.tick + 1).saturating_sub(HISTORY));
        Ok(Some(Seen { tick: snapshot.tick, hash: snapshot.hash, applied: snapshot.applied }))
    }
}
