//! The seams through which a recovery reaches the world.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::arrays::Arrays;
use super::guest_folder::strange::Strange;
use super::progress::Watcher;
use super::reservations::Reservations;
pub use crate::chain::chain;
use crate::clock::Clock;
use crate::evidence::{Anchors, Witness};
use crate::fence::{ConfigError, FenceConfig, FenceLevels, Machine};
use crate::kdump::{self, Tally};
use crate::keys::MachineKeys;
use crate::local::Local;
use crate::machine_id::MachineId;
use crate::names::HaNodeName;
use crate::nova::{Cloud, CloudSettings, Environment, NovaClient, ServerId, Timing};
use crate::program::Ended;
pub use crate::ssh::{Reach, SshReach};
use crate::store::Store;
use crate::tree::Snapshot;

/// Fence devices by configuration.
pub trait Fences: Send + Sync {
    /// The devices that can cut this machine's power.
    fn levels(
        &self,
        machine: Machine,
        tree: &Snapshot,
        keys: &MachineKeys,
    ) -> Result<FenceLevels, ConfigError>;
}

/// Clouds by name.
pub trait Clouds: Send + Sync {
    /// A client for the cloud of this name in clouds.yaml (`None`: `OS_*` variables). One attempt of
    /// an effect ends within `effects_within`.
    fn open(&self, name: Option<&str>, effects_within: Duration) -> Result<Box<dyn Cloud>, String>;
}

/// Crash dumps that hosts announce (fence_kdump).
#[async_trait]
pub trait Dumps: Send + Sync {
    /// Listens from now on for announcements of the machine with these names or addresses. An error:
    /// nothing can be heard here, which says nothing about the machine.
    async fn listen(&self, names: &[String]) -> Result<Box<dyn Listening>, String>;
}

/// What hears until it is dropped.
pub trait Listening: Send {
    /// What came since the last look. Does not wait.
    fn heard(&mut self) -> Tally;
}

/// The guests' places on this HA node, as nova-compute here would find them.
#[async_trait]
pub trait Disks: Send + Sync {
    /// Who nova-compute is here. An error means *cannot tell*, or that nobody is.
    async fn user(&self, nova_user: &str) -> Result<NovaUser, String>;

    /// Looks at `MOUNTPOINT/SERVER` for this user; changes nothing. An error means *cannot tell*.
    async fn look(&self, mountpoint: &Path, server: &ServerId, nova_user: &str) -> Result<Look, String>;

    /// The same for several, one after the other, in their order.
    async fn look_at_each(
        &self,
        mountpoint: &Path,
        servers: &[ServerId],
        nova_user: &str,
    ) -> Vec<Result<Look, String>> {
        let mut looks = Vec::new();
        for server in servers {
            looks.push(self.look(mountpoint, server, nova_user).await);
        }
        looks
    }
}

/// One look at a guest's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Who nova-compute is here.
    pub user: NovaUser,
    /// What is there.
    pub place: Place,
}

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NovaUser {
    /// Its name.
    pub name: String,
    /// Its number here; on another machine it may be another.
    pub uid: u32,
    /// Its groups.
    pub gids: Vec<u32>,
}

/// What is at a guest's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing, in a mountpoint that is there.
    Absent,
    /// Something that is no directory.
    NoDirectory,
    /// A directory.
    Directory(Directory),
}

/// A guest's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits.
    pub mode: u32,
    /// Whether its filesystem is mounted read-only.
    pub read_only: bool,
    /// `disk`: the root disk.
    pub disk: Option<DiskFile>,
    /// `disk.eph0`: the first ephemeral disk.
    pub ephemeral: Option<DiskFile>,
    /// What of it must not be opened here.
    pub strange: Option<Strange>,
}

/// A disk in a guest's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFile {
    /// Whether it is a file.
    pub is_file: bool,
    /// Its length.
    pub bytes: u64,
}

/// A site's own programs on this HA node.
#[async_trait]
pub trait Programs: Send + Sync {
    /// Runs one to its end or its deadline, when its whole process group is killed; so it is when
    /// nobody waits any more. An error means that it did not run.
    async fn run(
        &self,
        program: &Path,
        args: &[String],
        stdin: String,
        deadline: Duration,
    ) -> Result<Said, String>;
}

