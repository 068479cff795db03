//! The engine: frames from the link to the stack and back, and who is to be woken.

use std::io;
use std::mem;
use std::time::Duration;

use ostia_link::{Link, Medium as LinkMedium, Statistics};
use ostia_port::{Remote, Turned, Woken};
use ostia_stack::{AddressOrigin, AddressState, Instant, Kind, LinkAddress, LinkConfig, LinkId, Medium, Stack, Transmit};
use ostia_wire::Frame;

use crate::branch::{Branch, Desk, Owner};
use crate::config::NetConfig;
use crate::groups::Groups;
use crate::sockets::{Progress, Socket, Sockets};

/// The one link of the stack.
pub(crate) const LINK: LinkId = LinkId(0);

/// Frames that are taken in before others have their turn.
const SHARE: usize = 64;

/// What is no longer is copied out of a long buffer that it was received into, which takes the next one then. Else a flood of short
/// frames had each a buffer for 64 KiB, of which there aren't enough to use again.
const SHORT: usize = 1600;

/// How often, of the times that one frame came, a second one is asked for.
const PROBE: u8 = 8;

/// Bytes of frames that are made in a turn, and handed to the link at its end: one super-segment, or as many segments. With more,
/// what comes in would wait for what goes out.
const PART: usize = 64 << 10;

/// From when on a turn counts as late.
const LATE: Duration = Duration::from_millis(5);

/// How the stack's turns kept to their times.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timeliness {
    /// Turns in which something was due.
    pub turns: u64,
    /// Of those, turns that came more than 5 ms late: something had kept the thread.
    pub late: u64,
    /// The greatest lateness.
    pub worst: Duration,
}

/// A stack and its link, to be added to a port.
pub struct StackEngine {
    pub(crate) stack: Stack,
    pub(crate) link: Box<dyn Link>,
    pub(crate) sockets: Sockets,
    /// Why the link is gone, if it is.
    pub(crate) gone: Option<io::Error>,
    /// Frames that are to be sent, the first first; from `sent` on.
    out: Vec<Transmit>,
    sent: usize,
    incoming: Vec<Frame>,
    /// There are likely to be several frames when some come next.
    many: bool,
    /// How often in a row no more than one came.
    singles: u8,
    /// When the last turn was.
    now: Instant,
    deadline: Instant,
    timeliness: Timeliness,
    /// Sockets whose state has changed by a call on another one or by this engine's own doing.
    pub(crate) to_wake: Woken,
    /// Listeners that share their places.
    pub(crate) groups: Groups,
    /// What there is of branches, and which of the sockets are theirs.
    pub(crate) desks: Vec<Desk>,
    pub(crate) owners: Vec<Option<Owner>>,
    remote: Option<Remote>,
}

