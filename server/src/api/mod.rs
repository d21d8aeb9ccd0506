//! The calls, one module per API. [`routes`] says which path leads where.

mod call;
mod federate;
mod loki;
mod openapi;
mod operate;
mod pages;
mod prometheus;
mod routes;

pub(crate) use routes::router;