/// What a program said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How it ended.
    pub ended: Ended,
    /// The first bytes of its stdout.
    pub stdout: Vec<u8>,
    /// Whether there was more.
    pub cut: bool,
    /// The first part of its stderr, for people.
    pub stderr: String,
}

/// Everything outside this process.
pub struct World {
    /// The tree.
    pub store: Box<dyn Store>,
    /// Clocks.
    pub clock: Box<dyn Clock>,
    /// Anchors.
    pub anchors: Box<dyn Anchors>,
    /// Fence devices.
    pub fences: Box<dyn Fences>,
    /// Clouds.
    pub clouds: Box<dyn Clouds>,
    /// Host keys.
    pub reach: Box<dyn Reach>,
    /// Crash dumps.
    pub dumps: Box<dyn Dumps>,
    /// Guests' disks on this HA node.
    pub disks: Box<dyn Disks>,
    /// The site's storage program.
    pub programs: Box<dyn Programs>,
    /// This HA node's md arrays and mounts.
    pub arrays: Box<dyn Arrays>,
    /// Who may write to the disks that it sees, by what they keep of it themselves.
    pub reservations: Box<dyn Reservations>,
    /// Who watches how far it is.
    pub progress: Box<dyn Watcher>,
    /// The HA node we are.
    pub me: HaNodeName,
    /// The machine that we are, whatever we are called.
    pub machine: MachineId,
    /// This boot.
    pub boot_id: String,
    /// Where the lock of this boot lies, usually `/run/nova-ha`.
    pub run_dir: PathBuf,
    /// What outlasts boots, usually `/var/lib/nova-ha`: the takeovers that this HA node began.
    pub state_dir: PathBuf,
    /// What this machine's root lets the tree have run and read here, usually `/etc/nova-ha/local.toml`.
    pub local_file: PathBuf,
}

impl World {
    /// As a witness for the judge.
    pub fn witness(&self) -> Witness<'_> {
        Witness {
            store: self.store.as_ref(),
            clock: self.clock.as_ref(),
            anchors: self.anchors.as_ref(),
            me: Some(self.me.clone()),
            boot_id: self.boot_id.clone(),
            run_dir: self.run_dir.clone(),
        }
    }
}

/// The configured devices.
#[derive(Debug, Clone)]
pub struct ConfiguredFences {
    /// This machine's local.toml.
    pub local_file: PathBuf,
}

impl Fences for ConfiguredFences {
    fn levels(
        &self,
        machine: Machine,
        tree: &Snapshot,
        keys: &MachineKeys,
    ) -> Result<FenceLevels, ConfigError> {
        FenceConfig::of(tree, keys)?.build(machine, &Local::read(&self.local_file))
    }
}

/// Clouds of clouds.yaml and the environment.
#[derive(Debug, Clone)]
pub struct ConfiguredClouds {
    /// Where the tokens of effects are kept until the next boot, usually `/run/nova-ha/tokens`.
    pub tokens: PathBuf,
}

impl Clouds for ConfiguredClouds {
    fn open(&self, name: Option<&str>, effects_within: Duration) -> Result<Box<dyn Cloud>, String> {
        let settings =
            CloudSettings::load(name, &Environment::of_process()).map_err(|error| chain(&error))?;
        let client = NovaClient::new(settings, Timing::default().with_effects_within(effects_within));
        Ok(Box::new(client.keeping_tokens(self.tokens.clone())))
    }
}

/// Announcements on the port of fence_kdump.
#[derive(Debug, Clone, Copy, Default)]
pub struct KdumpPort;

#[async_trait]
impl Dumps for KdumpPort {
    async fn listen(&self, names: &[String]) -> Result<Box<dyn Listening>, String> {
        let port = kdump::Port::open(names, kdump::message::PORT).await.map_err(|error| chain(&error))?;
        Ok(Box::new(port))
    }
}

impl Listening for kdump::Port {
    fn heard(&mut self) -> Tally {
        kdump::Port::heard(self)
    }
}
