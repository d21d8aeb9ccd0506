//! The series and values that are sent: node-exporter-like, fixed by a seed.
//!
//! Each series has about 290 bytes of labels. Values are noisy decimals: counters
//! that grow by fractions of a second, byte counts, gauges with two decimals.

use std::fmt::Write as _;

/// A small fixed-seed generator (splitmix64), so that every system gets the same bytes.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How the values of a series move.
#[derive(Clone, Copy)]
enum Shape {
    /// Seconds of CPU with two decimals, growing by up to `f64` a step.
    CpuSeconds(f64),
    /// A count of events, growing by up to this many a step.
    Events(u64),
    /// A cumulative bucket: shares the growth of its histogram, scaled.
    Bucket(u64),
    /// A gauge with two decimals around a mean.
    Gauge(f64),
    /// A double of which every bit counts, walking around a mean.
    Double(f64),
    /// The same value, always.
    Constant(f64),
    /// A count of events that stands still in all but this share of the steps.
    Quiet(f64),
}

/// One series: its encoded labels and its current value.
pub(crate) struct BenchSeries {
    /// Labels as protobuf fields of a `prometheus.TimeSeries`, ready to copy.
    pub(crate) label_bytes: Vec<u8>,
    shape: Shape,
    value: f64,
}

impl BenchSeries {
    fn new(labels: &mut [(&str, String)], shape: Shape) -> BenchSeries {
        labels.sort_by(|a, b| a.0.cmp(b.0));
        let mut label_bytes = Vec::new();
        for (name, value) in labels.iter() {
            super::wire::push_label(&mut label_bytes, name, value);
        }
        BenchSeries {
            label_bytes,
            shape,
            value: 0.0,
        }
    }

    /// Moves to the next step and returns its value.
    pub(crate) fn step(&mut self, random: &mut Random) -> f64 {
        match self.shape {
            Shape::CpuSeconds(most) => {
                self.value = ((self.value + random.unit() * most) * 100.0).round() / 100.0;
            }
            Shape::Events(most) | Shape::Bucket(most) => {
                self.value += (random.next() % (most + 1)) as f64;
            }
            Shape::Gauge(mean) => {
                self.value = (mean * (0.5 + random.unit()) * 100.0).round() / 100.0;
            }
            Shape::Double(mean) => {
                let pull = (mean - self.value) * 0.05;
                self.value += pull + mean * 0.1 * (random.unit() - 0.5);
            }
            Shape::Constant(value) => self.value = value,
            Shape::Quiet(share) => {
                if random.unit() < share {
                    self.value += (1 + random.next() % 3) as f64;
                }
            }
        }
        self.value
    }
}

const MODES: [&str; 8] = [
    "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user",
];

/// Returns the label `instance` of a host.
pub(crate) fn instance(host: usize) -> String {
    format!("10.{}.{}.{}:9100", host >> 16, host >> 8 & 255, host & 255)
}

/// Labels that every series carries, to reach the size that Kubernetes gives them.
fn target_labels(instance: usize) -> Vec<(&'static str, String)> {
    vec![
        ("cluster", "production-eu-central-1".to_owned()),
        ("container", "node-exporter".to_owned()),
        ("exporter_port", "http-metrics".to_owned()),
        ("instance", self::instance(instance)),
        ("job", "monitoring/node-exporter".to_owned()),
        ("namespace", "monitoring".to_owned()),
        ("node", format!("worker-{instance:05}.compute.internal")),
        (
            "pod",
            format!(
                "node-exporter-{:05x}",
                instance.wrapping_mul(2_654_435_761) & 0xf_ffff
            ),
        ),
        ("service", "node-exporter-headless".to_owned()),
    ]
}

/// Series for the write measurements: `count` of them, ten families on many instances.
pub(crate) fn node_series(count: usize) -> Vec<BenchSeries> {
    let mut series = Vec::with_capacity(count);
    let mut instance = 0;
    while series.len() < count {
        for cpu in 0..4 {
            for mode in MODES {
                let mut labels = target_labels(instance);
                labels.push(("__name__", "node_cpu_seconds_total".to_owned()));
                labels.push(("cpu", cpu.to_string()));
                labels.push(("mode", mode.to_owned()));
                series.push(BenchSeries::new(&mut labels, Shape::CpuSeconds(15.0)));
            }
        }
        for device in ["eth0", "eth1", "lo", "cni0"] {
            for family in [
                "receive_bytes",
                "transmit_bytes",
                "receive_packets",
                "receive_drop",
            ] {
                let mut labels = target_labels(instance);
                labels.push(("__name__", format!("node_network_{family}_total")));
                labels.push(("device", device.to_owned()));
                labels.push(("interface_role", "uplink".to_owned()));
                let most = if family.ends_with("bytes") {
                    2_000_000
                } else {
                    1_500
                };
                series.push(BenchSeries::new(&mut labels, Shape::Events(most)));
            }
        }
        for (mount, device) in [("/", "nvme0n1p1"), ("/var/lib/containerd", "nvme1n1")] {
            for family in ["avail_bytes", "files_free", "size_bytes", "readonly"] {
                let mut labels = target_labels(instance);
                labels.push(("__name__", format!("node_filesystem_{family}")));
                labels.push(("device", format!("/dev/{device}")));
                labels.push(("mountpoint", mount.to_owned()));
                series.push(BenchSeries::new(&mut labels, Shape::Gauge(1e6)));
            }
        }
        for family in [
            "load1",
            "load5",
            "load15",
            "hwmon_temp_celsius",
            "memory_Active_percent",
        ] {
            let mut labels = target_labels(instance);
            labels.push(("__name__", format!("node_{family}")));
            labels.push(("sensor", "composite".to_owned()));
            labels.push(("zone", "a".to_owned()));
            series.push(BenchSeries::new(&mut labels, Shape::Gauge(42.0)));
        }
        instance += 1;
    }
    series.truncate(count);
    series
}

