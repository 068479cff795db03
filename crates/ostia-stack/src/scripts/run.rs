//! Runs a script: the clock goes from event to event, and from one of the stack's timers to the next between them.

use std::collections::VecDeque;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::Family;
use super::calls::Calls;
use super::packet::{Ends, Sent, icmp_error, show};
use super::peer::{Peers, Shape};
use super::script::{Action, Event, Script, Segment, When};
use crate::{Backlog, Config, Instant, LinkConfig, LinkId, Medium, Profile, Stack};

/// When a script begins. By then the stack's addresses are in use.
const BEGINNING: u64 = 100_000_000_000;

/// How far ahead is looked for what came too late, to say so.
const LATE: u64 = 400_000_000_000;

const MICRO: u64 = 1000;

pub(super) type Failed = (usize, String);

/// A script under way.
pub(super) struct Run {
    pub(super) stack: Stack,
    pub(super) family: Family,
    pub(super) peers: Peers,
    link: LinkId,
    /// Nanoseconds of the stack's clock.
    now: u64,
    /// What has been sent and not yet been expected, with its time.
    sent: VecDeque<(u64, Sent)>,
}

/// Runs a script over one family; the line that failed and why.
pub(super) fn run(script: &Script, family: Family) -> Result<(), Failed> {
    run_without(script, family, None)
}

/// Runs a script without one of its events, or whole. Time goes on all the same.
pub(super) fn run_without(script: &Script, family: Family, without: Option<usize>) -> Result<(), Failed> {
    let mut config = Config::new(Profile::Linux);
    let begin = |error: String| (1, error);
    for note in &script.notes {
        apply(&mut config, &note.words).map_err(|error| (note.line, error))?;
    }
    if let Some(commands) = &script.init {
        shell(&mut config, commands).map_err(begin)?;
    }
    let mut run = Run::new(config, family).map_err(begin)?;
    let mut calls = Calls::default();
    // The script's time of the event before.
    let mut last = 0;
    for (place, event) in script.events.iter().enumerate() {
        let left_out = Some(place) == without;
        last = run.event(event, left_out, last, &mut calls).map_err(|error| (event.line, error))?;
    }
    let line = script.events.last().map_or(1, |event| event.line);
    run.nothing_left(&calls).map_err(|error| (line, error))
}

/// A setting of the whole script.
fn apply(config: &mut Config, words: &[String]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["only", _] => {}
        ["strict"] => *config = Config::new(Profile::Strict),
        ["backlog", "=", "sum"] => config.backlog = Backlog::Sum,
        ["backlog", "=", "syn-queue"] => config.backlog = Backlog::SynQueue,
        ["memory", "=", bytes] => config.memory = bytes.parse().map_err(|error| format!("{bytes}: {error}"))?,
        _ => return Err(format!("no such setting: {}", words.join(" "))),
    }
    Ok(())
}

/// The `sysctl` commands that a script may begin with.
fn shell(config: &mut Config, commands: &str) -> Result<(), String> {
    let mut words = commands.split_whitespace();
    if words.next() != Some("sysctl") {
        return Err(format!("only sysctl is understood, not {commands}"));
    }
    for word in words.filter(|word| !word.starts_with('-')) {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("not a setting: {word}"))?;
        let name = name.strip_prefix("net.ipv4.").ok_or_else(|| format!("no such setting: {name}"))?;
        // The congestion control there is.
        if (name, value) == ("tcp_congestion_control", "reno") || (name, value) == ("tcp_ecn", "0") {
            continue;
        }
        let value: u64 = value.parse().map_err(|error| format!("{word}: {error}"))?;
        let small = u8::try_from(value).map_err(|error| format!("{word}: {error}"));
        let seconds = core::time::Duration::from_secs(value);
        match name {
            "tcp_timestamps" => config.timestamps = value != 0,
            "tcp_sack" => config.sack = value != 0,
            "tcp_window_scaling" => config.window_scaling = value != 0,
            "tcp_syncookies" => config.syn_cookies = value != 0,
            "tcp_rfc1337" => config.rfc1337 = value != 0,
            "tcp_max_syn_backlog" => config.syn_queue = value as usize,
            "tcp_max_orphans" => config.orphans = value as usize,
            "tcp_max_tw_buckets" => config.time_waits = value as usize,
            "tcp_challenge_ack_limit" => config.challenge_acks = value as u32,
            "tcp_invalid_ratelimit" => config.invalid_ack_interval = core::time::Duration::from_millis(value),
            "tcp_fin_timeout" => config.fin_wait_2 = seconds,
            "tcp_syn_retries" => config.syn_retries = small?,
            "tcp_synack_retries" => config.syn_ack_retries = small?,
            "tcp_retries2" => config.retries = small?,
            "tcp_orphan_retries" => config.orphan_retries = small?,
            _ => return Err(format!("no such setting: {name}")),
        }
    }
    Ok(())
}

