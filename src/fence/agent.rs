//! Any fence agent of ClusterLabs: PDUs, hypervisors, clouds, blade chassis.
//!
//! Options go to its stdin as `key=value` lines, secrets among them. (Some agents then hand them to
//! a tool of their own in argv, `fence_ipmilan` among them: prefer our own driver where there is
//! one.) What an agent says about `off` is a hint; only `status` counts, and of that only exit
//! status 2 *with* the line `Status: OFF`: python also exits 2 when it cannot open a script.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::said::by_tool;
use super::{Channel, FenceError, Identity, PowerState, PowerSwitch, Privilege};
use crate::local::agents;
use crate::program::{Ended, Finished, Program, ProgramError};

/// Where agents are installed.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Wall clock for one `status`. Python and a login to a PDU take seconds.
const STATUS: Duration = Duration::from_secs(20);

/// Wall clock for one `off`: agents wait for the power to go by themselves. Whoever calls may wait
/// less, and then the agent is killed.
const OFF: Duration = Duration::from_secs(40);

/// Agents that are ipmitool with the password in its arguments (`-P`): our own driver does the same without.
pub(super) const IPMITOOL_AGENTS: [&str; 7] = [
    "fence_ipmilan",
    "fence_ipmilanplus",
    "fence_idrac",
    "fence_ilo3",
    "fence_ilo4",
    "fence_ilo5",
    "fence_imm",
];

/// The level of our driver that does what one of [`IPMITOOL_AGENTS`] does with these options; never a secret.
pub(super) fn as_ipmi_level(options: &BTreeMap<String, String>, secrets: &[&str]) -> String {
    let option = |names: [&str; 2]| {
        let of = |(key, _): &(&String, &String)| names.contains(&key.replace('-', "_").as_str());
        options.iter().find(of).map(|(_, value)| value.clone())
    };
    let secret = |names: [&str; 2]| secrets.iter().any(|key| names.contains(&key.replace('-', "_").as_str()));
    let user = match secret(["username", "login"]) {
        true => None,
        false => option(["username", "login"]),
    };
    let mut level = serde_json::json!({
        "driver": "ipmi",
        "address": option(["ip", "ipaddr"]).unwrap_or_else(|| "ADDRESS".to_owned()),
        "user": user.unwrap_or_else(|| "NAME".to_owned()),
        "password": "file:/PATH",
    });
    if let Some(fields) = level.as_object_mut() {
        let number = |text: String| text.parse::<u16>().ok().map(serde_json::Value::from);
        let more = [("port", option(["ipport", "ipport"])), ("cipher", option(["cipher", "cipher"]))];
        for (name, value) in more {
            fields.extend(value.and_then(number).map(|value| (name.to_owned(), value)));
        }
    }
    level.to_string()
}

/// A fence agent with its options.
pub struct Agent {
    path: PathBuf,
    name: String,
    options: BTreeMap<String, String>,
    secrets: BTreeMap<String, SecretString>,
    message: Option<Message>,
}

/// An agent whose *off* is a message to the machine, or to its disks.
struct Message {
    /// After so long the machine has stopped itself.
    wait: Duration,
    /// When the message was sent, in this run. What it read before that may have been so from the start.
    sent: Mutex<Option<Instant>>,
}

impl Agent {
    /// The installed agent of this name.
    ///
    /// # Errors
    /// The name is not `fence_...`, no such agent, or an option that would change what is done.
    pub fn new(
        name: &str,
        options: BTreeMap<String, String>,
        secrets: BTreeMap<String, SecretString>,
    ) -> Result<Self, FenceError> {
        Self::in_folders(name, options, secrets, &FOLDERS.map(Path::new))
    }

