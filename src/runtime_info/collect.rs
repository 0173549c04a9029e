//! What this machine says about itself. Reads files, decides nothing.

use std::io::Read;
use std::path::Path;

use super::args::Args;
use super::arrays;
use super::nova_conf::NovaConf;
use crate::clock::boot_id;
use crate::identity::Identity;
use crate::names::HostName;
use crate::run_dir::storage_started;
use crate::ssh::PinnedKey;
use crate::tree::runtime_config::RuntimeConfig;

/// The largest file that is read: nova.conf with all its comments has about 400 KiB.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;

/// What was found; `None` and an entry in `unread` where something could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Hardware vendor (the original's `hw_model`, which held `dmidecode -s system-manufacturer`).
    pub vendor: Option<String>,
    /// DMI product name. Nothing is decided by it, so that one which is not there is not missed.
    pub product: Option<String>,
    /// DMI system UUID, in lower case.
    pub uuid: Option<String>,
    /// DMI system serial number.
    pub serial: Option<String>,
    /// `TYPE BASE64`, sorted.
    pub host_keys: Vec<String>,
    /// Nova's name for its compute service here.
    pub nova_host: NovaHostFound,
    /// Nova's name for the hypervisor.
    pub hypervisor: Option<String>,
    /// Where Nova has the guests' disks.
    pub instances_path: Option<String>,
    /// Its arrays and filesystems.
    pub disks: arrays::Found,
    /// Whether the boot guard let this boot's guest storage start. `None`: there is nothing to guard, or nobody
    /// can tell, and what is published stays.
    pub boot_guard: Option<bool>,
    /// The kernel's id of this boot, where there are arrays.
    pub boot: Option<String>,
    /// What could not be read, for people.
    pub unread: Vec<String>,
}

/// What nova.conf says of the name of this host's compute service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NovaHostFound {
    /// It cannot be read: what is published stays.
    #[default]
    Unread,
    /// There is no nova.conf here (nova-compute may run in a container of its own): nothing is known, and nothing is
    /// published. The machine's own name would be a guess, and a published name that differs keeps a host from being
    /// recovered.
    NoNova,
    /// Its `host`, or the machine's own name, which is Nova's default.
    Is(String),
}

/// Reads everything. `published` is what is in the tree now.
pub fn collect(args: &Args, host: &HostName, published: &RuntimeConfig) -> Found {
    let mut found = Found::default();
    let dmi = args.roots.sys.join("class/dmi/id");
    let mut unread = Vec::new();
    // As a serial number or a UUID that tells machines apart, or for the vendor's name as one.
    let real = |text: &str| {
        let text = text.trim();
        Identity::pinned(text).is_usable().then(|| text.to_owned())
    };
    found.product = read(&dmi.join("product_name")).ok().and_then(|text| real(&text));
    let mut field = |name: &str| match read(&dmi.join(name)) {
        Ok(text) => {
            let real = real(&text);
            if real.is_none() {
                unread.push(format!("{name} is a placeholder"));
            }
            real
        }
        Err(error) => {
            unread.push(format!("{name}: {error}"));
            None
        }
    };
    found.vendor = field("sys_vendor");
    found.uuid = field("product_uuid").map(|uuid| uuid.to_ascii_lowercase());
    found.serial = field("product_serial");
    match host_keys(&args.ssh_dir) {
        Ok(keys) if keys.is_empty() => unread.push(format!("no host keys in {}", args.ssh_dir.display())),
        Ok(keys) => found.host_keys = keys,
        Err(error) => unread.push(format!("{}: {error}", args.ssh_dir.display())),
    }
    nova(&mut found, &mut unread, args);
    found.disks = arrays::collect(&args.roots, host, published, found.instances_path.as_deref());
    unread.append(&mut found.disks.unread);
    if found.disks.has_arrays || !published.md_arrays.is_empty() {
        match boot_id() {
            Ok(boot) => {
                let boot = boot.to_string();
                found.boot_guard = Some(storage_started(&args.run_dir, &boot));
                found.boot = Some(boot);
            }
            Err(error) => unread.push(error.to_string()),
        }
    }
    found.unread = unread;
    found
}

/// What Nova calls this host, and where it has the guests' disks.
fn nova(found: &mut Found, unread: &mut Vec<String>, args: &Args) {
    let machine = Args::machine_name();
    // Libvirt's driver takes the machine's own name, whatever `host` says.
    found.hypervisor = Some(machine.clone());
    let text = match read(&args.nova_conf) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        // It is there, so it may say anything: the defaults would be a guess.
        Err(error) => {
            unread.push(format!("{}: {error}", args.nova_conf.display()));
            return;
        }
    };
    let conf = NovaConf::of(text.as_deref().unwrap_or_default());
    found.nova_host = match text {
        Some(_) => NovaHostFound::Is(conf.host().unwrap_or(machine)),
        None => NovaHostFound::NoNova,
    };
    match conf.instances_path() {
        // A link is followed: a takeover mounts the filesystem that the folder is really on.
        Ok(path) => {
            let real =
                std::fs::canonicalize(&path).ok().and_then(|real| real.into_os_string().into_string().ok());
            found.instances_path = Some(real.unwrap_or(path));
        }
        Err(why) => unread.push(format!("{}: {why}", args.nova_conf.display())),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    let length = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    match u64::try_from(length) {
        Ok(length) if length <= MAX_FILE_BYTES => Ok(text),
        Ok(_) | Err(_) => Err(std::io::Error::other("too large")),
    }
}

/// sshd's public keys that can be pinned, without their comments. Certificates and key types that
/// nobody here can check are left out.
fn host_keys(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !(name.contains("host_") && name.ends_with("_key.pub")) {
            continue;
        }
        let text = read(&path)?;
        for line in text.lines().filter(|line| PinnedKey::parse(line).is_ok()) {
            keys.push(line.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" "));
        }
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}
