//! The guests' places on this machine: what [`Disks`] is in earnest.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::StatVfsMountFlags;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::guest_folder::look::Instances;
use super::world::{Directory, DiskFile, Disks, Look, NovaUser, Place, chain};
use crate::nova::ServerId;
use crate::program::{Ended, Program};
use crate::say;

/// A local filesystem answers at once; one over a dead network may never. For all that are looked at together: a handful.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// `id` may have to ask a directory service.
const USER_WITHIN: Duration = Duration::from_secs(10);

/// This machine's filesystems and users.
#[derive(Debug, Default)]
pub struct LocalDisks {
    /// A recovery asks for one user, a thousand times, and for the first sixteen guests at once.
    known: Mutex<Option<Known>>,
}

/// What was said last of a user.
#[derive(Debug)]
struct Known {
    name: String,
    at: Instant,
    said: Result<NovaUser, String>,
}

#[async_trait]
impl Disks for LocalDisks {
    async fn user(&self, nova_user: &str) -> Result<NovaUser, String> {
        self.user_by(nova_user, async || {
            let (uids, gids) = tokio::join!(numbers("-u", nova_user), numbers("-G", nova_user));
            let uid = *uids?.first().ok_or("id -u says nothing")?;
            Ok(NovaUser { name: nova_user.to_owned(), uid, gids: gids? })
        })
        .await
    }

    async fn look(&self, mountpoint: &Path, server: &ServerId, nova_user: &str) -> Result<Look, String> {
        let mut looks = self.look_at_each(mountpoint, std::slice::from_ref(server), nova_user).await;
        looks.pop().unwrap_or_else(|| Err("nobody looked".into()))
    }

    /// On one thread: to wake one for each guest takes longer than the look.
    async fn look_at_each(
        &self,
        mountpoint: &Path,
        servers: &[ServerId],
        nova_user: &str,
    ) -> Vec<Result<Look, String>> {
        let none = |why: String| vec![Err(why); servers.len()];
        let user = match self.user(nova_user).await {
            Ok(user) => user,
            Err(why) => return none(why),
        };
        let paths: Vec<PathBuf> = servers.iter().map(|server| mountpoint.join(server.as_str())).collect();
        let mountpoint = mountpoint.to_owned();
        let looking = tokio::task::spawn_blocking(move || {
            // A mountpoint that is not there says nothing about what would be in it.
            let instances = Instances::open(&mountpoint);
            let look = |path: &PathBuf| {
                let place = place(instances.as_ref().map_err(Clone::clone)?, path)?;
                Ok(Look { user: user.clone(), place })
            };
            paths.iter().map(look).collect()
        });
        match tokio::time::timeout(LOOK_WITHIN, looking).await {
            Ok(Ok(looks)) => looks,
            Ok(Err(error)) => none(error.to_string()),
            Err(_) => none(format!("the filesystem did not answer within {LOOK_WITHIN:?}")),
        }
    }
}

impl LocalDisks {
    /// One asks; whoever came meanwhile has its answer too, also where it is none. So a directory service that does
    /// not answer costs the guests of one look its deadline once.
    async fn user_by(
        &self,
        name: &str,
        ask: impl AsyncFnOnce() -> Result<NovaUser, String>,
    ) -> Result<NovaUser, String> {
        let came = Instant::now();
        let mut known = self.known.lock().await;
        match known.as_ref().filter(|known| known.name == name) {
            Some(known) if known.said.is_ok() || known.at >= came => return known.said.clone(),
            Some(_) | None => {}
        }
        let said = ask().await;
        *known = Some(Known { name: name.to_owned(), at: Instant::now(), said: said.clone() });
        said
    }
}

/// By `id`, which asks whatever the machine has its users in.
async fn numbers(what: &str, name: &str) -> Result<Vec<u32>, String> {
    let program = Program::named("id", USER_WITHIN).map_err(|error| chain(&error))?;
    let done = program.args([what, "--", name]).run().await.map_err(|error| chain(&error))?;
    let text = String::from_utf8_lossy(&done.stdout.bytes).into_owned();
    if done.ended != Ended::Exit(0) {
        let said = String::from_utf8_lossy(&done.stderr.bytes).into_owned();
        let said = say::clauses(said.trim(), 120);
        return Err(format!("the user {name:?} of nova-compute is not known here: {said}"));
    }
    text.split_whitespace()
        .map(|word| word.parse().map_err(|_| format!("id {what} {name} says {text:?}")))
        .collect()
}

fn place(instances: &Instances, path: &Path) -> Result<Place, String> {
    let said = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Place::Absent),
        Err(error) => return Err(said(path, error)),
    };
    if !found.is_dir() {
        return Ok(Place::NoDirectory);
    }
    let flags = rustix::fs::statvfs(path).map_err(|error| said(path, error.into()))?.f_flag;
    let guest = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    Ok(Place::Directory(Directory {
        strange: instances.strange(guest)?,
        uid: found.uid(),
        gid: found.gid(),
        mode: found.permissions().mode() & 0o7777,
        read_only: flags.contains(StatVfsMountFlags::RDONLY),
        disk: file(&path.join("disk"))?,
        ephemeral: file(&path.join("disk.eph0"))?,
    }))
}

