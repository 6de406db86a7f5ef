//! Feeds every decoder what nobody meant: vectors with something changed, and octets without any sense. Knows seeds and
//! counts; what a decoder is, is in `decoders`.
//!
//! `CARILLON_ROBUSTNESS_INPUTS` is how many inputs each decoder gets (100,000 if unset; more are better run with
//! `--release`), `CARILLON_ROBUSTNESS_SEED` what they are made from, `CARILLON_ROBUSTNESS_DECODERS` what the names of those that get
//! any begin with (all if unset). What the process had in memory at most is told, and must stay below a bound.

mod decoders;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

use decoders::DECODERS;
use serde_json::Value;
use wire::tpdu::{from_hex, to_hex};
use wire::{mms, ne1, oms};

const INPUTS: u64 = 100_000;
const SEED: u64 = 0x5ca1_ab1e;
/// Far above what corpus and threads take, far below what one runaway input would.
const MEMORY_MIB_MAX: u64 = 256;
/// Changes of one input.
const CHANGES_MAX: u64 = 6;
/// Octets of an input without any sense.
const NOISE_OCTETS_MAX: u64 = 300;

/// What no vector has: change events as datagrams, and what services report.
const WITHOUT_VECTORS: &[&str] = &[
    "NE1 acme k1 1760000000000 n-1 A 0123456789abcdef0123456789abcdef\nC ann%40acme.example INBOX add 3 phone%201\n",
    "NE1 acme k1 1760000000000 n_2 - -\nC ann@acme.example Contacts\nC bob@acme.example Calendar change\nC x y delete 0\n",
    "id=4711&stat=DELIVRD&err=000",
    "state=%64elivered&status=16",
];

#[test]
fn no_decoder_panics() {
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (inputs, seed) = (number("CARILLON_ROBUSTNESS_INPUTS", INPUTS), number("CARILLON_ROBUSTNESS_SEED", SEED));
    let corpus = corpus();
    let chosen = env::var("CARILLON_ROBUSTNESS_DECODERS").unwrap_or_default();
    let decoders = || DECODERS.iter().enumerate().filter(|(_, (name, _))| name.starts_with(&chosen));
    assert!(decoders().next().is_some(), "no decoder's name begins with `{chosen}`");
    std::thread::scope(|scope| {
        for (index, (name, decode)) in decoders() {
            let (corpus, random) = (&corpus, Random::of(seed, index as u64));
            scope.spawn(move || feed(name, *decode, corpus, random, inputs));
        }
    });
    let memory_mib = memory_mib_max();
    println!("{} decoders, {inputs} inputs each, seed {seed}, at most {memory_mib} MiB in memory", decoders().count());
    assert!(memory_mib < MEMORY_MIB_MAX, "an input of some hundred octets grew far beyond itself");
}

/// The most this process had in memory so far, as the kernel counts it.
fn memory_mib_max() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn feed(name: &str, decode: fn(&[u8]), corpus: &[Vec<u8>], mut random: Random, inputs: u64) {
    for _ in 0..inputs {
        let input = random.input(corpus);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| decode(&input))) {
            eprintln!("decoder `{name}` did not survive {}", to_hex(&input));
            resume_unwind(panic);
        }
    }
}

