//! Threads and timers: where queries run, and what happens without a request.

pub(crate) mod active_queries;
pub(crate) mod auto_reload;
pub(crate) mod background;
pub(crate) mod helpers;
pub(crate) mod live;
pub(crate) mod machine;
pub(crate) mod maintenance;
pub(crate) mod memory;
pub(crate) mod queries;
pub(crate) mod query_log;
pub(crate) mod query_stats;
pub(crate) mod remote_reads;
