//! Reads a typed configuration: defaults, then a TOML file, then the environment.
//!
//! Knows TOML and the environment; must not know what any key means.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Why a configuration was refused. The text names the place, never the value of a key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read configuration file `{path}`")]
    Read {
        /// The file as given.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML, has an unknown key, or a value of the wrong type.
    #[error("configuration file `{path}`, line {line}, column {column}: {reason}")]
    File {
        /// The file as given.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong, with the key.
        reason: String,
    },
    /// A variable names no key, or has a value of the wrong type.
    #[error("environment variable `{variable}`: {reason}")]
    Environment {
        /// The variable's name.
        variable: String,
        /// What is wrong, with the key.
        reason: String,
    },
    /// The type's own defaults cannot be written as TOML: a mistake in the program.
    #[error("the default configuration cannot be written as toml")]
    Defaults {
        /// The cause.
        source: toml::ser::Error,
    },
}

/// Reads a configuration: the type's defaults, over them `file`, over them the environment.
///
/// A variable is the prefix, then the path of the key joined by `__`, in capitals: with the prefix `CARILLON`,
/// `CARILLON_GATEWAY__LISTEN` is `listen` in `[gateway]` and `CARILLON__DRAIN_SECONDS_MAX` a key at the top; with the
/// prefix `CARILLON_GATEWAY`, `CARILLON_GATEWAY__LISTEN` is `listen` at the top. A variable without `__` is not ours.
/// Values that are not text in the defaults are read as TOML (`[1, 2]`, `true`).
///
/// # Errors
/// An unreadable file; a key nobody knows (in either source) or a value of the wrong type, with key, line and column.
pub fn load<T>(file: Option<&Path>, env_prefix: &str) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Default + Serialize,
{
    let text = match file {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?
        }
        None => String::new(),
    };
    let path = file.unwrap_or(Path::new("(none)"));
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(path, &text, env_prefix, variables)
}

/// Shows a configuration as TOML, for `--check-config`. Secrets stand in files of their own, so there is none to hide.
///
/// # Errors
/// The value cannot be written as TOML: a mistake in the program.
pub fn show<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    toml::to_string_pretty(config).map_err(|source| ConfigError::Defaults { source })
}

/// Checks that an example file tells the truth: with every `#! ` line switched on it is exactly the defaults, and as it
/// stands it loads. For tests.
///
/// # Panics
/// When the example and the defaults differ; the text says where.
#[track_caller]
pub fn check_example<T>(text: &str, default: &T)
where
    T: DeserializeOwned + Serialize,
{
    let enabled: Vec<&str> = text.lines().map(|line| line.strip_prefix("#! ").unwrap_or(line)).collect();
    let shown: Table = toml::from_str(&enabled.join("\n")).expect("the example with all its keys switched on is toml");
    let truth = Table::try_from(default).expect("the defaults can be written as toml");
    let differences = differences("", &shown, &truth);
    assert!(differences.is_empty(), "the example file differs from the defaults:\n{}", differences.join("\n"));
    if let Err(error) = toml::from_str::<T>(text) {
        panic!("the example file does not load as it stands: {error}");
    }
}

