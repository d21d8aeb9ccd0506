//! Making a query smaller whose answers differ.

/// Leaves out choices, or makes them the first of all, as long as what is written from them
/// still differs and is not longer. Returns that query, and how its answers differ.
///
/// `text` writes a query from choices, `differs` asks it and tells, with its text, how its
/// answers differ; it is asked `max_tries` times, or once more.
pub(super) fn smaller(
    mut choices: Vec<u8>,
    mut what: String,
    max_tries: usize,
    text: impl Fn(&[u8]) -> String,
    differs: impl Fn(&[u8]) -> Option<(String, String)>,
) -> (String, String) {
    let mut tries = 0;
    let mut size = choices.len().next_power_of_two() / 2;
    while size > 0 {
        let mut at = 0;
        while at < choices.len() && tries < max_tries {
            let end = (at + size).min(choices.len());
            let mut without = choices.clone();
            without.drain(at..end);
            let mut zeroed = choices.clone();
            zeroed[at..end].fill(0);
            let len = text(&choices).len();
            let fewer = [without, zeroed].into_iter();
            let fewer = fewer.filter(|fewer| *fewer != choices && text(fewer).len() <= len);
            let fewer: Vec<Vec<u8>> = fewer.collect();
            tries += fewer.len();
            let found = fewer.into_iter();
            let found = found.filter_map(|fewer| Some((differs(&fewer)?, fewer)));
            match found.min_by_key(|((query, _), _)| query.len()) {
                Some(((_, other), fewer)) => (choices, what) = (fewer, other),
                None => at += size,
            }
        }
        size /= 2;
    }
    (text(&choices), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_difference_goes() {
        let text = |choices: &[u8]| {
            let letters = choices.iter().map(|choice| char::from(b'a' + choice % 26));
            letters.collect::<String>()
        };
        let differs = |choices: &[u8]| {
            let text = text(choices);
            let has = text.contains('x') && text.contains('y');
            has.then(|| (text.clone(), format!("{text} differs")))
        };
        let choices: Vec<u8> = (0..26).collect();
        let (query, what) = smaller(choices.clone(), String::new(), 400, text, differs);
        assert_eq!((query.as_str(), what.as_str()), ("xy", "xy differs"));
        let (query, what) = smaller(choices, "first".to_owned(), 0, text, differs);
        assert_eq!((query.len(), what.as_str()), (26, "first"));
    }
}