impl Run {
    fn new(config: Config, family: Family) -> Result<Run, String> {
        let said = |error: crate::Error| error.to_string();
        let mut stack = Stack::new(config, [7; 32]);
        let mtu = 1500 + family.extra();
        let name = "tun0".to_string();
        let device = LinkConfig { name, medium: Medium::Ip, mtu, checksum_offload: false, gso_max: 0 };
        let link = stack.add_link(device).map_err(said)?;
        let (local, prefix, _) = family.addresses();
        stack.add_address(link, local.into(), prefix).map_err(said)?;
        let any: core::net::IpAddr = match family {
            Family::V4 => core::net::Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => core::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        stack.add_route(any.into(), 0, None, link, 0).map_err(said)?;
        let mut run = Run { stack, family, peers: Peers::new(family), link, now: 0, sent: VecDeque::new() };
        while run.now < BEGINNING {
            run.advance(BEGINNING)?;
        }
        Ok(run)
    }

    /// Microseconds since the script's beginning.
    pub(super) fn micros(&self) -> u64 {
        self.now.saturating_sub(BEGINNING) / MICRO
    }

    /// Lets the stack work until it has nothing more to do now.
    pub(super) fn poll(&mut self) -> Result<(), String> {
        let mut out = vec![];
        for round in 0.. {
            let more = self.stack.poll_transmit(Instant(self.now), &mut out);
            if !more && self.stack.next_deadline() > Instant(self.now) {
                break;
            }
            if round > 1000 {
                return Err("the stack always has something to do".into());
            }
        }
        for transmit in out {
            if let Some(sent) = Sent::read(&transmit.frame)? {
                self.sent.push_back((self.now, sent));
            }
        }
        Ok(())
    }

    /// Goes to a time, or to the stack's next timer if that comes first.
    fn advance(&mut self, to: u64) -> Result<(), String> {
        self.poll()?;
        if self.sent.is_empty() {
            self.now = self.stack.next_deadline().0.clamp(self.now, to.max(self.now));
            self.poll()?;
        }
        Ok(())
    }

    /// One event of the script, unless it is left out; its time, in microseconds.
    fn event(&mut self, event: &Event, left_out: bool, last: u64, calls: &mut Calls) -> Result<u64, String> {
        let (from, to) = match event.when {
            When::At(time) => (time, time),
            When::After(time) => (last + time, last + time),
            When::Between(from, to) => (from, to),
            When::AfterBetween(from, to) => (last + from, last + to),
            When::Any => (last, u64::MAX / MICRO / 4),
        };
        if from < last {
            return Err(format!("time goes backwards, from {} to {}", seconds(last), seconds(from)));
        }
        if let (false, Action::Sent(expected)) = (left_out, &event.action) {
            let mut shape = Shape::default();
            event.beside.iter().try_for_each(|note| Shape::read(&note.words, &mut shape))?;
            return self.expect(expected, &shape, (from, to), calls);
        }
        let at = BEGINNING + from * MICRO + if left_out { MICRO - 1 } else { 0 };
        while self.now < at {
            self.nothing_unexpected()?;
            self.advance(at)?;
            calls.resume(self)?;
            self.poll()?;
        }
        if left_out {
            return Ok(from);
        }
        for note in &event.before {
            self.note(&note.words)?;
        }
        match &event.action {
            Action::Arrives(segment) => {
                let mut shape = Shape::default();
                event.beside.iter().try_for_each(|note| Shape::read(&note.words, &mut shape))?;
                let frame = self.peers.arriving(segment, &shape)?;
                self.stack.input(self.link, [frame], Instant(self.now));
            }
            Action::Icmp(error) => {
                let (local, _, remote) = self.family.addresses();
                let (ports, sequence) = self.peers.quoted(error.quoted.0);
                let from = Ends { source: remote, destination: local };
                let quoted = Ends { source: local, destination: remote };
                let what = (error.kind.as_str(), error.code.as_deref(), error.mtu);
                let frame = icmp_error(from, quoted, ports, (sequence, error.quoted.1), what)?;
                self.stack.input(self.link, [frame], Instant(self.now));
            }
            Action::Call(call) => {
                let end = call.end.map(|end| if matches!(event.when, When::After(_)) { last + end } else { end });
                calls.call(call, end, self)?;
            }
            Action::Shell(command) => self.command(command)?,
            Action::Code(code) => {
                let info = calls.info(self)?;
                super::info::check(code, &info)?;
            }
            Action::Sent(_) => {}
        }
        self.poll()?;
        calls.resume(self)?;
        self.poll()?;
        Ok(from)
    }

    /// Something must be sent, then and as said.
    fn expect(&mut self, expected: &Segment, shape: &Shape, (from, to): (u64, u64), calls: &mut Calls) -> Result<u64, String> {
        let end = BEGINNING + to * MICRO + MICRO - 1;
        while self.sent.is_empty() && self.now <= end {
            if self.stack.next_deadline().0 > end {
                break;
            }
            self.advance(end)?;
            calls.resume(self)?;
            self.poll()?;
        }
        let Some((time, sent)) = self.sent.pop_front() else {
            let end = self.now + LATE;
            while self.sent.is_empty() && self.now < end {
                self.advance(end)?;
            }
            let later = match self.sent.front() {
                Some((time, sent)) => {
                    format!("the next is > {} at {}", self.peers.say(sent), seconds((time - BEGINNING) / MICRO))
                }
                None => "nor is anything later".into(),
            };
            return Err(format!("expected > {} at {}, but nothing was sent; {later}", show(expected), seconds(from)));
        };
        let at = (time - BEGINNING) / MICRO;
        if !(from..=to).contains(&at) {
            let came = self.peers.say(&sent);
            return Err(format!("expected > {} at {}, but > {came} came at {}", show(expected), seconds(from), seconds(at)));
        }
        self.peers.compare(expected, shape, &sent)?;
        // Of a single time the script's is exact, of a range what came decides.
        Ok(if from == to { from } else { at })
    }

    fn nothing_unexpected(&self) -> Result<(), String> {
        match self.sent.front() {
            Some((time, sent)) => {
                Err(format!("not expected: > {} at {}", self.peers.say(sent), seconds((time - BEGINNING) / MICRO)))
            }
            None => Ok(()),
        }
    }

    fn nothing_left(&self, calls: &Calls) -> Result<(), String> {
        self.nothing_unexpected()?;
        calls.nothing_left()
    }

    /// What packetdrill's language can't say.
    fn note(&mut self, words: &[String]) -> Result<(), String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["rotate", "cookies"] => self.stack.rotate_cookie_keys(),
            _ => return Err(format!("no such comment: {}", words.join(" "))),
        }
        Ok(())
    }

    fn command(&mut self, command: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let ["ip", "link", "set", "dev", "tun0", "mtu", mtu] = words[..] else {
            return Err(format!("no such command: {command}"));
        };
        let mtu: u32 = mtu.parse().map_err(|error| format!("{mtu}: {error}"))?;
        self.stack.set_mtu(self.link, mtu + self.family.extra()).map_err(|error| error.to_string())
    }
}

/// Microseconds as a script writes them.
pub(super) fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
