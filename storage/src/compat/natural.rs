//! The natural order of `sort_by_label`: digits inside strings compare as numbers.

/// Tells whether `a` stands before `b` in natural order.
///
/// This is the predicate of the library that Prometheus uses, oddities included: a
/// string stands before its equal, and the empty string before nothing. Strings
/// are compared in runs of digits and of other characters; two runs of digits that
/// fit 64 bits compare as numbers, all else as text.
pub fn less(a: &str, b: &str) -> bool {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() {
        if rest_b.is_empty() {
            return false;
        }
        let run_a = take_run(&mut rest_a);
        let run_b = take_run(&mut rest_b);
        let same = match (number(run_a), number(run_b)) {
            (Some(number_a), Some(number_b)) if number_a != number_b => {
                return number_a < number_b;
            }
            (Some(_), Some(_)) => true,
            _ => run_a == run_b,
        };
        if !same {
            return run_a < run_b;
        }
        if rest_a.is_empty() {
            return true;
        }
        if rest_b.is_empty() {
            return false;
        }
    }
    false
}

fn number(run: &str) -> Option<i64> {
    if run.starts_with(|c: char| c.is_ascii_digit()) {
        run.parse().ok()
    } else {
        None
    }
}

fn take_run<'a>(rest: &mut &'a str) -> &'a str {
    let digits = rest.starts_with(|c: char| c.is_ascii_digit());
    let end = rest
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(rest.len());
    let (run, behind) = rest.split_at(end);
    *rest = behind;
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers() {
        assert!(less("host2", "host10"));
        assert!(!less("host10", "host2"));
        assert!(less("10.0.0.2", "10.0.0.10"));
        assert!(less("9", "a"));
    }

    #[test]
    fn equal_strings_precede_each_other_and_the_empty_one_nothing() {
        assert!(less("a", "a"));
        assert!(less("a1", "a01") && less("a01", "a1"));
        assert!(!less("", "a") && !less("a", ""));
    }
}
