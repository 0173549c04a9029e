use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use super::rules::Me;
use super::*;

/// `FOLDER/ours`, with `sub/mark` in it, and `FOLDER/precious`, which is nobody's business.
fn site() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (root, precious) = (folder.path().join("ours"), folder.path().join("precious"));
    rewrite(&root, "sub/mark", "1\n").unwrap();
    fs::write(&precious, "secret\n").unwrap();
    set(&precious, 0o600);
    (folder, root, precious)
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn refused(root: &Path, file: &str) -> String {
    match read(root, file) {
        Ok(found) => panic!("{file} was read: {found:?}"),
        Err(error) => error.with_cause(),
    }
}

#[test]
fn what_was_written_is_read_by_its_owner_alone_unless_it_was_published() {
    let (_folder, root, _) = site();
    assert_eq!(read(&root, "sub/mark").unwrap().as_deref(), Some(&b"1\n"[..]));
    assert_eq!((mode(&root), mode(&root.join("sub")), mode(&root.join("sub/mark"))), (0o755, 0o755, 0o600));
    write_whole(&root, "sub/mark", "2\n").unwrap();
    publish(&root, "said", "3\n").unwrap();
    assert_eq!((text(&root, "sub/mark").as_deref(), mode(&root.join("said"))), (Some("2\n"), 0o644));
    assert_eq!(fs::read_dir(root.join("sub")).unwrap().count(), 1, "nothing is left of the write");
    for absent in ["sub/other", "other/mark", "other"] {
        assert!(matches!(read(&root, absent), Ok(None)), "{absent}");
    }
    assert!(matches!(read(&root.join("none"), "x"), Ok(None)));
    for bad in ["sub/..", "..", "", "sub/", "a/b/c"] {
        assert!(rewrite(&root, bad, "x").is_err(), "{bad:?}");
    }
}

#[test]
fn no_link_is_followed_to_a_file_nor_to_a_folder_within() {
    let (folder, root, precious) = site();
    symlink(&precious, root.join("link")).unwrap();
    assert!(
        refused(&root, "link").ends_with(&format!("is not followed: rm {}", root.join("link").display()))
    );
    let opened = Folder::open(&root).unwrap().unwrap();
    assert!(opened.to_lock("link").is_err());
    // What takes the place of a link is the file itself.
    rewrite(&root, "link", "mine\n").unwrap();
    assert!(!root.join("link").is_symlink());
    symlink(folder.path(), root.join("away")).unwrap();
    assert!(refused(&root, "away/precious").contains("is a link"));
    assert!(rewrite(&root, "away/precious", "x").is_err());
    assert_eq!(fs::read_to_string(&precious).unwrap(), "secret\n");
}

#[test]
fn a_link_in_place_of_the_folder_counts_only_where_nobody_else_can_have_put_it_there() {
    let (folder, root, _) = site();
    let link = folder.path().join("link");
    symlink(&root, &link).unwrap();
    set(folder.path(), 0o755);
    assert_eq!(text(&link, "sub/mark").as_deref(), Some("1\n"), "root's own, as before");
    for shared in [0o775, 0o1777] {
        set(folder.path(), shared);
        assert!(refused(&link, "sub/mark").contains("is a link"), "{shared:o}");
        assert!(rewrite(&link, "sub/mark", "2").is_err());
    }
    set(folder.path(), 0o700);
}

#[test]
fn what_others_may_write_is_refused_with_the_command_that_puts_it_right() {
    let (_folder, root, _) = site();
    for path in [root.clone(), root.join("sub"), root.join("sub/mark")] {
        let before = mode(&path);
        set(&path, before | 0o002);
        assert!(refused(&root, "sub/mark").ends_with(&format!("chmod go-w {}", path.display())));
        assert!(path.is_file() || rewrite(&root, "sub/mark", "2").is_err());
        set(&path, before);
    }
    let me = Me::now();
    if me.uid == 0 {
        // A group of root's is root; another one is not.
        set(&root, 0o775);
        assert!(read(&root, "sub/mark").is_ok());
        std::os::unix::fs::chown(&root, None, Some(65_534)).unwrap();
        assert!(refused(&root, "sub/mark").contains("(0775): chmod go-w"));
    }
}

#[test]
fn what_belongs_to_another_user_is_refused_with_the_command_that_puts_it_right() {
    let (_folder, root, _) = site();
    let me = Me::now();
    if me.uid != 0 {
        let another = Me { uid: me.uid + 1, gid: me.gid };
        assert!(matches!(Folder::open_as(&root, another), Err(OwnFileError::Owner { .. })));
        return;
    }
    for path in [root.clone(), root.join("sub"), root.join("sub/mark")] {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        assert!(
            refused(&root, "sub/mark").contains("belongs to uid 65534, who could change it: chown root: ")
        );
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    }
    std::os::unix::fs::chown(&root, Some(65_534), None).unwrap();
    let its_owner = Me { uid: 65_534, gid: 65_534 };
    assert!(Folder::open_as(&root, its_owner).is_ok(), "its owner uses it");
}

#[test]
fn a_file_to_lock_is_its_owners_alone_and_no_file_of_somewhere_else() {
    let (_folder, root, precious) = site();
    let ours = || Folder::open(&root).unwrap().unwrap();
    fs::write(root.join("lock"), "").unwrap();
    set(&root.join("lock"), 0o644);
    ours().to_lock("lock").unwrap();
    assert_eq!(mode(&root.join("lock")), 0o600, "whoever opens it could lock it");
    fs::hard_link(&precious, root.join("other")).unwrap();
    let error = ours().to_lock("other").unwrap_err().to_string();
    assert!(error.contains("has 2 names"), "{error}");
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(ours().to_lock("fifo").is_err());
    assert!(refused(&root, "fifo").contains("is no regular file"));
    assert!(refused(&root, "sub").contains("is no regular file"));
}
