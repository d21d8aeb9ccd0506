//! Tests of the notifier.