fn load_from<T>(
    path: &Path,
    text: &str,
    env_prefix: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Default + Serialize,
{
    let of_file: T = toml::from_str(text).map_err(|error| file_error(path, text, &error))?;
    let mut table = Table::try_from(&of_file).map_err(|source| ConfigError::Defaults { source })?;
    let mut config = of_file;
    let mut overrides: Vec<(String, String)> =
        variables.filter(|(name, _)| key_path(env_prefix, name).is_some()).collect();
    overrides.sort();
    for (variable, text) in overrides {
        let refuse = |reason: String| ConfigError::Environment { variable: variable.clone(), reason };
        let keys = key_path(env_prefix, &variable).expect("the filter above kept only names with a path");
        set(&mut table, &keys, &text).map_err(refuse)?;
        config = table.clone().try_into().map_err(|error: toml::de::Error| refuse(error.message().to_owned()))?;
    }
    Ok(config)
}

/// The keys a variable names, outermost first; `None` when it is not one of ours.
fn key_path(prefix: &str, variable: &str) -> Option<Vec<String>> {
    let rest = variable.strip_prefix(prefix)?;
    if !rest.starts_with('_') || !rest.contains("__") {
        return None;
    }
    let keys: Vec<String> = rest.trim_start_matches('_').split("__").map(str::to_lowercase).collect();
    keys.iter().all(|key| !key.is_empty()).then_some(keys)
}

fn set(table: &mut Table, keys: &[String], text: &str) -> Result<(), String> {
    let (key, rest) = keys.split_first().ok_or("names no key")?;
    if rest.is_empty() {
        let value = value_like(table.get(key), text)?;
        table.insert(key.clone(), value);
        return Ok(());
    }
    match table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(inner) => set(inner, rest, text),
        _ => Err(format!("`{key}` is not a section")),
    }
}

/// Text stays text where the value so far is text; everything else is read as TOML, and what is not TOML is text.
fn value_like(current: Option<&Value>, text: &str) -> Result<Value, String> {
    let read = || toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    match current {
        Some(Value::String(_)) => Ok(Value::String(text.to_owned())),
        Some(other) => read().ok_or_else(|| format!("expected a toml {}", other.type_str())),
        None => Ok(read().unwrap_or_else(|| Value::String(text.to_owned()))),
    }
}

fn file_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let (line, column) = position(text, error.span().unwrap_or(0..0));
    ConfigError::File { path: path.to_owned(), line, column, reason: error.message().trim_end().replace('\n', ", ") }
}

