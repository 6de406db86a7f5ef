//! Receipts and inbound messages until the router has them. Knows how they are sealed and told apart; must not read a TPDU.

use lease::message::{FarmMessage, Inbound, Receipt};
use model::seal::SealError;

use super::*;

/// How long the digest of something taken is remembered: a modem may hand it out again if it was not deleted in time.
const REMEMBERED_MS: i64 = 24 * 3600 * 1000;
/// Rows read at the start. What exceeds it stays in the file until these are taken.
const WAITING_MAX: u32 = 100_000;

/// Something that came in and is durable here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    pub(crate) news: News,
    pub(crate) at: Timestamp,
}

/// What came in.
#[derive(Clone, PartialEq)]
pub(crate) enum News {
    Receipt { imsi: String, reference: u32, recipient: String, status: u8, network_ms: i64 },
    Inbound { imsi: String, link: LinkName, tpdu: bytes::Bytes },
}

/// Whether it is new.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arrived {
    New(Arrival),
    /// It was written down before: the modem or the network repeats itself.
    Known,
}

/// The row's content, sealed.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Row {
    #[prost(string, tag = "1")]
    imsi: String,
    #[prost(uint32, tag = "2")]
    reference: u32,
    #[prost(string, tag = "3")]
    recipient: String,
    #[prost(uint32, tag = "4")]
    status: u32,
    #[prost(int64, tag = "5")]
    network_ms: i64,
    /// Not empty: a message from a handset.
    #[prost(string, tag = "6")]
    link: String,
    #[prost(bytes = "bytes", tag = "7")]
    tpdu: bytes::Bytes,
}

/// Rows that are sealed together.
#[derive(Clone, PartialEq, prost::Message)]
struct Rows {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<Row>,
}

/// Shows no number and no text.
impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Receipt { reference, status, .. } => {
                write!(f, "Receipt(reference {reference}, status {status:#04x})")
            }
            Self::Inbound { link, .. } => write!(f, "Inbound({link})"),
        }
    }
}

impl Arrival {
    /// What the router is told.
    pub(crate) fn message(&self) -> FarmMessage {
        let (number, at_ms) = (self.number, self.at.0);
        match self.news.clone() {
            News::Receipt { imsi, reference, recipient, status, network_ms } => {
                FarmMessage::Receipt(Receipt { number, imsi, reference, recipient, status, network_ms, at_ms })
            }
            News::Inbound { imsi, link, tpdu } => FarmMessage::Inbound(Inbound { number, imsi, link, tpdu, at_ms }),
        }
    }
}

impl Journal {
    /// Writes down what came in. With a `tpdu` to tell it by, a repeat within a day is known; without one everything is new.
    pub(crate) fn arrive(
        &self,
        news: News,
        tell_by: Option<&[u8]>,
        at: Timestamp,
    ) -> Result<impl Future<Output = Result<Arrived, EmbeddedError>> + Send + 'static + use<>, EmbeddedError> {
        let digest = tell_by.map(|tpdu| self.digest(&news, tpdu));
        let row = Row::from(&news).encode_to_vec();
        let number = self.arrived.fetch_add(1, Ordering::Relaxed) + 1;
        let rowid = i64::try_from(number).unwrap_or(i64::MAX);
        let sealed = self.key.seal_bytes(&rowid.to_be_bytes(), &row);
        self.database.submit(move |tx| {
            if digest.is_some() {
                forget_old(tx, at)?;
            }
            let put =
                "INSERT INTO arrivals (number, digest, sealed, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
            let values = (rowid, digest.as_ref().map(<[u8; 16]>::as_slice), sealed, at.0);
            let is_new = tx.prepare_cached(put)?.execute(values)? == 1;
            Ok(if is_new { Arrived::New(Arrival { number, news, at }) } else { Arrived::Known })
        })
    }

    /// What no router has taken yet.
    pub(super) async fn waiting(&self) -> Result<Vec<Arrival>, EmbeddedError> {
        let mut waiting = self.waiting_singly().await?;
        waiting.extend(self.waiting_receipts(WAITING_MAX as usize).await?);
        Ok(waiting)
    }

    async fn waiting_singly(&self) -> Result<Vec<Arrival>, EmbeddedError> {
        let key = self.key.clone();
        let query = "SELECT number, sealed, at FROM arrivals WHERE sealed IS NOT NULL ORDER BY number LIMIT ?1";
        let read = self.database.read(move |db| {
            let mut rows = db.prepare(query)?;
            let rows = rows.query_map([WAITING_MAX], |row| {
                let (number, sealed): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let news = open(&key, number, &sealed).map_err(|error| schema::broken(1, error))?;
                Ok(Arrival { number: number.unsigned_abs(), news, at: Timestamp(row.get(2)?) })
            })?;
            rows.collect()
        });
        read.await
    }

    fn digest(&self, news: &News, tpdu: &[u8]) -> [u8; 16] {
        let imsi = match news {
            News::Receipt { imsi, .. } | News::Inbound { imsi, .. } => imsi,
        };
        self.hash(&format!("{imsi} {}", model::hex::digits(tpdu)))
    }
}

