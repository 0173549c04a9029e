//! IPMI, by `ipmitool` over `lanplus`.
//!
//! A child process because a BMC's session can hang where no timeout of a library reaches, and
//! because the IPMI libraries at hand cannot ask for the privilege that a power-off needs. The
//! password goes through its stdin: argv is readable by every user of the machine, and an environment
//! is left in what inherits it, in core files and in the tools that list processes.

mod inventory;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use self::inventory::{fru, mac};
use super::presence::presence;
use super::said::{by_tool, one_line};
use super::{Channel, FenceError, Identity, Mark, NoSession, PowerState, PowerSwitch, Privilege};
use crate::program::{Ended, Finished, Program, ProgramError};

/// RMCP+ on UDP.
pub const DEFAULT_PORT: u16 = 623;

/// HMAC-SHA256 with AES-128. Old BMCs want 3; without any, ipmitool spends 10 s asking some.
pub const DEFAULT_CIPHER: u8 = 17;

/// Wall clock for one run of ipmitool. Above the 6 s that it takes to give up on a dead BMC with
/// `-N 1 -R 2` (one second, twice, growing), so that its own message is seen.
const CALL: Duration = Duration::from_secs(10);

/// Where ipmitool reads the password. Not `/dev/stdin`, which is a link to it that not every machine makes.
const STDIN: &str = "/proc/self/fd/0";

/// The password as ipmitool reads it. Without its line end, an empty one is asked for on a terminal.
fn one_secret_line(password: &SecretString) -> SecretString {
    SecretString::from(format!("{}\n", password.expose_secret()))
}

/// The privilege that a session asks for. A power-off needs `operator`; many BMCs give sessions
/// only up to what the account has, so an account of less gets none when more is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPrivilege {
    /// May do everything.
    Administrator,
    /// The least that may switch off.
    Operator,
    /// Reads only.
    User,
}

impl SessionPrivilege {
    fn argument(self) -> &'static str {
        match self {
            Self::Administrator => "ADMINISTRATOR",
            Self::Operator => "OPERATOR",
            Self::User => "USER",
        }
    }
}

/// A text that is no privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is none of: administrator, operator, user")]
pub struct NoPrivilege;

impl std::str::FromStr for SessionPrivilege {
    type Err = NoPrivilege;

    fn from_str(text: &str) -> Result<Self, NoPrivilege> {
        match text {
            "administrator" => Ok(Self::Administrator),
            "operator" => Ok(Self::Operator),
            "user" => Ok(Self::User),
            _ => Err(NoPrivilege),
        }
    }
}

/// Where a BMC is and how to log in.
#[derive(Debug, Clone)]
pub struct IpmiAccess {
    /// Name or address.
    pub address: String,
    /// UDP port.
    pub port: u16,
    /// Account.
    pub user: String,
    /// Its password; 20 bytes at most in IPMI 2.0.
    pub password: SecretString,
    /// Cipher suite number.
    pub cipher: u8,
    /// What the session asks for; where nothing is said, as little as does: OPERATOR, and ADMINISTRATOR only of a BMC
    /// that says that OPERATOR is too little.
    pub privilege: Option<SessionPrivilege>,
}

/// A BMC reached by IPMI.
pub struct Ipmi {
    access: IpmiAccess,
    tool: Option<PathBuf>,
    /// Whether its BMC said that OPERATOR is too little.
    needs_administrator: AtomicBool,
    /// The GUID that it stated first.
    stated: Mutex<Option<Identity>>,
}

impl Ipmi {
    /// The BMC at this address. Nothing is sent yet.
    pub fn new(access: IpmiAccess) -> Self {
        Self { access, tool: None, needs_administrator: AtomicBool::new(false), stated: Mutex::new(None) }
    }

    /// What a session asks for first.
    fn asked(&self) -> SessionPrivilege {
        match (self.access.privilege, self.needs_administrator.load(Ordering::Relaxed)) {
            (Some(said), _) => said,
            (None, false) => SessionPrivilege::Operator,
            (None, true) => SessionPrivilege::Administrator,
        }
    }

    /// With the privilege that is configured, or else with the least that does.
    ///
    /// More is asked for only where the BMC says that it is the privilege. Any other failure may be a wrong password,
    /// and a second try of that counts twice towards a lock-out.
    async fn ask(&self, doing: &'static str, command: &[&str]) -> Result<Finished, FenceError> {
        let asked = self.asked();
        let refused = match self.ipmitool(doing, asked, command).await {
            Err(refused) if asked == SessionPrivilege::Operator && is_too_little(&refused) => refused,
            answer => return answer,
        };
        if self.access.privilege.is_some() {
            return Err(refused);
        }
        match self.ipmitool(doing, SessionPrivilege::Administrator, command).await {
            Ok(finished) => {
                self.needs_administrator.store(true, Ordering::Relaxed);
                Ok(finished)
            }
            // An account that is no administrator: what it was told first says more.
            Err(_) => Err(refused),
        }
    }

