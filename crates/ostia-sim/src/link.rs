//! What a link does to frames, as it is described.

use std::time::Duration;

use ostia_wire::ethernet::HEADER_LEN;

use crate::mistake::Mistake;

/// The least MTU that IPv4 works with (RFC 791, 3.2).
const MIN_MTU: u32 = 68;
/// The most that an IP packet of one frame can have.
const MAX_MTU: u32 = 65_535;
/// The longest that a frame may be on its way, for each cause.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a link is like. It joins two hosts or more, as a switch does: each sends by a line of its own into it, on which all of
/// this happens to its frames, in this order: they wait for the line, are lost, are changed, are delayed.
///
/// Chances are probabilities, 0 (never) to 1 (always), and are drawn for each frame, and each receiver of one that goes to all.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkConfig {
    /// The longest IP packet in octets: 68 to 65,535, and with IPv6 1,280 at least. Longer ones are dropped. Default 1,500.
    pub mtu: u32,
    /// Bits of frames a second, of each sender; none: as many as it likes. Default none.
    pub rate: Option<u64>,
    /// Octets of frames that wait for the rate at each sender, at most; the rest is dropped. Default 256 KiB.
    pub queue: u64,
    /// How long a frame is on its way, at least. Default 0.
    pub delay: Duration,
    /// At most how much longer, by chance. It does not change the order. Default 0.
    pub jitter: Duration,
    /// How likely a frame is lost. Default 0.
    pub loss: f64,
    /// Losses in bursts, beside those. Default none.
    pub bursts: Option<Bursts>,
    /// How likely a frame arrives twice. Default 0.
    pub duplication: f64,
    /// How likely a frame is held back, and overtaken by those behind it. Default 0.
    pub reordering: f64,
    /// How much longer such a frame is on its way. Default 5 ms.
    pub held_back: Duration,
    /// How likely a bit of a frame is turned over. Default 0.
    pub corruption: f64,
}

/// Losses that come together: the model of Gilbert (1960) and Elliott (1963). A link is well or ill; being ill it loses more.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bursts {
    /// How likely it falls ill with a frame.
    pub enter: f64,
    /// How likely it recovers with a frame.
    pub leave: f64,
    /// How likely a frame is lost meanwhile.
    pub loss: f64,
}

impl Default for LinkConfig {
    fn default() -> LinkConfig {
        LinkConfig {
            mtu: 1500,
            rate: None,
            queue: 256 << 10,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            bursts: None,
            duplication: 0.0,
            reordering: 0.0,
            held_back: Duration::from_millis(5),
            corruption: 0.0,
        }
    }
}

impl LinkConfig {
    /// Whether there can be such a link.
    pub(crate) fn check(&self, name: &str) -> Result<(), Mistake> {
        let wrong = |what: String, remedy: &str| Err(Mistake::new(format!("link '{name}': {what}"), remedy));
        if !(MIN_MTU..=MAX_MTU).contains(&self.mtu) {
            return wrong(format!("an MTU of {} is impossible", self.mtu), "use 68 to 65535, and with IPv6 at least 1280");
        }
        if self.rate == Some(0) {
            return wrong("a rate of 0 lets nothing through".to_owned(), "use a rate of 1 bit/s or more, or none for no bound");
        }
        if self.rate.is_some() && self.queue < u64::from(self.mtu) + HEADER_LEN as u64 {
            let what = format!(
                "a queue of {} bytes has no room for a frame: {} and an Ethernet header of {HEADER_LEN}",
                self.queue, self.mtu
            );
            return wrong(what, "use a queue of several frames");
        }
        let bursts = self.bursts.unwrap_or(Bursts { enter: 0.0, leave: 1.0, loss: 0.0 });
        for (what, chance) in [
            ("loss", self.loss),
            ("duplication", self.duplication),
            ("reordering", self.reordering),
            ("corruption", self.corruption),
            ("bursts: enter", bursts.enter),
            ("bursts: leave", bursts.leave),
            ("bursts: loss", bursts.loss),
        ] {
            if !(0.0..=1.0).contains(&chance) {
                return wrong(format!("{what} is {chance}"), "a chance is 0 (never) to 1 (always), such as 0.02 for 2 %");
            }
        }
        if bursts.enter > 0.0 && bursts.leave == 0.0 {
            return wrong("bursts never end: leave is 0".to_owned(), "use a chance to leave above 0, such as 0.3");
        }
        for (what, time) in [("delay", self.delay), ("jitter", self.jitter), ("held-back", self.held_back)] {
            if time > LONGEST {
                return wrong(format!("{what} is {time:?}"), "use an hour at most");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_is_refused_with_what_could() {
        let fine = LinkConfig::default();
        assert_eq!(fine.check("lan"), Ok(()));
        let burst = |enter, leave, loss| LinkConfig { bursts: Some(Bursts { enter, leave, loss }), ..LinkConfig::default() };
        for (wrong, word) in [
            (LinkConfig { mtu: 67, ..fine.clone() }, "MTU"),
            (LinkConfig { mtu: 65_536, ..fine.clone() }, "MTU"),
            (LinkConfig { rate: Some(0), ..fine.clone() }, "rate"),
            (LinkConfig { rate: Some(1), queue: 1513, ..fine.clone() }, "queue"),
            (LinkConfig { loss: 1.01, ..fine.clone() }, "loss"),
            (LinkConfig { loss: f64::NAN, ..fine.clone() }, "loss"),
            (LinkConfig { corruption: -0.1, ..fine.clone() }, "corruption"),
            (burst(0.1, 0.0, 1.0), "leave"),
            (burst(2.0, 0.5, 1.0), "enter"),
            (LinkConfig { delay: Duration::from_secs(3601), ..fine }, "delay"),
        ] {
            let mistake = wrong.check("lan").expect_err(word);
            assert!(mistake.what.contains("'lan'") && mistake.what.contains(word) && !mistake.remedy.is_empty(), "{mistake}");
        }
        assert_eq!(burst(0.1, 0.3, 1.0).check("lan"), Ok(()));
        assert_eq!(LinkConfig { rate: Some(1), queue: 1514, ..LinkConfig::default() }.check("lan"), Ok(()));
    }
}
