//! What the shipped units may not do, and that none may do more than it could before.

use std::path::{Path, PathBuf};
use std::process::Command;

fn watches() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("consul-watches")
}

/// Each service with the most that `systemd-analyze security` may say of it. recover mounts for everybody, and runs a
/// site's own storage program; guest-storage is mdadm.
const CEILINGS: [(&str, f64); 6] = [
    ("nova-ha-boot-guard-record.service", 2.2),
    ("nova-ha-boot-guard@.service", 3.7),
    ("nova-ha-guest-storage.service", 6.1),
    ("nova-ha-mark-failed.service", 2.2),
    ("nova-ha-recover.service", 7.3),
    ("nova-ha-runtime-info.service", 4.1),
];
/// recover, where its recoveries mount nothing.
const WITHOUT_DISKS: f64 = 2.7;

/// All that make a mount namespace of the unit's own, systemd.exec(5).
const MAKE_A_MOUNT_NAMESPACE: [&str; 26] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "DynamicUser",
    "ExecPaths",
    "InaccessiblePaths",
    "LoadCredential",
    "LogNamespace",
    "MountAPIVFS",
    "MountFlags",
    "MountImages",
    "NoExecPaths",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateTmp",
    "ProcSubset",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "TemporaryFileSystem",
];
/// What they mount must be seen by others, or they look at how others mount.
const WITHOUT_A_MOUNT_NAMESPACE: [&str; 4] = [
    "nova-ha-boot-guard@.service",
    "nova-ha-guest-storage.service",
    "nova-ha-recover.service",
    "nova-ha-runtime-info.service",
];

fn unit(name: &str) -> String {
    std::fs::read_to_string(watches().join("systemd").join(name)).unwrap()
}

fn services() -> Vec<String> {
    let names = std::fs::read_dir(watches().join("systemd")).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".service"));
    names.sort();
    names
}

/// What `systemd-analyze security` says of a unit, with a drop-in beside it.
fn exposure(name: &str, drop_in: Option<&str>) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let text = unit(name);
    let program = |line: &str| match line.starts_with("ExecStart=") {
        true => "ExecStart=/bin/true".to_owned(),
        false => line.to_owned(),
    };
    let path = folder.path().join(name);
    std::fs::write(&path, text.lines().map(program).collect::<Vec<_>>().join("\n")).unwrap();
    if let Some(drop_in) = drop_in {
        let beside = folder.path().join(format!("{name}.d"));
        std::fs::create_dir(&beside).unwrap();
        std::fs::write(beside.join("nova-ha.conf"), drop_in).unwrap();
    }
    let done = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let level =
        said.lines().find_map(|line| line.split_once("Overall exposure level for ")?.1.split_once(": "));
    let level = level.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&done.stderr)));
    level.1.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn no_unit_is_more_exposed_than_it_was() {
    let named: Vec<&str> = CEILINGS.iter().map(|(name, _)| *name).collect();
    assert_eq!(services(), named, "a ceiling for each");
    for (name, most) in CEILINGS {
        let found = exposure(name, None);
        assert!(found <= most, "{name}: {found}, at most {most} is allowed");
    }
    let drop_in = watches().join("systemd-no-disks/nova-ha-recover.service.d/nova-ha.conf");
    let found = exposure("nova-ha-recover.service", Some(&std::fs::read_to_string(drop_in).unwrap()));
    assert!(found <= WITHOUT_DISKS, "{found}");
}

#[test]
fn what_every_unit_forbids() {
    for name in services() {
        for line in
            ["LimitCORE=0", "NoNewPrivileges=yes", "RestrictSUIDSGID=yes", "SystemCallArchitectures=native"]
        {
            assert!(unit(&name).lines().any(|found| found == line), "{name}: {line}");
        }
    }
}

#[test]
fn a_unit_whose_mounts_are_everybodys_makes_no_mount_namespace() {
    for name in services() {
        let text = unit(&name);
        let made: Vec<&str> = text
            .lines()
            .filter(|line| {
                line.split_once('=').is_some_and(|(word, _)| MAKE_A_MOUNT_NAMESPACE.contains(&word))
            })
            .collect();
        match WITHOUT_A_MOUNT_NAMESPACE.contains(&name.as_str()) {
            true => assert!(made.is_empty(), "{name}: {made:?}"),
            false => assert!(made.contains(&"ProtectSystem=strict"), "{name} could be stricter: {made:?}"),
        }
    }
}
