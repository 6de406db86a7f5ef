//! The rules of coalescing, one by one.

use super::*;

const T0: Timestamp = Timestamp(1_795_257_000_000);
const WINDOW_MS: i64 = 5_000;
const VALID_MS: i64 = 1_440 * 60_000;

fn at(ms: i64) -> Timestamp {
    T0.plus_ms(ms)
}

fn mark(window: &mut Window, resource: &str, ms: i64) {
    window.mark(&resource.into(), at(ms), WINDOW_MS);
}

/// Closes the window and hands over what comes of it, as one package; the names it tells of.
fn tell(window: &mut Window, ms: i64) -> Vec<String> {
    match window.close(at(ms), |_| true) {
        Closed::Notice => {
            let marks = window.intent.as_ref().unwrap().marks.clone();
            window.handed_over(vec![marks.clone()], at(ms + VALID_MS));
            marks.iter().map(|mark| mark.resource.to_string()).collect()
        }
        Closed::Covered { .. } | Closed::Nothing { .. } => Vec::new(),
    }
}

fn dirty(window: &Window) -> Vec<&str> {
    let mut names: Vec<&str> = window.dirty.iter().map(|mark| &*mark.resource).collect();
    names.sort_unstable();
    names
}

#[test]
fn later_changes_never_move_the_deadline_back() {
    let mut window = Window::default();
    mark(&mut window, "b", 0);
    for ms in 1..200 {
        mark(&mut window, if ms % 2 == 0 { "a" } else { "b" }, ms * 20);
        assert_eq!(window.due(), Some(at(5_000)));
    }
    window.mark(&"c".into(), at(4_000), 200);
    assert_eq!(window.due(), Some(at(4_200)), "one that is in a hurry takes the others along");
    assert_eq!(window.open.unwrap().events, 201);
    assert_eq!(tell(&mut window, 4_200), ["a", "b", "c"], "in one order, each once");
    assert_eq!((window.seq, window.due()), (1, None));
}

#[test]
fn what_is_told_and_not_confirmed_is_not_told_again() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    mark(&mut window, "b", 1);
    assert_eq!(tell(&mut window, 5_000), ["a", "b"]);
    mark(&mut window, "b", 6_000);
    assert_eq!(
        window.close(at(11_000), |_| true),
        Closed::Covered {
            window: Open { opened: at(6_000), deadline: at(11_000), events: 1, fresh: false, held_up: false },
            by: vec![1]
        }
    );
    assert_eq!((window.seq, window.due()), (1, None), "no number is used up");
    mark(&mut window, "b", 12_000);
    mark(&mut window, "c", 12_000);
    assert_eq!(tell(&mut window, 17_000), ["c"], "only the difference");
    mark(&mut window, "a", 18_000);
    mark(&mut window, "c", 18_000);
    assert_eq!(tell(&mut window, 23_000), [""; 0], "the union is told");
    assert!(window.ended(1, 0, End::Delivered));
    mark(&mut window, "b", 24_000);
    mark(&mut window, "c", 24_000);
    assert_eq!(tell(&mut window, 29_000), ["b"], "of the rest nothing is proved");
}

#[test]
fn a_report_while_a_window_is_open_makes_all_of_it_new() {
    for end in [End::Delivered, End::Failed { permanent: false }] {
        let mut window = Window::default();
        mark(&mut window, "a", 0);
        tell(&mut window, 5_000);
        mark(&mut window, "b", 6_000);
        tell(&mut window, 11_000);
        mark(&mut window, "b", 12_000);
        assert!(window.ended(1, 0, end));
        let expected: &[&str] = if end == End::Delivered { &["b"] } else { &["a", "b"] };
        assert_eq!(tell(&mut window, 17_000), expected, "{end:?}");
        assert_eq!(window.told.len(), 1, "the older package tells of nothing the newer does not");
    }
}

#[test]
fn without_a_word_it_is_forgotten_when_its_time_is_over() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    tell(&mut window, 5_000);
    mark(&mut window, "a", VALID_MS);
    assert_eq!(tell(&mut window, VALID_MS + 4_999), [""; 0]);
    mark(&mut window, "a", VALID_MS + 5_000);
    assert_eq!(tell(&mut window, VALID_MS + 10_000), ["a"]);
    assert!(!window.ended(2, 0, End::Unheard), "handed over, and that is all");
    assert_eq!(window.told.len(), 1);
    assert!(window.ended(2, 0, End::Expired));
    assert_eq!(dirty(&window), [""; 0]);
}

