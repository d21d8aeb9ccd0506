//! Whole requests into a store.

mod both_forms;
mod requests;

use kymo_storage::StoreOptions;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{MatchOp, Matcher, TimeRange};
use serde_json::{Value, json};

use super::{Encoding, Format, Limits, PushError, Receipt, Receiver, Settings};

const NOW_MS: i64 = 1_700_000_000_000;

struct Fixture {
    _dir: tempfile::TempDir,
    store: MetricStore,
    receiver: Receiver,
    settings: Settings,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).unwrap();
        Fixture {
            _dir: dir,
            store,
            receiver: Receiver::new(Limits::default(), false),
            settings: Settings::default(),
        }
    }

    fn push_as(&self, format: Format, body: &[u8]) -> Result<Receipt, PushError> {
        let form = (format, Encoding::Identity);
        let mut reserve = |_| true;
        let (store, settings) = (&self.store, &self.settings);
        self.receiver
            .receive(store, settings, form, body, &mut reserve, NOW_MS)
    }

    fn push(&self, request: &Value) -> Result<Receipt, PushError> {
        self.push_as(Format::Json, request.to_string().as_bytes())
    }

    /// Returns everything stored, a line for each series.
    fn stored(&self) -> Vec<String> {
        let all = Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap();
        let range = TimeRange::new(i64::MIN, i64::MAX);
        let selection = self.store.select(&[all], range).unwrap();
        let mut lines: Vec<String> = (0..selection.len())
            .map(|i| {
                let (mut times, mut values) = (Vec::new(), Vec::new());
                selection.read(i, &mut times, &mut values).unwrap();
                let samples: Vec<_> = times.iter().zip(&values).collect();
                format!("{} {samples:?}", selection.labels(i))
            })
            .filter(|line| !line.ends_with("[]"))
            .collect();
        lines.sort();
        lines
    }
}

/// Returns a request with these metrics of one resource.
fn request(resource: Value, metrics: Value) -> Value {
    json!({"resourceMetrics": [{
        "resource": {"attributes": resource},
        "scopeMetrics": [{"metrics": metrics}],
    }]})
}

fn text_attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn ns(t_ms: i64) -> String {
    format!("{t_ms}000000")
}
