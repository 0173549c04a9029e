//! Which types of filesystem are mounted.

use super::*;

/// What is on the disks is the dead host's word, and which code of this kernel reads it is a person's.
#[test]
fn a_filesystem_that_the_policy_does_not_name_is_refused_before_anything_is_assembled() {
    let wanted = |fs_type: &str| {
        let mut wanted = wanted();
        wanted.filesystems[0].fs_type = fs_type.into();
        wanted
    };
    let said = |fs_type: &str, seen: &Seen, ground: &Ground<'_>| match decide(&wanted(fs_type), seen, ground)
    {
        Next::Say(answer) => answer.text(),
        Next::Do { act, .. } => format!("{act:?}"),
    };
    for fs_type in ["hfsplus", "btrfs", "ext2"] {
        for (seen, ground) in [(apart(NAME), ground()), (apart(NAME), begun()), (apart(OURS), begun())] {
            let said = said(fs_type, &seen, &ground);
            let command = format!(r#"nova-ha policy set md_filesystems '["xfs","ext4","{fs_type}"]'"#);
            assert!(said.starts_with("refused:") && said.ends_with(&command), "{said}");
        }
    }
    let said_of_none = said("x' ; reboot", &apart(NAME), &ground());
    assert!(said_of_none.contains("which is none") && !said_of_none.contains("policy set"), "{said_of_none}");
    assert!(said("ext3", &apart(NAME), &ground()).contains("Assemble"));
    let policy = Policy { md_filesystems: vec!["btrfs".into()], ..Policy::default() };
    assert!(said("btrfs", &apart(NAME), &Ground { policy: &policy, ..ground() }).contains("Assemble"));
    // What an operator accepted; and what nobody bound goes on as before there was a list, until somebody sets one.
    let types = Some(BTreeSet::from(["jfs".to_owned()]));
    assert!(said("jfs", &apart(NAME), &Ground { bound_filesystems: types, ..ground() }).contains("Assemble"));
    let unbound = || Ground { bound_filesystems: None, ..ground() };
    assert!(said("hfsplus", &apart(NAME), &unbound()).contains("Assemble"));
    assert!(said("x' ; reboot", &apart(NAME), &unbound()).starts_with("refused:"));
    let refused = said("hfsplus", &apart(NAME), &Ground { policy: &policy, ..unbound() });
    assert!(refused.starts_with("refused:"), "{refused}");
    // One that was mounted before the policy was changed stays as it is.
    assert!(said("xfs", &mounted(AT, "rw"), &Ground { policy: &policy, ..begun() }).starts_with("taken:"));
    assert!(
        said("xfs", &assembled(OURS, State::Running), &Ground { policy: &policy, ..begun() })
            .starts_with("refused:")
    );
}
