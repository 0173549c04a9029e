//! Whether anything still reports to Nova under the dead host's name.
//!
//! The proof of *off* is about a machine, Nova's records are about a name. Where two machines have one name (a copied
//! `nova.conf`, a wrong `config/names`), the one that was powered off is not the one whose guests Nova lists: those
//! guests live. A living nova-compute writes its record every `report_interval`, so Nova's own record is a witness
//! that no mix-up of names can fool, and nothing is declared down or evacuated before the record has stood still.
//!
//! [`watch`] is the rule, [`wait`] asks Nova until the rule has an answer. Nothing here changes anything.

pub mod wait;
pub mod watch;
