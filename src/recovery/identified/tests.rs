use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::bindings::{Claims, expected};
use crate::fence::{Channel, Confirmed, FenceError, Mark, PowerState, PowerSwitch, Privilege, Seen};
use crate::keys;
use crate::store::Entry;
use crate::tree::Snapshot;
use crate::tree::nova_names::TreeMachine;

const UUID: &str = "4c4c4544-0042-4b10-8054-b6c04f333333";
const OTHER: &str = "4c4c4544-0042-4b10-8054-b6c04f444444";

/// A device that states so much with the power, so much when it is asked, and shows this of itself.
struct Fake {
    power: Option<Identity>,
    full: Option<Identity>,
    shows: Mutex<Mark>,
}

#[async_trait]
impl PowerSwitch for Fake {
    async fn read(&self) -> Result<PowerState, FenceError> {
        Ok(PowerState::Off)
    }
    async fn look(&self) -> Result<Seen, FenceError> {
        Ok(Seen { power: PowerState::Off, identity: self.power.clone() })
    }
    async fn switch_off(&self) -> Result<(), FenceError> {
        Ok(())
    }
    async fn identity(&self) -> Result<Option<Identity>, FenceError> {
        Ok(self.full.clone())
    }
    async fn shows(&self) -> Result<Mark, FenceError> {
        Ok(self.shows.lock().unwrap().clone())
    }
    async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
        Ok(Privilege::Allowed)
    }
    fn channel(&self) -> Channel {
        Channel::Shown
    }
    fn describe(&self) -> String {
        "a device".into()
    }
}

/// Bound to [`UUID`].
fn bound() -> Expected {
    let host: TreeMachine = TreeMachine::Host("compute1".parse().unwrap());
    let keys = keys::host(&"compute1".parse().unwrap());
    let mut snapshot = Snapshot::default();
    let (key, value) = (keys.bmc_field("identity"), UUID.as_bytes().to_vec());
    snapshot.extend([Entry { key, value, modify_index: 1, session: None }]);
    let known = Claims::of(&snapshot, [host.clone()]).expected(&host);
    known.unwrap_or_else(|| expected(&snapshot, &keys).unwrap())
}

fn uuid(text: &str) -> Option<Identity> {
    Some(Identity { uuid: Some(text.into()), ..Identity::default() })
}

fn device(power: Option<Identity>, full: Option<Identity>, word: Option<&str>, shows: &str) -> Device {
    let shows = Mutex::new(shows.parse().unwrap());
    let word = word.map(|shown| Confirmed { by: "maria".into(), shown: shown.parse().ok() });
    Device::new(Box::new(Fake { power, full, shows }), word)
}

async fn verdict(device: &Device) -> Verdict {
    let seen = device.switch().look().await.unwrap();
    whose(device, &bound(), seen.identity.as_ref()).await
}

#[tokio::test]
async fn a_device_says_whose_it_is_and_else_a_person_does_of_this_one_device() {
    let (fru, other_fru) = (Some("fru ABC1D23"), "fru XYZ9Z99");
    let nobody = || None;
    for (what, device, expected) in [
        ("it says so with the power", device(uuid(UUID), nobody(), None, "nothing"), "matches"),
        ("it says so when asked", device(nobody(), uuid(UUID), None, "nothing"), "matches"),
        ("another's, with the power", device(uuid(OTHER), uuid(UUID), None, "nothing"), "another's"),
        ("another's, when asked", device(nobody(), uuid(OTHER), None, "nothing"), "another's"),
        ("it cannot say, and nobody did", device(nobody(), nobody(), None, "fru ABC1D23"), "not stated"),
        ("a person did", device(nobody(), nobody(), fru, "fru ABC1D23"), "matches"),
        ("a person did, of another device", device(nobody(), nobody(), fru, other_fru), "not as confirmed"),
        (
            "a person did, and it shows nothing now",
            device(nobody(), nobody(), fru, "nothing"),
            "not as confirmed",
        ),
        ("it showed nothing then", device(nobody(), nobody(), Some("nothing"), "nothing"), "matches"),
        (
            "it showed nothing then, and does now",
            device(nobody(), nobody(), Some("nothing"), other_fru),
            "not as confirmed",
        ),
        (
            "against what it says no word counts",
            device(nobody(), uuid(OTHER), fru, "fru ABC1D23"),
            "another's",
        ),
        ("a placeholder is not what it says", device(uuid("0"), nobody(), fru, "fru ABC1D23"), "matches"),
        ("an agent, which shows nothing", device(nobody(), nobody(), Some("-"), "nothing"), "matches"),
    ] {
        let verdict = verdict(&device).await;
        let word = match &verdict {
            Verdict::Matches => "matches",
            Verdict::Differs { .. } => "another's",
            Verdict::CannotTell(Unclear::NotStated) => "not stated",
            Verdict::CannotTell(Unclear::NotAsConfirmed { .. }) => "not as confirmed",
            Verdict::CannotTell(_) => "cannot tell",
        };
        assert_eq!(word, expected, "{what}: {verdict:?}");
    }
}
