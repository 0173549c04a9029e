//! Why a BMC gave no session, for people: which setting is wrong, or whether it is the BMC that is not there.

use std::fmt;

use super::presence::Presence;

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSession {
    /// Nothing answers at its port, not even whoever is asked without a session.
    Silent,
    /// The machine at its address takes nothing at that port.
    Closed,
    /// It refuses the cipher suite of this number.
    Cipher(u8),
    /// It does not know the user.
    User,
    /// It refuses the password.
    Password,
    /// It refuses the account the privilege that a power-off needs.
    Privilege,
    /// It has no more sessions.
    Busy,
    /// It answers, and does not say why.
    Unsaid,
}

/// RMCP+ names each cause with a status (IPMI 2.0, 13.24), and ipmitool each status with words.
/// The command that sets the privilege refuses in words of its own.
const STATUSES: [(&str, NoSession); 15] = [
    ("invalid authentication algorithm", NoSession::Cipher(0)),
    ("invalid integrity algorithm", NoSession::Cipher(0)),
    ("invalid confidentiality algorithm", NoSession::Cipher(0)),
    ("no matching authentication", NoSession::Cipher(0)),
    ("no matching integrity", NoSession::Cipher(0)),
    ("no matching cipher suite", NoSession::Cipher(0)),
    ("no cipher suite match", NoSession::Cipher(0)),
    ("unauthorized name", NoSession::User),
    ("invalid name length", NoSession::User),
    ("invalid integrity check value", NoSession::Password),
    ("invalid role", NoSession::Privilege),
    ("unauthorized role", NoSession::Privilege),
    ("at the requested role", NoSession::Privilege),
    ("set session privilege level", NoSession::Privilege),
    ("insufficient resources for session", NoSession::Busy),
];

impl NoSession {
    /// By the tool's words, where they have one of the statuses.
    pub(super) fn of_words(said: &str, cipher: u8) -> Option<Self> {
        let said = said.to_ascii_lowercase();
        let (_, cause) = STATUSES.iter().find(|(words, _)| said.contains(words))?;
        Some(match cause {
            Self::Cipher(_) => Self::Cipher(cipher),
            other => *other,
        })
    }

    /// By whether anything is there.
    pub(super) fn of_presence(presence: Presence) -> Self {
        match presence {
            Presence::Answers => Self::Unsaid,
            Presence::Closed => Self::Closed,
            Presence::Silent => Self::Silent,
        }
    }

    /// The option that is wrong, where it is clear that it is one.
    pub(super) fn option(self) -> Option<&'static str> {
        match self {
            Self::Silent | Self::Closed | Self::Busy | Self::Unsaid => None,
            Self::Cipher(17) => Some("--bmc-cipher 3"),
            Self::Cipher(_) => Some("--bmc-cipher 17"),
            Self::User | Self::Privilege => Some("--bmc-user NAME --bmc-password-file FILE"),
            Self::Password => Some("--bmc-password-file FILE"),
        }
    }

    /// What a person looks at where no option is wrong for certain.
    pub(super) fn look(self, change: &str) -> String {
        match self {
            Self::Closed => format!(
                "switch on IPMI over LAN there; if it is somewhere else now: {change} --bmc-ip ADDRESS"
            ),
            Self::Busy => "end the sessions that others have with it".to_owned(),
            Self::Unsaid | Self::Cipher(_) | Self::User | Self::Password | Self::Privilege => format!(
                "look at its user, password and cipher suite: {change} --bmc-user NAME --bmc-password-file FILE"
            ),
            Self::Silent => format!(
                "if it is silent, look at it, its cable and its network; if it is somewhere else now: {change} --bmc-ip ADDRESS"
            ),
        }
    }
}

impl fmt::Display for NoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("nothing answers there: no power, no network, or a closed way"),
            Self::Closed => {
                f.write_str("its port is closed: IPMI over LAN is switched off, or the address is another machine's")
            }
            Self::Cipher(number) => write!(f, "it refuses cipher suite {number}"),
            Self::User => f.write_str("it does not know the user"),
            Self::Password => f.write_str("it refuses the password"),
            Self::Privilege => f.write_str("it refuses the account the privilege that was asked for"),
            Self::Busy => f.write_str("it has no session left to give"),
            Self::Unsaid => f.write_str(
                "it answers, and does not say why: the user, the password, the cipher suite or the privilege may be wrong",
            ),
        }
    }
}
