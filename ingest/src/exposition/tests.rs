use super::*;

pub(crate) mod messages;
mod protobuf;

fn parser(format: Format, body: &str) -> Parser<'_> {
    Parser::new(format, body.as_bytes(), ParserOptions::default())
}

/// Writes entries one a line, the error last.
fn read(format: Format, body: &str) -> Vec<String> {
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    parser(format, body)
        .map(|entry| match entry {
            Ok(Entry::Help { name, help }) => format!("help {} {}", show(name), help.unescape()),
            Ok(Entry::Type { name, kind }) => format!("type {} {}", show(name), kind.as_str()),
            Ok(Entry::Unit { name, unit }) => format!("unit {} {}", show(name), show(unit)),
            Ok(Entry::Comment(text)) => format!("comment {}", show(text)),
            Ok(Entry::Sample(sample)) => {
                let labels: Vec<String> = sample
                    .series
                    .labels()
                    .map(|(name, value)| format!("{}={}", show(&name), show(&value)))
                    .collect();
                let time = sample.timestamp_ms.map(|t_ms| format!(" @{t_ms}"));
                let labels = labels.join(",");
                format!("{labels} {}{}", sample.value, time.unwrap_or_default())
            }
            Ok(Entry::Histogram(sample)) => format!("{:?}", sample.histogram),
            Err(error) => format!("! {error}"),
        })
        .collect()
}

#[test]
fn text_lines_become_entries() {
    let body = "# HELP m a \\\\ \\n \\\"\n# TYPE m summary\n#c\n\nm{quantile=\"1\",x=\"a\\\"b\"} 1 5\n\
                  y 2\n{\"q.r\", \"s t\"=\"v\",} NaN";
    let entries = [
        "help m a \\ \n \\\"",
        "type m summary",
        "comment #c",
        "__name__=m,quantile=1.0,x=a\"b 1 @5",
        "__name__=  y 2",
        "__name__=q.r,s t=v NaN",
    ];
    let body = body.replace("\ny", "\n  y");
    assert_eq!(read(Format::Text, &body), entries);
}

#[test]
fn openmetrics_lines_become_entries() {
    let body = "# TYPE a_s counter\n# UNIT a_s s\n# HELP a_s x\\\"y\na_s_total{b=\"c\"} 1 1.5 \
                # {t=\"u\"} 2 3.5\n# EOF\n";
    let entries = [
        "type a_s counter",
        "unit a_s s",
        "help a_s x\"y",
        "__name__=a_s_total,b=c 1 @1500",
    ];
    assert_eq!(read(Format::OpenMetrics, body), entries);
    let exemplar = parser(Format::OpenMetrics, body)
        .find_map(|entry| match entry {
            Ok(Entry::Sample(sample)) => sample.exemplar,
            _ => None,
        })
        .unwrap();
    assert_eq!((exemplar.value, exemplar.timestamp_ms), (2.0, Some(3500)));
    assert_eq!(
        exemplar.labels().collect::<Vec<_>>(),
        [(&b"t"[..], &b"u"[..])]
    );
}

#[test]
fn nothing_follows_an_error() {
    let mut parser = parser(Format::Text, "a 1\nb x\nc 1\n");
    assert!(matches!(parser.next(), Some(Ok(Entry::Sample(_)))));
    assert!(matches!(parser.next(), Some(Err(_))));
    assert!(parser.next().is_none());
}

#[test]
fn start_times_are_found_in_the_lines_after() {
    let body = "# TYPE c counter\nc_total{a=\"b\"} 5\nc_created{a=\"b\"} 1.5\nc_total{a=\"x\"} 5\n\
                # TYPE g gauge\ng_created 1\n# EOF\n";
    let mut parser = parser(Format::OpenMetrics, body);
    let mut starts = Vec::new();
    while let Some(entry) = parser.next() {
        if let Entry::Sample(sample) = entry.unwrap() {
            let series = String::from_utf8_lossy(sample.series.line().unwrap()).into_owned();
            starts.push((series, parser.start_timestamp_ms()));
        }
    }
    let expected = [
        ("c_total{a=\"b\"}".to_owned(), Some(1500)),
        ("c_total{a=\"x\"}".to_owned(), None),
        ("g_created".to_owned(), None),
    ];
    assert_eq!(starts, expected);
}

#[test]
fn labels_of_a_series_are_decoded_once_and_checked() {
    let labels = |body: &str| {
        let sample = match parser(Format::Text, body).next() {
            Some(Ok(Entry::Sample(sample))) => sample,
            other => panic!("{other:?}"),
        };
        let mut out = kymo_storage::model::LabelsBuilder::new();
        sample.series.decode_labels(&mut out).map(|()| out.labels())
    };
    let set = labels("a{z=\"1\",b=\"\",c=\"x\\ny\"} 1").unwrap();
    let pairs: Vec<_> = set.iter().collect();
    assert_eq!(pairs, [("__name__", "a"), ("c", "x\ny"), ("z", "1")]);
    assert_eq!(
        labels("a{x=\"1\",x=\"1\"} 1").unwrap_err().to_string(),
        "label name \"x\" is not unique: invalid sample"
    );
    // An empty value takes the name away wherever it stands.
    assert_eq!(labels("a{x=\"1\",x=\"\"} 1").unwrap().len(), 1);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        body in proptest::collection::vec(
            proptest::prelude::prop_oneof![
                proptest::prelude::Just(b'\n'), proptest::prelude::Just(b' '),
                proptest::prelude::Just(b'"'), proptest::prelude::Just(b'{'),
                proptest::prelude::Just(b'}'), proptest::prelude::Just(b'='),
                proptest::prelude::Just(b'#'), proptest::prelude::Just(b'\\'),
                proptest::prelude::Just(0u8), proptest::prelude::Just(b'a'),
                proptest::prelude::any::<u8>(),
            ],
            0..200,
        )
    ) {
        for format in [Format::Text, Format::OpenMetrics] {
            let mut parser = Parser::new(format, &body, ParserOptions::default());
            let mut entries = 0;
            while let Some(entry) = parser.next() {
                entries += 1;
                proptest::prop_assert!(entries <= body.len() + 1);
                if let Ok(Entry::Sample(sample)) = entry {
                    proptest::prop_assert!(sample.series.labels().count() >= 1);
                    parser.start_timestamp_ms();
                }
            }
        }
    }
}
