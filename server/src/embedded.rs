//! A whole Kymo inside another program: for tests, and for programs that bring their own
//! monitoring along.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use kymo_storage::logs::LogStore;
use kymo_storage::metrics::MetricStore;

use crate::app::{self, App, Failure, Surrounding};
use crate::flags::Flags;

/// A running server. Dropping it stops it.
///
/// It is the very server that the program `kymo` runs, but it leaves signals alone and
/// writes no log; what it says goes to the [`tracing`] subscriber of the program, if there
/// is one.
///
/// ```no_run
/// let kymo = kymo::Server::start([
///     "--storage.path=/var/lib/device/metrics",
///     "--web.listen-address=127.0.0.1:0",
///     "--config.file=prometheus.yml",
/// ])?;
/// println!("answers on http://{}", kymo.address());
/// kymo.stop()?;
/// # Ok::<(), kymo::ServerError>(())
/// ```
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    store: Arc<MetricStore>,
    logs: Arc<LogStore>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

/// A server could not run, or could not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ServerError {}

impl ServerError {
    fn new(message: impl Into<String>) -> ServerError {
        ServerError {
            message: message.into(),
        }
    }
}

impl From<Failure> for ServerError {
    fn from(failure: Failure) -> ServerError {
        ServerError::new(failure.to_string())
    }
}

impl Server {
    /// Starts a server with flags of the command line, and waits until it is ready: its
    /// store is open, and what the configuration asks for runs. Port 0 in
    /// `--web.listen-address` lets the system choose one.
    ///
    /// # Errors
    /// A flag or the configuration is wrong, an address is taken, or the store cannot be
    /// opened.
    pub fn start<I>(flags: I) -> Result<Server, ServerError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let name = std::iter::once(OsString::from("kymo"));
        let flags = Flags::parse_from(name.chain(flags.into_iter().map(Into::into)))
            .map_err(|exit| ServerError::new(exit.message.trim_end()))?;
        crate::choose_tls_provider();
        let (sender, ready) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("kymo-server".to_owned())
            .spawn(move || app::run_in(Surrounding::Program(sender), flags))
            .map_err(|error| ServerError::new(format!("no thread: {error}")))?;
        let Ok(app) = ready.recv() else {
            ended(thread)?;
            return Err(ServerError::new("the server was stopped while it started"));
        };
        let address = app.address();
        let stores = app.core().ok();
        let stores = stores.map(|core| (Arc::clone(&core.store), Arc::clone(&core.logs)));
        let (Some(address), Some((store, logs))) = (address, stores) else {
            app.quit();
            ended(thread)?;
            return Err(ServerError::new("the server was stopped while it started"));
        };
        Ok(Server {
            app,
            address,
            store,
            logs,
            thread: Some(thread),
        })
    }

    /// Returns the first address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its store, to append and select without HTTP. Drop what this returns before
    /// the server, so that the directory is free when it has stopped.
    pub fn store(&self) -> Arc<MetricStore> {
        Arc::clone(&self.store)
    }

    /// Returns its store of logs, with the same advice as [`Server::store`].
    pub fn logs(&self) -> Arc<LogStore> {
        Arc::clone(&self.logs)
    }

    /// Stops the server and waits until everything is on disk.
    ///
    /// # Errors
    /// Something could not be stored; the text says what.
    pub fn stop(mut self) -> Result<(), ServerError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ServerError> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.app.quit();
        ended(thread)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "the server did not end well");
        }
    }
}

fn ended(thread: JoinHandle<Result<(), Failure>>) -> Result<(), ServerError> {
    match thread.join() {
        Ok(result) => result.map_err(ServerError::from),
        Err(_panic) => Err(ServerError::new("the server ended in a panic")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_and_nothing_runs() {
        let told = |flags: &[&str]| Server::start(flags).unwrap_err().to_string();
        assert!(told(&["--storage.pat=x"]).contains("--storage.path"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, "scrape_config: []").unwrap();
        let config = format!("--config.file={}", file.display());
        let text = told(&[&config]);
        assert!(text.contains("scrape_configs"), "{text}");
    }

    #[test]
    fn two_servers_live_side_by_side_and_leave_their_data() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let start = |dir: &tempfile::TempDir| {
            let config = dir.path().join("empty.yml");
            std::fs::write(&config, "").unwrap();
            Server::start([
                format!("--config.file={}", config.display()),
                format!("--storage.path={}", dir.path().join("data").display()),
                "--web.listen-address=127.0.0.1:0".to_owned(),
            ])
            .unwrap()
        };
        let servers = [start(&dirs[0]), start(&dirs[1])];
        assert_ne!(servers[0].address(), servers[1].address());
        for server in servers {
            server.stop().unwrap();
        }
        // The directory is free again.
        start(&dirs[0]).stop().unwrap();
    }
}
