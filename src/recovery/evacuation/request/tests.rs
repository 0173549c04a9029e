//! What is asked, for each kind of guest, storage, target and disk.

use super::super::disk::tests::{rootless, whole};
use super::*;
use crate::nova::servers::Flavor;
use crate::nova::servers::tests::guest as running;
use crate::recovery::guest_folder::strange::Strange;

fn guest(image: bool, volumes: usize, ephemeral_gib: u64) -> Server {
    Server {
        image: image.then(|| "image".to_owned()),
        volumes: (0..volumes).map(|number| format!("volume{number}")).collect(),
        flavor: Flavor { ephemeral_gib, ..Flavor::default() },
        ..running()
    }
}

fn host(reserved: bool) -> Target {
    Target::Host { host: "ha1".parse().unwrap(), reserved }
}

/// Storage that this HA node takes over, to itself.
fn taken() -> How {
    How { target: host(true), here: true, taken: true, mountpoint: true, attach_only: true }
}

/// Shared storage, of which this HA node sees nothing.
fn shared(target: Target, attach_only: bool) -> How {
    How { target, here: false, taken: false, mountpoint: false, attach_only }
}

/// Shared storage, mounted on this HA node, to itself.
fn mounted(attach_only: bool) -> How {
    How { target: host(true), here: true, taken: false, mountpoint: true, attach_only }
}

/// A choice in a few words.
fn said(choice: &Choice) -> String {
    match choice {
        Choice::Hold { why } => format!("hold: {why}"),
        Choice::Ask(ask) => {
            let to = ask.request.host().map_or("*", |host| host.as_str());
            format!("{} {to}", ask.request.microversion())
        }
    }
}

fn strange() -> Disk {
    Disk::Strange(Strange::Link { file: "disk".into() })
}

