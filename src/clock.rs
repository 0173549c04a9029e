//! Time: the boot clock that decides, the wall clock that people read.
//!
//! Leases and proofs are aged by `CLOCK_BOOTTIME`. It never jumps, and unlike `CLOCK_MONOTONIC` it
//! counts the time a machine was suspended: an HA node that slept through its session's TTL must
//! find its lease gone. [`std::time::Instant`] is `CLOCK_MONOTONIC` and is therefore not used for
//! anything that must expire.

use std::time::Duration;

use async_trait::async_trait;

/// A point on this machine's boot clock. Means nothing on another machine or after a reboot, so it
/// is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// A point this long after boot.
    pub const fn since_boot(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// This much later; `None` past the end of time.
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// This much later, at most the end of time.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long after `earlier` this is; `None` if it is before.
    pub fn checked_duration_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0)
    }

    /// How long after `earlier` this is, zero if it is before.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The clocks, as a seam: a simulated world brings its own.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now, for everything that expires.
    fn boottime(&self) -> BootInstant;

    /// Now, for people and for records that people read. May jump.
    fn wall(&self) -> jiff::Timestamp;

    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn boottime(&self) -> BootInstant {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // Both are non-negative on a boot clock, and the nanoseconds are below 10^9.
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or(0);
        BootInstant(Duration::new(seconds, nanoseconds))
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Why the boot id is not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the boot id from {BOOT_ID}")]
pub struct BootIdError {
    /// The cause.
    #[source]
    source: std::io::Error,
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The id of this boot of this machine (a UUID in text): two equal ones are the same boot.
///
/// # Errors
/// `/proc` is not there, or says something that is no UUID.
pub fn boot_id() -> Result<uuid::Uuid, BootIdError> {
    let text = std::fs::read_to_string(BOOT_ID).map_err(|source| BootIdError { source })?;
    uuid::Uuid::parse_str(text.trim())
        .map_err(|e| BootIdError { source: std::io::Error::new(std::io::ErrorKind::InvalidData, e) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_agrees_with_the_kernel_and_goes_forward() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let clock: &dyn Clock = &SystemClock;
        let now = clock.boottime();
        let kernel = BootInstant::since_boot(Duration::from_secs_f64(uptime));
        assert!(now.saturating_duration_since(kernel) < Duration::from_secs(5), "{now:?} {kernel:?}");
        assert!(clock.boottime() >= now);
    }

    #[test]
    fn arithmetic_has_no_wrap() {
        let one = BootInstant::since_boot(Duration::from_secs(1));
        let two = BootInstant::since_boot(Duration::from_secs(2));
        assert_eq!(two.checked_duration_since(one), Some(Duration::from_secs(1)));
        assert_eq!(one.checked_duration_since(two), None);
        assert_eq!(one.saturating_duration_since(two), Duration::ZERO);
        assert_eq!(one.checked_add(Duration::MAX), None);
        assert_eq!(one.saturating_add(Duration::MAX), BootInstant::since_boot(Duration::MAX));
    }

    #[test]
    fn the_boot_id_is_the_same_twice() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}
