//! What a BMC says of itself beside its GUID, as ipmitool prints it.

use crate::fence::said::one_line;
use crate::fence::{Identity, Mark};
use crate::program::Finished;

/// The values of `Name : value` lines.
fn values<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.filter(move |(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

/// The serial numbers of an inventory: of the product, the chassis and the board. What vendors write there is no serial number
/// of the system for sure: an equal one says whose it is, and another one does not.
pub(super) fn fru(finished: &Finished) -> Option<Identity> {
    if finished.stdout.cut {
        return None;
    }
    let text = String::from_utf8_lossy(&finished.stdout.bytes);
    let number =
        |name| values(&text, name).next().filter(|value| !value.is_empty()).map(|value| one_line(value, &[]));
    let also = ["Product Serial", "Chassis Serial", "Board Serial"].into_iter().filter_map(number).collect();
    let found = Identity { also, ..Identity::default() };
    found.is_usable().then_some(found)
}

/// The hardware address of its network port; none where it names two.
pub(super) fn mac(finished: &Finished) -> Option<Mark> {
    let text = String::from_utf8_lossy(&finished.stdout.bytes);
    let mut found = values(&text, "MAC Address");
    let (first, second) = (found.next(), found.next());
    first.filter(|_| second.is_none()).and_then(Mark::mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Captured, Ended};

    fn said(stdout: &str) -> Finished {
        Finished {
            ended: Ended::Exit(0),
            stdout: Captured { bytes: stdout.into(), cut: false },
            stderr: Captured::default(),
        }
    }

    #[test]
    fn an_inventory_has_the_numbers_of_the_product_the_chassis_and_the_board() {
        let text = "FRU Device Description : Builtin FRU Device (ID 0)\r\n Chassis Serial        : CH-7\r\n Board Serial          : CNFCP00\r\n \
                    Product Serial        : ABC1D23\r\n Product Serial        : other\r\n";
        let also = ["ABC1D23", "CH-7", "CNFCP00"].map(str::to_owned).to_vec();
        assert_eq!(fru(&said(text)), Some(Identity { also, ..Identity::default() }));
        let board = fru(&said(" Board Serial : CNFCP00\n Product Serial :\n"));
        assert_eq!(board, Some(Identity { also: vec!["CNFCP00".into()], ..Identity::default() }));
        for nothing in
            ["", "Product Serial", " Product Serial : To be filled by O.E.M.\n", "Device not present\n"]
        {
            assert_eq!(fru(&said(nothing)), None, "{nothing:?}");
        }
        let mut cut = said(text);
        cut.stdout.cut = true;
        assert_eq!(fru(&cut), None);
    }

    #[test]
    fn a_network_port_has_one_address_of_its_own() {
        let mark = |text: &str| mac(&said(text)).map(|mark| mark.to_string());
        assert_eq!(
            mark("MAC Address             : 00:1E:67:aa:bb:cc\n"),
            Some("mac 00:1e:67:aa:bb:cc".into())
        );
        for nothing in [
            "MAC Address             : 00:00:00:00:00:00\n",
            "Default Gateway MAC     : 00:1e:67:aa:bb:cc\n",
            "MAC Address : 00:1e:67:aa:bb:cc\nMAC Address : 00:1e:67:aa:bb:cd\n",
            "MAC Address : nonsense\n",
        ] {
            assert_eq!(mark(nothing), None, "{nothing:?}");
        }
    }
}
