//! Our own Consul client: key-value store, transactions, sessions, health and blocking queries.
//!
//! Start reading at [`Consul`], which is [`crate::store::Store`] on a real cluster. Each file next
//! to it holds one part of Consul's API; [`http`] is the only one that opens a connection.
//!
//! What it must never do: send the token in a URL, wait without a deadline, read an answer without
//! a bound, send a write twice, or let a denied or leaderless answer look like an empty one where
//! Consul gives the means to tell them apart.
//!
//! # Consistency, per call
//!
//! | call | mode | why |
//! |---|---|---|
//! | `get`, `list`, `keys`, transactions of reads only | `consistent` | they are compared by index, and decided on: the default mode lets a leader that was just cut off answer from yesterday's tree |
//! | `serf_health` and other health | `consistent` | a deposed leader still sees the dead as passing, and its peers as critical |
//! | transactions that write, sessions | - | they go through Raft |
//! | blocking queries | default | they wake a person's screen or a re-read; nothing is decided on them, and a consistent one asks a majority at each wake |
//! | `own_node` | agent | the agent alone knows |
//! | `leader` | agent | asks who leads, so it cannot demand one |
//!
//! # What Consul 1.8.7 answers to a token that may not
//!
//! Seen on a real agent with default policy deny; `tests/consul/acl.rs` asserts each line. These
//! facts decide our ACL policies. Since 1.12 the words go on behind *Permission denied* with the token, the
//! permission and the key; `words` tells them by their beginning, and `tests/cli/consul_words.rs` puts the newer
//! ones into a real agent's mouth.
//!
//! | request | answer |
//! |---|---|
//! | `GET kv/KEY`, key denied | **403**, whether the key exists or not: a 404 here means *absent* |
//! | `?recurse`, `?keys` below a denied prefix | **404**, the same as for an empty one |
//! | the same, partly denied | 200, denied keys **silently left out** |
//! | the same with `acl.enable_key_list_policy` and no `list` on that very prefix | **403** (off by default, so nothing can rest on it) |
//! | `?keys&separator=/` | filtered by key **before** folding: `h1/` appears when any key below it may be read, or when the key `h1/` itself exists and may be read |
//! | `health/*`, `catalog/nodes`, `session/list` | 200, denied nodes **silently left out** (`[]` when all are) |
//! | `agent/self` | **403** |
//! | `status/leader` | answered, needs no permission |
//! | transaction, any of `set cas lock unlock delete delete-cas delete-tree check-index check-session check-not-exists` denied | **409** with `Permission denied` for each such operation, nothing happened |
//! | transaction, `get` denied | **committed**, with no result for that key (an absent key would refuse it) |
//! | transaction, `get-tree` denied or partly so | **committed**, denied keys silently left out |
//! | session create, renewal of a live one | **403** |
//! | renewal of a session that is gone | 404, needs no permission |
//! | session destroy | 403, but 200 without permission when the session is unknown |
//! | `lock` and `unlock` with somebody else's session | allowed by the key's `write` alone: a session's id is a capability, `session` rules guard its making only |
//! | session create, renewal on the agent's own node | `session "NODE"` with policy `write` is enough |
//! | an unknown or deleted token | **403** `ACL not found`, everywhere except `status/leader` |
//! | no token at all | as the anonymous token: in a default-deny cluster as any token that may not |
//!
//! An exact-key rule for a name that ends in `/` shows that folder in a listing only while that
//! very key exists, so a host's name is visible to whom any key of the host is. A `key_prefix` rule
//! with policy `list` gives the values too: it is *read* plus the right to list, no *names only*.
//!
//! So here: a transaction that commits without an entry for one of its `get`s is *denied* (or, if
//! it wrote too, *not understood*, since the writes did happen), a 409 that says `Permission
//! denied` is *denied* and not *refused*, and of prefix and health reads alone the caller must
//! still demand that something is there which must be there.

pub mod agent;
pub mod blocking;
mod client;
pub mod health;
pub mod http;
pub mod kv;
pub mod session;
pub mod settings;
pub mod status;
mod tls;
pub mod txn;
mod words;

pub use client::Consul;
pub use settings::{Address, Settings, Timeouts};
