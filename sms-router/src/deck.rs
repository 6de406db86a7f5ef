//! The price deck as a CSV file: reads it whole or refuses it with line, column and what to mend. Knows no store.
//!
//! One line is one price of one supplier for one prefix, from a moment up to, not including, another. All seven columns
//! must be there, in any order:
//!
//! ```csv
//! supplier,prefix,country,price,currency,from,to
//! blue,447,GB,0.0375,EUR,2026-01-01T00:00:00Z,
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::party::{Rate, RatePrice};
use model::{Currency, Money, SupplierId, Timestamp};

use crate::country::{Country, can_belong};
use crate::planner::is_prefix;

/// Lines a deck may have.
pub const RATES_MAX: usize = 1_000_000;
/// Problems a refusal lists; the rest is counted.
pub const PROBLEMS_MAX: usize = 20;

const VALUE_CHARS_MAX: usize = 40;

/// The columns of a deck.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Column {
    /// Whose price.
    Supplier,
    /// Digits the number begins with.
    Prefix,
    /// ISO 3166-1 alpha-2, or empty.
    Country,
    /// Price of one segment.
    Price,
    /// ISO 4217.
    Currency,
    /// First moment it holds.
    From,
    /// First moment it no longer holds; empty: for good.
    To,
}

/// A deck that was refused; nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DeckError {
    /// What is wrong, by line; never empty, at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub more: usize,
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, from 1.
    pub line: u64,
    /// The column in that line, from 1.
    pub column: usize,
    /// The column's name in the header; empty where the trouble is the header or the line itself.
    pub name: String,
    /// What is wrong and what to do.
    pub mend: String,
}

/// Reads a deck. Prices must be of suppliers that are known and in one currency; two prices of a supplier for the same
/// prefix and country must not hold at the same moment.
///
/// # Errors
/// [`DeckError`] lists what to mend.
pub fn read(text: &[u8], suppliers: &BTreeSet<SupplierId>) -> Result<Vec<Rate>, DeckError> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).has_headers(false).from_reader(text);
    let mut problems = Problems::default();
    let mut records = reader.byte_records();
    let header = match records.next() {
        Some(Ok(record)) => Columns::read(&record, &mut problems),
        _ => return Err(problems.of(1, 1, "", "the file is empty; its first line names the columns".into())),
    };
    let Some(columns) = header else { return Err(problems.into_error()) };
    let mut lines = Lines { columns, suppliers, currency: None, rates: Vec::new() };
    for record in records {
        match record {
            Ok(record) => lines.take(&record, &mut problems),
            Err(error) => problems.add(line_of(error.position()), 1, "", format!("the line can't be read: {error}")),
        }
        if lines.rates.len() > RATES_MAX {
            let mend = format!("more than {RATES_MAX} prices; split the deck by installation");
            return Err(problems.of(lines.rates[RATES_MAX].0, 1, "", mend));
        }
    }
    lines.finish(problems)
}

/// What is wrong so far.
#[derive(Default)]
struct Problems {
    list: Vec<Problem>,
    more: usize,
}

/// Where each column stands.
struct Columns(BTreeMap<Column, usize>);

/// The lines read so far, with their numbers.
struct Lines<'a> {
    columns: Columns,
    suppliers: &'a BTreeSet<SupplierId>,
    currency: Option<(Currency, u64)>,
    rates: Vec<(u64, Rate)>,
}

/// One line, being read.
struct Line<'a, 'b> {
    number: u64,
    record: &'a csv::ByteRecord,
    columns: &'a Columns,
    problems: &'b mut Problems,
}

impl Problems {
    fn add(&mut self, line: u64, column: usize, name: &str, mend: String) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(Problem { line, column, name: name.to_owned(), mend });
        } else {
            self.more += 1;
        }
    }

    fn of(mut self, line: u64, column: usize, name: &str, mend: String) -> DeckError {
        self.add(line, column, name, mend);
        self.into_error()
    }

    fn into_error(mut self) -> DeckError {
        self.list.sort();
        DeckError { problems: self.list, more: self.more }
    }
}

impl Columns {
    fn read(header: &csv::ByteRecord, problems: &mut Problems) -> Option<Self> {
        let (line, mut found) = (line_of(header.position()), BTreeMap::new());
        for (index, name) in header.iter().enumerate() {
            let name = shown(name);
            match Column::ALL.into_iter().find(|column| column.as_str() == name) {
                Some(column) => {
                    if found.insert(column, index).is_some() {
                        problems.add(line, index + 1, "", format!("column `{name}` stands here a second time"));
                    }
                }
                None => problems.add(line, index + 1, "", format!("`{name}` is no column; {}", Column::names())),
            }
        }
        for column in Column::ALL.into_iter().filter(|column| !found.contains_key(column)) {
            problems.add(
                line,
                header.len() + 1,
                "",
                format!("column `{}` is missing; {}", column.as_str(), Column::names()),
            );
        }
        problems.list.is_empty().then_some(Columns(found))
    }
}

