//! Guests: what is to be done with each ([`treatment`], pure), its ledger entry ([`ledger`]), and
//! the loop that asks Nova and waits for each one ([`engine`]), with one guest's next move decided
//! by [`next`], which is pure too.

pub mod choice;
pub mod disk;
pub mod engine;
pub mod ledger;
pub mod next;
pub mod order;
pub mod pace;
pub mod request;
pub mod states;
pub mod treatment;
