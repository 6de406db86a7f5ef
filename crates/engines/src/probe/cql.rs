//! Asks a CQL node for a connection, and for what its tables of itself say.
//!
//! Knows the frames STARTUP, READY, AUTHENTICATE, QUERY, RESULT and ERROR of the native protocol, version 4; must not know
//! CQL.

use std::net::SocketAddr;

use super::Asker;
use crate::error::Result;

const ENGINE: &str = "a CQL database";

const VERSION: u8 = 0x04;
const OF_SERVER: u8 = 0x80;
const HEADER_BYTES: usize = 9;

const ERROR: u8 = 0x00;
const STARTUP: u8 = 0x01;
const READY: u8 = 0x02;
const AUTHENTICATE: u8 = 0x03;
const QUERY: u8 = 0x07;
const RESULT: u8 = 0x08;

const CONSISTENCY_ONE: u16 = 0x0001;
const RESULT_ROWS: u32 = 0x0002;
const GLOBAL_TABLE: u32 = 0x0001;
const MORE_PAGES: u32 = 0x0002;
/// Types that take a parameter are not asked for.
const TYPE_BIGINT: u16 = 0x0002;
const TYPE_TEXT: u16 = 0x000D;

/// Opens a connection as a driver does. A node that wants a password counts as serving: it has come as far as asking.
///
/// # Errors
/// Nobody listens, or what listens speaks otherwise or refuses.
pub fn ask(address: SocketAddr) -> Result<()> {
    let mut asker = Asker::connect(address, ENGINE)?;
    asker.send(&startup())?;
    match receive(&mut asker)? {
        (READY | AUTHENTICATE, _) => Ok(()),
        (other, _) => Err(asker.refuse(format!("it answers by opcode {other}"))),
    }
}

/// A value of a row: the two types that a node's tables of itself are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `text`.
    Text(String),
    /// `bigint`.
    Number(i64),
    /// Null.
    Nothing,
}

/// Asks one query, without a password, and returns its rows: columns of text and bigint, one page.
///
/// # Errors
/// Nobody listens, or the node refuses, or answers otherwise.
pub fn query(address: SocketAddr, text: &str) -> Result<Vec<Vec<Value>>> {
    let mut asker = Asker::connect(address, ENGINE)?;
    asker.send(&startup())?;
    let (opcode, _) = receive(&mut asker)?;
    if opcode != READY {
        return Err(asker.refuse(format!("it answers by opcode {opcode} and is not ready for questions")));
    }
    let mut body = u32::try_from(text.len()).expect("a query is short").to_be_bytes().to_vec();
    body.extend(text.as_bytes());
    body.extend(CONSISTENCY_ONE.to_be_bytes());
    body.push(0); // no parameters
    asker.send(&frame(QUERY, &body))?;
    let (opcode, body) = receive(&mut asker)?;
    let rows = if opcode == RESULT { rows(&mut Body { rest: &body }) } else { None };
    rows.ok_or_else(|| asker.refuse("its answer cannot be read".to_owned()))
}

/// A whole frame: its opcode and body. An error of the node is one here.
fn receive(asker: &mut Asker) -> Result<(u8, Vec<u8>)> {
    let header = asker.receive(HEADER_BYTES)?;
    if header[0] & OF_SERVER == 0 {
        return Err(asker.refuse("it speaks another protocol".to_owned()));
    }
    let length = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) as usize;
    let body = asker.receive(length)?;
    if header[4] == ERROR { Err(asker.refuse(error_text(&body))) } else { Ok((header[4], body)) }
}

/// A frame with the map `{CQL_VERSION: 3.0.0}`.
fn startup() -> Vec<u8> {
    let mut body = 1u16.to_be_bytes().to_vec();
    for text in ["CQL_VERSION", "3.0.0"] {
        body.extend(u16::try_from(text.len()).expect("these are short").to_be_bytes());
        body.extend(text.as_bytes());
    }
    frame(STARTUP, &body)
}

fn frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![VERSION, 0, 0, 0, opcode];
    frame.extend(u32::try_from(body.len()).expect("our frames are short").to_be_bytes());
    frame.extend(body);
    frame
}

