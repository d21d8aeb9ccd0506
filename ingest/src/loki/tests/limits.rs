//! Limits: what is refused, what is said of it, and what is stored all the same.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

#[test]
fn a_push_is_stored_in_part_and_told_why() {
    let outcome = push_json(&json!({"streams": [
        {"stream": {"a": "b"}, "values": [
            [at(0), "kept"],
            [at(-8 * 86_400), "old"],
            [at(-8 * 86_400), "old, too"],
            [at(601), "new"],
            [at(0), "x".repeat(262_145)],
            [at(0), "kept, too", {"-": "x"}],
        ]},
        {"stream": (0..16).map(|n| (format!("l{n}"), "v")).collect::<BTreeMap<_, _>>(), "values": [
            [at(0), "x"], [at(0), "y"],
        ]},
    ]}));
    assert_eq!(outcome.stored.len(), 1);
    assert_eq!(outcome.stored[0].1.len(), 1);
    let error = outcome.result.unwrap_err();
    assert_eq!(error.status(), 400);
    let stream = r#"{a="b", service_name="unknown_service"}"#;
    let text = error.to_string();
    for part in [
        format!(
            "2 errors like: entry for stream '{stream}' has timestamp too old: 2026-11-14T05:00:00Z, oldest acceptable timestamp is: 2026-11-15T05:00:00Z"
        ),
        format!(
            "1 errors like: entry for stream '{stream}' has timestamp too new: 2026-11-22T05:10:01Z"
        ),
        format!(
            "max entry size '262144' bytes exceeded for stream '{stream}' while adding an entry with length '262145' bytes"
        ),
        "has 16 label names; limit 15".to_owned(),
        "normalization for label name \"-\" resulted in invalid name \"_\"".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}\n{text}");
    }
    let discarded = |reason: Reason| outcome.stats.discarded[reason as usize].lines;
    assert_eq!(discarded(Reason::GreaterThanMaxSampleAge), 2);
    assert_eq!(discarded(Reason::TooFarInFuture), 1);
    assert_eq!(discarded(Reason::LineTooLong), 1);
    assert_eq!(discarded(Reason::MaxLabelNames), 2);
    assert_eq!(discarded(Reason::InvalidMetadata), 1);
    assert_eq!(
        outcome.stats.discarded[Reason::LineTooLong as usize].bytes,
        262_145
    );
}

#[test]
fn one_mistake_stands_alone() {
    let body = json!({"streams": [{"stream": {"a": "b"}, "values": [[at(601), "x"]]}]});
    let error = push_json(&body).result.unwrap_err();
    assert!(
        error.to_string().starts_with("entry for stream '{a="),
        "{error}"
    );
}

