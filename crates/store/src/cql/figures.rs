//! The ledger's rows: absolute figures of a tenant in a lane partition, each balanced by itself. No I/O.

use model::State;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::RowWriter;

use crate::Ledger;

/// The tenant whose row counts all.
pub(super) const ALL: &str = "*";

/// What is counted: the first three, then the live and ended deliveries by the rank of their state.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Figures {
    pub(super) accepted: i64,
    pub(super) repeats: i64,
    pub(super) keys_reused: i64,
    pub(super) states: [i64; State::ALL.len()],
}

/// The row of them.
pub(super) type FiguresRow = (
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

impl Figures {
    pub(super) fn of(row: FiguresRow) -> Self {
        let all = [
            row.0, row.1, row.2, row.3, row.4, row.5, row.6, row.7, row.8, row.9, row.10, row.11, row.12, row.13,
            row.14,
        ];
        let [accepted, repeats, keys_reused, states @ ..] = all.map(|figure| figure.unwrap_or(0));
        Figures { accepted, repeats, keys_reused, states }
    }

    /// Adds what was counted since.
    pub(super) fn add(&mut self, more: &Figures) {
        self.accepted += more.accepted;
        self.repeats += more.repeats;
        self.keys_reused += more.keys_reused;
        for (figure, more) in self.states.iter_mut().zip(more.states) {
            *figure += more;
        }
    }

    /// Counts a delivery in.
    pub(super) fn enter(&mut self, state: State) {
        self.accepted += 1;
        self.states[usize::from(state.rank())] += 1;
    }

    /// Moves a delivery that was counted.
    pub(super) fn go(&mut self, from: State, to: State) {
        self.states[usize::from(from.rank())] -= 1;
        self.states[usize::from(to.rank())] += 1;
    }

    /// Adds these figures to a ledger, of which they are a part.
    pub(super) fn add_to(&self, ledger: &mut Ledger) {
        let count = |figure: i64| u64::try_from(figure).unwrap_or(0);
        ledger.accepted += count(self.accepted);
        ledger.repeats += count(self.repeats);
        ledger.keys_reused += count(self.keys_reused);
        for (state, figure) in State::ALL.into_iter().zip(self.states) {
            if figure != 0 {
                let column = if state.is_final() { &mut ledger.finals } else { &mut ledger.pending };
                *column.entry(state).or_default() += count(figure);
            }
        }
        ledger.difference += self.accepted - self.states.iter().sum::<i64>();
    }
}

/// A row of a batch that moves the ledger: the conditional move of the position, or a tenant's figures.
pub(super) enum LedgerRow<'a> {
    Position {
        partition: i32,
        was: i64,
        commits: i64,
        accepted_next: i64,
        events_next: i64,
        early: i64,
        usage_due: &'a str,
    },
    Figures {
        partition: i32,
        tenant: &'a str,
        figures: Figures,
    },
}

impl SerializeRow for LedgerRow<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            LedgerRow::Position { partition, was, commits, accepted_next, events_next, early, usage_due } => {
                let columns = (commits, accepted_next, events_next, early, usage_due, partition, was);
                SerializeRow::serialize(&columns, context, writer)
            }
            LedgerRow::Figures { partition, tenant, figures } => {
                let mut columns = context.columns().iter();
                let mut put = |value: &dyn PutValue| match columns.next() {
                    Some(column) => value.put(column.typ(), writer),
                    None => Ok(()), // the statement has as many columns as there are figures
                };
                put(partition)?;
                put(tenant)?;
                for figure in [figures.accepted, figures.repeats, figures.keys_reused].iter().chain(&figures.states) {
                    put(figure)?;
                }
                Ok(())
            }
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// A value that writes itself into the next cell.
trait PutValue {
    fn put(
        &self,
        typ: &scylla::cluster::metadata::ColumnType<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError>;
}

impl<T: SerializeValue> PutValue for T {
    fn put(
        &self,
        typ: &scylla::cluster::metadata::ColumnType<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        SerializeValue::serialize(self, typ, writer.make_cell_writer()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_balances_by_itself() {
        let mut figures = Figures::default();
        figures.enter(State::Accepted);
        figures.enter(State::Rejected);
        figures.go(State::Accepted, State::Leased);
        let mut ledger = Ledger::default();
        figures.add_to(&mut ledger);
        assert_eq!((ledger.accepted, ledger.difference), (2, 0));
        assert_eq!((ledger.pending[&State::Leased], ledger.finals[&State::Rejected]), (1, 1));
        assert_eq!(ledger.pending.len() + ledger.finals.len(), 2);
        figures.states[0] += 1;
        let mut ledger = Ledger::default();
        figures.add_to(&mut ledger);
        assert_eq!(ledger.difference, -1, "one too many shows");
    }
}
