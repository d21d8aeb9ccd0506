//! How well a value fits what was searched for: 0 to 1, and which values fit at all.
//!
//! Upstream source: `search_filters.go` and the two measures in `util/strutil` of
//! Prometheus. Comparing is quadratic in the length of a value, so of very long ones the
//! beginning is compared.

/// Characters of a term or value that are compared.
const MAX_CHARS: usize = 1024;

/// A measure of likeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// The letters of the term stand in the value in their order.
    Subsequence,
    /// As Jaro and Winkler compare names; terms that are contained fit in any case.
    JaroWinkler,
}

/// All measures, the first being the default.
pub(crate) const MEASURES: [&str; 2] = ["subsequence", "jarowinkler"];

impl Measure {
    pub(super) fn from_name(name: &str) -> Option<Measure> {
        match name {
            "" | "subsequence" => Some(Measure::Subsequence),
            "jarowinkler" => Some(Measure::JaroWinkler),
            _ => None,
        }
    }
}

/// What is searched for: any of several terms.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    terms: Vec<String>,
    measure: Measure,
    /// Least score that fits, 0 to 1.
    threshold: f64,
    ignores_case: bool,
}

impl Filter {
    /// Makes a filter of terms, of which empty ones do not count; `None` where there are no
    /// others.
    pub(super) fn new<'a>(
        terms: impl Iterator<Item = &'a str>,
        measure: Measure,
        threshold_percent: u8,
        ignores_case: bool,
    ) -> Option<Filter> {
        let fold = |term: &str| match ignores_case {
            true => term.to_lowercase(),
            false => term.to_owned(),
        };
        let terms: Vec<String> = terms.filter(|term| !term.is_empty()).map(fold).collect();
        (!terms.is_empty()).then_some(Filter {
            terms,
            measure,
            threshold: f64::from(threshold_percent) / 100.0,
            ignores_case,
        })
    }

    /// Returns the score of a value with the term that it fits best, `None` where it fits
    /// none.
    pub(super) fn score(&self, value: &str) -> Option<f64> {
        let folded;
        let value = if self.ignores_case {
            folded = value.to_lowercase();
            &folded
        } else {
            value
        };
        let scores = self
            .terms
            .iter()
            .filter_map(|term| self.of_term(term, value));
        scores.reduce(f64::max)
    }

    fn of_term(&self, term: &str, value: &str) -> Option<f64> {
        let fits = |score: f64| (score > 0.0 && score >= self.threshold).then_some(score);
        match self.measure {
            Measure::Subsequence if value.starts_with(term) => Some(1.0),
            Measure::Subsequence => fits(subsequence(term, value)),
            Measure::JaroWinkler => {
                containment(term, value).or_else(|| match self.threshold > 0.0 {
                    true => fits(jaro_winkler(term, value)),
                    false => None,
                })
            }
        }
    }
}

/// Scores a value that contains a term: the further in front, the better.
fn containment(term: &str, value: &str) -> Option<f64> {
    let at = value.find(term)?;
    let position = value[..at].chars().count();
    let last = value.chars().count() - term.chars().count();
    Some(match (position, last) {
        (0, _) | (_, 0) => 1.0,
        (position, last) => 1.0 - 0.9 * position as f64 / last as f64,
    })
}

fn chars(text: &str) -> Vec<char> {
    text.chars().take(MAX_CHARS).collect()
}

/// Scores how much of a term stands together in a value: squares of the lengths of its
/// runs, less what lies between them.
fn subsequence(term: &str, value: &str) -> f64 {
    if term == value {
        return 1.0;
    }
    if value.is_empty() || term.len() > value.len() {
        return 0.0;
    }
    let (term, value) = (chars(term), chars(value));
    let Some(last_begin) = value.len().checked_sub(term.len()) else {
        return 0.0;
    };
    let mut best: Option<f64> = None;
    for begin in 0..=last_begin {
        if value.get(begin) != term.first() {
            continue;
        }
        // If the rest does not hold the term, no shorter rest does.
        let Some(score) = runs_from(&term, &value, begin) else {
            break;
        };
        best = Some(best.map_or(score, |best| best.max(score)));
    }
    match best {
        Some(best) if best >= 0.0 => best / (term.len() * term.len()) as f64 * 0.999,
        _ => 0.0,
    }
}

