//! The calls, one module per API. [`routes`] says which path leads where.

mod call;
mod federate;
mod log_push;
mod loki;
mod openapi;
mod operate;
mod pages;
mod prometheus;
mod routes;

pub(crate) use loki::Tails;
pub(crate) use routes::router;
