//! Reading JSON as Go's readers do, where a null is the empty value.

use serde::{Deserialize, Deserializer};

/// Reads a value; a null is the default.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