/// The last number given out, also by an earlier life whose rows are gone.
pub(super) fn last_number(tx: &Transaction<'_>) -> rusqlite::Result<u64> {
    let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name IN ('arrivals', 'receipts')";
    tx.query_row(last, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// The router has it: the content goes, a digest stays for a day.
pub(super) fn taken(tx: &Transaction<'_>, number: u64) -> rusqlite::Result<()> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    if tx.prepare_cached("DELETE FROM arrivals WHERE number = ?1 AND digest IS NULL")?.execute([number])? == 0 {
        tx.prepare_cached("UPDATE arrivals SET sealed = NULL WHERE number = ?1")?.execute([number])?;
    }
    Ok(())
}

fn forget_old(tx: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    // The oldest row is looked at, not all: rows come in the order of time.
    let oldest = "DELETE FROM arrivals WHERE sealed IS NULL AND at < ?1
                  AND number IN (SELECT number FROM arrivals ORDER BY number LIMIT 4)";
    tx.prepare_cached(oldest)?.execute([now.0 - REMEMBERED_MS]).map(drop)
}

fn open(key: &DataKey, number: i64, sealed: &[u8]) -> Result<News, SealError> {
    let plain = key.open_bytes(&number.to_be_bytes(), sealed)?;
    let broken = || SealError::Broken(key.id().to_owned());
    News::try_from(Row::decode(plain.as_slice()).map_err(|_| broken())?).map_err(|()| broken())
}

/// Rows as they are sealed together.
pub(super) fn rows_to_bytes(rows: Vec<Row>) -> Vec<u8> {
    model::octets(&Rows { rows })
}

/// Opens what was sealed together under the number of its last row.
pub(super) fn open_rows(key: &DataKey, last: u64, sealed: &[u8]) -> Result<Vec<News>, SealError> {
    let plain = key.open_bytes(&last.to_be_bytes(), sealed)?;
    let broken = || SealError::Broken(key.id().to_owned());
    let rows = Rows::decode(plain.as_slice()).map_err(|_| broken())?.rows;
    rows.into_iter().map(|row| News::try_from(row).map_err(|()| broken())).collect()
}

impl From<&News> for Row {
    fn from(news: &News) -> Self {
        match news.clone() {
            News::Receipt { imsi, reference, recipient, status, network_ms } => {
                Self { imsi, reference, recipient, status: status.into(), network_ms, ..Self::default() }
            }
            News::Inbound { imsi, link, tpdu } => Self { imsi, link: link.to_string(), tpdu, ..Self::default() },
        }
    }
}

impl TryFrom<Row> for News {
    type Error = ();

    fn try_from(row: Row) -> Result<Self, ()> {
        let Row { imsi, reference, recipient, status, network_ms, link, tpdu } = row;
        if link.is_empty() {
            let status = u8::try_from(status).map_err(drop)?;
            return Ok(Self::Receipt { imsi, reference, recipient, status, network_ms });
        }
        Ok(Self::Inbound { imsi, link: LinkName::new(&link).map_err(drop)?, tpdu })
    }
}
