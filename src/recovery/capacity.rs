//! Whether there is room for the guests of a host: pure, for the plan.
//!
//! A plan, not a promise: Nova's own claim decides, guest by guest.

use serde::{Deserialize, Serialize};

use crate::nova::{Room, Server};

/// What a guest takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Local disk, GiB.
    pub disk_gib: u64,
}

impl Need {
    /// By its flavor, as Nova asks placement for it: a root disk on a volume takes no local disk. Swap
    /// is counted by the GiB, which it seldom fills.
    pub fn of(server: &Server) -> Self {
        let root = if server.image.is_none() { 0 } else { server.flavor.disk_gib };
        Self {
            vcpus: u64::from(server.flavor.vcpus),
            memory_mib: server.flavor.ram_mib,
            disk_gib: root.saturating_add(server.flavor.ephemeral_gib),
        }
    }

    fn fits(self, room: &Room) -> bool {
        self.vcpus <= room.vcpus
            && self.memory_mib <= room.memory_mib
            && room.disk_gib.is_none_or(|free| self.disk_gib <= free)
    }
}

/// Whether there is room for one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// There is, after those before it.
    Fits,
    /// There is none.
    Waits,
    /// Placement did not say.
    CannotTell,
}

/// Guests in order of their priority; each takes its room from those after it. One that finds none
/// leaves what is there to the smaller ones after it. Among several hosts the one with the most free
/// memory is taken, as Nova's scheduler does by default.
pub fn fit(needs: &[Need], rooms: &[Room]) -> Vec<Fit> {
    let mut left = rooms.to_vec();
    needs
        .iter()
        .map(|need| {
            let room = left.iter_mut().filter(|room| need.fits(room)).max_by_key(|room| room.memory_mib);
            let Some(room) = room else { return Fit::Waits };
            room.vcpus -= need.vcpus;
            room.memory_mib -= need.memory_mib;
            room.disk_gib = room.disk_gib.map(|free| free.saturating_sub(need.disk_gib));
            Fit::Fits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(host: &str, vcpus: u64, memory_mib: u64, disk_gib: Option<u64>) -> Room {
        Room { host: host.parse().unwrap(), vcpus, memory_mib, disk_gib }
    }

    fn need(vcpus: u64, memory_mib: u64, disk_gib: u64) -> Need {
        Need { vcpus, memory_mib, disk_gib }
    }

    #[test]
    fn by_priority_and_each_resource_counts() {
        use Fit::{Fits, Waits};
        let (small, big) = (need(1, 10, 1), need(8, 80, 8));
        for (name, needs, rooms, expected) in [
            ("no host", vec![small], vec![], vec![Waits]),
            ("no guest", vec![], vec![room("a", 9, 99, None)], vec![]),
            ("all fit", vec![big, small], vec![room("a", 9, 90, Some(9))], vec![Fits, Fits]),
            ("the first come first", vec![big, big], vec![room("a", 9, 90, Some(9))], vec![Fits, Waits]),
            (
                "a smaller one behind one that waits",
                vec![big, small],
                vec![room("a", 2, 20, None)],
                vec![Waits, Fits],
            ),
            ("vcpus", vec![big], vec![room("a", 7, 999, None)], vec![Waits]),
            ("memory", vec![big], vec![room("a", 99, 79, None)], vec![Waits]),
            ("disk", vec![big], vec![room("a", 99, 999, Some(7))], vec![Waits]),
            ("no disk inventory is no limit", vec![big], vec![room("a", 99, 999, None)], vec![Fits]),
            (
                "not spread over two hosts",
                vec![big],
                vec![room("a", 4, 40, None), room("b", 4, 40, None)],
                vec![Waits],
            ),
            (
                "two hosts",
                vec![big, big],
                vec![room("a", 8, 80, None), room("b", 9, 90, None)],
                vec![Fits, Fits],
            ),
        ] {
            assert_eq!(fit(&needs, &rooms), expected, "{name}");
        }
    }
}
