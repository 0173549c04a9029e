//! Keystone, and how long Nova takes its tokens: of those that were revoked as long as its memory of them may last.

use std::collections::BTreeSet;
use std::time::Duration;

use nova_ha::nova::{Migration, MigrationStatus, Token, TokenId};

use super::time::wall;
use super::universe::{Universe, in_flight};

pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// `token_cache_time`: that a token was good is remembered for so long, in the worst case.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);

/// What Nova heard longer ago than this, whoever revokes a token has seen.
const A_LOOK: Duration = Duration::from_secs(15);

/// A token.
#[derive(Debug, Clone)]
pub(crate) struct SimToken {
    issued: Duration,
    revoked: Option<Duration>,
    /// Machines that keep it until they boot.
    kept_on: BTreeSet<String>,
}

impl Universe {
    /// A login.
    pub(crate) fn gives_a_token(&mut self) -> TokenId {
        let id = TokenId::new_one();
        let token = SimToken { issued: self.now, revoked: None, kept_on: BTreeSet::new() };
        self.tokens.insert(id.clone(), token);
        id
    }

    pub(crate) fn token(&self, id: &TokenId) -> Token {
        let ends = wall(self.tokens[id].issued + TOKEN_LIFE);
        Token { id: id.clone(), ends, now: wall(self.now), life: TOKEN_LIFE }
    }

    /// Before its end by far.
    pub(crate) fn is_good(&self, id: &TokenId) -> bool {
        let token = &self.tokens[id];
        token.revoked.is_none() && self.now + Duration::from_secs(60) < token.issued + TOKEN_LIFE
    }

    /// Whether Nova takes it at that time, as far as is known now.
    pub(crate) fn takes_at(&self, id: &TokenId, at: Duration) -> bool {
        let token = &self.tokens[id];
        at < token.issued + TOKEN_LIFE && token.revoked.is_none_or(|revoked| at < revoked + REMEMBERED)
    }

    pub(crate) fn keeps_token(&mut self, id: &TokenId, on: &str) {
        self.tokens.get_mut(id).unwrap().kept_on.insert(on.to_owned());
    }

    /// `None` where that machine has no such token.
    pub(crate) fn revokes(&mut self, id: &TokenId, by: &str) -> Option<jiff::Timestamp> {
        let now = self.now;
        let token = self.tokens.get_mut(id).filter(|token| token.kept_on.contains(by))?;
        token.revoked.get_or_insert(now);
        self.fails_what_works_with(id);
        Some(wall(now))
    }

    /// Nova asks other services with the token of whoever asked it. What was to be seen in a look before is never failed
    /// so; what Nova heard since then is.
    fn fails_what_works_with(&mut self, id: &TokenId) {
        let works = self.works_with.iter().filter(|(_, (token, _))| token == id);
        for (number, since) in works.map(|(number, (_, since))| (*number, *since)).collect::<Vec<_>>() {
            let moves = |m: &&mut (Migration, Duration)| m.0.id == number && in_flight(&m.0);
            let Some((migration, _)) = self.migrations.iter_mut().find(moves) else { continue };
            migration.status = MigrationStatus::Failed;
            self.servers.get_mut(&migration.server).unwrap().task_state = None;
            let was_seen = self.now - since > A_LOOK;
            self.rule(!was_seen, format!("the token is revoked with which migration {number} is under way"));
        }
    }

    /// Of a machine that boots.
    pub(crate) fn forgets_tokens(&mut self, machine: &str) {
        for token in self.tokens.values_mut() {
            token.kept_on.remove(machine);
        }
    }
}
