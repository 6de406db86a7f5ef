//! Asks a CQL node for a connection.
//!
//! Knows the frames STARTUP, READY, AUTHENTICATE and ERROR of the native protocol, version 4; must not know CQL.

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

/// Opens a connection as a driver does. A node that wants a password counts as serving: it has come as far as asking.
///
/// # Errors
/// Nobody listens, or what listens speaks otherwise or refuses.
pub fn ask(address: SocketAddr) -> Result<()> {
    let mut asker = Asker::connect(address, ENGINE)?;
    asker.send(&startup())?;
    let header = asker.receive(HEADER_BYTES)?;
    let length = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) as usize;
    if header[0] & OF_SERVER == 0 {
        return Err(asker.refuse("it speaks another protocol".to_owned()));
    }
    match header[4] {
        READY | AUTHENTICATE => Ok(()),
        ERROR => {
            let body = asker.receive(length)?;
            Err(asker.refuse(error_text(&body)))
        }
        other => Err(asker.refuse(format!("it answers by opcode {other}"))),
    }
}

/// A frame with the map `{CQL_VERSION: 3.0.0}`.
fn startup() -> Vec<u8> {
    let mut body = 1u16.to_be_bytes().to_vec();
    for text in ["CQL_VERSION", "3.0.0"] {
        body.extend(u16::try_from(text.len()).expect("these are short").to_be_bytes());
        body.extend(text.as_bytes());
    }
    let mut frame = vec![VERSION, 0, 0, 0, STARTUP];
    frame.extend(u32::try_from(body.len()).expect("this is short").to_be_bytes());
    frame.extend(body);
    frame
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
}
