//! What messages are made of: numbers, texts and names, the same on every run.

/// Marsaglia's xorshift.
pub(crate) struct Random(u64);

const WORDS: &[&str] = &[
    "hello",
    "mail",
    "Grüße",
    "café",
    "sync",
    "Kalender",
    "ΔΦΓ",
    "€5",
    "[x]",
    "{y}",
    "a|b",
    "~",
    "50%",
    "Ω",
    "ñandú",
    "@home",
    "http://www.example.com/inbox",
    "1234567890",
    "\\path",
    "^",
];
const FOREIGN: &[&str] = &["Привет", "日本", "😀", "`quoted`", "çok", "שלום", "ğ"];

impl Random {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn octet(&mut self) -> u8 {
        self.next() as u8
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn of_list<Item: Clone>(&mut self, list: &[Item]) -> Item {
        list[self.below(list.len())].clone()
    }

    pub(crate) fn octets(&mut self, count_max: usize) -> Vec<u8> {
        (0..self.below(count_max + 1)).map(|_| self.octet()).collect()
    }

    pub(crate) fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }

    /// Words of the default alphabet, one blank between them.
    pub(crate) fn text(&mut self, words_max: usize) -> String {
        let count = 1 + self.below(words_max);
        (0..count).map(|_| self.of_list(WORDS)).collect::<Vec<_>>().join(" ")
    }

    /// Words of any alphabet.
    pub(crate) fn foreign_text(&mut self, words_max: usize) -> String {
        format!("{} {}", self.of_list(FOREIGN), self.text(words_max))
    }

    pub(crate) fn name(&mut self) -> String {
        let count = 1 + self.below(12);
        (0..count).map(|_| char::from(self.of_list(b"abcdefghijklmnopqrstuvwxyzABCXYZ0123456789./-"))).collect()
    }

    pub(crate) fn address(&mut self) -> String {
        let scheme = self.of_list(&["http://", "https://", "http://www.", "https://www.", "ftp://"]);
        let domain = self.of_list(&[".com/", ".org/", ".net/", ".edu/", ".de/", ".com"]);
        format!("{scheme}{}{domain}{}", self.name(), self.name())
    }
}
