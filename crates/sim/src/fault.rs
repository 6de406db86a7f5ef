//! What goes wrong, and when: by script, by seed. Knows no AT.

use rand::{Rng, rngs::StdRng};
use serde::{Deserialize, Serialize};

/// Everything that goes wrong with one modem.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    /// Each is looked at for each occasion; several may happen at once.
    pub rules: Vec<FaultRule>,
}

/// One fault and its occasions. A rule without `at`, `every` and `probability` happens on each occasion in its range.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule<F = Fault> {
    /// What goes wrong.
    pub fault: F,
    /// The occasions it happens on, counted from 1 since the start.
    #[serde(default)]
    pub at: Vec<u64>,
    /// Happens on each multiple of this; 0 is never.
    #[serde(default)]
    pub every: u64,
    /// How likely it is on each occasion, 0 to 1.
    #[serde(default)]
    pub probability: f64,
    /// Not on this many first occasions.
    #[serde(default)]
    pub after: u64,
    /// How often at most; 0 is without end.
    #[serde(default)]
    pub times_max: u64,
}

/// What can go wrong. The occasion of most is a send, counted at `AT+CMGS`; others name theirs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// `AT+CMGS` is answered by nothing at all.
    PromptMissing,
    /// `AT+CMGS` is refused.
    PromptRefused {
        /// The error's number.
        cms: u16,
    },
    /// The PDU is refused, whether or not the message went out before.
    PduRefused {
        /// The error's number.
        cms: u16,
        /// The message went out all the same.
        sent: bool,
    },
    /// `+CMGS` comes, `OK` does not.
    OkMissing,
    /// `OK` comes, `+CMGS` does not.
    ReferenceMissing {
        /// The message went out all the same.
        sent: bool,
    },
    /// Nothing comes after the PDU.
    AnswerMissing {
        /// The message went out all the same, and a report follows.
        sent: bool,
    },
    /// The answer to the PDU comes so much later.
    AnswerLate {
        /// Milliseconds on top of the usual.
        ms: u64,
    },
    /// The report comes before `+CMGS`.
    ReportFirst,
    /// The reference is that of the message before, as after a wrap.
    ReferenceRepeated,
    /// The report names the number in national form.
    ReportNational,
    /// The report has this status.
    ReportStatus {
        /// TP-ST.
        status: u8,
    },
    /// A report with this status comes before the usual one.
    ReportTemporary {
        /// TP-ST.
        status: u8,
    },
    /// No report comes.
    ReportMissing,
    /// The report comes twice.
    ReportTwice,
    /// Unasked lines come between the prompt and the PDU, and before `+CMGS`.
    UrcInside,
    /// So many unasked lines come with the answer.
    UrcStorm {
        /// How many.
        lines: u32,
    },
    /// Everything from here on is written one byte at a time.
    SplitWrites,
    /// Lines of the answer end in more carriage returns than they should.
    ExtraCr,
    /// Lines of the answer stand closer together than they should.
    GluedLines,
    /// The modem restarts after the PDU and forgets its settings.
    Reset {
        /// The message went out before.
        sent: bool,
    },
    /// The port hangs up after the PDU and comes back as another device under the same link.
    HangUp {
        /// The message went out before.
        sent: bool,
        /// Milliseconds until it is back.
        back_ms: u64,
    },
    /// Registration is lost, and so is this send.
    RegistrationLost {
        /// Milliseconds until it is back.
        back_ms: u64,
    },
    /// From here on the network refuses everything this SIM sends.
    Ban {
        /// The error's number; 0 is silence.
        cms: u16,
    },
    /// `AT+CMGL` takes this long. Its occasion is that command.
    ListSlow {
        /// Milliseconds.
        ms: u64,
    },
    /// Unasked lines come in the middle of the answer to `AT+CMGL`. Its occasion is that command.
    ListUrc,
    /// `AT+CMGL` is never answered, and the modem is deaf this long. Its occasion is that command.
    ListHang {
        /// Milliseconds.
        ms: u64,
    },
    /// An inbound message is announced as stored nowhere, and is lost. Its occasion is an inbound message.
    InboundNowhere,
    /// A stored report is announced in the wrong memory. Its occasion is a stored report.
    StoredReportTrap,
}