    async fn ipmitool(
        &self,
        doing: &'static str,
        privilege: SessionPrivilege,
        command: &[&str],
    ) -> Result<Finished, FenceError> {
        let tool = |source: ProgramError| FenceError::Tool { device: self.describe(), doing, source };
        let program = match &self.tool {
            Some(path) => Program::at(path.clone(), CALL),
            None => Program::named("ipmitool", CALL),
        };
        let (port, cipher) = (self.access.port.to_string(), self.access.cipher.to_string());
        let finished = program
            .map_err(tool)?
            .args(["-I", "lanplus", "-f", STDIN, "-N", "1", "-R", "2", "-C", &cipher])
            .args(["-L", privilege.argument(), "-H", &self.access.address, "-p", &port])
            .args(["-U", &self.access.user])
            .args(command)
            .stdin(one_secret_line(&self.access.password))
            .run()
            .await
            .map_err(tool)?;
        match finished.ended {
            Ended::Exit(0) => Ok(finished),
            Ended::Exit(_) | Ended::Signal(_) => Err(self.explained(self.refusal(doing, &finished)).await),
            Ended::Deadline => Err(FenceError::Deadline { device: self.describe(), doing, deadline: CALL }),
        }
    }

    /// What not every BMC has: one without it has a session, and no answer.
    async fn optional(&self, doing: &'static str, command: &[&str]) -> Result<Option<Finished>, FenceError> {
        match self.ask(doing, command).await {
            Ok(finished) => Ok(Some(finished)),
            Err(FenceError::Failed { .. } | FenceError::Denied { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn inventory(&self) -> Result<Option<Identity>, FenceError> {
        // Only the first: some BMCs take a minute for all of them.
        let finished = self.optional("ask for its inventory", &["fru", "print", "0"]).await?;
        Ok(finished.and_then(|finished| fru(&finished)))
    }

    /// A BMC that states another GUID than it did first is another one at its address: it is told nothing. One that does not
    /// answer that may obey all the same.
    async fn is_still_itself(&self) -> Result<(), FenceError> {
        let first = self.stated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(first) = first else { return Ok(()) };
        match self.identity().await {
            Ok(Some(now)) if first.contradicts(&now) => {
                let (first, now) = (Box::new(first), Box::new(now));
                Err(FenceError::OtherMachine { device: self.describe(), first, now })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn refusal(&self, doing: &'static str, finished: &Finished) -> FenceError {
        let said = by_tool(finished, &[&self.access.password]);
        let device = self.describe();
        if said.contains("Unable to establish") {
            let cause = NoSession::of_words(&said, self.access.cipher).unwrap_or(NoSession::Unsaid);
            FenceError::NoSession { device, doing, cause, said }
        } else if said.contains("Insufficient privilege") {
            FenceError::Denied { device, doing, said }
        } else {
            FenceError::Failed { device, doing, said }
        }
    }

    /// Where ipmitool's words leave it open, the BMC is asked whether it is there.
    async fn explained(&self, refused: FenceError) -> FenceError {
        match refused {
            FenceError::NoSession { device, doing, cause: NoSession::Unsaid, said } => {
                let found = presence(&self.access.address, self.access.port).await;
                FenceError::NoSession { device, doing, cause: NoSession::of_presence(found), said }
            }
            other => other,
        }
    }

    fn session_privilege(&self, finished: &Finished) -> Privilege {
        match raw_bytes(finished).as_deref() {
            Some([3..=5]) => Privilege::Allowed,
            Some([1 | 2]) => Privilege::Denied(format!(
                "{}: its session may read but not switch off; the account needs OPERATOR",
                self.describe()
            )),
            Some(_) | None => Privilege::CannotTell(format!(
                "{}: the answer about the session's privilege cannot be understood: {}",
                self.describe(),
                by_tool(finished, &[&self.access.password])
            )),
        }
    }
}

#[async_trait]
impl PowerSwitch for Ipmi {
    async fn read(&self) -> Result<PowerState, FenceError> {
        let status = ["chassis", "power", "status"];
        let finished = self.ask("read the power", &status).await?;
        Ok(power_state(&finished, &self.access.password))
    }

    async fn switch_off(&self) -> Result<(), FenceError> {
        self.is_still_itself().await?;
        let off = ["chassis", "power", "off"];
        self.ask("switch off", &off).await.map(|_| ())
    }

    /// The System GUID, as raw bytes: `ipmitool mc guid` prints them in an order that differs from
    /// version to version and tries to guess. [`Identity`] compares in every order.
    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        let ask = ["raw", "0x06", "0x37"];
        // The command is optional: a BMC without it has a session, and no answer.
        let stated = self.optional("ask for its GUID", &ask).await?.and_then(|finished| guid(&finished));
        let mut first = self.stated.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            first.clone_from(&stated);
        }
        Ok(stated)
    }

    /// With the serial numbers of its first inventory (FRU), which many BMCs have that state no GUID.
    async fn identity_in_full(&self) -> Result<Option<Identity>, FenceError> {
        let stated = self.identity().await?;
        let inventory = self.inventory().await?;
        Ok(match (stated, inventory) {
            (Some(stated), Some(more)) => Some(stated.with(more)),
            (stated, more) => stated.or(more),
        })
    }

    async fn shows(&self) -> Result<Mark, FenceError> {
        let numbers = self.inventory().await?.unwrap_or_default();
        let fru = numbers.serial.iter().chain(&numbers.also).find_map(|text| Mark::fru(text));
        if let Some(fru) = fru {
            return Ok(fru);
        }
        let lan = self.optional("ask for its address", &["lan", "print"]).await?;
        Ok(lan.and_then(|finished| mac(&finished)).unwrap_or(Mark::Nothing))
    }

    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        let doing = "ask for its privilege";
        match self.ask(doing, &SESSION_PRIVILEGE).await {
            // The BMC gives no session at all when more is asked than the account has, which looks
            // like a dead BMC. If it gives one for USER, it was that.
            Err(no_session @ FenceError::NoSession { .. }) => {
                match self.ipmitool(doing, SessionPrivilege::User, &SESSION_PRIVILEGE).await {
                    Ok(_) => Ok(Privilege::Denied(format!(
                        "{}: a session of USER works, one of {} does not",
                        self.describe(),
                        self.asked().argument()
                    ))),
                    Err(_) => Err(no_session),
                }
            }
            other => other.map(|finished| self.session_privilege(&finished)),
        }
    }

    fn channel(&self) -> Channel {
        Channel::of_ipmi(self.access.cipher)
    }

    fn describe(&self) -> String {
        let IpmiAccess { address, port, user, .. } = &self.access;
        format!("ipmi {address}:{port} as {user:?}")
    }

    fn by_hand(&self) -> Option<String> {
        let IpmiAccess { address, port, user, cipher, .. } = &self.access;
        let level = self.asked().argument();
        Some(format!(
            "ipmitool -I lanplus -H {address} -p {port} -U {user} -a -C {cipher} -L {level} chassis power status"
        ))
    }
}

/// Set Session Privilege Level (IPMI 2.0, 22.18) with 0: change nothing, answer the present.
const SESSION_PRIVILEGE: [&str; 4] = ["raw", "0x06", "0x3b", "0x00"];

/// Whether the BMC said that the privilege is what it refuses.
fn is_too_little(error: &FenceError) -> bool {
    match error {
        FenceError::Denied { .. } => true,
        FenceError::NoSession { cause, .. } => *cause == NoSession::Privilege,
        FenceError::Tool { .. }
        | FenceError::Unreachable { .. }
        | FenceError::OtherCertificate { .. }
        | FenceError::Deadline { .. }
        | FenceError::Failed { .. }
        | FenceError::Malformed { .. }
        | FenceError::OtherMachine { .. }
        | FenceError::Elsewhere { .. }
        | FenceError::OldTls { .. }
        | FenceError::Untrusted { .. }
        | FenceError::Settings { .. } => false,
    }
}

/// Exactly one line that says on or off, and nothing of the other.
fn power_state(finished: &Finished, password: &SecretString) -> PowerState {
    let text = String::from_utf8_lossy(&finished.stdout.bytes);
    let count = |wanted: &str| text.lines().filter(|line| line.trim_end() == wanted).count();
    match (count("Chassis Power is on"), count("Chassis Power is off"), finished.stdout.cut) {
        (1, 0, false) => PowerState::On,
        (0, 1, false) => PowerState::Off,
        _ => PowerState::Unknown(one_line(&text, &[password])),
    }
}

/// The answer to a raw command: hexadecimal bytes, and nothing else.
fn raw_bytes(finished: &Finished) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(&finished.stdout.bytes).ok()?;
    text.split_whitespace()
        .map(|byte| if byte.len() == 2 { u8::from_str_radix(byte, 16).ok() } else { None })
        .collect()
}

fn guid(finished: &Finished) -> Option<Identity> {
    let uuid = uuid::Uuid::from_slice(&raw_bytes(finished)?).ok()?;
    Some(Identity { uuid: Some(uuid.to_string()), ..Identity::default() })
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl Ipmi {
    /// What one run of ipmitool says, to whatever it was asked.
    pub(crate) fn said(&self, finished: &Finished) -> (PowerState, Option<Identity>, Privilege, FenceError) {
        let power = power_state(finished, &self.access.password);
        let refusal = self.refusal("read the power", finished);
        let _asked_again = is_too_little(&refusal);
        (power, guid(finished), self.session_privilege(finished), refusal)
    }
}
