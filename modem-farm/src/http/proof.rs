//! What we say of ourselves to an HTTP server, from files or the environment. Knows where secrets are kept; speaks to nobody.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::LinkName;
use runtime::Secret;

use crate::error::FarmError;

/// RFC 7617.
pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
}

/// A secret from its file, else from its variable, else empty.
///
/// # Errors
/// The file cannot be read, or the variable is not there.
pub(crate) fn secret(link: &LinkName, file: &Path, variable: &str) -> Result<Secret, FarmError> {
    let supplier = link.clone();
    if !file.as_os_str().is_empty() {
        return Secret::read(file).map_err(|source| FarmError::Password { supplier, source });
    }
    if variable.is_empty() {
        return Ok(Secret::new(String::new()));
    }
    let found = std::env::var(variable).map(Secret::new);
    found.map_err(|_| FarmError::PasswordVariable { supplier, variable: variable.to_owned() })
}
