//! Real fence devices for the tests: `ipmi_sim` with a power switch that is a file.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nova_ha::fence::off::Settings;
use nova_ha::fence::{FenceConfig, FenceLevels, LeaseLost, Level, Permission, PowerSwitch};
use nova_ha::local::Local;
use nova_ha::names::HostName;

/// The host that everything here is about.
pub(crate) fn host() -> HostName {
    "host1".parse().unwrap()
}

/// The path of a program that these tests cannot do without. They do not skip: a test that does not
/// run proves nothing, and nobody notices.
pub(crate) fn program(name: &str) -> PathBuf {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!("the program {name} is not installed: `integration/lab test quick` installs what these tests need")
        })
}

/// Fast enough for tests, everything else as in production.
pub(crate) fn settings() -> Settings {
    Settings {
        reads: 3,
        pause: Duration::from_millis(50),
        level_deadline: Duration::from_secs(8),
        attempt: Duration::from_secs(4),
        again_after: Duration::from_millis(500),
    }
}

/// A lease that is held.
pub(crate) struct Held;

#[async_trait(?Send)]
impl Permission for Held {
    async fn check(&self) -> Result<(), LeaseLost> {
        Ok(())
    }
}

/// A lease that is gone.
pub(crate) struct Gone;

#[async_trait(?Send)]
impl Permission for Gone {
    async fn check(&self) -> Result<(), LeaseLost> {
        Err(LeaseLost { why: "the session lapsed".into() })
    }
}

/// One level made of a switch.
pub(crate) fn only(switch: impl PowerSwitch + 'static) -> FenceLevels {
    FenceLevels::new(host(), vec![Level::new(Box::new(switch), None)])
}

/// Levels from the text of a `config/fence` key.
pub(crate) fn levels(json: &str) -> FenceLevels {
    FenceConfig::parse("config/fence", json.as_bytes())
        .unwrap()
        .build(host(), &Local::read(Path::new("/nonexistent/local.toml")))
        .unwrap()
}

/// Waits for a stated condition.
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "waited 10 s for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends what a test started, also when the test fails.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A BMC: a real `ipmi_sim`, whose chassis is a script that keeps the power in a file.
pub(crate) struct Bmc {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    _sim: Running,
}

/// What is printed on the board: the raw bytes of the BMC's System GUID.
pub(crate) const GUID: &str = "33221100-5544-7766-8899-aabbccddeeff";

/// How the chassis obeys `power off`.
#[derive(Clone, Copy)]
pub(crate) enum Chassis {
    /// At once.
    Obeys,
    /// Says OK, and leaves the machine on.
    Lies,
    /// Says OK, and goes off at the third command.
    Late,
}

impl Bmc {
    pub(crate) fn start(chassis: Chassis, power: &str) -> Self {
        Self::stating(chassis, power, GUID, "")
    }

