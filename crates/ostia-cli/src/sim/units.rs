//! The quantities of a scenario: times, sizes, rates and chances, with their units.

use crate::args;
use serde::{Deserialize, Deserializer, de};
use std::time::Duration;

/// A time, such as `"20ms"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

/// A number of bytes, such as `4096` or `"64KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// Bits a second, such as `"10Mbit"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(pub(super) u64);

/// A probability, such as `0.02` or `"2%"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chance(pub(super) f64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        match Raw::deserialize(from)? {
            Raw::Text(text) => args::time(&text).map(Time).map_err(|why| de::Error::custom(format!("'{text}' is {why}"))),
            Raw::Integer(0) => Ok(Time(Duration::ZERO)),
            other => {
                Err(de::Error::custom(format!("{other} is no time: write a number and its unit, such as \"20ms\" or \"2s\"")))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        match Raw::deserialize(from)? {
            Raw::Text(text) => args::size(&text).map(Size).map_err(|why| de::Error::custom(format!("'{text}' is {why}"))),
            Raw::Integer(bytes) if bytes >= 0 => Ok(Size(bytes.unsigned_abs())),
            other => Err(de::Error::custom(format!("{other} is no size: write bytes, or such as \"64KiB\""))),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rate, D::Error> {
        let raw = Raw::deserialize(from)?;
        let read = match &raw {
            Raw::Text(text) => rate(text),
            Raw::Integer(bits) => u64::try_from(*bits).ok(),
            _ => None,
        };
        let wrong = || de::Error::custom(format!("{raw} is no rate: write bits a second, such as \"10Mbit\" or \"64kbit\""));
        read.map(Rate).ok_or_else(wrong)
    }
}

fn rate(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = match unit.strip_suffix("/s").unwrap_or(unit) {
        "bit" => 1,
        "kbit" => 1_000,
        "Mbit" => 1_000_000,
        "Gbit" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

impl<'de> Deserialize<'de> for Chance {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Chance, D::Error> {
        let raw = Raw::deserialize(from)?;
        let read = match &raw {
            Raw::Text(text) => {
                text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok()).map(|part| part / 100.0)
            }
            Raw::Integer(number) => Some(*number as f64),
            Raw::Float(number) => Some(*number),
            Raw::Other(_) => None,
        };
        // Whether it is one from 0 to 1 is the link's to say, which knows of what.
        let wrong = || de::Error::custom(format!("{raw} is no chance: write 0 (never) to 1 (always), such as 0.02 or \"2%\""));
        read.map(Chance).ok_or_else(wrong)
    }
}

/// A value before its unit is known.
enum Raw {
    Text(String),
    Integer(i64),
    Float(f64),
    Other(toml::Value),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Raw, D::Error> {
        Ok(match toml::Value::deserialize(from)? {
            toml::Value::String(text) => Raw::Text(text),
            toml::Value::Integer(number) => Raw::Integer(number),
            toml::Value::Float(number) => Raw::Float(number),
            other => Raw::Other(other),
        })
    }
}

impl std::fmt::Display for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Raw::Text(text) => write!(f, "'{text}'"),
            Raw::Integer(number) => number.fmt(f),
            Raw::Float(number) => number.fmt(f),
            Raw::Other(value) => write!(f, "a value of type {}", value.type_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct One<T> {
        x: T,
    }

    fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
        toml::from_str::<One<T>>(&format!("x = {text}")).map(|one| one.x).map_err(|error| error.to_string())
    }

    #[test]
    fn quantities_have_units() {
        assert_eq!(read("'20ms'"), Ok(Time(Duration::from_millis(20))));
        assert_eq!(read("0"), Ok(Time(Duration::ZERO)));
        assert_eq!((read("4096"), read("'64KiB'")), (Ok(Size(4096)), Ok(Size(64 << 10))));
        assert_eq!(
            (read("'10Mbit'"), read("'64 kbit/s'"), read("9600")),
            (Ok(Rate(10_000_000)), Ok(Rate(64_000)), Ok(Rate(9600)))
        );
        assert_eq!((read("0.02"), read("'2%'"), read("1")), (Ok(Chance(0.02)), Ok(Chance(0.02)), Ok(Chance(1.0))));
    }

    #[test]
    fn others_are_refused_with_an_example() {
        let all = [
            read::<Time>("20").err(),
            read::<Time>("'20'").err(),
            read::<Size>("-1").err(),
            read::<Size>("'many'").err(),
            read::<Rate>("'10MB'").err(),
            read::<Rate>("-5").err(),
            read::<Rate>("'99999999999Gbit'").err(),
            read::<Chance>("'2'").err(),
            read::<Chance>("[1]").err(),
        ];
        for error in all {
            assert!(error.as_ref().is_some_and(|text| text.contains("such as")), "{error:?}");
        }
    }
}
