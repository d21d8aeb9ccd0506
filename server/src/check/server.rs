//! `kymo check healthy` and `kymo check ready`: asking a server that runs.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::client::{HttpFlags, Server};
use crate::flags::Exit;
use crate::terminal::complain;

/// Longest time to wait for an answer, as with promtool.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// The server.
    #[arg(long, value_name = "URL", default_value = "http://localhost:9090")]
    url: String,

    #[command(flatten)]
    http: HttpFlags,
}

/// Asks for `path` and tells whether the answer is 200.
///
/// # Errors
/// It is not, or there is none.
pub(super) fn check(args: &ServerArgs, path: &str) -> Result<ExitCode, Exit> {
    let failed = |message: String| Exit {
        code: 1,
        message: format!("{message}\n"),
    };
    let server = Server::new(&args.url, &args.http, &[]).map_err(failed)?;
    let reply = server.get(path, TIMEOUT).map_err(failed)?;
    match reply.status {
        200 => {
            let body = String::from_utf8_lossy(&reply.body);
            complain(&format!("  SUCCESS:  {body}\n"));
            Ok(ExitCode::SUCCESS)
        }
        status => {
            let url = server.url();
            Err(failed(format!("check failed: URL={url}, status={status}")))
        }
    }
}
