//! Synthetic series of the kinds that metrics are made of, the same in every run.

/// Names of the kinds, in the order of the tables in the documents.
pub(crate) const CLASSES: [&str; 11] = [
    "constant",
    "quiet bucket",
    "bursty counter",
    "poisson counter",
    "byte counter",
    "cpu seconds",
    "memory pages",
    "gauge walk",
    "gauge uniform",
    "latency sum",
    "entropy walk",
];

/// A small generator with a fixed seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.unit().max(1e-300), self.unit());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let (limit, mut product, mut n) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            n += 1;
        }
        n
    }
}

/// Returns `n` values of a class of [`CLASSES`].
pub(crate) fn series(class: &str, seed: u64, n: usize) -> Vec<f64> {
    let mut random = Random(seed.wrapping_mul(0x1234_5677) ^ 0xabcd);
    let mut integer = random.below(1_000_000);
    let mut walk = 50.0 + 10.0 * random.normal();
    let cents = |value: f64| (value * 100.0).round() / 100.0;
    let mut value = |_| match class {
        "constant" => integer as f64,
        "quiet bucket" => {
            integer += u64::from(random.below(25) == 0) * (1 + random.below(3));
            integer as f64
        }
        "bursty counter" => {
            integer += u64::from(random.below(10) == 0) * (1 + random.below(40));
            integer as f64
        }
        "poisson counter" => {
            integer += random.poisson(5.0);
            integer as f64
        }
        "byte counter" => {
            integer += (1e6 * (0.7 + 0.6 * random.unit())) as u64;
            integer as f64
        }
        "cpu seconds" => {
            walk += 15.0 * random.unit() * 0.3;
            cents(walk)
        }
        "memory pages" => {
            integer = integer.wrapping_add_signed((random.normal() * 200.0) as i64);
            (integer * 4096) as f64
        }
        "gauge walk" => {
            walk += random.normal() * 0.2;
            cents(walk)
        }
        "gauge uniform" => cents(random.unit() * 100.0),
        "latency sum" => {
            walk += random.poisson(5.0) as f64 * 0.01 * (1.0 + random.unit());
            walk
        }
        "entropy walk" => {
            walk += random.normal();
            walk
        }
        other => unreachable!("class {other}"),
    };
    (0..n).map(&mut value).collect()
}
