//! The thread that writes: takes what waits, makes one frame of it, syncs once, then answers. Knows no lane by name.

use std::sync::Arc;
use std::thread::JoinHandle;

use rand::Rng as _;

use super::desk::{Desk, Order};
use super::flight::Flight;
use super::frame::{Head, LaneRow, MarkRow};
use super::shelf::{Pen, Shelf};
use crate::LogError;

/// Starts the thread. It ends when the desk is closed and empty.
pub(super) fn start(desk: &Arc<Desk>, shelf: &Arc<Shelf>, pen: Pen) -> std::io::Result<JoinHandle<()>> {
    let (desk, shelf) = (Arc::clone(desk), Arc::clone(shelf));
    std::thread::Builder::new().name("lanes-write".into()).spawn(move || {
        let abandon = Abandon(&desk);
        serve(&desk, &shelf, pen);
        drop(abandon);
    })
}

/// However the thread ends, nobody waits for it in vain.
struct Abandon<'a>(&'a Desk);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn serve(desk: &Desk, shelf: &Shelf, mut pen: Pen) {
    while let Some(work) = desk.wait() {
        work.orders.into_iter().for_each(|order| carry_out(shelf, &mut pen, order));
        if !work.requests.is_empty() {
            Flight::new(work.requests).fly(desk.options(), |head, bodies| shelf.write(&mut pen, head, bodies));
        }
    }
}

fn carry_out(shelf: &Shelf, pen: &mut Pen, order: Order) {
    // Whoever does not wait for the answer any more needs none.
    match order {
        Order::Make { name, partitions, answer } => drop(answer.send(make(shelf, pen, &name, partitions))),
        Order::Declare { seat, group, first, answer } => {
            let mark = MarkRow { seat, group: group.name().to_owned(), next: first };
            drop(answer.send(shelf.write(pen, &Head { marks: vec![mark], ..Head::default() }, &[])));
        }
        Order::Trim { firsts, answer } => drop(answer.send(shelf.trim(pen, &firsts))),
        #[cfg(any(test, feature = "conformance"))]
        Order::Hold(until) => drop((until.recv(), until.recv())),
    }
}

fn make(shelf: &Shelf, pen: &mut Pen, name: &str, partitions: u32) -> Result<LaneRow, LogError> {
    if let Some(row) = shelf.lanes().into_iter().find(|row| row.name == name) {
        return Ok(row);
    }
    let id: [u8; 16] = rand::rng().random();
    let row = LaneRow { name: name.to_owned(), id: id.to_vec().into(), partitions, seat: shelf.next_seat() };
    shelf.write(pen, &Head { lanes: vec![row.clone()], ..Head::default() }, &[])?;
    Ok(row)
}
