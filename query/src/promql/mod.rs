//! PromQL as Prometheus 3.14 speaks it.

pub mod ast;
