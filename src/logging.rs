//! `tracing` to stderr; stdout is for results.

use tracing_subscriber::EnvFilter;

/// Installs the subscriber: `NOVA_HA_LOG` filters as `RUST_LOG` does, default `info`.
pub fn init() {
    let filter = EnvFilter::try_from_env("NOVA_HA_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second call in one process (tests) keeps the first subscriber.
    let _already_set = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .try_init();
}
