//! The one table of versions: which records there are, and which of their versions this build reads.

use std::fmt;

/// A kind of stored record that one HA node, or the command line, writes and another HA node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `incidents/{id}/incident`
    Incident,
    /// `incidents/{id}/lock`
    Holder,
    /// `incidents/{id}/journal/{sequence}`
    Journal,
    /// `incidents/{id}/guests/{server}`
    Guest,
    /// `words/{id}/settled/{server}`
    Settled,
    /// `incidents/{id}/plan/{chunk}`
    Plan,
    /// `incidents/{id}/evidence`
    Evidence,
    /// `incidents/{id}/preflight/{ha-node}`
    WaitingNote,
    /// `incidents/{id}/gone/{ha-node}`
    Through,
    /// `incidents/{id}/kdump`
    DumpGrace,
    /// `words/{id}/confirm_off`
    ConfirmOff,
    /// `words/{id}/device_off/{level}.{device}`
    DeviceOff,
    /// `incidents/{id}/devices`
    Devices,
    /// `orders/{id}`
    Order,
    /// `words/{id}/hold`, `resume`, `retry`
    Lead,
    /// `opened/{id}`
    Opening,
    /// No record: which keys are written by whom ([`crate::incident::said::Layout`]). An HA node reads it whose tokens may.
    Layout,
    /// `cooldown`
    Cooldown,
    /// `policy`
    Policy,
    /// `internal/observers/{ha-node}` of a machine
    Observer,
    /// `config/maintenance` of a machine
    Maintenance,
    /// `config/names` of a machine
    Names,
    /// `config/bound` of a machine
    Bound,
    /// `config/fence` of a machine
    Fence,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// What it is called where it is published.
    key: &'static str,
    /// What it is called in a sentence.
    name: &'static str,
    /// The version that the build 7763f26 reads; 0 for a kind that it does not know.
    baseline: u64,
    /// The highest version that this build reads.
    newest: u64,
}

const fn row(key: &'static str, name: &'static str, baseline: u64, newest: u64) -> Row {
    Row { key, name, baseline, newest }
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 24] = [
        Kind::Incident,
        Kind::Holder,
        Kind::Journal,
        Kind::Guest,
        Kind::Settled,
        Kind::Plan,
        Kind::Evidence,
        Kind::WaitingNote,
        Kind::Through,
        Kind::DumpGrace,
        Kind::ConfirmOff,
        Kind::DeviceOff,
        Kind::Devices,
        Kind::Order,
        Kind::Lead,
        Kind::Opening,
        Kind::Layout,
        Kind::Cooldown,
        Kind::Policy,
        Kind::Observer,
        Kind::Maintenance,
        Kind::Names,
        Kind::Bound,
        Kind::Fence,
    ];

    /// The table. Whoever raises a number writes into docs/formats.md what the version added (a test compares them).
    /// All that is added between two releases shares one version.
    const fn row(self) -> Row {
        match self {
            Kind::Incident => row("incident", "the incident record", 1, 3),
            Kind::Holder => row("holder", "the value of an incident's lock", 1, 1),
            Kind::Journal => row("journal", "the journal", 1, 3),
            Kind::Guest => row("guest", "a guest's ledger entry", 1, 3),
            Kind::Settled => row("settled", "a person's word about a held guest", 0, 1),
            Kind::Plan => row("plan", "the plan", 1, 1),
            Kind::Evidence => row("evidence", "the evidence of an incident", 1, 1),
            Kind::WaitingNote => row("waiting_note", "the note of an HA node that waits", 1, 2),
            Kind::Through => row("through", "that a machine is through with an incident", 0, 1),
            Kind::DumpGrace => row("dump_grace", "the grace for a crash dump", 1, 1),
            Kind::ConfirmOff => row("confirm_off", "a person's word that a host is off", 1, 2),
            Kind::DeviceOff => row("device_off", "a person's word that a device carries no power", 0, 1),
            Kind::Devices => row("devices", "what the devices of fence levels answered", 0, 1),
            Kind::Order => row("order", "a person's order", 0, 1),
            Kind::Lead => row("lead", "a person's word that leads an incident", 0, 1),
            Kind::Opening => row("opening", "the opening of an incident", 0, 1),
            Kind::Layout => row("layout", "which keys are written by whom", 0, 2),
            Kind::Cooldown => row("cooldown", "the cool-down", 1, 1),
            // The newest is the highest number in `crate::policy::ADDED`.
            Kind::Policy => row("policy", "the policy", 1, 2),
            Kind::Observer => row("observer", "an observer's record", 1, 3),
            Kind::Maintenance => row("maintenance", "a machine's maintenance", 1, 1),
            Kind::Names => row("names", "a machine's other names", 1, 1),
            Kind::Bound => row("bound", "what of a machine's own word was accepted", 0, 1),
            Kind::Fence => row("fence", "the fence levels of a machine", 1, 2),
        }
    }

    /// What it is called in `internal/formats`: never changed.
    pub const fn key(self) -> &'static str {
        self.row().key
    }

    /// The version that an HA node reads that has published nothing of this kind.
    pub const fn baseline(self) -> u64 {
        self.row().baseline
    }

    /// The highest version that this build reads.
    pub const fn newest(self) -> u64 {
        self.row().newest
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_is_in_the_list_once_and_reads_what_was_read_before() {
        let keys: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.key()).collect();
        assert_eq!(keys.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.newest() >= kind.baseline().max(1), "{kind}");
        }
    }

    #[test]
    fn the_document_has_the_same_table() {
        let document = include_str!("../../../docs/formats.md");
        let row = |kind: Kind| format!("| `{}` | {} | {} |", kind.key(), kind.baseline(), kind.newest());
        let missing: Vec<String> =
            Kind::ALL.map(row).into_iter().filter(|row| !document.contains(row)).collect();
        assert!(missing.is_empty(), "docs/formats.md lacks {missing:#?}");
        for kind in Kind::ALL {
            for version in kind.baseline() + 1..=kind.newest() {
                let heading = format!("`{}` {version}:", kind.key());
                assert!(document.contains(&heading), "docs/formats.md does not say what {heading} added");
            }
        }
    }
}
