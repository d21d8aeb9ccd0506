//! The regular expressions that a template has used: compiling one takes far longer than
//! using it, and most templates use the same ones each time.

use std::collections::HashMap;
use std::sync::Arc;

use kymo_storage::compat::regex::{Regex, RegexError};
use parking_lot::Mutex;

/// How many are kept; a template with more compiles the others each time.
const MAX_KEPT: usize = 32;

/// An expression, or why it is none.
pub(super) type CompiledRegex = Result<Regex, RegexError>;

/// The expressions by their text.
#[derive(Debug, Default)]
pub(super) struct Regexes {
    kept: Mutex<HashMap<String, Arc<CompiledRegex>>>,
}

impl Regexes {
    pub(super) fn get(&self, pattern: &str) -> Option<Arc<CompiledRegex>> {
        self.kept.lock().get(pattern).cloned()
    }

    pub(super) fn compile(&self, pattern: String) -> Arc<CompiledRegex> {
        let compiled = Arc::new(Regex::new(&pattern));
        let mut kept = self.kept.lock();
        if kept.len() < MAX_KEPT {
            kept.insert(pattern, Arc::clone(&compiled));
        }
        compiled
    }
}
