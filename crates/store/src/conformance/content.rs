//! What every engine promises of what waits for phones.

use bytes::Bytes;
use model::{MessageId, TenantId};

use crate::{ContentRow, ContentTicket, KEEP_MS_MIN, Store};

pub(super) async fn waits_for_phones<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let now = super::ACCEPTED;
    let hour = now.plus_ms(3_600_000);
    let tenant = |name: &str| TenantId::new(name).expect("a name of this suite");
    let content = |id: u128, name: &str, octets: usize| ContentRow {
        id: MessageId(id),
        tenant: tenant(name),
        until: hour,
        data_key: format!("{name}.0"),
        sealed: Bytes::from(vec![7; octets]),
    };
    let ticket = |number: u8, id: u128| ContentTicket {
        ticket: [number; 16],
        content: MessageId(id),
        recipient_hash: [number + 1; 16],
        until: hour,
        ended: None,
    };
    let find = async |store: &S, number: u8| store.content([number; 16]).await.expect("readable");
    assert_eq!(find(&store, 1).await, None);
    assert_eq!(store.content_octets(&tenant("gallery"), now).await.expect("readable"), 0);
    let (one, large) = (content(11, "gallery", 5), content(12, "gallery", 300_000));
    store.content_put(one.clone(), vec![ticket(1, 11), ticket(2, 11)], now).await.expect("writable");
    store.content_put(large.clone(), vec![ticket(3, 12)], now).await.expect("writable");
    store.content_put(content(13, "museum", 9), vec![], now).await.expect("writable");
    store.content_put(one.clone(), vec![ticket(1, 11), ticket(2, 11)], now).await.expect("writable, again");
    let store = open().await;
    assert_eq!(find(&store, 2).await, Some((ticket(2, 11), one.clone())));
    assert_eq!(find(&store, 3).await, Some((ticket(3, 12), large)));
    assert_eq!(store.content_octets(&tenant("gallery"), now).await.expect("readable"), 300_005);
    store.content_ended(&ticket(2, 11), now.plus_ms(5)).await.expect("writable");
    let ended = ContentTicket { ended: Some(now.plus_ms(5)), ..ticket(2, 11) };
    assert_eq!(find(&store, 2).await, Some((ended, one.clone())));
    assert_eq!(find(&store, 1).await, Some((ticket(1, 11), one)), "another recipient's waits on");
    store.purge(now, KEEP_MS_MIN).await.expect("writable");
    assert!(find(&store, 1).await.is_some(), "its time is not over");
}
