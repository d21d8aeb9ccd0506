//! `io.prometheus.write.v2.Request`, the request of remote write 2.0.

use hashbrown::HashMap;
use kymo_storage::model::MetricType;
use kymo_storage::model::histogram::Histogram;

use super::{
    Exemplar, Symbols, histogram, put_bytes, put_double, put_number, put_sample, put_varint,
};

const SYMBOL_TAG: u8 = 0x22;
const SERIES_TAG: u8 = 0x2a;
const REFS_TAG: u8 = 0x0a;

/// Puts a request together. The numbers of symbols are remembered by request, so that
/// those of labels cost a look into a table.
#[derive(Debug)]
pub struct RequestBuilder {
    /// The encoded symbols.
    symbols: Vec<u8>,
    n_symbols: u32,
    /// By symbol of the caller: request it was numbered in last, and its number there.
    known: Vec<(u32, u32)>,
    /// Texts that are no symbols of the caller.
    others: HashMap<Box<str>, u32>,
    request: u32,
    out: Vec<u8>,
    series: Vec<u8>,
    inner: Vec<u8>,
    refs: Vec<u8>,
}

impl Default for RequestBuilder {
    fn default() -> RequestBuilder {
        let mut builder = RequestBuilder {
            symbols: Vec::new(),
            n_symbols: 0,
            known: Vec::new(),
            others: HashMap::new(),
            request: 0,
            out: Vec::new(),
            series: Vec::new(),
            inner: Vec::new(),
            refs: Vec::new(),
        };
        builder.begin();
        builder
    }
}

impl RequestBuilder {
    fn begin(&mut self) {
        self.symbols.clear();
        self.others.clear();
        self.out.clear();
        self.n_symbols = 0;
        self.request = self.request.wrapping_add(1);
        if self.request == 0 {
            self.known.clear();
            self.request = 1;
        }
        // The first symbol is the empty text, which whoever has none names.
        self.push_symbol("");
    }

    fn push_symbol(&mut self, text: &str) -> u32 {
        self.symbols.push(SYMBOL_TAG);
        put_varint(&mut self.symbols, text.len() as u64);
        self.symbols.extend_from_slice(text.as_bytes());
        self.n_symbols += 1;
        self.n_symbols - 1
    }

    #[inline]
    fn symbol(&mut self, symbol: u32, symbols: &impl Symbols) -> u32 {
        let at = symbol as usize;
        if at >= self.known.len() {
            self.known.resize(at + 1, (0, 0));
        }
        match self.known.get(at) {
            Some(&(request, number)) if request == self.request => number,
            _ => {
                let text = symbols.text(symbol);
                let number = match text.is_empty() {
                    true => 0,
                    false => self.push_symbol(text),
                };
                if let Some(known) = self.known.get_mut(at) {
                    *known = (self.request, number);
                }
                number
            }
        }
    }

    fn text(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&number) = self.others.get(text) {
            return number;
        }
        let number = self.push_symbol(text);
        self.others.insert(text.into(), number);
        number
    }

    /// Begins a series; `labels` are pairs of symbols, sorted by name.
    pub fn begin_series(&mut self, labels: &[(u32, u32)], symbols: &impl Symbols) {
        self.refs.clear();
        for &(name, value) in labels {
            let number = self.symbol(name, symbols);
            put_varint(&mut self.refs, u64::from(number));
            let number = self.symbol(value, symbols);
            put_varint(&mut self.refs, u64::from(number));
        }
        self.series.clear();
        self.series.push(REFS_TAG);
        put_varint(&mut self.series, self.refs.len() as u64);
        self.series.extend_from_slice(&self.refs);
    }

    /// Adds a sample to the series.
    #[inline]
    pub fn sample(&mut self, t_ms: i64, value: f64) {
        put_sample(&mut self.series, t_ms, value);
    }

    /// Adds a native histogram to the series, behind all samples.
    pub fn histogram(&mut self, t_ms: i64, found: &Histogram) {
        self.inner.clear();
        histogram::put(&mut self.inner, t_ms, found);
        put_bytes(&mut self.series, 3, &self.inner);
    }

    /// Adds an exemplar to the series, behind all histograms.
    pub fn exemplar(&mut self, exemplar: &Exemplar) {
        self.refs.clear();
        for (name, value) in &exemplar.labels {
            let number = self.text(name);
            put_varint(&mut self.refs, u64::from(number));
            let number = self.text(value);
            put_varint(&mut self.refs, u64::from(number));
        }
        self.inner.clear();
        if !self.refs.is_empty() {
            put_bytes(&mut self.inner, 1, &self.refs);
        }
        put_double(&mut self.inner, 2, exemplar.value);
        put_number(&mut self.inner, 3, exemplar.t_ms.cast_unsigned());
        put_bytes(&mut self.series, 4, &self.inner);
    }

    /// Says what the metric of the series is, behind all else of it; `help` and `unit` are
    /// symbols.
    pub fn metadata(&mut self, kind: MetricType, help: u32, unit: u32, symbols: &impl Symbols) {
        let (help, unit) = (self.symbol(help, symbols), self.symbol(unit, symbols));
        self.inner.clear();
        put_number(&mut self.inner, 1, u64::from(kind.number()));
        put_number(&mut self.inner, 3, u64::from(help));
        put_number(&mut self.inner, 4, u64::from(unit));
        put_bytes(&mut self.series, 5, &self.inner);
    }

    /// Ends the series.
    pub fn end_series(&mut self) {
        self.out.push(SERIES_TAG);
        put_varint(&mut self.out, self.series.len() as u64);
        self.out.extend_from_slice(&self.series);
    }

    /// Hands the request to `take`, and begins the next one.
    pub fn finish<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> T {
        self.symbols.extend_from_slice(&self.out);
        let taken = take(&self.symbols);
        self.begin();
        taken
    }
}
