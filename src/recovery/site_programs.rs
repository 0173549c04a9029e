//! A site's own programs on this machine: what [`Programs`] is in earnest.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::world::{Programs, Said, chain};
use crate::program::{Program, trust};

/// Child processes: see [`crate::program`] for what they get and how they end. Their paths come from
/// the tree and they run as root, so each is looked at before ([`trust`]).
#[derive(Debug, Clone, Copy, Default)]
pub struct SitePrograms;

#[async_trait]
impl Programs for SitePrograms {
    async fn run(
        &self,
        program: &Path,
        args: &[String],
        stdin: String,
        deadline: Duration,
    ) -> Result<Said, String> {
        let program = trust::check(program).map_err(|error| chain(&error))?;
        let program = Program::at(program, deadline).map_err(|error| chain(&error))?;
        let done =
            program.args(args).stdin(SecretString::from(stdin)).run().await.map_err(|error| chain(&error))?;
        Ok(Said {
            ended: done.ended,
            cut: done.stdout.cut,
            stdout: done.stdout.bytes,
            stderr: String::from_utf8_lossy(&done.stderr.bytes).into_owned(),
        })
    }
}
