//! A tenant's documents about notifications, read and written as what they are. Knows their forms; must not know what may be in them.

use model::push::{Access, AccessRule, Account, ClientModel};
use model::{Refusal, TenantId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{AnyStore, Document, DocumentKind, Revision, Store, StoreError};

use crate::problem::Problem;

/// The documents of one tenant.
#[derive(Clone, Copy)]
pub(crate) struct Files<'a> {
    pub(crate) store: &'a AnyStore,
    pub(crate) tenant: &'a TenantId,
}

/// What an account may do, and what its synchronisation address is completed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rules {
    domain: Option<Access>,
    all: Option<Access>,
    /// The path of addresses without one.
    pub(crate) sync_path: String,
}

impl Rules {
    /// Whether an account with this word of its own may use push.
    pub(crate) fn allow(&self, own: Option<Access>) -> bool {
        Access::allows(own, self.domain, self.all)
    }
}

impl Files<'_> {
    /// A document's text.
    pub(crate) async fn text(&self, kind: DocumentKind, id: &str) -> Result<Option<(Revision, String)>, Problem> {
        let found = self.store.document(self.tenant, kind, id).await.map_err(unavailable)?;
        Ok(found.map(|(revision, document)| (revision, document.body)))
    }

    /// A document that is kept for a while, unless that is over at `now`.
    pub(crate) async fn text_at(
        &self,
        kind: DocumentKind,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<String>, Problem> {
        let found = self.store.document(self.tenant, kind, id).await.map_err(unavailable)?;
        let holds = |document: &Document| document.until.is_none_or(|until| now < until);
        Ok(found.map(|(_, document)| document).filter(holds).map(|document| document.body))
    }

    /// What a document says.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        kind: DocumentKind,
        id: &str,
    ) -> Result<Option<(Revision, T)>, Problem> {
        let found = self.text(kind, id).await?;
        found.map(|(revision, body)| Ok((revision, parse(kind, &body)?))).transpose()
    }

    /// What the documents say whose ids come after `after`, in their order.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        kind: DocumentKind,
        after: &str,
        max: usize,
    ) -> Result<Vec<(String, Revision, T)>, Problem> {
        let found = self.store.documents(self.tenant, kind, after, max).await.map_err(unavailable)?;
        let one = |(revision, document): (Revision, Document)| {
            let said = parse(kind, &document.body)?;
            Ok((document.id, revision, said))
        };
        found.into_iter().map(one).collect()
    }

    /// Puts a text; `None`: somebody was first.
    pub(crate) async fn put_text(
        &self,
        was: Option<Revision>,
        kind: DocumentKind,
        id: &str,
        body: String,
        until: Option<Timestamp>,
    ) -> Result<Option<Revision>, Problem> {
        let document = Document { tenant: self.tenant.clone(), kind, id: id.to_owned(), body, until };
        self.store.replace_document(was, document).await.map_err(unavailable)
    }

    /// Puts a document; `None`: somebody was first.
    pub(crate) async fn put<T: Serialize>(
        &self,
        was: Option<Revision>,
        kind: DocumentKind,
        id: &str,
        said: &T,
    ) -> Result<Option<Revision>, Problem> {
        let body = serde_json::to_string(said).expect("documents have keys that are text");
        let body = if kind == DocumentKind::Account { unlike_any(&body) } else { body };
        self.put_text(was, kind, id, body, None).await
    }

    /// Puts an account in its own place as it is, so that nothing replaces it that was made of the revision `was`; `false`: somebody was
    /// first.
    pub(crate) async fn put_again(&self, was: Revision, id: &str, body: &str) -> Result<bool, Problem> {
        let put = self.put_text(Some(was), DocumentKind::Account, id, unlike_any(body), None).await?;
        Ok(put.is_some())
    }

    /// Removes a document; `false`: somebody was first.
    pub(crate) async fn remove(&self, kind: DocumentKind, id: &str, was: Revision) -> Result<bool, Problem> {
        self.store.remove_document(self.tenant, kind, id, was).await.map_err(unavailable)
    }

    /// Removes a document, whatever it says.
    pub(crate) async fn drop(&self, kind: DocumentKind, id: &str) -> Result<(), Problem> {
        while let Some((revision, _)) = self.text(kind, id).await? {
            if self.remove(kind, id, revision).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// An account's text as what it says.
    pub(crate) fn read_account(&self, body: &str) -> Result<Account, Problem> {
        parse(DocumentKind::Account, body)
    }

    /// An account.
    pub(crate) async fn account(&self, id: &str) -> Result<Option<(Revision, Account)>, Problem> {
        self.read(DocumentKind::Account, id).await
    }

    /// A client model: the tenant's own, else the built-in one of this name.
    pub(crate) async fn model(&self, name: &str) -> Result<Option<ClientModel>, Problem> {
        let own = self.read(DocumentKind::ClientModel, name).await?;
        Ok(own.map(|(_, model)| model).or_else(|| ClientModel::built_in_of(name)))
    }

    /// What holds for accounts of a domain.
    pub(crate) async fn rules(&self, domain: &str) -> Result<Rules, Problem> {
        let rule = async |id: &str| -> Result<Option<AccessRule>, Problem> {
            Ok(self.read(DocumentKind::AccessRule, id).await?.map(|(_, rule)| rule))
        };
        let (domain, all) = (rule(domain).await?, rule(AccessRule::ALL).await?);
        let paths = [&domain, &all].into_iter().flatten().map(|rule| rule.sync_path.clone());
        let path = paths.into_iter().find(|path| !path.is_empty());
        Ok(Rules {
            domain: domain.map(|rule| rule.access),
            all: all.map(|rule| rule.access),
            sync_path: path.unwrap_or_else(|| model::push::SYNC_PATH.to_owned()),
        })
    }
}

/// A document with blanks behind it that make its revision, which is its text, one that never was (RFC 8259, 2: they mean nothing). Who
/// goes by a revision that was replaced twice is then refused even if what is there says the same again.
fn unlike_any(body: &str) -> String {
    const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];
    let drawn: u64 = rand::random();
    let blanks = (0..u64::BITS / 2).map(|at| BLANKS[(drawn >> (2 * at) & 3) as usize]);
    body.trim_end().chars().chain(blanks).collect()
}

fn parse<T: DeserializeOwned>(kind: DocumentKind, body: &str) -> Result<T, Problem> {
    serde_json::from_str(body).map_err(|error| {
        // The error names a place and a field, not what is in it.
        tracing::error!(kind = kind.name(), line = error.line(), column = error.column(), "a document can't be read");
        Refusal::Unavailable.into()
    })
}

fn unavailable(error: StoreError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "documents can't be read or changed");
    Refusal::Unavailable.into()
}