impl StackEngine {
    /// A stack on a link.
    ///
    /// # Errors
    /// InvalidInput names what is wrong with the addresses, the gateways or the MTU.
    pub fn new(link: Box<dyn Link>, config: &NetConfig) -> io::Result<StackEngine> {
        let facts = link.facts();
        let mut stack = Stack::new(config.stack.clone(), config.seed);
        let medium = match (facts.medium, facts.mac) {
            (LinkMedium::Ethernet, Some(mac)) => Medium::Ethernet(mac),
            _ => Medium::Ip,
        };
        let (mtu, ethernet) = (facts.mtu, medium != Medium::Ip);
        let added = stack.add_link(LinkConfig {
            name: facts.name.clone(),
            medium,
            mtu,
            checksum_offload: facts.checksum_offload,
            gso_max: facts.max_gso,
        });
        added.map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("an MTU of {mtu} is too small: IP needs 68")))?;
        config.apply(&mut stack, LINK, mtu, ethernet)?;
        Ok(StackEngine {
            stack,
            link,
            sockets: Sockets::default(),
            gone: None,
            out: Vec::new(),
            sent: 0,
            incoming: Vec::new(),
            many: true,
            singles: 0,
            now: Instant::default(),
            deadline: Instant::NEVER,
            timeliness: Timeliness::default(),
            to_wake: Woken::default(),
            groups: Groups::default(),
            desks: Vec::new(),
            owners: Vec::new(),
            remote: None,
        })
    }

    /// The stack.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The stack, to be changed: addresses, routes, its tracer. Sockets of the port should be left alone.
    pub fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// The link's name.
    pub fn link_name(&self) -> &str {
        &self.link.facts().name
    }

    /// The addresses that DHCP has given and that are in use.
    pub fn leased(&self) -> impl Iterator<Item = std::net::IpAddr> + '_ {
        let leased = |address: &LinkAddress| address.origin == AddressOrigin::Dhcp && address.state == AddressState::Preferred;
        self.stack.link_addresses(LINK).filter(leased).map(|address| address.address.ip())
    }

    /// The name servers that DHCP and router advertisements have named, at DNS' port.
    pub fn name_servers(&self) -> Vec<std::net::SocketAddr> {
        self.stack.name_servers(LINK).map(|server| std::net::SocketAddr::new(server.ip(), 53)).collect()
    }

    /// Its addresses, and what each can be used for. Where others are asked first whether they have it (IPv6 on Ethernet) that
    /// takes a second or so from the start; until then nothing can be bound to it.
    pub fn addresses(&self) -> impl Iterator<Item = (std::net::IpAddr, AddressState)> + '_ {
        self.stack.link_addresses(LINK).map(|address| (address.address.ip(), address.state))
    }

    /// Why the link is gone, if it is; the network is down then and stays so.
    pub fn failure(&self) -> Option<&io::Error> {
        self.gone.as_ref()
    }

    /// What the link has carried and dropped.
    pub fn link_statistics(&self) -> Statistics {
        self.link.statistics()
    }

    /// How the turns kept to their times.
    pub fn timeliness(&self) -> Timeliness {
        self.timeliness
    }

    /// Has frames that come to a link in memory wake a port, and letters of branches.
    pub(crate) fn be_of(&mut self, remote: Remote) {
        self.desks.iter().for_each(|desk| desk.attached(remote.clone()));
        self.remote = Some(remote.clone());
        self.link.set_wake(Some(std::sync::Arc::new(move || remote.wake())));
    }

    /// An engine for the port of another thread, whose sockets are this stack's.
    pub(crate) fn new_branch(&mut self) -> Branch {
        let (desk, branch) = Desk::open(self.stack.options());
        self.remote.clone().into_iter().for_each(|remote| desk.attached(remote));
        match self.desks.iter_mut().find(|desk| desk.is_vacant()) {
            Some(place) => *place = desk,
            None => self.desks.push(desk),
        }
        branch
    }

    /// Takes in what has come.
    pub(crate) fn take_in(&mut self, now: u64, woken: &mut Woken) -> bool {
        if self.gone.is_some() {
            self.wake_changed(woken);
            return false;
        }
        let room = self.link.facts().frame_room();
        let share = if self.many || self.link.descriptor().is_none() { SHARE } else { 1 };
        let mut spare = None;
        while self.incoming.len() < share {
            let mut frame = spare.take().unwrap_or_else(|| self.stack.frame(room));
            match self.link.receive(&mut frame) {
                Ok(true) if frame.len() <= SHORT && frame.truesize() > 2 * SHORT => {
                    let mut short = self.stack.frame(frame.len());
                    short.extend(frame.as_slice());
                    short.meta = frame.meta;
                    self.incoming.push(short);
                    spare = Some(frame);
                }
                Ok(true) => self.incoming.push(frame),
                Ok(false) => {
                    spare = Some(frame);
                    break;
                }
                Err(error) => {
                    self.lose_link(error);
                    break;
                }
            }
        }
        if let Some(frame) = spare {
            self.stack.recycle(frame);
        }
        // One that comes alone is mostly an answer, and nothing is behind it: to ask would be a call in vain. Now and then it is
        // asked all the same, and whoever has several queued has them taken in together from then on.
        let taken = self.incoming.len();
        self.singles = if taken > 1 { 0 } else { self.singles.wrapping_add(1) };
        self.many = taken > 1 || self.singles.is_multiple_of(PROBE);
        if taken > 0 {
            self.now = Instant(now);
            self.stack.input(LINK, self.incoming.drain(..), Instant(now));
        }
        self.wake_changed(woken);
        taken == share && share > 1
    }

    /// Does what is due, and sends.
    pub(crate) fn send_out(&mut self, now: u64, woken: &mut Woken) -> Turned {
        let now = Instant(now);
        self.now = now;
        if self.deadline <= now {
            let late = now.since(self.deadline);
            self.timeliness.turns += 1;
            self.timeliness.late += u64::from(late > LATE);
            self.timeliness.worst = self.timeliness.worst.max(late);
        }
        self.read_requests();
        // What is made is handed on before more is made: the peer has it meanwhile, and it is still in the cache.
        let mut more = self.flush() && self.stack.poll_transmit_some(now, &mut self.out, PART);
        let flushed = self.flush();
        more &= flushed;
        self.wake_changed(woken);
        self.deadline = if flushed { self.stack.next_deadline() } else { Instant::NEVER };
        let deadline = (self.deadline.is_set() && self.gone.is_none()).then_some(self.deadline.0);
        Turned { more, deadline, blocked: !flushed }
    }

    /// Tells the server of a lease that nobody uses its address any more (RFC 2131, 4.4.6), so that another may have it.
    fn release_lease(&mut self) {
        let leased = self.gone.is_none() && self.stack.dhcp_lease(LINK).is_some();
        if leased && self.stack.set_dhcp(LINK, false).is_ok() {
            self.stack.poll_transmit(self.now, &mut self.out);
            // What the link has no room for is lost, as it may be on its way: the lease ends by itself, only later.
            self.flush();
        }
    }

    /// Gives the link what it takes; whether that was all.
    fn flush(&mut self) -> bool {
        while let Some(transmit) = self.out.get(self.sent) {
            if self.gone.is_none() {
                match self.link.transmit(&transmit.frame) {
                    Ok(true) => {}
                    Ok(false) => return false,
                    Err(error) => self.lose_link(error),
                }
            }
            let frame = mem::take(&mut self.out[self.sent].frame);
            self.stack.recycle(frame);
            self.sent += 1;
        }
        self.out.clear();
        self.sent = 0;
        true
    }

    /// The link is gone: nothing will come or go any more, and every socket is told.
    fn lose_link(&mut self, error: io::Error) {
        tracing::error!(link = self.link_name(), %error, "the link is gone: its network is down");
        // There is one link, so it is there.
        let _ = self.stack.set_link_up(LINK, false);
        self.gone = Some(error);
        let ids: Vec<_> = self.sockets.ids().collect();
        ids.into_iter().for_each(|id| self.to_wake.push(id));
    }

    /// Names the sockets to which something has happened.
    fn wake_changed(&mut self, woken: &mut Woken) {
        let first = woken.sockets().len();
        woken.append(&mut self.to_wake);
        while let Some(event) = self.stack.poll_event() {
            let Some(id) = self.sockets.named(event.socket) else { continue };
            if let Some(Socket::Stream(stream)) = self.sockets.get_mut(id)
                && stream.progress == Progress::Connecting
            {
                match event.kind {
                    Kind::Connected => stream.progress = Progress::Connected,
                    Kind::Failed(error) => stream.progress = Progress::Failed(error),
                    Kind::Closed => stream.progress = Progress::Failed(ostia_stack::Error::ConnectionReset),
                    _ => {}
                }
            }
            woken.push(id);
        }
        let mut at = first;
        // To deal a connection out, or to report on it, may concern more sockets.
        while let Some(&id) = woken.sockets().get(at)
            && (!self.desks.is_empty() || !self.groups.is_empty())
        {
            self.deal(id);
            self.report(id);
            woken.append(&mut self.to_wake);
            at += 1;
        }
        self.tell_branches();
    }
}

