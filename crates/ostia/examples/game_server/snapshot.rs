//! The difference between two worlds, in parts that each fit into a datagram and make sense alone.
//!
//! A part is a run of records: an id, a byte whose bits say which of the entity's numbers follow (the highest: the entity is
//! gone), and these numbers less what they were. The baseline of a client that has seen nothing is the empty world.

use crate::bytes::{Put, Reader};
use crate::protocol::PART_MOST;
use crate::world::{Entity, World};

const GONE: u8 = 0x80;
/// Id, bits, and five bytes for each number.
const RECORD_MOST: usize = 3 + 5 * Entity::FIELDS;

/// What turns `base` into `now`: at least one part, each of at most [`PART_MOST`] bytes.
pub fn delta(base: &World, now: &World) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let room = |parts: &mut Vec<Vec<u8>>| {
        if parts.last().is_some_and(|part| part.len() + RECORD_MOST > PART_MOST) {
            parts.push(Vec::new());
        }
        parts.len() - 1
    };
    for (id, entity) in &now.entities {
        let before = base.entities.get(id);
        // One that is new is written even if all its numbers are 0.
        if before == Some(entity) {
            continue;
        }
        let (old, new) = (before.copied().unwrap_or_default().fields(), entity.fields());
        let at = room(&mut parts);
        let part = &mut parts[at];
        part.put_u16(*id);
        part.put_u8((0..Entity::FIELDS).map(|field| u8::from(old[field] != new[field]) << field).sum());
        for (old, new) in old.into_iter().zip(new).filter(|(old, new)| old != new) {
            part.put_signed(new.wrapping_sub(old));
        }
    }
    for id in base.entities.keys().filter(|id| !now.entities.contains_key(id)) {
        let at = room(&mut parts);
        parts[at].put_u16(*id);
        parts[at].put_u8(GONE);
    }
    parts
}

/// The world at `tick`, from its baseline and all parts of the difference. None if a part is malformed.
pub fn apply<'a>(base: &World, tick: u32, parts: impl IntoIterator<Item = &'a [u8]>) -> Option<World> {
    let mut world = World { tick, entities: base.entities.clone() };
    for part in parts {
        let mut reader = Reader(part);
        while reader.end().is_none() {
            let (id, bits) = (reader.u16()?, reader.u8()?);
            if bits == GONE {
                world.entities.remove(&id)?;
                continue;
            }
            let mut fields = world.entities.get(&id).copied().unwrap_or_default().fields();
            if bits >> Entity::FIELDS != 0 {
                return None;
            }
            for (_, value) in fields.iter_mut().enumerate().filter(|(field, _)| bits >> field & 1 == 1) {
                *value = value.wrapping_add(reader.signed()?);
            }
            world.entities.insert(id, Entity::from_fields(fields));
        }
    }
    Some(world)
}
