//! Targets of files: labels that relabelling has gone through, and the patterns among them.

use kymo_storage::model::{LabelsBuilder, RelabelRule, Verdict, relabel};

use super::config::{LogJob, LogSourceConfig};
use super::follow::FileTarget;
use super::glob::Glob;
use crate::discovery::TargetGroup;
use crate::pipeline::LabelSet;

const PATH: &str = "__path__";
const PATH_EXCLUDE: &str = "__path_exclude__";
const HOST: &str = "__host__";

/// A target that is not followed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its labels as they were found.
    pub labels: Vec<(String, String)>,
    /// Why.
    pub reason: String,
}

/// Returns the targets of groups of labels.
pub(super) fn targets(
    found: &[Vec<(String, String)>],
    rules: &[RelabelRule],
    host: &str,
) -> (Vec<FileTarget>, Vec<Dropped>) {
    let mut targets: Vec<FileTarget> = Vec::new();
    let mut dropped = Vec::new();
    for labels in found {
        match target(labels, rules, host) {
            Ok(target) if targets.contains(&target) => {}
            Ok(target) => targets.push(target),
            Err(reason) => dropped.push(Dropped {
                labels: labels.clone(),
                reason,
            }),
        }
    }
    (targets, dropped)
}

fn target(
    labels: &[(String, String)],
    rules: &[RelabelRule],
    host: &str,
) -> Result<FileTarget, String> {
    let mut builder = LabelsBuilder::new();
    for (name, value) in labels {
        builder.set(name, value);
    }
    if relabel(rules, &mut builder) == Verdict::Drop {
        return Err("dropped by relabelling".to_owned());
    }
    let wanted = builder.get(HOST).unwrap_or_default();
    if !wanted.is_empty() && wanted != host {
        return Err(format!("it is on the host {wanted}, and this is {host}"));
    }
    let pattern = |text: &str| {
        Glob::new(text).map_err(|error| format!("pattern {text} cannot be used: {error}"))
    };
    let path = builder.get(PATH).unwrap_or_default();
    if path.is_empty() {
        return Err("no path for target".to_owned());
    }
    let exclude = builder.get(PATH_EXCLUDE).filter(|text| !text.is_empty());
    Ok(FileTarget {
        include: pattern(path)?,
        exclude: exclude.map(pattern).transpose()?,
        labels: own(&builder),
    })
}

/// Returns the labels that entries keep.
pub(super) fn own(builder: &LabelsBuilder) -> LabelSet {
    let pairs = builder.iter();
    LabelSet::from_pairs(pairs.filter(|(name, value)| !name.starts_with("__") && !value.is_empty()))
}

/// Returns labels that entries of a job may have: those of the first target that its
/// configuration lists, or those that it gives to all entries.
pub fn sample_labels(job: &LogJob, host: &str) -> LabelSet {
    let labels = match &job.source {
        LogSourceConfig::Files(files) => {
            let found = listed(&files.static_configs);
            let (targets, _) = targets(&found, &job.relabel, host);
            return targets
                .into_iter()
                .next()
                .map_or_else(LabelSet::default, |t| t.labels);
        }
        LogSourceConfig::Journal(journal) => &journal.labels,
        LogSourceConfig::Syslog(syslog) => &syslog.labels,
        LogSourceConfig::Push(push) => &push.labels,
    };
    let mut builder = LabelsBuilder::new();
    for (name, value) in labels {
        builder.set(name, value);
    }
    match relabel(&job.relabel, &mut builder) {
        Verdict::Drop => LabelSet::default(),
        Verdict::Keep => own(&builder),
    }
}

/// Returns the labels of each target of groups that a configuration lists. A group without
/// targets is one, too.
pub(super) fn listed(groups: &[TargetGroup]) -> Vec<Vec<(String, String)>> {
    let mut found = Vec::new();
    for group in groups {
        let own = group.labels.iter();
        let own: Vec<_> = own.map(|(n, v)| (n.clone(), v.clone())).collect();
        // An address is of no use for files; Promtail's examples have one all the same.
        for address in &group.targets {
            let mut labels = own.clone();
            if !labels.iter().any(|(name, _)| name == "__address__") {
                labels.push(("__address__".to_owned(), address.clone()));
            }
            found.push(labels);
        }
        if group.targets.is_empty() {
            found.push(own);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_tell_what_to_follow() {
        let labels = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect::<Vec<_>>()
        };
        let found = [
            labels(&[
                ("job", "a"),
                ("__path__", "/x/*.log"),
                ("__path_exclude__", "/x/b*"),
                ("__y", "z"),
                ("e", ""),
            ]),
            labels(&[("job", "b")]),
            labels(&[("__path__", "/x"), ("__host__", "other")]),
            labels(&[("__path__", "/x"), ("__host__", "here")]),
            labels(&[("__path__", "/x/[")]),
        ];
        let (targets, dropped) = targets(&found, &[], "here");
        assert_eq!(targets.len(), 2);
        assert_eq!(targets[0].labels, LabelSet::from_pairs([("job", "a")]));
        assert_eq!(targets[0].include.as_str(), "/x/*.log");
        assert!(targets[0].exclude.is_some());
        let reasons: Vec<&str> = dropped.iter().map(|d| d.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "no path for target",
                "it is on the host other, and this is here",
                "pattern /x/[ cannot be used: syntax error in pattern",
            ]
        );
    }
}
