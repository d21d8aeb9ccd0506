//! Native histograms as JSON:
//! `{"count":"42","sum":"3.4","buckets":[[3,"-0.25","0.25","3"],...]}`.
//!
//! Buckets without observations are left out. The first number of a bucket says which of
//! its bounds belong to it: 0 the upper one, 1 the lower one, 2 none, 3 both.

use kymo_storage::compat::float;
use kymo_storage::model::histogram::FloatHistogram;

/// Writes a histogram.
pub(super) fn push_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":");
    push_number(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    push_number(out, histogram.sum);
    let mut any = false;
    for bucket in histogram.all_buckets() {
        if bucket.count == 0.0 {
            continue;
        }
        out.extend_from_slice(match any {
            true => b",[",
            false => b",\"buckets\":[[",
        });
        any = true;
        out.push(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        });
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            push_number(out, number);
        }
        out.push(b']');
    }
    if any {
        out.push(b']');
    }
    out.push(b'}');
}

fn push_number(out: &mut Vec<u8>, number: f64) {
    out.push(b'"');
    float::push_api(out, number);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use kymo_storage::model::histogram::{Buckets, CUSTOM_BUCKETS_SCHEMA, Span};

    fn buckets(counts: &[f64]) -> Buckets {
        let span = Span {
            offset: 0,
            length: counts.len() as u32,
        };
        Buckets::from_spans(&[span], counts.to_vec()).unwrap()
    }

    fn json(histogram: &FloatHistogram) -> String {
        let mut out = Vec::new();
        push_histogram(&mut out, histogram);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn buckets_are_written_with_the_bounds_that_belong_to_them() {
        let exponential = FloatHistogram {
            count: 9.5,
            sum: 1e21,
            zero_threshold: 0.25,
            zero_count: 2.0,
            positive: buckets(&[1.0, 0.0, 4.0]),
            negative: buckets(&[2.5]),
            ..FloatHistogram::default()
        };
        assert_eq!(
            json(&exponential),
            r#"{"count":"9.5","sum":"1e+21","buckets":[[1,"-1","-0.5","2.5"],[3,"-0.25","0.25","2"],[0,"0.5","1","1"],[0,"2","4","4"]]}"#
        );
        let custom = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 3.0,
            positive: buckets(&[1.0, 2.0]),
            custom_bounds: [5.0].into(),
            ..FloatHistogram::default()
        };
        assert_eq!(
            json(&custom),
            r#"{"count":"3","sum":"0","buckets":[[3,"-Inf","5","1"],[0,"5","+Inf","2"]]}"#
        );
        assert_eq!(
            json(&FloatHistogram::default()),
            r#"{"count":"0","sum":"0"}"#
        );
    }
}
