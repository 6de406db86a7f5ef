//! What an open window costs in memory, measured: the figure that the architecture gives. One test, in a process of its own, whose
//! allocator counts. The state's engine is written in C and not counted; its rows are on disk.

mod notifying;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use notifying::Scene;
use runtime::Stop;
use sms_router::config::Config;
use sms_router::notify::{self, Notifier};
use store::WindowRow;

/// Open windows of one router.
const WINDOWS: usize = 100_000;
/// What the architecture promises of each, in octets.
const WINDOW_OCTETS_MAX: isize = 800;

/// Octets that are allocated and not freed.
static LIVE: AtomicIsize = AtomicIsize::new(0);

struct Counting;

#[expect(unsafe_code, reason = "an allocator is made of nothing else; it hands on to the system's")]
// SAFETY: each call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(octets, layout) }
    }

    unsafe fn realloc(&self, octets: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as isize - layout.size() as isize, Ordering::Relaxed);
        unsafe { System.realloc(octets, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The row of a device whose window of three resources is open, as many times as wanted.
async fn rows(scene: &Scene, count: usize) -> Vec<WindowRow> {
    for resource in ["inbox", "contacts", "calendar"] {
        scene.change(resource).await;
    }
    scene.work(1).await;
    let row = scene.rows().await.remove(0);
    let of = |n: usize| WindowRow {
        account: format!("account-{n:06}@mail.acme.example"),
        device: format!("IMEI:49015420{n:07}"),
        ..row.clone()
    };
    (0..count).map(of).collect()
}

#[tokio::test]
async fn an_open_window_takes_less_memory_than_the_architecture_says() {
    let scene = Scene::open_with(Config { notify_window_ms: 30_000, ..Config::default() }).await;
    let put = scene.rows_of(rows(&scene, WINDOWS - 1).await).await;
    assert_eq!(put, WINDOWS);
    let keys = notify::Keys::of(&scene.house.master);
    let notifier = Notifier::new(scene.house.desk.clone(), keys, scene.partition);
    let (stop, open) = (Stop::new(30), scene.house.desk.metrics.notify_windows_open.clone());
    let before = LIVE.load(Ordering::Relaxed);
    let measured = async {
        while open.value() < WINDOWS as i64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The rows it was read from are freed by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let octets = LIVE.load(Ordering::Relaxed) - before;
        stop.begin();
        octets
    };
    let (ended, octets) = tokio::join!(notifier.run(&stop), measured);
    ended.unwrap();
    let each = octets / WINDOWS as isize;
    println!("{WINDOWS} open windows of three resources: {octets} octets, {each} each");
    assert!((256..=WINDOW_OCTETS_MAX).contains(&each), "{each} octets a window");
}
