//! What a recovery acts by, and by whose word: the BMC's identity and the md arrays of each machine.
//!
//! The rule (docs/decisions/0041): a machine's own word acts only as long as nobody bound anything (*first sight*), and only
//! for what no other machine is bound to, or claims with the same right. Whatever a machine publishes never weighs
//! against what another one is bound to: it holds up its publisher's recovery only.
//!
//! Start at [`Claims`]; [`identity`] and [`arrays`] are the two kinds. Pure but for [`Claims::read`].

pub mod arrays;
pub mod claims;
pub mod identity;
pub mod rival;

pub use arrays::{ArrayDoubt, Wanting};
pub use claims::{Claims, expect};
pub use identity::{Expected, IdentityDoubt, Part, Source, Twin, expected};
pub use rival::{Rival, Standing};