fn file(path: &Path) -> Result<Option<DiskFile>, String> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(DiskFile { is_file: found.is_file(), bytes: found.len() })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::guest_folder::strange::Strange;
    use super::*;

    fn guest() -> ServerId {
        "00000000-0000-4000-8000-000000000001".parse().unwrap()
    }

    async fn look(mountpoint: &Path) -> Result<Place, String> {
        let me = Program::named("id", USER_WITHIN).unwrap().args(["-un"]).run().await.unwrap();
        let me = String::from_utf8(me.stdout.bytes).unwrap();
        LocalDisks::default().look(mountpoint, &guest(), me.trim()).await.map(|look| look.place)
    }

    #[tokio::test]
    async fn a_guests_place_is_seen_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(guest().as_str());
        assert_eq!(look(folder.path()).await, Ok(Place::Absent));
        std::fs::write(&place, "x").unwrap();
        assert_eq!(look(folder.path()).await, Ok(Place::NoDirectory));
        std::fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink("/tmp", &place).unwrap();
        assert_eq!(look(folder.path()).await, Ok(Place::NoDirectory));
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o750)).unwrap();
        std::fs::write(place.join("disk"), "root").unwrap();
        std::fs::create_dir(place.join("disk.eph0")).unwrap();
        let owner = std::fs::metadata(&place).unwrap();
        let Ok(Place::Directory(found)) = look(folder.path()).await else { panic!("no directory") };
        assert_eq!((found.uid, found.gid, found.mode), (owner.uid(), owner.gid(), 0o750));
        assert!(!found.read_only);
        assert_eq!(found.disk, Some(DiskFile { is_file: true, bytes: 4 }));
        assert!(found.ephemeral.is_some_and(|file| !file.is_file));
        assert_eq!(found.strange, None);
        // A link to the same file is a link.
        std::fs::rename(place.join("disk"), folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), place.join("disk")).unwrap();
        let Ok(Place::Directory(found)) = look(folder.path()).await else { panic!("no directory") };
        assert_eq!(found.strange, Some(Strange::Link { file: "disk".into() }));
        assert!(found.disk.is_some_and(|file| !file.is_file));
    }

    #[tokio::test]
    async fn several_are_each_seen_as_it_is_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let other: ServerId = "00000000-0000-4000-8000-000000000002".parse().unwrap();
        std::fs::create_dir(folder.path().join(other.as_str())).unwrap();
        let me = Program::named("id", USER_WITHIN).unwrap().args(["-un"]).run().await.unwrap();
        let me = String::from_utf8(me.stdout.bytes).unwrap();
        let servers = [guest(), other];
        let looks = LocalDisks::default().look_at_each(folder.path(), &servers, me.trim()).await;
        let places: Vec<Place> = looks.into_iter().map(|look| look.unwrap().place).collect();
        assert!(matches!(&places[..], [Place::Absent, Place::Directory(_)]), "{places:?}");
        let unknown = LocalDisks::default().look_at_each(folder.path(), &servers, "nobody-knows-me").await;
        assert!(unknown.len() == 2 && unknown.iter().all(Result::is_err), "{unknown:?}");
    }

    #[tokio::test]
    async fn a_mountpoint_that_is_not_there_is_no_absent_guest() {
        let why = look(Path::new("/nonexistent/instances")).await.unwrap_err();
        assert!(why.contains("/nonexistent/instances"), "{why}");
    }

    #[tokio::test]
    async fn a_user_that_nobody_knows_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let why = LocalDisks::default().look(folder.path(), &guest(), "nobody-knows-me").await.unwrap_err();
        assert!(why.contains("nobody-knows-me"), "{why}");
    }
    /// What sixteen looks at once get, and how often somebody was asked.
    async fn at_once(
        disks: &LocalDisks,
        answer: Result<NovaUser, String>,
    ) -> (Vec<Result<NovaUser, String>>, usize) {
        let asked = AtomicUsize::new(0);
        let looks = (0..16).map(|_| {
            disks.user_by("nova", async || {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                answer.clone()
            })
        });
        let said = futures_util::future::join_all(looks).await;
        (said, asked.into_inner())
    }

    #[tokio::test]
    async fn a_user_is_asked_for_once_however_many_guests_are_looked_at() {
        let disks = LocalDisks::default();
        let nova = NovaUser { name: "nova".into(), uid: 162, gids: vec![162] };
        assert_eq!(at_once(&disks, Ok(nova.clone())).await, (vec![Ok(nova.clone()); 16], 1));
        assert_eq!(at_once(&disks, Err("nobody is asked".into())).await, (vec![Ok(nova); 16], 0));
    }

    #[tokio::test]
    async fn who_waited_for_an_answer_that_failed_does_not_wait_again_and_who_comes_later_asks_anew() {
        let disks = LocalDisks::default();
        let silent = || Err("no answer".to_owned());
        assert_eq!(at_once(&disks, silent()).await, (vec![silent(); 16], 1));
        let nova = NovaUser { name: "nova".into(), uid: 162, gids: vec![162] };
        assert_eq!(at_once(&disks, Ok(nova.clone())).await, (vec![Ok(nova); 16], 1));
    }
}
