//! Patterns of lines: what lines of one kind have in common.
//!
//! Lines are cut into tokens ([`tokens`]); lines of the same number of tokens walk down a
//! tree by their first tokens and join, at its leaf, the cluster with which they share most
//! of them. Tokens that differ within a cluster become holes, `<_>`, so that the text of a
//! cluster can be put behind `|>` and finds its lines again. This is the algorithm Drain
//! (He et al., ICWS 2017) with Loki's figures: 28 levels, 15 children, similarity 0.3.
//!
//! **Invariant:** a miner never holds more than [`MAX_CLUSTERS`] clusters and as many paths,
//! however many lines it is shown; lines that would need one more are not counted.

mod tokens;

use std::collections::BTreeMap;

use hashbrown::HashMap;

use tokens::{Tokens, tokenize};

/// What stands for the parts in which lines differ.
pub const HOLE: &str = "<_>";

/// Clusters of a miner.
const MAX_CLUSTERS: usize = 1500;
/// Patterns that a miner gives.
const MAX_PATTERNS: usize = 300;
/// Tokens by which a line walks down.
const DEPTH: usize = 28;
/// Children of a node; the last is the hole, for all others.
const MAX_CHILDREN: usize = 15;
/// Clusters at one leaf, all of which a line is compared with.
const MAX_AT_LEAF: usize = 50;
/// Share of tokens that a line must have in common with its cluster.
const SIMILARITY: f64 = 0.3;

/// What lines of one kind have in common, and when there were how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Text with holes.
    pub text: String,
    /// Start of an interval in nanoseconds, and how many lines it has; in order of time.
    pub samples: Vec<(i64, u64)>,
    /// How many lines there are in all.
    pub lines: u64,
}

/// Learns patterns from lines.
///
/// ```
/// use kymo_query::logql::PatternMiner;
///
/// let mut miner = PatternMiner::new(1_000_000_000);
/// for user in [17, 23] {
///     miner.learn(format!("login of user {user} failed").as_bytes(), user, 1);
/// }
/// let patterns = miner.patterns();
/// assert_eq!(patterns[0].text, "login of user <_> failed");
/// assert_eq!(patterns[0].samples, [(0, 2)]);
/// ```
#[derive(Debug, Clone)]
pub struct PatternMiner {
    interval_ns: i64,
    roots: HashMap<(usize, u64), Node>,
    clusters: Vec<Cluster>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    /// Indexes of clusters whose lines end here.
    clusters: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Cluster {
    /// `None` is a hole.
    template: Vec<Option<Box<str>>>,
    /// Spaces behind each token.
    spaces: Vec<u32>,
    /// Whether the text goes on at both ends.
    inner: bool,
    samples: BTreeMap<i64, u64>,
}

impl PatternMiner {
    /// Returns a miner that counts lines in intervals of this many nanoseconds.
    pub fn new(interval_ns: i64) -> PatternMiner {
        PatternMiner {
            interval_ns: interval_ns.max(1),
            roots: HashMap::new(),
            clusters: Vec::new(),
        }
    }

    /// Learns from a line, which stands for `weight` such lines. Lines that are very long,
    /// very short or no text are left out.
    pub fn learn(&mut self, line: &[u8], t_ns: i64, weight: u64) {
        let Ok(line) = std::str::from_utf8(line) else {
            return;
        };
        let Some(tokens) = tokenize(line) else {
            return;
        };
        let start_ns = t_ns.saturating_sub(t_ns.rem_euclid(self.interval_ns));
        let found = self.find(&tokens).or_else(|| self.begin(&tokens));
        let Some(cluster) = found.and_then(|index| self.clusters.get_mut(index)) else {
            return;
        };
        for (known, token) in cluster.template.iter_mut().zip(&tokens.texts) {
            if known.as_deref().is_some_and(|known| known != *token) {
                *known = None;
            }
        }
        *cluster.samples.entry(start_ns).or_default() += weight;
    }

