//! A token, as others may know it.

use std::time::Duration;

use jiff::Timestamp;

use super::ids::TokenId;

/// What is known of a token, but for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What we call it.
    pub id: TokenId,
    /// When it ends, by keystone's clock.
    pub ends: Timestamp,
    /// It is not before this, by keystone's clock.
    pub now: Timestamp,
    /// For how long it was given.
    pub life: Duration,
}
