//! The states of a DHCP client (RFC 2131, 4.4): what it asks for when, and what it makes of the answers.

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use crate::address::Address;
use crate::env::Env;
use crate::ip::prefix::Prefix;
use crate::time::Instant;

/// The wait before the first message, so that hosts which start together don't ask together (RFC 2131, 4.4.1, has 1 to 10 s).
const START_DELAY: Duration = Duration::from_secs(1);
/// The first wait for an answer, doubled up to the longest and varied by a second either way (RFC 2131, 4.1).
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// Requests for an offered address before it is given up (RFC 2131, 3.1, 5).
const REQUESTS: u8 = 4;
/// The least wait before renewing or rebinding again (RFC 2131, 4.4.5).
const LEAST_RENEWAL: Duration = Duration::from_secs(60);
/// The wait after an address turned out to be taken (RFC 2131, 3.1, 5).
const DECLINE_WAIT: Duration = Duration::from_secs(10);
/// The shortest lease that is believed: a server must not keep its clients busy.
const LEAST_LEASE: Duration = Duration::from_secs(60);
const FOREVER: u32 = u32::MAX;

/// What a DHCP server has granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The address.
    pub address: Address,
    /// How many bits of it are the network's.
    pub prefix: u8,
    /// The server.
    pub server: Address,
    /// Networks with their prefix, and the router to each; none: they are on the link.
    pub routes: Vec<(Address, u8, Option<Address>)>,
    /// Name servers, the best first.
    pub name_servers: Vec<Address>,
    /// When it ends.
    pub expires: Instant,
}

/// What kind of answer a server gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Offer,
    Ack,
    Nak,
}

/// A server's answer, found whole and addressed to this client.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) transaction: u32,
    pub(crate) address: Ipv4Addr,
    pub(crate) server: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) routes: Vec<(Address, u8, Option<Address>)>,
    pub(crate) name_servers: Vec<Address>,
    /// In seconds.
    pub(crate) lease: u32,
    pub(crate) renew: Option<u32>,
    pub(crate) rebind: Option<u32>,
}

/// A message to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    /// To all: who has an address?
    Discover,
    /// To all: this one, of this server.
    Request(Ipv4Addr, Ipv4Addr),
    /// To the server: the same for longer.
    Renew(Ipv4Addr, Ipv4Addr),
    /// To all: the same for longer.
    Rebind(Ipv4Addr),
    /// To all: somebody has this address already.
    Decline(Ipv4Addr, Ipv4Addr),
    /// To the server: it is needed no more.
    Release(Ipv4Addr, Ipv4Addr),
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Send(Ask),
    /// The lease holds: its address is to be assigned, or prolonged.
    Configure(Lease),
    /// The address isn't ours any more.
    Withdraw(Address),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Init,
    Selecting,
    Requesting {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
    /// Acknowledged; others on the link are asked whether they have the address.
    Checking,
    Bound,
    Renewing,
    Rebinding,
}

/// The client of one link.
pub(crate) struct Dhcp {
    state: State,
    transaction: u32,
    /// When the transaction began: the message says how long ago that was.
    began: Instant,
    tries: u8,
    timer: Instant,
    lease: Option<Lease>,
    renew_at: Instant,
    rebind_at: Instant,
}

impl Dhcp {
    /// A client that begins soon.
    pub(crate) fn new(env: &mut Env) -> Dhcp {
        let mut new = Dhcp {
            state: State::Init,
            transaction: 0,
            began: env.now,
            tries: 0,
            timer: Instant::NEVER,
            lease: None,
            renew_at: Instant::NEVER,
            rebind_at: Instant::NEVER,
        };
        new.start(env);
        new
    }

    /// Begins anew, keeping what it has until that ends or is refused.
    pub(crate) fn start(&mut self, env: &mut Env) {
        match &self.lease {
            // It may be another network now: everybody is asked whether the lease still holds (RFC 2131, 3.7).
            Some(lease) if self.state != State::Checking && lease.expires > env.now => {
                self.state = State::Rebinding;
                self.begin(env);
                self.timer = env.now;
            }
            _ => self.restart(env, START_DELAY),
        }
    }

    fn restart(&mut self, env: &mut Env, within: Duration) {
        self.state = State::Init;
        self.lease = None;
        self.timer = env.now + Duration::from_nanos(env.random.below(within.as_nanos() as u64));
    }

    fn begin(&mut self, env: &mut Env) {
        self.transaction = env.random.u32();
        self.began = env.now;
        self.tries = 0;
    }

