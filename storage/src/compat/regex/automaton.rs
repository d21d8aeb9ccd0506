//! An expression as an automaton over bytes, to be run through a sorted set of texts:
//! texts that begin alike are looked at once, up to where nothing can match any more.

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::{Anchored, Input};

use super::{Dot, parse, whole};

/// Bounds of an automaton and of what it takes to build it. Making one that is larger
/// takes longer than it saves.
const MAX_BYTES: usize = 1 << 20;
const MAX_BUILD_BYTES: usize = 2 << 20;

/// An automaton that says of whole texts whether they match.
#[derive(Debug)]
pub(crate) struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Automaton {
    /// Compiles an expression. `None` where it is too large for this, or has something
    /// that such an automaton cannot do.
    pub(crate) fn new(pattern: &str) -> Option<Automaton> {
        let parsed = parse(pattern, Dot::Any).ok()?;
        let config = thompson::Config::new()
            .nfa_size_limit(Some(MAX_BUILD_BYTES))
            .which_captures(WhichCaptures::None);
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(&whole(&parsed.node))
            .ok()?;
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .accelerate(false)
            .dfa_size_limit(Some(MAX_BYTES))
            .determinize_size_limit(Some(MAX_BUILD_BYTES));
        let dfa = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .ok()?;
        let input = Input::new("").anchored(Anchored::Yes);
        let start = dfa.start_state_forward(&input).ok()?;
        Some(Automaton { dfa, start })
    }
}

impl fst::Automaton for &Automaton {
    type State = StateID;

    fn start(&self) -> StateID {
        self.start
    }

    fn is_match(&self, &state: &StateID) -> bool {
        // Matches are reported a byte late, the end being one.
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
    }

    fn can_match(&self, &state: &StateID) -> bool {
        !self.dfa.is_dead_state(state)
    }

    fn accept(&self, &state: &StateID, byte: u8) -> StateID {
        self.dfa.next_state(state, byte)
    }
}

#[cfg(test)]
mod tests {
    use fst::Automaton as _;
    use proptest::prelude::*;

    use super::super::{Dot, WholeMatch, parse};
    use super::Automaton;

    fn is_match(automaton: &Automaton, text: &str) -> bool {
        let mut state = automaton.start();
        for &byte in text.as_bytes() {
            state = (&automaton).accept(&state, byte);
        }
        (&automaton).is_match(&state)
    }

    #[test]
    fn what_is_too_large_is_left_alone() {
        assert!(Automaton::new(r"[a-z]{0,500}x(\pL{1,300}|y)+").is_none());
        assert!(Automaton::new("(").is_none());
    }

    proptest! {
        #[test]
        fn says_what_the_engine_says(
            pattern in prop::sample::select(vec![
                "a+b?", "(a|b)*c", "[ab]{2,4}", "a.*b.+", "(?i)AB[c-e]", "^a|b$", r"a\b.*",
                "é+a?", r"\pL[^a]", "a$|ab", "(^a)?b*", ".{3}", "a(b|c$)",
            ]),
            texts in prop::collection::vec("[abcé ]{0,5}", 1..20),
        ) {
            let parsed = parse(pattern, Dot::Any).unwrap();
            let engine = WholeMatch::new(pattern, &parsed.node).unwrap();
            let automaton = Automaton::new(pattern).unwrap();
            for text in texts {
                prop_assert_eq!(is_match(&automaton, &text), engine.is_match(&text), "{}", text);
            }
        }
    }
}