impl Lines<'_> {
    fn take(&mut self, record: &csv::ByteRecord, problems: &mut Problems) {
        let number = line_of(record.position());
        if record.len() != self.columns.0.len() {
            let mend = format!("the line has {} fields, the header {}", record.len(), self.columns.0.len());
            return problems.add(number, record.len().min(self.columns.0.len()) + 1, "", mend);
        }
        let mut line = Line { number, record, columns: &self.columns, problems };
        let supplier = line.supplier(self.suppliers);
        let prefix = line.prefix();
        let country = line.country(prefix.as_deref());
        let currency = line.currency(&mut self.currency);
        let price = line.price(currency);
        let from = line.moment(Column::From);
        let to = line.end(from);
        if let (Some(supplier), Some(prefix), Some(country), Some(unit), Some(from), Some(to)) =
            (supplier, prefix, country, price, from, to)
        {
            self.rates.push((number, Rate { supplier, prefix, country, unit, from, to }));
        }
    }

    fn finish(mut self, mut problems: Problems) -> Result<Vec<Rate>, DeckError> {
        self.refuse_overlaps(&mut problems);
        if !problems.list.is_empty() {
            return Err(problems.into_error());
        }
        if self.rates.is_empty() {
            return Err(problems.of(2, 1, "", "the deck has no prices; nothing would be routable".into()));
        }
        Ok(self.rates.into_iter().map(|(_, rate)| rate).collect())
    }

    fn refuse_overlaps(&mut self, problems: &mut Problems) {
        let mut by_key: Vec<&(u64, Rate)> = self.rates.iter().collect();
        by_key.sort_by_key(|(line, rate)| (&rate.supplier, &rate.prefix, &rate.country, rate.from, *line));
        for pair in by_key.windows(2) {
            let ((first_line, first), (line, rate)) = (pair[0], pair[1]);
            let same =
                (&first.supplier, &first.prefix, &first.country) == (&rate.supplier, &rate.prefix, &rate.country);
            if same && first.to.is_none_or(|to| rate.from < to) {
                let (later, earlier) = (line.max(first_line), line.min(first_line));
                let mend = format!(
                    "overlaps line {earlier} (`{}`, `{}`); end one price where the next begins",
                    rate.supplier, rate.prefix
                );
                problems.add(*later, self.columns.0[&Column::From] + 1, Column::From.as_str(), mend);
            }
        }
    }
}

impl Line<'_, '_> {
    fn text(&self, column: Column) -> String {
        shown(&self.record[self.columns.0[&column]])
    }

    fn refuse<T>(&mut self, column: Column, mend: String) -> Option<T> {
        self.problems.add(self.number, self.columns.0[&column] + 1, column.as_str(), mend);
        None
    }

    fn supplier(&mut self, known: &BTreeSet<SupplierId>) -> Option<SupplierId> {
        let text = self.text(Column::Supplier);
        match SupplierId::new(&text) {
            Ok(supplier) if known.contains(&supplier) => Some(supplier),
            Ok(_) => self.refuse(Column::Supplier, format!("there is no supplier `{text}`; create it first")),
            Err(error) => self.refuse(Column::Supplier, error.to_string()),
        }
    }

    fn prefix(&mut self) -> Option<String> {
        let text = self.text(Column::Prefix);
        if is_prefix(&text) && !text.starts_with('0') {
            return Some(text);
        }
        self.refuse(
            Column::Prefix,
            format!(
                "`{text}` is not a prefix; write 1 to 15 digits with the country code, without `+` or zeros before it"
            ),
        )
    }

    fn country(&mut self, prefix: Option<&str>) -> Option<String> {
        let text = self.text(Column::Country);
        if text.is_empty() {
            return Some(text);
        }
        let Some(country) = Country::parse(&text) else {
            return self.refuse(
                Column::Country,
                format!("`{text}` is not an ISO 3166-1 code; write two capital letters or nothing"),
            );
        };
        if prefix.is_some_and(|prefix| !can_belong(prefix, country)) {
            let mend = format!("numbers with prefix `{}` do not belong to `{text}`", prefix.unwrap_or_default());
            return self.refuse(Column::Country, mend);
        }
        Some(text)
    }

