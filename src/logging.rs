//! `tracing` to stderr; stdout is for results.

use tracing_subscriber::EnvFilter;

use crate::say::Log;

/// Installs the subscriber: `NOVA_HA_LOG` filters as `RUST_LOG` does, default `info`.
pub fn init() {
    // A second call in one process (tests) keeps the first subscriber.
    let _already_set = to_stderr("info").try_init();
}

/// As [`init`] for what Consul runs as a check: what it prints, to stderr too, is the check's output, and a watch wakes
/// when that changes. So no line has a time (Consul and systemd write their own), and what is said of an
/// ordinary run is left out: default `warn`.
pub fn init_for_check() {
    let _already_set = to_stderr("warn").without_time().try_init();
}

type Layers<F> = tracing_subscriber::fmt::SubscriberBuilder<
    tracing_subscriber::fmt::format::DefaultFields,
    F,
    EnvFilter,
    fn() -> Log,
>;

fn to_stderr(default: &str) -> Layers<tracing_subscriber::fmt::format::Format> {
    let filter = EnvFilter::try_from_env("NOVA_HA_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Log::default as fn() -> Log)
        .with_target(false)
        .with_ansi(false)
}
