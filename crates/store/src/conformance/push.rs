//! What every engine promises of documents, windows and notifications.

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};

use crate::{Document, DocumentKind, KEEP_MS_MIN, NotificationRow, Revision, Store, WindowRow, WindowSeat};

/// Later than any engine's clock while the suite runs: what lives until then is not over.
const LATER: Timestamp = Timestamp(4_102_444_800_000);

/// Each in a box: without optimisation a function's stack has room for all that it waits for.
pub(super) async fn what_notifications_need<S: Store>(open: &impl AsyncFn() -> S) {
    Box::pin(a_document_is_replaced_by_who_knows_it(open)).await;
    Box::pin(documents_are_listed_in_the_order_of_their_ids(open)).await;
    Box::pin(windows_are_kept_by_device(open)).await;
    Box::pin(notifications_are_told_whole(open)).await;
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a name of this suite")
}

fn document(owner: &TenantId, kind: DocumentKind, id: &str, body: &str) -> Document {
    Document { tenant: owner.clone(), kind, id: id.into(), body: body.into(), until: None }
}

async fn find<S: Store>(store: &S, of: &Document) -> Option<(Revision, Document)> {
    store.document(&of.tenant, of.kind, &of.id).await.expect("readable")
}

async fn a_document_is_replaced_by_who_knows_it<S: Store>(open: &impl AsyncFn() -> S) {
    let (store, owner) = (open().await, tenant("papers"));
    let account = |body: &str| document(&owner, DocumentKind::Account, "ann@acme.example", body);
    assert_eq!(find(&store, &account("")).await, None);
    let replace = async |was: Option<&Revision>, body: &str| {
        store.replace_document(was.cloned(), account(body)).await.expect("writable")
    };
    let first = replace(None, "one").await.expect("there was none");
    assert_eq!(replace(None, "two").await, None, "there is one");
    assert_eq!(find(&store, &account("")).await, Some((first.clone(), account("one"))));
    let (one, other) = tokio::join!(replace(Some(&first), "three"), replace(Some(&first), "four"));
    assert_eq!(usize::from(one.is_some()) + usize::from(other.is_some()), 1, "one of two is first");
    assert_eq!(replace(Some(&first), "five").await, None, "that revision is gone");
    let remove = async |was: &Revision| {
        store.remove_document(&owner, DocumentKind::Account, "ann@acme.example", was.clone()).await.expect("writable")
    };
    assert!(!remove(&first).await, "that revision is gone");
    let store = open().await;
    let (last, kept) = find(&store, &account("")).await.expect("it is in");
    assert_eq!(Some(last.clone()), one.or(other));
    assert!(["three", "four"].contains(&kept.body.as_str()));
    // Kind, tenant and id are told apart to the last octet.
    let others = [
        document(&owner, DocumentKind::ClientModel, "ann@acme.example", "a"),
        document(&owner, DocumentKind::Account, "Ann@acme.example", "b"),
        document(&tenant("papers-2"), DocumentKind::Account, "ann@acme.example", "c"),
    ];
    for other in &others {
        store.replace_document(None, other.clone()).await.expect("writable").expect("there was none");
    }
    let removed = store.remove_document(&owner, DocumentKind::Account, "ann@acme.example", last.clone()).await;
    assert!(removed.expect("writable"));
    let removed = store.remove_document(&owner, DocumentKind::Account, "ann@acme.example", last).await;
    assert!(!removed.expect("writable"), "it is gone");
    assert_eq!(find(&store, &account("")).await, None);
    for other in &others {
        assert_eq!(find(&store, other).await.map(|found| found.1).as_ref(), Some(other));
    }
    // What was removed may come again, and what had an end may get another, or none.
    let mut key = Document { until: Some(LATER), ..document(&owner, DocumentKind::ChangeKey, "k", "answered") };
    let first = store.replace_document(None, key.clone()).await.expect("writable").expect("there was none");
    assert_eq!(find(&store, &key).await, Some((first.clone(), key.clone())));
    (key.body, key.until) = ("again".into(), None);
    store.replace_document(Some(first), key.clone()).await.expect("writable").expect("it was this revision");
    store.purge(LATER, KEEP_MS_MIN).await.expect("writable");
    assert_eq!(find(&store, &key).await.map(|found| found.1), Some(key));
    assert!(replace_is_first(&store, &account("born again")).await);
}

async fn replace_is_first<S: Store>(store: &S, put: &Document) -> bool {
    store.replace_document(None, put.clone()).await.expect("writable").is_some()
}