    fn currency(&mut self, first: &mut Option<(Currency, u64)>) -> Option<Currency> {
        let text = self.text(Column::Currency);
        let currency = match text.parse::<Currency>() {
            Ok(currency) => currency,
            Err(error) => return self.refuse(Column::Currency, format!("{error}; write three capital letters")),
        };
        let (one, line) = *first.get_or_insert((currency, self.number));
        if one == currency {
            return Some(currency);
        }
        let mend = format!(
            "`{currency}`, but line {line} is in `{one}`; one installation compares prices in one currency, convert them first"
        );
        self.refuse(Column::Currency, mend)
    }

    fn price(&mut self, currency: Option<Currency>) -> Option<RatePrice> {
        let text = self.text(Column::Price);
        let any = currency.unwrap_or_else(|| "XXX".parse().expect("three capital letters"));
        match Money::parse(&text, any) {
            Ok(price) => currency.map(|currency| RatePrice { micros: price.micros, currency }),
            Err(_) => {
                let mend = format!(
                    "`{text}` is not a price; write it as `0.0375` (a point, at most six places), and leave the line out where there is no price"
                );
                self.refuse(Column::Price, mend)
            }
        }
    }

    fn moment(&mut self, column: Column) -> Option<Timestamp> {
        let text = self.text(column);
        Timestamp::parse_rfc3339(&text).or_else(|| {
            self.refuse(
                column,
                format!("`{text}` is not a moment; write it as `2026-01-31T00:00:00Z` or with an offset"),
            )
        })
    }

    #[expect(clippy::option_option, reason = "refused, for good, or up to a moment")]
    fn end(&mut self, from: Option<Timestamp>) -> Option<Option<Timestamp>> {
        if self.text(Column::To).is_empty() {
            return Some(None);
        }
        let to = self.moment(Column::To)?;
        if from.is_some_and(|from| to <= from) {
            return self.refuse(Column::To, format!("`{to}` is not after the line's `from`; it would never hold"));
        }
        Some(Some(to))
    }
}

impl Column {
    /// All columns, in the order they are usually written.
    pub const ALL: [Column; 7] =
        [Column::Supplier, Column::Prefix, Column::Country, Column::Price, Column::Currency, Column::From, Column::To];

    /// Its name in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Column::Supplier => "supplier",
            Column::Prefix => "prefix",
            Column::Country => "country",
            Column::Price => "price",
            Column::Currency => "currency",
            Column::From => "from",
            Column::To => "to",
        }
    }

    fn names() -> String {
        format!("the columns are {}, separated by commas", Column::ALL.map(Column::as_str).join(", "))
    }
}

impl fmt::Display for DeckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the price deck is refused")?;
        for problem in &self.problems {
            write!(f, "; {problem}")?;
        }
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        if !self.name.is_empty() {
            write!(f, " (`{}`)", self.name)?;
        }
        write!(f, ": {}", self.mend)
    }
}

fn line_of(position: Option<&csv::Position>) -> u64 {
    position.map_or(1, csv::Position::line)
}

