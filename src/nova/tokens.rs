//! Tokens as a fence of requests: Nova takes a request for as long as it takes the token that came with it.
//!
//! An effect without an answer may lie in a queue before Nova for as long as that. So it is sent with a token that is
//! known by name, which outlasts the process on this machine (never in the tree), and before it is asked for again that
//! token has ended or was revoked. See docs/decisions/0033.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::auth::Session;
use super::ids::TokenId;
use crate::own_files::{Folder, Lasts, OwnFileError, ReadBy};

/// The tokens that effects were sent with.
#[derive(Debug)]
pub struct KeptTokens {
    /// Only this keystone is asked to revoke them: another one would not know them, and say that they are no tokens.
    keystone: Url,
    memory: Mutex<BTreeMap<TokenId, SecretString>>,
    /// What this process has had revoked, and keystone's time after that.
    revoked: Mutex<BTreeMap<TokenId, Timestamp>>,
    folder: Option<PathBuf>,
}

/// A kept token, in a file that only root reads, on a filesystem that ends with the boot.
#[derive(Serialize, Deserialize)]
struct Kept {
    keystone: String,
    ends: Timestamp,
    token: String,
}

impl KeptTokens {
    /// Known to this process only.
    pub(super) fn in_memory(keystone: &Url) -> Self {
        Self { keystone: keystone.clone(), memory: Mutex::default(), revoked: Mutex::default(), folder: None }
    }

    /// Known to the next one on this machine too.
    pub(super) fn in_folder(self, folder: PathBuf) -> Self {
        Self { folder: Some(folder), ..self }
    }

    /// Before an effect is sent with it. Where it cannot be written, the next process waits for its end instead.
    pub(super) fn keep(&self, session: &Session) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.insert(session.id.clone(), session.token.clone()).is_some() {
            return;
        }
        let Some(folder) = &self.folder else { return };
        forget_ended(folder, session.token().now);
        let kept = Kept {
            keystone: self.keystone.to_string(),
            ends: session.ends,
            token: session.token.expose_secret().to_owned(),
        };
        if let Err(error) = write(folder, &session.id, &kept) {
            tracing::warn!(error = error.with_cause(), folder = %folder.display(), "cannot keep a token: were this process to die in an evacuate, the next one waits for the token's end");
        }
    }

    pub(super) fn find(&self, id: &TokenId) -> Option<SecretString> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = memory.get(id) {
            return Some(token.clone());
        }
        let opened = opened(self.folder.as_ref()?)?;
        let kept = read(&opened, id.as_str())?;
        (kept.keystone == self.keystone.as_str()).then(|| SecretString::from(kept.token))
    }

    pub(super) fn revoked(&self) -> MutexGuard<'_, BTreeMap<TokenId, Timestamp>> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(folder: &Folder, name: &str) -> Option<Kept> {
    serde_json::from_slice(&folder.read(name).ok().flatten()?).ok()
}

/// Whole or not at all, for its owner alone.
fn write(folder: &Path, id: &TokenId, kept: &Kept) -> Result<(), OwnFileError> {
    let (above, name) = split(folder);
    let text = serde_json::to_string(kept).map(SecretString::from).map_err(|error| OwnFileError::Io {
        doing: "write",
        path: folder.join(id.as_str()),
        fix: None,
        source: error.into(),
    })?;
    let opened = Folder::make(above)?.make_within(name)?;
    opened.write(id.as_str(), text.expose_secret().as_bytes(), Lasts::WhileItRuns, ReadBy::Owner)
}

fn opened(folder: &Path) -> Option<Folder> {
    let (above, name) = split(folder);
    Folder::open(above).ok().flatten()?.within(name).ok().flatten()
}

/// The run folder, which is looked at too, and the name in it.
fn split(folder: &Path) -> (&Path, Option<&str>) {
    match (folder.parent(), folder.file_name().and_then(|name| name.to_str())) {
        (Some(above), Some(name)) => (above, Some(name)),
        (Some(_) | None, _) => (folder, None),
    }
}

fn forget_ended(folder: &Path, now: Timestamp) {
    let Some(folder) = opened(folder) else { return };
    for name in folder.names().unwrap_or_default() {
        if read(&folder, &name).is_some_and(|kept| kept.ends < now) {
            let _gone_already = folder.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(keystone: &str, ends: &str) -> Kept {
        Kept { keystone: keystone.into(), ends: ends.parse().unwrap(), token: "secret".into() }
    }

    #[test]
    fn a_token_is_found_by_the_next_process_on_this_machine_and_at_its_own_keystone_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let (id, other) = (TokenId::new_one(), TokenId::new_one());
        write(&path, &id, &kept("http://a/v3", "2026-11-30T12:00:00Z")).unwrap();
        write(&path, &other, &kept("http://b/v3", "2026-11-30T12:00:00Z")).unwrap();
        let mode = std::fs::metadata(path.join(id.as_str())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let next = KeptTokens::in_memory(&"http://a/v3".parse().unwrap()).in_folder(path.clone());
        assert_eq!(next.find(&id).unwrap().expose_secret(), "secret");
        assert!(next.find(&other).is_none(), "this keystone would say that it is no token");
        assert!(next.find(&TokenId::new_one()).is_none());
        assert!(!format!("{next:?}").contains("secret"));
        forget_ended(&path, "2026-11-30T11:59:59Z".parse().unwrap());
        assert!(path.join(other.as_str()).exists());
        forget_ended(&path, "2026-11-30T12:00:01Z".parse().unwrap());
        assert!(!path.join(other.as_str()).exists());
    }
}