    /// The lease that holds.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref().filter(|_| matches!(self.state, State::Bound | State::Renewing | State::Rebinding))
    }

    /// The number of the transaction, and for how many seconds it has gone on.
    pub(crate) fn transaction(&self, now: Instant) -> (u32, u16) {
        (self.transaction, u16::try_from(now.since(self.began).as_secs()).unwrap_or(u16::MAX))
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> Instant {
        self.timer
    }

    /// What is due now.
    pub(crate) fn expire(&mut self, env: &mut Env, steps: &mut Vec<Step>) {
        if self.timer > env.now {
            return;
        }
        match self.state {
            State::Init => {
                self.begin(env);
                self.state = State::Selecting;
                self.retry(env);
                steps.push(Step::Send(Ask::Discover));
            }
            State::Selecting => {
                self.retry(env);
                steps.push(Step::Send(Ask::Discover));
            }
            State::Requesting { .. } if self.tries >= REQUESTS => self.restart(env, START_DELAY),
            State::Requesting { address, server } => {
                self.retry(env);
                steps.push(Step::Send(Ask::Request(address, server)));
            }
            State::Checking => self.timer = Instant::NEVER,
            State::Bound | State::Renewing | State::Rebinding => self.prolong(env, steps),
        }
    }

    /// Asks for more time, or gives the lease up.
    fn prolong(&mut self, env: &mut Env, steps: &mut Vec<Step>) {
        let Some(lease) = &self.lease else { return self.restart(env, START_DELAY) };
        let (address, expires) = (lease.address, lease.expires);
        let (Some(own), Some(server)) = (address.v4(), lease.server.v4()) else { return self.restart(env, START_DELAY) };
        if env.now >= expires {
            steps.push(Step::Withdraw(address));
            return self.restart(env, START_DELAY);
        }
        if self.state == State::Bound {
            self.begin(env);
            self.state = State::Renewing;
        }
        if self.state == State::Renewing && env.now >= self.rebind_at {
            self.state = State::Rebinding;
        }
        let (ask, end) = match self.state {
            State::Renewing => (Ask::Renew(own, server), self.rebind_at),
            _ => (Ask::Rebind(own), expires),
        };
        // Half of what is left, but not too often (RFC 2131, 4.4.5).
        let wait = (end.since(env.now) / 2).max(LEAST_RENEWAL);
        self.timer = (env.now + wait).min(end);
        steps.push(Step::Send(ask));
    }

    /// A server has answered; false if nothing is made of it.
    pub(crate) fn input(&mut self, answer: Answer, env: &mut Env, steps: &mut Vec<Step>) -> bool {
        if answer.transaction != self.transaction {
            return false;
        }
        match (self.state, answer.kind) {
            (State::Selecting, Kind::Offer) if is_possible(answer.address, answer.prefix) => {
                self.state = State::Requesting { address: answer.address, server: answer.server };
                self.tries = 0;
                self.retry(env);
                steps.push(Step::Send(Ask::Request(answer.address, answer.server)));
                true
            }
            (State::Requesting { address, server }, Kind::Ack) if (address, server) == (answer.address, answer.server) => {
                self.state = State::Checking;
                self.timer = Instant::NEVER;
                self.take(answer, env, steps);
                true
            }
            (State::Requesting { server, .. }, Kind::Nak) if server == answer.server => {
                self.restart(env, FIRST_WAIT);
                true
            }
            (State::Renewing | State::Rebinding, Kind::Ack)
                if self.lease.as_ref().is_some_and(|lease| lease.address == Address::from(answer.address)) =>
            {
                self.state = State::Bound;
                self.take(answer, env, steps);
                self.timer = self.renew_at;
                true
            }
            // Another address than ours means that ours isn't any more, as a refusal does.
            (State::Renewing | State::Rebinding, Kind::Ack | Kind::Nak) => {
                if let Some(lease) = &self.lease {
                    steps.push(Step::Withdraw(lease.address));
                }
                self.restart(env, FIRST_WAIT);
                true
            }
            _ => false,
        }
    }

    /// Nobody has the address.
    pub(crate) fn usable(&mut self, address: Address) -> bool {
        let ours = self.state == State::Checking && self.lease.as_ref().is_some_and(|lease| lease.address == address);
        if ours {
            self.state = State::Bound;
            self.timer = self.renew_at;
        }
        ours
    }

    /// Somebody has the address.
    pub(crate) fn taken(&mut self, address: Address, env: &mut Env, steps: &mut Vec<Step>) {
        let Some(lease) = self.lease.as_ref().filter(|lease| lease.address == address) else { return };
        steps.push(Step::Withdraw(address));
        if let (Some(own), Some(server)) = (address.v4(), lease.server.v4()) {
            steps.push(Step::Send(Ask::Decline(own, server)));
        }
        self.restart(env, START_DELAY);
        self.timer = self.timer + DECLINE_WAIT;
    }

    /// What is to be done when the client is switched off.
    pub(crate) fn stop(&self, steps: &mut Vec<Step>) {
        let Some(lease) = &self.lease else { return };
        if let (Some(own), Some(server), true) = (lease.address.v4(), lease.server.v4(), self.lease().is_some()) {
            steps.push(Step::Send(Ask::Release(own, server)));
        }
        steps.push(Step::Withdraw(lease.address));
    }

    fn take(&mut self, answer: Answer, env: &Env, steps: &mut Vec<Step>) {
        let forever = answer.lease == FOREVER;
        let length = Duration::from_secs(u64::from(answer.lease)).max(LEAST_LEASE);
        // Half and seven eighths, unless the server says otherwise and makes sense (RFC 2131, 4.4.5).
        let told = |seconds: Option<u32>| {
            let told = seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
            told.filter(|&told| told >= LEAST_LEASE / 2)
        };
        let rebind = told(answer.rebind).filter(|&rebind| rebind < length).unwrap_or(length / 8 * 7);
        let renew = told(answer.renew).filter(|&renew| renew < rebind).unwrap_or(length / 2).min(rebind);
        let at = |after: Duration| if forever { Instant::NEVER } else { env.now + after };
        self.renew_at = at(renew);
        self.rebind_at = at(rebind);
        let lease = Lease {
            address: answer.address.into(),
            prefix: answer.prefix,
            server: answer.server.into(),
            routes: answer.routes,
            name_servers: answer.name_servers,
            expires: at(length),
        };
        steps.push(Step::Configure(lease.clone()));
        self.lease = Some(lease);
    }

    fn retry(&mut self, env: &mut Env) {
        let doubled = FIRST_WAIT * 2u32.pow(u32::from(self.tries.min(4)));
        let varied = Duration::from_nanos(env.random.below(2_000_000_000));
        self.timer = env.now + doubled.min(LONGEST_WAIT) - Duration::from_secs(1) + varied;
        self.tries = self.tries.saturating_add(1);
    }
}

