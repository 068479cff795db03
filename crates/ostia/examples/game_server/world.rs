//! The game: players glide over a square field and collect coins. Whole numbers only, so that it is the same everywhere.

use std::collections::BTreeMap;

use crate::seeded::Seeded;

/// The field's side. Whoever reaches an edge bounces off.
pub const SIDE: i32 = 1 << 16;
/// How far one input moves a player at most, along each axis.
const FASTEST: i32 = 1024;
/// How near a coin has to be, along each axis, to be collected.
const REACH: i32 = 1500;
/// Ids from here on are coins, those below players.
pub const COINS_FROM: u16 = 0x8000;

/// What a player wants in one step: a push along each axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Input {
    pub dx: i8,
    pub dy: i8,
}

/// A player or a coin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entity {
    pub x: i32,
    pub y: i32,
    pub vx: i32,
    pub vy: i32,
    pub score: i32,
}

impl Entity {
    /// How many numbers an entity is made of.
    pub const FIELDS: usize = 5;

    pub fn fields(&self) -> [i32; Entity::FIELDS] {
        [self.x, self.y, self.vx, self.vy, self.score]
    }

    pub fn from_fields([x, y, vx, vy, score]: [i32; Entity::FIELDS]) -> Entity {
        Entity { x, y, vx, vy, score }
    }

    /// Moves by one input. Nothing but the input decides where to, so a client can do the same ahead of the server.
    pub fn apply(&mut self, input: Input) {
        (self.x, self.vx) = glide(self.x, self.vx, input.dx);
        (self.y, self.vy) = glide(self.y, self.vy, input.dy);
    }
}

fn glide(at: i32, speed: i32, push: i8) -> (i32, i32) {
    let speed = (speed * 7 / 8 + i32::from(push) * 4).clamp(-FASTEST, FASTEST);
    match at + speed {
        low if low < 0 => (-low, -speed),
        high if high > SIDE => (2 * SIDE - high, -speed),
        there => (there, speed),
    }
}

/// Everything that clients see, at one tick.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct World {
    pub tick: u32,
    pub entities: BTreeMap<u16, Entity>,
}

impl World {
    /// A number that two worlds share only if they are equal, but for chance (FNV-1a).
    pub fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut add = |number: u32| {
            for byte in number.to_be_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        add(self.tick);
        for (id, entity) in &self.entities {
            add(u32::from(*id));
            entity.fields().iter().for_each(|field| add(*field as u32));
        }
        hash
    }

    pub fn players(&self) -> usize {
        self.entities.range(..COINS_FROM).count()
    }
}

/// The world as the server keeps it: with what decides where coins appear, which clients don't know.
#[derive(Debug)]
pub struct Arena {
    pub world: World,
    chance: Seeded,
}

impl Arena {
    pub fn new(coins: u16, seed: u64) -> Arena {
        let mut arena = Arena { world: World::default(), chance: Seeded::new(seed) };
        for coin in 0..coins {
            let place = arena.place();
            arena.world.entities.insert(COINS_FROM + coin, place);
        }
        arena
    }

    fn place(&mut self) -> Entity {
        let mut along = || self.chance.below(SIDE as u64) as i32;
        Entity { x: along(), y: along(), ..Entity::default() }
    }

    pub fn enter(&mut self, player: u16) {
        let place = self.place();
        self.world.entities.insert(player, place);
    }

    pub fn leave(&mut self, player: u16) {
        self.world.entities.remove(&player);
    }

    pub fn apply(&mut self, player: u16, input: Input) {
        if let Some(player) = self.world.entities.get_mut(&player) {
            player.apply(input);
        }
    }

    /// Ends a tick: coins that are reached go to the player with the lowest number, and appear elsewhere.
    pub fn finish_tick(&mut self) {
        self.world.tick += 1;
        let coins: Vec<u16> = self.world.entities.range(COINS_FROM..).map(|(id, _)| *id).collect();
        for id in coins {
            let coin = self.world.entities[&id];
            let near = |player: &Entity| (player.x - coin.x).abs() < REACH && (player.y - coin.y).abs() < REACH;
            if let Some((_, player)) = self.world.entities.range_mut(..COINS_FROM).find(|(_, player)| near(player)) {
                player.score += 1;
                let elsewhere = self.place();
                self.world.entities.insert(id, elsewhere);
            }
        }
    }
}