#[test]
fn what_failed_is_dirty_again_and_goes_with_the_next_window() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    tell(&mut window, 5_000);
    assert!(window.ended(1, 0, End::Failed { permanent: true }));
    assert!(!window.ended(1, 0, End::Failed { permanent: true }), "told twice");
    assert_eq!((dirty(&window), window.due(), window.failures), (vec!["a"], None, 1), "it waits for a window");
    mark(&mut window, "b", 9_000);
    assert_eq!(tell(&mut window, 14_000), ["a", "b"]);
}

#[test]
fn failures_for_good_are_counted_by_notification_and_in_a_row() {
    let mut window = Window::default();
    let fail = |window: &mut Window, seq, permanent| window.ended(seq, 0, End::Failed { permanent });
    fail(&mut window, 1, true);
    window.ended(1, 1, End::Failed { permanent: true });
    assert_eq!(window.failures, 1, "two packages of one notification");
    fail(&mut window, 2, false);
    fail(&mut window, 3, true);
    assert_eq!(window.failures, 2, "what may work the next time does not count");
    window.ended(4, 0, End::Delivered);
    fail(&mut window, 5, true);
    assert_eq!(window.failures, 1);
}

#[test]
fn a_device_that_synchronises_hears_nothing_and_then_of_what_changed_since() {
    let mut window = Window::default();
    mark(&mut window, "told", 0);
    tell(&mut window, 5_000);
    mark(&mut window, "before", 6_000);
    assert_eq!(window.synced(at(7_000), None, at(7_100)), [1], "it finds what it was told of");
    assert_eq!((window.told.len(), dirty(&window).len(), window.open), (0, 0, None));
    mark(&mut window, "during", 8_000);
    assert!(window.due() > Some(at(60_000)), "not before it is done");
    window.synced(at(7_000), Some(at(30_000)), at(30_100));
    assert_eq!(window.due(), Some(at(30_100)));
    assert_eq!(tell(&mut window, 30_100), ["during"]);
    window.synced(at(40_000), None, at(40_000));
    mark(&mut window, "later", 41_000);
    window.stop_waiting_for_sync(at(40_000 + SYNC_MS_MAX - 1));
    assert!(window.syncing.is_some());
    window.stop_waiting_for_sync(at(40_000 + SYNC_MS_MAX));
    assert_eq!(tell(&mut window, 40_000 + SYNC_MS_MAX), ["later"], "one that never says that it is done");
}

#[test]
fn a_pause_keeps_and_the_end_of_it_tells_all_at_once() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    window.hold(None);
    mark(&mut window, "b", 60_000);
    assert_eq!(window.due(), None);
    window.hold(Some(at(90_000)));
    assert_eq!(window.due(), Some(at(90_000)));
    window.release(at(80_000));
    assert_eq!(window.due(), Some(at(80_000)));
    assert_eq!(tell(&mut window, 80_000), ["a", "b"]);
    window.release(at(81_000));
    assert_eq!(window.due(), None, "it was not held");
}

#[test]
fn what_cannot_be_told_goes_on_collecting_under_the_same_number() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    assert_eq!(window.close(at(5_000), |_| true), Closed::Notice);
    mark(&mut window, "b", 5_001);
    window.take_back(at(35_000));
    assert_eq!((window.seq, window.due()), (0, Some(at(35_000))));
    mark(&mut window, "c", 6_000);
    assert_eq!(window.due(), Some(at(35_000)));
    assert_eq!(tell(&mut window, 35_000), ["a", "b", "c"]);
    assert_eq!(window.seq, 1);
}

#[test]
fn what_nobody_wants_is_left_out_and_what_is_cleared_is_gone() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    mark(&mut window, "b", 0);
    assert_eq!(window.close(at(5_000), |name| name == "c"), Closed::Nothing { unwanted: 2 });
    mark(&mut window, "a", 6_000);
    tell(&mut window, 11_000);
    mark(&mut window, "b", 12_000);
    window.hold(None);
    assert_eq!(window.clear(), 1);
    assert!(window.is_idle());
    mark(&mut window, "a", 13_000);
    assert_eq!(tell(&mut window, 18_000), ["a"]);
    assert_eq!(window.seq, 2, "numbers only rise");
}

#[test]
fn packages_that_are_never_confirmed_are_bounded() {
    let mut window = Window::default();
    for n in 0..200_i64 {
        mark(&mut window, &format!("r{n}"), n * 10_000);
        tell(&mut window, n * 10_000 + 5_000);
    }
    assert_eq!((window.told.len(), window.told[0].seq), (TOLD_MAX, 200 - TOLD_MAX as u64 + 1));
}

#[test]
fn an_open_window_is_small() {
    // A hundred thousand of them in one router: the architecture's figures rest on this.
    assert!(size_of::<Window>() <= 256, "{}", size_of::<Window>());
    assert_eq!(size_of::<Mark>(), 24);
}