fn position(text: &str, span: Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn differences(at: &str, shown: &Table, truth: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in truth {
        let place = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        match (shown.get(key), value) {
            (None, _) => found.push(format!("`{place}` is missing from the example (default {value})")),
            (Some(Value::Table(shown)), Value::Table(truth)) => found.extend(differences(&place, shown, truth)),
            (Some(shown), truth) if shown != truth => {
                found.push(format!("`{place}` is {shown}, the default is {truth}"))
            }
            _ => {}
        }
    }
    let unknown = shown.keys().filter(|key| !truth.contains_key(*key));
    found.extend(
        unknown.map(|key| format!("`{at}{}{key}` is in the example only", if at.is_empty() { "" } else { "." })),
    );
    found
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        drain_seconds_max: u64,
        gateway: Section,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Section {
        listen: std::net::SocketAddr,
        names: Vec<String>,
        user: String,
    }

    impl Default for Sample {
        fn default() -> Self {
            Self { drain_seconds_max: 30, gateway: Section::default() }
        }
    }

    impl Default for Section {
        fn default() -> Self {
            Self { listen: "127.0.0.1:8080".parse().unwrap(), names: vec![], user: "nobody".into() }
        }
    }

    fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Sample, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load_from(Path::new("x.toml"), text, "CARILLON", variables).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check_refusal(text: &str, variables: &[(&str, &str)], expected: &str) {
        let error = loaded(text, variables).expect_err("this is refused");
        assert!(error.contains(expected), "`{error}` does not say `{expected}`");
    }

    #[test]
    fn nothing_given_is_the_defaults() {
        assert_eq!(loaded("", &[]), Ok(Sample::default()));
    }

    #[test]
    fn the_file_beats_the_defaults_and_the_environment_beats_the_file() {
        let text = "drain_seconds_max = 5\n[gateway]\nuser = \"file\"\nlisten = \"127.0.0.1:1\"\n";
        let found = loaded(text, &[("CARILLON_GATEWAY__USER", "17"), ("CARILLON_GATEWAY__NAMES", "[\"a\"]")]).unwrap();
        assert_eq!(found.drain_seconds_max, 5);
        assert_eq!(found.gateway.listen.port(), 1);
        assert_eq!(found.gateway.user, "17", "text stays text even where it looks like a number");
        assert_eq!(found.gateway.names, ["a"]);
    }

    #[test]
    fn a_key_at_the_top_is_written_with_two_lines() {
        assert_eq!(loaded("", &[("CARILLON__DRAIN_SECONDS_MAX", "7")]).unwrap().drain_seconds_max, 7);
    }

    #[test]
    fn a_variable_without_two_lines_is_not_ours() {
        assert_eq!(loaded("", &[("CARILLON_LOG", "debug"), ("CARILLONX__Y", "1")]), Ok(Sample::default()));
    }

    #[test]
    fn a_role_prefix_reaches_the_top_of_the_role() {
        let variables = [("CARILLON_GATEWAY__USER".to_owned(), "x".to_owned())].into_iter();
        let found: Section = load_from(Path::new("x"), "", "CARILLON_GATEWAY", variables).unwrap();
        assert_eq!(found.user, "x");
    }

    #[test]
    fn an_unknown_key_is_named_with_line_and_column() {
        check_refusal("\n[gateway]\nlisten = \"127.0.0.1:1\"\n  lisen = 3\n", &[], "`x.toml`, line 4, column 3");
        check_refusal("[gateway]\nlisen = 3\n", &[], "unknown field `lisen`");
    }

    #[test]
    fn a_wrong_type_is_named_with_line_and_column() {
        check_refusal("drain_seconds_max = \"soon\"\n", &[], "line 1, column 21");
        check_refusal("drain_seconds_max = -1\n", &[], "line 1, column 21");
    }

    #[test]
    fn text_that_is_not_toml_is_refused_with_its_place() {
        check_refusal("drain_seconds_max = 1\n= 3\n", &[], "line 2, column 1");
    }

    #[test]
    fn the_refusal_does_not_repeat_the_line() {
        let error = loaded("password = \"hunter2\"\n", &[]).expect_err("this is refused");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn an_unknown_variable_is_named() {
        check_refusal("", &[("CARILLON_GATEWAY__LISEN", "x")], "`CARILLON_GATEWAY__LISEN`: unknown field `lisen`");
        check_refusal("", &[("CARILLON__DRAIN_SECONDS_MAX__X", "1")], "`drain_seconds_max` is not a section");
        check_refusal("", &[("CARILLON__DRAIN_SECONDS_MAX", "soon")], "expected a toml integer");
        check_refusal("", &[("CARILLON_GATEWAY__LISTEN", "soon")], "`CARILLON_GATEWAY__LISTEN`");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error =
            load::<Sample>(Some(Path::new("/nonexistent/carillon.toml")), "CARILLON").expect_err("no such file");
        assert_eq!(error.to_string(), "cannot read configuration file `/nonexistent/carillon.toml`");
    }

    #[test]
    fn what_is_shown_loads_again() {
        let text = show(&Sample::default()).unwrap();
        assert_eq!(toml::from_str::<Sample>(&text).unwrap(), Sample::default());
    }

    const EXAMPLE: &str = "# Why.\n#! drain_seconds_max = 30\n[gateway]\n#! listen = \"127.0.0.1:8080\"\n#! names = []\n#! user = \"nobody\"\n";

    #[test]
    fn a_true_example_passes() {
        check_example(EXAMPLE, &Sample::default());
    }

    #[test]
    fn an_untrue_example_is_found_out() {
        let lies = [
            ("= 30", "= 31", "`drain_seconds_max` is 31, the default is 30"),
            ("#! user", "# user", "`gateway.user` is missing"),
            ("#! user", "#! usr = 1\n#! user", "`gateway.usr` is in the example only"),
        ];
        for (from, to, expected) in lies {
            let text = EXAMPLE.replace(from, to);
            let panic = std::panic::catch_unwind(|| check_example(&text, &Sample::default())).expect_err("a lie");
            let said = panic.downcast_ref::<String>().expect("assert makes a string");
            assert!(said.contains(expected), "{said}");
        }
    }
}