    fn in_folders(
        name: &str,
        options: BTreeMap<String, String>,
        secrets: BTreeMap<String, SecretString>,
        folders: &[&Path],
    ) -> Result<Self, FenceError> {
        let bad = |why: String| FenceError::Settings { device: format!("agent {name:?}"), why };
        agents::name(name).map_err(bad)?;
        for (key, value) in options.iter().map(|(k, v)| (k, v.as_str())).chain(exposed(&secrets)) {
            agents::may_be_set(key).map_err(bad)?;
            agents::may_have(key, value, &options).map_err(bad)?;
            if value.contains(['\n', '\r', '\0']) {
                return Err(bad(format!(
                    "the value of {key} has a line end in it, which would be an option"
                )));
            }
        }
        if let Some(twice) = secrets.keys().find(|key| options.contains_key(*key)) {
            return Err(bad(format!("{twice} is given twice, in options and in secret_options")));
        }
        let path = folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| bad(format!("it is not installed (looked in {folders:?})")))?;
        Ok(Self { path, name: name.to_owned(), options, secrets, message: None })
    }

    /// The same as a message, after which the machine stops itself within this time.
    #[must_use]
    pub fn waits(self, wait: Option<Duration>) -> Self {
        Self { message: wait.map(|wait| Message { wait, sent: Mutex::new(None) }), ..self }
    }

    /// What its *off* says of the machine: of a message only what it reads after it was sent, and waited for.
    fn of_the_machine(&self, power: PowerState) -> PowerState {
        let Some(message) = &self.message else { return power };
        if power != PowerState::Off {
            return power;
        }
        let sent = *message.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let why = match sent.map(|sent| message.wait.checked_sub(sent.elapsed())) {
            Some(None) => return power,
            Some(Some(left)) => format!(
                "its message was sent, and the machine has {} s more to stop itself",
                left.as_secs() + 1
            ),
            None => "off, and that says nothing of the machine before this run's own command".to_owned(),
        };
        PowerState::Unknown(why)
    }

    fn is_sent(&self) -> bool {
        let sent = |message: &Message| message.sent.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        self.message.as_ref().is_some_and(sent)
    }

    async fn run(
        &self,
        doing: &'static str,
        action: &str,
        deadline: Duration,
    ) -> Result<Finished, FenceError> {
        let tool = |source: ProgramError| FenceError::Tool { device: self.describe(), doing, source };
        let finished = Program::at(self.path.clone(), deadline)
            .map_err(tool)?
            .stdin(self.stdin(action))
            .run()
            .await
            .map_err(tool)?;
        match finished.ended {
            Ended::Deadline => Err(FenceError::Deadline { device: self.describe(), doing, deadline }),
            Ended::Exit(_) | Ended::Signal(_) => Ok(finished),
        }
    }

    fn stdin(&self, action: &str) -> SecretString {
        let mut lines = format!("action={action}\n");
        for (key, value) in self.options.iter().map(|(k, v)| (k, v.as_str())).chain(exposed(&self.secrets)) {
            lines.push_str(&format!("{key}={value}\n"));
        }
        SecretString::from(lines)
    }

    fn said(&self, finished: &Finished) -> String {
        by_tool(finished, &self.secrets.values().collect::<Vec<_>>())
    }
}

fn exposed(secrets: &BTreeMap<String, SecretString>) -> impl Iterator<Item = (&String, &str)> {
    secrets.iter().map(|(key, secret)| (key, secret.expose_secret()))
}