/// Everything the vectors hold that a decoder might be fed: octets in hexadecimal, templates, and OMS requests.
fn corpus() -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut corpus: Vec<Vec<u8>> = WITHOUT_VECTORS.iter().map(|input| input.as_bytes().to_vec()).collect();
    for entry in fs::read_dir(tests.join("vectors")).unwrap() {
        let document: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
        collect(&document["vectors"], &mut corpus);
    }
    for entry in fs::read_dir(tests.join("mm7/messages")).unwrap() {
        corpus.push(fs::read(entry.unwrap().path()).unwrap());
    }
    for entry in fs::read_dir(tests.join("oms/requests")).unwrap().take(20) {
        let call = fs::read(entry.unwrap().path()).unwrap();
        corpus.extend(inner_document(&call));
        corpus.push(call);
    }
    corpus.extend(
        ["\r\nOK\r\n", "\r\n+CMGS: 7\r\n\r\nOK\r\n", "\r\n+CDS: 25\r\n", "\r\n+CME ERROR: 10\r\n", "\r\n> "]
            .map(Vec::from),
    );
    let notice = mms::Notification {
        transaction: "T1".into(),
        from: Some("+447700900000".into()),
        octets: 1234,
        expires_seconds: 259_200,
        location: "http://mms.example/m/Q7x".into(),
    };
    corpus.push(notice.encode().unwrap());
    corpus.push(vec![0x8c, 0x83, 0x98, 0x54, 0x31, 0, 0x8d, 0x92, 0x95, 0x81, 0x91, 0x80]);
    let line = ne1::Line { account: "ann@acme.example".into(), resource: "INBOX".into(), ..ne1::Line::default() };
    let envelope = ne1::Envelope {
        tenant: "acme",
        key_id: "mail-1",
        sent_ms: 1_700_000_000_000,
        nonce: "n-1",
        wants_answer: true,
    };
    corpus.push(envelope.write(&[line], b"key").unwrap());
    corpus.push(b"NE1 acme k 1 n - -\nC a@b c\nC a@b c add 2 d%20e\n".to_vec());
    corpus.push(b"number=%2B49151&data=AQYD&udh=BQQLhCPw&binary=1&dcs=245".to_vec());
    assert!(corpus.len() > 200, "only {} inputs to begin with", corpus.len());
    corpus
}

/// The document that a call carries as text.
fn inner_document(call: &[u8]) -> Option<Vec<u8>> {
    let media = oms::soap::MediaType::of("text/xml").expect("a SOAP media type");
    let body = oms::soap::decode(call, &media).ok()?;
    let call = oms::soap::parse(&body, &media, &oms::Limits::default()).ok()?;
    match call.argument {
        oms::soap::Argument::Text(text) => Some(text.as_bytes().to_vec()),
        oms::soap::Argument::Empty | oms::soap::Argument::NotText => None,
    }
}

fn collect(value: &Value, corpus: &mut Vec<Vec<u8>>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, corpus)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, corpus)),
        Value::String(text) if text.len() > 3 => {
            corpus.push(from_hex(text.as_bytes()).unwrap_or_else(|_| text.as_bytes().to_vec()));
        }
        _ => {}
    }
}

/// Marsaglia's xorshift: the same inputs on every machine.
struct Random(u64);

impl Random {
    /// A sequence of its own for each stream.
    fn of(seed: u64, stream: u64) -> Self {
        Self(seed.wrapping_add(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: u64) -> usize {
        (self.next() % bound.max(1)) as usize
    }

    fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        if self.below(8) == 0 {
            return (0..self.below(NOISE_OCTETS_MAX)).map(|_| self.next() as u8).collect();
        }
        let mut input = corpus[self.below(corpus.len() as u64)].clone();
        for _ in 0..1 + self.below(CHANGES_MAX) {
            self.change(&mut input, corpus);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let length = input.len() as u64;
        let (at, to) = (self.below(length + 1), self.below(length + 1));
        let (from, to) = (at.min(to), at.max(to));
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next() as u8,
            // What lengths and tokens begin and end with.
            2 if at < input.len() => input[at] = [0, 1, 3, 4, 0x1f, 0x7f, 0x80, 0x83, 0xc3, 0xff][self.below(10)],
            3 => input.insert(at, self.next() as u8),
            4 => drop(input.drain(from..to.min(from + 8))),
            5 => input.truncate(at),
            6 => {
                let piece = input[from..to.min(from + 40)].to_vec();
                input.splice(at..at, piece);
            }
            7 => {
                let other = &corpus[self.below(corpus.len() as u64)];
                let tail = self.below(other.len() as u64 + 1);
                input.truncate(at);
                input.extend_from_slice(&other[tail..]);
            }
            _ => {
                let other = &corpus[self.below(corpus.len() as u64)];
                let begin = self.below(other.len() as u64 + 1);
                input.splice(at..at, other[begin..].iter().take(20).copied());
            }
        }
    }
}
