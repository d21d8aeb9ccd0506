//! How OTLP metrics are translated: the `otlp` section of the configuration, and features.

/// What becomes of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// What Prometheus' names could not contain becomes an underscore; names end with
    /// unit and type.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// As above, and nothing is added.
    UnderscoreEscapingWithoutSuffixes,
    /// Names are kept and end with unit and type.
    NoUtf8EscapingWithSuffixes,
    /// Names are kept.
    NoTranslation,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Strategy; 4] = [
        Strategy::UnderscoreEscapingWithSuffixes,
        Strategy::UnderscoreEscapingWithoutSuffixes,
        Strategy::NoUtf8EscapingWithSuffixes,
        Strategy::NoTranslation,
    ];

    /// Returns the name that the configuration has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            Strategy::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            Strategy::NoUtf8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            Strategy::NoTranslation => "NoTranslation",
        }
    }

    /// Returns the strategy of this name.
    pub fn from_config(name: &str) -> Option<Strategy> {
        Strategy::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// Tells whether names are made such that Prometheus could always have had them.
    pub fn escapes(self) -> bool {
        matches!(
            self,
            Strategy::UnderscoreEscapingWithSuffixes | Strategy::UnderscoreEscapingWithoutSuffixes
        )
    }

    /// Tells whether unit and type are added to names.
    pub fn adds_suffixes(self) -> bool {
        matches!(
            self,
            Strategy::UnderscoreEscapingWithSuffixes | Strategy::NoUtf8EscapingWithSuffixes
        )
    }
}

/// Which attributes of a resource become labels of all its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promotion {
    /// Those of these names.
    Listed(Vec<String>),
    /// All but those of these names.
    AllBut(Vec<String>),
}

impl Default for Promotion {
    /// Returns that of none.
    fn default() -> Promotion {
        Promotion::Listed(Vec::new())
    }
}

impl Promotion {
    /// Tells whether an attribute is promoted.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Promotion::Listed(names) => names.iter().any(|one| one == name),
            Promotion::AllBut(names) => names.iter().all(|one| one != name),
        }
    }
}

/// How metrics are translated.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What becomes of names.
    pub strategy: Strategy,
    /// Attributes of resources that become labels.
    pub promotion: Promotion,
    /// `target_info` has the attributes that name a resource, too.
    pub keep_identifying_attributes: bool,
    /// Histograms with explicit bounds become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Name, version, schema and attributes of a scope become labels.
    pub promote_scope_metadata: bool,
    /// An escaped label that begins with one underscore gets `key` in front.
    pub underscore_sanitization: bool,
    /// Runs of underscores in an escaped label stay.
    pub preserve_multiple_underscores: bool,
    /// Delta values are stored as they are.
    pub allow_delta: bool,
    /// Type and unit of a metric become labels.
    pub type_and_unit_labels: bool,
    /// How far back a query looks for a sample; `target_info` has one each half of that.
    pub lookback_ms: i64,
}

impl Default for Settings {
    /// Returns Prometheus' defaults.
    fn default() -> Settings {
        Settings {
            strategy: Strategy::default(),
            promotion: Promotion::default(),
            keep_identifying_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            underscore_sanitization: true,
            preserve_multiple_underscores: true,
            allow_delta: false,
            type_and_unit_labels: false,
            lookback_ms: 5 * 60 * 1000,
        }
    }
}

impl Settings {
    /// Returns what of the settings decides which labels the same data has, apart from
    /// the labels that come from resource and scope.
    pub(super) fn fingerprint(&self) -> u8 {
        let bits = [
            self.strategy.escapes(),
            self.underscore_sanitization,
            self.preserve_multiple_underscores,
            self.type_and_unit_labels,
        ];
        bits.into_iter()
            .fold(1, |sum, bit| sum << 1 | u8::from(bit))
    }
}
