//! What came of the requests: how many were answered, and in what time.

use serde_json::{Value, json};
use std::time::Duration;

/// Figures of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Answers that had come before.
    pub duplicates: u64,
    /// Errors: requests that could not be sent, or of which somebody has told that they could not be delivered.
    pub errors: u64,
    least: Duration,
    most: Duration,
    /// In milliseconds, and in their squares.
    sum: f64,
    squares: f64,
}

impl Figures {
    /// A request was answered after this time.
    pub fn answer(&mut self, time: Duration) {
        self.least = if self.answered == 0 { time } else { self.least.min(time) };
        self.most = self.most.max(time);
        let ms = time.as_secs_f64() * 1000.0;
        self.sum += ms;
        self.squares += ms * ms;
        self.answered += 1;
    }

    /// The share of requests that were not answered, in per cent.
    #[must_use]
    pub fn loss(&self) -> f64 {
        match self.sent {
            0 => 0.0,
            sent => sent.saturating_sub(self.answered) as f64 * 100.0 / sent as f64,
        }
    }

    /// The least, the mean and the greatest time, and the standard deviation, in milliseconds; none without answers.
    #[must_use]
    pub fn times(&self) -> Option<[f64; 4]> {
        if self.answered == 0 {
            return None;
        }
        let mean = self.sum / self.answered as f64;
        let deviation = (self.squares / self.answered as f64 - mean * mean).max(0.0).sqrt();
        Some([self.least.as_secs_f64() * 1000.0, mean, self.most.as_secs_f64() * 1000.0, deviation])
    }

    /// The lines with which ping(8) ends, after so much time.
    #[must_use]
    pub fn lines(&self, host: &str, elapsed: Duration) -> String {
        let count = |count: u64, what: &str| if count > 0 { format!(", +{count} {what}") } else { String::new() };
        let mut text = format!(
            "\n--- {host} ping statistics ---\n{} packets transmitted, {} received{}{}, {}% packet loss, time {}ms",
            self.sent,
            self.answered,
            count(self.duplicates, "duplicates"),
            count(self.errors, "errors"),
            // Six digits, as ping(8) has them, without zeros at the end.
            (self.loss() * 10_000.0).round() / 10_000.0,
            elapsed.as_millis()
        );
        if let Some([least, mean, most, deviation]) = self.times() {
            text += &format!("\nrtt min/avg/max/mdev = {least:.3}/{mean:.3}/{most:.3}/{deviation:.3} ms");
        }
        text
    }

    /// The same as an object.
    #[must_use]
    pub fn object(&self, host: &str, elapsed: Duration) -> Value {
        let [least, mean, most, deviation] = self
            .times()
            .map_or([Value::Null, Value::Null, Value::Null, Value::Null], |times| times.map(|time| Value::from(rounded(time))));
        json!({
            "event": "statistics",
            "host": host,
            "transmitted": self.sent,
            "received": self.answered,
            "duplicates": self.duplicates,
            "errors": self.errors,
            "loss_percent": rounded(self.loss()),
            "elapsed_ms": rounded(elapsed.as_secs_f64() * 1000.0),
            "min_ms": least,
            "avg_ms": mean,
            "max_ms": most,
            "mdev_ms": deviation,
        })
    }
}

/// With three digits behind the point: microseconds, of milliseconds.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_times() {
        let mut figures = Figures { sent: 3, errors: 1, ..Figures::default() };
        for ms in [2, 4] {
            figures.answer(Duration::from_millis(ms));
        }
        assert_eq!(figures.times(), Some([2.0, 3.0, 4.0, 1.0]));
        assert_eq!(
            figures.lines("10.7.0.1", Duration::from_millis(2003)),
            "\n--- 10.7.0.1 ping statistics ---\n3 packets transmitted, 2 received, +1 errors, 33.3333% packet loss, time 2003ms\n\
             rtt min/avg/max/mdev = 2.000/3.000/4.000/1.000 ms"
        );
        assert_eq!(figures.object("x", Duration::ZERO)["avg_ms"], 3.0);
    }

    #[test]
    fn without_answers_there_are_no_times() {
        let figures = Figures { sent: 2, ..Figures::default() };
        assert!(figures.lines("x", Duration::ZERO).ends_with("2 packets transmitted, 0 received, 100% packet loss, time 0ms"));
        assert_eq!(figures.object("x", Duration::ZERO)["min_ms"], Value::Null);
        assert_eq!(Figures::default().loss(), 0.0);
    }
}
