//! Turns without doors: who gets in, in which order, and who is told to come back.

use std::pin::Pin;
use std::task::Poll;

use super::*;

/// Longer than any test takes.
const WAIT_MAX: Duration = Duration::from_secs(600);

type Entering = Pin<Box<dyn Future<Output = Result<Turn, Refusal>>>>;

/// Turns of which all that are allowed are taken.
struct House {
    turns: Arc<Turns>,
    taken: Vec<Turn>,
}

impl House {
    async fn full() -> Self {
        Self::full_for(WAIT_MAX).await
    }

    async fn full_for(wait_max: Duration) -> Self {
        let (turns, mut taken) = (Turns::new(wait_max), Vec::new());
        for _ in 0..turns.standing().1 {
            taken.push(turns.enter(&tenant("flood"), 1, 1).await.unwrap());
        }
        House { turns, taken }
    }

    /// Somebody who waits: something else of theirs is under way.
    async fn queue(&self, name: &str, weight: u32, deliveries: usize) -> Entering {
        // A task that never pauses is told at some time that nothing is ready.
        tokio::task::yield_now().await;
        let (turns, tenant) = (Arc::clone(&self.turns), tenant(name));
        turns.hall().tenants.entry(tenant.clone()).or_insert(1);
        let mut entering: Entering = Box::pin(async move { turns.enter(&tenant, weight, deliveries).await });
        assert!(poll(&mut entering).await.is_none(), "there is no room");
        entering
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

async fn poll(entering: &mut Entering) -> Option<Result<Turn, Refusal>> {
    std::future::poll_fn(|context| match entering.as_mut().poll(context) {
        Poll::Ready(entered) => Poll::Ready(Some(entered)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Lets one in after the other, and says whose turn it was each time.
async fn order(mut house: House, mut queue: Vec<(&'static str, Entering)>) -> Vec<&'static str> {
    let mut order = Vec::new();
    let mut turn = house.taken.pop();
    while !queue.is_empty() {
        drop(turn.take());
        for place in 0..queue.len() {
            if let Some(entered) = poll(&mut queue[place].1).await {
                turn = Some(entered.unwrap());
                order.push(queue.remove(place).0);
                break;
            }
        }
        assert!(turn.is_some(), "nobody was called after {order:?}");
    }
    order
}

#[tokio::test]
async fn a_quiet_tenant_is_next_however_many_of_a_loud_one_wait() {
    let house = House::full().await;
    let mut queue = Vec::new();
    for _ in 0..100 {
        queue.push(("flood", house.queue("flood", 1, 1).await));
    }
    queue.push(("quiet", house.queue("quiet", 1, 1).await));
    let order = order(house, queue).await;
    assert_eq!(order.iter().position(|name| *name == "quiet"), Some(1), "as early as the first of the others");
}

#[tokio::test]
async fn who_has_nothing_under_way_need_not_wait_for_room() {
    let house = House::full().await;
    let _waiting = house.queue("flood", 1, 1).await;
    let first = house.turns.enter(&tenant("quiet"), 1, 1).await.unwrap();
    let mut second = house.queue("quiet", 1, 1).await;
    drop(first);
    assert!(poll(&mut second).await.is_none(), "they are beyond what is allowed: nobody is called yet");
}

#[tokio::test]
async fn who_brought_much_at_once_waits_like_others_the_next_time() {
    let house = House::full().await;
    let _waiting = house.queue("flood", 1, 1).await;
    drop(house.turns.enter(&tenant("bulk"), 1, 1_000).await.unwrap());
    let (turns, bulk) = (Arc::clone(&house.turns), tenant("bulk"));
    let mut next: Entering = Box::pin(async move { turns.enter(&bulk, 1, 1).await });
    assert!(poll(&mut next).await.is_none());
}

#[tokio::test]
async fn few_are_let_in_beyond_what_is_allowed() {
    let house = House::full().await;
    let mut first = Vec::new();
    for number in 0..QUIET_MAX {
        first.push(house.turns.enter(&tenant(&format!("quiet-{number}")), 1, 1).await.unwrap());
    }
    let (turns, one_more) = (Arc::clone(&house.turns), tenant("one-more"));
    let mut entering: Entering = Box::pin(async move { turns.enter(&one_more, 1, 1).await });
    assert!(poll(&mut entering).await.is_none());
    drop(first);
    drop(house.taken);
    assert!(poll(&mut entering).await.is_some_and(|entered| entered.is_ok()));
}

#[tokio::test]
async fn tenants_who_wait_are_served_by_their_weights_and_by_what_they_bring() {
    let house = House::full().await;
    let mut queue = Vec::new();
    for _ in 0..12 {
        queue.push(("heavy", house.queue("heavy", 2, 1).await));
        queue.push(("light", house.queue("light", 1, 1).await));
        queue.push(("bulk", house.queue("bulk", 1, 2).await));
    }
    let first = &order(house, queue).await[..14];
    let count = |name| first.iter().filter(|found| **found == name).count();
    assert_eq!((count("heavy"), count("light"), count("bulk")), (8, 4, 2));
}

#[tokio::test]
async fn who_waits_too_long_is_told_to_come_back_and_leaves_no_trace() {
    let mut house = House::full_for(Duration::from_millis(20)).await;
    let queued = house.queue("quiet", 1, 1).await;
    assert_eq!(house.turns.standing().0, 1);
    assert_eq!(queued.await.unwrap_err(), Refusal::Busy);
    assert_eq!(house.turns.standing().0, 0);
    house.taken.clear();
    let hall = house.turns.hall();
    assert_eq!((hall.under_way, hall.waiting.len()), (0, 0));
}

#[tokio::test]
async fn nobody_pays_for_turns_that_did_not_come() {
    let house = House::full().await;
    let mut queue = Vec::new();
    for _ in 0..5 {
        queue.push(("steady", house.queue("steady", 1, 1).await));
    }
    for _ in 0..100 {
        drop(house.queue("refused", 1, 1).await);
    }
    queue.push(("refused", house.queue("refused", 1, 1).await));
    assert_eq!(order(house, queue).await[..3], ["steady", "refused", "steady"]);
}

#[tokio::test]
async fn who_leaves_while_called_gives_the_turn_to_the_next() {
    let mut house = House::full().await;
    let (gone, mut next) = (house.queue("one", 1, 1).await, house.queue("two", 1, 1).await);
    house.taken.pop(); // the first is called, and does not hear it any more
    drop(gone);
    assert!(poll(&mut next).await.is_some_and(|entered| entered.is_ok()));
}

#[tokio::test]
async fn the_look_at_the_processors_follows_them_and_rests() {
    let house = House::full().await;
    let before = house.turns.standing().1;
    for _ in 0..pace::LOOKS {
        assert!(house.turns.look(Duration::from_millis(50)), "something is under way");
    }
    assert!(house.turns.standing().1 < before);
    drop(house.taken);
    assert!(!house.turns.look(Duration::ZERO));
}
