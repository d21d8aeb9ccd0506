//! Native histograms, start times, and labels of types and units.

use super::version_2::{Request, Series, answer, send_with, stored_whole, varint};
use super::*;

/// What a test says of a histogram.
#[derive(Clone, Copy)]
struct Sent {
    t_ms: i64,
    start_ms: i64,
    count: u64,
    zero_count: u64,
    schema: i32,
}

const ONE: Sent = Sent {
    t_ms: NOW_MS,
    start_ms: 0,
    count: 1,
    zero_count: 1,
    schema: 3,
};

impl Sent {
    /// Encodes it; without buckets besides that of zero.
    fn bytes(self) -> Vec<u8> {
        let zigzag = u64::from((self.schema << 1 ^ self.schema >> 31).cast_unsigned());
        let fields = [
            (1, self.count),
            (4, zigzag),
            (6, self.zero_count),
            (15, self.t_ms.cast_unsigned()),
            (17, self.start_ms.cast_unsigned()),
        ];
        let bytes = fields.into_iter().flat_map(|(number, value)| {
            let mut field = varint(number << 3);
            field.extend(varint(value));
            field
        });
        bytes.collect()
    }
}

fn of_version_1(name: &str, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut content = label(b"__name__", name.as_bytes());
    for bytes in samples {
        content.extend(field(4, bytes));
    }
    field(1, &content)
}

/// Returns times and counts of the histograms of each series that has any.
fn histograms(fixture: &Fixture) -> Vec<(String, Vec<(i64, f64)>)> {
    let all = Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap();
    let range = TimeRange::new(i64::MIN, i64::MAX);
    let selection = fixture.store.select(&[all], range).unwrap();
    let mut found = Vec::new();
    for index in 0..selection.len() {
        let (mut times, mut values, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
        selection.read(index, &mut times, &mut values).unwrap();
        selection
            .read_histograms(index, &times, &mut histograms)
            .unwrap();
        let counts = histograms.iter().map(|one| (one.t_ms, one.histogram.count));
        if !histograms.is_empty() {
            found.push((selection.labels(index).to_string(), counts.collect()));
        }
    }
    found.sort_by(|(one, _), (next, _)| one.cmp(next));
    found
}

#[test]
fn version_1_stores_histograms_or_undoes_the_request() {
    let fixture = Fixture::new();
    let later = Sent {
        t_ms: NOW_MS + 1,
        count: 2,
        zero_count: 2,
        // Reduced to the finest that is stored.
        schema: 20,
        ..ONE
    };
    let request = of_version_1("h", &[ONE.bytes(), later.bytes()]);
    let receipt = fixture.send(&request).unwrap();
    assert_eq!((receipt.samples, receipt.histograms), (0, 2));
    let expected = (
        "{__name__=\"h\"}".to_owned(),
        vec![(NOW_MS, 1.0), (NOW_MS + 1, 2.0)],
    );
    assert_eq!(histograms(&fixture), std::slice::from_ref(&expected));

    let late = Sent {
        t_ms: NOW_MS - 1,
        ..ONE
    };
    let wrong = Sent {
        t_ms: NOW_MS + 2,
        zero_count: 2,
        ..ONE
    };
    let ahead = Sent {
        t_ms: NOW_MS + 3_600_000,
        ..ONE
    };
    let schema = Sent {
        t_ms: NOW_MS + 2,
        schema: 60,
        ..ONE
    };
    for (sent, text) in [
        (late, "out of order sample"),
        (
            wrong,
            "2 observations found in buckets, but the Count field is 1",
        ),
        (ahead, "out of bounds: timestamp is too far in the future"),
        (schema, "got schema 60"),
    ] {
        let new = named("new", &[(NOW_MS, 1.0)]);
        let request = [new, of_version_1("h", &[sent.bytes()])].concat();
        let error = fixture.send(&request).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.status(), 400);
    }
    assert_eq!(histograms(&fixture), [expected]);
    assert!(fixture.stored().is_empty());
}

