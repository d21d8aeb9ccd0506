//! Kymo, the server.

pub mod config;
