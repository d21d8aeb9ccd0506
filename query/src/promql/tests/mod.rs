//! The parser as a whole: what it says of wrong texts, and that prints come back.

mod deep;
mod errors;
mod prints;
mod random;
