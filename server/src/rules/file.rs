//! Rule files: text in, groups of rules or everything that is wrong with it out.
//!
//! A file is checked as strictly as Prometheus checks it and in its words; where it
//! leaves out the place of a mistake, or prints `0:0`, the place of the rule or group
//! stands here. It knows nothing of the configuration: whoever reads a file says which
//! names and which parts of PromQL are allowed.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::path::Path;

use kymo_query::logql;
use kymo_query::promql::{Features, parse_expr};
use kymo_query::rules::{
    AlertSettings, GroupDefinition, Language, LogsExpr, Pairs, RuleDefinition, RuleExpr, RuleKind,
};
use kymo_query::template::alert;
use kymo_storage::compat::duration::parse_prometheus;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::METRIC_NAME;

use crate::config::fields::{self, Fields, Problems, twice_v3};
use crate::config::yaml::{self, Node, Position};
use crate::config::{Problem, ProblemKind, os_text};

/// Most bytes of one file. The largest public collections of rules have two.
pub(crate) const MAX_FILE_BYTES: u64 = 64 << 20;

/// What a file may hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accepted {
    /// Which names are allowed.
    pub(crate) names: NameValidation,
    /// What the expressions are written in.
    pub(crate) language: Language,
    /// Which optional parts of PromQL are allowed.
    pub(crate) promql: Features,
    /// Whether keys that nobody knows are passed over.
    pub(crate) unknown_keys: bool,
}

/// The groups of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct RuleFile {
    /// The groups in the order of the file; their names are unique.
    pub(crate) groups: Vec<GroupDefinition>,
    /// Where each group stands, in the same order.
    pub(crate) places: Vec<GroupPlace>,
    /// What is allowed but worth a line in the log.
    pub(crate) warnings: Vec<String>,
}

/// Where a group stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GroupPlace {
    /// The group itself.
    pub(crate) at: Position,
    /// Its rules.
    pub(crate) rules: Vec<Position>,
}

/// Everything that is wrong with a file; it prints one mistake a line, as Prometheus
/// does, with the file in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuleFileError {
    /// The file as it was named.
    pub(crate) file: String,
    /// At least one mistake, in the order of the file.
    pub(crate) problems: Vec<Problem>,
}

/// Reads and checks a file.
///
/// # Errors
/// It cannot be read, is too large, or has mistakes.
pub(crate) fn load(file: &str, accepted: &Accepted) -> Result<RuleFile, RuleFileError> {
    let failed = |message: String| RuleFileError::unreadable(file, message);
    let bytes = read_bounded(Path::new(file)).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        failed(format!("yaml: line {line}: invalid UTF-8"))
    })?;
    parse(file, &text, accepted)
}

/// Checks a text; `file` is what its mistakes name.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn parse(
    file: &str,
    text: &str,
    accepted: &Accepted,
) -> Result<RuleFile, RuleFileError> {
    let failed = |problems| RuleFileError {
        file: file.to_owned(),
        problems,
    };
    let document = yaml::parse(text).map_err(|error| failed(vec![error.into()]))?;
    let mut reader = Reader {
        accepted,
        problems: Problems::default(),
    };
    let mut read = reader.file(&document.root);
    if let Some(at) = document.unread {
        read.warnings.push(format!(
            "line {}: multiple document yaml rules files are not supported, only the first \
             document is processed",
            at.line
        ));
    }
    if reader.problems.is_empty() {
        Ok(read)
    } else {
        Err(failed(reader.problems.into_sorted()))
    }
}

/// Checks the text of one group, which stands alone; `name` is what its mistakes name.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn parse_group(
    name: &str,
    text: &str,
    accepted: &Accepted,
) -> Result<GroupDefinition, RuleFileError> {
    let failed = |problems| RuleFileError {
        file: name.to_owned(),
        problems,
    };
    let document = yaml::parse(text).map_err(|error| failed(vec![error.into()]))?;
    let mut reader = Reader {
        accepted,
        problems: Problems::default(),
    };
    let (group, place) = reader.group(&document.root);
    if group.name.is_empty() && reader.problems.is_empty() {
        let text = "group 0: Groupname must not be empty";
        reader.problems.value(place.at, text);
    }
    match reader.problems.is_empty() {
        true => Ok(group),
        false => Err(failed(reader.problems.into_sorted())),
    }
}

