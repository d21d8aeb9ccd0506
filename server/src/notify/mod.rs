//! Sending alerts to Alertmanagers.
//!
//! Rules hand alerts to an [`AlertSink`], which never makes them wait: the
//! [`Notifier`] adds the server's external labels, applies the rules for labels, and puts
//! the alerts into one queue for each Alertmanager. Each queue has a task that posts
//! batches. A queue that is full loses its oldest alerts, and a batch that is refused or
//! not answered is lost too: whoever evaluates rules sends an alert again while it
//! lasts, so what matters is that a slow receiver holds up nobody and that the newest
//! state arrives.
//!
//! Sections of the configuration that stay the same keep their Alertmanagers and queues
//! over a reload. Texts, names and the form of requests are those of Prometheus'
//! `notifier`.
//!
//! Reading order: `alert` (what is sent), `address` (to whom), `queue` (one
//! Alertmanager), `section` (those of one entry of the configuration), `notifier`.

mod address;
mod alert;
mod metrics;
mod notifier;
mod queue;
mod section;

pub(crate) use address::refused as refused_addresses;
pub(crate) use alert::{AlertSink, OutgoingAlert};
pub(crate) use metrics::write as write_metrics;
pub(crate) use notifier::{Notifier, NotifyOptions, Sections};

#[cfg(test)]
mod tests;
