//! Guests: what is to be done with each ([`treatment`], by the wishes in [`choice`] and the table in
//! [`states`]), how Nova is asked ([`request`]) and what must have been seen of its disk ([`disk`]),
//! all pure, put together in [`ask`]; a guest's ledger entry ([`ledger`]); and the loop that asks Nova
//! and waits for each one ([`engine`]), with one guest's next move decided by [`next`], who comes first
//! by [`order`] and how many at once by [`pace`], all pure too.

pub mod ask;
pub mod choice;
pub mod disk;
pub mod engine;
pub mod ledger;
pub mod next;
pub mod order;
pub mod pace;
pub mod request;
pub mod states;
pub mod survey;
pub mod treatment;