#[test]
fn version_2_stores_the_histograms_that_are_good() {
    let fixture = Fixture::new();
    let mut request = Request::new();
    let refs = request.refs(&[("__name__", "h")]);
    let mut series = Series::with(&refs).samples(&[(NOW_MS - 1, 7.0)]);
    let wrong = Sent { count: 0, ..ONE };
    for sent in [
        ONE,
        wrong,
        Sent {
            t_ms: NOW_MS + 5,
            ..ONE
        },
    ] {
        series.bytes.extend(field(3, &sent.bytes()));
    }
    let exemplar = request.refs(&[("trace_id", "x")]);
    request.push(series.exemplar(&exemplar, NOW_MS, 1.0));
    let (status, counts, body) = answer(&fixture, &request);
    assert_eq!((status, counts.as_str()), (400, "1 2 1"));
    assert_eq!(
        body,
        "1 observations found in buckets, but the Count field is 0: histogram's observation \
         count should equal the number of observations found in the buckets (in absence of NaN) \
         for series {__name__=\"h\"}\n"
    );
    let counts = vec![(NOW_MS, 1.0), (NOW_MS + 5, 1.0)];
    assert_eq!(
        histograms(&fixture),
        [("{__name__=\"h\"}".to_owned(), counts)]
    );
}

#[test]
fn start_times_become_zeros_where_that_is_asked_for() {
    for start_zeros in [false, true] {
        let fixture = Fixture::new();
        let extras = Extras {
            start_zeros,
            ..Extras::default()
        };
        for t_ms in [NOW_MS, NOW_MS + 1000] {
            let mut request = Request::new();
            let refs = request.refs(&[("__name__", "c")]);
            let mut series = Series::with(&refs);
            let mut sample = vec![0x09];
            sample.extend(5.0f64.to_le_bytes());
            for (tag, value) in [(0x10, t_ms), (0x18, NOW_MS - 500)] {
                sample.push(tag);
                sample.extend(varint(value.cast_unsigned()));
            }
            series.bytes.extend(field(2, &sample));
            request.push(series);
            let refs = request.refs(&[("__name__", "h")]);
            let mut series = Series::with(&refs);
            let sent = Sent {
                t_ms,
                start_ms: NOW_MS - 500,
                ..ONE
            };
            series.bytes.extend(field(3, &sent.bytes()));
            request.push(series);
            let receipt = send_with(&fixture, &request.encode(), extras)
                .result
                .unwrap();
            assert_eq!((receipt.samples, receipt.histograms), (1, 1));
        }
        let zeros = if start_zeros { 1 } else { 0 };
        let samples = [(NOW_MS - 500, 0.0), (NOW_MS, 5.0), (NOW_MS + 1000, 5.0)];
        let stored: Vec<(i64, f64)> = samples[1 - zeros..].to_vec();
        let pairs: Vec<(&i64, &f64)> = stored.iter().map(|(t, v)| (t, v)).collect();
        let line = format!("{:?} {pairs:?}", Labels::from_pairs([("__name__", "c")]));
        assert_eq!(fixture.stored(), [line]);
        let counts: Vec<(i64, f64)> = stored.iter().map(|&(t, v)| (t, v / 5.0)).collect();
        assert_eq!(
            histograms(&fixture),
            [("{__name__=\"h\"}".to_owned(), counts)]
        );
    }
}

#[test]
fn types_and_units_become_labels_where_that_is_asked_for() {
    let fixture = Fixture::new();
    let extras = Extras {
        type_and_unit_labels: true,
        ..Extras::default()
    };
    for (t_ms, unit) in [
        (NOW_MS, "seconds"),
        (NOW_MS + 1, "seconds"),
        (NOW_MS + 2, ""),
    ] {
        let mut request = Request::new();
        let refs = request.refs(&[("__name__", "m"), ("__type__", "sent")]);
        let unit = request.symbol(unit);
        request.push(
            Series::with(&refs)
                .samples(&[(t_ms, 1.0)])
                .metadata(2, 0, unit),
        );
        let outcome = send_with(&fixture, &request.encode(), extras);
        assert_eq!(outcome.reply().status, 204);
    }
    let names: Vec<String> = fixture
        .stored()
        .iter()
        .map(|line| line.split(" [").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "{\"__name__\": \"m\", \"__type__\": \"gauge\", \"__unit__\": \"seconds\"}",
            "{\"__name__\": \"m\", \"__type__\": \"gauge\"}",
        ]
    );
}

#[test]
fn of_many_refusals_the_first_are_told() {
    let fixture = Fixture::new();
    let empty = field(5, &[]).repeat(1500);
    let error = send_with(&fixture, &empty, Extras::default())
        .result
        .unwrap_err();
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1001);
    assert!(text.ends_with("and 500 more"));
    let whole = answer(
        &fixture,
        Request::new().series(&[("__name__", "a")], &[(NOW_MS, 1.0)]),
    );
    assert_eq!(whole, stored_whole("1 0 0"));
}
