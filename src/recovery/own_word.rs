//! What this HA node says to all of how its own root and the tree agree: for `nova-ha status`, which may be asked elsewhere.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::own_secrets;
use super::world::{World, chain};
use crate::local::says::Says;
use crate::local::{Asked, Local, open};
use crate::named::Named;
use crate::secret::MAX_SECRET_BYTES;
use crate::tree::formats::published::Remark;

/// Named in one remark; the rest is counted.
const MOST_NAMED: usize = 3;

/// What a person should settle on this HA node. Where Consul does not answer nothing is said: the run itself says so.
pub(super) async fn remarks(world: &World) -> Vec<Remark> {
    let mut remarks = match Named::read(world.store.as_ref(), &world.me).await {
        Ok(named) => bounded(world.local_file.clone(), named, world.me.to_string()),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "cannot see what the tree names of this HA node");
            Vec::new()
        }
    };
    if let Some(folder) = world.local_file.parent() {
        remarks.extend(own_secrets::remarks(folder, world.me.as_str()));
    }
    remarks
}

/// How long all files that the tree names may take to be looked at, before anybody is recovered.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// The look, in a thread that may be left behind: one of the files may be on a filesystem that hangs, and is the secret of a
/// machine that nobody recovers now.
fn bounded(local_file: PathBuf, named: Named, me: String) -> Vec<Remark> {
    let is_on_a_disk = named.iter().any(|(asked, _)| matches!(asked, Asked::SecretFile(_)));
    let next = format!("on {me}: nova-ha local show");
    let look = move || of(&Local::read(&local_file), &named, &me);
    if !is_on_a_disk {
        return look();
    }
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || drop(say.send(look())));
    said.recv_timeout(LOOK_WITHIN).unwrap_or_else(|error| {
        let why = format!(
            "the files with secrets that the tree names were not looked at within {LOOK_WITHIN:?} ({error}): does a filesystem \
             hang there?"
        );
        vec![Remark { why, next }]
    })
}

fn of(local: &Local, named: &Named, me: &str) -> Vec<Remark> {
    let file = local.file().display();
    let mut remarks = Vec::new();
    let at_first_sight: Vec<&Asked> = named.first_sights(local).map(|(asked, _)| asked).collect();
    if !at_first_sight.is_empty() {
        remarks.push(Remark {
            why: format!(
                "it has no {file}: what the tree names is run and read there because it was so before ({})",
                some_of(&at_first_sight)
            ),
            next: format!("on {me}, as root: nova-ha local adopt"),
        });
    }
    let refused: Vec<String> = named.refused(local).map(|refused| refused.asked().to_string()).collect();
    if let Says::Unusable(why) = local.says() {
        let what =
            if refused.is_empty() { "nothing that the tree names now".to_owned() } else { some_of(&refused) };
        remarks.push(Remark {
            why: format!("its {file} cannot be used ({why}); refused there: {what}"),
            next: format!("mend it on {me}, then there: nova-ha local show"),
        });
    } else if !refused.is_empty() {
        remarks.push(Remark {
            why: format!("its {file} does not allow what the tree names: {}", some_of(&refused)),
            next: format!("on {me}, as root: nova-ha local adopt   (or name something else in the tree)"),
        });
    }
    let open = named.iter().filter_map(|(asked, _)| match asked {
        Asked::SecretFile(path) => Some((path, readable(path)?)),
        Asked::Program(_) | Asked::Agent(_) | Asked::Option { .. } | Asked::Variable(_) => None,
    });
    remarks.extend(open.map(|(path, mode)| Remark {
        why: format!("everybody there may read the secret {} ({mode:04o})", path.display()),
        next: format!("on {me}: chmod o= {}", path.display()),
    }));
    remarks
}

fn readable(path: &Path) -> Option<u32> {
    open::anywhere(path, MAX_SECRET_BYTES).ok()?.readable
}

fn some_of<T: ToString>(all: &[T]) -> String {
    let mut text = all.iter().take(MOST_NAMED).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if let Some(more @ 1..) = all.len().checked_sub(MOST_NAMED) {
        text += &format!("; and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keys;

    fn named(secret: &Path) -> Named {
        let keys = keys::ha_node(&"ha1".parse().unwrap());
        let reference = format!("file:{}", secret.display());
        let (exec, password) = (keys.storage_exec(), keys.bmc_field("password"));
        let value = |key: &str| match key {
            key if key == exec => Some(b"/opt/take --pool a".as_slice()),
            key if key == password => Some(reference.as_bytes()),
            _ => None,
        };
        let mut named = Named::of_storage(&keys, value);
        named.merge(Named::of_machine(&keys, value));
        named
    }

    #[test]
    fn what_goes_on_at_first_sight_is_refused_or_may_be_read_by_others_is_said_with_one_command() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, toml) = (folder.path().join("bmc"), folder.path().join("local.toml"));
        std::fs::write(&secret, "pw").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let said = || -> Vec<(String, String)> {
            let remarks = of(&Local::read(&toml), &named(&secret), "ha1");
            remarks.into_iter().map(|remark| (remark.why, remark.next)).collect()
        };
        let first = said();
        assert_eq!(first.len(), 1, "{first:?}");
        assert!(first[0].0.contains("it has no") && first[0].0.contains("/opt/take --pool a"), "{first:?}");
        assert_eq!(first[0].1, "on ha1, as root: nova-ha local adopt");
        std::fs::write(&toml, "").unwrap();
        let refused = said();
        assert!(refused[0].0.contains("does not allow what the tree names: storage program"), "{refused:?}");
        std::fs::write(&toml, "x").unwrap();
        let broken = said();
        assert!(broken.len() == 1 && broken[0].0.contains("cannot be used (line 1"), "{broken:?}");
        let all = format!("storage_programs = [\"/opt/take --pool a\"]\nsecret_files = [{secret:?}]");
        std::fs::write(&toml, all).unwrap();
        assert_eq!(said(), []);
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
        let open = said();
        assert!(open[0].0.contains("(0644)") && open[0].1.starts_with("on ha1: chmod o= "), "{open:?}");
    }
}