impl std::fmt::Debug for StackEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StackEngine").field("link", &self.link_name()).field("gone", &self.gone).finish_non_exhaustive()
    }
}

impl Drop for StackEngine {
    fn drop(&mut self) {
        self.release_lease();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use ostia_link::Facts;

    use super::*;

    /// A link to which so many short frames have come, and which notes the memory that it puts them into.
    struct Flooded {
        facts: Facts,
        left: usize,
        into: Arc<Mutex<BTreeSet<usize>>>,
    }

    impl Link for Flooded {
        fn facts(&self) -> &Facts {
            &self.facts
        }

        fn descriptor(&self) -> Option<ostia_link::Descriptor<'_>> {
            None
        }

        fn receive(&mut self, frame: &mut Frame) -> io::Result<bool> {
            let Some(left) = self.left.checked_sub(1) else { return Ok(false) };
            self.left = left;
            let room = self.facts.frame_room();
            let buffer = mem::take(frame).recycle();
            assert!(buffer.capacity() >= room, "there is room for the longest");
            *frame = Frame::reuse(buffer);
            frame.extend(&[0x45; 40]);
            self.into.lock().expect("no panic").insert(frame.as_slice().as_ptr() as usize);
            Ok(true)
        }

        fn transmit(&mut self, _: &Frame) -> io::Result<bool> {
            Ok(true)
        }

        fn statistics(&self) -> Statistics {
            Statistics::default()
        }
    }

    #[test]
    fn a_flood_of_short_frames_takes_one_long_buffer() {
        let into = Arc::new(Mutex::new(BTreeSet::new()));
        let facts = Facts::new("flooded".to_owned(), LinkMedium::Ip, 1500, None).with_offloads();
        let link = Flooded { facts, left: 1000, into: into.clone() };
        let config = NetConfig::new([1; 32]).with_address([10, 7, 0, 2].into(), 24);
        let mut engine = StackEngine::new(Box::new(link), &config).expect("a stack");
        let mut now = 0;
        while engine.take_in(now, &mut Woken::default()) {
            now += 1000;
        }
        // All of them have come, and were dropped for what they are.
        assert_eq!(engine.stack.drops().total(), 1000);
        assert_eq!(into.lock().expect("no panic").len(), 1);
    }
}
