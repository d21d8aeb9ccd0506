//! What a target said about its metrics: type, help and unit of each family.

use hashbrown::HashMap;
use kymo_storage::metrics::Appender;
use kymo_storage::model::{MetricMetadata, MetricType};

/// Scrapes after which a family that is no longer exposed is forgotten.
const KEPT_SCRAPES: u64 = 10;

/// Metadata of one family of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Name of the family.
    pub family: String,
    /// Its type.
    pub kind: MetricType,
    /// Its help text, empty where none was given.
    pub help: String,
    /// Its unit, empty where none was given.
    pub unit: String,
}

/// The families of one target, as last seen.
#[derive(Debug, Default)]
pub(super) struct MetadataCache {
    families: HashMap<Vec<u8>, Family>,
}

#[derive(Debug, Default)]
struct Family {
    told: MetricMetadata,
    seen: u64,
    /// The store knows it.
    stored: bool,
}

impl MetadataCache {
    /// Notes a TYPE line of scrape number `scrape`.
    pub(super) fn set_kind(&mut self, name: &[u8], kind: MetricType, scrape: u64) {
        let family = self.family(name, scrape);
        family.stored &= family.told.kind == kind;
        family.told.kind = kind;
    }

    /// Notes a HELP line.
    pub(super) fn set_help(&mut self, name: &[u8], help: &str, scrape: u64) {
        let family = self.family(name, scrape);
        if family.told.help != help {
            help.clone_into(&mut family.told.help);
            family.stored = false;
        }
    }

    /// Notes a UNIT line.
    pub(super) fn set_unit(&mut self, name: &[u8], unit: &[u8], scrape: u64) {
        let family = self.family(name, scrape);
        if family.told.unit.as_bytes() != unit {
            family.told.unit = String::from_utf8_lossy(unit).into_owned();
            family.stored = false;
        }
    }

    /// Forgets families that were last seen too many scrapes before `scrape`.
    pub(super) fn forget(&mut self, scrape: u64) {
        self.families
            .retain(|_, family| scrape.saturating_sub(family.seen) <= KEPT_SCRAPES);
    }

    /// Tells the store what it does not know yet.
    pub(super) fn store(&mut self, appender: &mut Appender<'_>) {
        for (name, family) in &mut self.families {
            if !family.stored {
                appender.set_metadata(&String::from_utf8_lossy(name), &family.told);
                family.stored = true;
            }
        }
    }

    /// Notes that the store took nothing of what it was told last.
    pub(super) fn store_failed(&mut self) {
        let families = self.families.values_mut();
        families.for_each(|family| family.stored = false);
    }

    /// Returns all families, sorted by name.
    pub(super) fn list(&self) -> Vec<Metadata> {
        let mut list: Vec<Metadata> = self
            .families
            .iter()
            .map(|(name, family)| Metadata {
                family: String::from_utf8_lossy(name).into_owned(),
                kind: family.told.kind,
                help: family.told.help.clone(),
                unit: family.told.unit.clone(),
            })
            .collect();
        list.sort_by(|a, b| a.family.cmp(&b.family));
        list
    }

    /// Counts families and the bytes of their texts.
    pub(super) fn size(&self) -> (usize, usize) {
        let texts = self.families.values();
        let bytes = texts.map(|family| {
            let told = &family.told;
            told.help.len() + told.unit.len() + told.kind.as_str().len()
        });
        (self.families.len(), bytes.sum())
    }

    fn family(&mut self, name: &[u8], scrape: u64) -> &mut Family {
        let family = self.families.entry_ref(name).or_default();
        family.seen = scrape;
        family
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_kept_for_some_scrapes() {
        let mut cache = MetadataCache::default();
        cache.set_kind(b"b", MetricType::Counter, 1);
        cache.set_help(b"b", "first", 1);
        cache.set_help(b"b", "second", 2);
        cache.set_unit(b"a", b"seconds", 5);
        cache.forget(12);
        let names: Vec<_> = cache
            .list()
            .into_iter()
            .map(|m| (m.family, m.help))
            .collect();
        assert_eq!(
            names,
            [
                ("a".to_owned(), String::new()),
                ("b".to_owned(), "second".to_owned())
            ]
        );
        cache.forget(13);
        assert_eq!(cache.list().len(), 1);
        assert_eq!(cache.size(), (1, "seconds".len() + "unknown".len()));
    }
}
