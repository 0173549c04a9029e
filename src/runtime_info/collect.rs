//! What this machine says about itself. Reads files, decides nothing.

use std::io::Read;
use std::path::Path;

use super::args::Args;
use crate::ssh::PinnedKey;

/// The largest file that is read: nova.conf with all its comments has about 400 KiB.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;

/// What was found; `None` and an entry in `unread` where something could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Hardware vendor (the original's `hw_model`, which held `dmidecode -s system-manufacturer`).
    pub vendor: Option<String>,
    /// DMI system UUID, in lower case.
    pub uuid: Option<String>,
    /// DMI system serial number.
    pub serial: Option<String>,
    /// `TYPE BASE64`, sorted.
    pub host_keys: Vec<String>,
    /// Nova's name for its compute service here.
    pub nova_host: Option<String>,
    /// Nova's name for the hypervisor.
    pub hypervisor: Option<String>,
    /// What could not be read, for people.
    pub unread: Vec<String>,
}

/// Texts that vendors leave in DMI where they should have put a value.
const PLACEHOLDERS: [&str; 9] = [
    "not specified",
    "to be filled by o.e.m.",
    "default string",
    "system serial number",
    "none",
    "n/a",
    "0",
    "03000200-0400-0500-0006-000700080009",
    "00000000-0000-0000-0000-000000000000",
];

/// Reads everything.
pub fn collect(args: &Args) -> Found {
    let mut found = Found::default();
    let dmi = args.sysfs.join("class/dmi/id");
    let mut unread = Vec::new();
    let mut field = |name: &str| match read(&dmi.join(name)) {
        Ok(text) => {
            let text = text.trim();
            let real = !text.is_empty() && !PLACEHOLDERS.contains(&text.to_ascii_lowercase().as_str());
            if !real {
                unread.push(format!("{name} is a placeholder"));
            }
            real.then(|| text.to_owned())
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
    let machine = Args::machine_name();
    match read(&args.nova_conf) {
        Ok(text) => {
            found.nova_host = nova_host(&text).or_else(|| Some(machine.clone()));
            // Libvirt's driver takes the machine's own name, whatever `host` says.
            found.hypervisor = Some(machine);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            found.nova_host = Some(machine.clone());
            found.hypervisor = Some(machine);
        }
        // It is there, so it may name the host: the machine's name would be a guess.
        Err(error) => {
            unread.push(format!("{}: {error}", args.nova_conf.display()));
            found.hypervisor = Some(machine);
        }
    }
    found.unread = unread;
    found
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

/// `host` of `[DEFAULT]`; the last one counts, as for oslo.config.
fn nova_host(text: &str) -> Option<String> {
    let mut in_default = false;
    let mut host = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            in_default = trimmed == "[DEFAULT]";
        } else if let (true, Some((name, value))) = (in_default, trimmed.split_once(['=', ':']))
            && name.trim() == "host"
            && !value.trim().is_empty()
        {
            host = Some(value.trim().to_owned());
        }
    }
    host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nova_is_asked_for_its_own_name_only() {
        let text = "[DEFAULT]\n#host=a\nhost = compute-7\nmy_host=x\n[vnc]\nhost=b\n";
        assert_eq!(nova_host(text).as_deref(), Some("compute-7"));
        assert_eq!(nova_host("[DEFAULT]\nhost=\n"), None);
        assert_eq!(nova_host("host=x\n"), None);
    }
}
