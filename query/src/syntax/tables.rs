//! From a grammar to an LALR(1) automaton, with the choices that yacc makes.
//!
//! Those choices are visible in error texts: conflicts are resolved by precedence,
//! else by shifting, else for the earlier rule; the commonest reduction of a state
//! becomes its default, which is taken without asking whether the next token can
//! follow, unless the state can shift the error token; a state that can do nothing
//! but its default does not even read the next token.

use std::collections::{HashMap, VecDeque};

/// Terminal that stands for the end of the text, and for a token that the lexer
/// could not read.
pub(crate) const END: u8 = 0;

/// Terminal that stands for a syntax error in the rules that recover from one.
pub(crate) const ERROR: u8 = 1;

/// A rule as the table builder sees it: symbols are numbers, terminals first.
pub(crate) struct Production {
    /// The nonterminal.
    pub(crate) lhs: u8,
    /// What it may consist of.
    pub(crate) rhs: Vec<u8>,
    /// How strongly the rule binds, if that was declared.
    pub(crate) precedence: Option<Precedence>,
}

/// How strongly a terminal or rule binds. Higher levels bind tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Precedence {
    pub(crate) level: u8,
    pub(crate) associativity: Associativity,
}

/// What happens between operators of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Associativity {
    Left,
    Right,
    None,
}

/// A whole grammar. The first rule is the goal's.
pub(crate) struct Grammar {
    pub(crate) productions: Vec<Production>,
    /// At most 127, [`END`] and [`ERROR`] included.
    pub(crate) n_terminals: u8,
    /// Terminals and nonterminals together.
    pub(crate) n_symbols: u8,
    /// By terminal.
    pub(crate) precedences: Vec<Option<Precedence>>,
}

/// What to do in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take the token and go to a state.
    Shift(u16),
    /// Apply a rule.
    Reduce(u16),
    /// The text is complete.
    Accept,
    /// The token cannot stand here.
    Fail,
}

/// The automaton. State 0 is the start.
pub(crate) struct Automaton {
    states: Vec<State>,
    rules: Vec<(u8, u8)>,
}

struct State {
    /// Actions that differ from the default, by terminal, sorted.
    actions: Vec<(u8, Action)>,
    default: Action,
    /// Where to go after a rule for a nonterminal was applied, sorted.
    gotos: Vec<(u8, u16)>,
}

impl Automaton {
    /// Returns the action of a state that needs no token to decide.
    pub(crate) fn without_token(&self, state: u16) -> Option<Action> {
        let state = &self.states[usize::from(state)];
        state.actions.is_empty().then_some(state.default)
    }

    /// Returns the action of a state on a terminal.
    pub(crate) fn action(&self, state: u16, terminal: u8) -> Action {
        let state = &self.states[usize::from(state)];
        find(&state.actions, terminal).unwrap_or(state.default)
    }

    /// Returns the terminals that a state names as possible, at most `max`, and `None`
    /// where there are more: first those that it takes, then those that complete a rule.
    pub(crate) fn expected(&self, state: u16, max: usize) -> Option<Vec<u8>> {
        let actions = &self.states[usize::from(state)].actions;
        let named = actions.iter().filter(|(terminal, _)| *terminal > ERROR);
        let (mut taken, mut completing) = (Vec::new(), Vec::new());
        for (terminal, action) in named {
            match action {
                Action::Shift(_) => taken.push(*terminal),
                Action::Reduce(_) | Action::Accept => completing.push(*terminal),
                Action::Fail => {}
            }
        }
        taken.append(&mut completing);
        (taken.len() <= max).then_some(taken)
    }

    /// Returns the state that follows `state` once `nonterminal` is complete.
    pub(crate) fn goto(&self, state: u16, nonterminal: u8) -> u16 {
        find(&self.states[usize::from(state)].gotos, nonterminal)
            .expect("invariant: a rule that was applied has a state to go to")
    }

    /// Returns the nonterminal of a rule and how many symbols it consists of.
    pub(crate) fn rule(&self, rule: u16) -> (u8, usize) {
        let (lhs, len) = self.rules[usize::from(rule)];
        (lhs, usize::from(len))
    }

    /// Builds the automaton of a grammar.
    pub(crate) fn build(grammar: &Grammar) -> Automaton {
        Builder::new(grammar).build()
    }
}

fn find<T: Copy>(sorted: &[(u8, T)], key: u8) -> Option<T> {
    let at = sorted.binary_search_by_key(&key, |(k, _)| *k).ok()?;
    Some(sorted[at].1)
}

/// A rule and how far it has been read.
type Item = (u16, u8);

/// A set of terminals, one bit each.
type Terminals = u128;

struct Builder<'a> {
    grammar: &'a Grammar,
    /// Rules by nonterminal.
    rules_of: Vec<Vec<u16>>,
    nullable: Vec<bool>,
    first: Vec<Terminals>,
}

/// The items that define a state, the terminals that may follow each, and the
/// states behind each symbol.
struct Core {
    kernel: Vec<Item>,
    follow: Vec<Terminals>,
    next: Vec<(u8, u16)>,
}

