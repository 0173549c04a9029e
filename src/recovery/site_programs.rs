//! A site's own programs on this machine: what [`Programs`] is in earnest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::world::{Programs, Said, chain};
use crate::local::{Asked, Leave, Local};
use crate::program::{Program, trust};

/// Child processes: see [`crate::program`] for what they get and how they end. Their command lines come from
/// the tree and they run as root, so this machine's root is asked for each whole line ([`crate::local`]), and the
/// program is looked at before ([`trust`]).
#[derive(Debug, Clone)]
pub struct SitePrograms {
    /// This machine's local.toml; read at each run, so that a changed one counts at once.
    pub local_file: PathBuf,
}

#[async_trait]
impl Programs for SitePrograms {
    async fn run(
        &self,
        program: &Path,
        args: &[String],
        stdin: String,
        deadline: Duration,
    ) -> Result<Said, String> {
        let asked = Asked::program(program, args);
        if let Leave::Refused(refused) = Local::read(&self.local_file).leave(&asked) {
            return Err(format!("it was not run: {refused}; next: {}", refused.hint()));
        }
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
