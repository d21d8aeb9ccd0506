//! PromQL as Prometheus 3.14 speaks it.
//!
//! Text becomes tokens (`lex`), tokens a tree (`grammar` gives the rules, `lalr`
//! runs them, `build` makes the nodes), and the tree is checked (`check`) before
//! anybody sees it. `print`, `pretty` and `json` turn it back into text.

pub mod ast;
mod error;
mod features;
mod functions;

pub use error::{ParseError, ParseErrors};
pub use features::Features;
pub use functions::{Function, function, functions};
