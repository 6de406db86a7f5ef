//! The rules of coalescing, one by one.

use super::*;

const T0: Timestamp = Timestamp(1_795_257_000_000);
const WINDOW_MS: i64 = 5_000;
const VALID_MS: i64 = 1_440 * 60_000;

fn at(ms: i64) -> Timestamp {
    T0.plus_ms(ms)
}

const fn package(seq: u64, delivery: u32) -> PackageId {
    PackageId { seq, delivery }
}

fn mark(window: &mut Window, resource: &str, ms: i64) {
    window.mark(&resource.into(), at(ms), WINDOW_MS);
}

/// Closes the window when all before it has left the queue, and hands over what comes of it, as one package; the names it tells of.
fn tell(window: &mut Window, ms: i64) -> Vec<String> {
    tell_with(window, ms, &[])
}

/// The same while these packages are before their route.
fn tell_with(window: &mut Window, ms: i64, unsent: &[PackageId]) -> Vec<String> {
    match window.close(at(ms), unsent, |_| true) {
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
        window.close(at(11_000), &[], |_| true),
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
    assert!(window.ended(package(1, 0), End::Delivered));
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
        assert!(window.ended(package(1, 0), end));
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
    assert!(!window.ended(package(2, 0), End::Unheard), "handed over, and that is all");
    assert_eq!(window.told.len(), 1);
    assert!(window.ended(package(2, 0), End::Expired));
    assert_eq!(dirty(&window), [""; 0]);
}

#[test]
fn what_failed_is_dirty_again_and_goes_with_the_next_window() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    tell(&mut window, 5_000);
    assert!(window.ended(package(1, 0), End::Failed { permanent: true }));
    assert!(!window.ended(package(1, 0), End::Failed { permanent: true }), "told twice");
    assert_eq!((dirty(&window), window.due(), window.failures), (vec!["a"], None, 1), "it waits for a window");
    mark(&mut window, "b", 9_000);
    assert_eq!(tell(&mut window, 14_000), ["a", "b"]);
}

#[test]
fn failures_for_good_are_counted_by_notification_and_in_a_row() {
    let mut window = Window::default();
    let fail = |window: &mut Window, seq, permanent| window.ended(package(seq, 0), End::Failed { permanent });
    fail(&mut window, 1, true);
    window.ended(package(1, 1), End::Failed { permanent: true });
    assert_eq!(window.failures, 1, "two packages of one notification");
    fail(&mut window, 2, false);
    fail(&mut window, 3, true);
    assert_eq!(window.failures, 2, "what may work the next time does not count");
    window.ended(package(4, 0), End::Delivered);
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
    assert_eq!(window.close(at(5_000), &[], |_| true), Closed::Notice);
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
    assert_eq!(window.close(at(5_000), &[], |name| name == "c"), Closed::Nothing { unwanted: 2 });
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
    assert_eq!((window.told.len(), window.told[0].id.seq), (TOLD_MAX, 200 - TOLD_MAX as u64 + 1));
}

#[test]
fn what_is_not_sent_yet_goes_along_and_need_not_be_sent() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    assert_eq!(window.asks(at(5_000)), [], "there is none before it");
    tell(&mut window, 5_000);
    mark(&mut window, "a", 6_000);
    assert_eq!(window.asks(at(11_000)), [], "the one before tells of it, sent or not");
    assert_eq!(tell_with(&mut window, 11_000, &[package(1, 0)]), [""; 0]);
    mark(&mut window, "b", 12_000);
    mark(&mut window, "a", 12_500);
    assert_eq!(window.asks(at(17_000)), [package(1, 0)]);
    assert_eq!(tell_with(&mut window, 17_000, &[package(1, 0)]), ["a", "b"]);
    assert_eq!(window.told.iter().map(|told| told.id).collect::<Vec<_>>(), [package(2, 0)]);
    let a = &window.told[0].marks[0];
    assert_eq!((&*a.resource, a.changed), ("a", at(12_500)), "as it changed last");
    // The one before was sent all the same, or was not: neither is news.
    for end in [End::Superseded, End::Failed { permanent: false }, End::Delivered] {
        assert!(!window.ended(package(1, 0), end));
    }
    assert_eq!((dirty(&window), window.failures), (vec![], 0));
    mark(&mut window, "c", 20_000);
    assert_eq!(tell_with(&mut window, 25_000, &[package(2, 0)]), ["a", "b", "c"]);
    window.ended(package(3, 0), End::Failed { permanent: false });
    assert_eq!(dirty(&window), ["a", "b", "c"], "with it all of them fail");
}

