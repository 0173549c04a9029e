//! `nova-ha` against a real Consul.

use std::process::Output;

use nova_ha::store::{Op, Store, TxnOutcome};
use serde_json::Value;

use crate::support::consul_agent::{Agent, MASTER};

/// A Consul and a token for it.
pub(crate) struct Site {
    pub(crate) agent: Agent,
    token: Option<String>,
}

/// What a command did.
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

impl Said {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Exit 3: what is shown waits for a person.
    #[track_caller]
    pub(crate) fn waits(self) -> Self {
        assert_eq!(self.code, 3, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Exit 1, and one line that says why.
    #[track_caller]
    pub(crate) fn refused(self, why: &str) -> Self {
        assert_eq!(self.code, 1, "stdout: {}\nstderr: {}", self.out, self.err);
        assert!(self.err.starts_with("nova-ha: ") && self.err.contains(why), "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    #[track_caller]
    pub(crate) fn next(self, command: &str) -> Self {
        assert!(self.err.contains("next: ") && self.err.contains(command), "{}", self.err);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(serde_json::json!({})).await
    }

    pub(crate) async fn with_acl() -> Self {
        Self::with_acl_and(serde_json::json!({})).await
    }

    /// On an agent with more configuration.
    pub(crate) async fn with(extra: Value) -> Self {
        Self { agent: Agent::start(extra).await, token: None }
    }

    pub(crate) async fn with_acl_and(extra: Value) -> Self {
        Self { agent: Agent::start_with_acl(extra).await, token: Some(MASTER.into()) }
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Said {
        self.run_with(self.token.as_deref(), args, "").await
    }

    pub(crate) async fn run_stdin(&self, args: &[&str], stdin: &str) -> Said {
        self.run_with(self.token.as_deref(), args, stdin).await
    }

    pub(crate) async fn run_with(&self, token: Option<&str>, args: &[&str], stdin: &str) -> Said {
        self.run_whole(token, &[], args, stdin).await
    }

    /// On a machine with this environment.
    pub(crate) async fn run_on(&self, env: &[(&str, &str)], args: &[&str]) -> Said {
        self.run_whole(self.token.as_deref(), env, args, "").await
    }

    async fn run_whole(&self, token: Option<&str>, env: &[(&str, &str)], args: &[&str], stdin: &str) -> Said {
        self.run_program("nova-ha", token, env, args, stdin).await
    }

    /// Another executable, in folders of its own.
    pub(crate) async fn program(&self, name: &str, token: Option<&str>, args: &[&str]) -> Said {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path().to_str().unwrap().to_owned();
        let env = [("NOVA_HA_RUN_DIR", folder.as_str()), ("NOVA_HA_STATE_DIR", folder.as_str())];
        self.run_program(name, token, &env, args, "").await
    }

    /// The same, in this environment.
    pub(crate) async fn program_on(&self, name: &str, env: &[(&str, &str)], args: &[&str]) -> Said {
        self.run_program(name, self.token.as_deref(), env, args, "").await
    }

    /// The same with the token of that environment.
    pub(crate) async fn program_without_token(
        &self,
        name: &str,
        env: &[(&str, &str)],
        args: &[&str],
    ) -> Said {
        self.run_program(name, None, env, args, "").await
    }

    async fn run_program(
        &self,
        program: &str,
        token: Option<&str>,
        env: &[(&str, &str)],
        args: &[&str],
        stdin: &str,
    ) -> Said {
        let mut command = assert_cmd::Command::cargo_bin(program).unwrap();
        command
            .env_clear()
            .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", self.agent.port))
            .envs(env.iter().copied())
            .args(args)
            .write_stdin(stdin.to_owned())
            .timeout(std::time::Duration::from_secs(60));
        if let Some(token) = token {
            command.env("CONSUL_HTTP_TOKEN", token);
        }
        let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Said {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }

    pub(crate) async fn put(&self, key: &str, value: impl AsRef<[u8]>) {
        self.write(&[Op::Set(key.into(), value.as_ref().to_vec())]).await;
    }

    pub(crate) async fn write(&self, ops: &[Op]) {
        let outcome = self.agent.client().transact(ops).await.unwrap();
        assert!(matches!(outcome, TxnOutcome::Committed(_)), "{outcome:?}");
    }

    pub(crate) async fn value(&self, key: &str) -> Option<String> {
        let entry = self.agent.client().get(key).await.unwrap();
        entry.map(|entry| String::from_utf8(entry.value).unwrap())
    }

    /// All keys and values, to see that nothing changed.
    pub(crate) async fn tree(&self) -> Vec<(String, Vec<u8>, u64)> {
        let entries = self.agent.client().list("ha_cluster/").await.unwrap();
        entries.into_iter().map(|entry| (entry.key, entry.value, entry.modify_index)).collect()
    }
}
