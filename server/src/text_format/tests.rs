//! Texts, right and wrong.

use proptest::prelude::*;

use super::*;

fn one(text: &str) -> Family {
    let mut families = read(text.as_bytes()).unwrap();
    assert_eq!(families.len(), 1, "{families:?}");
    families.remove(0)
}

fn error(text: &str) -> String {
    read(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn lines_become_families_in_order_of_names() {
    let text = "# TYPE b counter\n# HELP b some \\\\ help\\n\nb{x=\"1\"} 1\nb{x=\"2\",} 2 5\n\
                a 1e3\n# a comment\n\n{\"c d\", e=\"f\"} NaN\n";
    let families = read(text.as_bytes()).unwrap();
    let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c d"]);
    assert_eq!(families[0].kind, Kind::Untyped);
    assert_eq!(families[0].line, 5);
    assert_eq!(families[1].kind, Kind::Counter);
    assert_eq!(families[1].help.as_deref(), Some("some \\ help\n"));
    assert_eq!(families[1].metrics[1].t_ms, Some(5));
    let pair = ("e".to_owned(), "f".to_owned());
    assert_eq!(families[2].metrics[0].labels, [pair]);
}

#[test]
fn lines_of_histograms_and_summaries_belong_together() {
    let family = one("# TYPE h histogram\nh_bucket{a=\"b\",le=\"1\"} 1\n\
                      h_bucket{le=\"+Inf\",a=\"b\"} 2\nh_sum{a=\"b\"} 3\nh_count{a=\"b\"} 2\n");
    assert_eq!(family.metrics.len(), 1);
    let Value::Parts(parts) = &family.metrics[0].value else {
        unreachable!();
    };
    assert_eq!((parts.count, parts.sum), (2.0, 3.0));
    assert_eq!(parts.steps, [(1.0, 1.0), (f64::INFINITY, 2.0)]);
    let family = one("# TYPE s summary\ns{quantile=\"0.5\"} 4\ns_sum 1\ns_count 2\n");
    let Value::Parts(parts) = &family.metrics[0].value else {
        unreachable!();
    };
    assert_eq!(parts.steps, [(0.5, 4.0)]);
    // Without a TYPE line they are metrics of their own.
    assert_eq!(read(b"h_bucket{le=\"1\"} 1\nh_sum 3\n").unwrap().len(), 2);
}

#[test]
fn mistakes_are_told_in_the_words_of_the_client_library() {
    for (text, complaint) in [
        ("a 1", "line 1: unexpected end of input stream"),
        ("\n\n9 1\n", "line 3: invalid metric name"),
        ("a\n", "line 1: expected float as value, got \"\""),
        ("a x\n", "line 1: expected float as value, got \"x\""),
        (
            "a 0x1p3\n",
            "line 1: expected float as value, got \"0x1p3\"",
        ),
        (
            "a 1 x\n",
            "line 1: expected integer as timestamp, got \"x\"",
        ),
        (
            "a 1 2 3\n",
            "line 1: spurious string after timestamp: \" 3\"",
        ),
        (
            "a{b} 1\n",
            "line 1: expected '=' after label name, found '}'",
        ),
        (
            "a{b=c} 1\n",
            "line 1: expected '\"' at start of label value, found 'c'",
        ),
        (
            "a{b=\"c\" d} 1\n",
            "line 1: unexpected end of label value \"c\"",
        ),
        (
            "a{b=\"c\",b=\"d\"} 1\n",
            "line 1: duplicate label names for metric \"a\"",
        ),
        (
            "a{__name__=\"b\"} 1\n",
            "line 1: label name \"__name__\" is reserved",
        ),
        (
            "a{=\"b\"} 1\n",
            "line 1: invalid label name for metric \"a\"",
        ),
        ("a{b=\"\\x\"} 1\n", "line 1: invalid escape sequence '\\x'"),
        (
            "a{b=\"c\n",
            "line 1: label value \"c\" contains unescaped new-line",
        ),
        ("{} 1\n", "line 1: invalid metric name"),
        (
            "{\"a\",\"b\"} 1\n",
            "line 1: multiple metric names for metric \"a\"",
        ),
        (
            "# TYPE a nosuch\n",
            "line 1: unknown metric type \"nosuch\"",
        ),
        (
            "# TYPE a gauge\n# TYPE a gauge\n",
            "line 2: second TYPE line for metric name \"a\", or TYPE reported after samples",
        ),
        (
            "a 1\n# TYPE a gauge\n",
            "line 2: second TYPE line for metric name \"a\", or TYPE reported after samples",
        ),
        (
            "# HELP a b\n# HELP a b\n",
            "line 2: second HELP line for metric name \"a\"",
        ),
        ("# HELP a-b c\n", "line 1: invalid metric name in comment"),
        (
            "# TYPE h histogram\nh_bucket{le=\"x\"} 1\n",
            "line 2: expected float as value for 'le' label, got \"x\"",
        ),
        (
            "# TYPE h histogram\nh_count -1.5\n",
            "line 2: negative count for histogram \"h\"",
        ),
    ] {
        let all = format!("text format parsing error in {complaint}");
        assert_eq!(error(text), all, "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn any_lines_are_read_or_refused(
        text in "(# (TYPE|HELP) [ab]{1,2}(_sum|_count)? (summary|histogram|x)\n|[a-c\"{}=, 1]{0,9}\n){0,9}"
    ) {
        if let Ok(families) = read(text.as_bytes()) {
            prop_assert!(families.iter().all(|family| !family.metrics.is_empty()));
        }
    }
}