impl RuleFileError {
    /// Returns the error of a file that could not be read.
    pub(crate) fn unreadable(file: &str, message: String) -> RuleFileError {
        RuleFileError {
            file: file.to_owned(),
            problems: vec![Problem {
                at: Position::default(),
                kind: ProblemKind::Syntax,
                message,
                remedy: None,
            }],
        }
    }

    /// Returns the mistakes of a group that a client sent, as Loki begins them.
    pub(crate) fn told_to_client(&self) -> String {
        let told = self.to_string();
        // A duration that is none cannot be read, as a number that is none.
        let is_value = |problem: &Problem| {
            problem.kind == ProblemKind::Value
                && !problem.message.starts_with("not a valid duration string")
        };
        match self.problems.iter().all(is_value) {
            true => told,
            false => format!("unable to decoded rule group: {told}"),
        }
    }

    /// Returns the mistakes as texts that name the file. Those of the shape of the YAML
    /// are one text of several lines, as Go's package makes it.
    pub(crate) fn texts(&self) -> Vec<String> {
        let is_shape = |problem: &&Problem| problem.kind == ProblemKind::Shape;
        let mut texts = Vec::new();
        let mut shapes = self.problems.iter().filter(is_shape).peekable();
        if shapes.peek().is_some() {
            let mut text = format!("{}: yaml: unmarshal errors:", self.file);
            for Problem {
                at,
                message,
                remedy,
                ..
            } in shapes
            {
                text.push_str(&format!("\n  line {}: {message}", at.line));
                if let Some(remedy) = remedy {
                    text.push_str(&format!(": {remedy}"));
                }
            }
            texts.push(text);
        }
        for problem in self.problems.iter().filter(|problem| !is_shape(problem)) {
            let Position { line, column } = problem.at;
            let message = &problem.message;
            texts.push(match problem.kind {
                _ if line == 0 => format!("{}: {message}", self.file),
                ProblemKind::Syntax => format!("{}: yaml: line {line}: {message}", self.file),
                _ => format!("{}: {line}:{column}: {message}", self.file),
            });
        }
        texts
    }
}

impl fmt::Display for RuleFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().join("\n"))
    }
}

impl std::error::Error for RuleFileError {}

/// Reads a file that is not too large.
///
/// # Errors
/// Why not.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.display();
    let opened = std::fs::File::open(path);
    let file = opened.map_err(|error| format!("open {name}: {}", os_text(&error)))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("read {name}: {}", os_text(&error)))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!(
            "read {name}: the file has more than {MAX_FILE_BYTES} bytes; split it into several"
        ));
    }
    Ok(bytes)
}

struct Reader<'a> {
    accepted: &'a Accepted,
    problems: Problems,
}

/// The keys of a rule with the places of their values; a key that is missing has the
/// place of the rule.
struct Draft {
    at: Position,
    record: (String, Position),
    alert: (String, Position),
    expr: (String, Position),
    for_ms: i64,
    keep_firing_for_ms: i64,
    labels: Vec<(Position, String, String)>,
    annotations: Vec<(Position, String, String)>,
}