/// Whether a host can have an address in a network of this prefix.
fn is_possible(address: Ipv4Addr, prefix: u8) -> bool {
    let [first, ..] = address.octets();
    let broadcast = Prefix::new(address.into(), prefix).and_then(|network| network.broadcast());
    first != 0 && first != 127 && first < 224 && broadcast != Some(address.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);
    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn client() -> (Dhcp, Env) {
        let mut env = Env::new(Config::default(), [5; 32]);
        (Dhcp::new(&mut env), env)
    }

    fn due(dhcp: &mut Dhcp, env: &mut Env) -> Vec<Step> {
        let mut steps = Vec::new();
        env.now = dhcp.deadline();
        dhcp.expire(env, &mut steps);
        steps
    }

    fn message(dhcp: &Dhcp, kind: Kind) -> Answer {
        Answer {
            kind,
            transaction: dhcp.transaction,
            address: OURS,
            server: SERVER,
            prefix: 24,
            routes: Vec::new(),
            name_servers: Vec::new(),
            lease: 3600,
            renew: None,
            rebind: None,
        }
    }

    fn answer(dhcp: &mut Dhcp, env: &mut Env, kind: Kind) -> (bool, Vec<Step>) {
        let mut steps = Vec::new();
        (dhcp.input(message(dhcp, kind), env, &mut steps), steps)
    }

    fn bound() -> (Dhcp, Env) {
        let (mut dhcp, mut env) = client();
        due(&mut dhcp, &mut env);
        answer(&mut dhcp, &mut env, Kind::Offer);
        answer(&mut dhcp, &mut env, Kind::Ack);
        assert!(dhcp.usable(OURS.into()));
        (dhcp, env)
    }

    #[test]
    fn an_offer_is_requested_and_its_lease_is_configured_and_then_checked() {
        let (mut dhcp, mut env) = client();
        assert_eq!(due(&mut dhcp, &mut env), [Step::Send(Ask::Discover)]);
        let (taken, steps) = answer(&mut dhcp, &mut env, Kind::Offer);
        assert_eq!((taken, steps), (true, std::vec![Step::Send(Ask::Request(OURS, SERVER))]));
        let (taken, steps) = answer(&mut dhcp, &mut env, Kind::Ack);
        assert!(taken && matches!(&steps[..], [Step::Configure(lease)] if lease.expires == env.now + Duration::from_secs(3600)));
        assert!(dhcp.lease().is_none() && dhcp.usable(OURS.into()) && dhcp.lease().is_some());
        assert_eq!(dhcp.deadline(), env.now + Duration::from_secs(1800));
    }

    #[test]
    fn an_address_that_no_host_can_have_is_not_requested() {
        let (mut dhcp, mut env) = client();
        due(&mut dhcp, &mut env);
        for address in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255], [192, 0, 2, 255]] {
            let offer = Answer { address: address.into(), ..message(&dhcp, Kind::Offer) };
            let mut steps = Vec::new();
            assert!(!dhcp.input(offer, &mut env, &mut steps) && steps.is_empty(), "{address:?}");
        }
        assert!(answer(&mut dhcp, &mut env, Kind::Offer).0);
    }

    #[test]
    fn unanswered_messages_are_sent_again_ever_more_seldom() {
        let (mut dhcp, mut env) = client();
        due(&mut dhcp, &mut env);
        for wait in [4, 8, 16, 32, 64, 64] {
            let sent = env.now;
            assert_eq!(due(&mut dhcp, &mut env), [Step::Send(Ask::Discover)]);
            let waited = env.now.since(sent);
            assert!(waited >= Duration::from_secs(wait - 1) && waited <= Duration::from_secs(wait + 1));
        }
        answer(&mut dhcp, &mut env, Kind::Offer);
        for _ in 1..REQUESTS {
            assert_eq!(due(&mut dhcp, &mut env), [Step::Send(Ask::Request(OURS, SERVER))]);
        }
        assert!(due(&mut dhcp, &mut env).is_empty());
        assert_eq!(due(&mut dhcp, &mut env), [Step::Send(Ask::Discover)]);
    }

    #[test]
    fn a_lease_is_renewed_then_rebound_then_given_up() {
        let (mut dhcp, mut env) = bound();
        let start = env.now;
        assert_eq!(due(&mut dhcp, &mut env), [Step::Send(Ask::Renew(OURS, SERVER))]);
        let (mut renews, mut rebinds) = (1, 0);
        loop {
            match &due(&mut dhcp, &mut env)[..] {
                [Step::Send(Ask::Renew(..))] => renews += 1,
                [Step::Send(Ask::Rebind(..))] => rebinds += 1,
                [Step::Withdraw(address)] => break assert_eq!(*address, Address::from(OURS)),
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(env.now, start + Duration::from_secs(3600));
        assert!(renews >= 3 && rebinds >= 2, "{renews} {rebinds}");
        assert_eq!(due(&mut dhcp, &mut env), [Step::Send(Ask::Discover)]);
    }

    #[test]
    fn a_renewal_prolongs_and_a_refusal_withdraws() {
        let (mut dhcp, mut env) = bound();
        due(&mut dhcp, &mut env);
        let (taken, steps) = answer(&mut dhcp, &mut env, Kind::Ack);
        assert!(taken && matches!(&steps[..], [Step::Configure(lease)] if lease.expires == env.now + Duration::from_secs(3600)));
        due(&mut dhcp, &mut env);
        let (taken, steps) = answer(&mut dhcp, &mut env, Kind::Nak);
        assert_eq!((taken, steps), (true, std::vec![Step::Withdraw(OURS.into())]));
        assert!(dhcp.lease().is_none());
    }

    #[test]
    fn a_server_cannot_have_a_lease_renewed_without_a_pause() {
        let (mut dhcp, mut env) = bound();
        due(&mut dhcp, &mut env);
        for (renew, rebind) in [(0, 0), (0, 10), (5, 3000), (29, 29)] {
            let hurried = Answer { renew: Some(renew), rebind: Some(rebind), ..message(&dhcp, Kind::Ack) };
            let answered = env.now;
            assert!(dhcp.input(hurried, &mut env, &mut Vec::new()));
            due(&mut dhcp, &mut env);
            assert!(env.now.since(answered) >= Duration::from_secs(30), "{renew} {rebind}");
        }
    }

    #[test]
    fn a_taken_address_is_declined_and_not_asked_for_at_once() {
        let (mut dhcp, mut env) = client();
        due(&mut dhcp, &mut env);
        answer(&mut dhcp, &mut env, Kind::Offer);
        answer(&mut dhcp, &mut env, Kind::Ack);
        let mut steps = Vec::new();
        dhcp.taken(OURS.into(), &mut env, &mut steps);
        assert_eq!(steps, [Step::Withdraw(OURS.into()), Step::Send(Ask::Decline(OURS, SERVER))]);
        assert!(dhcp.deadline() >= env.now + DECLINE_WAIT);
    }

    #[test]
    fn answers_of_another_transaction_or_out_of_place_are_passed_over() {
        let (mut dhcp, mut env) = client();
        due(&mut dhcp, &mut env);
        assert!(!answer(&mut dhcp, &mut env, Kind::Ack).0);
        let wrong = Answer { transaction: dhcp.transaction ^ 1, ..message(&dhcp, Kind::Offer) };
        assert!(!dhcp.input(wrong, &mut env, &mut Vec::new()));
    }
}
