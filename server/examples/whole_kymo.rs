//! A whole Kymo in a test: start it, give it samples, ask it over HTTP, stop it.
//!
//! `cargo run -p kymo --example whole_kymo`
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use kymo::{Server, clock};
use kymo_storage::model::Labels;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("prometheus.yml");
    // Nothing is scraped; with jobs here, it would be.
    std::fs::write(&config, "global:\n  external_labels:\n    site: test\n")?;
    let kymo = Server::start([
        format!("--config.file={}", config.display()),
        format!("--storage.path={}", dir.path().join("data").display()),
        "--web.listen-address=127.0.0.1:0".to_owned(),
    ])?;

    let store = kymo.store();
    let mut appender = store.appender();
    let series = appender.series(&Labels::from_pairs([
        ("__name__", "door_opened_total"),
        ("door", "front"),
    ]))?;
    appender.append(series, clock::now_ms(), 7.0)?;
    appender.commit()?;
    drop(store);

    let answer = get(kymo.address(), "/api/v1/query?query=door_opened_total%2B1")?;
    println!("{answer}");
    if !answer.contains(r#""metric":{"door":"front"}"#) || !answer.contains(r#""8"]"#) {
        return Err("the answer is not what was stored".into());
    }
    kymo.stop()?;
    Ok(())
}

/// Asks with GET and returns the answer as text, its head included.
fn get(address: SocketAddr, target: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().expect("the example works");
    }
}