    /// One that states this GUID, and has this in its emulator's file beside what all have.
    pub(crate) fn stating(chassis: Chassis, power: &str, guid: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (at, sim) = (folder.path().display().to_string(), program("ipmi_sim"));
        program("ipmitool");
        let off = match chassis {
            Chassis::Obeys => "echo 0 > power.new; mv power.new power",
            Chassis::Lies => ":",
            Chassis::Late => {
                "[ $(grep -c 'set power 0' log) -lt 3 ] || { echo 0 > power.new; mv power.new power; }"
            }
        };
        let script = format!(
            "#!/bin/sh\ncd {at}\necho \"$*\" >> log\nop=$1; shift\ncase $op in\nget) for p in \"$@\"; do case $p in\n\
             power) echo power:$(cat power);; boot) echo boot:default;; *) echo $p:0;; esac; done;;\n\
             set) while [ $# -gt 1 ]; do [ $1 = power ] && [ $2 = 0 ] && {{ {off}; }}; shift 2; done;;\nesac\nexit 0\n"
        );
        std::fs::write(folder.path().join("chassis"), script).unwrap();
        std::fs::set_permissions(folder.path().join("chassis"), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        std::fs::write(folder.path().join("power"), power).unwrap();
        std::fs::write(folder.path().join("log"), "").unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let methods = ["callback", "user", "operator", "admin"]
            .map(|level| format!("    allowed_auths_{level} none md2 md5 straight\n"))
            .concat();
        let config = format!(
            "name \"bmc\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n    priv_limit admin\n{methods}    \
             guid {}\n  endlan\n  chassis_control \"{at}/chassis\"\n  user 1 true \"\" \"none\" user 10 none md2 md5 straight\n  \
             user 2 true \"test\" \"Test123.\" admin 10 none md2 md5 straight\n  \
             user 3 true \"view\" \"View123.\" user 10 none md2 md5 straight\n",
            guid.replace('-', "")
        );
        std::fs::write(folder.path().join("conf"), config).unwrap();
        let emulator = format!(
            "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n\
             sel_enable 0x20 1000 0x0a\n{more}mc_enable 0x20\n"
        );
        std::fs::write(folder.path().join("emu"), emulator).unwrap();
        let sim = Command::new(sim)
            .args([
                "-c",
                &format!("{at}/conf"),
                "-f",
                &format!("{at}/emu"),
                "-s",
                &format!("{at}/state"),
                "-n",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bmc = Self { folder, port, _sim: Running(sim) };
        let port_hex = format!(":{port:04X} ");
        wait_for("ipmi_sim to listen", || {
            std::fs::read_to_string("/proc/net/udp").unwrap().contains(&port_hex)
        });
        bmc
    }

    /// `config/fence` of this BMC, with more fields.
    pub(crate) fn config(&self, user: &str, password: &str, more: &str) -> String {
        format!(r#"{{"version":1,"levels":[{}]}}"#, self.level(user, password, more))
    }

    /// One level of a `config/fence`.
    pub(crate) fn level(&self, user: &str, password: &str, more: &str) -> String {
        // Cipher 3: ipmi_sim does not have 17.
        format!(
            r#"{{"driver":"ipmi","address":"127.0.0.1","port":{},"user":"{user}","password":"{password}","cipher":3{more}}}"#,
            self.port
        )
    }

    /// How often it was told to switch off.
    pub(crate) fn commands(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.lines().filter(|line| line.starts_with("set power 0")).count()
    }

    /// Whether the machine is on.
    pub(crate) fn is_on(&self) -> bool {
        std::fs::read_to_string(self.folder.path().join("power")).unwrap().trim() == "1"
    }
}

/// A UDP port on which nobody listens.
pub(crate) fn dead_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An inventory (FRU) with the serial numbers of its board and of the product, as `ipmi_sim` reads it.
pub(crate) fn inventory(board: &str, product: &str) -> String {
    let area = |head: &[u8], fields: &[&str]| {
        let mut bytes = vec![1, 0];
        bytes.extend(head);
        for field in fields {
            bytes.push(0xc0 | u8::try_from(field.len()).unwrap());
            bytes.extend(field.as_bytes());
        }
        bytes.push(0xc1);
        while bytes.len() % 8 != 7 {
            bytes.push(0);
        }
        bytes[1] = u8::try_from((bytes.len() + 1) / 8).unwrap();
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        bytes.push(sum.wrapping_neg());
        bytes
    };
    let board = area(&[0, 0, 0, 0], &["Dell", "R740", board, "PN"]);
    let product = area(&[0], &["Dell", "PowerEdge", "PN", "1", product, "tag"]);
    let mut all = vec![1, 0, 0, 1, u8::try_from(1 + board.len() / 8).unwrap(), 0, 0];
    let sum = all.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    all.push(sum.wrapping_neg());
    all.extend([board, product].concat());
    all.resize(256, 0);
    let bytes: Vec<String> = all.iter().map(|byte| format!("0x{byte:02x}")).collect();
    format!("mc_add_fru_data 0x20 0 256 data {}\n", bytes.join(" "))
}
