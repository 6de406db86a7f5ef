//! The tenants' data keys that routers sent down their sessions. Kept in memory only; must not know what they open.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use lease::message::SessionKey;
use model::seal::DataKey;

/// Keys kept; a farm that serves more tenants than this asks too much of one node.
const KEYS_MAX: usize = 100_000;

/// The keys heard so far, of all sessions.
#[derive(Default)]
pub(crate) struct Keys(RwLock<HashMap<String, DataKey>>);

impl Keys {
    /// Takes a key; a key of the same id takes the older one's place.
    pub(crate) fn learn(&self, key: &SessionKey) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < KEYS_MAX || keys.contains_key(&key.id) {
            keys.insert(key.id.clone(), DataKey::new(&key.id, key.secret));
        } else {
            tracing::warn!(keys_max = KEYS_MAX, "a data key was dropped, there are too many");
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<DataKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}