impl Reader<'_> {
    /// Refuses what is left of a map, unless that is passed over.
    fn finish(&mut self, fields: Fields<'_>) {
        if !self.accepted.unknown_keys {
            fields.finish_v3(&mut self.problems);
        }
    }

    fn file(&mut self, root: &Node) -> RuleFile {
        let mut read = RuleFile::default();
        let mut fields = Fields::open(root, "rulefmt.RuleGroups", &mut self.problems);
        let groups = fields.list("groups", "[]rulefmt.RuleGroup", &mut self.problems);
        self.finish(fields);
        let mut names = HashSet::with_capacity(groups.len());
        for node in groups.iter().filter(|node| !node.is_null()) {
            let (group, place) = self.group(node);
            if group.name.is_empty() {
                self.problems.value(node.at, "Groupname must not be empty");
            } else if !names.insert(group.name.clone()) {
                let name = &group.name;
                let text = format!("groupname: \"{name}\" is repeated in the same file");
                self.problems.value(node.at, text);
            }
            read.groups.push(group);
            read.places.push(place);
        }
        read
    }

    fn group(&mut self, node: &Node) -> (GroupDefinition, GroupPlace) {
        let mut fields = Fields::open(node, "rulefmt.RuleGroup", &mut self.problems);
        let name = fields.string("name", &mut self.problems);
        let interval_ms = self.duration(&mut fields, "interval");
        let query_offset_ms = self.duration(&mut fields, "query_offset");
        let limit = fields.take("limit");
        let limit = limit.and_then(|node| fields::int(node, &mut self.problems));
        let labels = self.pairs(&mut fields, "labels");
        self.check_labels(&labels, "");
        let nodes = fields.list("rules", "[]rulefmt.Rule", &mut self.problems);
        self.finish(fields);
        let mut place = GroupPlace {
            at: node.at,
            rules: Vec::with_capacity(nodes.len()),
        };
        let mut rules = Vec::with_capacity(nodes.len());
        for node in nodes.iter().filter(|node| !node.is_null()) {
            rules.extend(self.rule(node, &name, place.rules.len() + 1));
            place.rules.push(node.at);
        }
        let group = GroupDefinition {
            name,
            language: self.accepted.language,
            // Zero, too, means the interval of the configuration.
            interval_ms: interval_ms.filter(|&ms| ms > 0),
            query_offset_ms,
            limit: limit.unwrap_or(0),
            labels: sorted(labels),
            rules,
        };
        (group, place)
    }

    /// Reads and checks the rule that is the `number`th of its group; `None` where it
    /// has a mistake.
    fn rule(&mut self, node: &Node, group: &str, number: usize) -> Option<RuleDefinition> {
        let before = self.problems.len();
        let draft = self.draft(node);
        if self.problems.len() > before {
            // What follows would complain about values that were not understood.
            return None;
        }
        let name = match draft.alert.0.as_str() {
            "" => draft.record.0.clone(),
            alert => alert.to_owned(),
        };
        let place = format!("group {}, rule {number}, {}: ", quote(group), quote(&name));
        let expr = self.check_expr(&draft, group, &place);
        self.check_kind(&draft, &place);
        self.check_labels(&draft.labels, &place);
        for (at, name, _) in &draft.annotations {
            if !self.accepted.names.is_label_name(name) {
                let text = format!("{place}invalid annotation name: {name}");
                self.problems.value(*at, text);
            }
        }
        self.check_templates(&draft, &place);
        if self.problems.len() > before {
            return None;
        }
        let annotations = sorted(draft.annotations);
        Some(RuleDefinition {
            name,
            expr: expr?,
            labels: sorted(draft.labels),
            kind: match draft.alert.0.is_empty() {
                true => RuleKind::Recording,
                false => RuleKind::Alerting(AlertSettings {
                    for_ms: draft.for_ms,
                    keep_firing_for_ms: draft.keep_firing_for_ms,
                    annotations,
                }),
            },
        })
    }

    fn draft(&mut self, node: &Node) -> Draft {
        let mut fields = Fields::open(node, "rulefmt.Rule", &mut self.problems);
        let mut text = |fields: &mut Fields<'_>, name| {
            let found = fields.take(name);
            let text = found.and_then(|node| fields::string(node, &mut self.problems));
            (text.unwrap_or_default(), found.map_or(node.at, |n| n.at))
        };
        let record = text(&mut fields, "record");
        let alert = text(&mut fields, "alert");
        let expr = text(&mut fields, "expr");
        let draft = Draft {
            at: node.at,
            record,
            alert,
            expr,
            for_ms: self.duration(&mut fields, "for").unwrap_or(0),
            keep_firing_for_ms: self.duration(&mut fields, "keep_firing_for").unwrap_or(0),
            labels: self.pairs(&mut fields, "labels"),
            annotations: self.pairs(&mut fields, "annotations"),
        };
        self.finish(fields);
        draft
    }

    fn check_kind(&mut self, draft: &Draft, place: &str) {
        let (record, record_at) = &draft.record;
        let mut wrong = |at: Position, text: String| self.problems.value(at, text);
        match (record.is_empty(), draft.alert.0.is_empty()) {
            (false, false) => {
                let Position { line, column } = draft.alert.1;
                let text = "only one of 'record' and 'alert' must be set";
                wrong(*record_at, format!("{line}:{column}: {place}{text}"));
            }
            (true, true) => {
                let text = "one of 'record' or 'alert' must be set";
                wrong(draft.at, format!("{place}{text}"));
            }
            _ => {}
        }
        if record.is_empty() {
            return;
        }
        for (name, is_there) in [
            ("annotations", !draft.annotations.is_empty()),
            ("for", draft.for_ms != 0),
            ("keep_firing_for", draft.keep_firing_for_ms != 0),
        ] {
            if is_there {
                let text = format!("{place}invalid field '{name}' in recording rule");
                wrong(*record_at, text);
            }
        }
        if !self.accepted.names.is_metric_name(record) {
            let text = format!("{place}invalid recording rule name: {record}");
            wrong(*record_at, text);
        }
        if record.contains(['{', '}']) {
            let text = "braces present in the recording rule name; should it be in expr?";
            wrong(*record_at, format!("{place}{text}: {record}"));
        }
    }

    fn check_expr(&mut self, draft: &Draft, group: &str, place: &str) -> Option<RuleExpr> {
        let (text, at) = &draft.expr;
        if text.is_empty() {
            let text = format!("{place}field 'expr' must be set in rule");
            self.problems.value(*at, text);
            return None;
        }
        let read = match self.accepted.language {
            Language::PromQl => parse_expr(text, &self.accepted.promql)
                .map(RuleExpr::Metrics)
                .map_err(|error| format!("{place}could not parse expression: {error}")),
            Language::LogQl => logs_expr(text).map_err(|error| {
                let (kind, name) = match draft.alert.0.as_str() {
                    "" => ("record", draft.record.0.as_str()),
                    alert => ("alert", alert),
                };
                format!(
                    "could not parse expression for {kind} '{name}' in group '{group}': {error}"
                )
            }),
        };
        match read {
            Ok(expr) => Some(expr),
            Err(text) => {
                self.problems.value(*at, text);
                None
            }
        }
    }

    /// Checks names of labels. A text from a file is always valid as a value.
    fn check_labels(&mut self, labels: &[(Position, String, String)], place: &str) {
        for (at, name, _) in labels {
            if !self.accepted.names.is_label_name(name) || name == METRIC_NAME {
                let text = format!("{place}invalid label name: {name}");
                self.problems.value(*at, text);
            }
        }
    }

    /// Checks that the labels and annotations of an alert are templates.
    fn check_templates(&mut self, draft: &Draft, place: &str) {
        if draft.alert.0.is_empty() {
            return;
        }
        let template = format!("__alert_{}", draft.alert.0);
        let prefix = match self.accepted.language {
            Language::PromQl => alert::Prefix::Alert,
            Language::LogQl => alert::Prefix::LogAlert,
        };
        for (what, pairs) in [("label", &draft.labels), ("annotation", &draft.annotations)] {
            for (at, name, text) in pairs {
                if let Err(error) = alert::check(&template, text, prefix) {
                    let name = quote(name);
                    let text = format!("{place}{what} {name}: {error}");
                    self.problems.value(*at, text);
                }
            }
        }
    }

    /// Takes a duration in milliseconds; `None` where it is missing, null or wrong.
    fn duration(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Option<i64> {
        let parse = |text: &str| parse_prometheus(text).map(|ns| ns / 1_000_000);
        fields.parsed(name, &mut self.problems, parse)
    }

    fn pairs(
        &mut self,
        fields: &mut Fields<'_>,
        name: &'static str,
    ) -> Vec<(Position, String, String)> {
        let Some(node) = fields.take(name) else {
            return Vec::new();
        };
        fields::pairs_with(node, "map[string]string", twice_v3, &mut self.problems)
            .into_iter()
            .filter_map(|(at, name, value)| {
                let value = fields::string(value, &mut self.problems)?;
                Some((at, name, value))
            })
            .collect()
    }
}

/// Reads an expression over logs, which has to give numbers.
fn logs_expr(text: &str) -> Result<RuleExpr, String> {
    let expr = logql::parse(text).map_err(|error| error.to_string())?;
    match expr.as_metric() {
        Some(_) => {
            // A rule counts what its expression counts when it is asked for.
            let expr = expr.with_rounded_sizes();
            Ok(RuleExpr::Logs(LogsExpr::new(text, expr)))
        }
        None => Err(
            "only sample expression supported; count the entries, as in \
                     count_over_time({...}[5m])"
                .to_owned(),
        ),
    }
}

fn sorted(pairs: Vec<(Position, String, String)>) -> Pairs {
    let mut pairs: Pairs = pairs
        .into_iter()
        .map(|(_, name, value)| (name, value))
        .collect();
    pairs.sort();
    pairs
}

#[cfg(test)]
mod tests;