/// A result of kind `Rows`: flags, columns, their names and types, and the values. `None` if it is another, or not whole.
fn rows(body: &mut Body) -> Option<Vec<Vec<Value>>> {
    if body.number::<4>()? != RESULT_ROWS {
        return None;
    }
    let (flags, columns) = (body.number::<4>()?, body.number::<4>()?);
    if flags & MORE_PAGES != 0 {
        return None;
    }
    let name_table = |body: &mut Body| body.text().and_then(|_| body.text());
    if flags & GLOBAL_TABLE != 0 {
        name_table(body)?;
    }
    let mut types = Vec::new();
    for _ in 0..columns {
        if flags & GLOBAL_TABLE == 0 {
            name_table(body)?;
        }
        body.text()?;
        types.push(u16::try_from(body.number::<2>()?).ok()?);
    }
    (0..body.number::<4>()?).map(|_| types.iter().map(|kind| value(body, *kind)).collect()).collect()
}

fn value(body: &mut Body, kind: u16) -> Option<Value> {
    let length = body.number::<4>()?.cast_signed();
    let Ok(length) = usize::try_from(length) else { return Some(Value::Nothing) };
    let bytes = body.take(length)?;
    match kind {
        TYPE_TEXT => Some(Value::Text(String::from_utf8_lossy(bytes).into_owned())),
        TYPE_BIGINT => Some(Value::Number(i64::from_be_bytes(bytes.try_into().ok()?))),
        _ => None,
    }
}

/// What of a frame was not read yet.
struct Body<'a> {
    rest: &'a [u8],
}

impl Body<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// A number of so many bytes, at most four.
    fn number<const BYTES: usize>(&mut self) -> Option<u32> {
        Some(self.take(BYTES)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// A text with its length in two bytes.
    fn text(&mut self) -> Option<()> {
        let length = self.number::<2>()? as usize;
        self.take(length).map(drop)
    }
}

/// A code of four bytes, then a text with its length in two.
fn error_text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(6..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A server that answers one connection by these bytes.
    fn answering(bytes: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; startup().len()];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(request, startup());
            stream.write_all(bytes).unwrap();
        });
        address
    }

    #[test]
    fn ready_and_a_wish_for_a_password_count() {
        ask(answering(&[0x84, 0, 0, 0, READY, 0, 0, 0, 0])).unwrap();
        ask(answering(&[0x84, 0, 0, 0, AUTHENTICATE, 0, 0, 0, 2, 0, 0])).unwrap();
    }

    #[test]
    fn all_else_is_refused_with_its_words() {
        let bootstrapping = b"\x84\0\0\0\0\0\0\0\x0b\0\0\x10\x02\0\x05later";
        assert!(ask(answering(bootstrapping)).unwrap_err().to_string().ends_with("later"));
        assert!(ask(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")).unwrap_err().to_string().contains("protocol"));
        assert!(ask(answering(b"\x84\0")).is_err());
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(nobody).unwrap_err().to_string().contains("refused"));
    }

    #[test]
    fn rows_are_read() {
        let mut body = Vec::new();
        for number in [RESULT_ROWS, GLOBAL_TABLE, 2] {
            body.extend(number.to_be_bytes());
        }
        for (text, kind) in
            [("keyspace", None), ("table", None), ("name", Some(TYPE_TEXT)), ("count", Some(TYPE_BIGINT))]
        {
            body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            body.extend(text.as_bytes());
            body.extend(kind.iter().flat_map(|kind: &u16| kind.to_be_bytes()));
        }
        body.extend(2u32.to_be_bytes());
        body.extend(
            [&[0, 0, 0, 1, b'x', 0, 0, 0, 8][..], &7i64.to_be_bytes(), &[0, 0, 0, 1, b'y', 255, 255, 255, 255]]
                .concat(),
        );
        let expected =
            vec![vec![Value::Text("x".into()), Value::Number(7)], vec![Value::Text("y".into()), Value::Nothing]];
        assert_eq!(rows(&mut Body { rest: &body }), Some(expected));
        assert_eq!(rows(&mut Body { rest: &body[..body.len() - 1] }), None, "not whole");
    }
}
