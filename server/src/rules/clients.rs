//! Rules over logs that clients change while they are evaluated: what Loki's API of rules
//! does.
//!
//! A change is on disk before it is in force, and both before the caller is answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kymo_query::rules::{Language, Restore};

use super::evaluator::Evaluator;
use super::file::{self, Accepted};
use super::namespaces::{NamespaceError, Namespaces};
use super::running::Running;

impl Evaluator {
    /// Changes rules that clients write, and the groups that run.
    async fn change(
        &self,
        work: impl FnOnce(&Namespaces, &Accepted) -> Result<(), NamespaceError> + Send + 'static,
    ) -> Result<(), NamespaceError> {
        let turn = self.turn.lock().await;
        if *self.stop.borrow() {
            let stopping = "rules are not changed while the server stops";
            return Err(NamespaceError::Storage(stopping.to_owned()));
        }
        let done = self.renew(&turn, Restore::Nothing, work).await;
        let unfinished = || NamespaceError::Storage("the change was broken off".to_owned());
        done.unwrap_or_else(|| Err(unfinished()))
    }

    /// Puts a group of rules over logs into a namespace, and evaluates it from now on.
    /// `text` is the group in YAML.
    ///
    /// # Errors
    /// The group has mistakes, the namespace is one of the configuration, or the rules
    /// cannot be stored.
    pub(crate) async fn put_log_group(
        &self,
        namespace: &str,
        text: String,
    ) -> Result<(), NamespaceError> {
        self.check_writable(namespace)?;
        let group = file::parse_group("group", &text, &self.context.accepted)
            .map_err(|error| NamespaceError::Invalid(error.told_to_client()))?;
        let namespace = namespace.to_owned();
        self.change(move |namespaces, accepted| namespaces.put(&namespace, group, accepted))
            .await
    }

    /// Deletes a group of rules over logs.
    ///
    /// # Errors
    /// There is none, it is one of the configuration, or the change cannot be stored.
    pub(crate) async fn delete_log_group(
        &self,
        namespace: &str,
        group: &str,
    ) -> Result<(), NamespaceError> {
        self.check_writable(namespace)?;
        let (namespace, group) = (namespace.to_owned(), group.to_owned());
        self.change(move |namespaces, accepted| {
            namespaces.delete_group(&namespace, &group, accepted)
        })
        .await
    }

    /// Deletes a namespace of rules over logs.
    ///
    /// # Errors
    /// There is none, it is one of the configuration, or the change cannot be stored.
    pub(crate) async fn delete_log_namespace(&self, namespace: &str) -> Result<(), NamespaceError> {
        self.check_writable(namespace)?;
        let namespace = namespace.to_owned();
        self.change(move |namespaces, _| namespaces.delete(&namespace))
            .await
    }

    /// Returns the groups of rules over logs by namespace: the one that a client named, or
    /// the name of the file of the configuration.
    pub(crate) fn log_namespaces(&self) -> BTreeMap<String, Vec<Arc<Running>>> {
        let mut namespaces: BTreeMap<String, Vec<Arc<Running>>> = BTreeMap::new();
        for running in self.groups_of(Language::LogQl) {
            let (namespace, _) = self.namespace(running.group().file());
            namespaces.entry(namespace).or_default().push(running);
        }
        namespaces
    }

    /// Returns the namespace of a file, and whether clients write it.
    fn namespace(&self, file: &str) -> (String, bool) {
        match self.context.namespaces.of_file(file) {
            Some(namespace) => (namespace, true),
            None => {
                let name = Path::new(file).file_name();
                let name = name.map_or(file.into(), |name| name.to_string_lossy());
                (name.into_owned(), false)
            }
        }
    }

    fn check_writable(&self, namespace: &str) -> Result<(), NamespaceError> {
        for running in self.groups_of(Language::LogQl) {
            let file = running.group().file();
            if self.namespace(file) == (namespace.to_owned(), false) {
                return Err(NamespaceError::ReadOnly {
                    namespace: namespace.to_owned(),
                    file: file.to_owned(),
                });
            }
        }
        Ok(())
    }
}
