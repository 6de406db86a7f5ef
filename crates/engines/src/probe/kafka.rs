//! Asks a Kafka broker who is alive, who leads, and whether a topic could be made.
//!
//! Knows the requests Metadata (version 4) and CreateTopics (version 4) of the Kafka protocol; must not know records.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Asker;
use crate::error::{EnginesError, Result};

const ENGINE: &str = "Kafka";
const CLIENT: &str = "carillon-engines";

const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;
/// Of both requests; the last without the compact forms of the flexible versions, or near it.
const VERSION: i16 = 4;

/// How long the broker may take to decide on a topic.
const CREATE_MS_MAX: i32 = 1500;

/// What a broker knows of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The brokers that are alive, by id, with the address they announce.
    pub brokers: BTreeMap<i32, String>,
    /// Every partition of every topic.
    pub partitions: Vec<Partition>,
}

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number in it.
    pub index: i32,
    /// The id of the broker that leads it, negative if none does.
    pub leader: i32,
    /// The ids of the brokers that should hold it.
    pub replicas: Vec<i32>,
    /// The ids of those that hold all of it.
    pub in_sync: Vec<i32>,
}

/// Asks one broker for what it knows.
///
/// # Errors
/// Nobody listens, or what listens does not answer as a broker.
pub fn metadata(address: SocketAddr) -> Result<Metadata> {
    let mut request = Vec::new();
    // No list of topics means all of them.
    request.extend((-1i32).to_be_bytes());
    // Do not create any.
    request.push(0);
    ask(address, METADATA, &request, read_metadata)
}

/// Asks whether a topic with this replication could be made now. Nothing is made: the controller only checks.
///
/// # Errors
/// It could not, or the broker does not answer; the error has its words.
pub fn could_create(address: SocketAddr, replication: i16) -> Result<()> {
    let topic = NewTopic { name: "carillon-could-this-be-made", partitions: 1, replication };
    create(address, &topic, Mode::CheckOnly)
}

/// Makes a topic. The broker answers when its controller has decided; the partitions get their leaders a moment later.
///
/// # Errors
/// It cannot be made, or the broker does not answer; the error has its words.
pub fn create_topic(address: SocketAddr, topic: &NewTopic) -> Result<()> {
    create(address, topic, Mode::Make)
}

/// A topic to be made, with the broker's settings for all else.
#[derive(Clone, Copy, Debug)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its partitions.
    pub partitions: i32,
    /// Copies of each.
    pub replication: i16,
}

#[derive(Clone, Copy)]
enum Mode {
    Make = 0,
    CheckOnly = 1,
}

fn create(address: SocketAddr, topic: &NewTopic, mode: Mode) -> Result<()> {
    let mut request = 1i32.to_be_bytes().to_vec();
    text(&mut request, topic.name);
    request.extend(topic.partitions.to_be_bytes());
    request.extend(topic.replication.to_be_bytes());
    request.extend(0i32.to_be_bytes()); // no assignments of ours
    request.extend(0i32.to_be_bytes()); // no settings
    request.extend(CREATE_MS_MAX.to_be_bytes());
    request.push(mode as u8);
    match ask(address, CREATE_TOPICS, &request, read_created)? {
        None => Ok(()),
        Some(why) => Err(refused(address, why)),
    }
}

fn ask<T>(address: SocketAddr, key: i16, body: &[u8], read: impl FnOnce(&mut Answer) -> Option<T>) -> Result<T> {
    let mut asker = Asker::connect(address, ENGINE)?;
    asker.send(&framed(key, body))?;
    let length = asker.receive(4)?;
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    let bytes = asker.receive(length)?;
    let mut answer = Answer { rest: &bytes };
    let correlation = answer.int32();
    let read = correlation.filter(|number| *number == i32::from(key)).and_then(|_| read(&mut answer));
    read.ok_or_else(|| asker.refuse("its answer cannot be read".to_owned()))
}

/// Length, key, version, correlation id (the key once more) and the client's name stand before every request.
fn framed(key: i16, body: &[u8]) -> Vec<u8> {
    let mut request = key.to_be_bytes().to_vec();
    request.extend(VERSION.to_be_bytes());
    request.extend(i32::from(key).to_be_bytes());
    text(&mut request, CLIENT);
    request.extend(body);
    let mut frame = u32::try_from(request.len()).expect("our requests are short").to_be_bytes().to_vec();
    frame.extend(request);
    frame
}

