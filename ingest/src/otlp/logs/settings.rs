//! What becomes of attributes: Loki's `otlp_config`.

use kymo_storage::compat::regex::Regex;

/// Attributes of resources that are labels of streams unless others are configured.
pub const DEFAULT_INDEX_ATTRIBUTES: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttributeAction {
    /// It is a label of the stream (`index_label`).
    IndexLabel,
    /// It is structured metadata of the entry (`structured_metadata`).
    #[default]
    StructuredMetadata,
    /// It is left out (`drop`).
    Drop,
}

impl AttributeAction {
    /// Every action.
    pub const ALL: [AttributeAction; 3] = [
        AttributeAction::IndexLabel,
        AttributeAction::StructuredMetadata,
        AttributeAction::Drop,
    ];

    /// Returns the name that the configuration has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            AttributeAction::IndexLabel => "index_label",
            AttributeAction::StructuredMetadata => "structured_metadata",
            AttributeAction::Drop => "drop",
        }
    }
}

/// Says what becomes of some attributes.
#[derive(Debug, Clone)]
pub struct AttributeRule {
    /// What.
    pub action: AttributeAction,
    /// Their names.
    pub names: Vec<String>,
    /// An expression that finds others.
    pub pattern: Option<Regex>,
}

impl PartialEq for AttributeRule {
    fn eq(&self, other: &AttributeRule) -> bool {
        let pattern = |rule: &AttributeRule| rule.pattern.as_ref().map(|p| p.as_str().to_owned());
        self.action == other.action && self.names == other.names && pattern(self) == pattern(other)
    }
}

/// What becomes of attributes, by where they are. The first rule that speaks of one holds;
/// where none does it is structured metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct LogAttributes {
    /// Of resources.
    pub resource: Vec<AttributeRule>,
    /// Of scopes.
    pub scope: Vec<AttributeRule>,
    /// Of log records.
    pub log: Vec<AttributeRule>,
    /// Whether the text of a severity is a label, too.
    pub severity_text_as_label: bool,
}

impl LogAttributes {
    /// Returns the rule for resources that holds unless it is switched off.
    pub fn default_rule() -> AttributeRule {
        AttributeRule {
            action: AttributeAction::IndexLabel,
            names: DEFAULT_INDEX_ATTRIBUTES.map(str::to_owned).to_vec(),
            pattern: None,
        }
    }
}

impl Default for LogAttributes {
    fn default() -> LogAttributes {
        LogAttributes {
            resource: vec![LogAttributes::default_rule()],
            scope: Vec::new(),
            log: Vec::new(),
            severity_text_as_label: false,
        }
    }
}

/// Returns what becomes of an attribute.
pub(super) fn action(rules: &[AttributeRule], name: &str) -> AttributeAction {
    let speaks = |rule: &&AttributeRule| {
        rule.names.iter().any(|one| one == name)
            || rule.pattern.as_ref().is_some_and(|p| p.is_match(name))
    };
    rules
        .iter()
        .find(speaks)
        .map_or(AttributeAction::default(), |rule| rule.action)
}