#[test]
fn limits_are_those_that_are_set() {
    let body = serde_json::to_vec(&json!({"streams": [{"stream": {"a": "b"}, "values": [
        [at(0), "0123456789", {"k": "v"}],
        [at(0), "other", {"k": "v", "l": "w"}],
    ]}]}))
    .unwrap();
    let with = |change: &dyn Fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        push_with(&Receiver::new(limits, BodyLimits::default()), JSON, &body)
    };
    let text = |change: &dyn Fn(&mut Limits)| match with(change).result {
        Ok(()) => String::new(),
        Err(error) => format!("{} {error}", error.status()),
    };
    assert_eq!(text(&|_| {}), "");
    let metadata = text(&|limits| limits.allow_structured_metadata = false);
    assert!(
        metadata.contains("includes structured metadata, but this feature is disallowed"),
        "{metadata}"
    );
    let many = text(&|limits| limits.max_structured_metadata_entries_count = 1);
    assert!(
        many.contains("has too many structured metadata labels: '2', limit: '1'"),
        "{many}"
    );
    let large = text(&|limits| limits.max_structured_metadata_size = 3);
    assert!(
        large.contains("has structured metadata too large: '4' bytes, limit: '3' bytes"),
        "{large}"
    );
    let missing = text(&|limits| limits.enforced_labels = vec!["env".to_owned()]);
    assert!(
        missing.starts_with("400 2 errors")
            || missing.contains("missing required labels 'env' for user 'fake'"),
        "{missing}"
    );
    let name = text(&|limits| limits.max_label_value_length = 2);
    assert!(
        name.contains("has label value too long: 'unknown_service'"),
        "{name}"
    );
    let blocked = text(&|limits| limits.block_ingestion_until_ns = Some(NOW_NS + 1));
    assert_eq!(
        blocked,
        "260 ingestion blocked for user 'fake' until '2026-11-22T05:00:00Z' with status code '260'"
    );
    assert_eq!(
        text(&|limits| limits.block_ingestion_until_ns = Some(NOW_NS)),
        ""
    );
    let rate = text(&|limits| {
        limits.ingestion_rate_bytes = 10;
        limits.ingestion_burst_bytes = 20;
    });
    assert!(rate.starts_with("429 ingestion rate limit exceeded for user fake (limit: 10 bytes/sec) while attempting to ingest '2' lines totaling '21' bytes"), "{rate}");
    let stream_rate = text(&|limits| {
        limits.per_stream_rate_limit = 10;
        limits.per_stream_rate_limit_burst = 20;
    });
    assert!(
        stream_rate.starts_with("429 entry with timestamp ")
            && stream_rate.contains(
                " ignored, reason: 'Per stream rate limit exceeded (limit: 10B/sec) while attempting to ingest for stream '{a="
            ),
        "{stream_rate}"
    );
    let cut = with(&|limits| {
        limits.max_line_size = 8;
        limits.max_line_size_truncate = true;
        limits.max_line_size_truncate_identifier = "...".to_owned();
    });
    assert_eq!(cut.stored[0].1[0].1, b"01234...");
    assert_eq!((cut.stats.cut_lines, cut.stats.cut_bytes), (1, 5));
    let plain = with(&|limits| {
        limits.discover_log_levels = false;
        limits.discover_service_name.clear();
    });
    assert_eq!(plain.stored[0].0, r#"{a="b"}"#);
    assert_eq!(plain.stored[0].1[0].2, [("k".to_owned(), "v".to_owned())]);
    let apart = with(&|limits| limits.increment_duplicate_timestamp = true);
    assert_eq!(apart.stored[0].1[1].0, NOW_NS + 1);
}

#[test]
fn a_rate_is_refilled_as_time_goes() {
    let limits = Limits {
        ingestion_rate_bytes: 10,
        ingestion_burst_bytes: 20,
        ..Limits::default()
    };
    let receiver = Receiver::new(limits, BodyLimits::default());
    let body = serde_json::to_vec(
        &json!({"streams": [{"stream": {}, "values": [[at(0), "0123456789ab"]]}]}),
    )
    .unwrap();
    let push_after = |seconds: i64| {
        let mut buffers = Buffers::default();
        let now_ns = NOW_NS + seconds * 1_000_000_000;
        let admitted = receiver.admit(JSON, &body, &mut buffers, &mut |_| true, now_ns);
        admitted.map(|_| ()).map_err(|error| error.status())
    };
    assert_eq!(push_after(0), Ok(()));
    assert_eq!(push_after(0), Err(429));
    assert_eq!(push_after(1), Ok(()));
    assert_eq!(
        receiver.stats().discarded[Reason::RateLimited as usize].lines,
        1
    );
}

#[test]
fn what_fills_up_may_be_of_any_age_and_has_streams_of_its_own() {
    let receiver = Receiver::new(Limits::default(), BodyLimits::default());
    let push = |labels: serde_json::Value, shard: Option<&str>| {
        let old = at(-400 * 86_400);
        let body = json!({"streams": [{"stream": labels, "values": [[old, "x"]]}]});
        let body = serde_json::to_vec(&body).unwrap();
        let mut buffers = Buffers::default();
        let mut reserve = |_| true;
        let admitted =
            receiver.admit_backfill(JSON, shard, &body, &mut buffers, &mut reserve, NOW_NS)?;
        let labels = admitted
            .batches
            .iter()
            .map(|batch| batch.labels.to_string());
        Ok::<Vec<String>, PushError>(labels.collect())
    };
    let stored = push(json!({"app": "a"}), Some("2026-06")).unwrap();
    let expected =
        r#"{__backfill__="true", __backfill_shard__="2026-06", app="a", service_name="a"}"#;
    assert_eq!(stored, [expected]);
    assert!(push(json!({"app": "a"}), None).unwrap().is_empty());
    for name in ["__backfill__", "__backfill_shard__"] {
        let error = push(json!({name: "1"}), Some("1")).unwrap_err();
        assert_eq!(error.status(), 400);
        let expected = "streams must not contain the reserved labels __backfill__ or ";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
