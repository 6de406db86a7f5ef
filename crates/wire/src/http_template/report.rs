//! What services say became of a message, in their own words. Knows words and forms; must not know which message it is about.

use model::report::Said;

use super::call::unescaped;

/// Octets of a report.
pub const REPORT_OCTETS_MAX: usize = 16 * 1024;

/// What the word stands behind; the first that is there counts.
const NAMES: [&str; 3] = ["state", "status", "stat"];

/// Why a report says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// None of the parameters has a word.
    #[error("`state` is missing (or `status`, or `stat`)")]
    Missing,
    /// A word nobody knows.
    #[error(
        "`{word}` is no state; write `delivered`, `failed`, `rejected`, `expired`, `sent`, `unknown`, or `submitted`"
    )]
    Word {
        /// The word, at most 40 characters of it.
        word: String,
    },
}

/// What a form says: the query of a `GET`, or the body of a `POST`.
///
/// # Errors
/// [`ReportError`].
pub fn said_in(form: &str) -> Result<Said, ReportError> {
    let value = |wanted: &str| {
        let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(name, value)| (name == wanted && !value.is_empty()).then(|| unescaped(value)).flatten())
    };
    let word = NAMES.iter().find_map(|name| value(name)).ok_or(ReportError::Missing)?;
    said_of(&String::from_utf8_lossy(&word))
}

/// What a word means: one of ours, of SMPP 3.4 (Appendix B, and 5.2.28 in full), or a bit of Kannel's `dlr-mask`.
///
/// # Errors
/// [`ReportError::Word`].
pub fn said_of(word: &str) -> Result<Said, ReportError> {
    let word = word.trim();
    Ok(match word.to_ascii_lowercase().as_str() {
        "delivered" | "delivrd" | "1" => Said::Delivered,
        "failed" | "undeliv" | "undelivered" | "undeliverable" | "2" => Said::Failed,
        "rejected" | "rejectd" | "cancelled" | "canceled" | "deleted" | "16" => Said::Refused,
        "expired" => Said::Expired,
        "sent" => Said::Sent,
        "uncertain" => Said::Uncertain,
        // That a service took it, or does not know, says nothing of the handset.
        "accepted" | "acceptd" | "scheduled" | "routed" | "leased" | "submitted" | "enroute" | "queued" | "sending"
        | "buffered" | "unknown" | "4" | "8" => Said::Underway,
        _ => return Err(ReportError::Word { word: word.chars().take(40).collect() }),
    })
}

#[cfg(test)]
mod tests {
    use model::State;

    use super::*;

    #[test]
    fn our_own_words_mean_what_they_say() {
        for state in State::ALL {
            assert_eq!(said_of(state.as_str()), Ok(Said::of(state, false)), "{state}");
        }
    }

    #[test]
    fn words_of_others() {
        let check = |form: &str, said| assert_eq!(said_in(form), Ok(said), "{form}");
        check("id=4711&stat=DELIVRD&err=000", Said::Delivered);
        check("state=ACCEPTD", Said::Underway);
        check("status=UNDELIV", Said::Failed);
        check("state=16", Said::Refused);
        check("state=8", Said::Underway);
        check("state=%64elivered", Said::Delivered);
        check("state=&status=+Expired+", Said::Expired);
        check("status=failed&state=delivered", Said::Delivered);
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for form in ["", "state", "state=", "State=delivered", "states=delivered", "state=%zz"] {
            assert_eq!(said_in(form), Err(ReportError::Missing), "{form}");
        }
        assert_eq!(said_in("state=lost"), Err(ReportError::Word { word: "lost".to_owned() }));
        assert!(matches!(said_of(&"x".repeat(500)), Err(ReportError::Word { word }) if word.len() == 40));
    }
}
