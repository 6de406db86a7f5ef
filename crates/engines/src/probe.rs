//! Asks engines whether they serve, in their own protocols.
//!
//! Knows a handful of requests, enough for a true answer without a client library; must not know who runs the engines.

pub mod cql;
pub mod kafka;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{EnginesError, Result};

const CONNECT_MAX: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// No answer we ask for is near this long.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A connection to something that should be an engine.
struct Asker {
    stream: TcpStream,
    address: SocketAddr,
    engine: &'static str,
}

impl Asker {
    fn connect(address: SocketAddr, engine: &'static str) -> Result<Self> {
        let error = |error: std::io::Error| no_answer(address, engine, words(&error));
        let stream = TcpStream::connect_timeout(&address, CONNECT_MAX).map_err(error)?;
        stream.set_read_timeout(Some(ANSWER_MAX)).map_err(error)?;
        stream.set_write_timeout(Some(ANSWER_MAX)).map_err(error)?;
        Ok(Self { stream, address, engine })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(|error| self.refuse(words(&error)))
    }

    fn receive(&mut self, length: usize) -> Result<Vec<u8>> {
        if length > ANSWER_BYTES_MAX {
            return Err(self.refuse("it speaks another protocol".to_owned()));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).map_err(|error| self.refuse(words(&error)))?;
        Ok(bytes)
    }

    fn refuse(&self, why: String) -> EnginesError {
        no_answer(self.address, self.engine, why)
    }
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        // What Linux says of a time that has passed is "resource temporarily unavailable".
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("silence for {} s", ANSWER_MAX.as_secs()),
        ErrorKind::UnexpectedEof => "it hung up".to_owned(),
        _ => error.to_string(),
    }
}

fn no_answer(address: SocketAddr, engine: &'static str, why: String) -> EnginesError {
    EnginesError::NoAnswer { address: address.to_string(), engine, why }
}