impl<'a> Builder<'a> {
    fn new(grammar: &'a Grammar) -> Builder<'a> {
        let n_symbols = usize::from(grammar.n_symbols);
        let mut rules_of = vec![Vec::new(); n_symbols];
        for (rule, production) in (0u16..).zip(&grammar.productions) {
            rules_of[usize::from(production.lhs)].push(rule);
        }
        let mut builder = Builder {
            grammar,
            rules_of,
            nullable: vec![false; n_symbols],
            first: vec![0; n_symbols],
        };
        for terminal in 0..grammar.n_terminals {
            builder.first[usize::from(terminal)] = 1 << terminal;
        }
        builder.find_firsts();
        builder
    }

    /// Finds for each nonterminal the terminals that it can begin with, and
    /// whether it can be empty.
    fn find_firsts(&mut self) {
        let mut changed = true;
        while changed {
            changed = false;
            for production in &self.grammar.productions {
                let (first, nullable) = self.first_of(&production.rhs);
                let lhs = usize::from(production.lhs);
                if self.first[lhs] | first != self.first[lhs] || nullable != self.nullable[lhs] {
                    changed |= nullable && !self.nullable[lhs];
                    changed |= self.first[lhs] | first != self.first[lhs];
                    self.first[lhs] |= first;
                    self.nullable[lhs] |= nullable;
                }
            }
        }
    }

    fn first_of(&self, symbols: &[u8]) -> (Terminals, bool) {
        let mut first = 0;
        for &symbol in symbols {
            first |= self.first[usize::from(symbol)];
            if !self.nullable[usize::from(symbol)] {
                return (first, false);
            }
        }
        (first, true)
    }

    fn production(&self, rule: u16) -> &Production {
        &self.grammar.productions[usize::from(rule)]
    }

    /// Returns the symbols of an item that have not been read.
    fn rest(&self, (rule, dot): Item) -> &[u8] {
        &self.production(rule).rhs[usize::from(dot)..]
    }

    fn is_nonterminal(&self, symbol: u8) -> bool {
        symbol >= self.grammar.n_terminals
    }

    fn build(self) -> Automaton {
        let mut cores = self.cores();
        self.spread_follows(&mut cores);
        let states = cores.iter().map(|core| self.state(core)).collect();
        let rules = &self.grammar.productions;
        let rules = rules.iter().map(|p| (p.lhs, p.rhs.len() as u8)).collect();
        Automaton { states, rules }
    }

    /// Finds all states, as sets of items.
    fn cores(&self) -> Vec<Core> {
        let start = vec![(0u16, 0u8)];
        let mut known = HashMap::from([(start.clone(), 0u16)]);
        let mut kernels = vec![start];
        let mut cores = Vec::new();
        while let Some(kernel) = kernels.get(cores.len()).cloned() {
            let mut by_symbol: Vec<Vec<Item>> = vec![Vec::new(); self.first.len()];
            let advance = |item: Item, by_symbol: &mut Vec<Vec<Item>>| {
                if let Some(&symbol) = self.rest(item).first() {
                    by_symbol[usize::from(symbol)].push((item.0, item.1 + 1));
                }
            };
            for &item in &kernel {
                advance(item, &mut by_symbol);
            }
            for (nonterminal, follow) in self.closure(&kernel, &vec![0; kernel.len()]) {
                debug_assert_eq!(follow & (1 << 127), 0);
                for &rule in &self.rules_of[usize::from(nonterminal)] {
                    advance((rule, 0), &mut by_symbol);
                }
            }
            let mut next = Vec::new();
            for (symbol, mut items) in (0u8..).zip(by_symbol) {
                if items.is_empty() {
                    continue;
                }
                items.sort_unstable();
                let state = *known.entry(items).or_insert_with_key(|items| {
                    kernels.push(items.clone());
                    (kernels.len() - 1) as u16
                });
                next.push((symbol, state));
            }
            cores.push(Core {
                follow: vec![0; kernel.len()],
                kernel,
                next,
            });
        }
        cores
    }

    /// Returns the nonterminals that may begin in a state, each with the
    /// terminals that may follow it there.
    fn closure(&self, kernel: &[Item], follows: &[Terminals]) -> Vec<(u8, Terminals)> {
        let mut seen = vec![None; self.first.len()];
        let mut changed = VecDeque::new();
        let reach = |rest: &[u8], follow: Terminals, seen: &mut Vec<Option<Terminals>>| {
            let (&symbol, behind) = rest.split_first()?;
            if !self.is_nonterminal(symbol) {
                return None;
            }
            let (first, empty) = self.first_of(behind);
            let follow = first | if empty { follow } else { 0 };
            let known = &mut seen[usize::from(symbol)];
            let united = known.unwrap_or(0) | follow;
            let is_news = *known != Some(united);
            *known = Some(united);
            is_news.then_some(symbol)
        };
        for (&item, &follow) in kernel.iter().zip(follows) {
            changed.extend(reach(self.rest(item), follow, &mut seen));
        }
        while let Some(nonterminal) = changed.pop_front() {
            let follow = seen[usize::from(nonterminal)].unwrap_or(0);
            for &rule in &self.rules_of[usize::from(nonterminal)] {
                changed.extend(reach(self.rest((rule, 0)), follow, &mut seen));
            }
        }
        let found = (0u8..).zip(seen);
        found.filter_map(|(n, follow)| Some((n, follow?))).collect()
    }

    /// Finds for each item of each state the terminals that may follow its rule.
    fn spread_follows(&self, cores: &mut [Core]) {
        cores[0].follow[0] = 1 << END;
        let mut queued = vec![true; cores.len()];
        let mut queue: VecDeque<usize> = (0..cores.len()).collect();
        while let Some(at) = queue.pop_front() {
            queued[at] = false;
            let core = &cores[at];
            let mut news: Vec<(Item, Terminals)> = Vec::new();
            news.extend(core.kernel.iter().copied().zip(core.follow.iter().copied()));
            for (nonterminal, follow) in self.closure(&core.kernel, &core.follow) {
                let rules = &self.rules_of[usize::from(nonterminal)];
                news.extend(rules.iter().map(|&rule| ((rule, 0), follow)));
            }
            for (item, follow) in news {
                let Some(&symbol) = self.rest(item).first() else {
                    continue;
                };
                let target = find(&cores[at].next, symbol)
                    .expect("invariant: every symbol behind a dot has a state");
                let target = usize::from(target);
                let to = &mut cores[target];
                let moved = (item.0, item.1 + 1);
                let index = to.kernel.binary_search(&moved);
                let index = index.expect("invariant: a state holds the items moved into it");
                if to.follow[index] | follow != to.follow[index] {
                    to.follow[index] |= follow;
                    if !queued[target] {
                        queued[target] = true;
                        queue.push_back(target);
                    }
                }
            }
        }
    }

    /// Decides what a state does on each terminal.
    fn state(&self, core: &Core) -> State {
        let n_terminals = usize::from(self.grammar.n_terminals);
        let mut row: Vec<Option<Action>> = vec![None; n_terminals];
        let mut gotos = Vec::new();
        for &(symbol, state) in &core.next {
            if self.is_nonterminal(symbol) {
                gotos.push((symbol, state));
            } else {
                row[usize::from(symbol)] = Some(Action::Shift(state));
            }
        }
        for (rule, follow) in self.complete(core) {
            for (terminal, cell) in row.iter_mut().enumerate() {
                if follow & (1 << terminal) != 0 {
                    *cell = Some(match *cell {
                        None if rule == 0 => Action::Accept,
                        None => Action::Reduce(rule),
                        // The earlier rule is already there.
                        Some(Action::Reduce(earlier)) => Action::Reduce(earlier),
                        Some(other) => self.shift_or_reduce(other, terminal, rule),
                    });
                }
            }
        }
        let default = default_action(&row);
        let actions = (0u8..).zip(row);
        let actions = actions.filter_map(|(t, action)| Some((t, action?)));
        let actions = actions.filter(|(_, action)| *action != default).collect();
        State {
            actions,
            default,
            gotos,
        }
    }

    /// Returns the rules that are complete in a state, in order, and what may
    /// follow each.
    fn complete(&self, core: &Core) -> Vec<(u16, Terminals)> {
        let mut complete = Vec::new();
        for (&item, &follow) in core.kernel.iter().zip(&core.follow) {
            if self.rest(item).is_empty() {
                complete.push((item.0, follow));
            }
        }
        for (nonterminal, follow) in self.closure(&core.kernel, &core.follow) {
            for &rule in &self.rules_of[usize::from(nonterminal)] {
                if self.production(rule).rhs.is_empty() {
                    complete.push((rule, follow));
                }
            }
        }
        complete.sort_unstable();
        complete
    }

    fn shift_or_reduce(&self, shift: Action, terminal: usize, rule: u16) -> Action {
        let binds = self.grammar.precedences[terminal];
        let (Some(token), Some(rule_binds)) = (binds, self.production(rule).precedence) else {
            return shift;
        };
        if token.level != rule_binds.level {
            return if token.level > rule_binds.level {
                shift
            } else {
                Action::Reduce(rule)
            };
        }
        match token.associativity {
            Associativity::Left => Action::Reduce(rule),
            Associativity::Right => shift,
            Associativity::None => Action::Fail,
        }
    }
}

/// Returns the commonest reduction of a state, the first of equals.
fn default_action(row: &[Option<Action>]) -> Action {
    if matches!(row[usize::from(ERROR)], Some(Action::Shift(_))) {
        return Action::Fail;
    }
    let mut best = (0, Action::Fail);
    for cell in row.iter().flatten() {
        if let Action::Reduce(_) = cell {
            let count = row.iter().filter(|other| **other == Some(*cell)).count();
            if count > best.0 {
                best = (count, *cell);
            }
        }
    }
    best.1
}
