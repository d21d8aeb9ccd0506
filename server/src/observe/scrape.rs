//! Metrics of scraping and of what is pushed, under Prometheus' names.

use kymo_ingest::otlp;
use kymo_ingest::remote_write::ReceiverStats;
use kymo_ingest::scrape::{PoolStats, ScrapeStats, Summary};

use super::exposition::{Kind, TextWriter};

/// Takes one figure of a pool.
type PoolValue = fn(&PoolStats) -> u64;

/// Writes what scraping counted.
pub(super) fn write(writer: &mut TextWriter, stats: &ScrapeStats) {
    let name = "prometheus_target_interval_length_seconds";
    writer.family(name, Kind::Summary, "Actual intervals between scrapes.");
    for (interval, summary) in &stats.interval_lengths {
        write_summary(writer, name, ("interval", interval), summary);
    }
    let name = "prometheus_target_interval_length_histogram_seconds";
    let help = "Actual intervals between scrapes.";
    writer.family(name, Kind::Histogram, help);
    for (interval, summary) in &stats.interval_lengths {
        write_buckets(writer, name, &[("interval", interval)], summary);
    }
    let name = "prometheus_target_reload_length_seconds";
    let help = "Actual interval to reload the scrape pool with a given configuration.";
    writer.family(name, Kind::Summary, help);
    for (interval, summary) in &stats.reload_lengths {
        write_summary(writer, name, ("interval", interval), summary);
    }
    let name = "prometheus_target_scrape_duration_seconds";
    let help = "Total duration of the scrape from start to commit completion in seconds.";
    writer.family(name, Kind::Histogram, help);
    let mut whole = stats.scrape_lengths;
    // There it has no classic buckets but the last.
    whole.buckets = [whole.buckets[whole.buckets.len() - 1]; 5];
    write_buckets(writer, name, &[], &whole);
    #[rustfmt::skip]
    let counters = [
        ("prometheus_target_scrapes_exceeded_sample_limit_total", "Total number of scrapes that hit the sample limit and were rejected.", stats.exceeded_sample_limit),
        ("prometheus_target_scrapes_exceeded_body_size_limit_total", "Total number of scrapes that hit the body size limit", stats.exceeded_body_limit),
        ("prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total", "Total number of scrapes that hit the native histogram bucket limit and were rejected.", stats.exceeded_bucket_limit),
        ("prometheus_target_scrapes_sample_duplicate_timestamp_total", "Total number of samples rejected due to duplicate timestamps but different values.", stats.duplicate_timestamp),
        ("prometheus_target_scrapes_sample_out_of_bounds_total", "Total number of samples rejected due to timestamp falling outside of the time bounds.", stats.out_of_bounds),
        ("prometheus_target_scrapes_sample_out_of_order_total", "Total number of samples rejected due to not being out of the expected order.", stats.out_of_order),
        ("prometheus_target_scrapes_exemplar_out_of_order_total", "Total number of exemplar rejected due to not being out of the expected order.", stats.exemplar_out_of_order),
        ("prometheus_target_scrapes_cache_flush_forced_total", "How many times a scrape cache was flushed due to getting big while scrapes are failing.", stats.cache_flush_forced),
        ("prometheus_target_scrape_pools_total", "Total number of scrape pool creation attempts.", stats.pools_created),
        ("prometheus_target_scrape_pools_failed_total", "Total number of scrape pool creations that failed.", stats.pools_failed),
        ("prometheus_target_scrape_pool_reloads_total", "Total number of scrape pool reloads.", stats.reloads),
        ("prometheus_target_scrape_pool_reloads_failed_total", "Total number of failed scrape pool reloads.", stats.reloads_failed),
        ("prometheus_target_scrape_pool_exceeded_target_limit_total", "Total number of times scrape pools hit the target limit, during sync or config reload.", stats.exceeded_target_limit),
        ("prometheus_target_scrape_pool_exceeded_label_limits_total", "Total number of times scrape pools hit the label limits, during sync or config reload.", stats.exceeded_label_limits),
        ("kymo_target_scrapes_commit_failed_total", "Total number of scrapes that the store did not take.", stats.commits_failed),
    ];
    for (name, help, value) in counters {
        writer.counter(name, help, value);
    }
    let name = "prometheus_target_sync_length_seconds";
    writer.family(
        name,
        Kind::Summary,
        "Actual interval to sync the scrape pool.",
    );
    for pool in &stats.pools {
        write_summary(writer, name, ("scrape_job", &pool.job), &pool.sync_lengths);
    }
    let name = "prometheus_target_sync_length_histogram_seconds";
    let help = "Actual interval to sync the scrape pool.";
    writer.family(name, Kind::Histogram, help);
    for pool in &stats.pools {
        let label = [("scrape_job", pool.job.as_str())];
        write_buckets(writer, name, &label, &pool.sync_lengths);
    }
    #[rustfmt::skip]
    let by_pool: [(&str, Kind, &str, PoolValue); 6] = [
        ("prometheus_target_scrape_pool_targets", Kind::Gauge, "Current number of targets in this scrape pool.", |p| p.targets),
        ("prometheus_target_scrape_pool_target_limit", Kind::Gauge, "Maximum number of targets allowed in this scrape pool.", |p| p.target_limit),
        ("prometheus_target_scrape_pool_sync_total", Kind::Counter, "Total number of syncs that were executed on a scrape pool.", |p| p.syncs),
        ("prometheus_target_sync_failed_total", Kind::Counter, "Total number of target sync failures.", |p| p.sync_failures),
        ("prometheus_target_metadata_cache_entries", Kind::Gauge, "Total number of metric metadata entries in the cache", |p| p.metadata_entries),
        ("prometheus_target_metadata_cache_bytes", Kind::Gauge, "The number of bytes that are currently used for storing metric metadata in the cache", |p| p.metadata_bytes),
    ];
    for (name, kind, help, value) in by_pool {
        writer.family(name, kind, help);
        for pool in &stats.pools {
            writer.sample(name, &[("scrape_job", &pool.job)], value(pool) as f64);
        }
    }
}

