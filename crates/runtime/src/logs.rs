//! Starts the logs: text on a terminal, one JSON object a line otherwise, always to standard error.
//!
//! Knows the terminal and `CARILLON_LOG`; must not know who logs what.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Why the logs could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// `CARILLON_LOG` is no filter.
    #[error("environment variable `CARILLON_LOG` is not a log filter")]
    Filter {
        /// The cause.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody in this process has started them before.
    #[error("the logs are already started")]
    Started,
}

/// Starts the logs of this process. Call once, before anything logs.
///
/// The filter is `CARILLON_LOG` (as in `info,sms_router=debug`), `default` if it is not set. Colours only on a terminal and
/// only without `NO_COLOR` (<https://no-color.org>).
///
/// # Errors
/// The filter is malformed, or the logs run already.
pub fn init(default: &str) -> Result<(), LogsError> {
    let filter = filter(std::env::var("CARILLON_LOG").ok().as_deref(), default)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        builder.with_ansi(colours(std::env::var_os("NO_COLOR"))).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    started.map_err(|_| LogsError::Started)
}

fn filter(text: Option<&str>, default: &str) -> Result<EnvFilter, LogsError> {
    let text = text.filter(|text| !text.trim().is_empty()).unwrap_or(default);
    EnvFilter::try_new(text).map_err(|source| LogsError::Filter { source })
}

fn colours(no_color: Option<std::ffi::OsString>) -> bool {
    no_color.is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_info_when_nothing_is_said() {
        assert_eq!(filter(None, "info").unwrap().to_string(), "info");
        assert_eq!(filter(Some(" "), "info").unwrap().to_string(), "info");
    }

    #[test]
    fn the_filter_is_what_was_said() {
        assert_eq!(filter(Some("warn,bus=debug"), "info").unwrap().to_string(), "bus=debug,warn");
    }

    #[test]
    fn a_broken_filter_is_refused() {
        let error = filter(Some("bus=loud"), "info").expect_err("no such level");
        assert_eq!(error.to_string(), "environment variable `CARILLON_LOG` is not a log filter");
    }

    #[test]
    fn no_color_counts_when_it_is_not_empty() {
        assert!(colours(None));
        assert!(colours(Some("".into())));
        assert!(!colours(Some("1".into())));
    }

    #[test]
    fn the_second_start_is_refused() {
        let _ = init("info");
        assert!(matches!(init("info"), Err(LogsError::Started)));
    }
}
