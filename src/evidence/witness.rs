//! Who looks, and through what.

use std::path::PathBuf;
use std::time::Duration;

use super::Anchors;
use crate::clock::{BootInstant, Clock};
use crate::judge::freshness::Life;
use crate::names::HaNodeName;
use crate::store::Store;

/// Who looks, and through what.
pub struct Witness<'a> {
    /// The tree.
    pub store: &'a dyn Store,
    /// Clocks.
    pub clock: &'a dyn Clock,
    /// Anchors.
    pub anchors: &'a dyn Anchors,
    /// The HA node that looks; `None` on a machine that is no HA node.
    pub me: Option<HaNodeName>,
    /// This boot of this machine.
    pub boot_id: String,
    /// Where marks of this boot lie, usually `/run/nova-ha`.
    pub run_dir: PathBuf,
}

impl Witness<'_> {
    pub(super) fn life(&self) -> Life {
        let boottime =
            self.clock.boottime().saturating_duration_since(BootInstant::since_boot(Duration::ZERO));
        Life { boot_id: self.boot_id.clone(), boottime }
    }
}
