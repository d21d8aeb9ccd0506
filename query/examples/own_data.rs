//! PromQL over data of your own: a table of a shop's orders becomes a source of series.
//!
//! `cargo run -p kymo-query --example own_data`
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::collections::BTreeMap;
use std::error::Error;

use kymo_query::{
    Cancel, Engine, EngineOptions, QueryOptions, SampleBuf, SelectHints, SeriesSet, Source,
    SourceError, Value,
};
use kymo_storage::model::{Labels, Matcher, TimeRange};

/// One order: when it came, where, and what was paid.
struct Order {
    t_ms: i64,
    shop: &'static str,
    paid: f64,
}

/// Orders, shown as the counters `orders_total` and `revenue_total` of each shop.
struct Orders(Vec<Order>);

impl Source for Orders {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        _hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        // Both counters of each shop: (times, values) by labels.
        let mut series: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        for order in &self.0 {
            for (name, step) in [("orders_total", 1.0), ("revenue_total", order.paid)] {
                let labels = Labels::from_pairs([("__name__", name), ("shop", order.shop)]);
                let samples = series.entry(labels).or_default();
                let last = samples.last().map_or(0.0, |(_, value)| *value);
                samples.push((order.t_ms, last + step));
            }
        }
        let wanted = |labels: &Labels| {
            let value = |name: &str| labels.get(name).unwrap_or_default();
            matchers.iter().all(|m| m.matches(value(m.name())))
        };
        series.retain(|labels, _| wanted(labels));
        let within = |(t_ms, _): &(i64, f64)| range.start_ms <= *t_ms && *t_ms <= range.end_ms;
        series
            .values_mut()
            .for_each(|samples| samples.retain(within));
        Ok(Box::new(Found(series.into_iter().collect())))
    }
}

/// What a selector found.
struct Found(Vec<(Labels, Vec<(i64, f64)>)>);

impl SeriesSet for Found {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.0[index].0.clone()
    }

    fn read(&self, index: usize, into: &mut SampleBuf) -> Result<(), SourceError> {
        into.clear();
        for &(t_ms, value) in &self.0[index].1 {
            into.push(t_ms, value);
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let order = |minute: i64, shop, paid| Order {
        t_ms: minute * 60_000,
        shop,
        paid,
    };
    let orders = (0..60).map(|minute| order(minute, ["north", "south"][minute as usize % 2], 12.5));
    let orders = Orders(orders.collect());

    let engine = Engine::new(EngineOptions::default());
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let query = "sum by (shop) (rate(revenue_total[10m])) * 3600";
    let at_ms = 59 * 60_000;
    let result = engine.instant(&orders, query, at_ms, &options, &cancel)?;
    let Value::Vector(rates) = result.value else {
        return Err("a vector was expected".into());
    };
    for rate in &rates {
        println!("{} takes {:?} an hour", rate.labels, rate.value);
    }
    let (query, step_ms) = ("sum(orders_total)", 15 * 60_000);
    let result = engine.range(&orders, query, 0, at_ms, step_ms, &options, &cancel)?;
    println!("orders so far: {:?}", result.value);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().expect("the example works");
    }
}
