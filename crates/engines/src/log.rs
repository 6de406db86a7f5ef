//! Reads the end of a log, for the error that names it.
//!
//! Knows files of lines; must not know who wrote them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

const LINES_MAX: usize = 15;
const BYTES_MAX: u64 = 16 * 1024;

/// The last lines of a log, however long it is; what cannot be read is said. The frames of Java's stack traces are left out:
/// what matters stands between them.
pub(crate) fn tail(path: &Path) -> String {
    match read_end(path) {
        Ok(text) if text.trim().is_empty() => "(it is empty)".to_owned(),
        Ok(text) => last_lines(&text),
        Err(error) => format!("(it cannot be read: {error})"),
    }
}

fn read_end(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str) -> String {
    let is_frame = |line: &&str| line.starts_with("\tat ") || line.starts_with("\t... ");
    let lines: Vec<&str> = text.trim_end().lines().filter(|line| !is_frame(line)).collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_what_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        assert!(tail(&path).starts_with("(it cannot be read"));
        std::fs::write(&path, "").unwrap();
        assert_eq!(tail(&path), "(it is empty)");
        let text: String = (0..5000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&path, text).unwrap();
        assert_eq!(tail(&path).lines().count(), LINES_MAX);
        assert!(tail(&path).ends_with("line 4999"));
        std::fs::write(&path, "why\n\tat x.y(Z.java:1)\nCaused by: this\n\tat x.y(Z.java:2)\n\t... 22 more\n").unwrap();
        assert_eq!(tail(&path), "why\nCaused by: this");
    }
}
