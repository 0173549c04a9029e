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

/// For how long something that a person said counts: by this machine's boot clock since it first saw it, and
/// by its wall clock since it was said; whichever is over first. A wrong wall clock can shorten it, and one
/// that was set back cannot make it longer than `ttl` from the first sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit {
    /// When it was said, by the wall clock of where it was said.
    pub at: jiff::Timestamp,
    /// For how long it counts.
    pub ttl: Duration,
}

/// How far the wall clock of who said it may be ahead of ours: clocks that are kept by NTP differ by
/// less than a second, and a person should not have to wait for them.
pub const CLOCKS_MAY_DIFFER: Duration = Duration::from_secs(2 * 60);

/// Why something that a person said does not count any more, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeOver {
    /// One of the two wall clocks is wrong.
    #[error("it was given at {at}, and this machine's clock says {now}: one of the two clocks is wrong")]
    Ahead {
        /// When it was given.
        at: jiff::Timestamp,
        /// Now, here.
        now: jiff::Timestamp,
    },
    /// Its time is over by the wall clock.
    #[error("it was given at {at} for {} s and is over (now: {now})", ttl.as_secs())]
    ByWallClock {
        /// When it was given.
        at: jiff::Timestamp,
        /// For how long.
        ttl: Duration,
        /// Now, here.
        now: jiff::Timestamp,
    },
    /// Its time is over since this machine first saw it.
    #[error(
        "it was given at {at} for {} s and is over: this machine saw it first {} s ago", ttl.as_secs(), seen.as_secs()
    )]
    ByBootClock {
        /// When it was given.
        at: jiff::Timestamp,
        /// For how long.
        ttl: Duration,
        /// How long ago this machine first saw it.
        seen: Duration,
    },
}

impl TimeLimit {
    /// Whether it counts now, on the machine that first saw it at `first_seen`.
    ///
    /// # Errors
    /// It is over, or lies further in the future than clocks may differ.
    pub fn counts(&self, first_seen: BootInstant, clock: &dyn Clock) -> Result<(), TimeOver> {
        let Self { at, ttl } = *self;
        let now = clock.wall();
        let since = now.duration_since(at);
        if since.is_negative() && since.unsigned_abs() > CLOCKS_MAY_DIFFER {
            return Err(TimeOver::Ahead { at, now });
        }
        if !since.is_negative() && since.unsigned_abs() >= ttl {
            return Err(TimeOver::ByWallClock { at, ttl, now });
        }
        let seen = clock.boottime().saturating_duration_since(first_seen);
        match seen >= ttl {
            true => Err(TimeOver::ByBootClock { at, ttl, seen }),
            false => Ok(()),
        }
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

    struct At(jiff::Timestamp, Duration);

    #[async_trait]
    impl Clock for At {
        fn boottime(&self) -> BootInstant {
            BootInstant::since_boot(self.1)
        }
        fn wall(&self) -> jiff::Timestamp {
            self.0
        }
        async fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn what_a_person_said_is_over_by_the_first_of_two_clocks() {
        let limit = TimeLimit { at: "2026-11-22T10:00:00Z".parse().unwrap(), ttl: Duration::from_secs(600) };
        let seen = BootInstant::since_boot(Duration::from_secs(1000));
        let at = |wall: &str, boot: u64| {
            let clock = At(format!("2026-11-22T{wall}Z").parse().unwrap(), Duration::from_secs(boot));
            limit.counts(seen, &clock)
        };
        assert_eq!(at("10:00:00", 1000), Ok(()));
        assert_eq!(at("10:09:59.999", 1599), Ok(()));
        assert!(matches!(at("10:10:00", 1001), Err(TimeOver::ByWallClock { .. })));
        // A clock that is two hours behind: it cannot move the time.
        assert_eq!(at("10:05:00", 1599), Ok(()));
        assert!(matches!(at("10:05:00", 1600), Err(TimeOver::ByBootClock { .. })));
        // Clocks differ a little; the boot clock counts.
        assert_eq!(at("09:58:00", 1599), Ok(()));
        assert!(matches!(at("09:58:00", 1600), Err(TimeOver::ByBootClock { .. })));
        let ahead = at("09:57:59", 1000).unwrap_err();
        assert!(matches!(ahead, TimeOver::Ahead { .. }));
        let said = ahead.to_string();
        assert!(said.contains("2026-11-22T10:00:00Z") && said.contains("2026-11-22T09:57:59Z"), "{said}");
    }

    #[test]
    fn the_boot_id_is_the_same_twice() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}
