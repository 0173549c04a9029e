//! The seam to the tree: a consistent key-value store with transactions and sessions.
//!
//! Consul stands behind it in production ([`crate::consul`]); a simulated world can stand behind
//! it in tests. Every read through this trait is linearizable (`?consistent`): votes, claims and
//! the journal are compared and set by index, and a stale read would only turn into a refused
//! transaction, or worse, into a decision on yesterday's tree.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;

use crate::say::short;

/// One key with its value and Consul's indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The full key.
    pub key: String,
    /// The raw value.
    pub value: Vec<u8>,
    /// Raft index of the last write; orders all writes of the tree.
    pub modify_index: u64,
    /// Session that holds the key as a lock, if any.
    pub session: Option<SessionId>,
}

/// A Consul session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionId(pub String);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One operation of a transaction. At most [`MAX_OPS`] per transaction; all happen or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Fails the transaction if the key is absent.
    Get(String),
    /// Every key below a prefix; an absent prefix answers nothing.
    GetTree(String),
    /// Unconditional write.
    Set(String, Vec<u8>),
    /// Write if the key is still at this index; 0 means *still absent*.
    Cas(String, Vec<u8>, u64),
    /// Take the lock with this session and set the value.
    Lock(String, Vec<u8>, SessionId),
    /// Give the lock back and set the value.
    Unlock(String, Vec<u8>, SessionId),
    /// Fails unless this session holds the key.
    CheckSession(String, SessionId),
    /// Fails unless the key is at this index.
    CheckIndex(String, u64),
    /// Fails if the key exists.
    CheckAbsent(String),
    /// Unconditional delete.
    Delete(String),
    /// Delete if the key is still at this index.
    DeleteCas(String, u64),
    /// Delete everything below a prefix.
    DeleteTree(String),
}

impl Op {
    /// The key or prefix that the operation is about.
    pub fn key(&self) -> &str {
        match self {
            Op::Get(k) | Op::GetTree(k) | Op::CheckAbsent(k) | Op::Delete(k) | Op::DeleteTree(k) => k,
            Op::Set(k, _) | Op::Cas(k, _, _) | Op::CheckSession(k, _) => k,
            Op::Lock(k, _, _) | Op::Unlock(k, _, _) => k,
            Op::CheckIndex(k, _) | Op::DeleteCas(k, _) => k,
        }
    }

    /// *As I last saw it*: unchanged at its index, or still absent.
    pub fn unchanged(key: impl Into<String>, seen: Option<&Entry>) -> Op {
        match seen {
            Some(entry) => Op::CheckIndex(key.into(), entry.modify_index),
            None => Op::CheckAbsent(key.into()),
        }
    }

    /// Compare-and-set against what was last seen; absent is compared as absent.
    pub fn replace(key: impl Into<String>, value: impl Into<Vec<u8>>, seen: Option<&Entry>) -> Op {
        Op::Cas(key.into(), value.into(), seen.map_or(0, |entry| entry.modify_index))
    }
}

/// Consul refuses a transaction with more operations (1.8 and later).
pub const MAX_OPS: usize = 64;

/// Consul refuses a larger value, and a larger whole transaction body (1.8: 512 KiB, base64 counts).
pub const MAX_VALUE_BYTES: usize = 512 * 1024;

/// One operation that refused a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The key of the operation.
    pub key: String,
    /// Consul's words.
    pub what: String,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOutcome {
    /// All of it happened. Entries are those that the operations answer with (written keys without
    /// their values).
    Committed(Vec<Entry>),
    /// None of it happened.
    Refused(Vec<Refusal>),
}

/// A session to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSpec {
    /// Shown in Consul's UI.
    pub name: String,
    /// Consul takes 10 s to 24 h, and may need up to twice as long to notice a lapse.
    pub ttl: Duration,
    /// How long a lock stays closed after its session was invalidated; at most 60 s.
    pub lock_delay: Duration,
}

/// Whether a renewal found the session alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The session lives for another TTL.
    Renewed,
    /// Consul no longer knows the session: whatever it locked is not ours any more.
    Gone,
}

/// `serfHealth` of a Consul node, as the catalog has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerfHealth {
    /// Gossip reaches the node's agent.
    Passing,
    /// Gossip lost the node's agent.
    Critical,
}

