//! Whether this process says what the next build will, so that tests can run neighbouring builds of one installation. Only
//! debug builds can be asked.

use std::sync::LazyLock;

/// The variable that asks for it.
const VARIABLE: &str = "CARILLON_NEXT_BUILD";

/// Whether each frame is to have a message of a kind that no build knows yet.
pub(crate) fn is_asked() -> bool {
    static IS_ASKED: LazyLock<bool> = LazyLock::new(|| cfg!(debug_assertions) && std::env::var_os(VARIABLE).is_some());
    *IS_ASKED
}
