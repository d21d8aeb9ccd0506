//! The objects that are known, and which of them changed.

use std::collections::{BTreeMap, BTreeSet};

use super::objects::{EndpointSlice, Endpoints, Ingress, Meta, Node, Plain, Pod, Service};

/// A kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Node,
    Ingress,
    Namespace,
    ReplicaSet,
    Job,
}

/// An object of any kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object {
    Pod(Box<Pod>),
    Service(Box<Service>),
    Endpoints(Endpoints),
    EndpointSlice(EndpointSlice),
    Node(Box<Node>),
    Ingress(Ingress),
    Plain(Plain),
}

impl Object {
    /// Returns what all objects have.
    pub(super) fn meta(&self) -> &Meta {
        match self {
            Object::Pod(pod) => &pod.metadata,
            Object::Service(service) => &service.metadata,
            Object::Endpoints(endpoints) => &endpoints.metadata,
            Object::EndpointSlice(slice) => &slice.metadata,
            Object::Node(node) => &node.metadata,
            Object::Ingress(ingress) => &ingress.metadata,
            Object::Plain(plain) => &plain.metadata,
        }
    }
}

/// What the API tells of a kind.
#[derive(Debug)]
pub(super) enum News {
    /// These are all there are in a namespace, which is empty for the whole cluster.
    All(String, Vec<Object>),
    /// This is there, new or changed.
    Is(Object),
    /// What has this namespace and name is no more.
    Gone(String, String),
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Add,
    Update,
    Delete,
}

/// Objects by name, by namespace.
type Table = BTreeMap<String, BTreeMap<String, Object>>;

/// All objects that are known.
#[derive(Debug, Default)]
pub(super) struct Store(BTreeMap<Kind, Table>);

impl Store {
    /// Takes news of a kind in, notes what changed in a way that labels can show, and
    /// tells of each event.
    pub(super) fn take(
        &mut self,
        kind: Kind,
        news: News,
        changed: &mut Changed,
        mut tell: impl FnMut(Event),
    ) {
        let table = self.0.entry(kind).or_default();
        match news {
            News::Is(object) => put(table, kind, object, changed, &mut tell),
            News::Gone(namespace, name) => {
                remove(table, kind, (&namespace, &name), changed, &mut tell);
            }
            News::All(within, objects) => {
                let named = objects
                    .iter()
                    .map(|o| (o.meta().namespace.clone(), o.meta().name.clone()));
                let now: BTreeSet<(String, String)> = named.collect();
                let known = table
                    .iter()
                    .filter(|(ns, _)| within.is_empty() || **ns == within);
                let known = known.flat_map(|(ns, by_name)| {
                    by_name.keys().map(move |name| (ns.clone(), name.clone()))
                });
                let gone: Vec<_> = known.filter(|key| !now.contains(key)).collect();
                for (namespace, name) in gone {
                    remove(table, kind, (&namespace, &name), changed, &mut tell);
                }
                for object in objects {
                    put(table, kind, object, changed, &mut tell);
                }
            }
        }
    }

    /// Returns an object.
    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.0.get(&kind)?.get(namespace)?.get(name)
    }

    /// Returns all objects of a kind.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        let tables = self.0.get(&kind).into_iter();
        tables.flat_map(|table| table.values().flat_map(|by_name| by_name.values()))
    }

    /// Returns a pod.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        match self.get(Kind::Pod, namespace, name) {
            Some(Object::Pod(pod)) => Some(pod),
            _ => None,
        }
    }

    /// Returns a service.
    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        match self.get(Kind::Service, namespace, name) {
            Some(Object::Service(service)) => Some(service),
            _ => None,
        }
    }
}

fn put(
    table: &mut Table,
    kind: Kind,
    object: Object,
    changed: &mut Changed,
    tell: &mut impl FnMut(Event),
) {
    let (namespace, name) = (object.meta().namespace.clone(), object.meta().name.clone());
    let by_name = table.entry(namespace.clone()).or_default();
    match by_name.get(&name) {
        Some(old) => {
            tell(Event::Update);
            if *old == object {
                return;
            }
        }
        None => tell(Event::Add),
    }
    changed.add(kind, &namespace, &name);
    by_name.insert(name, object);
}

fn remove(
    table: &mut Table,
    kind: Kind,
    (namespace, name): (&str, &str),
    changed: &mut Changed,
    tell: &mut impl FnMut(Event),
) {
    let Some(by_name) = table.get_mut(namespace) else {
        return;
    };
    if by_name.remove(name).is_some() {
        tell(Event::Delete);
        changed.add(kind, namespace, name);
    }
    if by_name.is_empty() {
        table.remove(namespace);
    }
}

/// The names of objects that changed.
#[derive(Debug, Default)]
pub(super) struct Changed(BTreeMap<Kind, BTreeMap<String, BTreeSet<String>>>);

impl Changed {
    fn add(&mut self, kind: Kind, namespace: &str, name: &str) {
        let by_namespace = self.0.entry(kind).or_default();
        let names = by_namespace.entry(namespace.to_owned()).or_default();
        names.insert(name.to_owned());
    }

    /// Tells whether nothing changed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether an object changed.
    pub(super) fn has(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        let names = self.0.get(&kind).and_then(|names| names.get(namespace));
        names.is_some_and(|names| names.contains(name))
    }

    /// Tells whether objects of other kinds changed.
    pub(super) fn has_others(&self, kind: Kind) -> bool {
        self.0.keys().any(|changed| *changed != kind)
    }

    /// Returns namespace and name of each object of a kind that changed.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = (&str, &str)> {
        let namespaces = self.0.get(&kind).into_iter().flatten();
        namespaces.flat_map(|(namespace, names)| {
            names.iter().map(|name| (namespace.as_str(), name.as_str()))
        })
    }
}