async fn documents_are_listed_in_the_order_of_their_ids<S: Store>(open: &impl AsyncFn() -> S) {
    let (store, owner) = (open().await, tenant("shelf"));
    let ids = ["Zoe", "anna", "anna2", "o'neil/1", "zoë", "~"];
    for id in ids.iter().rev() {
        let put = document(&owner, DocumentKind::DeviceOwner, id, &format!("of {id}"));
        assert!(replace_is_first(&store, &put).await);
    }
    assert!(replace_is_first(&store, &document(&owner, DocumentKind::OptOut, "0f", "")).await);
    let store = open().await;
    let list = async |after: &str, max| -> Vec<String> {
        let found = store.documents(&owner, DocumentKind::DeviceOwner, after, max).await.expect("readable");
        for (revision, document) in &found {
            assert_eq!((revision.as_str(), &document.body), (document.body.as_str(), &format!("of {}", document.id)));
        }
        found.into_iter().map(|(_, document)| document.id).collect()
    };
    assert_eq!(list("", 99).await, ids);
    assert_eq!(list("", 2).await, ids[..2]);
    assert_eq!(list("anna", 3).await, ids[2..5]);
    assert_eq!(list("~", 3).await, [""; 0]);
    let ask = [("shelf", "0f"), ("shelf", "1f"), ("nobody", "0f")].map(|(owner, id)| (tenant(owner), id.to_owned()));
    let had = store.have_documents(DocumentKind::OptOut, &ask).await.expect("readable");
    assert_eq!(had, [true, false, false], "a document may be empty");
    assert!(store.have_documents(DocumentKind::OptOut, &[]).await.expect("readable").is_empty());
    for owner in ["shelf", "shelf-2"] {
        let number = document(&tenant(owner), DocumentKind::NumberOwner, "0f", "a device");
        assert!(replace_is_first(&store, &number).await);
    }
    let mut having = store.tenants_with(DocumentKind::NumberOwner, "0f").await.expect("readable");
    having.sort_unstable();
    assert_eq!(having, [tenant("shelf"), tenant("shelf-2")]);
    assert!(store.tenants_with(DocumentKind::NumberOwner, "1f").await.expect("readable").is_empty());
}

async fn windows_are_kept_by_device<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let window = |partition, owner: &str, device: &str, state: &[u8]| WindowRow {
        partition,
        tenant: tenant(owner),
        account: "ann@acme.example".into(),
        device: device.into(),
        state: Bytes::copy_from_slice(state),
    };
    let rows =
        [window(2, "blinds", "one", &[1]), window(2, "blinds", "two", &[2]), window(2, "shutters", "one", &[3; 4_000])];
    let (mut seat, mut other) = (take(&store, 2).await, take(&store, 3).await);
    store.windows_put(seat.stamp().expect("unused"), rows.to_vec()).await.expect("writable");
    let elsewhere = vec![window(3, "blinds", "one", &[4])];
    store.windows_put(other.stamp().expect("unused"), elsewhere).await.expect("writable");
    let changed = [window(2, "blinds", "one", &[5]), window(2, "blinds", "two", &[]), window(2, "blinds", "no", &[])];
    for _ in 0..2 {
        store.windows_put(seat.stamp().expect("unused"), changed.to_vec()).await.expect("writable");
    }
    let store = open().await;
    let mut kept = store.windows(2).await.expect("readable");
    kept.sort_by_key(|row| row.tenant.clone());
    assert_eq!(kept, [changed[0].clone(), rows[2].clone()]);
    assert_eq!(store.windows(3).await.expect("readable"), [window(3, "blinds", "one", &[4])]);
    assert_eq!(store.windows(1).await.expect("readable"), []);
    // Whoever wrote them before may be late: what was put since stays.
    let mut newer = take(&store, 2).await;
    let put = [window(2, "blinds", "one", &[6]), window(2, "shutters", "one", &[])];
    store.windows_put(newer.stamp().expect("unused"), put.to_vec()).await.expect("writable");
    for _ in 0..3 {
        store.windows_put(seat.stamp().expect("unused"), rows.to_vec()).await.expect("writable");
    }
    let mut kept = store.windows(2).await.expect("readable");
    kept.retain(|row| row.device == "one");
    assert_eq!(kept, put[..1], "nor does it bring back what was removed");
    let put = [window(2, "blinds", "one", &[7])];
    store.windows_put(newer.stamp().expect("unused"), put.to_vec()).await.expect("writable");
    let kept = store.windows(2).await.expect("readable");
    assert!(kept.contains(&put[0]), "the newer one goes on");
}

async fn take<S: Store>(store: &S, partition: u32) -> WindowSeat {
    store.windows_take(partition).await.expect("writable")
}

async fn notifications_are_told_whole<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let row = |id: u128, body: &str| NotificationRow {
        tenant: tenant("bell"),
        id: MessageId(id),
        until: LATER,
        body: body.into(),
    };
    store.notifications_put(vec![row(1, "opened"), row(2, "opened")]).await.expect("writable");
    store.notifications_put(vec![row(1, "opened, sent")]).await.expect("writable");
    let store = open().await;
    let find = async |owner: &str, id| store.notification(&tenant(owner), MessageId(id)).await.expect("readable");
    assert_eq!(find("bell", 1).await, Some(row(1, "opened, sent")));
    assert_eq!(find("bell", 2).await, Some(row(2, "opened")));
    assert_eq!(find("whistle", 1).await, None, "it is another tenant's");
    assert_eq!(find("bell", 3).await, None);
    store.purge(super::ACCEPTED, KEEP_MS_MIN).await.expect("writable");
    assert!(find("bell", 1).await.is_some(), "its time is not over");
}
