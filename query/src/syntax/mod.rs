//! What the query languages share: a parser machine of the kind that Prometheus'
//! and Loki's parsers are made with.
//!
//! Their error texts and positions follow from the states of an LALR(1) automaton
//! with `error` productions, down to which token had been read when a rule was
//! applied. So ours are the same kind of machine: a grammar is a table of rules,
//! [`tables`] turns it into an automaton, [`machine`] runs it. [`deep`] is for passes over
//! what comes out.

pub(crate) mod deep;
pub(crate) mod machine;
pub(crate) mod tables;
