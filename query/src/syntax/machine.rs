//! Runs an automaton over the tokens of a text, and recovers from errors the way
//! yacc does.
//!
//! At an error the machine goes back to the nearest place whose rules expect one,
//! acts as if the `error` token stood there, and then drops tokens until one fits.
//! Until three tokens in a row have fitted, further errors count as the same one.

use crate::syntax::tables::{Action, Automaton, END, ERROR};

/// What the machine asks for while it runs: tokens, and what a rule means.
pub(crate) trait Host {
    /// What a symbol stands for once it is read.
    type Value: Default;
    /// Why a text is given up before its end.
    type Stop;

    /// Returns the next terminal and its value; [`END`] at the end.
    fn next(&mut self) -> (u8, Self::Value);

    /// Applies a rule: makes one value of those of its symbols.
    fn reduce(&mut self, rule: u16, args: &mut [Self::Value]) -> Result<Self::Value, Self::Stop>;

    /// Hears of the last terminal that it cannot stand in `state`, once per error.
    /// Languages whose own rules say what was expected need not listen.
    fn unexpected(&mut self, _automaton: &Automaton, _state: u16, _terminal: u8) {}
}

/// Reads a text to its end or to an error that no rule recovers from; the host
/// knows which from what it was asked to do.
pub(crate) fn run<H: Host>(automaton: &Automaton, host: &mut H) -> Result<(), H::Stop> {
    let mut states = vec![0u16];
    let mut values = vec![H::Value::default()];
    let mut lookahead: Option<(u8, H::Value)> = None;
    let mut recovering = 0u8;
    while let Some(&state) = states.last() {
        let action = automaton.without_token(state).unwrap_or_else(|| {
            let (terminal, _) = lookahead.get_or_insert_with(|| host.next());
            automaton.action(state, *terminal)
        });
        match action {
            Action::Accept => return Ok(()),
            Action::Shift(next) => {
                states.push(next);
                values.push(lookahead.take().map(|(_, value)| value).unwrap_or_default());
                recovering = recovering.saturating_sub(1);
            }
            Action::Reduce(rule) => {
                let (nonterminal, len) = automaton.rule(rule);
                let at = states.len() - len;
                let value = host.reduce(rule, &mut values[at..])?;
                states.truncate(at);
                values.truncate(at);
                let below = *states.last().unwrap_or(&0);
                states.push(automaton.goto(below, nonterminal));
                values.push(value);
            }
            Action::Fail if recovering == 3 => match &lookahead {
                Some((END, _)) | None => return Ok(()),
                Some(_) => lookahead = None,
            },
            Action::Fail => {
                if recovering == 0 {
                    let terminal = lookahead.as_ref().map_or(END, |(terminal, _)| *terminal);
                    host.unexpected(automaton, state, terminal);
                }
                recovering = 3;
                while let Some(&state) = states.last() {
                    if let Action::Shift(next) = automaton.action(state, ERROR) {
                        states.push(next);
                        values.push(H::Value::default());
                        break;
                    }
                    states.pop();
                    values.pop();
                }
            }
        }
    }
    Ok(())
}
