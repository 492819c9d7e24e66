//! The verdict on one scenario on one kernel.

use serde::{Deserialize, Serialize};

/// The cause of what nothing explains, as in the taxonomy.
pub const UNKNOWN: &str = tcprst_schema::cause::UNKNOWN;

/// One scenario on one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    pub scenario: String,
    /// The cause that the scenario table expects.
    pub expected: String,
    pub verdict: Verdict,
    /// The cause that was recorded; none where nothing was.
    pub cause: Option<String>,
    /// The cause by the same facts without the kernel's reason, as before 6.10.
    pub without_reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Produced, recorded once, and every fact right.
    Ok,
    /// The same, but the cause is `unknown` where the table has one.
    Unknown,
    /// This kernel lets nothing hook the function that sends it: not recorded, and the audit
    /// says so. Why, in doctor's words.
    Unhooked(String),
    /// This kernel cannot produce it: why.
    Impossible(String),
    /// The differences from the expected row.
    Wrong(Vec<String>),
}

impl Cell {
    /// A cause was recorded that is neither the right one nor `unknown`.
    pub fn is_confidently_wrong(&self) -> bool {
        is_confidently_wrong(self.cause.as_deref(), &self.expected)
    }

    /// The same without the kernel's reason.
    pub fn is_confidently_wrong_without_reason(&self) -> bool {
        is_confidently_wrong(self.without_reason.as_deref(), &self.expected)
    }

    /// The cause of the table was not found without a reason.
    pub fn is_unknown_without_reason(&self) -> bool {
        self.without_reason.as_deref() == Some(UNKNOWN) && self.expected != UNKNOWN
    }

    /// There is no fault.
    pub fn is_right(&self) -> bool {
        !matches!(self.verdict, Verdict::Unknown | Verdict::Wrong(_))
    }
}

fn is_confidently_wrong(cause: Option<&str>, expected: &str) -> bool {
    cause.is_some_and(|cause| cause != expected && cause != UNKNOWN)
}

/// All scenarios on one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub cells: Vec<Cell>,
    pub ledger: Balance,
}

impl Column {
    /// The faults, one line each.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        for cell in &self.cells {
            match &cell.verdict {
                Verdict::Wrong(differences) => faults.extend(
                    differences.iter().map(|difference| format!("{}: {difference}", cell.scenario)),
                ),
                Verdict::Unknown => {
                    faults.push(format!("{}: unknown instead of {}", cell.scenario, cell.expected))
                }
                Verdict::Ok | Verdict::Unhooked(_) | Verdict::Impossible(_) => {}
            }
            if let Some(cause) =
                cell.without_reason.as_ref().filter(|_| cell.is_confidently_wrong_without_reason())
            {
                faults.push(format!(
                    "{}: without the reason {cause} instead of {}",
                    cell.scenario, cell.expected
                ));
            }
        }
        match &self.ledger {
            Balance::Even => {}
            Balance::Absent => faults.push("ledger: the recorder has no --audit".to_owned()),
            Balance::Uneven(why) => faults.extend(why.iter().map(|why| format!("ledger: {why}"))),
        }
        faults
    }
}

/// The verdict on the ledger of `--audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Every RST at egress is accounted for, and none is there that should not be.
    Even,
    Uneven(Vec<String>),
    /// The recorder keeps none.
    Absent,
}
