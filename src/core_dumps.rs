//! No executable of ours leaves its memory on a disk when it crashes: there are tokens, passwords and private keys in it.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From now on this process writes no core file, nor does what it starts. The units say the same (`LimitCORE=0`); this is for
/// what Consul and people start.
///
/// Both are needed: the kernel asks no limit where it hands a core to a program (systemd-coredump, which asks it itself), and
/// what is started is dumpable again. Who debugs an executable of ours starts it under the debugger as root.
pub fn forbid() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // Neither can be refused to a process that only takes from itself; where a sandbox does it all the same, it is no
    // reason to leave a host unrecovered.
    for error in [limited, hidden].into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a crash of this process may leave its memory on a disk");
    }
}