/// Health of one Consul node. A node whose agent left, or that was reaped, is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHealth {
    /// Consul's node name.
    pub node: String,
    /// Its `serfHealth`.
    pub serf: SerfHealth,
}

/// Status of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    /// `passing`
    Passing,
    /// `warning`
    Warning,
    /// `critical`; also a script check before its first run.
    Critical,
}

impl CheckStatus {
    /// As Consul spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckStatus::Passing => "passing",
            CheckStatus::Warning => "warning",
            CheckStatus::Critical => "critical",
        }
    }
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for CheckStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "passing" => Ok(CheckStatus::Passing),
            "warning" => Ok(CheckStatus::Warning),
            "critical" => Ok(CheckStatus::Critical),
            other => Err(format!("{other:?} is no status of a check")),
        }
    }
}

/// One check of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Consul's node name.
    pub node: String,
    /// Unique on that node.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its status.
    pub status: CheckStatus,
    /// What the check last printed, at most 4 KiB; not trusted.
    pub output: String,
    /// The service it is about, or empty.
    pub service: String,
    /// Raft index of its last change.
    pub modify_index: u64,
}

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or it broke before an answer.
    #[error("cannot reach Consul at {address} to {doing}")]
    Unreachable {
        /// Where.
        address: String,
        /// What was being attempted.
        doing: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The deadline passed. A write may or may not have happened.
    #[error("Consul at {address} did not answer within {deadline:?} to {doing}")]
    Deadline {
        /// Where.
        address: String,
        /// What was being attempted.
        doing: String,
        /// The deadline that passed.
        deadline: Duration,
    },
    /// The cluster has no leader: nothing can be read consistently or written.
    #[error("Consul has no leader, could not {doing}")]
    NoLeader {
        /// What was being attempted.
        doing: String,
    },
    /// The token may not do this, or is none.
    #[error("{} {doing}: {}", why.begins(), short(message))]
    Denied {
        /// What was being attempted.
        doing: String,
        /// What is wrong with the token.
        why: Denial,
        /// Consul's words.
        message: String,
    },
    /// Refused because of load, before anything was done.
    #[error("Consul is too busy to {doing}: {}", short(message))]
    Busy {
        /// What was being attempted.
        doing: String,
        /// Consul's words.
        message: String,
    },
    /// Any other status.
    #[error("Consul answered {status} to {doing}: {message}")]
    Status {
        /// HTTP status.
        status: u16,
        /// What was being attempted.
        doing: String,
        /// Consul's words, cut to a line.
        message: String,
    },
    /// The answer is not what Consul's API says.
    #[error("Consul's answer to {doing} cannot be understood: {message}")]
    Malformed {
        /// What was being attempted.
        doing: String,
        /// What was wrong.
        message: String,
    },
    /// The answer is larger than anything this call should answer.
    #[error("Consul's answer to {doing} is larger than {limit} bytes")]
    TooLarge {
        /// What was being attempted.
        doing: String,
        /// The bound that was passed.
        limit: usize,
    },
    /// The request is one that Consul would refuse or read as another; it was not sent.
    #[error("cannot ask Consul to {doing}: {message}")]
    Request {
        /// What was being attempted.
        doing: String,
        /// What is wrong with it.
        message: String,
    },
    /// The settings (address, certificate, token file) cannot be used.
    #[error("{setting}: {message}")]
    Settings {
        /// The environment variable or option.
        setting: String,
        /// What is wrong with it.
        message: String,
    },
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// It lacks the permission; or none was given, and nobody may do this without one.
    Permission,
    /// Consul does not know it. That may pass: a token reaches each server a moment after it was made, and an agent
    /// remembers for up to `acl_token_ttl` that it was unknown.
    UnknownToken,
}

impl Denial {
    fn begins(self) -> &'static str {
        match self {
            Denial::Permission => "Consul denies this token to",
            Denial::UnknownToken => "Consul does not know this token, could not",
        }
    }
}

