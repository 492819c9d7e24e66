//! What a segment says of itself: key-value metadata of the Parquet footer, and of the
//! spool's Arrow schema.
//!
//! Each field is one key, `tcprst.FIELD`, with a JSON value, so that
//! `select * from parquet_kv_metadata('*.parquet')` in DuckDB reads well.

use std::collections::{BTreeMap, HashMap};

use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

/// Prefix of our metadata keys.
pub const KEY_PREFIX: &str = "tcprst.";

/// What sees one RST site of the kernel. Fields that version 1 did not have may be missing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct SiteStatus {
    /// Kernel function of the site.
    pub site: String,
    /// `sent`, or what was asked for in addition: `received`, `icmp`.
    #[serde(default)]
    pub direction: String,
    /// `raw_tracepoint`, `fentry`, `kprobe`; `None` where nothing sees it.
    pub hook: Option<String>,
    /// What it is attached to, or why it is not.
    pub detail: String,
    /// Why this hook, and why no better one.
    #[serde(default)]
    pub why: String,
    /// The module that was not loaded at the start; the site is seen as soon as it is.
    #[serde(default)]
    pub waiting: Option<String>,
}

/// The two clocks read together: `time = realtime_ns + (boot_ns - this.boot_ns)`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ClockAnchor {
    pub boot_ns: u64,
    pub realtime_ns: u64,
}

/// Where a segment's account starts on one CPU.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct CpuAccount {
    /// Highest `seq` before the segment.
    pub seen: u64,
    /// Resets lost on that CPU before the segment.
    pub lost: u64,
    /// Resets counted on that CPU, in place of a row each, before the segment. `seen` includes them.
    #[serde(default)]
    pub counted: u64,
}

/// Resets that were not asked for are neither seen nor lost.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Filtered {
    /// `--container`: chosen when they are written, so that numbers are missing between them.
    pub by_container: bool,
    /// `--port`, `--netns`: chosen by the kernel half, before they are numbered.
    pub by_kernel: bool,
}

/// The metadata of a segment.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Footer {
    pub schema_version: u32,
    pub taxonomy_version: u32,
    /// Version of the recorder.
    pub recorder: String,
    pub host: String,
    /// /proc/sys/kernel/random/boot_id: `boot_ns`, cookies and ids compare within one boot.
    pub boot_id: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Interval that the segment covers, microseconds since the epoch: quiet time counts.
    pub recorded_from_us: i64,
    pub recorded_to_us: i64,
    pub clock: ClockAnchor,
    /// Every RST site of the kernel and what sees it.
    pub sites: Vec<SiteStatus>,
    /// Reset reasons of the running kernel, number to name.
    pub reasons: BTreeMap<i32, String>,
    /// Resets that the kernel half saw since the segment before.
    pub seen: u64,
    /// Resets in this segment.
    pub written: u64,
    /// Resets of storms, counted in the rollup of this segment in place of a row each. Files from
    /// before there were such counts have none.
    #[serde(default)]
    pub counted: u64,
    /// Resets that were seen, but neither written nor counted; `seen = written + counted + lost`.
    pub lost: u64,
    /// Where the account starts, CPU by CPU; recovery of a spool needs it.
    pub account: Vec<CpuAccount>,
    /// The recorder was killed and the next one sealed this from the spool.
    pub recovered: bool,
    /// Whether only some resets were asked for.
    #[serde(default)]
    pub filtered: Filtered,
    /// Names of the segments that `tcprst-analyze compact` merged into this one: their own files,
    /// where a crash left them, are this one's rows once more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
}

/// Metadata that is not ours or not whole.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    #[error("no `{KEY_PREFIX}schema_version` in the metadata: not written by tcprst")]
    Foreign,
    #[error("metadata of tcprst cannot be read: {0}")]
    Invalid(#[from] serde_json::Error),
    #[error(
        "schema version {found}, newer than {} that this program knows: use a newer tcprst-analyze",
        crate::SCHEMA_VERSION
    )]
    TooNew { found: u32 },
}

/// The program and the host that write a segment.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Version of the recorder.
    pub recorder: &'a str,
    pub host: &'a str,
    pub boot_id: &'a str,
    /// Release of the kernel.
    pub kernel: &'a str,
}

impl Footer {
    /// A footer in today's columns and rules that counts nothing yet and covers no time.
    pub fn new(origin: Origin<'_>) -> Self {
        Self {
            schema_version: crate::SCHEMA_VERSION,
            taxonomy_version: crate::TAXONOMY_VERSION,
            recorder: origin.recorder.to_owned(),
            host: origin.host.to_owned(),
            boot_id: origin.boot_id.to_owned(),
            kernel: origin.kernel.to_owned(),
            recorded_from_us: 0,
            recorded_to_us: 0,
            clock: ClockAnchor { boot_ns: 0, realtime_ns: 0 },
            sites: Vec::new(),
            reasons: BTreeMap::new(),
            seen: 0,
            written: 0,
            counted: 0,
            lost: 0,
            account: Vec::new(),
            recovered: false,
            filtered: Filtered::default(),
            merged: Vec::new(),
        }
    }