/// When a fault can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// `AT+CMGS`.
    Send,
    /// `AT+CMGL`.
    List,
    /// A message came in.
    Inbound,
    /// A report was stored.
    StoredReport,
}

impl Fault {
    fn occasion(&self) -> Occasion {
        match self {
            Self::ListSlow { .. } | Self::ListHang { .. } | Self::ListUrc => Occasion::List,
            Self::InboundNowhere => Occasion::Inbound,
            Self::StoredReportTrap => Occasion::StoredReport,
            _ => Occasion::Send,
        }
    }
}

/// A plan in progress: which occasions there were, and how often each rule struck.
#[derive(Debug)]
pub struct Faults {
    rules: Vec<(FaultRule, u64)>,
    occasions: [u64; 4],
}

impl Faults {
    /// Begins a plan.
    pub fn new(plan: FaultPlan) -> Self {
        Self { rules: plan.rules.into_iter().map(|rule| (rule, 0)).collect(), occasions: [0; 4] }
    }

    /// Counts an occasion and says what goes wrong on it.
    pub fn strike(&mut self, occasion: Occasion, chance: &mut StdRng) -> Vec<Fault> {
        let count = &mut self.occasions[occasion as usize];
        *count += 1;
        let count = *count;
        let mut struck = Vec::new();
        for (rule, times) in self.rules.iter_mut().filter(|(rule, _)| rule.fault.occasion() == occasion) {
            if rule.strikes(count, *times, chance) {
                *times += 1;
                struck.push(rule.fault.clone());
            }
        }
        struck
    }
}

impl<F> FaultRule<F> {
    /// A fault on each occasion.
    pub fn always(fault: F) -> Self {
        Self { fault, at: Vec::new(), every: 0, probability: 0.0, after: 0, times_max: 0 }
    }

    /// A fault on certain occasions, counted from 1.
    pub fn at(fault: F, at: &[u64]) -> Self {
        Self { at: at.to_vec(), ..Self::always(fault) }
    }

    pub(crate) fn strikes(&self, count: u64, times: u64, chance: &mut StdRng) -> bool {
        if count <= self.after || (self.times_max > 0 && times >= self.times_max) {
            return false;
        }
        let unconditional = self.at.is_empty() && self.every == 0 && self.probability <= 0.0;
        unconditional
            || self.at.contains(&count)
            || (self.every > 0 && count.is_multiple_of(self.every))
            || (self.probability > 0.0 && chance.random_bool(self.probability.min(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[track_caller]
    fn check(rule: FaultRule, expected: &[u64]) {
        let mut faults = Faults::new(FaultPlan { rules: vec![rule] });
        let mut chance = StdRng::seed_from_u64(1);
        let struck: Vec<u64> = (1..=10).filter(|_| !faults.strike(Occasion::Send, &mut chance).is_empty()).collect();
        assert_eq!(struck, expected);
    }

    #[test]
    fn strikes_when_told() {
        let always = FaultRule::always(Fault::OkMissing);
        check(always.clone(), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        check(FaultRule { after: 8, ..always.clone() }, &[9, 10]);
        check(FaultRule { every: 4, ..always.clone() }, &[4, 8]);
        check(FaultRule { times_max: 2, ..always.clone() }, &[1, 2]);
        check(FaultRule::at(Fault::OkMissing, &[3, 7]), &[3, 7]);
        check(FaultRule { probability: 1.0, after: 9, ..always }, &[10]);
        check(FaultRule::always(Fault::InboundNowhere), &[]);
    }

    #[test]
    fn a_plan_is_read_from_text() {
        let plan: FaultPlan = serde_json::from_str(
            r#"{"rules": [{"fault": "prompt_missing", "at": [2]}, {"fault": {"ban": {"cms": 8}}, "after": 100}]}"#,
        )
        .unwrap();
        let expected = [
            FaultRule::at(Fault::PromptMissing, &[2]),
            FaultRule { after: 100, ..FaultRule::always(Fault::Ban { cms: 8 }) },
        ];
        assert_eq!(plan.rules, expected);
    }
}