fn text(request: &mut Vec<u8>, text: &str) {
    request.extend(i16::try_from(text.len()).expect("our texts are short").to_be_bytes());
    request.extend(text.as_bytes());
}

fn read_metadata(answer: &mut Answer) -> Option<Metadata> {
    let mut found = Metadata::default();
    answer.int32()?; // throttled for
    for _ in 0..answer.int32()? {
        let (id, host, port) = (answer.int32()?, answer.text()?, answer.int32()?);
        answer.text(); // rack
        found.brokers.insert(id, format!("{host}:{port}"));
    }
    answer.text(); // cluster id
    answer.int32()?; // controller
    for _ in 0..answer.int32()? {
        read_topic(answer, &mut found.partitions)?;
    }
    Some(found)
}

fn read_topic(answer: &mut Answer, partitions: &mut Vec<Partition>) -> Option<()> {
    answer.int16()?; // error
    let topic = answer.text()?;
    answer.take(1)?; // internal
    for _ in 0..answer.int32()? {
        answer.int16()?; // error
        partitions.push(Partition {
            topic: topic.clone(),
            index: answer.int32()?,
            leader: answer.int32()?,
            replicas: answer.ids()?,
            in_sync: answer.ids()?,
        });
    }
    Some(())
}

/// Why the topic could not be made; nothing if it could.
fn read_created(answer: &mut Answer) -> Option<Option<String>> {
    answer.int32()?; // throttled for
    answer.int32().filter(|topics| *topics == 1)?;
    answer.text()?; // name
    let code = answer.int16()?;
    let words = answer.text().unwrap_or_else(|| "no words".to_owned());
    Some((code != 0).then(|| format!("error {code}: {words}")))
}

fn refused(address: SocketAddr, why: String) -> EnginesError {
    super::no_answer(address, ENGINE, format!("a topic could not be made there: {why}"))
}

/// The bytes of an answer that were not read yet.
struct Answer<'a> {
    rest: &'a [u8],
}

impl Answer<'_> {
    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn int16(&mut self) -> Option<i16> {
        self.take(2).map(|bytes| i16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn int32(&mut self) -> Option<i32> {
        self.take(4).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Nothing if its length says so.
    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.int16()?).ok()?;
        self.take(length).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn ids(&mut self) -> Option<Vec<i32>> {
        let count = self.int32()?;
        (0..count).map(|_| self.int32()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(numbers: &[i32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// One broker, one topic of one partition.
    fn answer() -> Vec<u8> {
        let mut bytes = numbers(&[0, 1, 2]);
        text(&mut bytes, "127.0.0.1");
        bytes.extend(numbers(&[19_092]));
        bytes.extend((-1i16).to_be_bytes());
        text(&mut bytes, "cluster");
        bytes.extend(numbers(&[2, 1]));
        bytes.extend(0i16.to_be_bytes());
        text(&mut bytes, "accepted");
        bytes.push(0);
        bytes.extend(numbers(&[1]));
        bytes.extend(0i16.to_be_bytes());
        bytes.extend(numbers(&[0, 2, 3, 1, 2, 3, 2, 2, 3]));
        bytes
    }

    #[test]
    fn metadata_is_read() {
        let found = read_metadata(&mut Answer { rest: &answer() }).unwrap();
        assert_eq!(found.brokers, BTreeMap::from([(2, "127.0.0.1:19092".to_owned())]));
        let expected = Partition {
            topic: "accepted".to_owned(),
            index: 0,
            leader: 2,
            replicas: vec![1, 2, 3],
            in_sync: vec![2, 3],
        };
        assert_eq!(found.partitions, [expected]);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let whole = answer();
        for length in 0..whole.len() {
            assert_eq!(read_metadata(&mut Answer { rest: &whole[..length] }), None, "{length}");
        }
    }

    #[test]
    fn a_refusal_has_its_words() {
        let refusal = |code: i16| {
            let mut bytes = numbers(&[0, 1]);
            text(&mut bytes, "x");
            bytes.extend(code.to_be_bytes());
            text(&mut bytes, "too few brokers");
            bytes
        };
        assert_eq!(read_created(&mut Answer { rest: &refusal(0) }), Some(None));
        let found = read_created(&mut Answer { rest: &refusal(38) }).unwrap();
        assert_eq!(found.as_deref(), Some("error 38: too few brokers"));
    }
}