    /// The footer of another file that belongs to this segment, such as its losses or its rollup: it
    /// has its own number of rows, and the resets are counted in the segment's own file.
    #[must_use]
    pub fn for_companion(&self, rows: u64) -> Self {
        Self { seen: 0, counted: 0, lost: 0, written: rows, ..self.clone() }
    }

    /// Resets that the rollup of this segment counts.
    pub fn in_rollup(&self) -> u64 {
        self.written + self.counted
    }

    /// As text pairs, for either kind of file.
    pub fn to_pairs(&self) -> Result<Vec<(String, String)>, FooterError> {
        let serde_json::Value::Object(fields) = serde_json::to_value(self)? else {
            return Err(FooterError::Foreign);
        };
        Ok(fields
            .into_iter()
            .map(|(name, value)| {
                let text = match value {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                (format!("{KEY_PREFIX}{name}"), text)
            })
            .collect())
    }

    /// As Parquet metadata.
    pub fn to_key_values(&self) -> Result<Vec<KeyValue>, FooterError> {
        Ok(self.to_pairs()?.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect())
    }

    /// From text pairs; keys that are not ours are ignored.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, FooterError> {
        let ours: HashMap<&str, &str> = pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(KEY_PREFIX)?, value)))
            .collect();
        let version = ours.get("schema_version").ok_or(FooterError::Foreign)?;
        let found: u32 = serde_json::from_str(version)?;
        if found > crate::SCHEMA_VERSION {
            return Err(FooterError::TooNew { found });
        }
        // Text fields are stored bare: a host named `12` must come back as text.
        const TEXT: [&str; 4] = ["recorder", "host", "boot_id", "kernel"];
        let mut fields = serde_json::Map::new();
        for (name, value) in ours {
            let value = if TEXT.contains(&name) {
                serde_json::Value::String(value.to_owned())
            } else {
                serde_json::from_str(value)?
            };
            fields.insert(name.to_owned(), value);
        }
        Ok(serde_json::from_value(serde_json::Value::Object(fields))?)
    }

    /// From the metadata of a Parquet file.
    pub fn from_key_values(pairs: &[KeyValue]) -> Result<Self, FooterError> {
        Self::from_pairs(
            pairs.iter().filter_map(|pair| Some((pair.key.as_str(), pair.value.as_deref()?))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer() -> Footer {
        let origin = Origin { recorder: "0.1.0", host: "12", boot_id: "b", kernel: "6.18" };
        Footer {
            recorded_from_us: 1,
            recorded_to_us: 2,
            clock: ClockAnchor { boot_ns: 3, realtime_ns: 4 },
            sites: vec![SiteStatus { site: "s".into(), detail: "d".into(), ..Default::default() }],
            reasons: BTreeMap::from([(1, "NO_SOCKET".to_owned())]),
            seen: 7,
            written: 2,
            counted: 4,
            lost: 1,
            account: vec![CpuAccount { seen: 5, lost: 6, counted: 7 }],
            filtered: Filtered { by_container: true, by_kernel: false },
            merged: vec!["web-1-20261121T201819.123456Z-000002".into()],
            ..Footer::new(origin)
        }
    }

    #[test]
    fn a_footer_survives_the_file() {
        let pairs = footer().to_key_values().expect("serialises");
        assert_eq!(Footer::from_key_values(&pairs).expect("parses"), footer());
    }

    #[test]
    fn a_footer_from_before_storms_were_counted_has_none() {
        let mut old = footer().to_pairs().expect("serialises");
        old.retain(|(name, _)| name != "tcprst.counted");
        for (_, value) in old.iter_mut().filter(|(name, _)| name == "tcprst.account") {
            *value = r#"[{"seen":5,"lost":6}]"#.to_owned();
        }
        let old = old.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let read = Footer::from_pairs(old).expect("parses");
        assert_eq!((read.counted, read.in_rollup()), (0, 2));
        assert_eq!(read.account, [CpuAccount { seen: 5, lost: 6, counted: 0 }]);
    }

    #[test]
    fn a_site_of_version_1_has_less_to_say() {
        let old = r#"{"site":"s","hook":"kprobe","detail":"d"}"#;
        let status: SiteStatus = serde_json::from_str(old).expect("parses");
        assert_eq!(status.hook.as_deref(), Some("kprobe"));
        assert_eq!((status.why.as_str(), status.waiting), ("", None));
    }

    #[test]
    fn foreign_and_newer_metadata_are_different_errors() {
        assert!(matches!(Footer::from_pairs([("pandas", "{}")]), Err(FooterError::Foreign)));
        assert!(matches!(
            Footer::from_pairs([("tcprst.schema_version", "99")]),
            Err(FooterError::TooNew { found: 99 })
        ));
        assert!(matches!(
            Footer::from_pairs([("tcprst.schema_version", "1")]),
            Err(FooterError::Invalid(_))
        ));
    }
}
