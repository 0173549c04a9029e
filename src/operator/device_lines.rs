//! What is shown of the devices of a fence level, and of people's words for them.

use super::table::when;
use crate::fence::{DeviceOff, OneOf};
use crate::incident::devices::{DeviceAnswer, DeviceSeen, DevicesSeen};
use crate::names::IncidentId;

/// A line that is a command.
pub(super) const NEXT: &str = "next";

/// What `nova-ha incident show` says of devices and of words for them.
pub(super) fn lines(
    id: &IncidentId,
    seen: Option<&DevicesSeen>,
    words: &[DeviceOff],
) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for device in seen.iter().flat_map(|seen| &seen.devices) {
        let of = OneOf { level: device.level, device: device.device };
        lines.push((format!("  device {of}"), format!("{}: {}", device.name, device.said)));
    }
    if let Some(seen) = seen.filter(|seen| !seen.devices.is_empty()) {
        lines.insert(
            0,
            ("devices".to_owned(), format!("as {} found them since {}", seen.node, when(seen.at))),
        );
        let silent = seen.devices.iter().filter(|device| device.answer == DeviceAnswer::Silent);
        for device in silent.filter(|device| !words.iter().any(|word| counts(word, device))) {
            let of = OneOf { level: device.level, device: device.device };
            let next = format!(
                "nova-ha confirm-off {} --device {of} --by NAME   (if you have seen that it has no power)",
                id.host()
            );
            lines.push((NEXT.to_owned(), next));
        }
    }
    for word in words {
        let line = format!(
            "{} ({}), by {} at {}, for {} s",
            word.of(),
            word.name,
            word.by,
            when(word.at),
            word.ttl_seconds
        );
        lines.push(("device off".to_owned(), line));
        if let Some(ended) = &word.ended {
            let line = format!("at {} by {}: {}", when(ended.at), ended.by, ended.seen);
            lines.push(("  word over".to_owned(), line));
        }
    }
    lines
}

fn counts(word: &DeviceOff, device: &DeviceSeen) -> bool {
    let ttl = i64::try_from(word.ttl_seconds).unwrap_or(i64::MAX);
    let is_in_time = jiff::Timestamp::now().duration_since(word.at).as_secs() < ttl;
    (word.level, word.device) == (device.level, device.device) && word.ended.is_none() && is_in_time
}
