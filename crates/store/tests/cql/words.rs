//! What a start that fails says. Knows no engine.

use store::StoreError;
use store::cql::{CqlStore, Options};

/// Opens what can't be opened, and returns everything the error and its causes say.
pub(crate) async fn refused(options: Options) -> String {
    let error: StoreError = CqlStore::open(options).await.err().expect("it was opened");
    let mut said = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        said = format!("{said}: {cause}");
        next = cause.source();
    }
    said
}