fn power_state(finished: &Finished, said: impl FnOnce() -> String) -> PowerState {
    let text = String::from_utf8_lossy(&finished.stdout.bytes);
    let count = |wanted: &str| text.lines().filter(|line| line.trim_end() == wanted).count();
    let stated = (count("Status: ON"), count("Status: OFF"), finished.stdout.cut);
    match (finished.ended, stated) {
        (Ended::Exit(0), (_, 0, _)) => PowerState::On,
        (Ended::Exit(2), (0, 1, false)) => PowerState::Off,
        _ => PowerState::Unknown(said()),
    }
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl Agent {
    pub(crate) fn power_said(finished: &Finished, secret: &SecretString) -> PowerState {
        power_state(finished, || by_tool(finished, &[secret]))
    }
}

#[async_trait]
impl PowerSwitch for Agent {
    async fn read(&self) -> Result<PowerState, FenceError> {
        let finished = self.run("read the power", "status", STATUS).await?;
        Ok(self.of_the_machine(power_state(&finished, || self.said(&finished))))
    }

    async fn switch_off(&self) -> Result<(), FenceError> {
        // A second message would begin the time anew.
        if self.is_sent() {
            return Ok(());
        }
        let doing = "switch off";
        let finished = self.run(doing, "off", self.command_takes().unwrap_or(OFF)).await?;
        match finished.ended {
            Ended::Exit(0) => {
                if let Some(message) = &self.message {
                    *message.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
                Ok(())
            }
            Ended::Exit(_) | Ended::Signal(_) | Ended::Deadline => {
                Err(FenceError::Failed { device: self.describe(), doing, said: self.said(&finished) })
            }
        }
    }

    /// Agents have no question for it; a person confirms what the device belongs to.
    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        Ok(None)
    }

    /// Some wait themselves until the machine must have stopped.
    fn command_takes(&self) -> Option<Duration> {
        self.message.as_ref().map(|message| message.wait + OFF)
    }

    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        Ok(Privilege::CannotTell(format!("{}: fence agents cannot be asked without trying", self.describe())))
    }

    fn channel(&self) -> Channel {
        Channel::of_agent(&self.options)
    }

    fn describe(&self) -> String {
        let shown = |wanted: &[&str]| wanted.iter().find_map(|key| self.options.get(*key));
        let mut text = format!("agent {}", self.name);
        if let Some(address) = shown(&["ip", "ipaddr"]) {
            text.push_str(&format!(" at {address}"));
        }
        if let Some(plug) = shown(&["plug", "port"]) {
            text.push_str(&format!(" plug {plug}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that behaves as none in the package does.
    fn agent(script: &str) -> (tempfile::TempDir, Agent) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fence_test");
        crate::program::write_script(&path, script);
        let secrets = BTreeMap::from([("password".to_owned(), SecretString::from("Test123."))]);
        let agent = Agent::in_folders("fence_test", BTreeMap::new(), secrets, &[folder.path()]).unwrap();
        (folder, agent)
    }

    #[tokio::test]
    async fn only_exit_2_with_the_exact_line_is_off() {
        let off = agent("echo 'Status: OFF'; exit 2");
        assert_eq!(off.1.read().await.unwrap(), PowerState::Off);
        for unknown in [
            "exit 2",
            "echo \"can't open file\" >&2; exit 2",
            "echo 'Status: OFF'; exit 0",
            "echo 'Status: OFF'; exit 1",
            "echo 'Status: OFF'; exit 3",
            "echo 'Status: OFF'; kill -TERM $$",
            "echo 'Status: off'; exit 2",
            "echo 'Status: OFFLINE'; exit 2",
            "echo 'Status: OFF'; echo 'Status: OFF'; exit 2",
            "echo 'Status: ON'; echo 'Status: OFF'; exit 2",
            "echo 'Status: OFF' >&2; exit 2",
        ] {
            let (_folder, agent) = agent(unknown);
            assert!(matches!(agent.read().await.unwrap(), PowerState::Unknown(_)), "{unknown}");
        }
        let on = agent("echo 'Status: ON'; exit 0");
        assert_eq!(on.1.read().await.unwrap(), PowerState::On);
    }

    #[tokio::test]
    async fn what_a_message_reads_says_nothing_before_it_was_sent_and_waited_for() {
        let script = |off: &str| {
            format!(
                "read action; case $action in action=off) echo x >>$(dirname $0)/sent; {off};; *) echo 'Status: OFF'; exit 2;; esac"
            )
        };
        let wait = Duration::from_millis(400);
        let (folder, agent) = agent(&script("exit 0"));
        let agent = agent.waits(Some(wait));
        // It was never armed, or somebody sent a message last week.
        assert!(
            matches!(agent.read().await.unwrap(), PowerState::Unknown(said) if said.contains("before this run's own"))
        );
        let sent = Instant::now();
        agent.switch_off().await.unwrap();
        assert!(
            matches!(agent.read().await.unwrap(), PowerState::Unknown(said) if said.contains("to stop itself"))
        );
        agent.switch_off().await.unwrap();
        while !matches!(agent.read().await.unwrap(), PowerState::Off) {
            assert!(sent.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(sent.elapsed() >= wait);
        let times = std::fs::read_to_string(folder.path().join("sent")).unwrap();
        assert_eq!(times.lines().count(), 1, "a second message begins the time anew");

        let (_folder, refuses) = self::agent(&script("exit 1"));
        let refuses = refuses.waits(Some(Duration::ZERO));
        assert!(refuses.switch_off().await.is_err());
        assert!(
            matches!(refuses.read().await.unwrap(), PowerState::Unknown(_)),
            "a message that was not sent"
        );
    }

    #[tokio::test]
    async fn an_agent_that_echoes_its_options_reveals_no_secret() {
        let (_folder, agent) = agent("cat >&2; exit 1");
        let error = agent.switch_off().await.unwrap_err();
        assert!(error.to_string().contains("password=***"), "{error}");
        assert!(!format!("{error:?}").contains("Test123."), "{error:?}");
    }

    #[tokio::test]
    async fn a_child_that_an_agent_leaves_behind_dies_with_it() {
        let started = Instant::now();
        let (folder, agent) = agent("cd $(dirname $0); sleep 600 & echo $! > pid; echo 'Status: ON'; exit 0");
        assert_eq!(agent.read().await.unwrap(), PowerState::On);
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let stat = Path::new("/proc").join(pid.trim()).join("stat");
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(started.elapsed() < Duration::from_secs(10), "the agent's child is still alive");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[test]
    fn options_cannot_change_what_an_agent_does() {
        let make = |name: &str, key: &str, value: &str| {
            Agent::new(name, BTreeMap::from([(key.to_owned(), value.to_owned())]), BTreeMap::new())
        };
        for (name, key, value) in [
            ("fence_dummy", "action", "on"),
            ("fence_dummy", "method", "cycle"),
            ("fence_ipmilan", "ipmitool_path", "/tmp/evil"),
            ("fence_ipmilan", "ipmitool-path", "/tmp/evil"),
            ("fence_ipmilan", "debug_file", "/etc/cron.d/x"),
            ("fence_ipmilan", "debug", "/etc/cron.d/x"),
            ("fence_ipmilan", "use_sudo", "1"),
            ("fence_virsh", "ssh_options", "-o ProxyCommand=evil"),
            ("fence_virsh", "identity-file", "/root/.ssh/id_ed25519"),
            ("fence_gce", "runonfail", "/tmp/evil"),
            ("fence_apc", "passwd_script", "/tmp/evil"),
            ("fence_virsh", "username", "-oProxyCommand=evil"),
            ("fence_virsh", "ip", "x -oProxyCommand=evil"),
            ("fence_dummy", "ip", "a\naction=on"),
            ("fence_dummy", "ip=x\naction", "on"),
            ("fence_dummy", "", "x"),
            ("../bin/sh", "ip", "x"),
            ("fence_../x", "ip", "x"),
            ("fence_", "ip", "x"),
            ("sh", "ip", "x"),
        ] {
            let error = make(name, key, value).err();
            assert!(matches!(error, Some(FenceError::Settings { .. })), "{name} {key:?} {value:?}");
        }
        let absent = make("fence_no_such_agent", "ip", "x").err().unwrap();
        assert!(absent.to_string().contains("not installed"), "{absent}");
    }
}