fn disks(server: &Server) -> [(&'static str, Disk); 7] {
    [
        ("whole", whole(&server.id)),
        ("rootless", rootless(&server.id, false)),
        ("ephemeral", rootless(&server.id, true)),
        ("absent", Disk::Absent),
        ("unusable", Disk::Unusable { why: "read-only".into() }),
        ("cannot tell", Disk::CannotTell { why: "EIO".into() }),
        ("not looked", Disk::NotLooked),
    ]
}

#[test]
fn where_this_ha_node_takes_the_storage_nothing_is_asked_that_could_build_a_disk_anew() {
    let (image, both, volume) = (guest(true, 0, 0), guest(true, 1, 0), guest(false, 1, 0));
    let (ephemeral, odd) = (guest(false, 1, 5), guest(false, 0, 0));
    #[rustfmt::skip]
    let table: [(&str, &Server, [&str; 7]); 5] = [
        // its disk:            whole       rootless      ephemeral     absent        unusable     cannot tell  not looked
        ("image",     &image,     ["2.13 ha1", "hold",       "hold",       "hold",       "hold",      "hold",      "hold"]),
        ("both",      &both,      ["2.13 ha1", "hold",       "hold",       "hold",       "hold",      "hold",      "hold"]),
        ("volume",    &volume,    ["hold",     "2.14 ha1",   "hold",       "2.14 ha1",   "hold",      "hold",      "hold"]),
        ("ephemeral", &ephemeral, ["hold",     "hold",       "2.13 ha1",   "hold",       "hold",      "hold",      "hold"]),
        ("odd",       &odd,       ["hold",     "hold",       "hold",       "hold",       "hold",      "hold",      "hold"]),
    ];
    for (kind, server, expected) in table {
        for ((disk, seen), expected) in disks(server).into_iter().zip(expected) {
            let found = said(&choose(server, &taken(), &seen));
            assert!(found.starts_with(expected), "{kind}, {disk}: {found}");
        }
    }
}

#[test]
fn a_guest_that_would_run_where_its_disk_is_not_is_never_asked_for() {
    for target in [Target::Scheduler, Target::Host { host: "compute2".parse().unwrap(), reserved: false }] {
        let how = How { target, here: false, ..taken() };
        for server in [guest(true, 0, 0), guest(false, 1, 0), guest(false, 0, 0)] {
            assert!(said(&choose(&server, &how, &whole(&server.id))).starts_with("hold"));
            assert!(wanted(&server, &how).is_err());
        }
    }
}

#[test]
fn on_shared_storage_a_local_disk_is_asked_for_attach_only_unless_the_policy_says_otherwise() {
    let (image, both, volume) = (guest(true, 0, 0), guest(true, 1, 0), guest(false, 1, 0));
    let (ephemeral, odd) = (guest(false, 1, 5), guest(false, 0, 0));
    for (target, attach_only, local, other) in [
        (Target::Scheduler, true, "2.13 *", "2.68 *"),
        (host(false), true, "2.13 ha1", "2.68 ha1"),
        (host(true), true, "2.13 ha1", "2.14 ha1"),
        (Target::Scheduler, false, "2.68 *", "2.68 *"),
        (host(false), false, "2.68 ha1", "2.68 ha1"),
        (host(true), false, "2.14 ha1", "2.14 ha1"),
    ] {
        let how = shared(target, attach_only);
        let chosen = |server: &Server| said(&choose(server, &how, &Disk::NotLooked));
        for server in [&image, &both, &ephemeral, &odd] {
            assert_eq!(chosen(server), local, "{how:?}");
        }
        assert_eq!(chosen(&volume), other, "{how:?}");
    }
}

#[test]
fn shared_storage_that_is_mounted_here_is_looked_at_before_a_guest_is_sent_here() {
    let (image, volume) = (guest(true, 0, 0), guest(false, 1, 0));
    for attach_only in [true, false] {
        let how = mounted(attach_only);
        let asked = if attach_only { "2.13 ha1" } else { "2.14 ha1" };
        for ((disk, seen), expected) in
            disks(&image).into_iter().zip([asked, "hold", "hold", "hold", "hold", "hold", "hold"])
        {
            let found = said(&choose(&image, &how, &seen));
            assert!(found.starts_with(expected), "{disk}: {found}");
        }
        assert!(said(&choose(&volume, &how, &whole(&volume.id))).starts_with("hold"));
        assert_eq!(said(&choose(&volume, &how, &Disk::Absent)), "2.14 ha1");
    }
}

#[test]
fn a_folder_with_what_must_not_be_opened_here_is_never_asked_for_whatever_nova_shows_of_the_guest() {
    for server in
        [guest(true, 0, 0), guest(true, 1, 0), guest(false, 1, 0), guest(false, 1, 5), guest(false, 0, 0)]
    {
        for how in [taken(), mounted(true), mounted(false)] {
            let found = said(&choose(&server, &how, &strange()));
            assert!(found.starts_with("hold"), "{how:?}: {found}");
        }
        let found = said(&choose(&server, &mounted(true), &strange()));
        assert!(found.contains("its disk is a link"), "{found}");
    }
}

#[test]
fn nothing_is_ever_asked_that_ends_a_running_guest_stopped() {
    for server in [guest(true, 0, 0), guest(true, 2, 0), guest(false, 1, 0), guest(false, 1, 5)] {
        for how in [
            taken(),
            mounted(true),
            mounted(false),
            shared(host(true), false),
            shared(Target::Scheduler, true),
        ] {
            for (_, disk) in disks(&server) {
                if let Choice::Ask(ask) = choose(&server, &how, &disk) {
                    assert!(ask.request().microversion() < crate::nova::Microversion::two(95), "{ask:?}");
                }
            }
        }
    }
}

#[test]
fn a_request_that_stands_on_a_look_goes_stale_with_it() {
    let server = guest(true, 0, 0);
    let Choice::Ask(ask) = choose(&server, &taken(), &whole(&server.id)) else { panic!("held") };
    let at = |seconds| BootInstant::since_boot(Duration::from_secs(seconds));
    assert!(ask.is_fresh(at(30), Duration::from_secs(30)));
    assert!(!ask.is_fresh(at(31), Duration::from_secs(30)));
    let Choice::Ask(ask) = choose(&server, &shared(host(true), true), &Disk::NotLooked) else {
        panic!("held")
    };
    assert!(ask.is_fresh(at(3000), Duration::from_secs(30)), "nothing was seen for it that could go stale");
}

#[test]
fn the_plan_says_why_and_what_will_be_looked_at() {
    let text = |server: &Server, how: &How| wanted(server, how).unwrap().text();
    assert_eq!(
        text(&guest(true, 0, 0), &taken()),
        "local disk, attach only, to ha1 (2.13), once its disk is seen here"
    );
    assert_eq!(
        text(&guest(false, 1, 0), &taken()),
        "booted from a volume, to reserved spare ha1 past the scheduler (2.14), if no root disk is seen here"
    );
    assert_eq!(
        text(&guest(true, 0, 0), &shared(Target::Scheduler, true)),
        "local disk, attach only, scheduler's choice (2.13)"
    );
}