impl StoreError {
    /// The operator's next command.
    pub fn hint(&self) -> String {
        match self {
            StoreError::Unreachable { .. } | StoreError::Deadline { .. } => {
                "consul members   (and look at CONSUL_HTTP_ADDR)".into()
            }
            StoreError::NoLeader { .. } => "consul operator raft list-peers; the next run tries again".into(),
            StoreError::Denied { why: Denial::Permission, .. } => {
                "give this executable a token with its policy: nova-ha generate acl --out DIR".into()
            }
            StoreError::Denied { why: Denial::UnknownToken, .. } => {
                "see which token CONSUL_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN gives: consul acl token read -self; \
                 a new one: nova-ha generate acl --out DIR"
                    .into()
            }
            StoreError::Busy { .. } => "repeat the command; who asks so much is in: consul monitor".into(),
            StoreError::Status { .. } | StoreError::Malformed { .. } | StoreError::TooLarge { .. } => {
                "see that CONSUL_HTTP_ADDR is a Consul agent: consul members".into()
            }
            StoreError::Request { .. } => "see what the tree holds: nova-ha status".into(),
            StoreError::Settings { setting, .. } if setting.contains("TOKEN") => {
                format!("correct {setting}; where Consul has no ACLs, leave it out")
            }
            StoreError::Settings { setting, .. } => format!("correct {setting}, then: consul members"),
        }
    }

    /// Whether the same call may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            StoreError::Unreachable { .. }
            | StoreError::Deadline { .. }
            | StoreError::NoLeader { .. }
            | StoreError::Busy { .. } => true,
            StoreError::Status { status, .. } => *status >= 500,
            StoreError::Denied { .. }
            | StoreError::Malformed { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Request { .. }
            | StoreError::Settings { .. } => false,
        }
    }

    /// Whether a write that ended so may have happened all the same.
    pub fn effect_may_have_happened(&self) -> bool {
        match self {
            StoreError::Unreachable { .. }
            | StoreError::Deadline { .. }
            | StoreError::NoLeader { .. }
            | StoreError::Malformed { .. }
            | StoreError::TooLarge { .. } => true,
            StoreError::Status { status, .. } => *status >= 500,
            StoreError::Denied { .. }
            | StoreError::Busy { .. }
            | StoreError::Request { .. }
            | StoreError::Settings { .. } => false,
        }
    }

    /// Whether nothing happened and the next attempt may find it otherwise, so that even a write may be sent again at once.
    /// A token that stays unknown is denied after the attempts of one call.
    pub fn may_be_sent_again(&self) -> bool {
        match self {
            StoreError::Busy { .. } | StoreError::Denied { why: Denial::UnknownToken, .. } => true,
            StoreError::Denied { why: Denial::Permission, .. }
            | StoreError::Unreachable { .. }
            | StoreError::Deadline { .. }
            | StoreError::NoLeader { .. }
            | StoreError::Status { .. }
            | StoreError::Malformed { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Request { .. }
            | StoreError::Settings { .. } => false,
        }
    }
}

/// The tree, its sessions and the cluster's view of its nodes.
#[async_trait]
pub trait Store: Send + Sync {
    /// One key, consistently. `None` is *absent or denied*: see [`crate::tree`] for how the two
    /// are told apart.
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// All entries below a prefix, which must end in `/`, consistently.
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// Key names below a prefix, which must end in `/`, consistently; with `folders`, only the
    /// names of the next level, each ending in `/` if it is a folder.
    async fn keys(&self, prefix: &str, folders: bool) -> Result<Vec<String>, StoreError>;

    /// All operations or none.
    async fn transact(&self, ops: &[Op]) -> Result<TxnOutcome, StoreError>;

    /// A session without health checks: only its TTL ends it, or [`Store::destroy_session`].
    async fn create_session(&self, spec: &SessionSpec) -> Result<SessionId, StoreError>;

    /// Renews a session for another TTL.
    async fn renew_session(&self, session: &SessionId) -> Result<Renewal, StoreError>;

    /// Ends a session; its locks are released, after their lock-delay.
    async fn destroy_session(&self, session: &SessionId) -> Result<(), StoreError>;

    /// `serfHealth` of all nodes in one request, consistently.
    async fn serf_health(&self) -> Result<Vec<NodeHealth>, StoreError>;

    /// All checks of one node, consistently. A node that is absent and one that the token may not read answer an empty
    /// list; of a service that the token may not read the checks are left out.
    async fn node_checks(&self, node: &str) -> Result<Vec<Check>, StoreError>;

    /// The Consul node name of the agent we talk to.
    async fn own_node(&self) -> Result<String, StoreError>;

    /// Address (`ip:port`) of the cluster's leader, as the agent knows it.
    async fn leader(&self) -> Result<Option<String>, StoreError>;
}
