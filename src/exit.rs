//! Every exit code of every executable, in one place.

/// Consul reads a script check's exit code: 0 passing, 1 warning, anything else critical.
pub mod probe {
    /// The machine answered on every plane.
    pub const PASSING: u8 = 0;
    /// Failing below the threshold, *cannot tell*, or a fault of our own.
    pub const WARNING: u8 = 1;
    /// The threshold is reached. The only code that triggers a judgement.
    pub const CRITICAL: u8 = 2;
}

/// Done, or nothing to do.
pub const OK: u8 = 0;
/// Bad input or a fault that changed nothing.
pub const FAILED: u8 = 1;
/// Usage error (clap's own code).
pub const USAGE: u8 = 2;
/// Something is waiting or held and needs a person or time; the line says what.
pub const ATTENTION: u8 = 3;
