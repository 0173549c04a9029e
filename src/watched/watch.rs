//! Reads the checks of the HA nodes.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::sight::{Blind, Sight};
use super::{SWEEP_ID, probe_id};
use crate::names::HaNodeName;
use crate::store::{Check, Store};

/// An HA node as Consul knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// Its name in the tree.
    pub name: HaNodeName,
    /// What Consul calls it.
    pub consul_node: String,
    /// Its own agent.
    pub agent: Agent,
}

/// The agent that runs an HA node's checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// Its `serfHealth` passes.
    Passing,
    /// It does not, or the catalog has no such node: what its checks last said is of before.
    Lost,
    /// Nobody can tell, and why.
    CannotTell(String),
}

/// The checks of ours on every HA node.
#[derive(Debug, Clone)]
pub struct Watch {
    by: BTreeMap<HaNodeName, Result<Vec<Check>, Blind>>,
}

impl Watch {
    /// Asks Consul: one request for each HA node whose agent passes. An HA node that cannot be asked is *cannot tell*
    /// for itself, and hides no other.
    pub async fn read(store: &dyn Store, watchers: Vec<Watcher>) -> Self {
        let asked = watchers.into_iter().map(|watcher| async move {
            let Watcher { name, consul_node, agent } = watcher;
            let said = match agent {
                Agent::CannotTell(why) => Err(Blind::CannotRead(why)),
                Agent::Lost => Err(Blind::AgentLost),
                Agent::Passing => {
                    let read = store.node_checks(&consul_node).await;
                    read.map_err(|error| Blind::CannotRead(error.to_string()))
                }
            };
            (name, said)
        });
        Self { by: join_all(asked).await.into_iter().collect() }
    }

    /// Which HA nodes see a machine. `failing` is whether an HA node's record of it, of its current epoch, holds fails.
    /// A machine never watches itself.
    pub fn sight(&self, machine: &str, failing: impl Fn(&HaNodeName) -> bool) -> Sight {
        let id = probe_id(machine);
        let mut sight = Sight { machine: machine.to_owned(), sees: Vec::new(), blind: BTreeMap::new() };
        for (node, said) in self.by.iter().filter(|(node, _)| !node.is_one_with(machine)) {
            match blind(said, &id, failing(node)) {
                None => sight.sees.push(node.clone()),
                Some(why) => drop(sight.blind.insert(node.clone(), why)),
            }
        }
        sight
    }

    /// HA nodes on which Consul runs no sweep, and why. Where none of our checks is to be seen the machines say so.
    pub fn without_a_sweep(&self) -> Vec<HaNodeName> {
        let runs = |checks: &Vec<Check>| checks.iter().any(|check| check.id == SWEEP_ID);
        let lacks =
            |said: &Result<Vec<Check>, Blind>| said.as_ref().is_ok_and(|checks| any(checks) && !runs(checks));
        self.by.iter().filter(|(_, said)| lacks(said)).map(|(node, _)| node.clone()).collect()
    }

    /// HA nodes whose own agent does not pass: they see nothing.
    pub fn lost(&self) -> Vec<HaNodeName> {
        let is_lost = |said: &Result<Vec<Check>, Blind>| matches!(said, Err(Blind::AgentLost));
        self.by.iter().filter(|(_, said)| is_lost(said)).map(|(node, _)| node.clone()).collect()
    }

    /// HA nodes with checks of ours that still belong to the node: they take its other services with them.
    pub fn of_the_node(&self) -> Vec<HaNodeName> {
        let ours = |check: &Check| is_ours(check) && check.service.is_empty();
        let has =
            |said: &Result<Vec<Check>, Blind>| said.as_ref().is_ok_and(|checks| checks.iter().any(ours));
        self.by.iter().filter(|(_, said)| has(said)).map(|(node, _)| node.clone()).collect()
    }
}

fn blind(said: &Result<Vec<Check>, Blind>, id: &str, failing: bool) -> Option<Blind> {
    match said {
        Err(why) => Some(why.clone()),
        Ok(checks) => Blind::of(checks.iter().find(|check| check.id == id), any(checks), failing),
    }
}

fn any(checks: &[Check]) -> bool {
    checks.iter().any(is_ours)
}

/// What a host's own agent runs for us is no watching.
fn is_ours(check: &Check) -> bool {
    check.id == SWEEP_ID || check.id.starts_with(&probe_id(""))
}
