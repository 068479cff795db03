//! Listeners that share a place (SO_REUSEPORT): to the stack they are one, and its connections are dealt out among them in turn.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ostia_port::SocketId;
use ostia_stack::Handle;

use crate::engine::StackEngine;
use crate::sockets::Socket;

/// Connections that are dealt to a listener before it has accepted those that it was dealt; further ones go to others, or stay in
/// the stack's queue.
const DEALT: usize = 64;

/// All groups.
#[derive(Default)]
pub(crate) struct Groups(Vec<Group>);

struct Group {
    local: SocketAddr,
    members: Vec<Member>,
    /// Whose turn it is.
    turn: usize,
}

struct Member {
    id: SocketId,
    dealt: VecDeque<Handle>,
}

impl Groups {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A listener that lets others share its place.
    pub(crate) fn found(&mut self, local: SocketAddr, id: SocketId) {
        self.0.push(Group { local, members: vec![Member { id, dealt: VecDeque::new() }], turn: 0 });
    }

    fn of(&mut self, id: SocketId) -> Option<&mut Group> {
        self.0.iter_mut().find(|group| group.members.iter().any(|member| member.id == id))
    }

    /// Whether connections were dealt to a listener.
    pub(crate) fn has_dealt(&self, id: SocketId) -> bool {
        self.0.iter().flat_map(|group| &group.members).any(|member| member.id == id && !member.dealt.is_empty())
    }
}

impl Group {
    /// Whether somebody can have another connection.
    fn has_room(&self) -> bool {
        self.members.iter().any(|member| member.dealt.len() < DEALT)
    }

    /// Gives a connection to the next one that can have another, round and round; to whom. There is always one.
    fn deal(&mut self, connection: Handle) -> SocketId {
        let count = self.members.len();
        let mut turns = (0..count).map(|step| (self.turn + step) % count);
        self.turn = turns.find(|&at| self.members[at].dealt.len() < DEALT).unwrap_or(self.turn);
        self.hand(connection)
    }

    /// Gives a connection to the next one, though that be more than is dealt at once; to whom. There is always one.
    fn hand(&mut self, connection: Handle) -> SocketId {
        let at = self.turn % self.members.len();
        self.turn = at + 1;
        self.members[at].dealt.push_back(connection);
        self.members[at].id
    }
}

impl StackEngine {
    /// A listener more at a place that is shared; none if nobody shares it.
    pub(crate) fn join_group(&mut self, local: SocketAddr) -> Option<SocketId> {
        let group =
            self.groups.0.iter().position(|group| (group.local.ip(), group.local.port()) == (local.ip(), local.port()))?;
        let first = self.groups.0[group].members.first()?.id;
        let Some(&Socket::Listener { handle, .. }) = self.sockets.get(first) else { return None };
        let id = self.sockets.insert(Socket::Listener { handle, local });
        // The stack's events go on naming one of them, the first.
        self.sockets.name(handle, first);
        self.groups.0[group].members.push(Member { id, dealt: VecDeque::new() });
        Some(id)
    }

    /// A listener may have new connections: those of a shared place are dealt out.
    pub(crate) fn deal(&mut self, id: SocketId) {
        let Some(&Socket::Listener { handle, .. }) = self.sockets.get(id) else { return };
        let Some(group) = self.groups.of(id).filter(|group| group.members.len() > 1) else { return };
        // A look in vain is nobody's turn.
        while group.has_room()
            && let Ok(connection) = self.stack.accept(handle)
        {
            self.to_wake.push(group.deal(connection));
        }
    }

    /// A connection that a listener has not accepted goes to the next one of its place; where there is none, its peer is told by a
    /// reset.
    pub(crate) fn deal_again(&mut self, connection: Handle) {
        let place = self.stack.addresses(connection).map(|((address, port), _)| (address.ip(), port));
        let is_its = |group: &&mut Group| {
            place.is_ok_and(|(ip, port)| {
                group.local.port() == port && (group.local.ip() == ip || group.local.ip().is_unspecified())
            })
        };
        match self.groups.0.iter_mut().find(is_its) {
            Some(group) => {
                let woken = group.hand(connection);
                self.to_wake.push(woken);
            }
            // It may have gone by itself.
            None => drop(self.stack.abort(connection)),
        }
    }

    /// The next connection that was dealt to a listener.
    pub(crate) fn take_dealt(&mut self, id: SocketId) -> Option<Handle> {
        self.deal(id);
        let group = self.groups.of(id)?;
        group.members.iter_mut().find(|member| member.id == id)?.dealt.pop_front()
    }

    /// Takes a listener out of its group. What was dealt to it goes to the others. True if those go on, and nothing is left to be
    /// closed.
    pub(crate) fn leave_group(&mut self, id: SocketId) -> bool {
        let Some(at) = self.groups.0.iter().position(|group| group.members.iter().any(|member| member.id == id)) else {
            return false;
        };
        let group = &mut self.groups.0[at];
        let Some(member) = group.members.iter().position(|member| member.id == id) else { return false };
        let left = group.members.remove(member);
        let Some(first) = group.members.first().map(|member| member.id) else {
            self.groups.0.swap_remove(at);
            for connection in left.dealt {
                // Nobody has accepted it: as with those in the stack's own queue, the peer is told by a reset.
                let _ = self.stack.abort(connection);
            }
            return false;
        };
        group.turn = 0;
        for connection in left.dealt {
            self.to_wake.push(group.hand(connection));
        }
        let removed = self.sockets.remove(id);
        if let Some(Socket::Listener { handle, .. }) = removed {
            self.sockets.name(handle, first);
        }
        true
    }
}
