//! A store in your own process: append, keep it going, read, come back after a restart.
//!
//! `cargo run -p kymo-storage --example store_in_your_process`
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use kymo_storage::StoreOptions;
use kymo_storage::metrics::{MetricStore, Retention};
use kymo_storage::model::{Labels, MatchOp, Matcher, TimeRange};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    measure(dir.path())?;
    let mean = read_again(dir.path())?;
    println!("on average {mean:.2} degrees in the kitchen");
    Ok(())
}

/// Stores ten hours of temperatures, a transaction a minute.
fn measure(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (store, _) = MetricStore::open(&StoreOptions::new(dir))?;
    let rooms = [("kitchen", 21.5), ("hall", 18.0)];
    for minute in 0..600 {
        let mut appender = store.appender();
        for (room, degrees) in rooms {
            let labels = Labels::from_pairs([("__name__", "temperature"), ("room", room)]);
            let series = appender.series(&labels)?;
            let warmer = f64::from(minute % 60) / 100.0;
            appender.append(series, i64::from(minute) * MINUTE_MS, degrees + warmer)?;
        }
        // From here on both samples survive whatever happens to the process.
        appender.commit()?;
    }
    // A program that runs for long does this every minute or so: old hours become blocks,
    // blocks are merged, and what is too old goes.
    let retention = Retention {
        time_ms: Some(8 * 24 * HOUR_MS),
        size_bytes: None,
    };
    store.compact(&retention, &mut || ControlFlow::Continue(()))?;
    println!("{} blocks", store.blocks().len());
    store.close()?;
    Ok(())
}

/// Opens the store again, and returns the mean of one series' last eight hours.
fn read_again(dir: &Path) -> Result<f64, Box<dyn Error>> {
    let (store, recovery) = MetricStore::open(&StoreOptions::new(dir))?;
    for damage in &recovery.damages {
        println!("damaged: {damage:?}");
    }
    let matchers = [
        Matcher::new(MatchOp::Equal, "__name__", "temperature")?,
        Matcher::new(MatchOp::Regex, "room", "kit.*")?,
    ];
    let range = TimeRange::new(2 * HOUR_MS, 10 * HOUR_MS);
    let selection = store.select(&matchers, range)?;
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    selection.read(0, &mut timestamps, &mut values)?;
    println!("{}: {} samples", selection.labels(0), values.len());
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    drop(selection);
    store.close()?;
    Ok(mean)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().expect("the example works");
    }
}
