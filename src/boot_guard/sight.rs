//! The look at this machine's disks, which must not hold up the guard: a disk that hangs keeps a thread, and
//! no second one is started beside it.

use std::time::Duration;

use super::disks::Sighted;
use crate::disks::mountinfo::Mount;
use crate::disks::running::{self, Look};
use crate::disks::{Roots, places};
use crate::may_hang::MayHang;
use crate::published_disks;
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::runtime_config::arrays::MdArray;

/// Twice in one question, which ends after 15 s. Disks that are spun up answer in milliseconds.
const DEADLINE: Duration = Duration::from_secs(3);

/// This machine's disks.
pub struct Disks {
    roots: Roots,
    may_hang: MayHang,
}

impl Disks {
    /// Below these folders.
    pub fn at(roots: Roots) -> Self {
        Self { roots, may_hang: MayHang::default() }
    }

    /// The published arrays, by what their disks say.
    ///
    /// # Errors
    /// They do not answer in time, or a published array cannot be understood.
    pub async fn members(&self, published: &RuntimeConfig) -> Result<Vec<Sighted>, String> {
        let arrays = published
            .md_arrays
            .iter()
            .map(|(uuid, value)| MdArray::of(uuid, value))
            .collect::<Result<Vec<_>, _>>()?;
        let roots = self.roots.clone();
        self.within(move || {
            let look = |array: &MdArray| {
                let places = published_disks::places(array)?;
                places::look(&roots, &places).map_err(|error| error.to_string())
            };
            arrays.into_iter().map(|array| (look(&array), array)).map(|(seen, array)| (array, seen)).collect()
        })
        .await
    }

    /// What runs and what is mounted.
    ///
    /// # Errors
    /// They do not answer in time, or cannot be read.
    pub async fn running(&self) -> Result<(Look, Vec<Mount>), String> {
        let roots = self.roots.clone();
        self.within(move || {
            let look = running::look(&roots).map_err(|error| format!("block devices: {error}"))?;
            Ok((look, running::mounts(&roots)?))
        })
        .await?
    }

    async fn within<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let seen = self.may_hang.run(DEADLINE, look).await?;
        seen.ok_or_else(|| format!("its disks did not answer within {DEADLINE:?}"))
    }
}