    /// Returns the patterns, those with most lines first.
    pub fn patterns(&self) -> Vec<Pattern> {
        let mut by_text: BTreeMap<String, BTreeMap<i64, u64>> = BTreeMap::new();
        for cluster in &self.clusters {
            let samples = by_text.entry(cluster.text()).or_default();
            for (start_ns, lines) in &cluster.samples {
                *samples.entry(*start_ns).or_default() += lines;
            }
        }
        let mut patterns: Vec<Pattern> = by_text
            .into_iter()
            .map(|(text, samples)| Pattern {
                text,
                lines: samples.values().sum(),
                samples: samples.into_iter().collect(),
            })
            .collect();
        // Stable: patterns of as many lines stay in order of their texts.
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.lines));
        patterns.truncate(MAX_PATTERNS);
        patterns
    }

    /// Finds the cluster of a line.
    fn find(&self, tokens: &Tokens<'_>) -> Option<usize> {
        let mut node = self.roots.get(&(tokens.texts.len(), tokens.shape))?;
        for token in tokens.path() {
            let exact = node.children.get(*token);
            node = exact.or_else(|| node.children.get(HOLE))?;
        }
        let mut best = None;
        let mut most = (0, 0);
        for &index in &node.clusters {
            let Some(cluster) = self.clusters.get(index) else {
                continue;
            };
            if cluster.spaces != tokens.spaces {
                continue;
            }
            let (mut same, mut holes) = (0, 0);
            for (known, token) in cluster.template.iter().zip(&tokens.texts) {
                match known {
                    None => holes += 1,
                    Some(known) if **known == **token => same += 1,
                    Some(_) => {}
                }
            }
            if best.is_none() || (same, holes) > most {
                (best, most) = (Some(index), (same, holes));
            }
        }
        let share = most.0 as f64 / tokens.texts.len().max(1) as f64;
        best.filter(|_| share >= SIMILARITY)
    }

    /// Begins a cluster with a line; `None` where there are enough.
    fn begin(&mut self, tokens: &Tokens<'_>) -> Option<usize> {
        let index = self.clusters.len();
        if index >= MAX_CLUSTERS {
            return None;
        }
        let root = (tokens.texts.len(), tokens.shape);
        let mut node = self.roots.entry(root).or_default();
        for token in tokens.path() {
            let is_known = node.children.contains_key(*token);
            let has_hole = node.children.contains_key(HOLE);
            let room = MAX_CHILDREN - usize::from(!has_hole);
            let is_number = token.chars().any(char::is_numeric);
            let key = match is_known || (!is_number && node.children.len() < room) {
                true => *token,
                false => HOLE,
            };
            node = node.children.entry(key.into()).or_default();
        }
        if node.clusters.len() >= MAX_AT_LEAF {
            return None;
        }
        node.clusters.push(index);
        let template = tokens.texts.iter().map(|token| match *token {
            HOLE => None,
            token => Some(token.into()),
        });
        self.clusters.push(Cluster {
            template: template.collect(),
            spaces: tokens.spaces.clone(),
            inner: tokens.inner,
            samples: BTreeMap::new(),
        });
        Some(index)
    }
}

impl Tokens<'_> {
    /// The tokens by which a line walks down.
    fn path(&self) -> &[&str] {
        // The last token says nothing about which kind of line it is.
        let depth = (self.texts.len() - 1).min(DEPTH);
        &self.texts[..depth]
    }
}

impl Cluster {
    /// Returns the text, in which holes never touch.
    fn text(&self) -> String {
        let mut text = String::new();
        let push_hole = |text: &mut String| {
            if !text.ends_with(HOLE) {
                text.push_str(HOLE);
            }
        };
        if self.inner {
            push_hole(&mut text);
        }
        for (token, spaces) in self.template.iter().zip(&self.spaces) {
            match token {
                Some(token) => text.push_str(token),
                None => push_hole(&mut text),
            }
            text.extend(std::iter::repeat_n(' ', *spaces as usize));
        }
        if self.inner {
            push_hole(&mut text);
        }
        text
    }
}

#[cfg(test)]
mod tests;