#[test]
fn of_several_packages_only_what_is_not_sent_goes_along() {
    let mut window = Window::default();
    for resource in ["a", "b"] {
        mark(&mut window, resource, 0);
    }
    window.close(at(5_000), &[], |_| true);
    let marks = window.intent.as_ref().unwrap().marks.clone();
    window.handed_over(marks.into_iter().map(|mark| vec![mark]).collect(), at(VALID_MS));
    mark(&mut window, "a", 6_000);
    mark(&mut window, "c", 6_000);
    assert_eq!(window.asks(at(11_000)), [package(1, 1), package(1, 0)], "the latest first");
    window.close(at(11_000), &[package(1, 1)], |_| true);
    let intent = window.intent.clone().unwrap();
    let names: Vec<&str> = intent.marks.iter().map(|mark| &*mark.resource).collect();
    assert_eq!((names, intent.supersedes), (vec!["b", "c"], vec![package(1, 1)]));
    assert_eq!((intent.told_before, intent.told_by), (1, vec![1]), "the other package tells of `a`");
}

#[test]
fn what_nobody_wants_any_more_does_not_go_along() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    tell(&mut window, 5_000);
    mark(&mut window, "b", 6_000);
    window.close(at(11_000), &[package(1, 0)], |name| name == "b");
    assert_eq!(window.intent.as_ref().unwrap().marks.len(), 1);
}

#[test]
fn what_came_along_is_not_dirty_if_it_can_t_be_told_with_the_later_one() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    tell(&mut window, 5_000);
    mark(&mut window, "b", 6_000);
    window.close(at(11_000), &[package(1, 0)], |_| true);
    window.take_back(at(41_000));
    assert_eq!(dirty(&window), ["b"], "the earlier one still tells of the other");
    window.ended(package(1, 0), End::Delivered);
    assert_eq!(tell(&mut window, 41_000), ["b"]);
}

#[test]
fn what_was_superseded_by_one_that_was_taken_back_stays_dirty() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    tell(&mut window, 5_000);
    mark(&mut window, "b", 6_000);
    window.close(at(11_000), &[package(1, 0)], |_| true);
    // It may be in the lane, where it ends the one before; the device is not to be told now, and forgets neither.
    window.take_back_if_made();
    window.hold(None);
    assert!(window.ended(package(1, 0), End::Superseded));
    assert_eq!(dirty(&window), ["a", "b"]);
    assert_eq!(window.failures, 0);
}

#[test]
fn a_set_that_nothing_else_carries_is_never_lost_with_a_superseded_one() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    tell(&mut window, 5_000);
    assert!(window.ended(package(1, 0), End::Superseded), "by one that is not known here");
    assert_eq!(dirty(&window), ["a"]);
    mark(&mut window, "b", 6_000);
    assert!(!window.open.unwrap().fresh, "it is no word of the device");
}

#[test]
fn a_report_makes_all_new_and_what_is_not_sent_goes_along() {
    let mut window = Window::default();
    mark(&mut window, "a", 0);
    tell(&mut window, 5_000);
    mark(&mut window, "b", 6_000);
    tell(&mut window, 11_000);
    mark(&mut window, "b", 12_000);
    window.ended(package(1, 0), End::Delivered);
    assert_eq!(window.asks(at(17_000)), [package(2, 0)]);
    assert_eq!(tell_with(&mut window, 17_000, &[package(2, 0)]), ["b"], "one of the two is sent");
}

#[test]
fn an_open_window_is_small() {
    // A hundred thousand of them in one router: the architecture's figures rest on this.
    assert!(size_of::<Window>() <= 256, "{}", size_of::<Window>());
    assert_eq!(size_of::<Mark>(), 24);
}