/// Writes what the remote-write receiver counted.
pub(super) fn write_receiver(writer: &mut TextWriter, stats: &ReceiverStats) {
    #[rustfmt::skip]
    let counters = [
        ("prometheus_api_remote_write_invalid_labels_samples_total", "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.", stats.series_invalid),
        ("kymo_remote_write_requests_total", "Remote-write requests received, refused ones included.", stats.requests),
        ("kymo_remote_write_failed_requests_total", "Remote-write requests answered with an error.", stats.failed),
        ("kymo_remote_write_samples_total", "Samples accepted by remote write.", stats.samples),
        ("kymo_remote_write_histograms_total", "Native histogram samples accepted by remote write.", stats.histograms),
    ];
    for (name, help, value) in counters {
        writer.counter(name, help, value);
    }
}

/// Writes what was received of OTLP.
pub(super) fn write_otlp(writer: &mut TextWriter, stats: &otlp::ReceiverStats) {
    #[rustfmt::skip]
    let counters = [
        ("prometheus_api_otlp_appended_samples_without_metadata_total", "The total number of samples ingested from OTLP without corresponding metadata.", stats.without_metadata),
        ("prometheus_api_otlp_out_of_order_exemplars_total", "The total number of received OTLP exemplars which were rejected because they were out of order.", stats.exemplars_out_of_order),
        ("kymo_otlp_requests_total", "Requests of OTLP metrics received, refused ones included.", stats.requests),
        ("kymo_otlp_failed_requests_total", "Requests of OTLP metrics answered with an error.", stats.failed),
        ("kymo_otlp_samples_total", "Samples accepted from OTLP metrics.", stats.samples),
    ];
    for (name, help, value) in counters {
        writer.counter(name, help, value);
    }
    let name = "prometheus_api_otlp_translation_warnings_total";
    let help = "The total number of warnings produced while translating OTLP metrics to the Prometheus model, by category.";
    // As any family with labels, it is there when it has counted something.
    if stats.warnings.iter().any(|count| *count > 0) {
        writer.family(name, Kind::Counter, help);
    }
    for (category, count) in otlp::WarningCategory::ALL.into_iter().zip(stats.warnings) {
        if count > 0 {
            writer.sample(name, &[("category", category.as_str())], count as f64);
        }
    }
}

fn write_summary(writer: &mut TextWriter, name: &str, label: (&str, &str), summary: &Summary) {
    for (quantile, value) in summary.quantiles {
        let labels = [label, ("quantile", &quantile.to_string())];
        writer.sample(name, &labels, value);
    }
    writer.sample(&format!("{name}_sum"), &[label], summary.sum_seconds);
    writer.sample(&format!("{name}_count"), &[label], summary.count as f64);
}

/// Writes the buckets of a histogram, each bound once.
fn write_buckets(writer: &mut TextWriter, name: &str, labels: &[(&str, &str)], summary: &Summary) {
    let mut before = None;
    for (bound, count) in summary.buckets {
        if before.replace(bound) == Some(bound) {
            continue;
        }
        let bound = match bound.is_infinite() {
            true => "+Inf".to_owned(),
            false => bound.to_string(),
        };
        let mut labels = labels.to_vec();
        labels.push(("le", &bound));
        writer.sample(&format!("{name}_bucket"), &labels, count as f64);
    }
    writer.sample(&format!("{name}_sum"), labels, summary.sum_seconds);
    writer.sample(&format!("{name}_count"), labels, summary.count as f64);
}