/// Series of what a node exporter says: more than half never change, some count rarely,
/// the rest are counters of all kinds and a few gauges.
pub(crate) fn mixed_series(count: usize) -> Vec<BenchSeries> {
    series_of(count, |n| match n % 20 {
        0..=10 => Shape::Constant((n * 4096) as f64),
        11..=13 => Shape::Quiet(0.04),
        14..=16 => Shape::Events([5, 1500, 2_000_000][n % 3]),
        17 | 18 => Shape::CpuSeconds(15.0),
        _ => Shape::Gauge(42.0),
    })
}

/// Gauges of two decimals.
pub(crate) fn gauge_series(count: usize) -> Vec<BenchSeries> {
    series_of(count, |_| Shape::Gauge(66.0))
}

/// Doubles of full entropy.
pub(crate) fn double_series(count: usize) -> Vec<BenchSeries> {
    series_of(count, |n| Shape::Double(1.0 + n as f64))
}

/// Values that never change.
pub(crate) fn constant_series(count: usize) -> Vec<BenchSeries> {
    series_of(count, |n| Shape::Constant(n as f64 / 4.0))
}

fn series_of(count: usize, shape: impl Fn(usize) -> Shape) -> Vec<BenchSeries> {
    let one = |n: usize| {
        let mut labels = target_labels(n / 100);
        labels.push(("__name__", format!("metric_{:02}_total", n % 100 / 2)));
        labels.push(("half", (n % 2).to_string()));
        BenchSeries::new(&mut labels, shape(n))
    };
    (0..count).map(one).collect()
}

/// Series for the query measurements: 11,640 of them, named as in the published table.
pub(crate) fn query_series() -> Vec<BenchSeries> {
    let mut series = Vec::new();
    for instance in 0..80 {
        for cpu in 0..4 {
            for mode in MODES {
                let mut labels = target_labels(instance);
                labels.push(("__name__", "cpu".to_owned()));
                labels.push(("cpu", cpu.to_string()));
                labels.push(("mode", mode.to_owned()));
                series.push(BenchSeries::new(&mut labels, Shape::CpuSeconds(60.0)));
            }
        }
    }
    for instance in 0..20 {
        for endpoint in 0..12 {
            for bucket in 0..12u32 {
                let mut labels = target_labels(instance);
                labels.push(("__name__", "b".to_owned()));
                labels.push(("endpoint", format!("/api/v{endpoint}")));
                let bound = match bucket {
                    11 => "+Inf".to_owned(),
                    n => format!("{}", 0.005 * f64::from(1 << n)),
                };
                labels.push(("le", bound));
                series.push(BenchSeries::new(
                    &mut labels,
                    Shape::Bucket(u64::from(bucket) * 6),
                ));
            }
        }
    }
    for instance in 0..240 {
        let mut labels = target_labels(instance);
        labels.push(("__name__", "x".to_owned()));
        series.push(BenchSeries::new(&mut labels, Shape::Gauge(100.0)));
    }
    let mut name = String::new();
    for index in 0..5_960 {
        name.clear();
        let _ = write!(name, "other_metric_{}", index % 149);
        let mut labels = target_labels(index / 149);
        labels.push(("__name__", name.clone()));
        labels.push(("kind", "other".to_owned()));
        series.push(BenchSeries::new(&mut labels, Shape::Gauge(10.0)));
    }
    series
}

/// Series of one host among those of [`shaped_series`].
pub(crate) const SHAPED_PER_HOST: usize = 32 + 36 + 3 + 1 + 72;

/// Series for kinds of queries, at least `count` of them: per host 32 of CPU time, three
/// histograms of twelve buckets, three gauges, one that tells about the host, and others.
pub(crate) fn shaped_series(count: usize) -> Vec<BenchSeries> {
    let mut series = Vec::with_capacity(count);
    let mut host = 0;
    while series.len() < count {
        let mut push = |name: String, more: &[(&'static str, String)], shape| {
            let mut labels = target_labels(host);
            labels.push(("__name__", name));
            labels.extend(more.iter().cloned());
            series.push(BenchSeries::new(&mut labels, shape));
        };
        for cpu in 0..4 {
            for mode in MODES {
                let more = [("cpu", cpu.to_string()), ("mode", mode.to_owned())];
                push("cpu".to_owned(), &more, Shape::CpuSeconds(60.0));
            }
        }
        for endpoint in 0..3 {
            for bucket in 0..12u32 {
                let bound = match bucket {
                    11 => "+Inf".to_owned(),
                    n => format!("{}", 0.005 * f64::from(1 << n)),
                };
                let more = [("endpoint", format!("/api/v{endpoint}")), ("le", bound)];
                push("b".to_owned(), &more, Shape::Bucket(u64::from(bucket) * 6));
            }
        }
        for sensor in 0..3 {
            let more = [("sensor", format!("temp{sensor}"))];
            push("x".to_owned(), &more, Shape::Gauge(100.0));
        }
        let more = [("release", format!("6.{}", host % 5))];
        push("host_info".to_owned(), &more, Shape::Constant(1.0));
        for index in 0..72 {
            let more = [("kind", "other".to_owned())];
            push(format!("other_metric_{index}"), &more, Shape::Events(500));
        }
        host += 1;
    }
    series
}