fn runs_from(term: &[char], value: &[char], begin: usize) -> Option<f64> {
    let gap_cost = 1.0 / value.len() as f64;
    let (mut found, mut at, mut behind) = (0, begin, 0);
    let mut score = 0.0;
    while let Some(wanted) = term.get(found) {
        let ahead = value.get(at..)?.iter().position(|c| c == wanted)?;
        at += ahead;
        let run = value[at..].iter().zip(&term[found..]);
        let run = run.take_while(|(a, b)| a == b).count();
        score -= (at - behind) as f64 * gap_cost;
        score += (run * run) as f64;
        found += run;
        at += run;
        behind = at;
    }
    Some(score - (value.len() - behind) as f64 * gap_cost * 0.5)
}

/// Compares as Jaro does, and as Winkler counts common beginnings.
fn jaro_winkler(a: &str, b: &str) -> f64 {
    if a == b {
        return 1.0;
    }
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let (a, b) = (chars(a), chars(b));
    let (a, b) = if a.len() > b.len() { (b, a) } else { (a, b) };
    let distance = (b.len() / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut of_a = Vec::new();
    for (i, c) in a.iter().enumerate() {
        let window = i.saturating_sub(distance)..(i + distance + 1).min(b.len());
        let free = window.clone().find(|&j| !taken[j] && b[j] == *c);
        if let Some(j) = free {
            taken[j] = true;
            of_a.push(*c);
        }
    }
    if of_a.is_empty() {
        return 0.0;
    }
    let of_b = b.iter().zip(&taken).filter(|(_, taken)| **taken);
    let moved = of_a.iter().zip(of_b).filter(|(x, (y, _))| x != y).count() as f64;
    let n = of_a.len() as f64;
    let (inv_a, inv_b) = (1.0 / a.len() as f64, 1.0 / b.len() as f64);
    let jaro = (n * inv_a + n * inv_b + (n - moved * 0.5) / n) / 3.0;
    let prefix = a.iter().zip(&b).take(4).take_while(|(x, y)| x == y).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn names_are_compared_as_in_the_literature() {
        for (a, b, score) in [
            ("MARTHA", "MARHTA", 0.961_111_111_1),
            ("DWAYNE", "DUANE", 0.84),
            ("DIXON", "DICKSONX", 0.813_333_333_3),
            ("abc", "xyz", 0.0),
            ("straße", "strasse", 0.909_523_809_5),
        ] {
            let found = jaro_winkler(a, b);
            assert!((found - score).abs() < 1e-9, "{a} {b}: {found}");
            assert!(near(found, jaro_winkler(b, a)));
        }
    }

    #[test]
    fn runs_of_a_term_score_by_their_length_and_gaps_cost() {
        for (term, value, score) in [
            ("abc", "abc", 1.0),
            ("abc", "xabc", (9.0 - 0.25) / 9.0 * 0.999),
            ("abc", "abxc", (5.0 - 0.25) / 9.0 * 0.999),
            ("abc", "abcxx", (9.0 - 0.4 * 0.5) / 9.0 * 0.999),
            ("abc", "acb", 0.0),
            ("abc", "ab", 0.0),
        ] {
            let found = subsequence(term, value);
            assert!(near(found, score), "{term} {value}: {found}");
        }
    }

    #[test]
    fn a_value_fits_by_its_best_term() {
        let filter = |terms: &[&str], measure, threshold| {
            Filter::new(terms.iter().copied(), measure, threshold, true)
        };
        assert!(filter(&["", ""], Measure::Subsequence, 0).is_none());
        let any = filter(&["xyz", "UP"], Measure::Subsequence, 0).unwrap();
        assert_eq!(any.score("up_time"), Some(1.0));
        assert_eq!(any.score("down"), None);
        let contained = filter(&["time"], Measure::JaroWinkler, 0).unwrap();
        assert!(near(contained.score("up_time").unwrap(), 0.1));
        assert_eq!(contained.score("tame"), None);
        let alike = filter(&["time"], Measure::JaroWinkler, 80).unwrap();
        assert!(alike.score("tame").is_some());
    }

    proptest! {
        #[test]
        fn scores_are_between_nothing_and_all(term in ".{0,8}", value in ".{0,12}") {
            for score in [subsequence(&term, &value), jaro_winkler(&term, &value)] {
                prop_assert!((0.0..=1.0).contains(&score), "{}", score);
            }
        }
    }
}
