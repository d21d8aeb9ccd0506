//! Programs of others that run beside Kymo, where they are installed.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::http::Client;
use crate::server::wait_until;

const START_LIMIT: Duration = Duration::from_secs(60);
/// How many ports are tried.
const ATTEMPTS: usize = 5;

/// A running program. Dropping it ends it.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    client: Client,
}

impl Peer {
    /// Starts a program in a directory, on a free port of the loopback interface, and
    /// waits until it listens; `None`, with a word about it, where it is not installed.
    pub fn start(program: &str, dir: &Path, args: &[&str]) -> Option<Peer> {
        Peer::start_with(program, dir, args, &[])
    }

    /// Does the same with variables in the program's environment.
    pub fn start_with(
        program: &str,
        dir: &Path,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Option<Peer> {
        for _ in 0..ATTEMPTS {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut command = Command::new(program);
            command
                .current_dir(dir)
                .arg(format!("--web.listen-address={address}"))
                .args(args)
                .envs(variables.iter().copied())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let Ok(child) = command.spawn() else {
                #[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
                {
                    println!("skipped: {program} is not installed");
                }
                return None;
            };
            let mut peer = Peer {
                child,
                client: Client::new(address),
            };
            if peer.listens(program) {
                return Some(peer);
            }
        }
        panic!("{program} ends when it starts");
    }

    /// Waits until it listens; false where it has ended, as it does where another one has
    /// taken the port meanwhile.
    fn listens(&mut self, program: &str) -> bool {
        let mut has_ended = false;
        let address = self.address();
        wait_until(program, START_LIMIT, || {
            let listens = std::net::TcpStream::connect(address).is_ok();
            has_ended = self.child.try_wait().unwrap().is_some();
            listens || has_ended
        });
        !has_ended
    }

    /// Waits until the program says that it is ready.
    pub fn wait_ready(&self) {
        wait_until("ready", START_LIMIT, || {
            let answer = self.client.try_call("GET", "/-/ready", &[], b"");
            answer.is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Returns the client for the program's address.
    pub fn client(&self) -> Client {
        self.client
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
