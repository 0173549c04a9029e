//! Where a device stands in the fence levels of a machine.

use std::fmt;
use std::str::FromStr;

/// Where a device stands in `config/fence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The number of its level, from 1.
    pub level: usize,
    /// Its own number there, from 1, where the level has several.
    pub device: Option<usize>,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device {
            None => write!(f, "level {}", self.level),
            Some(device) => write!(f, "level {}, device {device}", self.level),
        }
    }
}

/// One of several devices of a level, as a person types it and as a key has it: `2.1` is the first of the second level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OneOf {
    /// The number of its level, from 1.
    pub level: usize,
    /// Its own number there, from 1.
    pub device: usize,
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a device is LEVEL.DEVICE, both from 1: 2.1 is the first device of the second level")]
pub struct NoDevice;

impl OneOf {
    /// Nothing for the only device of a level.
    pub fn of(spot: Spot) -> Option<Self> {
        Some(Self { level: spot.level, device: spot.device? })
    }

    /// In a sentence.
    pub fn spot(self) -> Spot {
        Spot { level: self.level, device: Some(self.device) }
    }
}

impl fmt::Display for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.level, self.device)
    }
}

impl FromStr for OneOf {
    type Err = NoDevice;

    fn from_str(text: &str) -> Result<Self, NoDevice> {
        let number = |text: &str| {
            let plain =
                !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) && !text.starts_with('0');
            if plain { text.parse::<usize>().map_err(|_| NoDevice) } else { Err(NoDevice) }
        };
        let (level, device) = text.split_once('.').ok_or(NoDevice)?;
        Ok(Self { level: number(level)?, device: number(device)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in ["1.1", "2.8", "12.3"] {
            assert_eq!(text.parse::<OneOf>().unwrap().to_string(), text);
        }
        for none in [
            "",
            "1",
            "1.",
            ".1",
            "0.1",
            "1.0",
            "01.1",
            "1.1.1",
            "-1.1",
            "+1.1",
            " 1.1",
            "a.b",
            "1.99999999999999999999",
        ] {
            assert_eq!(none.parse::<OneOf>(), Err(NoDevice), "{none:?}");
        }
        assert_eq!(OneOf::of(Spot { level: 1, device: None }), None);
        assert_eq!("1.2".parse::<OneOf>().unwrap().spot().to_string(), "level 1, device 2");
    }
}