fn shown(field: &[u8]) -> String {
    String::from_utf8_lossy(field).chars().take(VALUE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "supplier,prefix,country,price,currency,from,to\n";
    const GOOD: &str = "blue,447,GB,0.0375,EUR,2026-01-01T00:00:00Z,2026-02-01T00:00:00Z\n";

    fn suppliers() -> BTreeSet<SupplierId> {
        ["blue", "green"].map(|name| SupplierId::new(name).unwrap()).into()
    }

    fn read_text(text: &str) -> Result<Vec<Rate>, String> {
        read(text.as_bytes(), &suppliers()).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(lines: &str, expected: &str) {
        let error = read_text(&format!("{HEADER}{lines}")).expect_err("this deck is broken");
        assert!(error.contains(expected), "`{error}` does not say `{expected}`");
    }

    #[test]
    fn a_good_deck_is_taken_whole() {
        let rates = read_text(&format!("{HEADER}{GOOD}green,1,,0,EUR,2026-01-01T00:00:00+02:00,\n\n")).unwrap();
        assert_eq!(rates.len(), 2);
        assert_eq!(rates[0].unit.micros, 37_500);
        assert_eq!(rates[0].to, Timestamp::parse_rfc3339("2026-02-01T00:00:00Z"));
        assert_eq!((rates[1].country.as_str(), rates[1].to), ("", None));
        assert_eq!(Some(rates[1].from), Timestamp::parse_rfc3339("2025-12-31T22:00:00Z"));
    }

    #[test]
    fn columns_come_in_any_order_and_spreadsheets_leave_their_marks() {
        let text = "\u{feff}to,from,currency,price, country ,prefix,supplier\r\n,2026-01-01T00:00:00Z,EUR,\"0.5\",GB,44,blue\r\n";
        assert_eq!(read_text(text).unwrap()[0].unit.micros, 500_000);
    }

    #[test]
    fn the_header_is_required_and_exact() {
        let refused = |text: &str| read_text(text).unwrap_err();
        assert!(refused("").contains("line 1, column 1: the file is empty"));
        assert!(refused(GOOD).contains("line 1, column 1: `blue` is no column"));
        assert!(refused(&HEADER.replace(",to", "")).contains("column `to` is missing"));
        assert!(refused(&HEADER.replace("to", "to,margin")).contains("line 1, column 8: `margin` is no column"));
        assert!(
            refused(&HEADER.replace("to", "to,to")).contains("line 1, column 8: column `to` stands here a second time")
        );
        assert!(refused(&HEADER.replace(',', ";")).contains("separated by commas"));
        assert!(refused(HEADER).contains("no prices"));
    }

    #[test]
    fn a_broken_field_is_named_with_line_column_and_what_to_mend() {
        let line = |from: &str, to: &str| format!("{GOOD}{}", GOOD.replace("447", "448").replacen(from, to, 1));
        check(&line("blue", "red"), "line 3, column 1 (`supplier`): there is no supplier `red`");
        check(&line("blue", "Blue"), "line 3, column 1 (`supplier`): `Blue` is not a name");
        check(&line("448", "+448"), "line 3, column 2 (`prefix`): `+448` is not a prefix");
        check(&line("448", "0448"), "line 3, column 2 (`prefix`)");
        check(&line("GB", "gb"), "line 3, column 3 (`country`): `gb`");
        check(&line("GB", "FR"), "line 3, column 3 (`country`): numbers with prefix `448` do not belong to `FR`");
        check(&line("0.0375", "\"0,0375\""), "line 3, column 4 (`price`): `0,0375` is not a price");
        check(&line("0.0375", "-1"), "line 3, column 4 (`price`)");
        check(&line("0.0375", ""), "line 3, column 4 (`price`)");
        check(&line("EUR", "eur"), "line 3, column 5 (`currency`)");
        check(&line("EUR", "USD"), "line 3, column 5 (`currency`): `USD`, but line 2 is in `EUR`");
        check(&line("2026-01-01T00:00:00Z", "2026-01-01"), "line 3, column 6 (`from`): `2026-01-01` is not a moment");
        check(&line("2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"), "line 3, column 7 (`to`)");
        check(&line(",GB", ""), "line 3, column 7: the line has 6 fields, the header 7");
    }

    #[test]
    fn prices_that_hold_at_the_same_moment_are_refused() {
        check(&format!("{GOOD}{GOOD}"), "line 3, column 6 (`from`): overlaps line 2");
        let open = GOOD.replace("2026-02-01T00:00:00Z", "");
        let later = GOOD.replace("2026-01-01", "2026-03-01").replace("2026-02-01T00:00:00Z", "");
        check(&format!("{later}{open}"), "line 3, column 6 (`from`): overlaps line 2");
        let follows = GOOD.replace("2026-01-01", "2026-02-01").replacen("2026-02-01T00:00:00Z\n", "\n", 1);
        assert_eq!(
            read_text(&format!("{HEADER}{follows}{GOOD}")).unwrap().len(),
            2,
            "half-open: one ends where the next begins"
        );
        let others = GOOD.replace("GB", "IM") + &GOOD.replace("blue", "green") + &GOOD.replace("447", "4477");
        assert_eq!(read_text(&format!("{HEADER}{GOOD}{others}")).unwrap().len(), 4);
    }

    #[test]
    fn a_refusal_is_bounded() {
        let error =
            read(format!("{HEADER}{}", GOOD.replace("blue", "red").repeat(50)).as_bytes(), &suppliers()).unwrap_err();
        assert_eq!((error.problems.len(), error.more), (PROBLEMS_MAX, 30));
    }

    #[test]
    fn what_is_no_text_is_refused_not_guessed() {
        assert!(read(b"\xff\xfe\x00s", &suppliers()).is_err());
        let broken = [HEADER.as_bytes(), b"bl\xffue,447,GB,0.0375,EUR,2026-01-01T00:00:00Z,\n"].concat();
        assert!(read(&broken, &suppliers()).is_err());
    }
}
